package source

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func urlTexts(s URLs) string {
	var b strings.Builder
	for u, err := range s {
		switch {
		case err != nil:
			b.WriteString(told(Item{}, err))
		case math.IsNaN(u.Heat):
			fmt.Fprintf(&b, "%d %s", u.Line, u.URL)
		default:
			fmt.Fprintf(&b, "%d %s %v", u.Line, u.URL, u.Heat)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func site(t *testing.T, text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if want = strings.TrimPrefix(want, "\n"); got != want {
		t.Errorf("%s:\n%swant\n%s", what, got, want)
	}
}

func TestURLList(t *testing.T) {
	list := "https://a.example/x?y=%20#part\n# no URL\n\n/path\r\nftp://a.example/\nhttp:///x\nhttps://a.example/%zz\n" + strings.Repeat("x", mostURL+10) + "\nb"
	for name, open := range readers(t, list) {
		same(t, name, urlTexts(URLList(open(), site(t, "https://s.example/dir/"))), `
1 https://a.example/x?y=%20
4 https://s.example/path
5 bad "": a URL begins with https:// or http:// and a host, not with "ftp://a.example/"
6 bad "": a URL begins with https:// or http:// and a host, not with "http:///x"
7 bad "": no URL: invalid URL escape "%zz"
8 bad "": a URL of more than 16384 bytes
9 https://s.example/dir/b
`)
	}
	same(t, "no site", urlTexts(URLList(strings.NewReader("/x"), nil)), "1 bad \"\": a path, of a site that is not named\n")
}

func TestSitemap(t *testing.T) {
	pages := map[string]string{
		"/index.xml": `<?xml version="1.0" encoding="UTF-8"?><sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
			<sitemap><loc> HOST/a.xml.gz </loc><lastmod>2026-01-01</lastmod></sitemap><sitemap><loc>HOST/gone.xml</loc></sitemap>
			<sitemap><loc>http://10.0.0.1/metadata</loc></sitemap><sitemap><loc>HOST/index.xml</loc></sitemap>
			<sitemap><loc>HOST/broken.xml</loc></sitemap><sitemap><loc>HOST/html</loc></sitemap><sitemap><loc>HOST/nested.xml</loc></sitemap></sitemapindex>`,
		"/a.xml.gz": `<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
			<url><loc>HOST/?a=1&amp;b=2</loc><priority>0.8</priority><image:image><image:loc>HOST/i.png</image:loc></image:image></url>
			<other><url><loc>HOST/no</loc></url></other><url><loc>https://other.example/</loc></url><url></url></urlset>`,
		"/broken.xml": `<urlset><url><loc>HOST/first</loc></url><url><loc>HOST/`,
		"/html":       `<html><body>not found</body></html>`,
		"/nested.xml": `<sitemapindex><sitemap><loc>HOST/deeper.xml</loc></sitemap></sitemapindex>`,
		"/deeper.xml": `<sitemapindex><sitemap><loc>HOST/deepest.xml</loc></sitemap></sitemapindex>`,
	}
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, ok := pages[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		page = strings.ReplaceAll(page, "HOST", server.URL)
		if strings.HasSuffix(r.URL.Path, ".gz") {
			w.Write(gzipped(t, page))
			return
		}
		io.WriteString(w, page)
	}))
	defer server.Close()
	read := func(name string, of *url.URL) string {
		text := urlTexts(Sitemap(t.Context(), OpenSitemaps(server.Client()), name, of))
		return strings.ReplaceAll(strings.ReplaceAll(text, server.URL, "HOST"), strings.TrimPrefix(server.URL, "http://"), "NAME")
	}
	want := `
2 HOST/?a=1&b=2 0.8
3 bad "": it is of another host than NAME
4 bad "": a URL begins with https:// or http:// and a host, not with ""
5 bad "": sitemap "HOST/gone.xml": HOST/gone.xml: status 404 Not Found
6 bad "": it is of another host than NAME
9 HOST/first
8 bad "": sitemap "HOST/broken.xml": XML syntax error on line 1: unexpected EOF
10 bad "": sitemap "HOST/html": a sitemap begins with <urlset> or <sitemapindex>, not with <html>
13 bad "": too many sitemaps, or an index of indexes
`
	want = strings.Replace(want, `4 bad "": a URL begins`, `4 bad "": a path, of a site that is not named`, 1)
	want = strings.Replace(want, ` with https:// or http:// and a host, not with ""`, "", 1)
	same(t, "http", read(server.URL+"/index.xml", nil), want)
	file := filepath.Join(t.TempDir(), "sitemap.xml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(pages["/index.xml"], "HOST", server.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := read(file, site(t, server.URL)); !strings.HasPrefix(got, "2 HOST/?a=1&b=2 0.8\n") {
		t.Error(got)
	}
	if got := read(file, nil); !strings.Contains(got, "the site that it is of is not named") {
		t.Error(got)
	}
	same(t, "missing", read(server.URL+"/none.xml", nil), "end: sitemap HOST/none.xml: HOST/none.xml: status 404 Not Found\n")
	for range Sitemap(t.Context(), OpenSitemaps(server.Client()), server.URL+"/index.xml", nil) {
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, err := range Sitemap(ctx, OpenSitemaps(server.Client()), server.URL+"/index.xml", nil) {
		if cancel(); err != nil && Ends(err) && !strings.Contains(err.Error(), "context canceled") {
			t.Error(err)
		}
	}
}

func TestAccessLog(t *testing.T) {
	log := `1.2.3.4 - - [10/Oct/2026:13:55:36 +0000] "GET /b HTTP/1.1" 200 2326 "-" "curl"
1.2.3.4 - ann [10/Oct/2026:13:55:36 +0000] "GET /a?x=1 HTTP/2.0" 200 2326 "https://r.example/" "Mozilla \"5\" \x22"
::1 - - [10/Oct/2026:13:55:36 +0000] "HEAD /a?x=1 HTTP/1.1" 304 0
1.2.3.4 - - [10/Oct/2026:13:55:36 +0000] "POST /a?x=1 HTTP/1.1" 200 0
1.2.3.4 - - [10/Oct/2026:13:55:36 +0000] "GET /missing HTTP/1.1" 404 0
1.2.3.4 - - [10/Oct/2026:13:55:36 +0000] "\x16\x03\x01 \" x" 400 0
1.2.3.4 - - [10/Oct/2026:13:55:36 +0000] "-" 408 0
1.2.3.4 - - [10/Oct/2026:13:55:36 +0000] "GET http://proxied.example/c HTTP/1.1" 200 1

nonsense
"GET /d HTTP/1.1" 206 1
1.2.3.4 - - [x] "GET /d
`
	for name, open := range readers(t, log) {
		same(t, name, urlTexts(AccessLog(open(), LogOptions{Base: site(t, "https://s.example")})), `
10 bad "": no line of an access log: ... "GET /path HTTP/1.1" 200 ...
12 bad "": no line of an access log: ... "GET /path HTTP/1.1" 200 ...
2 https://s.example/a?x=1 2
1 https://s.example/b 1
8 https://s.example/c 1
11 https://s.example/d 1
`)
	}
	same(t, "hosts", urlTexts(AccessLog(strings.NewReader("www.example:8443 1.2.3.4 - - [x] \"GET /a HTTP/1.1\" 200 1\nwww.example:443 1.2.3.4 - - [x] \"GET /a HTTP/1.1\" 200 1\n1.2.3.4 - - [x] \"GET /a HTTP/1.1\" 200 1\n2001:db8::1 - - [x] \"GET /a HTTP/1.1\" 200 1\n"), LogOptions{})), `
3 bad "": the log names paths only, of a site that is not named
4 bad "": the log names paths only, of a site that is not named
1 https://www.example:8443/a 1
2 https://www.example/a 1
`)
	front := "#Version: 1.0\n#Fields: date time cs-method cs(Host) cs-uri-stem sc-status cs-uri-query x-host-header cs-protocol\n" +
		"d\tt\tGET\td1.cloudfront.net\t/a%2520b\t200\tq=%2522\twww.example\thttps\nd\tt\tGET\td1.cloudfront.net\t/c\t200\t-\t-\thttp\n" +
		"d\tt\tPUT\td1.cloudfront.net\t/c\t200\t-\t-\thttp\nd\tt\tGET\td1.cloudfront.net\t/c\t000\t-\t-\thttp\nshort\n"
	same(t, "cloudfront", urlTexts(AccessLog(strings.NewReader(front), LogOptions{})), `
7 bad "": 1 fields, and there are to be 9
3 https://www.example/a%20b?q=%22 1
4 http://d1.cloudfront.net/c 1
`)
}

// TestManyURLs: with more URLs than are counted exactly the frequent ones stay, and no
// count is off by more than the bound.
func TestManyURLs(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	zipf := rand.NewZipf(random, 1.3, 1, 100_000)
	c := counter{most: 500, byURL: make(map[string]*count)}
	exact := make(map[string]int64)
	const requests = 100_000
	for i := range int64(requests) {
		u := fmt.Sprint("/", zipf.Uint64())
		exact[u]++
		c.add(u, i)
	}
	all := c.sorted()
	if len(all) != 500 || len(exact) < 5000 {
		t.Fatalf("%d of %d URLs are counted", len(all), len(exact))
	}
	counted := make(map[string]bool)
	for i, one := range all {
		counted[one.url] = true
		if one.n < exact[one.url] || one.n > exact[one.url]+requests/500 || i > 0 && one.n > all[i-1].n {
			t.Errorf("%s was asked for %d times, counted %d", one.url, exact[one.url], one.n)
		}
	}
	for u, n := range exact {
		if n > requests/500 && !counted[u] {
			t.Errorf("%s was asked for %d times and is lost", u, n)
		}
	}
}

func FuzzAccessLog(f *testing.F) {
	f.Add(`1.2.3.4 - - [x] "GET /a HTTP/1.1" 200 1`)
	f.Add("#Fields: cs-method cs-uri-stem sc-status\nGET\t/a\t200")
	f.Add("\"\\")
	f.Fuzz(func(t *testing.T, log string) {
		for u, err := range AccessLog(strings.NewReader(log), LogOptions{Base: &url.URL{Scheme: "https", Host: "s.example"}}) {
			if err == nil && (!strings.HasPrefix(u.URL, "https://s.example/") || u.Heat < 1) {
				t.Errorf("%q: %+v", log, u)
			}
		}
	})
}

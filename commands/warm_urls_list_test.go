package commands

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dry is what a dry run lists, a URL a line, with its count where there is one.
func (w *warmer) dry(want int, args ...string) string {
	w.t.Helper()
	w.run(want, append(args, "--dry-run", "-o", "csv")...)
	return strings.TrimPrefix(w.out, "url,count\n")
}

func packed(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(text))
	z.Close()
	return b.String()
}

func logLine(path string) string {
	return fmt.Sprintf(`10.0.0.1 - - [23/Nov/2026:08:00:00 +0000] "GET %s HTTP/1.1" 200 512 "-" "Mozilla/5.0"`, path) + "\n"
}

// TestWarmSources: each kind of source is known by how it begins, and brings the hottest first.
func TestWarmSources(t *testing.T) {
	const host = "https://www.example.com"
	log := strings.Repeat(logLine("/warm"), 2) + logLine("/cold") + strings.Repeat(logLine("/hot?a=1"), 3) + "cut sho"
	sitemap := `<?xml version="1.0"?><urlset><url><loc>https://www.example.com/low</loc><priority>0.1</priority></url>` +
		`<url><loc>https://www.example.com/none</loc></url><url><loc>https://www.example.com/high</loc><priority>0.9</priority></url>` +
		`<url><loc>https://evil.example/</loc></url></urlset>`
	for name, c := range map[string]struct {
		in, want, errs string
		exit           int
		args           []string
	}{
		"list":           {"/b\n# no\n\n/a#x\nhttps://www.example.com/b\nHTTPS://www.example.com/c", host + "/b,\n" + host + "/a,\nHTTPS://www.example.com/c,\n", "1 named twice", exitDone, nil},
		"list, packed":   {packed("/b\n/a"), host + "/b,\n" + host + "/a,\n", "2 URLs would be asked for", exitDone, nil},
		"BOM":            {"\ufeff/b", host + "/b,\n", "", exitDone, nil},
		"log":            {log, host + "/hot?a=1,3\n" + host + "/warm,2\n" + host + "/cold,1\n", "1 line passed over", exitDone, nil},
		"log, packed":    {packed(log), host + "/hot?a=1,3\n" + host + "/warm,2\n" + host + "/cold,1\n", "", exitDone, nil},
		"CloudFront":     {"#Version: 1.0\n#Fields: cs-method cs-uri-stem sc-status x-host-header\nGET\t/a\t200\twww.example.com\n", host + "/a,1\n", "", exitDone, nil},
		"sitemap":        {sitemap, host + "/high,\n" + host + "/none,\n" + host + "/low,\n", "it is of another host", exitPartial, nil},
		"top":            {log, host + "/hot?a=1,3\n", "2 beyond --top", exitDone, []string{"--top", "1"}},
		"min-count":      {log, host + "/hot?a=1,3\n" + host + "/warm,2\n", "1 below --min-count", exitDone, []string{"--min-count", "2"}},
		"match path":     {log, host + "/hot?a=1,3\n", "2 left out", exitDone, []string{"--match", "/hot*"}},
		"match URL":      {log, host + "/cold,1\n", "", exitDone, []string{"--match", "*old", "--match", "/none"}},
		"exclude":        {log, host + "/warm,2\n", "", exitDone, []string{"--exclude", "*a=?", "--exclude", "/c*"}},
		"foreign":        {"/a\nhttps://evil.example/b\nhttps://evil.example/c\nhttp://www.example.com/d\nhttps://www.example.com:8443/e", host + "/a,\nhttp://www.example.com/d,\n", "2 URLs of evil.example left alone", exitPartial, nil},
		"foreign, meant": {"https://evil.example/b", "https://evil.example/b,\n", "", exitDone, []string{"--any-host"}},
		"bad":            {"/a\nftp://x/\nhttps://me:secret@www.example.com/\nhttp://[::1", host + "/a,\n", "ftp://x/", exitPartial, []string{"--from", "list"}},
		"said":           {"/a \"b HTTP/\n", host + "/a%20%22b%20HTTP/,\n", "", exitDone, []string{"--from", "list"}},
	} {
		w := newWarmer(t)
		w.in = c.in
		if got := w.dry(c.exit, append([]string{"-", "--host", host}, c.args...)...); got != c.want || !strings.Contains(w.errs, c.errs) || strings.Contains(w.errs, "secret") {
			t.Errorf("%s: %q, want %q\n%s", name, got, c.want, w.errs)
		}
		path := filepath.Join(w.home, "source")
		if err := os.WriteFile(path, []byte(c.in), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := w.dry(c.exit, append([]string{path, "--host", host}, c.args...)...); got != c.want {
			t.Errorf("%s, of a file: %q, want %q\n%s", name, got, c.want, w.errs)
		}
	}
}

// TestWarmSourcesTogether: counts of several logs add up; other sources come behind.
func TestWarmSourcesTogether(t *testing.T) {
	w := newWarmer(t)
	a := w.file("a", strings.TrimSpace(strings.Repeat(logLine("/a"), 2)))
	b := w.file("b", strings.TrimSpace(strings.Repeat(logLine("/a"), 2)+strings.Repeat(logLine("/b"), 3)))
	w.in = "/c\n/b\n"
	if got := w.dry(exitDone, "-", a, b, "--host", "http://h"); got != "http://h/a,4\nhttp://h/b,3\nhttp://h/c,\n" {
		t.Errorf("%q\n%s", got, w.errs)
	}
}

// TestWarmSitemapURL: whoever names a sitemap by its URL means its site, and no other; also
// where it redirects, or is an index.
func TestWarmSitemapURL(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	var asked []string
	var site *httptest.Server
	site = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path+" "+r.Header.Get("User-Agent"))
		switch r.URL.Path {
		case "/index.xml":
			fmt.Fprintf(w, "<sitemapindex><sitemap><loc>%s/a.xml.gz</loc></sitemap><sitemap><loc>%s/b.xml</loc></sitemap></sitemapindex>", site.URL, other.URL)
		case "/a.xml.gz":
			w.Write([]byte(packed(fmt.Sprintf("<urlset><url><loc>%s/x</loc></url><url><loc>%s/y</loc></url></urlset>", site.URL, other.URL))))
		case "/moved.xml":
			http.Redirect(w, r, "/a.xml.gz", http.StatusFound)
		case "/away.xml":
			http.Redirect(w, r, other.URL+"/b.xml", http.StatusFound)
		case "/page":
			fmt.Fprint(w, "<html><body>")
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(site.Close)
	w := newWarmer(t)
	for _, name := range []string{"/index.xml", "/moved.xml"} {
		if got := w.dry(exitPartial, site.URL+name); got != site.URL+"/x,\n" || !strings.Contains(w.errs, "it is of another host") {
			t.Errorf("%s: %q\n%s", name, got, w.errs)
		}
	}
	for _, text := range asked {
		if !strings.HasSuffix(text, " cachectl/test") {
			t.Errorf("asked %q", text)
		}
	}
	for name, want := range map[string]string{"/away.xml": "which no --host permits", "/none.xml": "HTTP 404", "/page": "echo URL | cachectl warm urls -"} {
		if w.run(exitFailed, site.URL+name); !strings.Contains(w.errs, want) {
			t.Errorf("%s: %s", name, w.errs)
		}
	}
	if w.run(exitUsage, site.URL+"/index.xml", "--host", other.URL); !strings.Contains(w.errs, "no --host permits its host") {
		t.Errorf("%s", w.errs)
	}
}

func TestWarmRefuses(t *testing.T) {
	w := newWarmer(t)
	list := w.file("list", "/a")
	absolute := w.file("absolute", "https://www.example.com/a")
	empty := w.file("empty")
	odd := w.file("odd", "no idea what this is")
	sitemap := w.file("sitemap", "<urlset></urlset>")
	for _, c := range []struct {
		exit int
		text string
		args []string
	}{
		{exitUsage, "no SOURCE named", nil},
		{exitUsage, "read once", []string{"-", "-"}},
		{exitUsage, "paths need --host", []string{list}},
		{exitUsage, "--host https://www.example.com; --any-host", []string{absolute}},
		{exitUsage, "neither a list", []string{odd, "--host", "h"}},
		{exitUsage, "which site it may be of", []string{sitemap}},
		{exitFailed, "the list is empty", []string{empty, "--host", "h"}},
		{exitFailed, "no such file", []string{filepath.Join(w.home, "none"), "--host", "h"}},
		{exitUsage, "there is none", []string{list, "--host", "h", "--min-count", "3"}},
		{exitUsage, "it is a site", []string{list, "--host", "https://h/path"}},
		{exitUsage, "write it as https", []string{list, "--host", "ftp://h"}},
		{exitUsage, "Authorization header", []string{list, "--host", "https://me:secret@h"}},
		{exitUsage, "10.0.0.7", []string{list, "--host", "h", "--resolve", "h:443:elsewhere"}},
		{exitUsage, "10.0.0.7", []string{list, "--host", "h", "--resolve", "h:0:10.0.0.7"}},
		{exitUsage, "everybody's cache", []string{list, "--host", "h", "--header", "Cookie: a=b"}},
		{exitUsage, "changes what a cache answers", []string{list, "--host", "h", "--variant", "Cache-Control: no-cache"}},
		{exitUsage, "GET or HEAD", []string{list, "--host", "h", "--method", "POST"}},
		{exitUsage, "from 1 to", []string{list, "--host", "h", "--concurrency", "0"}},
		{exitUsage, "50/s", []string{list, "--host", "h", "--rate", "-1"}},
		{exitUsage, "adaptive or max", []string{list, "--host", "h", "--pace", "fast"}},
		{exitUsage, "--timeout", []string{list, "--host", "h", "--timeout", "0s"}},
		{exitUsage, "--max-body", []string{list, "--host", "h", "--max-body", "much"}},
		{exitUsage, "bad pattern", []string{list, "--host", "h", "--match", "[a"}},
		{exitUsage, "empty", []string{list, "--host", "h", "--exclude", ""}},
		{exitUsage, "list, sitemap or log", []string{list, "--host", "h", "--from", "csv"}},
		{exitUsage, "not a URL", []string{"https://h/x", "--from", "list"}},
		{exitUsage, `did you mean "hit_rate"`, []string{list, "--host", "h", "--fail-if", "hitrate < 1"}},
		{exitUsage, "do not go together", []string{list, "--host", "h", "--verify", "--no-verify"}},
	} {
		if w.run(c.exit, c.args...); !strings.Contains(w.errs, c.text) || strings.Contains(w.errs, "secret") {
			t.Errorf("%q: %s", c.args, w.errs)
		}
	}
	if _, err := os.Stat(filepath.Join(w.home, ".local")); err == nil {
		t.Error("what was refused left something behind")
	}
}

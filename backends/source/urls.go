package source

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// A URL is one to be asked for.
type URL struct {
	URL  string // absolute, without a fragment
	Line int64  // where it stood, from 1; of a log, where its requests began
	Heat float64
}

// URLs are a stream of them, with errors as in Stream.
type URLs = iter.Seq2[URL, error]

// mostURL bounds a URL. Servers and caches take less.
const mostURL = 16 << 10

// URLList reads a URL a line. Empty lines, and those that begin with "#", are none. Paths
// are of base, which may be nil where there are none.
//
// The input may be packed by gzip or zstd. r is at its beginning, and is not closed.
func URLList(r io.Reader, base *url.URL) URLs {
	return func(yield func(URL, error) bool) {
		f, err := newFeed(r)
		if err != nil {
			yield(URL{}, err)
			return
		}
		defer f.close()
		for {
			line, long, ok := f.line(mostURL)
			if !ok {
				break
			}
			text := bytes.TrimSpace(line)
			if len(text) == 0 || text[0] == '#' {
				continue
			}
			u, err := absoluteURL(string(text), base)
			if long {
				err = because("a URL of more than %d bytes", mostURL)
			}
			if !passURL(yield, URL{u, f.count, math.NaN()}, err, line) {
				return
			}
		}
		if err := f.trouble(); err != nil {
			yield(URL{}, err)
		}
	}
}

func passURL(yield func(URL, error) bool, u URL, why error, raw []byte) bool {
	if why == nil {
		return yield(u, nil)
	}
	return yield(URL{}, &BadRecord{Line: u.Line, Reason: why.Error(), Raw: raw})
}

// absoluteURL reads a URL or a path. It is left as it is written, but for its fragment.
func absoluteURL(text string, base *url.URL) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", because("no URL: %v", errors.Unwrap(err))
	}
	if !u.IsAbs() {
		if base == nil {
			return "", reason("a path, of a site that is not named")
		}
		u = base.ResolveReference(u)
		text = u.String()
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", because("a URL begins with https:// or http:// and a host, not with %.20q", text)
	}
	text, _, _ = strings.Cut(text, "#")
	return text, nil
}

// An Opened brings a sitemap: of its URL, or of the path of a file.
type Opened func(ctx context.Context, name string) (io.ReadCloser, error)

// OpenSitemaps opens files, and URLs by a client.
func OpenSitemaps(client *http.Client) Opened {
	return func(ctx context.Context, name string) (io.ReadCloser, error) {
		if !strings.HasPrefix(name, "http://") && !strings.HasPrefix(name, "https://") {
			return os.Open(name)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, name, nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("User-Agent", "cachectl")
		res, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		if res.StatusCode != http.StatusOK {
			res.Body.Close()
			return nil, fmt.Errorf("%s: status %s", name, res.Status)
		}
		return res.Body, nil
	}
}

// Bounds of sitemaps: a file has 50 MB (sitemaps.org), an index leads to files, not to
// other indexes. We are patient, not endless.
const (
	mostSitemap  = 64 << 20
	mostSitemaps = 50_000
	mostDepth    = 3
)

// Sitemap reads the URLs of a sitemap, and of the sitemaps that an index names, in their
// order. Heat is their priority. One that leads to another host than site's is a bad
// record, since whoever writes sitemaps would have us ask whom he likes; so is a sitemap
// that cannot be read. Without site the host is that of the sitemap's own URL.
func Sitemap(ctx context.Context, open Opened, name string, site *url.URL) URLs {
	return func(yield func(URL, error) bool) {
		s := sitemaps{ctx: ctx, open: open, yield: yield, seen: make(map[string]bool)}
		if u, err := url.Parse(name); site == nil && err == nil && u.Host != "" {
			site = u
		}
		if site == nil {
			yield(URL{}, errors.New("a sitemap in a file: the site that it is of is not named"))
			return
		}
		s.host = site.Host
		if err := s.read(name, 1); err != nil && !errors.Is(err, errLeft) {
			yield(URL{}, fmt.Errorf("sitemap %s: %w", name, err))
		}
	}
}

type sitemaps struct {
	ctx   context.Context
	open  Opened
	yield func(URL, error) bool
	host  string
	seen  map[string]bool
	line  int64
}

// read reads a sitemap. An error of one that an index names is a bad record.
func (s *sitemaps) read(name string, depth int) error {
	s.seen[name] = true
	file, err := s.open(s.ctx, name)
	if err != nil {
		return err
	}
	defer file.Close()
	f, err := newFeed(file)
	if err != nil {
		return err
	}
	defer f.close()
	limited := &io.LimitedReader{R: f, N: mostSitemap}
	d := xml.NewDecoder(limited)
	root := ""
	for {
		token, err := d.Token()
		switch {
		case errors.Is(err, io.EOF) && root != "" && limited.N > 0:
			return nil
		case limited.N <= 0:
			return fmt.Errorf("more than %d bytes", mostSitemap)
		case errors.Is(err, io.EOF):
			return errors.New("it is empty")
		case err != nil:
			return err
		}
		start, ok := token.(xml.StartElement)
		switch {
		case !ok:
		case root == "":
			if root = start.Name.Local; root != "urlset" && root != "sitemapindex" {
				return fmt.Errorf("a sitemap begins with <urlset> or <sitemapindex>, not with <%.40s>", root)
			}
		default:
			if err := s.element(d, start, root, depth); err != nil {
				return err
			}
		}
	}
}

// element reads what a sitemap names.
func (s *sitemaps) element(d *xml.Decoder, start xml.StartElement, root string, depth int) error {
	if name := start.Name.Local; name != "url" && root == "urlset" || name != "sitemap" && root == "sitemapindex" {
		return d.Skip()
	}
	var e struct {
		Loc      string `xml:"loc"`
		Priority string `xml:"priority"`
	}
	if err := d.DecodeElement(&e, &start); err != nil {
		return err
	}
	s.line++
	u := URL{Line: s.line, Heat: math.NaN()}
	if p, err := strconv.ParseFloat(strings.TrimSpace(e.Priority), 64); err == nil {
		u.Heat = p
	}
	var err error
	if u.URL, err = absoluteURL(strings.TrimSpace(e.Loc), nil); err == nil {
		if parsed, _ := url.Parse(u.URL); !strings.EqualFold(parsed.Host, s.host) {
			err = because("it is of another host than %s", s.host)
		}
	}
	if err == nil && root == "sitemapindex" {
		switch {
		case s.seen[u.URL]:
			return nil
		case depth >= mostDepth || len(s.seen) >= mostSitemaps:
			err = reason("too many sitemaps, or an index of indexes")
		default:
			if err = s.read(u.URL, depth+1); err == nil || errors.Is(err, errLeft) || s.ctx.Err() != nil {
				return err
			}
			err = because("sitemap %.200q: %v", u.URL, err)
		}
	}
	if !passURL(s.yield, u, err, []byte(e.Loc)) {
		return errLeft
	}
	return nil
}

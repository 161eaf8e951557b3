package commands

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"slices"
	"strings"

	sources "github.com/cachectl/cachectl/backends/source"
	"github.com/cachectl/cachectl/commands/render"
)

// The kinds of a SOURCE.
const (
	fromList    = "list"
	fromSitemap = "sitemap"
	fromLog     = "log"
)

// warmHosts are the sites that may be asked.
type warmHosts struct {
	bases []*url.URL // of --host; paths are of the first
	also  []*url.URL // of sitemaps that were named by their URL
	any   bool
}

// base is what paths are of; nil: nobody said.
func (h *warmHosts) base() *url.URL {
	if len(h.bases) == 0 {
		return nil
	}
	return h.bases[0]
}

func (h *warmHosts) permits(u *url.URL) bool {
	same := func(b *url.URL) bool { return site(b) == site(u) }
	return h.any || slices.ContainsFunc(h.bases, same) || slices.ContainsFunc(h.also, same)
}

// site is a host with its port, where that is not the usual one: http://a and https://a are
// one site.
func site(u *url.URL) string {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if port == "" || u.Scheme == "http" && port == "80" || u.Scheme == "https" && port == "443" {
		return host
	}
	return host + ":" + port
}

// parseWarmHost reads "https://www.example.com", or the host alone.
func parseWarmHost(text string) (*url.URL, error) {
	whole := text
	if !strings.Contains(text, "://") {
		whole = "https://" + text
	}
	u, err := url.Parse(whole)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, usagef("bad --host %q: write it as https://www.example.com", cutText(text))
	case u.User != nil:
		return nil, usagef("bad --host: user and password of %s belong into an Authorization header", u.Host)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, usagef("bad --host %q: it is a site, and the path belongs into the list", cutText(text))
	}
	u.Path = "/"
	return u, nil
}

// A warmList is what is to be asked for, the hottest first.
type warmList struct {
	urls    []sources.URL
	at      map[string]int // which URLs these are, and while they are read where each is
	counted bool           // the heat of some are requests

	twice, left, rare, beyond int            // that came again; that the patterns, --min-count and --top leave out
	foreign                   map[string]int // of sites that are not permitted
	bad                       int            // that are no URLs
	badLog                    int            // lines of logs that are none
	examples                  []string       // of bad ones
	earlier                   int            // refused when the run that is resumed began
}

// badNamed is how many bad URLs are named one by one.
const badNamed = 5

// readWarmList reads all sources before anything is asked for.
func (o *warmURLOptions) readWarmList(ctx context.Context, env *Env, asker *warmAsker, names []string) (*warmList, error) {
	l := &warmList{foreign: make(map[string]int), at: make(map[string]int)}
	for _, name := range names {
		kind, urls, done, err := o.openWarmSource(ctx, env, asker, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for u, err := range urls {
			var bad *sources.BadRecord
			switch {
			case errors.As(err, &bad) && kind == fromLog && bad.Reason != noSite:
				l.badLog++
			case errors.As(err, &bad):
				if l.bad++; len(l.examples) < badNamed {
					l.examples = append(l.examples, fmt.Sprintf("%s, line %d: %s: %q", name, bad.Line, bad.Reason, cutText(string(bad.Raw))))
				}
			case err != nil:
				done()
				return nil, sourceError(name, kind, err)
			default:
				o.take(l, u, kind)
			}
		}
		if err := errors.Join(done(), ctx.Err()); err != nil {
			return nil, err
		}
	}
	if o.minCount > 0 && !l.counted {
		return nil, usagef("--min-count is about the requests of an access log, and there is none")
	}
	o.order(l)
	return l, nil
}

// noSite is what the readers say of a path when nobody said which site it is of.
const noSite = "the log names paths only, of a site that is not named"

func sourceError(name, kind string, err error) error {
	err = fmt.Errorf("%s: %w", name, err)
	if kind == fromSitemap && strings.Contains(err.Error(), "a sitemap begins with") {
		return withHint(err, "--from list reads a URL a line; one URL is warmed by: echo URL | cachectl warm urls -")
	}
	return err
}

// take adds a URL, if it is one that is wanted.
func (o *warmURLOptions) take(l *warmList, u sources.URL, kind string) {
	parsed, err := url.Parse(u.URL)
	switch {
	case err != nil || parsed.User != nil:
		if l.bad++; len(l.examples) < badNamed {
			l.examples = append(l.examples, fmt.Sprintf("line %d: a URL with a user or password", u.Line))
		}
		return
	case !o.selects(u.URL, parsed):
		l.left++
		return
	case !o.hosts.permits(parsed):
		l.foreign[site(parsed)]++
		return
	}
	switch {
	case kind == fromLog:
		l.counted = true
	case math.IsNaN(u.Heat):
		u.Heat = 0.5 // what a sitemap's priority is where it says none
	}
	if n, twice := l.at[u.URL]; twice {
		l.twice++
		if kind == fromLog {
			l.urls[n].Heat += u.Heat
		}
		return
	}
	l.at[u.URL] = len(l.urls)
	l.urls = append(l.urls, u)
}

// selects tells whether the patterns do. One that begins with a slash is compared with path
// and query, another with the whole URL.
func (o *warmURLOptions) selects(text string, u *url.URL) bool {
	path := u.RequestURI()
	matches := func(pattern string) bool {
		if strings.HasPrefix(pattern, "/") {
			return matchesAny([]string{pattern}, path)
		}
		return matchesAny([]string{pattern}, text)
	}
	return (len(o.match) == 0 || slices.ContainsFunc(o.match, matches)) && !slices.ContainsFunc(o.exclude, matches)
}

// order puts the hottest first; of equals those that were named first.
func (o *warmURLOptions) order(l *warmList) {
	if o.minCount > 0 {
		all := len(l.urls)
		l.urls = slices.DeleteFunc(l.urls, func(u sources.URL) bool {
			rare := u.Heat < float64(o.minCount)
			if rare {
				delete(l.at, u.URL)
			}
			return rare
		})
		l.rare = all - len(l.urls)
	}
	slices.SortStableFunc(l.urls, func(a, b sources.URL) int {
		switch {
		case a.Heat > b.Heat:
			return -1
		case a.Heat < b.Heat:
			return 1
		}
		return 0
	})
	if o.top > 0 && len(l.urls) > o.top {
		l.beyond = len(l.urls) - o.top
		for _, u := range l.urls[o.top:] {
			delete(l.at, u.URL)
		}
		l.urls = slices.Clip(l.urls[:o.top])
	}
}

// openWarmSource opens a source and finds out what it is. done closes it.
func (o *warmURLOptions) openWarmSource(ctx context.Context, env *Env, asker *warmAsker, name string) (kind string, urls sources.URLs, done func() error, err error) {
	done = func() error { return nil }
	fetch := func(ctx context.Context, name string) (io.ReadCloser, error) {
		return asker.fetchSitemap(ctx, name, o.hosts.permits)
	}
	if strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://") {
		if o.from != "" && o.from != fromSitemap {
			return "", nil, done, usagef("a %s is a file or -, not a URL", o.from)
		}
		u, err := url.Parse(name)
		if err != nil || u.Host == "" || u.User != nil {
			return "", nil, done, usagef("not the URL of a sitemap")
		}
		if len(o.hosts.bases) == 0 { // whoever names it means its site
			o.hosts.also = append(o.hosts.also, u)
		}
		if !o.hosts.permits(u) {
			return "", nil, done, withHint(usagef("no --host permits its host"), "--host %s://%s", u.Scheme, u.Host)
		}
		return fromSitemap, sources.Sitemap(ctx, fetch, name, nil), done, nil
	}
	in := env.In
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", nil, done, errors.Unwrap(err)
		}
		in, done = f, f.Close
	}
	buffered := bufio.NewReaderSize(in, 64<<10)
	if kind = o.from; kind == "" {
		if kind, err = guess(buffered); err != nil {
			return "", nil, done, errors.Join(err, done())
		}
	}
	switch kind {
	case fromLog:
		return kind, sources.AccessLog(buffered, sources.LogOptions{Base: o.hosts.base()}), done, nil
	case fromList:
		return kind, sources.URLList(buffered, o.hosts.base()), done, nil
	}
	if o.hosts.base() == nil {
		return "", nil, done, errors.Join(withHint(usagef("a sitemap in a file does not say which site it may be of"), "--host https://www.example.com"), done())
	}
	open := func(ctx context.Context, of string) (io.ReadCloser, error) {
		if of == name {
			return io.NopCloser(buffered), nil
		}
		return fetch(ctx, of)
	}
	return kind, sources.Sitemap(ctx, open, name, o.hosts.base()), done, nil
}

// guess tells from how a file begins what it is.
func guess(r *bufio.Reader) (string, error) {
	head, _ := r.Peek(32 << 10) // less, at the end of a short file
	if z, err := gzip.NewReader(bytes.NewReader(head)); err == nil {
		unpacked := make([]byte, 32<<10)
		n, _ := io.ReadFull(z, unpacked)
		head = unpacked[:n]
	}
	text := strings.TrimPrefix(string(head), "\ufeff")
	if strings.HasPrefix(strings.TrimSpace(text), "<") {
		return fromSitemap, nil
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
		case strings.HasPrefix(line, "#Fields:"), strings.HasPrefix(line, "#Version:"), strings.Contains(line, `"`) && strings.Contains(line, " HTTP/"):
			return fromLog, nil
		case strings.HasPrefix(line, "#"):
		case !strings.ContainsAny(line, " \t"):
			return fromList, nil
		default:
			return "", withHint(usagef("neither a list of URLs, a sitemap nor an access log, by how it begins: %q", cutText(line)), "--from list, sitemap or log says which")
		}
	}
	return fromList, nil // an empty one, or the beginning of another kind of archive
}

// tell says what was read, and what of it is not asked for.
func (l *warmList) tell(env *Env) {
	for _, text := range l.examples {
		env.warn("%s", text)
	}
	if more := l.bad - len(l.examples); more > 0 {
		env.warn("and %s more that are no URLs", render.Int(int64(more)).Text)
	}
	if l.badLog > 0 {
		env.note("%s passed over: not of an access log", plural(int64(l.badLog), "line"))
	}
	for n, host := range l.foreigners() {
		if n == badNamed {
			env.warn("and of %s more", plural(int64(len(l.foreign)-n), "site"))
			break
		}
		env.warn("%s of %s left alone: no --host permits it", plural(int64(l.foreign[host]), "URL"), host)
	}
	var out []string
	for _, part := range []struct {
		n    int
		text string
	}{{l.twice, "named twice"}, {l.left, "left out by pattern"}, {l.rare, "below --min-count"}, {l.beyond, "beyond --top"}} {
		if part.n > 0 {
			out = append(out, render.Int(int64(part.n)).Text+" "+part.text)
		}
	}
	if len(out) > 0 {
		env.note("not asked for: %s", strings.Join(out, ", "))
	}
}

// foreigners are the sites that are not permitted, that with the most URLs first.
func (l *warmList) foreigners() []string {
	var all []string
	for host := range l.foreign {
		all = append(all, host)
	}
	slices.SortFunc(all, func(a, b string) int {
		if l.foreign[a] != l.foreign[b] {
			return l.foreign[b] - l.foreign[a]
		}
		return strings.Compare(a, b)
	})
	return all
}

func (l *warmList) refused() (n int) {
	for _, of := range l.foreign {
		n += of
	}
	return n + l.bad + l.earlier
}

// usable refuses a list of which nothing is left.
func (l *warmList) usable(h *warmHosts) error {
	foreigners := l.foreigners()
	switch {
	case len(l.urls) > 0:
		return nil
	case len(foreigners) > 0 && len(h.bases) == 0:
		return withHint(usagef("no --host permits %s, of which the list is", foreigners[0]), "--host https://%s; --any-host asks whichever site a list names", foreigners[0])
	case l.bad > 0 && h.base() == nil:
		return withHint(usagef("there is no URL in it, and paths need --host"), "--host https://www.example.com")
	}
	return errors.New("the list is empty: nothing was warmed")
}

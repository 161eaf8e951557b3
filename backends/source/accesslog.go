package source

import (
	"bytes"
	"container/heap"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// LogOptions say how an access log is read.
type LogOptions struct {
	Base *url.URL // the site: logs name paths only. nil: where the log has no host, its lines are bad
	Most int      // URLs that are counted exactly; 0: 1,000,000. See AccessLog
}

// AccessLog counts the requests of an access log, and brings its URLs, the most requested
// first; Heat is the count. It reads the combined format and its kin (Apache, nginx), with
// a virtual host in front or not, and CloudFront's standard logs. Only what a cache would
// keep counts: GET and HEAD, answered by 2xx, 301, 304 or 308.
//
// Above Most URLs the counts of the rarest are those of the Space-Saving algorithm
// (Metwally, Agrawal, El Abbadi 2005): never too low, too high by requests/Most at the most.
//
// The input may be packed by gzip or zstd. r is at its beginning, and is not closed.
func AccessLog(r io.Reader, o LogOptions) URLs {
	return func(yield func(URL, error) bool) {
		if o.Most <= 0 {
			o.Most = 1_000_000
		}
		f, err := newFeed(r)
		if err != nil {
			yield(URL{}, err)
			return
		}
		defer f.close()
		l := accessLog{LogOptions: o, counts: counter{most: o.Most, byURL: make(map[string]*count)}}
		for {
			line, long, ok := f.line(1 << 20)
			if !ok {
				break
			}
			var u string
			err := error(reason("a line of more than 1 MiB"))
			if !long {
				u, err = l.read(line)
			}
			if err != nil {
				if !passURL(yield, URL{Line: f.count}, err, line) {
					return
				}
			} else if u != "" {
				l.counts.add(u, f.count)
			}
		}
		if err := f.trouble(); err != nil {
			yield(URL{}, err)
			return
		}
		for _, c := range l.counts.sorted() {
			if !yield(URL{URL: c.url, Line: c.line, Heat: float64(c.n)}, nil) {
				return
			}
		}
	}
}

// An accessLog is a log that is read.
type accessLog struct {
	LogOptions
	counts counter
	fields []string // of CloudFront, once it has named them
}

// read brings the URL of a line; empty: the line does not count.
func (l *accessLog) read(line []byte) (string, error) {
	if len(bytes.TrimSpace(line)) == 0 {
		return "", nil
	}
	if line[0] == '#' {
		if names, ok := bytes.CutPrefix(line, []byte("#Fields:")); ok {
			l.fields = strings.Fields(string(names))
		}
		return "", nil
	}
	if l.fields != nil {
		return l.cloudFront(line)
	}
	return l.combined(line)
}

var errLogLine = reason(`no line of an access log: ... "GET /path HTTP/1.1" 200 ...`)

// combined reads `1.2.3.4 - - [time] "GET /path HTTP/1.1" 200 ...`.
func (l *accessLog) combined(line []byte) (string, error) {
	before, rest, ok := bytes.Cut(line, []byte{'"'})
	if !ok {
		return "", errLogLine
	}
	end := 0
	for ; end < len(rest) && rest[end] != '"'; end++ {
		if rest[end] == '\\' {
			end++
		}
	}
	if end >= len(rest) {
		return "", errLogLine
	}
	request, answer := rest[:end], bytes.Fields(rest[end+1:])
	if len(answer) == 0 || len(answer[0]) != 3 {
		return "", errLogLine
	}
	words := bytes.Split(request, []byte{' '})
	if len(words) != 3 || !bytes.HasPrefix(words[2], []byte("HTTP/")) { // "-", or what a scanner sent
		return "", nil
	}
	if !counts(words[0], answer[0]) {
		return "", nil
	}
	first, _, _ := bytes.Cut(before, []byte{' '})
	return l.url("", virtualHost(string(first)), string(words[1]))
}

// virtualHost is the host of "example.com:443", with which a line of vhost_combined
// begins. That of a client has no port.
func virtualHost(word string) string {
	host, port, _ := strings.Cut(word, ":")
	if _, err := strconv.ParseUint(port, 10, 16); err != nil || host == "" {
		return ""
	}
	if port == "443" || port == "80" {
		return host
	}
	return word
}

// counts tells whether a cache would keep the answer.
func counts(method, status []byte) bool {
	switch string(method) {
	case "GET", "HEAD":
	default:
		return false
	}
	switch string(status) {
	case "301", "304", "308":
		return true
	}
	return status[0] == '2'
}

// cloudFront reads a line of the fields that the log has named.
func (l *accessLog) cloudFront(line []byte) (string, error) {
	values := bytes.Split(line, []byte{'\t'})
	if len(values) != len(l.fields) {
		return "", because("%d fields, and there are to be %d", len(values), len(l.fields))
	}
	field := func(name string) []byte {
		if i := slices.Index(l.fields, name); i >= 0 && string(values[i]) != "-" {
			return values[i]
		}
		return nil
	}
	path, status := field("cs-uri-stem"), field("sc-status")
	if len(path) == 0 || len(status) != 3 {
		if string(status) == "000" || len(path) == 0 {
			return "", nil
		}
		return "", reason("no status")
	}
	if !counts(field("cs-method"), status) {
		return "", nil
	}
	target := string(path)
	if query := field("cs-uri-query"); query != nil {
		target += "?" + string(query)
	}
	// CloudFront writes the percent sign of an escape as %25.
	target = strings.ReplaceAll(target, "%25", "%")
	host := string(field("x-host-header"))
	if host == "" {
		host = string(field("cs(Host)"))
	}
	return l.url(string(field("cs-protocol")), host, target)
}

// url makes a URL of what a log names. The base outranks the log's host.
func (l *accessLog) url(scheme, host, target string) (string, error) {
	if len(target) > mostURL {
		return "", because("a URL of more than %d bytes", mostURL)
	}
	if strings.HasPrefix(target, "http://") || strings.HasPrefix(target, "https://") { // asked of a proxy
		u, err := url.Parse(target)
		if err != nil {
			return "", nil
		}
		host, target = u.Host, u.RequestURI()
	}
	if !strings.HasPrefix(target, "/") { // OPTIONS *
		return "", nil
	}
	site := ""
	switch {
	case l.Base != nil:
		site = l.Base.Scheme + "://" + l.Base.Host
	case host == "":
		return "", reason("the log names paths only, of a site that is not named")
	case scheme == "http":
		site = "http://" + host
	default:
		site = "https://" + host
	}
	if _, err := url.Parse(site + target); err != nil { // a scanner's
		return "", nil
	}
	return site + target, nil
}

// A counter counts strings in bounded memory.
type counter struct {
	most   int
	byURL  map[string]*count
	rarest rarest // a heap, once there are too many
}

type count struct {
	url  string
	n    int64
	line int64 // of its first request, or of that which took another's place
	at   int   // in the heap
}

func (c *counter) add(u string, line int64) {
	if known := c.byURL[u]; known != nil {
		known.n++
		if c.rarest != nil {
			heap.Fix(&c.rarest, known.at)
		}
		return
	}
	if len(c.byURL) < c.most {
		c.byURL[u] = &count{url: u, n: 1, line: line}
		return
	}
	if c.rarest == nil {
		for _, one := range c.byURL {
			one.at = len(c.rarest)
			c.rarest = append(c.rarest, one)
		}
		heap.Init(&c.rarest)
	}
	one := c.rarest[0] // its count becomes the bound of the new one's error
	delete(c.byURL, one.url)
	one.url, one.line = u, line
	one.n++
	c.byURL[u] = one
	heap.Fix(&c.rarest, 0)
}

// sorted are the counts, the highest first, of equals that which came first.
func (c *counter) sorted() []*count {
	all := make([]*count, 0, len(c.byURL))
	for _, one := range c.byURL {
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b *count) int {
		if a.n != b.n {
			return int(min(1, max(-1, b.n-a.n)))
		}
		return int(min(1, max(-1, a.line-b.line)))
	})
	return all
}

// rarest is a heap of counts, the lowest first; of equals that which has been there
// longest.
type rarest []*count

func (r rarest) Len() int { return len(r) }
func (r rarest) Less(i, j int) bool {
	return r[i].n < r[j].n || r[i].n == r[j].n && r[i].line < r[j].line
}
func (r rarest) Swap(i, j int) {
	r[i], r[j] = r[j], r[i]
	r[i].at, r[j].at = i, j
}
func (r *rarest) Push(any) {}
func (r *rarest) Pop() any { return nil }

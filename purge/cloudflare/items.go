package cloudflare

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/cachectl/cachectl/purge"
)

// The rules of the "Purge cache" pages of developers.cloudflare.com/cache.
const (
	maxTag        = 1024 // characters
	maxSeparators = 31   // "/" in a prefix
)

// normalise brings an item into the form it is sent in.
func (z *zone) normalise(i purge.Item) (purge.Item, *purge.Refusal) {
	if len(i.Header) > 0 && i.Kind != purge.URL {
		return i, &purge.Refusal{Why: "only a URL can have headers", Instead: "the same item without them"}
	}
	switch i.Kind {
	case purge.URL:
		return z.normalURL(i)
	case purge.Prefix:
		return z.normalPrefix(i)
	case purge.Host:
		return z.normalHost(i)
	case purge.Tag:
		return normalTag(i)
	case purge.Everything:
		return purge.Item{Kind: purge.Everything}, nil
	case purge.Path:
		return i, &purge.Refusal{Why: "Cloudflare purges URLs, not paths on every host", Instead: "name the hosts, or url " + z.example(i.Value)}
	}
	return i, &purge.Refusal{Why: fmt.Sprintf("no such kind of item: %q", i.Kind)}
}

// example is a URL that a path may be meant for.
func (z *zone) example(path string) string {
	host := z.name
	if host == "" {
		host = "HOST"
	}
	return "https://" + host + "/" + strings.TrimPrefix(path, "/")
}

func (z *zone) normalURL(i purge.Item) (purge.Item, *purge.Refusal) {
	raw, _, _ := strings.Cut(i.Value, "#") // browsers keep it to themselves
	scheme, rest, ok := strings.Cut(raw, "://")
	scheme = strings.ToLower(scheme)
	switch {
	case !ok && strings.HasPrefix(raw, "/"):
		return i, &purge.Refusal{Why: "a URL has a scheme and a host", Instead: z.example(raw)}
	case !ok:
		return i, &purge.Refusal{Why: "a URL has a scheme and a host", Instead: "https://" + raw}
	case scheme != "http" && scheme != "https":
		return i, &purge.Refusal{Why: "neither http nor https", Instead: "https://" + rest}
	}
	host, tail := rest, ""
	if at := strings.IndexAny(rest, "/?"); at >= 0 {
		host, tail = rest[:at], rest[at:]
	}
	if strings.Contains(tail, "*") {
		dir := tail[:strings.IndexByte(tail, '*')]
		return i, &purge.Refusal{Why: "URLs have no wildcards", Instead: "prefix " + host + dir[:strings.LastIndexByte(dir, '/')+1]}
	}
	if !strings.HasPrefix(tail, "/") {
		tail = "/" + tail
	}
	host = strings.ToLower(host)
	if name, port, err := net.SplitHostPort(host); err == nil && (port == "443" && scheme == "https" || port == "80" && scheme == "http") {
		host = name
	}
	if _, err := url.Parse(scheme + "://" + host); err != nil || strings.ContainsAny(host, "@ ") || strings.Trim(host, ".") == "" {
		return i, &purge.Refusal{Why: "no host that Cloudflare could know", Instead: "https://HOST" + tail}
	}
	if refusal := z.foreign(host); refusal != nil {
		return i, refusal
	}
	header := make(http.Header, len(i.Header))
	for name, values := range i.Header {
		header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	if len(header) == 0 {
		header = nil
	}
	return purge.Item{Kind: purge.URL, Value: scheme + "://" + host + ascii(tail), Header: header}, nil
}

// ascii percent-encodes spaces, controls and bytes beyond ASCII.
func ascii(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// foreign refuses hosts of other zones, where the zone's name is known.
func (z *zone) foreign(host string) *purge.Refusal {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	switch {
	case strings.ContainsFunc(name, func(c rune) bool { return c >= 0x80 }):
		return &purge.Refusal{Why: "a host is told in ASCII", Instead: "its xn-- form"}
	case z.name == "" || name == z.name || strings.HasSuffix(name, "."+z.name):
		return nil
	}
	return &purge.Refusal{Why: name + " is not in zone " + z.name, Instead: "the zone that it is in", Elsewhere: true}
}

func (z *zone) normalPrefix(i purge.Item) (purge.Item, *purge.Refusal) {
	v := i.Value
	switch {
	case strings.Contains(v, "://"):
		return i, &purge.Refusal{Why: "a prefix has no scheme", Instead: v[strings.Index(v, "://")+3:]}
	case strings.HasPrefix(v, "/"):
		return i, &purge.Refusal{Why: "a prefix begins with a host", Instead: strings.TrimPrefix(z.example(v), "https://")}
	case strings.ContainsAny(v, "?#"):
		return i, &purge.Refusal{Why: "a prefix has neither query nor fragment", Instead: v[:strings.IndexAny(v, "?#")]}
	case strings.Contains(v, "*"):
		return i, &purge.Refusal{Why: "a prefix has no wildcard: it is one", Instead: v[:strings.IndexByte(v, '*')]}
	case strings.Count(v, "/") > maxSeparators:
		parts := strings.SplitAfter(v, "/")
		return i, &purge.Refusal{Why: fmt.Sprintf("more than %d path separators", maxSeparators), Instead: strings.Join(parts[:maxSeparators], "")}
	}
	host, path, _ := strings.Cut(v, "/")
	host = strings.ToLower(host)
	if !strings.Contains(host, ".") || strings.ContainsAny(host, " :@") {
		return i, &purge.Refusal{Why: "a prefix begins with a host", Instead: strings.TrimPrefix(z.example(v), "https://")}
	}
	if refusal := z.foreign(host); refusal != nil {
		return i, refusal
	}
	if strings.Contains(v, "/") {
		host += "/" + ascii(path)
	}
	return purge.Item{Kind: purge.Prefix, Value: host}, nil
}

func (z *zone) normalHost(i purge.Item) (purge.Item, *purge.Refusal) {
	v := strings.ToLower(i.Value)
	switch {
	case strings.Contains(v, "://"), strings.Contains(v, "/"):
		_, rest, ok := strings.Cut(v, "://")
		if !ok {
			rest = v
		}
		host, _, _ := strings.Cut(rest, "/")
		return i, &purge.Refusal{Why: "a host has neither scheme nor path", Instead: host}
	case strings.Contains(v, "*"):
		return i, &purge.Refusal{Why: "hosts have no wildcards", Instead: "each host in full, or everything"}
	case strings.ContainsAny(v, " :@?#") || !strings.Contains(v, "."):
		return i, &purge.Refusal{Why: "not the name of a host", Instead: "www.example.com"}
	}
	if refusal := z.foreign(v); refusal != nil {
		return i, refusal
	}
	return purge.Item{Kind: purge.Host, Value: v}, nil
}

func normalTag(i purge.Item) (purge.Item, *purge.Refusal) {
	switch {
	case i.Value == "":
		return i, &purge.Refusal{Why: "an empty tag"}
	case len(i.Value) > maxTag:
		return i, &purge.Refusal{Why: fmt.Sprintf("longer than %d characters", maxTag)}
	}
	for _, c := range []byte(i.Value) {
		if c < 33 || c > 126 || c == ',' {
			return i, &purge.Refusal{Why: fmt.Sprintf("%q cannot be part of a tag: printable ASCII without space and comma can", c)}
		}
	}
	return purge.Item{Kind: purge.Tag, Value: strings.ToLower(i.Value)}, nil
}

package purge

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// A Kind says how an item selects what is purged.
type Kind string

// The kinds. Which of them a provider knows, its Plan tells by refusing the others.
const (
	URL        Kind = "url"    // one object, with scheme and host: "https://example.com/a.jpg"
	Path       Kind = "path"   // one object, on every host of the target: "/a.jpg"; with a trailing "*" all that begin so
	Prefix     Kind = "prefix" // all that begin with it: "/dir/", or "example.com/dir" where the host is part of it
	Tag        Kind = "tag"    // all objects that the origin marked with it
	Host       Kind = "host"   // all objects of a host
	Everything Kind = "everything"
)

// Kinds are all kinds, from the smallest reach to the largest.
var Kinds = []Kind{URL, Path, Prefix, Tag, Host, Everything}

// An Item is one thing to purge. Value is empty for Everything. Header holds,
// for a URL, the request headers that are part of its cache key.
type Item struct {
	Kind   Kind        `json:"kind"`
	Value  string      `json:"value,omitempty"`
	Header http.Header `json:"header,omitempty"`
}

// String is the item for people: its value, with headers behind it.
func (i Item) String() string {
	if i.Kind == Everything {
		return "everything"
	}
	if len(i.Header) == 0 {
		return i.Value
	}
	var b strings.Builder
	b.WriteString(i.Value)
	for _, name := range slices.Sorted(maps.Keys(i.Header)) {
		fmt.Fprintf(&b, " %s: %s", name, strings.Join(i.Header[name], ", "))
	}
	return b.String()
}

// key is the same for two items that purge the same.
func (i Item) key() string {
	if len(i.Header) == 0 {
		return string(i.Kind) + "\x00" + i.Value
	}
	var b strings.Builder
	b.WriteString(string(i.Kind) + "\x00" + i.Value)
	for _, name := range slices.Sorted(maps.Keys(i.Header)) {
		fmt.Fprintf(&b, "\x00%q%q", http.CanonicalHeaderKey(name), i.Header[name])
	}
	return b.String()
}

// compare orders items, so that the same set makes the same calls in every run.
func compare(a, b Item) int {
	if c := cmp.Compare(a.Kind, b.Kind); c != 0 {
		return c
	}
	if c := strings.Compare(a.Value, b.Value); c != 0 || len(a.Header)+len(b.Header) == 0 {
		return c
	}
	return strings.Compare(a.key(), b.key())
}

// Join makes URLs of paths and prefixes that begin with "/", one for each
// host, and leaves other items as they are. Without hosts it returns items. A
// path with a trailing "/*" becomes the prefix that it means.
func Join(hosts []string, items []Item) []Item {
	if len(hosts) == 0 {
		return items
	}
	joined := make([]Item, 0, len(items))
	for _, i := range items {
		local := strings.HasPrefix(i.Value, "/")
		dir, wild := strings.CutSuffix(i.Value, "/*")
		for _, host := range hosts {
			switch {
			case i.Kind == Path && local && wild:
				joined = append(joined, Item{Kind: Prefix, Value: host + dir + "/"})
			case i.Kind == Path && local:
				joined = append(joined, Item{Kind: URL, Value: "https://" + host + i.Value})
			case i.Kind == Prefix && local:
				joined = append(joined, Item{Kind: Prefix, Value: host + i.Value})
			default:
				continue
			}
		}
		if (i.Kind != Path && i.Kind != Prefix) || !local {
			joined = append(joined, i)
		}
	}
	return joined
}

package cloudflare

import (
	"strings"
	"testing"

	"github.com/cachectl/cachectl/purge"
	"github.com/cachectl/cachectl/purge/purgetest"
)

func TestRules(t *testing.T) {
	z := &zone{id: purgetest.ZoneID, name: "example.com", tier: tiers[0]}
	for _, test := range []struct {
		kind    purge.Kind
		in, out string // out is empty where it is refused
		why     string
		instead string
	}{
		{purge.URL, "https://Example.com", "https://example.com/", "", ""},
		{purge.URL, "http://example.com:80/A", "http://example.com/A", "", ""},
		{purge.URL, "http://example.com:443/A", "http://example.com:443/A", "", ""},
		{purge.URL, "https://example.com/%41?q=%20", "https://example.com/%41?q=%20", "", ""},
		{purge.URL, "/a.jpg", "", "scheme", "https://example.com/a.jpg"},
		{purge.URL, "example.com/a.jpg", "", "scheme", "https://example.com/a.jpg"},
		{purge.URL, "ftp://example.com/a", "", "neither http", "https://example.com/a"},
		{purge.URL, "https://example.com/img/*", "", "wildcards", "prefix example.com/img/"},
		{purge.URL, "https://example.com/img/a*.jpg", "", "wildcards", "prefix example.com/img/"},
		{purge.URL, "https://other.org/a", "", "not in zone", ""},
		{purge.URL, "https://notexample.com/a", "", "not in zone", ""},
		{purge.URL, "https://user@example.com/a", "", "no host", ""},
		{purge.URL, "https:///a", "", "no host", ""},
		{purge.URL, "https://grün.example.com/", "", "ASCII", "xn--"},
		{purge.Path, "/a.jpg", "", "URLs", "url https://example.com/a.jpg"},
		{purge.Prefix, "www.EXAMPLE.com/Foo", "www.example.com/Foo", "", ""},
		{purge.Prefix, "www.example.com", "www.example.com", "", ""},
		{purge.Prefix, "https://www.example.com/foo", "", "scheme", "www.example.com/foo"},
		{purge.Prefix, "www.example.com/foo?x", "", "query", "www.example.com/foo"},
		{purge.Prefix, "www.example.com/foo*", "", "wildcard", "www.example.com/foo"},
		{purge.Prefix, "/foo", "", "host", "example.com/foo"},
		{purge.Prefix, "foo/bar", "", "host", "example.com/foo/bar"},
		{purge.Prefix, "www.example.com" + strings.Repeat("/a", 32), "", "31", "www.example.com/a"},
		{purge.Host, "WWW.example.com", "www.example.com", "", ""},
		{purge.Host, "*.example.com", "", "wildcards", "everything"},
		{purge.Host, "https://www.example.com/x", "", "scheme", "www.example.com"},
		{purge.Host, "www.example.com/x", "", "path", "www.example.com"},
		{purge.Host, "www.example.com:8080", "", "not the name", ""},
		{purge.Host, "www.other.org", "", "not in zone", ""},
		{purge.Tag, "Product:1", "product:1", "", ""},
		{purge.Tag, "a b", "", "' '", ""},
		{purge.Tag, "a,b", "", "','", ""},
		{purge.Tag, "", "", "empty", ""},
		{purge.Tag, strings.Repeat("x", 1025), "", "1024", ""},
		{"cpcode", "1", "", "no such kind", ""},
	} {
		got, refusal := z.normalise(purge.Item{Kind: test.kind, Value: test.in})
		switch {
		case test.out != "" && (refusal != nil || got.Value != test.out):
			t.Errorf("%s %q: %q %v, want %q", test.kind, test.in, got.Value, refusal, test.out)
		case test.out == "" && refusal == nil:
			t.Errorf("%s %.60q is taken as %.60q", test.kind, test.in, got.Value)
		case test.out == "" && (!strings.Contains(refusal.Why, test.why) || !strings.Contains(refusal.Instead, test.instead)):
			t.Errorf("%s %.60q: %q, instead %q", test.kind, test.in, refusal.Why, refusal.Instead)
		case test.out == "" && refusal.Elsewhere != (test.why == "not in zone"):
			t.Errorf("%s %q: elsewhere %v", test.kind, test.in, refusal.Elsewhere)
		}
	}
}

func TestCovers(t *testing.T) {
	by := covers([]purge.Item{{Kind: purge.Prefix, Value: "a.com/foo"}, {Kind: purge.Prefix, Value: "a.com/bar/"}, {Kind: purge.Host, Value: "b.com"}})
	for _, test := range []struct {
		kind purge.Kind
		in   string
		want string // empty: it is not covered
	}{
		{purge.URL, "https://a.com/foo", "a.com/foo"},
		{purge.URL, "http://a.com/foo?x", "a.com/foo"},
		{purge.URL, "https://a.com/foo/x", "a.com/foo"},
		{purge.URL, "https://a.com/foobar", ""},
		{purge.URL, "https://a.com:8443/foo", ""},
		{purge.URL, "https://a.com/bar", ""},
		{purge.URL, "https://a.com/bar/", "a.com/bar/"},
		{purge.URL, "https://a.com/bar/x", "a.com/bar/"},
		{purge.Prefix, "a.com/foo", ""},
		{purge.Prefix, "a.com/foo/x", "a.com/foo"},
		{purge.Prefix, "a.com/bar/", ""},
		{purge.Prefix, "a.com/bar", ""},
		{purge.URL, "https://b.com/x", "b.com"},
		{purge.Prefix, "b.com/x", "b.com"},
		{purge.Prefix, "b.com", "b.com"},
		{purge.Host, "b.com", ""},
		{purge.Tag, "b.com", ""},
	} {
		got, ok := by(purge.Item{Kind: test.kind, Value: test.in})
		if ok != (test.want != "") || ok && got.Value != test.want {
			t.Errorf("%s %s is covered by %q, want %q", test.kind, test.in, got.Value, test.want)
		}
	}
}

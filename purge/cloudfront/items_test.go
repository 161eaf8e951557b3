package cloudfront

import (
	"strings"
	"testing"

	"github.com/cachectl/cachectl/purge"
)

func TestRules(t *testing.T) {
	d := &distribution{id: anID, tags: tagsOn}
	long := strings.Repeat("x", 4000)
	for _, test := range []struct {
		kind    purge.Kind
		in, out string // out is empty where it is refused
		why     string
		instead string
	}{
		{purge.Path, "/a", "/a", "", ""},
		{purge.Path, "/A/b?x=1&y=2", "/A/b?x=1&y=2", "", ""},
		{purge.Path, "/a*", "/a*", "", ""},
		{purge.Path, "/a%2fb", "/a%2Fb", "", ""},
		{purge.Path, "/a b", "/a%20b", "", ""},
		{purge.Path, "/grün", "/gr%C3%BCn", "", ""},
		{purge.Path, "/{a}|^`\"<>\\", "/%7Ba%7D%7C%5E%60%22%3C%3E%5C", "", ""},
		{purge.Path, "/a[1]", "/a%5B1%5D", "", ""},
		{purge.Prefix, "/a/", "/a/*", "", ""},
		{purge.Prefix, "/a/*", "/a/*", "", ""},
		{purge.Path, "/~user/x", "", "~", "/*"},
		{purge.Path, "/home/~user/x", "", "~", "/home/*"},
		{purge.Path, "/home/%7Euser/x", "", "~", "/home/*"},
		{purge.Path, "/img/*/a.jpg", "", "last character", "/img/*"},
		{purge.Path, "/img/a**", "", "last character", "/img/a*"},
		{purge.Path, "/%61.html", "", "not to be encoded", "/a.html"},
		{purge.Path, "/img/%2A", "", "not to be encoded", "/img/*"},
		{purge.Path, "/100%", "", "hexadecimal", "/100%25"},
		{purge.Path, "/100%zz", "", "hexadecimal", "/100%25zz"},
		{purge.Path, "a.html", "", "begins with /", "/a.html"},
		{purge.Path, "*", "", "begins with /", "/*, or everything"},
		{purge.Path, "#tag", "", "a tag", "tag tag"},
		{purge.Path, "/a#top", "", "#", "/a"},
		{purge.Path, "https://www.example.com/a?b", "", "scheme", "path /a?b"},
		{purge.URL, "https://www.example.com/a", "", "paths", "path /a"},
		{purge.URL, "https://www.example.com", "", "paths", "path /"},
		{purge.Host, "www.example.com", "", "one host", "alias"},
		{purge.Path, "/v.mp4?Expires=1&Signature=x&Key-Pair-Id=K", "", "signed", "/v.mp4"},
		{purge.Path, "/" + long, "", "4000", "wildcard"},
		{purge.Path, "", "", "begins with /", "/"},
		{purge.Tag, "product:1", "product:1", "", ""},
		{purge.Tag, "#Product:1", "product:1", "", ""},
		{purge.Tag, "a,b", "", "','", ""},
		{purge.Tag, "a b", "", "' '", ""},
		{purge.Tag, "a*", "", "wildcards", "in full"},
		{purge.Tag, "", "", "empty", ""},
		{purge.Tag, long[:257], "", "256", ""},
		{"cpcode", "1", "", "no such kind", ""},
	} {
		got, refusal := d.normalise(purge.Item{Kind: test.kind, Value: test.in})
		switch {
		case test.out != "" && (refusal != nil || got.Value != test.out):
			t.Errorf("%s %q: %q %v, want %q", test.kind, test.in, got.Value, refusal, test.out)
		case test.out == "" && refusal == nil:
			t.Errorf("%s %.60q is taken as %.60q", test.kind, test.in, got.Value)
		case test.out == "" && (!strings.Contains(refusal.Why, test.why) || !strings.Contains(refusal.Instead, test.instead)):
			t.Errorf("%s %.60q: %q, instead %q", test.kind, test.in, refusal.Why, refusal.Instead)
		}
	}
}

package commands

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cachectl/cachectl/purge"
)

func TestPathMap(t *testing.T) {
	for _, c := range []struct{ text, file, want string }{
		{"public/** -> /**", "public/a/b.css", "path /a/b.css"},
		{"public/** -> /**", "public/b.css", "path /b.css"},
		{"public/** -> /**", "src/public/b.css", ""},
		{"public/** -> /**", "publication/b.css", ""},
		{"public/** -> /**", "public", ""},
		{"./public/**->/static/**", "public/a b", "path /static/a%20b"},
		{"** -> /**", "x", "path /x"},
		{"public/**/index.html -> /**/", "public/index.html", "path /"},
		{"public/**/index.html -> /**/", "public/a/index.html", "path /a/"},
		{"public/**/index.html -> /**/", "public/a/b/index.html", "path /a/b/"},
		{"public/**/index.html -> /**/", "public/aindex.html", ""},
		{"public/**/index.html -> /docs/**/index.html", "public/index.html", "path /docs/index.html"},
		{"public/**/*.html -> /**/*", "public/a/b.html", "path /a/b"},
		{"public/**/*.html -> /**/*", "public/b.html", "path /b"},
		{"a/**/x/** -> /**/y/**", "a/1/x/2/x/3", "path /1/y/2/x/3"},
		{"_posts/*-*-*-*.md -> /*/*/*/*.html", "_posts/2026-01-02-my-post.md", "path /2026/01/02/my-post.html"},
		{"css/*.css -> /css/*.css?v=1", "css/a.css", "path /css/a.css?v=1"},
		{"css/*.css -> /css/*.css", "css/a/b.css", ""},
		{"layouts/** -> /\\*", "layouts/page.html", "path /*"},
		{"layouts/blog/** -> /blog/\\*", "layouts/blog/page.html", "path /blog/*"},
		{"posts/*.md -> #post-*", "posts/a.md", "tag post-a"},
		{"** -> https://cdn.example.com/**", "a/é.css", "url https://cdn.example.com/a/%C3%A9.css"},
		{`app/\[slug\]/\{x\}\?.js -> /x`, "app/[slug]/{x}?.js", "path /x"},
		{`a\->b -> /x`, "a->b", "path /x"},
		{"é/* -> /ü/*", "é/\xff\n\"'", "path /%C3%BC/%FF%0A%22'"},
		// What a name holds never means anything to a CDN.
		{"** -> /**", "*", "path /%2A"},
		{"** -> /**", "a/100%?#*", "path /a/100%25%3F%23%2A"},
		{"** -> /**", "~user/$-_.+!'(),;:@&=", "path /~user/$-_.+!'(),;:@&="},
		{"** -> /**", "a\\b^`{|}[]<>", "path /a%5Cb%5E%60%7B%7C%7D%5B%5D%3C%3E"},
	} {
		m, err := parseMap(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		got := ""
		if item, ok := m.item(c.file); ok {
			got = string(item.Kind) + " " + item.Value
		}
		if got != c.want {
			t.Errorf("%s: %q is %q, want %q", c.text, c.file, got, c.want)
		}
	}
}

// TestPathMapErrors: each points at the mistake.
func TestPathMapErrors(t *testing.T) {
	for _, c := range []struct{ text, at, why string }{
		{"", "", "no arrow"},
		{"public/**", "", "no arrow"},
		{`a\-> b`, "", "no arrow"},
		{"a -> /b -> /c", "-> /c", "second arrow"},
		{" -> /b", "-> /b", "no pattern"},
		{"a -> ", "", "nothing right"},
		{"/a -> /b", "/a -> /b", "root of the repository"},
		{"public/ -> /", " -> /", "matches no file"},
		{"a//b -> /", "/b -> /", "no file has such a name"},
		{"a/../b -> /", "../b -> /", "no file has such a name"},
		{"a/**/** -> /**", "** -> /**", "says nothing more"},
		{"a/**.css -> /x", "**.css -> /x", "whole folders"},
		{"a/*.{css,js} -> /x", "{css,js} -> /x", "no wildcard"},
		{"a/?.css -> /x", "?.css -> /x", "no wildcard"},
		{"a/[ab].css -> /x", "[ab].css -> /x", "no wildcard"},
		{"a -> b", "b", "is a path"},
		{"a -> ftp://x/", "ftp://x/", "is a path"},
		{"a -> https://x", "https://x", "host without stars"},
		{"*/a -> https://*/a", "https://*/a", "host without stars"},
		{"* -> https://me@x/*", "https://me@x/*", "host without stars"},
		{"a/* -> /**", "**", "no ** left"},
		{"a/** -> /*", "*", "no * left"},
		{"a/* -> /*/*", "*", "no * left"},
		{"** -> /a**", "**", "whole folders"},
		{"** -> /**a", "**a", "whole folders"},
		{`** -> /\*/a`, `\*/a`, "backslash"},
		{`** -> /a#b`, `#b`, "follows #"},
		{`** -> #`, ``, "without a name"},
		{`** -> #a\*`, `\*`, "backslash"},
		{"\xff -> /", "\xff -> /", "UTF-8"},
	} {
		_, err := parseMap(c.text)
		var bad *mapError
		if !errors.As(err, &bad) || bad.text[bad.at:] != c.at || !strings.Contains(bad.why, c.why) {
			t.Errorf("%q: %v; want %q at %q", c.text, err, c.why, c.at)
		}
	}
	if _, err := parseMaps([]string{"a -> /b", "c"}); exitCode(err) != exitUsage {
		t.Errorf("%v is no usage error", err)
	}
}

// TestEncodePath: decoded it is the name again, and nothing is encoded that
// need not be.
func TestEncodePath(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := string(rapid.SliceOf(rapid.Byte()).Draw(t, "name"))
		encoded := encodePath(name)
		if back, err := url.PathUnescape(encoded); err != nil || back != name {
			t.Fatalf("%q: %q, %q, %v", name, encoded, back, err)
		}
		for i := 0; i < len(encoded); i++ {
			if encoded[i] <= ' ' || encoded[i] >= 0x7f || strings.IndexByte(nameUnsafe, encoded[i]) >= 0 && encoded[i] != '%' {
				t.Fatalf("%q: %q stands as it is", name, encoded[i])
			}
			if encoded[i] != '%' {
				continue
			}
			c, _ := url.PathUnescape(encoded[i : i+3])
			if c[0] > ' ' && c[0] < 0x7f && !strings.Contains(nameUnsafe, c) {
				t.Fatalf("%q: %q need not be encoded", name, c)
			}
		}
	})
}

// TestPathMapProperties: "x/** -> /y/**" moves every file below x to the same
// place below y, and no other; and of several maps the order does not matter.
func TestPathMapProperties(t *testing.T) {
	name := rapid.StringMatching(`[a-c*?\[\]. ~\n-]{1,3}`)
	path := rapid.SliceOfN(name, 1, 4)
	m, err := parseMap("x/** -> /y/**")
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{"x/** -> /**", "x/**/a -> /**/", "**/*.* -> /*/*", "x/*/** -> #*", "** -> /\\*"}
	rapid.Check(t, func(t *rapid.T) {
		file := strings.Join(path.Draw(t, "path"), "/")
		item, ok := m.item("x/" + file)
		if want := "/y/" + encodePath(file); !ok || item.Value != want {
			t.Fatalf("%q: %q, want %q", file, item.Value, want)
		}
		if _, ok := m.item(file); ok {
			t.Fatalf("%q fits", file)
		}
		values := func(texts []string) []string {
			maps, err := parseMaps(texts)
			if err != nil {
				t.Fatal(err)
			}
			var g gathering
			g.addFile("x/"+file, maps)
			var all []string
			for _, i := range g.items {
				all = append(all, string(i.Kind)+i.Value)
			}
			slices.Sort(all)
			return all
		}
		if a, b := values(texts), values(rapid.Permutation(texts).Draw(t, "order")); !slices.Equal(a, b) {
			t.Fatalf("%q: %q and %q", file, a, b)
		}
	})
}

// FuzzPathMap: whatever the map and the name, the parser ends, a map that it
// takes gives an item of its kind, and a name never makes a wildcard, a query
// or another host.
func FuzzPathMap(f *testing.F) {
	for _, text := range []string{"public/** -> /**", "public/**/index.html -> /**/", `a\->b/* -> https://x.example/*?q`, "posts/*.md -> #post-*", `l/** -> /\*`} {
		f.Add(text, "public/a/index.html")
	}
	f.Fuzz(func(t *testing.T, text, file string) {
		m, err := parseMap(text)
		if err != nil {
			var bad *mapError
			if !errors.As(err, &bad) || bad.at > len(text) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		item, ok := m.item(file)
		if !ok {
			return
		}
		_, target, _ := strings.Cut(strings.ReplaceAll(text, `\->`, ""), "->")
		switch item.Kind {
		case purge.Path:
			if item.Value[0] != '/' || strings.HasSuffix(item.Value, "*") != strings.HasSuffix(strings.TrimSpace(target), `\*`) ||
				strings.Count(item.Value, "?") != strings.Count(target, "?") || strings.ContainsAny(item.Value, "# \n\x00") {
				t.Errorf("%q: %q is %q", text, file, item.Value)
			}
		case purge.URL:
			if !isURL(item.Value) || strings.ContainsAny(item.Value, "*# \n\x00") {
				t.Errorf("%q: %q is %q", text, file, item.Value)
			}
		case purge.Tag:
		default:
			t.Errorf("%q: kind %q", text, item.Kind)
		}
	})
}

func BenchmarkPathMaps(b *testing.B) {
	maps, err := parseMaps([]string{"public/** -> /**", "public/**/index.html -> /**/"})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		var g gathering
		g.addFile("public/products/shoes/red/index.html", maps)
	}
}

package commands

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func writeTemp(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "manifest")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

var (
	shaA = strings.Repeat("a", 64)
	shaB = strings.Repeat("b", 64)
	sriA = "sha384-" + strings.Repeat("A", 64)
	sriB = "sha384-" + strings.Repeat("B", 64)
)

const vite = `{"src/main.ts": {"file": "assets/main-4889e940.js", "name": "main", "src": "src/main.ts", "isEntry": true,
 "css": ["assets/main-5UjPuW-k.css"], "assets": ["assets/logo-1.svg"], "imports": ["_shared.js"]},
 "_shared.js": {"file": "assets/shared-83069a53.js"}}`

func TestManifestDiff(t *testing.T) {
	webpack := func(pairs ...string) string {
		m := make(map[string]string)
		for pair := range slices.Chunk(pairs, 2) {
			m[pair[0]] = pair[1]
		}
		text, _ := json.Marshal(m)
		return string(text)
	}
	for _, c := range []struct {
		name, old, new string
		maps           []string
		want           string
		notes          string
	}{
		{name: "digests", old: shaA + "  index.html\n" + shaA + " *./b c.css\r\n" + shaA + "  gone/\xff.txt\n\n" + shaA + "  same\n",
			new:  strings.ToUpper(shaA) + "  same\n" + shaB + "  index.html\n" + shaB + "  b c.css\n" + shaA + "  new\n",
			want: "path /b%20c.css|path /gone/%FF.txt|path /index.html"},
		{name: "digests, maps", old: shaA + "  public/docs/index.html\n" + shaA + "  x\n", new: shaB + "  public/docs/index.html\n",
			maps: []string{"public/** -> /**", "public/**/index.html -> /**/"}, want: "path /docs/index.html|path /docs/", notes: "fits: 1 changed file (x)"},
		{name: "escaped names and --tag", old: `\` + shaA + "  a\\nb\\\\c\nSHA256 (d e) = " + shaA + "\nSHA2-256(f)= x", want: "error is no digest", new: shaA + "  x"},
		{name: "escaped names and --tag", old: `\` + shaA + "  a\\nb\\\\c\nSHA256 (d e) = " + shaA, new: shaA + "  x", want: "path /a%0Ab%5Cc|path /d%20e"},
		{name: "other digests", old: shaA + "  a", new: strings.Repeat("c", 32) + "  a", want: "error not of the same kind"},
		{name: "two digests", old: shaA + "  a\n" + shaB + "  a", new: shaA + "  a", want: "error two digests"},
		{name: "nothing before", old: "", new: shaA + "  a"},
		{name: "nothing before", old: "{}", new: shaA + "  a"},
		{name: "nothing after", old: shaA + "  a", new: "", want: "error names no file"},
		{name: "nothing after", old: vite, new: "{}", want: "error names no file"},
		{name: "mixed", old: vite, new: shaA + "  a", want: "error not of the same kind"},
		{name: "neither", old: "index.html\napp.js\n", new: vite, want: "error neither JSON"},
		{name: "an array", old: `["a.js"]`, new: vite, want: "error not an object"},
		{name: "torn", old: vite[:90], new: vite, want: "error not whole JSON"},
		{name: "numbers", old: `{"a": 1, "b": [2]}`, new: vite, want: "error names a file"},
		{name: "deep", old: strings.Repeat(`{"a":`, 40) + "{}" + strings.Repeat("}", 40), new: vite, want: "error deep"},

		{name: "Vite, the same", old: vite, new: vite, notes: "4 files with the same path"},
		{name: "Vite, a new hash", old: vite, new: strings.ReplaceAll(strings.ReplaceAll(vite, "4889e940", "00000000"), "5UjPuW-k", "11111111"), notes: "2 files got another path"},
		{name: "Vite, one is gone", old: vite, new: `{"_shared.js": {"file": "assets/shared-83069a53.js"}}`,
			want: "path /assets/logo-1.svg|path /assets/main-4889e940.js|path /assets/main-5UjPuW-k.css", notes: "1 file with the same path"},
		{name: "Vite, maps", old: vite, new: `{"_shared.js": {"file": "assets/shared-83069a53.js"}}`, maps: []string{"**/*.js -> https://cdn.example.com/**/*.js"},
			want: "url https://cdn.example.com/assets/main-4889e940.js", notes: "fits: 2 changed files"},
		{name: "webpack", old: webpack("a.js", "/static/a.1.js", "b.js", "/static/b b.js", "c", "https://cdn.example.com/c.css", "d", "//cdn.example.com/d.css"), new: webpack("a.js", "/static/a.2.js"),
			want: "url https://cdn.example.com/d.css|path /static/b%20b.js|url https://cdn.example.com/c.css", notes: "1 file got another path"},
		{name: "integrity", old: fmt.Sprintf(`{"a": {"src": "a.js", "integrity": %q}, "b": {"src": "b.js", "integrity": %q}}`, sriA, sriA),
			new: fmt.Sprintf(`{"a": {"src": "a.js", "integrity": %q}, "b": {"src": "b.js", "integrity": %q}}`, sriA, sriB), want: "path /b.js"},
		{name: "hash of a name", old: `{"a.js": {"hash": "12ab"}, "b.js": {"hash": "1"}}`, new: `{"a.js": {"hash": "12ac"}, "b.js": {"hash": "1"}}`, want: "path /a.js"},
		{name: "name to digest", old: webpack("a.js", shaA, "b.js", sriA), new: webpack("a.js", shaB, "b.js", sriA), want: "path /a.js"},
		{name: "create-react-app", old: `{"files": {"main.css": "/static/main.1.css", "index.html": "/index.html"}, "entrypoints": ["static/main.1.css"]}`,
			new: `{"files": {"main.css": "/static/main.2.css"}, "entrypoints": ["static/main.2.css"]}`, want: "path /index.html", notes: "1 file got another path"},
		{name: "chunks", old: `{"main": {"js": "main.1.js"}, "admin": {"js": "admin.1.js"}}`, new: `{"main": {"js": "main.2.js"}}`, want: "path /admin.1.js", notes: "1 file got another path"},
		{name: "Sprockets", old: `{"files": {"app-1.js": {"logical_path": "app.js", "size": 3, "digest": "1"}}, "assets": {"app.js": "app-1.js"}}`,
			new: `{"files": {"app-2.js": {"logical_path": "app.js", "size": 3, "digest": "2"}}, "assets": {"app.js": "app-2.js"}}`, notes: "1 file got another path"},
	} {
		maps, err := parseMaps(c.maps)
		if err != nil {
			t.Fatal(err)
		}
		g, err := manifestDiff(writeTemp(t, c.old), writeTemp(t, c.new), maps)
		if why, ok := strings.CutPrefix(c.want, "error "); ok {
			if err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("%s: %v; want %q", c.name, err, why)
			}
			continue
		}
		notes := strings.Join(g.notes, "; ")
		if got := itemsText(g.items); err != nil || got != c.want || !strings.Contains(notes, c.notes) || c.notes == "" && notes != "" {
			t.Errorf("%s: %q, %v, %q; want %q, %q", c.name, got, err, notes, c.want, c.notes)
		}
	}
}

// TestManifestOfDigests: of any two lists, what differs or is gone is purged,
// and nothing else.
func TestManifestOfDigests(t *testing.T) {
	trees := rapid.MapOf(rapid.StringMatching(`[a-c /]{1,3}x`), rapid.SampledFrom([]string{shaA, shaB}))
	rapid.Check(t, func(r *rapid.T) {
		tree := func(label string) (map[string]string, manifest) {
			files := trees.Draw(r, label)
			var text strings.Builder
			for name, digest := range files {
				fmt.Fprintf(&text, "%s  %s\n", digest, name)
			}
			m, err := parseManifest([]byte(text.String()))
			if err != nil {
				r.Fatal(err)
			}
			return files, m
		}
		was, before := tree("old")
		is, after := tree("new")
		g, err := compareManifests(before, after, nil)
		if err != nil {
			r.Fatal(err)
		}
		want := 0
		for name, digest := range was {
			if is[name] != digest {
				want++
			}
		}
		if g.files != want {
			r.Fatalf("%v, %v: %v", was, is, g.items)
		}
	})
}

// FuzzManifest: whatever it is, the reader ends; and compared with itself
// nothing is purged.
func FuzzManifest(f *testing.F) {
	for _, text := range []string{vite, shaA + "  a\n" + `\` + shaB + " *b\\n", "SHA256 (a) = " + shaA, `{"a":"b.js","c":{"integrity":"` + sriA + `"}}`, "[1]", ""} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseManifest(text)
		if err != nil {
			return
		}
		g, err := compareManifests(m, m, nil)
		if err != nil || len(g.items) > 0 {
			t.Errorf("%q: %v, %v", text, g.items, err)
		}
	})
}

package commands

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cachectl/cachectl/purge"
)

func itemsText(items []purge.Item) string {
	var all []string
	for _, i := range items {
		all = append(all, string(i.Kind)+" "+i.Value)
	}
	return strings.Join(all, "|")
}

func TestItemFile(t *testing.T) {
	for _, c := range []struct {
		file          itemFile
		content, want string
	}{
		{itemFile{}, "", ""},
		{itemFile{}, "\n \r\n\n", ""},
		{itemFile{}, "/a\n/b/*\r\nhttps://x.example/c?d\n#tag\nHTTP://x.example/", "path /a|path /b/*|url https://x.example/c?d|tag tag|url HTTP://x.example/"},
		{itemFile{}, "\ufeff/a\n", "path /a"},
		{itemFile{kind: purge.Tag}, "a\n#b\n", "tag a|tag #b"},
		{itemFile{kind: purge.Host}, "www.example.com\n", "host www.example.com"},
		{itemFile{null: true}, "/a\n\x00/b\r\x00\x00/c", "path /a\n|path /b\r|path /c"},
	} {
		c.file.path = "-"
		env, _, _ := testEnv()
		env.In = strings.NewReader(c.content)
		items, err := c.file.read(env)
		if got := itemsText(items); err != nil || got != c.want {
			t.Errorf("%q: %q, %v; want %q", c.content, got, err, c.want)
		}
	}
	for _, c := range []struct {
		file          itemFile
		content, want string
	}{
		{itemFile{}, "/a\nwww.example.com\n", "line 2: \"www.example.com\" is neither"},
		{itemFile{}, "#\n", "line 1"},
		{itemFile{}, "*\n", "line 1"},
		{itemFile{}, "/a \n", "ends with a space"},
		{itemFile{}, " /a\n", "begins or"},
		{itemFile{}, "\xff\xfe/\x00a\x00\n\x00", "UTF-16"},
		{itemFile{}, "/a\x00/b\x00", "end in NUL"},
		{itemFile{}, "/a\n/" + strings.Repeat("x", longestItem+2), "line 2: longer"},
		{itemFile{kind: purge.Everything}, "x\n", "its own flag"},
	} {
		c.file.path = "-"
		env, _, _ := testEnv()
		env.In = strings.NewReader(c.content)
		if items, err := c.file.read(env); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.50q: %d items, %v; want %q", c.content, len(items), err, c.want)
		}
	}
	env, _, _ := testEnv()
	if _, err := (&itemFile{path: filepath.Join(t.TempDir(), "none")}).read(env); err == nil {
		t.Error("a file that is not there was read")
	}
}

func BenchmarkItemFile(b *testing.B) {
	var list bytes.Buffer
	for n := range 1_000_000 {
		fmt.Fprintf(&list, "https://www.example.com/products/%d/image.jpg\n", n)
	}
	for b.Loop() {
		l := itemFile{}
		items, err := l.items(bytes.NewReader(list.Bytes()))
		if err != nil || len(items) != 1_000_000 {
			b.Fatal(len(items), err)
		}
	}
}

// TestGathering: what no map fits is counted, and named up to a bound.
func TestGathering(t *testing.T) {
	maps, err := parseMaps([]string{"public/** -> /**", "public/**/index.html -> /**/"})
	if err != nil {
		t.Fatal(err)
	}
	var g gathering
	g.addFile("public/a/index.html", maps)
	g.addFile("public/a/index.html", maps)
	for n := range 7 {
		g.addFile(fmt.Sprintf("src/%d.go", n), maps)
	}
	g.tell()
	if got := itemsText(g.items); got != "path /a/index.html|path /a/" {
		t.Errorf("items: %s", got)
	}
	if g.files != 9 || g.unfit != 7 || len(g.notes) != 1 || !strings.Contains(g.notes[0], "7 changed files") || !strings.Contains(g.notes[0], "src/4.go, ...") {
		t.Errorf("%+v", g)
	}
}

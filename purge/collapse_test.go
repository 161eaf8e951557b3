package purge

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func paths(values ...string) []Item {
	var items []Item
	for _, v := range values {
		items = append(items, Item{Kind: Path, Value: v})
	}
	return items
}

func values(items []Item) []string {
	var all []string
	for _, i := range items {
		all = append(all, i.Value)
	}
	return all
}

func TestCollapse(t *testing.T) {
	shop := []string{"/index.html", "/img/a.jpg", "/img/b.jpg", "/img/thumbs/a.jpg", "/img/thumbs/b.jpg", "/img/thumbs/c.jpg", "/css/x.css"}
	for _, test := range []struct {
		n    int
		in   []string
		want []string
	}{
		{7, shop, shop},
		{100, shop, shop},
		{6, shop, []string{"/css/x.css", "/img/a.jpg", "/img/b.jpg", "/img/thumbs/*", "/index.html"}},
		{4, shop, []string{"/css/x.css", "/img/*", "/index.html"}},
		{2, shop, []string{"/*"}},
		{1, shop, []string{"/*"}},
		{1, []string{"/a/b/c"}, []string{"/a/b/c"}},
		{1, []string{"/a/b/c", "/a/b/d"}, []string{"/a/b/*"}},
		{1, []string{"/a", "/a/b"}, []string{"/*"}}, // "/a/*" does not cover "/a"
		{1, []string{"/x?v=1", "/x?v=2"}, []string{"/x?*"}},
		{2, []string{"/x?u=/a/b", "/x?u=/a/c", "/x"}, []string{"/x", "/x?*"}},
		{2, []string{"/a/*", "/a/b", "/c"}, []string{"/a/*", "/c"}}, // covered as it is
		{1, []string{"/a*", "/b"}, []string{"/*"}},
		{3, []string{"/b", "/b", "/b"}, []string{"/b"}},
	} {
		got := Collapse(paths(test.in...), test.n)
		slices.Sort(test.want)
		if !slices.Equal(values(got.Items), test.want) {
			t.Errorf("Collapse(%q, %d) = %q, want %q", test.in, test.n, values(got.Items), test.want)
		}
	}
	if got := Collapse(nil, 3); len(got.Items) != 0 {
		t.Errorf("nothing collapses to %v", got.Items)
	}
	got := Collapse(paths(shop...), 6)
	if want := []Widened{{"/img/thumbs/", 3}}; !slices.Equal(got.Widened, want) {
		t.Errorf("widened: %v, want %v", got.Widened, want)
	}
	mixed := append(paths("/a/1", "/a/2"), Item{Kind: Tag, Value: "t"})
	if got := Collapse(mixed, 2); len(got.Items) != 2 || !slices.Contains(values(got.Items), "t") {
		t.Errorf("a tag is kept and counts: %v", got.Items)
	}
}

// listedPaths draws lists with directories in common, queries and wildcards.
var listedPaths = rapid.SliceOfN(rapid.StringMatching(`(/[ab]{1,2}){1,4}/?(\?[xy/]{1,2})?\*?`), 1, 14)

// TestCollapseCovers: every path is covered, by no more items than are allowed
// and no more than there were, and only what is told is widened.
func TestCollapseCovers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := listedPaths.Draw(t, "paths")
		n := rapid.IntRange(1, 16).Draw(t, "n")
		cover := Collapse(paths(list...), n)
		if len(cover.Items) > n || len(cover.Items) > len(list) {
			t.Fatalf("%d items for %d paths and a limit of %d", len(cover.Items), len(list), n)
		}
		for _, p := range list {
			if !covered(p, values(cover.Items)) {
				t.Fatalf("%q is not covered by %q", p, values(cover.Items))
			}
		}
		for _, i := range cover.Items {
			widened := slices.ContainsFunc(cover.Widened, func(w Widened) bool { return w.Prefix+"*" == i.Value })
			if !slices.Contains(list, i.Value) && !widened {
				t.Fatalf("%q is neither listed nor told: %v", i.Value, cover.Widened)
			}
		}
	})
}

func covered(path string, cover []string) bool {
	return slices.ContainsFunc(cover, func(c string) bool {
		prefix, wild := strings.CutSuffix(c, "*")
		return c == path || wild && strings.HasPrefix(path, prefix)
	})
}

// TestCollapseIsBest compares with all covers that there are.
func TestCollapseIsBest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfNDistinct(rapid.StringMatching(`(/[abc]){1,4}`), 1, 7, rapid.ID[string]).Draw(t, "paths")
		n := rapid.IntRange(1, 7).Draw(t, "n")
		got := 0.0
		for _, w := range Collapse(paths(list...), n).Widened {
			got += shareOf(w.Prefix)
		}
		if want := leastShare(list, n); math.Abs(got-want) > 1e-12 {
			t.Fatalf("%q in %d: takes %v of the site, and %v would do", list, n, got, want)
		}
	})
}

func shareOf(prefix string) float64 {
	return math.Pow(narrowing, -float64(strings.Count(prefix, "/")-1))
}

// leastShare tries every set of directories as wildcards.
func leastShare(list []string, n int) float64 {
	var dirs []string
	for _, p := range list {
		for at := range p {
			if p[at] == '/' && !slices.Contains(dirs, p[:at+1]) {
				dirs = append(dirs, p[:at+1])
			}
		}
	}
	best := math.Inf(1)
	for set := range 1 << len(dirs) {
		items, share := 0, 0.0
		left := slices.Clone(list)
		for at, dir := range dirs {
			if set&(1<<at) != 0 {
				items++
				share += shareOf(dir)
				left = slices.DeleteFunc(left, func(p string) bool { return strings.HasPrefix(p, dir) })
			}
		}
		if items+len(left) <= n {
			best = min(best, share)
		}
	}
	return best
}

func TestPrefixes(t *testing.T) {
	p := NewPrefixes([]string{"/b", "/a/", "/a/x", "/b", ""}[0:4])
	for s, want := range map[string]string{"/a/x/y": "/a/", "/a/": "/a/", "/bb": "/b", "/a": "", "/": "", "/c": ""} {
		if got, _ := p.Of(s); got != want {
			t.Errorf("prefix of %q: %q, want %q", s, got, want)
		}
	}
	if _, ok := (Prefixes{}).Of("/"); ok {
		t.Error("no prefixes hold one")
	}
}

func manyPaths(n int) []Item {
	var items []Item
	for i := range n {
		items = append(items, Item{Kind: Path, Value: fmt.Sprintf("/d%d/e%d/f%d.html", i%37, i%1009, i)})
	}
	return items
}

func BenchmarkCollapse100k(b *testing.B) {
	items := manyPaths(100_000)
	for b.Loop() {
		if got := Collapse(items, 1000); len(got.Items) > 1000 {
			b.Fatal(len(got.Items))
		}
	}
}

package purge

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// A Cover is a list of paths, some of them wildcards, that purges every path
// of another list.
type Cover struct {
	Items   []Item
	Widened []Widened
}

// Widened is a wildcard that Collapse put in the place of listed paths. It
// takes along whatever else begins with Prefix; what that is, a path list
// cannot tell.
type Widened struct {
	Prefix string // "/img/" of "/img/*"
	Listed int    // paths of the list that it stands for
}

// Collapse covers paths by at most n items, n of 1 or more. Wildcards are put
// at the ends of directories, and at a "?" for all queries of a file. A
// wildcard and a path cost the same, so of all covers with n items or fewer
// the best is the one that widens least: each wildcard is taken for a
// share of the site, 1 for "/*" and a sixteenth of its parent's for a
// directory, and the sum of shares is as small as can be. A list that fits is
// returned as it is; items that are no paths are kept, and count.
//
// Duplicates, and paths that a wildcard of the list covers, count once or not
// at all. The cover never has more items than the list.
func Collapse(items []Item, n int) Cover {
	var cover Cover
	var paths, wild []string
	for _, i := range items {
		switch prefix, ok := strings.CutSuffix(i.Value, "*"); {
		case i.Kind != Path || !strings.HasPrefix(i.Value, "/"):
			cover.Items = append(cover.Items, i)
		case ok:
			wild = append(wild, prefix)
		default:
			paths = append(paths, i.Value)
		}
	}
	stars := NewPrefixes(wild)
	slices.Sort(paths)
	paths = slices.DeleteFunc(slices.Compact(paths), func(p string) bool { _, ok := stars.Of(p); return ok })
	root := &branch{prefix: "/"}
	for _, p := range paths {
		root.grow(p, false)
	}
	for _, p := range stars.sorted {
		root.grow(p, true)
	}
	if len(paths)+len(stars.sorted) > 0 {
		root.solve(max(1, n-len(cover.Items)), 1)
		root.gather(&cover, min(max(1, n-len(cover.Items)), len(root.cost)))
	}
	slices.SortFunc(cover.Items, compare)
	slices.SortFunc(cover.Widened, func(a, b Widened) int { return cmp.Compare(a.Prefix, b.Prefix) })
	return cover
}

// A branch is a directory of listed paths, or a file with its queries.
type branch struct {
	prefix   string // what all below begins with
	leaves   []string
	children []*branch
	byName   map[string]*branch
	listed   int // leaves of this branch and of all below

	cost []float64 // cost[k-1]: the least share that k items or fewer take
	star []bool    // star[k-1]: a wildcard takes less than any k items below
	cuts [][]int   // cuts[c][k]: how many of k items go to children[c], the rest to those before it and to leaves
}

// grow puts a path below b, or a wildcard by its prefix.
func (b *branch) grow(path string, wildcard bool) {
	leaf := path
	if wildcard {
		leaf += "*"
	}
	for at := b; ; {
		at.listed++
		rest := path[len(at.prefix):]
		cut := strings.IndexAny(rest, "/?")
		if cut < 0 || (strings.HasSuffix(at.prefix, "?") && cut >= 0) {
			at.leaves = append(at.leaves, leaf)
			return
		}
		name := rest[:cut+1]
		if at.byName[name] == nil {
			if at.byName == nil {
				at.byName = make(map[string]*branch)
			}
			child := &branch{prefix: at.prefix + name}
			at.byName[name] = child
			at.children = append(at.children, child)
		}
		at = at.byName[name]
	}
}

// narrowing is how much smaller than its parent a directory is taken to be.
const narrowing = 16

// solve fills in cost for up to n items: a knapsack over the tree.
func (b *branch) solve(n int, share float64) {
	// Leaves alone: no share at all, if there are items enough for each.
	cost := []float64{math.Inf(1)} // cost[k] with k items, from 0 here
	own := len(b.leaves)
	if own == 0 {
		cost[0] = 0
	}
	for k := 1; k <= min(n, own); k++ {
		cost = append(cost, math.Inf(1))
		if k == own {
			cost[k] = 0
		}
	}
	for _, child := range b.children {
		child.solve(n, share/narrowing)
		var cut []int
		cost, cut = join(cost, child.cost, n)
		b.cuts = append(b.cuts, cut)
	}
	b.cost = cost[1:]
	b.star = make([]bool, len(b.cost))
	for k := range b.cost {
		if b.star[k] = share < b.cost[k]; b.star[k] {
			b.cost[k] = share
		}
		if k > 0 {
			b.cost[k] = min(b.cost[k], b.cost[k-1])
		}
	}
}

// join is the cost of k items over before and child, the child having one at
// least; and how many the child has then.
func join(before, child []float64, n int) (cost []float64, cut []int) {
	size := min(n, len(before)-1+len(child))
	cost = make([]float64, size+1)
	cut = make([]int, size+1)
	for k := range cost {
		cost[k] = math.Inf(1)
		for mine := max(1, k-len(before)+1); mine <= min(k, len(child)); mine++ {
			if c := before[k-mine] + child[mine-1]; c < cost[k] {
				cost[k], cut[k] = c, mine
			}
		}
	}
	return cost, cut
}

// gather appends the best cover of b by k items.
func (b *branch) gather(cover *Cover, k int) {
	for k > 1 && b.cost[k-2] == b.cost[k-1] { // fewer do as well
		k--
	}
	if b.star[k-1] {
		cover.Items = append(cover.Items, Item{Kind: Path, Value: b.prefix + "*"})
		cover.Widened = append(cover.Widened, Widened{b.prefix, b.listed})
		return
	}
	for c := len(b.children) - 1; c >= 0; c-- {
		mine := b.cuts[c][k]
		b.children[c].gather(cover, mine)
		k -= mine
	}
	for _, leaf := range b.leaves {
		cover.Items = append(cover.Items, Item{Kind: Path, Value: leaf})
	}
}

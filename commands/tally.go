package commands

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

// A tally counts what became of keys, by node, and remembers those that failed.
type tally struct {
	where  string // stands for the node of keys that were named
	words  words
	nodes  map[string]map[backends.Verb]int64
	passes []int64 // keys met by each pass
	failed []backends.Outcome
	spared int64

	mu      sync.Mutex
	unknown map[string]int64 // kept because what the work needs to know is not known, by node
}

func newTally(where string, w words) *tally {
	return &tally{where: where, words: w, nodes: make(map[string]map[backends.Verb]int64), unknown: make(map[string]int64)}
}

// begin opens a pass.
func (t *tally) begin() { t.passes = append(t.passes, 0) }

// add counts a page, and returns how many of its keys were changed.
func (t *tally) add(r backends.Result) int {
	node := cmp.Or(r.Shard, t.where)
	did := t.nodes[node]
	if did == nil {
		did = make(map[backends.Verb]int64)
		t.nodes[node] = did
	}
	before := did[t.words.did]
	for _, o := range r.Outcomes {
		if did[o.Did]++; o.Did == backends.Failed {
			o.Key = strings.Clone(o.Key)
			t.failed = append(t.failed, o)
		}
	}
	t.passes[len(t.passes)-1] += int64(len(r.Outcomes))
	return int(did[t.words.did] - before)
}

// known takes out the entries that lack a fact which the work needs: they are kept.
func (t *tally) known(pages iter.Seq2[backends.Page, error], needs backends.Facts) iter.Seq2[backends.Page, error] {
	return each(insist(pages, needs), func(p backends.Page) backends.Page {
		all := len(p.Entries)
		p.Entries = slices.DeleteFunc(p.Entries, func(e backends.Entry) bool { return !e.Have.Has(needs) })
		if n := all - len(p.Entries); n > 0 {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.unknown[cmp.Or(p.Shard, t.where)] += int64(n)
		}
		return p
	})
}

// settle moves what known has kept into the counts.
func (t *tally) settle() {
	for node, n := range t.unknown {
		if t.nodes[node] == nil {
			t.nodes[node] = make(map[backends.Verb]int64)
		}
		t.nodes[node][backends.Kept] += n
	}
	clear(t.unknown)
}

// sum is how many keys that became of, on all nodes.
func (t *tally) sum(did backends.Verb) (n int64) {
	for _, node := range t.nodes {
		n += node[did]
	}
	return n
}

// met is how many keys were tried.
func (t *tally) met() (n int64) {
	for _, did := range t.columns() {
		n += t.sum(did)
	}
	return n
}

func (t *tally) columns() []backends.Verb {
	return []backends.Verb{t.words.did, backends.Gone, backends.Kept, backends.Failed}
}

// doc is the summary.
func (t *tally) doc(took time.Duration) render.Doc {
	doc := render.Doc{List: "nodes", Columns: []render.Column{{Name: "node"}}, Footer: render.Row{render.Text("total")}}
	for _, did := range t.columns() {
		doc.Columns = append(doc.Columns, render.Column{Name: string(did), Right: true})
		doc.Fields = append(doc.Fields, render.Field{Name: string(did), Cell: render.Int(t.sum(did)), Machine: true})
		doc.Footer = append(doc.Footer, tallyCell(did, t.sum(did)))
	}
	passes := make([]any, len(t.passes))
	for i, n := range t.passes {
		passes[i] = n
	}
	doc.Fields = append(doc.Fields,
		render.Field{Name: "spared", Cell: render.Int(t.spared), Machine: true},
		render.Field{Name: "passes", Cell: render.Cell{Value: passes}, Machine: true},
		render.Field{Name: "seconds", Cell: render.Seconds(took), Machine: true})
	var table []render.Row
	var names []string
	for node := range t.nodes {
		names = append(names, node)
	}
	slices.Sort(names)
	for _, node := range names {
		row := render.Row{render.Text(node)}
		for _, did := range t.columns() {
			row = append(row, tallyCell(did, t.nodes[node][did]))
		}
		table = append(table, row)
	}
	if len(table) < 2 {
		doc.Footer = nil
	}
	doc.Rows = rows(table)
	return doc
}

func tallyCell(did backends.Verb, n int64) render.Cell {
	c := render.Int(n)
	if did == backends.Failed && n > 0 {
		c = c.As(render.Bad)
	}
	return c
}

// tell says on stderr how fast it went, and what came back.
func (t *tally) tell(env *Env, took time.Duration) {
	changed := t.sum(t.words.did)
	speed := ""
	if s := took.Seconds(); s > 0.1 && changed > 0 {
		speed = ", " + render.Int(int64(float64(changed)/s)).Text + "/s"
	}
	env.note("%s %s in %s%s", t.words.done, plural(changed, "key"), render.Duration(took).Text, speed)
	for i, n := range t.passes[min(1, len(t.passes)):] {
		env.note("pass %d: %s there, written since the walk before came by", i+2, plural(n, "key"))
	}
	if t.spared > 0 {
		env.note("%s kept by never_delete", plural(t.spared, "key"))
	}
}

// named is how many failures are named one by one.
const named = 20

// err is what the run comes to: how it ended, and the keys that failed for reasons of
// their own. Keys make it partial, an end of the whole makes it a failure.
func (t *tally) err(end error) error {
	var own []backends.Outcome
	for _, o := range t.failed {
		if end == nil || !strings.Contains(end.Error(), o.Err.Error()) {
			own = append(own, o)
		}
	}
	if len(own) == 0 {
		return end
	}
	all := []error{end}
	for _, o := range own[:min(len(own), named)] {
		all = append(all, fmt.Errorf("%s: %w", render.Quote(o.Key), o.Err))
	}
	if more := len(own) - named; more > 0 {
		all = append(all, fmt.Errorf("and %s more", plural(int64(more), "key")))
	}
	err := errors.Join(all...)
	if end == nil {
		err = &partialError{err}
	}
	return withHint(err, "--failures FILE writes the keys that failed in the form that --key-file reads")
}

// writeFailures writes the keys that failed to a file, replaced in one step.
func (t *tally) writeFailures(path string) error {
	if path == "" {
		return nil
	}
	return replaceFile(path, 0o666, func(w io.Writer) error {
		for _, o := range t.failed {
			if _, err := fmt.Fprintln(w, render.Quote(o.Key)); err != nil {
				return err
			}
		}
		return nil
	})
}

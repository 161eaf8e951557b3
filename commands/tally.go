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
	"github.com/cachectl/cachectl/commands/journal"
	"github.com/cachectl/cachectl/commands/render"
)

// A tally says what became of keys, by node, and names those that failed.
type tally struct {
	*journal.State
	where  string // stands for the node of keys that were named
	words  words
	before int64 // changed by the run before it was interrupted
	spared int64

	mu      sync.Mutex
	unknown map[string]int64 // kept because what the work needs to know is not known, by node
}

func newTally(where string, w words, s *journal.State) *tally {
	return &tally{State: s, where: where, words: w, before: s.Sum(w.did), unknown: make(map[string]int64)}
}

// changed is how many keys of a result were changed.
func (t *tally) changed(r backends.Result) (n int) {
	for i := range r.Outcomes {
		if r.Outcomes[i].Did == t.words.did {
			n++
		}
	}
	return n
}

// known takes out the entries that lack a fact which the work needs: they are kept.
func (t *tally) known(pages iter.Seq2[backends.Page, error], needs backends.Facts) iter.Seq2[backends.Page, error] {
	return each(insist(pages, needs), func(p backends.Page) backends.Page {
		all := len(p.Entries)
		p.Entries = slices.DeleteFunc(p.Entries, func(e backends.Entry) bool { return !e.Have.Has(needs) })
		if n := all - len(p.Entries); n > 0 {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.unknown[p.Shard] += int64(n)
		}
		return p
	})
}

// settle moves what known has kept into the counts.
func (t *tally) settle() {
	for node, n := range t.unknown {
		t.Add(node, backends.Kept, n)
	}
	clear(t.unknown)
}

// met is how many keys were tried.
func (t *tally) met() (n int64) {
	for _, did := range t.columns() {
		n += t.Sum(did)
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
		doc.Fields = append(doc.Fields, render.Field{Name: string(did), Cell: render.Int(t.Sum(did)), Machine: true})
		doc.Footer = append(doc.Footer, tallyCell(did, t.Sum(did)))
	}
	passes := make([]any, len(t.PerPass))
	for i, n := range t.PerPass {
		passes[i] = n
	}
	again := []any{}
	for _, node := range t.again() {
		again = append(again, node)
	}
	doc.Fields = append(doc.Fields,
		render.Field{Name: "spared", Cell: render.Int(t.spared), Machine: true},
		render.Field{Name: "passes", Cell: render.Cell{Value: passes}, Machine: true},
		render.Field{Name: "walked_again", Cell: render.Cell{Value: again}, Machine: true},
		render.Field{Name: "seconds", Cell: render.Seconds(took), Machine: true})
	var table []render.Row
	var names []string
	for node := range t.Counts {
		names = append(names, node)
	}
	slices.Sort(names)
	for _, node := range names {
		row := render.Row{render.Text(cmp.Or(node, t.where))}
		for _, did := range t.columns() {
			row = append(row, tallyCell(did, t.Counts[node][did]))
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
	changed := t.Sum(t.words.did) - t.before
	speed := ""
	if s := took.Seconds(); s > 0.1 && changed > 0 {
		speed = ", " + render.Int(int64(float64(changed)/s)).Text + "/s"
	}
	if t.before > 0 {
		speed += ", and " + render.Int(t.before).Text + " before"
	}
	env.note("%s %s in %s%s", t.words.done, plural(changed, "key"), render.Duration(took).Text, speed)
	for i, n := range t.PerPass[min(1, len(t.PerPass)):] {
		env.note("pass %d: %s there, written since the walk before came by", i+2, plural(n, "key"))
	}
	if again := t.again(); len(again) > 0 && t.words.did != backends.Deleted { // a deleted key is not met twice
		env.note("some keys may be counted twice: of %s a part was walked again", render.Visible(strings.Join(again, ", ")))
	}
	if t.Unsaid > 0 && t.words.did == backends.Deleted { // what was changed otherwise is met again
		env.note("up to %s more may have been deleted by a run that was killed before it could say so", plural(t.Unsaid, "key"))
	}
	if t.spared > 0 {
		env.note("%s kept by never_delete", plural(t.spared, "key"))
	}
}

// again names the nodes that came twice, or a part of them: after a restart, a failover, a
// slot that moved, a crash.
func (t *tally) again() (nodes []string) {
	for node, is := range t.Again {
		if is {
			nodes = append(nodes, cmp.Or(node, t.where))
		}
	}
	slices.Sort(nodes)
	return nodes
}

// named is how many failures are named one by one.
const named = 20

// err is what the run comes to: how it ended, and the keys that failed for reasons of
// their own. Keys make it partial, an end of the whole makes it a failure.
func (t *tally) err(end error) error {
	var own []backends.Outcome
	for _, o := range t.Failures {
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
		for _, o := range t.Failures {
			if _, err := fmt.Fprintln(w, render.Quote(o.Key)); err != nil {
				return err
			}
		}
		return nil
	})
}

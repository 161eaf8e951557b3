package commands

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A copyFeed makes parcels of the keys of another cache.
type copyFeed struct {
	*filling
	env     *Env
	a, b    backends.Backend // from, to
	hottest bool
	carry   func(r *backends.Record) error
}

// dumpedAhead is how many pages of a shard are read at a time.
const dumpedAhead = 4

func (f *copyFeed) stands() string { return "key" }

func (f *copyFeed) parcels(ctx context.Context, from map[string]backends.Mark) iter.Seq2[*parcel, error] {
	if f.hottest {
		return f.sorted(ctx)
	}
	s := source{selection: &f.selection}
	parts, err := s.parts(ctx, f.a)
	if err != nil {
		return ended[*parcel](err)
	}
	var work []func(context.Context) iter.Seq2[*parcel, error]
	for _, part := range parts {
		work = append(work, func(ctx context.Context) iter.Seq2[*parcel, error] {
			return f.dumped(ctx, part, s.pages(ctx, part, from, 0), from)
		})
	}
	if len(work) == 1 {
		return work[0](ctx)
	}
	return backends.Parallel(ctx, work...)
}

// dumped makes parcels of pages of keys.
func (f *copyFeed) dumped(ctx context.Context, part backends.Backend, pages iter.Seq2[backends.Page, error], from map[string]backends.Mark) iter.Seq2[*parcel, error] {
	read, _, err := backends.Reading(ctx, part, f.b)
	if err != nil {
		return ended[*parcel](err)
	}
	return func(yield func(*parcel, error) bool) {
		marks := make(map[string]backends.Mark) // behind which everything of a shard was given
		for d, err := range backends.DumpAhead(ctx, pages, dumpedAhead, read) {
			if key, ok := err.(*backends.KeyError); ok {
				p := &parcel{page: backends.Page{Shard: d.Shard}, bad: []reject{{key: key.Key, reason: key.Err.Error()}}}
				p.page.After = markOf(marks, from, d.Shard)
				if !yield(p, nil) {
					return
				}
				continue
			}
			if err != nil {
				if !yield(nil, err) || backends.Ends(err) {
					return
				}
				continue
			}
			if d.Page.Entries = nil; d.More {
				d.Page.After = markOf(marks, from, d.Shard)
			} else {
				marks[d.Shard] = d.After
			}
			if !yield(f.pack(d.Page, d.Records), nil) {
				return
			}
		}
	}
}

func markOf(now, before map[string]backends.Mark, shard string) backends.Mark {
	if mark, ok := now[shard]; ok {
		return mark
	}
	return before[shard]
}

// pack makes records fit for the target.
func (f *copyFeed) pack(page backends.Page, records []backends.Record) *parcel {
	p := &parcel{page: page, records: records[:0]}
	for i := range records {
		r := &records[i]
		if err := f.carry(r); err != nil {
			if !r.More {
				p.others = append(p.others, backends.Outcome{Key: r.Key, Did: uncarried, Err: err})
			}
			continue
		}
		p.bytes += roomFor(r)
		p.records = append(p.records, *r)
	}
	return p
}

// A hot is a key and how hot it is.
type hot struct {
	key  string
	heat float64
}

// sorted brings the hottest keys first. Their order is that of one moment, so a run that
// goes on begins anew, and leaves alone what is there.
func (f *copyFeed) sorted(ctx context.Context) iter.Seq2[*parcel, error] {
	return func(yield func(*parcel, error) bool) {
		keys, err := f.walk(ctx, func(err error) bool { return yield(nil, err) })
		if err != nil {
			yield(nil, err)
			return
		}
		slices.SortStableFunc(keys, func(a, b hot) int {
			switch {
			case a.heat > b.heat:
				return -1
			case a.heat < b.heat:
				return 1
			}
			return 0
		})
		names := func(yield func(string) bool) {
			for i := range keys {
				if !yield(keys[i].key) {
					return
				}
			}
		}
		all, done := len(keys), 0
		pages := func(yield func(backends.Page, error) bool) {
			for page, err := range backends.Pages(names, f.filling.size()) {
				done += len(page.Entries)
				page.Shard, page.Done = sourceShard, float64(done)/float64(all)
				if !yield(page, err) {
					return
				}
			}
		}
		for p, err := range f.dumped(ctx, f.a, pages, nil) {
			if !yield(p, err) {
				return
			}
		}
	}
}

// walk lists all keys with their heat. What does not end the walk is told.
func (f *copyFeed) walk(ctx context.Context, tell func(error) bool) ([]hot, error) {
	began := time.Now()
	s := source{selection: &f.selection}
	var keys []hot
	some := false
	for page, err := range s.pages(ctx, f.a, nil, backends.FactIdle|backends.FactFreq) {
		if err != nil {
			if backends.Ends(err) {
				return nil, err
			}
			if _, notice := err.(*backends.Notice); !notice && !tell(err) {
				return nil, nil
			}
			continue
		}
		var names strings.Builder
		for i := range page.Entries {
			names.WriteString(page.Entries[i].Key)
		}
		at, all := 0, names.String()
		for i := range page.Entries {
			n := len(page.Entries[i].Key)
			heat := heatOf(&page.Entries[i])
			some = some || heat != noHeat
			keys = append(keys, hot{all[at : at+n], heat})
			at += n
		}
	}
	if !some && len(keys) > 0 {
		return nil, fmt.Errorf("--hottest-first: %s tells neither idle time nor access frequency of its keys", f.a.Name())
	}
	f.env.note("listed %s by heat in %s", plural(int64(len(keys)), "key"), time.Since(began).Round(time.Millisecond))
	return keys, nil
}

// survey estimates what is selected, as rm does.
func (f *copyFeed) survey(ctx context.Context) (survey, error) {
	s := survey{}
	if f.hottest {
		s.lines = append(s.lines, [2]string{"order", "hottest first; all keys are listed before the first is copied"})
	}
	lost := newTrouble(f.env)
	p := planner{source: &source{selection: &f.selection}, lost: lost, progress: newWalkProgress(f.env, "keys counted", false)}
	lost.before = p.progress.clear
	pl, err := p.plan(ctx, f.a)
	p.progress.stop()
	if err == nil && len(pl.nodes) == 0 {
		err = lost.err(false)
	}
	if err != nil {
		return s, err
	}
	lost.tellLost()
	s.records, s.exact, s.bytes, s.examples = pl.keys.Value, pl.keys.Exact(), pl.bytes.Value, pl.examples
	if pl.sized == 0 {
		s.bytes = 0
	}
	if _, portable, err := backends.Reading(ctx, f.a, f.b); err != nil {
		return s, err
	} else if portable {
		s.lines = append(s.lines, [2]string{"values", "are read and written one by one: the caches do not take each other's dumps"})
	}
	return s, nil
}

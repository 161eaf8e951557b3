package backends

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// piecewise dumps every key as a record of its own, a few at a time, and counts how many
// pages are being dumped.
type piecewise struct {
	under, most atomic.Int32
	given       atomic.Int32
	trouble     map[string]error
}

func (p *piecewise) read(ctx context.Context, keys []string) iter.Seq2[[]Record, error] {
	return func(yield func([]Record, error) bool) {
		p.most.Store(max(p.most.Load(), p.under.Add(1)))
		defer p.under.Add(-1)
		time.Sleep(time.Second)
		for some := range slices.Chunk(keys, 3) {
			if ctx.Err() != nil {
				yield(nil, ctx.Err())
				return
			}
			var records []Record
			for _, key := range some {
				if err := p.trouble[key]; err != nil {
					if !yield(nil, err) || Ends(err) {
						return
					}
					continue
				}
				records = append(records, Record{Key: key})
			}
			p.given.Add(1)
			if !yield(records, nil) {
				return
			}
		}
	}
}

func numbered(n, size int) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		for i := range n {
			page := Page{Shard: fmt.Sprint("s", i%2), After: Mark(fmt.Sprint(i))}
			for k := range size * (i % 3) { // empty ones too
				page.Entries = append(page.Entries, Entry{Key: fmt.Sprintf("%d:%d", i, k)})
			}
			if !yield(page, nil) {
				return
			}
		}
	}
}

// TestDumpAhead: every key once, in the order of pages, each page ended by its mark; as
// many pages at a time as were asked for.
func TestDumpAhead(t *testing.T) {
	for _, ahead := range []int{0, 1, 4, 100} {
		synctest.Test(t, func(t *testing.T) {
			var p piecewise
			var marks, keys []string
			start := time.Now()
			for d, err := range DumpAhead(t.Context(), numbered(30, 10), ahead, p.read) {
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range d.Records {
					keys = append(keys, r.Key)
				}
				if d.More != (d.After == "") || d.Shard != fmt.Sprint("s", len(marks)%2) {
					t.Fatalf("%+v behind %d marks", d, len(marks))
				}
				if !d.More {
					marks = append(marks, string(d.After))
				}
			}
			var want, all []string
			for page := range numbered(30, 10) {
				all = append(all, string(page.After))
				for _, e := range page.Entries {
					want = append(want, e.Key)
				}
			}
			if !slices.Equal(keys, want) || !slices.Equal(marks, all) {
				t.Errorf("ahead %d: %d keys of %d, marks %q", ahead, len(keys), len(want), marks)
			}
			n := min(30, max(1, ahead))
			if took := time.Since(start); int(p.most.Load()) != n || took != time.Duration((30+n-1)/n)*time.Second && ahead < 4 {
				t.Errorf("ahead %d: %d at a time, %v", ahead, p.most.Load(), took)
			}
		})
	}
}

// TestDumpAheadStops: a reader that stops, a context that ends, errors of pages and dumps;
// no dump goes on, and little is read that nobody wanted.
func TestDumpAheadStops(t *testing.T) {
	end, walk := errors.New("the end"), errors.New("the walk's end")
	lost := func(yield func(Page, error) bool) {
		for page := range numbered(10, 10) {
			if !yield(page, nil) || page.After == "4" && !yield(Page{}, &ShardError{Shard: "s", Err: walk}) || page.After == "8" && !yield(Page{}, walk) {
				return
			}
		}
	}
	for _, test := range []struct {
		name    string
		pages   iter.Seq2[Page, error]
		trouble map[string]error
		cancel  int // after so many pieces
		stop    int
		marks   int
		others  int // errors that are not the end
		end     error
	}{
		{name: "reader", pages: numbered(100, 10), stop: 7, marks: 2},
		{name: "context", pages: numbered(100, 10), cancel: 7, marks: 2, end: context.Canceled},
		{name: "pages", pages: lost, marks: 9, others: 1, end: walk},
		{name: "a key", pages: numbered(10, 10), trouble: map[string]error{"4:2": &KeyError{Key: "4:2", Err: end}}, marks: 10, others: 1},
		{name: "dump", pages: numbered(10, 10), trouble: map[string]error{"4:7": end}, marks: 4, end: end},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := piecewise{trouble: test.trouble}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			pieces, marks, others := 0, 0, 0
			var last error
			for d, err := range DumpAhead(ctx, test.pages, 4, p.read) {
				switch {
				case Ends(err):
					last = err
				case err != nil:
					others++
				case !d.More:
					marks++
				}
				if pieces++; pieces == test.cancel {
					cancel()
				}
				if pieces == test.stop {
					break
				}
			}
			if n := p.under.Load(); n > 0 {
				t.Errorf("%s: %d dumps go on", test.name, n)
			}
			if marks < test.marks || test.cancel+test.stop == 0 && marks != test.marks || marks > test.marks+4 || others != test.others || !errors.Is(last, test.end) || p.given.Load() > int32(pieces+20) {
				t.Errorf("%s: %d marks, %d errors, then %v; %d pieces read, %d given", test.name, marks, others, last, p.given.Load(), pieces)
			}
		})
	}
}

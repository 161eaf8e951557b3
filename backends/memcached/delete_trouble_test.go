package memcached

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// TestNodeDiesInMidDelete: its keys fail from then on, the others' go, and what
// was told before is true.
func TestNodeDiesInMidDelete(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, v servers.Version) {
		all := []*servers.Server{start(t, v), start(t, v)}
		c := openURL(t, target(all...))
		for _, s := range all {
			dialRaw(t, s).fill("k", 20_000, 10)
		}
		pages := func(yield func(backends.Page, error) bool) {
			for i := range 20 {
				var keys []string
				for k := range 1000 {
					keys = append(keys, fmt.Sprintf("k:%07d", i*1000+k))
				}
				if i == 10 {
					all[1].Kill()
				}
				for _, s := range all {
					if !yield(backends.Page{Shard: s.Addr, Entries: entriesOf(keys...)}, nil) {
						return
					}
				}
			}
		}
		counts := map[string]map[backends.Verb]int{all[0].Addr: {}, all[1].Addr: {}}
		lost := 0
		for r, err := range c.Delete(t.Context(), pages) {
			var shard *backends.ShardError
			if errors.As(err, &shard) && shard.Shard == all[1].Addr && errors.Is(err, backends.ErrUnreachable) {
				lost++
			} else if err != nil {
				t.Fatal(err)
			}
			for _, o := range r.Outcomes {
				if lost > 0 && r.Shard == all[1].Addr && o.Did != backends.Failed {
					t.Fatalf("%+v after the loss", o)
				}
				counts[r.Shard][o.Did]++
			}
		}
		one, two := counts[all[0].Addr], counts[all[1].Addr]
		if lost != 1 || one[backends.Deleted] != 20_000 || two[backends.Deleted]+two[backends.Failed] != 20_000 || two[backends.Deleted] < 8000 || two[backends.Failed] < 9000 {
			t.Errorf("lost %d times; %v, %v", lost, one, two)
		}
		if n := dialRaw(t, all[0]).stat("curr_items"); n != "0" {
			t.Errorf("%s keys are left", n)
		}
		// Named keys: deleted on the one, but perhaps still there on the other.
		got := deleteAll(t.Context(), c, backends.Pages(slices.Values([]string{"x"}), 5))
		if got.did["x"] != backends.Failed || len(got.errs) != 1 {
			t.Errorf("%v, %v", got.did, got.errs)
		}
	})
}

// TestSingleNodeDies: with no other node the loss is the end.
func TestSingleNodeDies(t *testing.T) {
	v := servers.Memcacheds(t)[1]
	s := start(t, v)
	c := openURL(t, target(s))
	dialRaw(t, s).fill("k", 3000, 10)
	asked := 0
	got := deleteAll(t.Context(), c, func(yield func(backends.Page, error) bool) {
		for i := range 1000 {
			if asked = i; i == 1 {
				s.Kill()
			}
			if !yield(backends.Page{Shard: s.Addr, Entries: entriesOf(fmt.Sprintf("k:%07d", i))}, nil) {
				return
			}
		}
	})
	if !errors.Is(got.ends(), backends.ErrUnreachable) || asked > 3 || got.did["k:0000000"] != backends.Deleted || got.did["k:0000001"] != backends.Failed {
		t.Errorf("%v, %v, %d pages asked for", got.did, got.errs, asked)
	}
}

// TestRestartInMidDelete: a new process takes over, and counts stay exact.
func TestRestartInMidDelete(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v)
		c := openURL(t, target(s))
		dialRaw(t, s).fill("k", 3000, 10)
		got := deleteAll(t.Context(), c, func(yield func(backends.Page, error) bool) {
			for i := range 3 {
				if i == 1 {
					s.Restart()
				}
				var keys []string
				for k := range 1000 {
					keys = append(keys, fmt.Sprintf("k:%07d", i*1000+k))
				}
				if !yield(backends.Page{Shard: s.Addr, Entries: entriesOf(keys...)}, nil) {
					return
				}
			}
		})
		if got.counts[backends.Deleted] != 1000 || got.counts[backends.Gone] != 2000 || len(got.errs) > 0 {
			t.Errorf("%v, %v", got.counts, got.errs)
		}
	})
}

// TestCancelledInMidDelete: every key that went was told of, and none besides.
func TestCancelledInMidDelete(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v, "-m", "256")
		c, r := openURL(t, target(s)), dialRaw(t, s)
		const keys = 100_000
		for round := range 6 {
			flush(t, s)
			r.fill("k", keys, 10)
			var entries []backends.Entry
			for i := range keys {
				entries = append(entries, backends.Entry{Key: fmt.Sprintf("k:%07d", i)})
			}
			ctx, cancel := context.WithCancel(t.Context())
			after := 1 + rand.IntN(50)
			got := deleteAll(ctx, c, func(yield func(backends.Page, error) bool) {
				n := 0
				for page := range pagesOf(s.Addr, entries, []int{100, 1000, 30_000}[round%3]) {
					if n++; n == after && round < 3 {
						cancel() // between pages
					} else if n == 1 && round >= 3 {
						time.AfterFunc(time.Duration(after)*time.Millisecond, cancel)
					}
					if !yield(page, nil) {
						return
					}
				}
			})
			cancel()
			left, _ := strconv.Atoi(r.stat("curr_items"))
			if got.counts[backends.Deleted] != keys-left || got.counts[backends.Gone] != 0 {
				t.Errorf("%v told, %d of %d keys are left", got.counts, left, keys)
			}
			if err := got.ends(); left > 0 && !errors.Is(err, context.Canceled) || len(got.errs) > 1 {
				t.Errorf("%v", got.errs)
			}
			t.Logf("%d left, %v", left, got.counts)
		}
	})
}

// TestReaderStopsDelete: nothing more is sent, and the cache works on.
func TestReaderStopsDelete(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v)
		c, r := openURL(t, target(s)), dialRaw(t, s)
		r.fill("k", 50_000, 10)
		var entries []backends.Entry
		for i := range 50_000 {
			entries = append(entries, backends.Entry{Key: fmt.Sprintf("k:%07d", i)})
		}
		n := 0
		for range c.Delete(t.Context(), pagesOf(s.Addr, entries, 1000)) {
			if n++; n == 3 {
				break
			}
		}
		time.Sleep(100 * time.Millisecond)
		left, _ := strconv.Atoi(r.stat("curr_items"))
		if left < 50_000-5*1000 || left > 47_000 {
			t.Errorf("%d keys are left", left)
		}
		if got := deleteAll(t.Context(), c, pagesOf(s.Addr, entries, 1000)); got.counts[backends.Deleted] != left {
			t.Errorf("%v, want %d deleted", got.counts, left)
		}
	})
}

// TestSlowSourceGetsResultsAtOnce: with a page now and then, each one's result
// comes before the next page is waited for.
func TestSlowSourceGetsResultsAtOnce(t *testing.T) {
	v := servers.Memcacheds(t)[0]
	s := start(t, v)
	c, told, worst := openURL(t, target(s)), 0, 0
	pages := func(yield func(backends.Page, error) bool) {
		for i := range 5 {
			time.Sleep(2 * slowSource)
			if worst = max(worst, i-told); !yield(backends.Page{Shard: s.Addr, Entries: entriesOf("k")}, nil) {
				return
			}
		}
	}
	for _, err := range c.Delete(t.Context(), pages) {
		if told++; err != nil {
			t.Fatal(err)
		}
	}
	if told != 5 || worst != 0 {
		t.Errorf("%d results, up to %d late", told, worst)
	}
}

// TestErrorsOfPages: they come in their place, and the end after the results.
func TestErrorsOfPages(t *testing.T) {
	v := servers.Memcacheds(t)[0]
	s := start(t, v)
	c := openURL(t, target(s))
	end := errors.New("the end")
	var story []string
	for r, err := range c.Delete(t.Context(), func(yield func(backends.Page, error) bool) {
		_ = yield(backends.Page{Shard: s.Addr, Entries: entriesOf("a")}, nil) &&
			yield(backends.Page{Shard: s.Addr}, nil) &&
			yield(backends.Page{}, &backends.Notice{Shard: "n", What: "w", Err: end}) &&
			yield(backends.Page{Shard: s.Addr, Entries: entriesOf("b", "c"), Done: 1}, nil) &&
			yield(backends.Page{}, &backends.ShardError{Shard: "n", Err: end}) &&
			yield(backends.Page{Shard: s.Addr, Entries: entriesOf("d")}, nil) &&
			yield(backends.Page{}, end)
	}) {
		if err != nil {
			story = append(story, fmt.Sprintf("%T", err))
		} else {
			story = append(story, fmt.Sprint(len(r.Outcomes), r.Done))
		}
	}
	if want := []string{"1 0", "0 0", "*backends.Notice", "2 1", "*backends.ShardError", "1 0", "*errors.errorString"}; !slices.Equal(story, want) {
		t.Errorf("%q, want %q", story, want)
	}
}

// TestDeleteStaysSmall: memory does not grow with the number of keys.
func TestDeleteStaysSmall(t *testing.T) {
	s := start(t, servers.Memcacheds(t)[1])
	c := openURL(t, target(s))
	keys := func(yield func(string) bool) {
		for i := range 1_000_000 {
			if !yield(fmt.Sprintf("key:%024d", i)) {
				return
			}
		}
	}
	results, gone, most := 0, 0, uint64(0)
	for r, err := range c.Delete(t.Context(), backends.Pages(keys, 1000)) {
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range r.Outcomes {
			if o.Did == backends.Gone {
				gone++
			}
		}
		if results++; results%100 == 0 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
	}
	if t.Logf("%d results, %d KiB at most", results, most>>10); gone != 1_000_000 || results != 1000 || most > 32<<20 {
		t.Errorf("%d gone, %d results, %d bytes", gone, results, most)
	}
}

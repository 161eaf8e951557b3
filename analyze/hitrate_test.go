package analyze_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cachectl/cachectl/analyze"
	"github.com/cachectl/cachectl/analyze/accumtest"
	"github.com/cachectl/cachectl/backends"
)

type counts = map[backends.Counter]uint64

// look is what a node told at a second of its life.
func look(run string, second int, c counts) backends.Stats {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return backends.Stats{Node: "n", RunID: run, Uptime: time.Duration(second) * time.Second,
		At: start.Add(time.Duration(second) * time.Second), Counts: c}
}

func TestBetween(t *testing.T) {
	for name, c := range map[string]struct {
		before, after    backends.Stats
		counts           counts
		length           time.Duration
		restarted, reset bool
		ratio            float64
	}{
		"plain": {look("a", 100, counts{backends.Hits: 10, backends.Misses: 10, backends.Evicted: 5}),
			look("a", 110, counts{backends.Hits: 40, backends.Misses: 20, backends.Evicted: 5}),
			counts{backends.Hits: 30, backends.Misses: 10, backends.Evicted: 0}, 10 * time.Second, false, false, 0.75},
		"no traffic": {look("a", 100, counts{backends.Hits: 10, backends.Misses: 10}),
			look("a", 110, counts{backends.Hits: 10, backends.Misses: 10}),
			counts{backends.Hits: 0, backends.Misses: 0}, 10 * time.Second, false, false, math.NaN()},
		"restart, counters overtook": {look("a", 100, counts{backends.Hits: 10, backends.Misses: 10}),
			backends.Stats{Node: "n", RunID: "b", Uptime: 4 * time.Second, At: look("a", 110, nil).At, Counts: counts{backends.Hits: 90, backends.Misses: 30}},
			counts{backends.Hits: 90, backends.Misses: 30}, 4 * time.Second, true, false, 0.75},
		"restart without a run ID": {look("", 100, counts{backends.Hits: 10, backends.Misses: 10}),
			backends.Stats{Node: "n", Uptime: 2 * time.Second, At: look("", 110, nil).At, Counts: counts{backends.Hits: 3, backends.Misses: 1}},
			counts{backends.Hits: 3, backends.Misses: 1}, 2 * time.Second, true, false, 0.75},
		"reset": {look("a", 100, counts{backends.Hits: 1000, backends.Misses: 10, backends.Commands: 5000}),
			look("a", 110, counts{backends.Hits: 30, backends.Misses: 10, backends.Commands: 40}),
			counts{backends.Hits: 30, backends.Misses: 10, backends.Commands: 40}, 10 * time.Second, false, true, 0.75},
		"a counter unknown": {look("a", 100, counts{backends.Hits: 10}), look("a", 110, counts{backends.Hits: 40, backends.Misses: 5}),
			counts{backends.Hits: 30}, 10 * time.Second, false, false, math.NaN()},
	} {
		t.Run(name, func(t *testing.T) {
			w := analyze.Between(c.before, c.after)
			if diff := cmp.Diff(c.counts, w.Counts); diff != "" {
				t.Error(diff)
			}
			if w.Length != c.length || w.Restarted != c.restarted || w.Reset != c.reset {
				t.Errorf("length %v, restarted %v, reset %v", w.Length, w.Restarted, w.Reset)
			}
			if got := w.Ratio(); got != c.ratio && !(math.IsNaN(got) && math.IsNaN(c.ratio)) {
				t.Errorf("ratio %v, want %v", got, c.ratio)
			}
		})
	}
}

func windows() []analyze.Window {
	return []analyze.Window{
		{Node: "a", Length: time.Second, Counts: counts{backends.Hits: 990, backends.Misses: 10}},
		{Node: "b", Length: time.Second, Counts: counts{backends.Hits: 1, backends.Misses: 9}, Reset: true},
		{Node: "a", Length: 3 * time.Second, Counts: counts{backends.Hits: 9, backends.Misses: 1}},
		{Node: "c", Length: 2 * time.Second, Counts: counts{backends.Hits: 0, backends.Misses: 0}, Restarted: true},
	}
}

// TestHitRateIsOfTheSums: 1000 of 1020 lookups hit, whatever each node's ratio.
func TestHitRateIsOfTheSums(t *testing.T) {
	var h analyze.HitRate
	for _, w := range windows() {
		h.Add(w)
	}
	if got, want := h.Ratio(), 1000.0/1020; math.Abs(got-want) > 1e-12 {
		t.Errorf("ratio %v, want %v", got, want)
	}
	// a: 999 hits in 4 s; b: 1 in 1 s; c: none.
	if got, want := h.PerSecond(backends.Hits), 999.0/4+1; math.Abs(got-want) > 1e-9 {
		t.Errorf("%v hits a second, want %v", got, want)
	}
	h.Add(analyze.Window{Node: "mute", Length: time.Second})
	if !math.IsNaN(h.Ratio()) || !math.IsNaN(h.PerSecond(backends.Hits)) {
		t.Error("a node that tells nothing makes the sum unknown")
	}
}

func TestHitRateLaws(t *testing.T) {
	accumtest.Laws(t, func() *analyze.HitRate { return new(analyze.HitRate) }, windows(), func(h *analyze.HitRate) any {
		n, known := h.Count(backends.Misses)
		return []any{h.Windows, h.Restarted, h.Reset, h.Nodes(), h.Ratio(), h.PerSecond(backends.Hits), n, known}
	}, cmpopts.EquateApprox(0, 1e-9))
}

func TestTop(t *testing.T) {
	type item struct {
		name string
		size int64
	}
	var items []item
	for i := range int64(500) {
		items = append(items, item{string(rune('a'+i%26)) + string(rune('a'+i/26)), i * 7919 % 100})
	}
	newTop := func() *analyze.Top[item] {
		return analyze.NewTop(10, func(i item) (int64, string) { return i.size, i.name })
	}
	names := func(top *analyze.Top[item]) any {
		var all []item
		all = append(all, top.Items()...)
		return all
	}
	accumtest.Laws(t, newTop, items, names, cmp.AllowUnexported(item{}))
	top := newTop()
	for _, i := range append(items, items...) { // every key twice, as a scan may bring it
		top.Add(i)
	}
	got := top.Items()
	if len(got) != 10 {
		t.Fatalf("%d items kept", len(got))
	}
	for i, it := range got {
		if it.size != int64(99) && it.size != 98 {
			t.Errorf("%d: %v is not among the greatest", i, it)
		}
		if i > 0 && got[i-1].size < it.size {
			t.Errorf("not in order: %v", got)
		}
	}
}

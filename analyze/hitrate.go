package analyze

import (
	"math"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A Window is what one node did between two looks at its counters.
type Window struct {
	Node      string
	Role      string
	Length    time.Duration
	Counts    map[backends.Counter]uint64 // growth; a counter that the node does not tell is absent
	Restarted bool                        // another process answers than before: counts are since its start, a lower bound
	Reset     bool                        // somebody reset the counters: counts are since then, a lower bound
}

// Between is the window from before to after, two looks at the same node.
//
// A restart shows by another run ID, or by an uptime shorter than the window.
// A reset shows by a counter that went down; where all of them have overtaken
// their old values since, it cannot be told.
func Between(before, after backends.Stats) Window {
	w := Window{Node: after.Node, Role: after.Role, Length: after.At.Sub(before.At), Counts: make(map[backends.Counter]uint64)}
	w.Restarted = before.RunID != after.RunID ||
		after.Uptime < before.Uptime // both in whole seconds of one process, so never less by rounding
	for c, is := range after.Counts {
		if was, knew := before.Counts[c]; knew && is < was && !c.Gauge() && !w.Restarted {
			w.Reset = true
		}
	}
	for c, is := range after.Counts {
		was, knew := before.Counts[c]
		switch {
		case c.Gauge():
		case w.Restarted || w.Reset:
			w.Counts[c] = is
		case knew:
			w.Counts[c] = is - was
		}
	}
	if w.Restarted && after.Uptime < w.Length {
		w.Length = max(after.Uptime, time.Second) // the node tells whole seconds only
	}
	return w
}

// SinceStart is the window from the start of the node's process, or the last
// reset of its counters, until now. Its length is the uptime, so rates are
// lower bounds where there was a reset.
func SinceStart(s backends.Stats) Window {
	w := Window{Node: s.Node, Role: s.Role, Length: s.Uptime, Counts: make(map[backends.Counter]uint64)}
	for c, n := range s.Counts {
		if !c.Gauge() {
			w.Counts[c] = n
		}
	}
	return w
}

// Ratio is hits/(hits+misses) of this window; see Ratio.
func (w Window) Ratio() float64 { return Ratio(w.Counts) }

// PerSecond is the rate of a counter in this window; NaN when it is unknown.
func (w Window) PerSecond(c backends.Counter) float64 {
	n, known := w.Counts[c]
	if !known || w.Length <= 0 {
		return math.NaN()
	}
	return float64(n) / w.Length.Seconds()
}

// Ratio is hits/(hits+misses), and NaN where there was no lookup or one of the
// counters is unknown: no traffic is not a hit rate of zero.
func Ratio(counts map[backends.Counter]uint64) float64 {
	hits, know := counts[backends.Hits]
	misses, known := counts[backends.Misses]
	if !know || !known || hits+misses == 0 {
		return math.NaN()
	}
	return float64(hits) / float64(hits+misses)
}

// HitRate adds up the windows of several nodes, or of one node at several
// times. Its ratio is that of the sums, never a mean of ratios, and its rates
// are sums over the nodes of what each did over the time it was watched. The
// zero value is ready.
type HitRate struct {
	Windows   int
	Restarted int
	Reset     int
	nodes     map[string]*tally
}

// A tally is what one node did over all its windows.
type tally struct {
	windows int
	watched time.Duration
	counts  map[backends.Counter]uint64
	told    map[backends.Counter]int // in how many windows; where one lacks, the sum would pass for the whole
}

// Add adds one window.
func (h *HitRate) Add(w Window) {
	h.Windows++
	if w.Restarted {
		h.Restarted++
	}
	if w.Reset {
		h.Reset++
	}
	t := h.node(w.Node)
	t.windows++
	t.watched += w.Length
	for c, n := range w.Counts {
		t.counts[c] += n
		t.told[c]++
	}
}

// Merge adds the windows of other.
func (h *HitRate) Merge(other *HitRate) {
	h.Windows += other.Windows
	h.Restarted += other.Restarted
	h.Reset += other.Reset
	for name, from := range other.nodes {
		t := h.node(name)
		t.windows += from.windows
		t.watched += from.watched
		for c, n := range from.counts {
			t.counts[c] += n
			t.told[c] += from.told[c]
		}
	}
}

func (h *HitRate) node(name string) *tally {
	if h.nodes == nil {
		h.nodes = make(map[string]*tally)
	}
	t, ok := h.nodes[name]
	if !ok {
		t = &tally{counts: make(map[backends.Counter]uint64), told: make(map[backends.Counter]int)}
		h.nodes[name] = t
	}
	return t
}

// Nodes is how many nodes were seen.
func (h *HitRate) Nodes() int { return len(h.nodes) }

// Watched is how long the node was watched that was watched longest.
func (h *HitRate) Watched() time.Duration {
	longest := time.Duration(0)
	for _, t := range h.nodes {
		longest = max(longest, t.watched)
	}
	return longest
}

// Count is the sum of a counter; known is false when some node did not tell it.
func (h *HitRate) Count(c backends.Counter) (n uint64, known bool) {
	for _, t := range h.nodes {
		if t.told[c] < t.windows {
			return 0, false
		}
		n += t.counts[c]
	}
	return n, len(h.nodes) > 0
}

// Ratio is hits/(hits+misses) over all windows; NaN where a node did not tell
// or nobody looked anything up.
func (h *HitRate) Ratio() float64 {
	hits, know := h.Count(backends.Hits)
	misses, known := h.Count(backends.Misses)
	if !know || !known {
		return math.NaN()
	}
	return Ratio(map[backends.Counter]uint64{backends.Hits: hits, backends.Misses: misses})
}

// PerSecond is the sum of the nodes' rates; NaN when one is unknown.
func (h *HitRate) PerSecond(c backends.Counter) float64 {
	if _, known := h.Count(c); !known {
		return math.NaN()
	}
	sum := 0.0
	for _, t := range h.nodes {
		if t.watched <= 0 {
			return math.NaN()
		}
		sum += float64(t.counts[c]) / t.watched.Seconds()
	}
	return sum
}

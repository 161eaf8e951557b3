package commands

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

// A room is how much of its memory a cache keeps while it is filled: what is loaded must
// not push out what is there, nor itself.
type room struct {
	keepFlag  string
	evictions bool

	keep float64 // share of each node's memory limit
}

func (r *room) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.keepFlag, "keep-free", "10%", "stop when less than this `share` of a node's memory limit would be free; 0% for no such bound")
	f.BoolVar(&r.evictions, "allow-evictions", false, "go on when a node begins to evict keys")
}

func (r *room) parse() error {
	n, err := strconv.ParseFloat(strings.TrimSuffix(r.keepFlag, "%"), 64)
	if err != nil || !(n >= 0 && n < 100) || !strings.HasSuffix(r.keepFlag, "%") {
		return usagef("bad --keep-free %q: write it as 10%%", r.keepFlag)
	}
	r.keep = n / 100
	return nil
}

// A roomError says that a filling was stopped for want of memory. What was loaded stays,
// and the run can go on when there is room.
type roomError struct{ why string }

func (e *roomError) Error() string { return "stopped for want of memory: " + e.why }

// full tells whether a server refused a record because its memory is full.
func full(err error) bool {
	return err != nil && says(err, "OOM command not allowed", "out of memory storing object")
}

// A roomWatch looks at the servers while they are filled: once a second, and sooner when
// half of the room that it last saw has been sent.
type roomWatch struct {
	room
	reader backends.StatsReader // nil: nobody tells

	looked  time.Time
	first   map[string]backends.Stats
	evicted map[string]uint64 // at the last look
	used    float64           // of all nodes, at the last look
	left    float64           // estimated bytes that may be sent until the next look
	sent    float64           // estimated bytes, in all
	since   float64           // of them, since the last look
	settled float64           // of them, what the results have been told of
	warned  bool
	strikes int     // looks that saw keys evicted
	step    float64 // estimated bytes after which to look in any case
}

// Intervals of looking.
const (
	roomLook   = time.Second
	roomPause  = 100 * time.Millisecond
	roomStep   = 0.01 // of the limit, which is loaded without looking where half of it is used
	mostPauses = 30   // while the room grows smaller and nothing is sent
)

func (r *room) watch(b backends.Backend) *roomWatch {
	w := &roomWatch{room: *r, first: make(map[string]backends.Stats), evicted: make(map[string]uint64)}
	w.reader, _ = b.(backends.StatsReader)
	return w
}

// admit waits until there is room for so many bytes, as estimated, or says why there will
// be none.
func (w *roomWatch) admit(ctx context.Context, bytes int64, tell func(string)) error {
	if w.reader == nil || w.keep == 0 && w.evictions {
		return nil
	}
	need := float64(bytes)
	if time.Since(w.looked) >= roomLook || w.since+need > w.left {
		if err := w.clear(ctx, need, tell); err != nil {
			return err
		}
	}
	w.since += need
	w.sent += need
	return nil
}

// crowded tells whether so many bytes more can be judged only when everything that was
// sent has arrived.
func (w *roomWatch) crowded(bytes int64) bool {
	return w.reader != nil && w.sent > w.settled && w.since+float64(bytes) > w.left
}

// clear looks until there is room and nothing is evicted. While what is under way arrives
// nothing is sent.
func (w *roomWatch) clear(ctx context.Context, need float64, tell func(string)) error {
	before := math.Inf(-1)
	for n := 0; ; n++ {
		nodes := w.look(ctx)
		if len(nodes) == 0 { // a server that does not answer shows in the work itself
			w.left = math.Inf(1)
			return nil
		}
		evicts := w.evicting(nodes)
		tight, left, used := w.tightest(nodes)
		w.since, w.looked, w.used = 0, time.Now(), used
		left -= (w.sent - w.settled) * w.growth() // is under way
		w.left = min(left/2, w.step) / w.growth()
		switch {
		case evicts == "" && left > need*w.growth():
			return nil
		case evicts != "" && w.strikes > 1:
			return withHint(&roomError{evicts}, "fewer records fit; --allow-evictions goes on")
		case evicts == "" && (n >= mostPauses || n > 0 && used <= before):
			return withHint(&roomError{tight}, "--keep-free sets how much stays free; more memory, and --resume goes on")
		}
		if !w.warned {
			w.warned = true
			tell("slowing down: " + orElse(evicts, tight))
		}
		if before = used; !pause(ctx, roomPause*time.Duration(1+5*w.strikes)) {
			return context.Cause(ctx)
		}
	}
}

// growth is how many bytes the servers use for one that was estimated.
func (w *roomWatch) growth() float64 {
	grown := w.used
	for _, s := range w.first {
		grown -= float64(s.Counts[backends.UsedMemory])
	}
	if w.sent < 8<<20 || grown <= 0 {
		return 1
	}
	return min(max(grown/w.sent, 0.25), 4)
}

// look asks the nodes that take writes.
func (w *roomWatch) look(ctx context.Context) []backends.Stats {
	all, _ := w.reader.Stats(ctx)
	var nodes []backends.Stats
	for _, s := range all {
		if s.Role == "replica" {
			continue
		}
		nodes = append(nodes, s)
		if was, known := w.first[s.Node]; !known || was.RunID != s.RunID {
			w.first[s.Node] = s
			w.evicted[s.Node] = s.Counts[backends.Evicted]
		}
	}
	return nodes
}

// evicting says which node has evicted keys since the last look; empty: none.
func (w *roomWatch) evicting(nodes []backends.Stats) (why string) {
	for _, s := range nodes {
		now, has := s.Counts[backends.Evicted]
		if !has {
			continue
		}
		if was := w.evicted[s.Node]; now > was && !w.room.evictions {
			why = fmt.Sprintf("%s evicts: %s since the run began", s.Node, plural(int64(now-w.first[s.Node].Counts[backends.Evicted]), "key"))
		}
		w.evicted[s.Node] = now
	}
	if why != "" {
		w.strikes++
	}
	return why
}

// tightest is how many bytes all nodes take together until the first of them has come to
// its bound, as keys are spread evenly, and which that is. Without limits it is infinite.
func (w *roomWatch) tightest(nodes []backends.Stats) (why string, left, used float64) {
	left, w.step = math.Inf(1), math.Inf(1)
	for _, s := range nodes {
		limit, has := float64(s.Counts[backends.MaxMemory]), float64(s.Counts[backends.UsedMemory])
		used += has
		if limit > 0 && has > limit/2 {
			w.step = min(w.step, roomStep*limit*float64(len(nodes)))
		}
		if limit == 0 || w.keep == 0 {
			continue
		}
		if free := (limit*(1-w.keep) - has) * float64(len(nodes)); free < left {
			left = free
			why = fmt.Sprintf("%s uses %s of %s, and %s is to stay free", s.Node, render.Bytes(int64(has)).Text, render.Bytes(int64(limit)).Text, render.Ratio(w.keep).Text)
		}
	}
	return why, left, used
}

// tellRoom says of every node how much memory there is, for a plan.
func tellRoom(nodes []backends.Stats, keep float64) (lines []string, left float64) {
	left = math.Inf(1)
	for _, s := range nodes {
		limit, used := float64(s.Counts[backends.MaxMemory]), float64(s.Counts[backends.UsedMemory])
		if limit == 0 {
			lines = append(lines, fmt.Sprintf("%s: %s used, no limit", s.Node, render.Bytes(int64(used)).Text))
			continue
		}
		free := max(limit*(1-keep)-used, 0)
		left = min(left, free*float64(len(nodes)))
		lines = append(lines, fmt.Sprintf("%s: room for %s (%s used of %s, %s kept free)", s.Node, render.Bytes(int64(free)).Text,
			render.Bytes(int64(used)).Text, render.Bytes(int64(limit)).Text, render.Ratio(keep).Text))
	}
	return lines, left
}

// roomFor estimates what a record takes in a cache: its key and value, an entry in one or
// two tables, and what the allocator rounds up. It is right within about a third; what was
// seen while loading corrects it.
func roomFor(r *backends.Record) int64 {
	n := int64(len(r.Key)+len(r.Value)) + 72
	if !r.Expires.IsZero() {
		n += 32
	}
	return n
}

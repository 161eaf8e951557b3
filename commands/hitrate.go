package commands

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/analyze"
	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

type hitrateOptions struct {
	target     targetFlag
	output     output
	gates      gates
	interval   string
	every      time.Duration
	count      int
	follow     bool
	sinceStart bool
	slabs      bool
	failUnder  string
}

// gateFields are what hitrate's checks may name.
var gateFields = []string{
	"hit_rate", "hits", "misses", "lookups", "hits_per_second", "misses_per_second", "evictions_per_second",
	"expirations_per_second", "errors_per_second", "nodes", "window_seconds",
}

func newHitrate(env *Env) *cobra.Command {
	var o hitrateOptions
	cmd := &cobra.Command{
		Use:   "hitrate",
		Short: "Hit rate over an interval, per node and summed; a check for CI",
		Long: `Read every node's counters twice, --interval apart, and tell what happened in
between: hits/(hits+misses), and beside it what explains misses: keys that
expired, keys evicted for want of memory, and commands that failed.

The total is the ratio of the sums, never a mean of ratios. Replicas count what
is read from them. Without a lookup in the window there is no hit rate, and "-"
is shown. A restart or a reset of the counters inside a window is detected and
said; its counts are then a lower bound. cachectl itself looks up no key here,
so no count is its own.

The server counts lookups, not requests: EXISTS, TTL and TYPE count, MGET counts
each key, and HGET of a missing field is a hit. Memcached counts touch and gat
apart from get, and they are told apart; of misses it knows some reasons, which
are lower bounds. --slabs shows its slab classes, which have hits and no misses.`,
		Example: `  cachectl hitrate --interval 10s
  cachectl hitrate --fail-if 'hit_rate < 0.8' --fail-if 'evictions_per_second > 10'
  cachectl hitrate --follow
  cachectl hitrate --since-start -o json --jq .hit_rate
  cachectl hitrate -t memcached://10.0.0.5,10.0.0.6 --slabs
  cachectl hitrate -o markdown >> "$GITHUB_STEP_SUMMARY"
  cachectl hitrate -o prom --out /var/lib/node_exporter/cache.prom`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), env) },
	}
	o.target.add(cmd, env)
	o.output.add(cmd, columnNames(hitColumns)...)
	o.gates.add(cmd, "hit_rate < 0.8")
	f := cmd.Flags()
	f.StringVar(&o.interval, "interval", "1s", "`time` between the two looks")
	f.IntVarP(&o.count, "count", "n", 1, "windows to show, one behind the other")
	f.BoolVarP(&o.follow, "follow", "f", false, "go on until interrupted, or until a check fails")
	f.BoolVar(&o.sinceStart, "since-start", false, "one look: since the server started or its counters were reset")
	f.BoolVar(&o.slabs, "slabs", false, "one look at memcached's slab classes instead: hits, fill, waste, evictions")
	f.StringVar(&o.failUnder, "fail-under", "", "short for --fail-if 'hit_rate < `PERCENT`'")
	return describe(cmd, "look", impactRead, exitsFailed, exitsUsage, exitsCheck, exitsPartial, exitsInterrupted)
}

// A hitNode is one row: a node's window, and its counters at the window's end.
type hitNode struct {
	analyze.Window
	now backends.Stats
}

// A hitWindow is one answer: all nodes over the same interval.
type hitWindow struct {
	end   time.Time
	nodes []hitNode
	total analyze.HitRate
}

func (o *hitrateOptions) run(ctx context.Context, env *Env) error {
	ro, err := o.parse(ctx, env)
	if err != nil {
		return err
	}
	b, _, err := o.target.open(ctx, env)
	if err != nil {
		return err
	}
	defer b.Close()
	if o.slabs {
		return o.runSlabs(ctx, env, ro, b)
	}
	lost := newTrouble(env)
	windows := backends.Observe(o.windows(ctx, b, lost), func(h hitWindow) { o.tell(env, h) })
	if ro.Format == render.Prom {
		windows = last(windows)
	}
	var all analyze.HitRate
	windows = o.judged(windows, &all)
	err = o.output.render(env, ro, func(w *render.Writer) error {
		if o.flat(ro) {
			return w.Write(flatDoc(windows))
		}
		return writeWindows(w, windows)
	})
	if err == nil && !o.follow {
		err = o.gates.check(gateValues(&all))
	}
	return errors.Join(err, lost.err(all.Windows > 0))
}

func (o *hitrateOptions) parse(ctx context.Context, env *Env) (render.Options, error) {
	ro, err := o.output.options(ctx, env)
	if err != nil {
		return ro, err
	}
	if o.every, err = parseDuration(o.interval); err == nil && o.every == 0 {
		err = errors.New("it is more than 0")
	}
	if err != nil {
		return ro, usagef("bad --interval: %w", err)
	}
	switch {
	case o.count < 1:
		return ro, usagef("bad --count %d: it is at least 1", o.count)
	case o.sinceStart && (o.follow || o.count > 1):
		return ro, usagef("--since-start is one look: it does not go with --follow or --count")
	case o.slabs && (o.follow || o.count > 1 || o.sinceStart || len(o.gates.texts) > 0 || o.failUnder != ""):
		return ro, usagef("--slabs is one look since the start: it does not go with --follow, --count, --since-start or checks")
	case o.follow && (ro.Format == render.Prom || o.output.file != ""):
		return ro, usagef("--follow never ends, so -o prom and --out do not go with it")
	}
	if o.failUnder != "" {
		percent, err := strconv.ParseFloat(strings.TrimSuffix(o.failUnder, "%"), 64)
		if err != nil || percent < 0 || percent > 100 {
			return ro, usagef("bad --fail-under %q: it is a percentage, such as 80%%", o.failUnder)
		}
		o.gates.texts = append(o.gates.texts, fmt.Sprintf("hit_rate < %g%%", percent))
	}
	if err := o.gates.parse(gateFields...); err != nil {
		return ro, err
	}
	ro.Many = o.count > 1 || o.follow
	if len(o.output.columns) == 0 {
		ro.Columns = o.defaultColumns(ro.Format)
	}
	return ro, nil
}

// windows brings one answer an interval.
func (o *hitrateOptions) windows(ctx context.Context, b backends.Backend, lost *trouble) iter.Seq2[hitWindow, error] {
	return func(yield func(hitWindow, error) bool) {
		before, err := readStats(ctx, b, lost)
		if err == nil && o.sinceStart {
			yield(sinceStart(before), nil)
			return
		}
		for n := 0; err == nil && (o.follow || n < o.count); n++ {
			select {
			case <-ctx.Done():
				err = context.Cause(ctx)
				continue
			case <-time.After(o.every):
			}
			var after []backends.Stats
			if after, err = readStats(ctx, b, lost); err != nil {
				continue
			}
			lost.tellLost()
			if !yield(between(before, after), nil) {
				return
			}
			before = after
		}
		if err != nil {
			yield(hitWindow{}, err)
		}
	}
}

// between pairs the nodes of two looks. A node that is new in the second has
// no window yet.
func between(before, after []backends.Stats) hitWindow {
	was := make(map[string]backends.Stats)
	for _, s := range before {
		was[s.Node] = s
	}
	var h hitWindow
	for _, s := range after {
		if first, known := was[s.Node]; known {
			h.add(hitNode{analyze.Between(first, s), s})
		}
	}
	return h
}

func sinceStart(stats []backends.Stats) hitWindow {
	var h hitWindow
	for _, s := range stats {
		h.add(hitNode{analyze.SinceStart(s), s})
	}
	return h
}

func (h *hitWindow) add(n hitNode) {
	h.nodes = append(h.nodes, n)
	h.total.Add(n.Window)
	if n.now.At.After(h.end) {
		h.end = n.now.At
	}
}

// tell says on stderr what makes a window's counts lower bounds.
func (o *hitrateOptions) tell(env *Env, h hitWindow) {
	for _, n := range h.nodes {
		switch {
		case n.Restarted:
			env.warn("%s restarted or was replaced inside the window: its counts are since its start", n.Node)
		case n.Reset:
			env.warn("%s had its counters reset inside the window: its counts are since then", n.Node)
		}
	}
	if share := touchShare(&h.total); share > 0.05 {
		env.note("%s of the lookups are touch, gat or mg with T, which memcached counts apart: hit_rate leaves them out", render.Ratio(share).Text)
	}
}

// judged adds every window up, and with --follow ends at the first that fails a check.
func (o *hitrateOptions) judged(windows iter.Seq2[hitWindow, error], all *analyze.HitRate) iter.Seq2[hitWindow, error] {
	return func(yield func(hitWindow, error) bool) {
		for h, err := range windows {
			if err == nil {
				all.Merge(&h.total)
			}
			if !yield(h, err) {
				return
			}
			if err == nil && o.follow {
				if err := o.gates.check(gateValues(&h.total)); err != nil {
					yield(hitWindow{}, err)
					return
				}
			}
		}
	}
}

func last[T any](seq iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var final T
		some := false
		for item, err := range seq {
			if err != nil {
				yield(item, err)
				return
			}
			final, some = item, true
		}
		if some {
			yield(final, nil)
		}
	}
}

func writeWindows(w *render.Writer, windows iter.Seq2[hitWindow, error]) error {
	for h, err := range windows {
		if err != nil {
			return err
		}
		if err := w.Write(windowDoc(h)); err != nil {
			return err
		}
	}
	return nil
}

// gateValues are the fields of the whole answer.
func gateValues(h *analyze.HitRate) map[string]float64 {
	values := map[string]float64{
		"hit_rate":               h.Ratio(),
		"hits_per_second":        h.PerSecond(backends.Hits),
		"misses_per_second":      h.PerSecond(backends.Misses),
		"evictions_per_second":   h.PerSecond(backends.Evicted),
		"expirations_per_second": h.PerSecond(backends.Expired),
		"errors_per_second":      h.PerSecond(backends.FailedCalls) + h.PerSecond(backends.RejectedCalls),
		"nodes":                  float64(h.Nodes()),
		"window_seconds":         h.Watched().Seconds(),
	}
	for name, counter := range map[string]backends.Counter{"hits": backends.Hits, "misses": backends.Misses} {
		if n, known := h.Count(counter); known {
			values[name] = float64(n)
		} else {
			values[name] = math.NaN()
		}
	}
	values["lookups"] = values["hits"] + values["misses"]
	return values
}

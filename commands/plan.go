package commands

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cachectl/cachectl/analyze"
	"github.com/cachectl/cachectl/commands/render"
)

// A plan is what a change would meet, told before it is made.
type plan struct {
	verb     string // "delete"
	where    string
	how      string // where the numbers come from
	total    int64  // keys in the cache; 0: unknown
	keys     analyze.Estimate
	bytes    analyze.Estimate
	sized    int64 // sizes that bytes come from
	examples []string
	nodes    []nodePlan
	spared   []string      // patterns that never go
	named    int64         // keys of a list, there or not
	walk     time.Duration // how long a walk over it took; 0: there was none
	takes    time.Duration
	pace     string
	more     [][2]string // lines of the command's own: name and text
	warnings []string
}

// A nodePlan is one node's share.
type nodePlan struct {
	node string
	of   int64
	keys analyze.Estimate
}

func (pl *plan) example(key string) {
	if len(pl.examples) < planExamples && !slices.Contains(pl.examples, key) {
		pl.examples = append(pl.examples, strings.Clone(key))
	}
}

// print tells the plan on stderr.
func (pl *plan) print(env *Env) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(env.Err, "  %-9s %s\n", name, render.Visible(fmt.Sprintf(format, args...)))
	}
	fmt.Fprintf(env.Err, "cachectl: plan: %s from %s\n", pl.verb, render.Visible(pl.where))
	how := ""
	if pl.keys.Exact() {
		how = " (" + pl.how + ")"
	}
	switch {
	case pl.named > 0:
		line("keys", "%s of the %s that are named%s", roughly(pl.keys), render.Int(pl.named).Text, how)
	case pl.total > 0:
		line("keys", "%s of %s, %s%s", roughly(pl.keys), render.Int(pl.total).Text, render.Ratio(min(pl.keys.Value/float64(pl.total), 1)).Text, how)
	default:
		line("keys", "%s%s", roughly(pl.keys), how)
	}
	if !pl.keys.Exact() {
		line("between", "%s and %s (95 %%, from %s)", render.Int(significant(pl.keys.Low)).Text, render.Int(significant(pl.keys.High)).Text, pl.how)
	}
	if pl.sized > 0 {
		some := ""
		if pl.keys.Exact() && pl.bytes.Exact() && pl.sized < int64(pl.keys.Value) {
			some = fmt.Sprintf(" of %s; the others' sizes are unknown", plural(pl.sized, "key"))
		}
		line("memory", "%s%s", aboutBytes(pl.bytes), some)
	}
	for _, l := range pl.more {
		line(l[0], "%s", l[1])
	}
	if len(pl.examples) > 0 {
		quoted := make([]string, len(pl.examples))
		for i, key := range pl.examples {
			quoted[i] = render.Quote(key)
		}
		line("such as", "%s", strings.Join(quoted, "  "))
	}
	if len(pl.nodes) > 1 {
		for _, n := range pl.nodes {
			of := ""
			if n.of > 0 {
				of = " of " + render.Int(n.of).Text
			}
			line("node", "%s: %s%s", n.node, about(n.keys), of)
		}
	}
	if len(pl.spared) > 0 {
		line("never", "%s", strings.Join(pl.spared, "  "))
	}
	switch {
	case pl.takes >= time.Second:
		line("time", "about %s %s", render.Duration(pl.takes).Text, pl.pace)
	case pl.takes > 0:
		line("time", "less than a second %s", pl.pace)
	default:
		line("time", "unknown, %s", pl.pace)
	}
}

// about says a number of keys. An estimate comes with its interval, and with no more
// digits than it has.
func about(e analyze.Estimate) string {
	if e.Exact() {
		return plural(int64(e.Value), "key")
	}
	return fmt.Sprintf("about %s (%s to %s)", plural(significant(e.Value), "key"), render.Int(significant(e.Low)).Text, render.Int(significant(e.High)).Text)
}

// roughly is about without its interval.
func roughly(e analyze.Estimate) string {
	if e.Exact() {
		return plural(int64(e.Value), "key")
	}
	return "about " + plural(significant(e.Value), "key")
}

// significant rounds to three digits.
func significant(f float64) int64 {
	unit := math.Pow(10, max(0, math.Floor(math.Log10(max(f, 1)))-2))
	return int64(math.Round(f/unit) * unit)
}

func aboutBytes(e analyze.Estimate) string {
	if e.Exact() {
		return render.Bytes(int64(e.Value)).Text
	}
	return fmt.Sprintf("about %s (%s to %s)", render.Bytes(int64(e.Value)).Text, render.Bytes(int64(e.Low)).Text, render.Bytes(int64(e.High)).Text)
}

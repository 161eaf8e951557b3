package loadgen

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// What a comparison needs before it judges.
const (
	fewestRuns    = 4  // a side, to compare runs
	fewestSeconds = 20 // a side, to compare seconds
	fewestBlocks  = 6
)

// A Comparison says what differs between two sides, and what of it is noise.
type Comparison struct {
	Method      string
	A, B        Size
	Differences []Difference
	Notes       []string // why the sides may not be alike in what they were asked for
}

// A Size is how much a side of a comparison knows.
type Size struct {
	Runs, Seconds int
}

// A Difference is one figure on both sides. Latencies are in seconds, shares from 0 to 1;
// NaN is unknown.
type Difference struct {
	Name        string
	Kind        FigureKind
	A, B        float64
	Change      float64 // B by A, less 1; of shares B less A
	Low, High   float64 // what Change may be in truth. NaN where Unjudged
	Noise       bool    // Low and High are on both sides of nothing
	HigherWins  bool    // more is better
	Unjudged    string  // why nobody can tell: "need at least 60 seconds a side"; "": it is told
	NeedSeconds int     // as Unjudged says; 0: seconds would not help
}

// A FigureKind says what a figure is.
type FigureKind uint8

// The kinds of figure.
const (
	Rate    FigureKind = iota // a second
	Share                     // 0 to 1
	Latency                   // seconds
)

// A figure is one that Compare compares.
type figure struct {
	name string
	kind FigureKind
	q    float64                               // of latency
	of   func(t *Tick) (x, n uint64)           // what it is of a second; nil: seconds do not tell
	run  func(r *Report, total *Tally) float64 // what it is of a run
}

var figures = []figure{
	{"rate", Rate, 0, func(t *Tick) (uint64, uint64) { return t.Done, 1 }, func(r *Report, _ *Tally) float64 { return r.Rate() }},
	latencyFigure(.5), latencyFigure(.9), latencyFigure(.99), latencyFigure(.999),
	{"max", Latency, 1, nil, func(_ *Report, t *Tally) float64 { return t.Latency.seconds(1) }},
	{"hit_rate", Share, 0, func(t *Tick) (uint64, uint64) { return t.Hits, t.Hits + t.Misses }, func(r *Report, _ *Tally) float64 { return r.HitRate() }},
	{"error_rate", Share, 0, func(t *Tick) (uint64, uint64) { return t.Refused + t.Lost, t.Sent }, func(r *Report, _ *Tally) float64 { return r.ErrorRate() }},
	{"service_p99", Latency, .99, nil, func(_ *Report, t *Tally) float64 { return t.Service.seconds(.99) }},
}

func latencyFigure(q float64) figure {
	return figure{fmt.Sprintf("p%.4g", q*100), Latency, q, func(t *Tick) (uint64, uint64) { return 0, t.Latency.Count() },
		func(_ *Report, t *Tally) float64 { return t.Latency.seconds(q) }}
}

// seconds is a quantile in seconds; NaN of nothing.
func (h *Histogram) seconds(q float64) float64 {
	if h.Count() == 0 {
		return math.NaN()
	}
	return h.Quantile(q).Seconds()
}

// Compare tells what b has that a has not. Each report is one run. With four runs or more on both
// sides runs are compared, else seconds of runs (Method says which). The intervals
// hold together in 95 of 100 comparisons, so that two sides that are alike show no difference in as
// many. It draws no random numbers: the same reports give the same answer.
func Compare(a, b []*Report) Comparison {
	sides := [2]*side{newSide(a), newSide(b)}
	c := Comparison{A: sides[0].size(), B: sides[1].size(), Notes: unalike(a, b)}
	byRuns := len(a) >= fewestRuns && len(b) >= fewestRuns
	if byRuns {
		c.Method = fmt.Sprintf("%d and %d runs; Welch's t of logarithms (of shares: as they are), 95%% for all figures together", len(a), len(b))
	} else {
		c.Method = fmt.Sprintf("%d and %d seconds; blocks of neighbouring seconds, Woodruff's intervals of quantiles, 95%% for all figures together", c.A.Seconds, c.B.Seconds)
		c.Notes = append(c.Notes, fmt.Sprintf("what differs from run to run is not in the intervals: compare %d runs a side for that", fewestRuns))
	}
	for _, f := range figures {
		d := Difference{Name: f.name, Kind: f.kind, Low: math.NaN(), High: math.NaN(), HigherWins: f.kind == Rate || f.name == "hit_rate"}
		if byRuns {
			d.byRuns(&f, sides)
		} else {
			d.bySeconds(&f, sides)
		}
		d.Change = d.B - d.A
		if f.kind != Share {
			d.Change = d.B/d.A - 1
		}
		d.Noise = d.Unjudged == "" && d.Low <= 0 && d.High >= 0
		c.Differences = append(c.Differences, d)
	}
	return c
}

// A side is the runs of one side.
type side struct {
	runs    []*Report
	totals  []Tally // of each
	sum     Report  // of all, without ticks
	total   Tally
	ticks   [][]Tick // whole seconds only
	seconds int
}

func newSide(runs []*Report) *side {
	s := &side{runs: runs, totals: make([]Tally, len(runs)), ticks: make([][]Tick, len(runs))}
	for i, r := range runs {
		s.totals[i] = r.Total()
		for do := range r.Tallies {
			s.sum.Tallies[do].Merge(&r.Tallies[do])
		}
		s.sum.Length += r.Length
		for _, t := range r.Ticks {
			if t.At+time.Second <= r.Length+10*time.Millisecond {
				s.ticks[i] = append(s.ticks[i], t)
			}
		}
		s.seconds += len(s.ticks[i])
	}
	s.total = s.sum.Total()
	return s
}

func (s *side) size() Size { return Size{Runs: len(s.runs), Seconds: s.seconds} }

// byRuns judges the mean of runs.
func (d *Difference) byRuns(f *figure, sides [2]*side) {
	var values [2][]float64
	var means [2]float64
	for i, s := range sides {
		for j, r := range s.runs {
			v := f.run(r, &s.totals[j])
			if f.kind != Share {
				v = math.Log(v)
			}
			values[i] = append(values[i], v)
		}
		means[i], _ = moments(values[i])
	}
	change := welch(values[0], values[1], len(figures))
	d.A, d.B, d.Low, d.High = means[0], means[1], change.low, change.high
	if f.kind != Share {
		d.A, d.B, d.Low, d.High = math.Exp(d.A), math.Exp(d.B), math.Expm1(change.low), math.Expm1(change.high)
	}
	if math.IsNaN(change.at) || math.IsInf(change.at, 0) {
		d.refuse("some runs have none", 0)
	}
}

func (d *Difference) refuse(why string, seconds int) {
	d.Unjudged, d.NeedSeconds, d.Low, d.High = why, seconds, math.NaN(), math.NaN()
}

// bySeconds judges the sums of seconds.
func (d *Difference) bySeconds(f *figure, sides [2]*side) {
	d.A, d.B = f.run(&sides[0].sum, &sides[0].total), f.run(&sides[1].sum, &sides[1].total)
	switch {
	case math.IsNaN(d.A) || math.IsNaN(d.B):
		d.refuse("one side has none", 0)
		return
	case f.of == nil:
		d.refuse(fmt.Sprintf("seconds do not tell it: needs %d runs a side", fewestRuns), 0)
		return
	}
	judged := 0
	for _, other := range figures {
		if other.of != nil {
			judged++
		}
	}
	var both [2]interval
	var all [2]series
	need, spread := 0, 0.0
	for i, s := range sides {
		all[i] = measure(s.counted(f))
		need = max(need, all[i].need())
		spread += all[i].spread() / 2
	}
	if need == 0 {
		for i, s := range sides {
			var more int
			if both[i], more = s.interval(f, &all[i], spread, judged); more > 0 {
				need = max(need, more)
			}
		}
	}
	if need > 0 {
		d.refuse(fmt.Sprintf("need at least %d seconds a side", need), need)
		return
	}
	if f.kind == Share {
		change := both[1].minus(both[0])
		d.Low, d.High = change.low, change.high
		return
	}
	change := both[1].log().minus(both[0].log())
	d.Low, d.High = math.Expm1(change.low), math.Expm1(change.high)
}

// need is how many seconds it would take to judge the series; 0: no more.
func (s *series) need() int {
	need := 0
	if s.seconds < fewestSeconds {
		need = fewestSeconds
	}
	if s.blocks > 0 && s.blocks < fewestBlocks {
		need = max(need, int(math.Ceil(float64(s.seconds)*fewestBlocks/s.blocks)))
	}
	return need
}

// counted are the seconds, run by run. Of a quantile x is what was longer.
func (s *side) counted(f *figure) []counted {
	limit := s.total.Latency.Quantile(f.q)
	all := make([]counted, len(s.ticks))
	for i, ticks := range s.ticks {
		for j := range ticks {
			x, n := f.of(&ticks[j])
			if f.kind == Latency {
				for at, count := range ticks[j].Latency.Buckets() {
					if at > limit {
						x += count
					}
				}
			}
			all[i].x, all[i].n = append(all[i].x, float64(x)), append(all[i].n, float64(n))
		}
	}
	return all
}

// interval is what the figure may be, or how many seconds it would take to tell.
func (s *side) interval(f *figure, c *series, spread float64, judged int) (interval, int) {
	crit := critical(judged, c.blocks-1)
	switch f.kind {
	case Rate:
		if c.x == 0 {
			return interval{}, 2 * c.seconds
		}
		return c.rate(crit), 0
	case Share:
		return wilson(c.x/c.n, c.n, spread, crit), 0
	}
	rare := min(f.q, 1-f.q) * c.n / c.spread() // that many longer ones, each by itself
	if rare < 1+crit {                         // then the quantile may be beyond the maximum
		return interval{}, max(int(math.Ceil(float64(c.seconds)*(1+crit)/rare)), c.seconds+1)
	}
	above := wilson(1-f.q, c.n, c.spread(), crit) // Woodruff (JASA 47, 1952): an interval of the share above, read off the distribution
	latency := &s.total.Latency
	return interval{latency.seconds(f.q), latency.seconds(1 - above.high), latency.seconds(1 - above.low)}, 0
}

// unalike says what makes the sides no fair comparison.
func unalike(a, b []*Report) []string {
	var notes []string
	if len(a) > 0 && len(b) > 0 {
		if differs := unlike(a[0].Traffic, b[0].Traffic); differs != "" {
			notes = append(notes, "the traffic of A and B differs in its "+differs)
		}
		if one, other := a[0].Traffic.Shard, b[0].Traffic.Shard; max(one.Of, 1) != max(other.Of, 1) {
			notes = append(notes, fmt.Sprintf("A is shard %s and B shard %s: they are not as much of their traffic", one, other))
		}
	}
	for name, runs := range [][]*Report{a, b} {
		which := string(rune('A' + name))
		for i, r := range runs {
			if differs := unlike(runs[0].Traffic, r.Traffic); i > 0 && differs != "" && differs != "seed" {
				notes = append(notes, fmt.Sprintf("the runs of %s differ in their %s", which, differs))
			}
			if len(r.Invalid) > 0 {
				notes = append(notes, fmt.Sprintf("a run of %s is not valid: %s", which, strings.Join(r.Invalid, "; ")))
			}
			if dropped := r.DropRate(); dropped > 0 {
				notes = append(notes, fmt.Sprintf("a run of %s dropped %.2g%% of its requests: its latency lacks them", which, dropped*100))
			}
		}
	}
	return slices.Compact(notes)
}

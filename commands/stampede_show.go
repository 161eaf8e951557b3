package commands

import (
	"fmt"
	"math"

	"github.com/cachectl/cachectl/commands/render"
	"github.com/cachectl/cachectl/loadgen/fleet"
	"github.com/cachectl/cachectl/loadgen/theory"
)

// stampedeColumns are what is told of a strategy.
var stampedeColumns = []render.Column{
	{Name: "strategy", Label: true},
	{Name: "expiries", Right: true, Metric: counter("cachectl_stampede_expiries_total", "Expiries that were counted.")},
	{Name: "calls", Field: "origin_calls_per_expiry", Right: true, Metric: gauge("cachectl_stampede_origin_calls_per_expiry", "Origin calls per expiry, on average.")},
	{Name: "predicted", Field: "predicted_calls_per_expiry", Right: true, Metric: gauge("cachectl_stampede_predicted_calls_per_expiry", "Origin calls per expiry that theory predicts; absent without a closed form.")},
	{Name: "band", Right: true},
	{Name: "verdict"},
	{Name: "p99_calls", Field: "p99_calls_per_expiry", Right: true, Metric: gauge("cachectl_stampede_p99_calls_per_expiry", "Origin calls per expiry, p99.")},
	{Name: "max_calls", Field: "max_calls_per_expiry", Right: true, Metric: gauge("cachectl_stampede_max_calls_per_expiry", "Origin calls per expiry at most.")},
	{Name: "peak", Field: "peak_concurrency", Right: true, Metric: gauge("cachectl_stampede_peak_concurrency", "Origin calls under way at once, at most.")},
	{Name: "duplicated", Field: "duplicated_ratio", Right: true, Metric: gauge("cachectl_stampede_duplicated_ratio", "Share of the origin calls that brought what another brought too.")},
	{Name: "missing", Field: "missing_mean_ms", Right: true, Wide: true},
	{Name: "calls/s", Field: "origin_calls_per_second", Right: true, Wide: true, Metric: gauge("cachectl_stampede_origin_calls_per_second", "Origin calls a second.")},
	{Name: "hit_rate", Right: true, Metric: gauge("cachectl_stampede_hit_ratio", "Requests served from the cache, by all.")},
	{Name: "p50", Field: "p50_ms", Right: true, Wide: true, Metric: gauge("cachectl_stampede_p50_milliseconds", "Latency of requests, p50.")},
	{Name: "p99", Field: "p99_ms", Right: true, Metric: gauge("cachectl_stampede_p99_milliseconds", "Latency of requests, p99.")},
	{Name: "p99.9", Field: "p999_ms", Right: true, Wide: true, Metric: gauge("cachectl_stampede_p999_milliseconds", "Latency of requests, p99.9.")},
	{Name: "window_p99", Field: "window_p99_ms", Right: true},
	{Name: "waited", Field: "lock_waits", Right: true, Wide: true},
	{Name: "wait_p99", Field: "lock_wait_p99_ms", Right: true, Wide: true},
	{Name: "lock_expired", Field: "locks_expired", Right: true, Wide: true},
	{Name: "early", Field: "early_calls", Right: true, Wide: true},
	{Name: "stale", Field: "stale_serves", Right: true, Metric: counter("cachectl_stampede_stale_serves_total", "Requests served a value past its TTL.")},
	{Name: "stale_age", Field: "stale_age_p99_ms", Right: true, Wide: true},
	{Name: "gave_up", Right: true, Metric: counter("cachectl_stampede_gave_up_total", "Requests whose client gave up.")},
	{Name: "errors", Right: true, Metric: counter("cachectl_stampede_errors_total", "Requests answered by an error.")},
	{Name: "recovered", Field: "recovered_after"},
}

// stampedeFields are what checks may name.
var stampedeFields = []string{
	"origin_calls_per_expiry", "p99_calls_per_expiry", "max_calls_per_expiry", "peak_concurrency", "duplicated_ratio",
	"origin_calls_per_second", "hit_rate", "p50", "p99", "p99.9", "max", "window_p99", "stale_serves", "stale_age_p99", "gave_up", "errors",
	"expiries", "outside_band", "not_recovered", "overloaded",
}

// A prediction is a measured mean beside what theory says.
type prediction struct {
	theory.Expectation
	low, high float64
	verdict   string
	style     render.Style
}

// The verdicts.
const (
	withinBand  = "as predicted"
	outsideBand = "OUTSIDE its band"
	noForm      = "no closed form"
	noExpiry    = "no expiry"
)

// judge holds what was measured against theory.
func (r *strategyRun) judge() prediction {
	starts := &r.report.Cycles.Starts
	p := prediction{Expectation: *r.expected}
	p.low, p.high = p.Band(starts.N)
	switch {
	case starts.N == 0:
		p.verdict = noExpiry
	case p.Kind == theory.None:
		p.verdict = noForm
	case p.Holds(starts.Mean(), starts.N):
		p.verdict, p.style = withinBand, render.Good
	default:
		p.verdict, p.style = outsideBand, render.Bad
	}
	return p
}

// stampedeDoc puts strategies side by side, and says what is behind their figures.
func stampedeDoc(runs []strategyRun) render.Doc {
	doc := render.Doc{Columns: stampedeColumns, List: "strategies"}
	var table []render.Row
	for _, r := range runs {
		p := r.judge()
		table = append(table, strategyRow(r, p))
		doc.Notes = append(doc.Notes, invalidNotes(r)...)
		switch {
		case p.verdict == noForm:
			doc.Notes = append(doc.Notes, fmt.Sprintf("%s: no closed form: %s", r.name, p.Note))
		case p.verdict == outsideBand:
			doc.Notes = append(doc.Notes, fmt.Sprintf("%s: %s calls per expiry in %d expiries, and theory says %s (%s to %s): %s", r.name,
				number(r.report.Cycles.Starts.Mean()), r.report.Cycles.Starts.N, number(p.Mean), number(p.low), number(p.high),
				"the model does not hold here, or something else took the machine's time"))
		}
		for i := range r.report.After {
			doc.Notes = append(doc.Notes, r.name+": "+aftermathText(&r.report.After[i], r.report.Rule))
		}
		if r.report.Overloaded > 0 {
			doc.Notes = append(doc.Notes, r.name+": in the end the origin was busy without a break while requests failed")
		}
	}
	doc.Rows = rows(table)
	return doc
}

func strategyRow(r strategyRun, p prediction) render.Row {
	rep := r.report
	starts := &rep.Cycles.Starts
	count := func(n uint64) render.Cell { return render.Uint(n) }
	perExpiry := func(c render.Cell) render.Cell {
		if starts.N == 0 {
			return render.Unknown()
		}
		return c
	}
	predicted, band := render.Unknown(), render.Unknown()
	if p.Kind != theory.None {
		predicted = figure(p.Mean)
		if starts.N > 0 {
			band = render.Text(number(math.Max(p.low, 0)) + " to " + number(p.high))
		}
	}
	return render.Row{
		render.Text(r.name), count(starts.N), perExpiry(figure(starts.Mean())), predicted, band, render.Text(p.verdict).As(p.style),
		perExpiry(count(starts.Quantile(0.99))), perExpiry(count(starts.Max())), count(uint64(rep.Origin.Peak)), perExpiry(render.Ratio(rep.Cycles.Duplicated())),
		latency(rep.Cycles.Missing.Mean(), rep.Cycles.Missing.Count()), rateCell(callRate(rep)), render.Ratio(rep.Hits()),
		spanCell(&rep.Latency, 0.5), spanCell(&rep.Latency, 0.99), spanCell(&rep.Latency, 0.999), spanCell(&rep.Window, 0.99),
		count(rep.Locks.Waited.Count()), spanCell(&rep.Locks.Waited, 0.99), count(rep.Locks.Expired), count(rep.Origin.Early),
		count(rep.Served[fleet.FromStale]), spanCell(&rep.Stale.Past, 0.99), badCount(rep.GaveUp), badCount(rep.Served[fleet.WithError]),
		recovery(rep),
	}
}

// callRate is how many origin reads came a second.
func callRate(r *fleet.Report) float64 {
	return float64(r.Origin.Reads) / measuredSeconds(r)
}

func recovery(r *fleet.Report) render.Cell {
	cell := render.Unknown()
	for i := range r.After {
		a := &r.After[i]
		if !a.Recovered {
			return render.Text("never").As(render.Bad)
		}
		cell = render.Duration(a.After).As(render.Good)
	}
	return cell
}

// stampedeFigures are a strategy's numbers, by the names that checks use.
func stampedeFigures(r strategyRun) map[string]float64 {
	rep := r.report
	starts := &rep.Cycles.Starts
	values := map[string]float64{
		"origin_calls_per_second": callRate(rep), "hit_rate": rep.Hits(), "peak_concurrency": float64(rep.Origin.Peak),
		"stale_serves": float64(rep.Served[fleet.FromStale]), "gave_up": float64(rep.GaveUp), "errors": float64(rep.Served[fleet.WithError]),
		"stale_age_p99": 0, // where nothing was stale, no age is too great
		"expiries":      float64(starts.N), "outside_band": 0, "not_recovered": 0, "overloaded": float64(rep.Overloaded),
	}
	if starts.N > 0 {
		values["origin_calls_per_expiry"], values["duplicated_ratio"] = starts.Mean(), rep.Cycles.Duplicated()
		values["p99_calls_per_expiry"], values["max_calls_per_expiry"] = float64(starts.Quantile(0.99)), float64(starts.Max())
	}
	quantiles(values, map[string]point{
		"p50": {&rep.Latency, .5}, "p99": {&rep.Latency, .99}, "p99.9": {&rep.Latency, .999}, "max": {&rep.Latency, 1},
		"window_p99": {&rep.Window, .99}, "stale_age_p99": {&rep.Stale.Past, .99},
	})
	if r.judge().verdict == outsideBand {
		values["outside_band"] = 1
	}
	for i := range rep.After {
		if !rep.After[i].Recovered {
			values["not_recovered"]++
		}
	}
	return values
}

package commands

import (
	"time"

	"github.com/cachectl/cachectl/commands/render"
	"github.com/cachectl/cachectl/loadgen/fleet"
)

// page shows strategies side by side: the table, what reached the origin over time, and how
// long clients waited.
func experimentPage(env *Env, title string, doc render.Doc, runs []strategyRun) render.Page {
	p := render.Page{Title: title, Summary: doc.Fields, Foot: pageFoot(env)}
	doc.Fields = nil
	var triggers []fleet.Trigger
	for i := range runs[0].report.After {
		triggers = append(triggers, runs[0].report.After[i].Trigger)
	}
	p.Sections = []render.Section{
		{Title: "Side by side", Table: &doc},
		{Title: "Calls to the origin", Text: "How many fetches and commits the origin began in each second.", Chart: tickChart("Origin calls a second", render.Count, runs, func(t *fleet.Tick) float64 { return float64(t.Starts) }, triggers)},
		{Title: "At the origin at once", Text: "The most that were under way or waiting in each second.", Chart: tickChart("Under way at the origin", render.Count, runs, func(t *fleet.Tick) float64 { return float64(t.Most) }, triggers)},
		{Title: "Hit rate", Text: "Of the reads that were due in each second: answered without waiting for the origin.", Chart: tickChart("Hit rate", render.Share, runs, hitsOf, triggers)},
		{Title: "Latency by percentile", Text: "Of reads, from the moment they were due.", Chart: strategiesChart(runs)},
	}
	if starts := startsChart(runs); starts != nil {
		p.Sections = append(p.Sections, render.Section{Title: "Calls per expiry", Chart: starts})
	}
	return p
}

func hitsOf(t *fleet.Tick) float64 {
	if t.Reads == 0 {
		return -1
	}
	return t.HitRatio()
}

// tickChart draws a figure of every second in which requests were due to the end; one below 0 is unknown.
func tickChart(title string, unit render.Unit, runs []strategyRun, of func(*fleet.Tick) float64, triggers []fleet.Trigger) *render.Chart {
	c := &render.Chart{Title: title, Kind: render.Step, X: render.Axis{Label: "time", Unit: render.Second}, Y: render.Axis{Unit: unit}}
	for _, r := range runs {
		s := render.Series{Name: r.name}
		for i := range r.report.Ticks {
			if whole := int(r.report.Length / time.Second); i >= max(whole, 1) {
				break
			}
			if v := of(&r.report.Ticks[i]); v >= 0 {
				s.Points = append(s.Points, render.Point{X: float64(i), Y: v})
			}
		}
		c.Series = append(c.Series, s)
	}
	for _, t := range triggers {
		c.Marks = append(c.Marks, render.Mark{X: t.At.Seconds(), Text: t.Do})
	}
	return c
}

// strategiesChart draws latencies by percentile.
func strategiesChart(runs []strategyRun) *render.Chart {
	c := &render.Chart{Title: "Latency by percentile", X: render.Axis{Label: "percentile", Scale: render.Percentile}, Y: render.Axis{Label: "latency", Unit: render.Second, Scale: render.Log}}
	for _, r := range runs {
		c.Series = append(c.Series, spectrum(r.name, &r.report.Latency))
	}
	return c
}

// startsChart draws how many calls expiries cost; nil where nothing expired.
func startsChart(runs []strategyRun) *render.Chart {
	c := &render.Chart{Title: "Origin calls per expiry", Kind: render.Bars, Y: render.Axis{Label: "calls", Unit: render.Count},
		Series: []render.Series{{Name: "mean"}, {Name: "99th percentile"}, {Name: "most"}}}
	for _, r := range runs {
		starts := &r.report.Cycles.Starts
		if starts.N == 0 {
			continue
		}
		x := float64(len(c.Categories))
		c.Categories = append(c.Categories, r.name)
		for i, v := range []float64{starts.Mean(), float64(starts.Quantile(0.99)), float64(starts.Max())} {
			c.Series[i].Points = append(c.Series[i].Points, render.Point{X: x, Y: v})
		}
	}
	if len(c.Categories) == 0 {
		return nil
	}
	return c
}

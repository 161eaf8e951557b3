package commands

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cachectl/cachectl/commands/render"
	"github.com/cachectl/cachectl/loadgen"
)

// loadColumns are the columns of what a run came to, a row for each kind of request and one for all.
var loadColumns = append([]render.Column{
	{Name: "target", Label: true, Wide: true},
	{Name: "kind", Label: true},
	{Name: "requests", Right: true, Metric: counter("cachectl_load_requests_total", "Requests that were due.")},
	{Name: "rate", Field: "requests_per_second", Right: true, Metric: gauge("cachectl_load_requests_per_second", "Requests answered a second.")},
	{Name: "hit_rate", Right: true, Metric: gauge("cachectl_load_hit_ratio", "Hits by answered reads; absent without reads.")},
	{Name: "errors", Right: true, Metric: counter("cachectl_load_errors_total", "Requests that an error answered or that got lost.")},
	{Name: "dropped", Right: true, Metric: counter("cachectl_load_dropped_total", "Requests that were never sent, because too many were waiting.")},
}, latencyColumns()...)

// loadLatencies are the columns of latency: from the moment a request was due, and from the moment it was sent.
var loadLatencies = []struct {
	name    string
	q       float64
	service bool
	wide    bool
}{{"p50", .5, false, false}, {"p90", .9, false, true}, {"p99", .99, false, false}, {"p99.9", .999, false, false}, {"p99.99", .9999, false, true},
	{"max", 1, false, false}, {"service_p50", .5, true, true}, {"service_p99", .99, true, false}}

func latencyColumns() (all []render.Column) {
	for _, l := range loadLatencies {
		name := strings.ReplaceAll(l.name, ".", "")
		all = append(all, render.Column{Name: l.name, Field: name + "_ms", Right: true, Wide: l.wide,
			Metric: gauge("cachectl_load_"+name+"_milliseconds", "Latency of requests, "+l.name+".")})
	}
	return all
}

// loadDoc says what runs came to. Of one run its figures are fields, by the names that checks use.
func loadDoc(reports ...*loadgen.Report) render.Doc {
	doc := render.Doc{Columns: slices.Clone(loadColumns), List: "kinds"}
	doc.Columns[0].Wide = len(reports) < 2
	var table []render.Row
	for _, r := range reports {
		table = append(table, loadRows(r)...)
		before := ""
		if len(reports) > 1 {
			before = r.Target + ": "
		}
		for _, note := range loadNotes(r) {
			doc.Notes = append(doc.Notes, before+note)
		}
	}
	doc.Rows = rows(table)
	if len(reports) > 0 {
		doc.Fields = append(doc.Fields, render.Field{Name: "traffic", Cell: render.Text(trafficText(&reports[0].Traffic))},
			render.Field{Name: "seed", Cell: render.Uint(reports[0].Traffic.Seed), Machine: true})
	}
	if len(reports) == 1 {
		doc.Fields = append(doc.Fields, loadFields(reports[0])...)
	}
	return doc
}

// loadRows are the kinds that a run has, and all of them together.
func loadRows(r *loadgen.Report) (table []render.Row) {
	total := r.Total()
	for do := range r.Tallies {
		if t := &r.Tallies[do]; t.Due > 0 && t.Due < total.Due {
			hits := render.Cell{}
			if loadgen.Do(do) == loadgen.Read {
				hits = render.Ratio(t.HitRate())
			}
			table = append(table, loadRow(r, loadgen.Do(do).String(), t, hits))
		}
	}
	return append(table, loadRow(r, "all", &total, render.Ratio(r.HitRate())))
}

func loadRow(r *loadgen.Report, kind string, t *loadgen.Tally, hits render.Cell) render.Row {
	row := render.Row{render.Text(r.Target), render.Text(kind), render.Uint(t.Due), render.Rate(float64(t.Done) / r.Length.Seconds()), hits,
		badCount(t.Errors()), badCount(t.Dropped)}
	for _, l := range loadLatencies {
		h := &t.Latency
		if l.service {
			h = &t.Service
		}
		row = append(row, spanCell(h, l.q))
	}
	return row
}

// loadFields are the figures of one run.
func loadFields(r *loadgen.Report) []render.Field {
	figures := r.Figures()
	rate := render.Float(figures["rate"], 1)
	if asked := render.Rate(figures["due_per_second"]).Text; !r.Closed && rate.Text != "-" {
		rate.Text = render.Rate(figures["rate"]).Text + "/s of " + asked + "/s asked for"
	} else if rate.Text != "-" {
		rate.Text = render.Rate(figures["rate"]).Text + "/s, as fast as answers came"
	}
	fields := []render.Field{
		{Name: "target", Cell: render.Text(r.Target)},
		{Name: "started", Cell: render.Text(r.Started.UTC().Format(time.RFC3339)), Machine: true},
		{Name: "seconds", Label: "length", Cell: render.Seconds(r.Length)},
		{Name: "rate", Cell: rate},
		{Name: "hit_rate", Label: "hit rate", Cell: render.Ratio(figures["hit_rate"])},
		{Name: "valid", Cell: render.Bool(len(r.Invalid) == 0), Machine: true},
	}
	for _, name := range loadgen.FigureNames() {
		prefix, last := "", name
		if i := strings.LastIndexByte(name, '_'); i >= 0 {
			prefix, last = name[:i], name[i+1:]
		}
		switch {
		case prefix == "read" || prefix == "write" || prefix == "delete", // rows say those
			name == "invalid", slices.ContainsFunc(fields, func(f render.Field) bool { return f.Name == name }):
		case latencyField.MatchString(last):
			fields = append(fields, render.Field{Name: strings.ReplaceAll(name, ".", "") + "_ms", Cell: render.Float(math.Round(figures[name]*1e9)/1e6, 3), Machine: true})
		default:
			fields = append(fields, render.Field{Name: name, Cell: render.Float(figures[name], 3), Machine: true})
		}
	}
	return fields
}

// mostErrors is how many kinds of errors are shown.
const mostErrors = 5

// loadNotes are what stands beside the figures: why they do not stand, what went wrong, and how late the
// generator itself was.
func loadNotes(r *loadgen.Report) (notes []string) {
	for _, why := range r.Invalid {
		notes = append(notes, "INVALID: "+why)
	}
	kinds := slices.SortedFunc(maps.Keys(r.Errors), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Errors[b], r.Errors[a]), strings.Compare(a, b))
	})
	for i, why := range kinds {
		if i == mostErrors {
			notes = append(notes, fmt.Sprintf("and %d more kinds of errors", len(kinds)-i))
			break
		}
		notes = append(notes, plural(int64(r.Errors[why]), "error")+": "+why)
	}
	if r.Late.Count() > 0 {
		notes = append(notes, fmt.Sprintf("the generator came round to requests late by %s in the median, %s at p99 and %s at most: that is in the latency, and not in service",
			render.Duration(r.Late.Quantile(.5)).Text, render.Duration(r.Late.Quantile(.99)).Text, render.Duration(r.Late.Max()).Text))
	}
	return notes
}

// comparisonDoc says what differs between the runs a and b.
func comparisonDoc(a, b []*loadgen.Report) (render.Doc, error) {
	for name, side := range map[string][]*loadgen.Report{"A": a, "B": b} {
		if len(side) == 0 {
			return render.Doc{}, fmt.Errorf("compare runs: %s has none", name)
		}
		for _, r := range side {
			if r.Target != side[0].Target {
				return render.Doc{}, withHint(errors.New("compare runs: "+name+" is of several caches"), "compare runs of one cache with runs of another")
			}
		}
	}
	c := loadgen.Compare(a, b)
	doc := render.Doc{
		List:  "figures",
		Notes: c.Notes,
		Columns: []render.Column{{Name: "figure"}, {Name: "unit", Wide: true}, {Name: "A", Field: "a", Right: true}, {Name: "B", Field: "b", Right: true},
			{Name: "difference", Field: "change", Right: true}, {Name: "interval"}, {Name: "low", Right: true, Flat: true}, {Name: "high", Right: true, Flat: true}, {Name: "verdict"}},
		Fields: []render.Field{
			{Name: "a", Label: "A", Cell: sideCell(a, c.A)}, {Name: "b", Label: "B", Cell: sideCell(b, c.B)},
			{Name: "method", Cell: render.Text(c.Method)},
		},
	}
	var table []render.Row
	for i := range c.Differences {
		table = append(table, differenceRow(&c.Differences[i]))
	}
	doc.Rows = rows(table)
	return doc, nil
}

func sideCell(runs []*loadgen.Report, size loadgen.Size) render.Cell {
	text := fmt.Sprintf("%s, %s, %s", runs[0].Target, plural(int64(size.Runs), "run"), plural(int64(size.Seconds), "whole second"))
	return render.Cell{Text: text, Value: map[string]any{"target": runs[0].Target, "runs": int64(size.Runs), "seconds": int64(size.Seconds)}}
}

func differenceRow(d *loadgen.Difference) render.Row {
	unit, value := "", render.Rate
	switch d.Kind {
	case loadgen.Rate:
		unit = "per_second"
	case loadgen.Share:
		unit, value = "ratio", render.Ratio
	case loadgen.Latency:
		unit = "ms"
		value = func(v float64) render.Cell {
			c := render.Float(v*1e3, 3)
			if c.Text != "-" {
				c.Text = render.Duration(time.Duration(math.Round(v * 1e9))).Text
			}
			return c
		}
	}
	change := func(v float64) render.Cell {
		c := render.Float(v, 4)
		switch {
		case c.Text == "-":
		case d.Kind == loadgen.Share:
			c.Text = fmt.Sprintf("%+.2f points", v*100)
		default:
			c.Text = fmt.Sprintf("%+.1f%%", v*100)
		}
		return c
	}
	low, high := change(d.Low), change(d.High)
	interval, verdict := render.Cell{Text: low.Text + " to " + strings.TrimSuffix(high.Text, " points")}, render.Text("~")
	if d.Kind == loadgen.Share {
		interval.Text = strings.TrimSuffix(low.Text, " points") + " to " + high.Text
	}
	interval.Value = []any{low.Value, high.Value}
	switch {
	case d.Unjudged != "":
		interval, verdict = render.Unknown(), render.Text(d.Unjudged).As(render.Dim)
	case d.Noise:
	case (d.Change > 0) == d.HigherWins:
		verdict = render.Text("better").As(render.Good)
	default:
		verdict = render.Text("worse").As(render.Bad)
	}
	return render.Row{render.Text(d.Name), render.Text(unit), value(d.A), value(d.B), change(d.Change), interval, low, high, verdict}
}

// trafficText says what was asked for, in a line.
func trafficText(t *loadgen.Traffic) string {
	var phases []string
	for _, p := range t.Phases {
		phases = append(phases, p.String())
	}
	text := fmt.Sprintf("%s; %s by %s, values of %s bytes, %s", strings.Join(phases, ","), plural(int64(t.Keys.N), "key"), t.Keys, t.Sizes, t.Mix)
	if t.Shard.Of > 1 {
		text += ", shard " + t.Shard.String()
	}
	return text
}

// spanCell is a quantile; milliseconds for programs.
func spanCell(h *loadgen.Histogram, q float64) render.Cell {
	if h.Count() == 0 {
		return render.Unknown()
	}
	d := h.Quantile(q)
	return render.Cell{Text: render.Duration(d).Text, Value: math.Round(float64(d)/1e3) / 1e3}
}

// badCount is a count that had better be 0.
func badCount(n uint64) render.Cell {
	if c := render.Uint(n); n > 0 {
		return c.As(render.Bad)
	}
	return render.Uint(n)
}

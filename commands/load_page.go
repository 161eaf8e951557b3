package commands

import (
	"math"
	"strings"
	"time"

	"github.com/cachectl/cachectl/commands/render"
	"github.com/cachectl/cachectl/loadgen"
)

// loadPage is the page of one run, or of runs beside each other.
func loadPage(foot string, reports ...*loadgen.Report) render.Page {
	page := render.Page{Foot: foot}
	var targets []string
	for _, r := range reports {
		targets = append(targets, r.Target)
		for _, why := range r.Invalid {
			page.Warnings = append(page.Warnings, r.Target+": "+why)
		}
	}
	page.Title = "Load on " + strings.Join(targets, " and ")
	if len(reports) == 0 {
		return page
	}
	page.Lead = trafficText(&reports[0].Traffic)
	if len(reports) == 1 {
		page.Summary = loadTiles(reports[0])
	}
	table := loadDoc(reports...)
	table.Fields = nil
	page.Sections = append(page.Sections, render.Section{Title: "Latency by percentile", Chart: percentileChart(reports), Table: &table,
		Text: "From the moment a request was due, whatever became of those before it: time lost in a queue counts. Service is from the moment it was sent."})
	if len(reports) == 2 {
		if doc, err := comparisonDoc(reports[:1], reports[1:]); err == nil {
			page.Sections = append(page.Sections, render.Section{Title: "What differs", Table: &doc, Text: "~ is noise: the interval has room for no difference at all."})
		}
	}
	for _, c := range timeCharts(reports) {
		page.Sections = append(page.Sections, render.Section{Title: c.Title, Chart: c})
	}
	return page
}

// comparisonPage is the page of two sides.
func comparisonPage(foot string, a, b []*loadgen.Report) (render.Page, error) {
	doc, err := comparisonDoc(a, b)
	if err != nil {
		return render.Page{}, err
	}
	page := loadPage(foot, a[0], b[0])
	page.Title, page.Lead = "Two runs beside each other", "A: "+a[0].Target+", "+trafficText(&a[0].Traffic)
	page.Sections[1].Table = &doc
	return page, nil
}

// loadTiles are the figures to see first.
func loadTiles(r *loadgen.Report) []render.Field {
	total := r.Total()
	rate := render.Rate(r.Rate())
	if rate.Text != "-" {
		rate.Text += "/s"
	}
	tile := func(label string, c render.Cell) render.Field { return render.Field{Label: label, Cell: c} }
	return []render.Field{tile("rate", rate), tile("p50", spanCell(&total.Latency, .5)), tile("p99", spanCell(&total.Latency, .99)),
		tile("p99.9", spanCell(&total.Latency, .999)), tile("max", spanCell(&total.Latency, 1)),
		tile("hit rate", render.Ratio(r.HitRate())), tile("errors", badCount(total.Errors())), tile("dropped", badCount(total.Dropped))}
}

// loadNames are what the reports' lines are called: their targets, or A and B where those are one.
func loadNames(reports []*loadgen.Report) []string {
	names := make([]string, len(reports))
	for i, r := range reports {
		names[i] = r.Target
		if len(reports) > 1 {
			names[i] = string(rune('A'+i)) + ": " + r.Target
		}
	}
	return names
}

func percentileChart(reports []*loadgen.Report) *render.Chart {
	c := &render.Chart{Title: "Latency by percentile", X: render.Axis{Label: "percentile", Scale: render.Percentile}, Y: render.Axis{Label: "latency", Unit: render.Second}}
	spread := 0.0
	for i, name := range loadNames(reports) {
		total := reports[i].Total()
		if m := total.Latency.Quantile(.5); m > 0 {
			spread = max(spread, float64(total.Latency.Max())/float64(m))
		}
		if len(reports) > 1 {
			c.Series = append(c.Series, spectrum(name, &total.Latency))
		} else {
			c.Series = append(c.Series, spectrum("latency", &total.Latency), spectrum("service", &total.Service))
		}
	}
	if spread > 50 {
		c.Y.Scale = render.Log
	}
	return c
}

func spectrum(name string, h *loadgen.Histogram) render.Series {
	s := render.Series{Name: name}
	for step := range h.Spectrum() {
		s.Points = append(s.Points, render.Point{X: step.Q, Y: step.At.Seconds()})
	}
	return s
}

// timeCharts are how the runs went, second by second.
func timeCharts(reports []*loadgen.Report) []*render.Chart {
	chart := func(title, label string, unit render.Unit) *render.Chart {
		return &render.Chart{Title: title, X: render.Axis{Label: "time", Unit: render.Second}, Y: render.Axis{Label: label, Unit: unit}, Marks: phaseMarks(reports)}
	}
	rate, slow, hits, trouble := chart("Requests", "requests a second", render.Count), chart("Latency of each second", "latency", render.Second),
		chart("Hit rate of each second", "hit rate", render.Share), chart("Errors and drops of each second", "requests a second", render.Count)
	some, reads := false, false
	for i, name := range loadNames(reports) {
		before := ""
		if len(reports) > 1 {
			before = name + ", "
		}
		r := reports[i]
		add := func(c *render.Chart, name string, of func(t *loadgen.Tick) float64) {
			c.Series = append(c.Series, secondsOf(before+name, r, of))
		}
		add(rate, "answered", func(t *loadgen.Tick) float64 { return float64(t.Done) })
		for _, q := range []loadgen.Quantile{{Name: "p50", Q: .5}, {Name: "p99", Q: .99}} {
			add(slow, q.Name, func(t *loadgen.Tick) float64 {
				if t.Latency.Count() == 0 {
					return math.NaN()
				}
				return t.Latency.Quantile(q.Q).Seconds()
			})
		}
		add(hits, "hit rate", func(t *loadgen.Tick) float64 { return float64(t.Hits) / float64(t.Hits+t.Misses) })
		add(trouble, "errors", func(t *loadgen.Tick) float64 { return float64(t.Refused + t.Lost) })
		add(trouble, "dropped", func(t *loadgen.Tick) float64 { return float64(t.Dropped) })
		total := r.Total()
		some = some || total.Errors()+total.Dropped > 0
		reads = reads || total.Hits+total.Misses > 0
	}
	if len(reports) > 0 && !reports[0].Closed {
		rate.Series = append(rate.Series, secondsOf("due", reports[0], func(t *loadgen.Tick) float64 { return float64(t.Due) }))
	}
	all := []*render.Chart{rate, slow}
	if reads {
		all = append(all, hits)
	}
	if some {
		all = append(all, trouble)
	}
	return all
}

func secondsOf(name string, r *loadgen.Report, of func(t *loadgen.Tick) float64) render.Series {
	s := render.Series{Name: name}
	for i := range r.Ticks {
		if r.Length > 0 && r.Ticks[i].At >= r.Length.Truncate(time.Second) {
			break // what was answered when nothing was due any more is no second of the run
		}
		s.Points = append(s.Points, render.Point{X: r.Ticks[i].At.Seconds(), Y: of(&r.Ticks[i])})
	}
	return s
}

// phaseMarks are where one phase of the traffic ends and another begins.
func phaseMarks(reports []*loadgen.Report) (marks []render.Mark) {
	if len(reports) == 0 {
		return nil
	}
	at := 0.0
	for _, p := range reports[0].Traffic.Phases {
		if p.Warmup {
			continue
		}
		if at > 0 && p.Name != "" && len(marks) < 12 {
			marks = append(marks, render.Mark{X: at, Text: p.Name})
		}
		at += p.Length.Seconds()
	}
	return marks
}

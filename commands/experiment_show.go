package commands

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/cachectl/cachectl/commands/render"
	"github.com/cachectl/cachectl/loadgen"
	"github.com/cachectl/cachectl/loadgen/fleet"
	"github.com/cachectl/cachectl/loadgen/theory"
)

// fields say what the experiment was.
func (o *experiment) fields() []render.Field {
	cell := func(name, label, text string) render.Field {
		return render.Field{Name: name, Label: label, Cell: render.Text(text)}
	}
	t := &o.traffic.traffic
	where := "a real cache"
	if o.virtual {
		where = "virtual time"
	}
	return []render.Field{
		cell("clock", "clock", where),
		cell("requests", "requests", fmt.Sprintf("%s, %s, %s", phasesText(t.Phases), plural(int64(t.Keys.N), "key"), t.Keys)),
		cell("origin", "origin", o.origin.String()),
		{Name: "seed", Cell: render.Uint(t.Seed), Machine: true},
		{Name: "ttl_ms", Cell: render.Float(ms(o.options.TTL), 3), Machine: true},
		{Name: "processes", Cell: render.Int(int64(o.processes))},
	}
}

// phasesText says what is measured: "1000/s for 10m".
func phasesText(all []loadgen.Phase) string {
	var texts []string
	for _, p := range all {
		if p.Warmup {
			continue
		}
		length, rate, _ := strings.Cut(p.String(), "@")
		if _, unnamed, named := strings.Cut(length, ":"); named {
			length = unnamed
		}
		texts = append(texts, rate+" for "+length)
	}
	return strings.Join(texts, ", then ")
}

func (o *originFlags) String() string {
	text := o.law
	switch {
	case o.servers > 0 && o.sharing:
		text += fmt.Sprintf(", %d servers shared by all", o.servers)
	case o.servers > 0 && o.queue == 0:
		text += fmt.Sprintf(", %d servers and a queue", o.servers)
	case o.servers > 0:
		text += fmt.Sprintf(", %d servers and a queue of %d", o.servers, max(o.queue, 0))
	}
	return text
}

// invalidNotes say why a strategy's figures do not stand.
func invalidNotes(r strategyRun) (notes []string) {
	for _, why := range r.invalid {
		notes = append(notes, r.name+": INVALID: "+why)
	}
	return notes
}

func warnInvalid(env *Env, o *output, ro render.Options, runs []strategyRun) {
	for _, r := range runs {
		o.warnInvalid(env, ro, r.name, r.invalid)
	}
}

// aftermathText says what followed a trigger.
func aftermathText(a *fleet.Aftermath, rule fleet.RecoveryRule) string {
	what := fmt.Sprintf("%s at %v", a.Trigger.Do, a.Trigger.At)
	row := fmt.Sprintf("%d seconds in a row above %s", rule.Seconds, render.Ratio(rule.Ratio).Text)
	if a.Recovered {
		return fmt.Sprintf("%s: recovered after %v (%s)", what, a.After, row)
	}
	return fmt.Sprintf("%s: NOT RECOVERED (never %s; %s in the last ten seconds)", what, row, render.Ratio(a.Hits).Text)
}

// figure is a number to four digits.
func figure(f float64) render.Cell {
	c := render.Float(f, 3)
	if c.Text != "-" {
		c.Text = number(f)
	}
	return c
}

func number(f float64) string {
	switch {
	case math.Abs(f) >= 1000:
		return fmt.Sprintf("%.0f", f)
	case math.Abs(f) >= 100:
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.3g", f)
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// latency is a time in milliseconds for programs.
func latency(d time.Duration, of uint64) render.Cell {
	if of == 0 {
		return render.Unknown()
	}
	c := render.Float(ms(d), 3)
	c.Text = latencyText(d)
	return c
}

// latencyText says a latency to three digits.
func latencyText(d time.Duration) string {
	switch {
	case d >= time.Second:
		return fmt.Sprintf("%.3gs", d.Seconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%.3gms", ms(d))
	}
	return fmt.Sprintf("%.3gµs", float64(d.Nanoseconds())/1e3)
}

// A savedStrategy is a strategyRun in a file.
type savedStrategy struct {
	fleet.Report
	Expected *theory.Expectation `json:"expected_calls,omitempty"`
	Invalid  []string            `json:"invalid,omitempty"`
}

// stampedeFile is what is saved of the runs.
func stampedeFile(runs []strategyRun, env *Env) func() (*loadgen.Run, error) {
	return func() (*loadgen.Run, error) {
		file := &loadgen.Run{Kind: loadgen.StampedeRun, Program: "cachectl " + env.Version, Made: env.Now()}
		for _, r := range runs {
			text, err := json.Marshal(savedStrategy{*r.report, r.expected, r.invalid})
			if err != nil {
				return nil, err
			}
			file.Strategies = append(file.Strategies, loadgen.StrategyRun{Strategy: r.name, Report: text})
		}
		return file, nil
	}
}

// measuredSeconds is the time that a report's totals are of.
func measuredSeconds(r *fleet.Report) float64 {
	return (r.Length - r.Warmup).Seconds() * float64(max(r.Runs, 1))
}

// A point is a quantile of a histogram.
type point struct {
	of *loadgen.Histogram
	q  float64
}

// quantiles adds points in milliseconds; those of nothing are unknown.
func quantiles(into map[string]float64, points map[string]point) {
	for name, p := range points {
		if p.of.Count() > 0 {
			into[name] = p.of.Quantile(p.q).Seconds()
		}
	}
}

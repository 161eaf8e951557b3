package commands

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/commands/render"
	"github.com/cachectl/cachectl/loadgen"
	"github.com/cachectl/cachectl/loadgen/fleet"
)

// patternColumns are what is told of a pattern.
var patternColumns = []render.Column{
	{Name: "pattern", Label: true},
	{Name: "hit_rate", Right: true, Metric: gauge("cachectl_pattern_hit_ratio", "Reads served from a cache, by all.")},
	{Name: "local", Field: "local_hit_rate", Right: true},
	{Name: "remote", Field: "remote_hit_rate", Right: true},
	{Name: "reads/s", Field: "origin_reads_per_second", Right: true, Metric: gauge("cachectl_pattern_origin_reads_per_second", "Origin reads a second.")},
	{Name: "writes/s", Field: "origin_writes_per_second", Right: true, Metric: gauge("cachectl_pattern_origin_writes_per_second", "Origin writes a second.")},
	{Name: "amplification", Field: "write_amplification", Right: true, Wide: true},
	{Name: "stale", Field: "stale_read_rate", Right: true, Metric: gauge("cachectl_pattern_stale_read_ratio", "Share of the reads answered by old data.")},
	{Name: "stale_p99", Field: "stale_age_p99_ms", Right: true},
	{Name: "stale_max", Field: "stale_age_max_ms", Right: true, Wide: true},
	{Name: "window_p99", Field: "inconsistency_window_p99_ms", Right: true},
	{Name: "window_max", Field: "inconsistency_window_max_ms", Right: true, Wide: true},
	{Name: "stale_fills", Field: "stale_fill_rate", Right: true, Wide: true},
	{Name: "lost", Field: "lost_writes", Right: true, Metric: counter("cachectl_pattern_lost_writes_total", "Writes that were acknowledged and never reached the origin.")},
	{Name: "p99", Field: "p99_ms", Right: true, Metric: gauge("cachectl_pattern_p99_milliseconds", "Latency of requests, p99.")},
	{Name: "write_p99", Field: "write_p99_ms", Right: true},
	{Name: "gave_up", Right: true, Wide: true},
	{Name: "errors", Right: true, Metric: counter("cachectl_pattern_errors_total", "Requests answered by an error.")},
}

// patternFields are what checks may name.
var patternFields = []string{
	"hit_rate", "local_hit_rate", "remote_hit_rate", "origin_reads_per_second", "origin_writes_per_second", "write_amplification",
	"stale_read_rate", "stale_age_p99", "inconsistency_window_p99", "stale_fill_rate", "lost_writes", "p50", "p99", "p99.9", "max", "write_p99", "gave_up", "errors",
}

func (o *loadOptions) runPatterns(cmd *cobra.Command, env *Env) error {
	ro, err := o.output.options(cmd.Context(), env)
	if err != nil {
		return err
	}
	for _, name := range []string{"against", "shard", "start-at", "connections", "depth", "threads", "max-waiting", "no-fill", "keep", "hgrm", "prefix", "key-file", "key-format"} {
		if cmd.Flags().Changed(name) {
			return usagef("--%s does not go with --pattern", name)
		}
	}
	if o.ttl == "" {
		o.ttl = fleet.DefaultTTL.String()
	}
	o.record.kind = loadgen.StampedeRun
	if err := errors.Join(o.gates.parse(patternFields...), o.experiment.parse(cmd, env), o.output.ready(ro, patternColumns, o.record.file, o.record.html)); err != nil {
		return err
	}
	if o.traffic.traffic.Mix.Remove > 0 {
		return usagef("bad --mix %q: patterns read and write, and delete where they need to", o.traffic.mix)
	}
	if !cmd.Flags().Changed("seed") {
		env.note("--seed %d gives the same requests again", o.traffic.traffic.Seed)
	}
	runs, end := o.play(cmd.Context(), env)
	if len(runs) == 0 {
		return end
	}
	doc := patternDoc(runs)
	doc.Fields = o.fields()
	warnInvalid(env, &o.output, ro, runs)
	err = o.output.print(env, ro, doc)
	return errors.Join(end, err, o.record.save(stampedeFile(runs, env), func() render.Page { return experimentPage(env, "Patterns", doc, runs) }), judged(&o.gates, runs, patternFigures))
}

// patternDoc puts patterns side by side.
func patternDoc(runs []strategyRun) render.Doc {
	doc := render.Doc{Columns: patternColumns, List: "patterns"}
	var table []render.Row
	for _, r := range runs {
		table = append(table, patternRow(r))
		doc.Notes = append(doc.Notes, invalidNotes(r)...)
		for i := range r.report.After {
			doc.Notes = append(doc.Notes, r.name+": "+aftermathText(&r.report.After[i], r.report.Rule))
		}
	}
	doc.Rows = rows(table)
	return doc
}

func patternRow(r strategyRun) render.Row {
	rep := r.report
	c, seconds := &rep.Consistency, measuredSeconds(rep)
	stale := render.Ratio(rep.StaleShare())
	if rep.Stale.Reads > 0 {
		stale = stale.As(render.Warn)
	}
	return render.Row{
		render.Text(r.name), render.Ratio(rep.Hits()), render.Ratio(rep.LocalHits()), render.Ratio(rep.RemoteHits()),
		rateCell(float64(rep.Origin.Reads) / seconds), rateCell(float64(rep.Origin.Writes) / seconds), figure(rep.Amplification()),
		stale, spanCell(&rep.Stale.Age, 0.99), spanCell(&rep.Stale.Age, 1), spanCell(&c.Window, 0.99), spanCell(&c.Window, 1),
		render.Ratio(c.StaleFillShare()), badCount(rep.Lost),
		spanCell(&rep.Latency, 0.99), spanCell(&rep.Writing, 0.99), badCount(rep.GaveUp), badCount(rep.Served[fleet.WithError]),
	}
}

// patternFigures are a pattern's numbers, by the names that checks use.
func patternFigures(r strategyRun) map[string]float64 {
	rep := r.report
	c, seconds := &rep.Consistency, measuredSeconds(rep)
	values := map[string]float64{
		"hit_rate": rep.Hits(), "local_hit_rate": rep.LocalHits(), "remote_hit_rate": rep.RemoteHits(),
		"origin_reads_per_second": float64(rep.Origin.Reads) / seconds, "origin_writes_per_second": float64(rep.Origin.Writes) / seconds,
		"write_amplification": rep.Amplification(), "stale_read_rate": rep.StaleShare(), "stale_fill_rate": c.StaleFillShare(),
		"lost_writes": float64(rep.Lost), "gave_up": float64(rep.GaveUp), "errors": float64(rep.Served[fleet.WithError]),
		// Where nothing was stale, no age is too great.
		"stale_age_p99": 0, "inconsistency_window_p99": 0,
	}
	quantiles(values, map[string]point{
		"p50": {&rep.Latency, .5}, "p99": {&rep.Latency, .99}, "p99.9": {&rep.Latency, .999}, "max": {&rep.Latency, 1},
		"write_p99": {&rep.Writing, .99}, "stale_age_p99": {&rep.Stale.Age, .99}, "inconsistency_window_p99": {&c.Window, .99},
	})
	return values
}

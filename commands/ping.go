package commands

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

type pingOptions struct {
	target targetFlag
	output output
	gates  gates
}

var pingColumns = []render.Column{
	{Name: "node", Label: true},
	{Name: "role", Label: true},
	{Name: "software"},
	{Name: "version"},
	{Name: "rtt", Field: "rtt_ms", Right: true, Metric: &render.Metric{Name: "cachectl_ping_milliseconds", Help: "Round trip of one PING.", Type: "gauge"}},
	{Name: "uptime", Field: "uptime_seconds", Right: true},
	{Name: "keys", Right: true, Metric: &render.Metric{Name: "cachectl_keys", Help: "Keys the node holds.", Type: "gauge"}},
	{Name: "memory", Field: "memory_bytes", Right: true, Metric: &render.Metric{Name: "cachectl_memory_bytes", Help: "Memory the node uses for data and overhead.", Type: "gauge"}},
	{Name: "limit", Field: "memory_limit_bytes", Right: true},
	{Name: "policy"},
	{Name: "clients", Right: true, Wide: true},
}

func newPing(env *Env) *cobra.Command {
	var o pingOptions
	cmd := &cobra.Command{
		Use:   "ping",
		Short: "Reach every node: role, version, latency, memory, policy",
		Long: `Reach every node of the cache, masters first, and tell what each one is.

RTT is one round trip of an empty command over an open connection, measured
once. A node that does not answer is named, and the others are shown.`,
		Example: `  cachectl ping -t redis://localhost:6379
  cachectl ping -t redis+cluster://10.0.0.1:7000,10.0.0.2:7000
  cachectl ping -t mem:// -o json --jq '.[].version'
  cachectl ping --fail-if 'rtt_ms > 5'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), env) },
	}
	o.target.add(cmd, env)
	o.output.add(cmd, columnNames(pingColumns)...)
	o.gates.add(cmd, "rtt_ms > 5")
	return describe(cmd, "look", impactRead, exitsFailed, exitsUsage, exitsCheck, exitsPartial, exitsInterrupted)
}

func (o *pingOptions) run(ctx context.Context, env *Env) error {
	ro, err := o.output.options(ctx, env)
	if err != nil {
		return err
	}
	if err := o.gates.parse("rtt_ms", "keys", "memory_bytes", "nodes"); err != nil {
		return err
	}
	b, _, err := o.target.open(ctx, env)
	if err != nil {
		return err
	}
	defer b.Close()
	lost := newTrouble(env)
	stats, err := readStats(ctx, b, lost)
	if err != nil {
		return err
	}
	var table []render.Row
	for _, s := range stats {
		table = append(table, pingRow(s))
	}
	if err := o.output.print(env, ro, render.Doc{Columns: pingColumns, Rows: rows(table)}); err != nil {
		return err
	}
	return errors.Join(o.gates.check(worst(stats)), lost.err(len(stats) > 0))
}

// readStats asks every node. What is left of the error ends the run.
func readStats(ctx context.Context, b backends.Backend, lost *trouble) ([]backends.Stats, error) {
	reader, err := backends.As[backends.StatsReader](b)
	if err != nil {
		return nil, err
	}
	stats, err := reader.Stats(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := lost.split(err); err != nil {
		return nil, err
	}
	if len(stats) == 0 {
		return nil, lost.err(false)
	}
	for _, s := range stats {
		for _, n := range s.Notices {
			lost.add(n)
		}
	}
	return stats, nil
}

func pingRow(s backends.Stats) render.Row {
	memory := count(s, backends.UsedMemory, render.Bytes)
	limit := count(s, backends.MaxMemory, render.Bytes)
	if used, max := s.Counts[backends.UsedMemory], s.Counts[backends.MaxMemory]; max > 0 && used > max/10*9 {
		memory = memory.As(render.Warn)
	} else if max == 0 {
		limit.Text = "none"
	}
	if _, known := s.Counts[backends.MaxMemory]; !known {
		limit = render.Unknown()
	}
	return render.Row{
		render.Text(s.Node), word(s.Role), word(s.Software), word(s.Version),
		milliseconds(s.RTT), uptime(s),
		count(s, backends.Keys, render.Int), memory, limit, word(s.Policy),
		count(s, backends.Clients, render.Int),
	}
}

// milliseconds is a latency, with fractions for machines; 0 is unknown.
func milliseconds(d time.Duration) render.Cell {
	if d == 0 {
		return render.Unknown()
	}
	c := render.Duration(d)
	c.Value = float64(d.Nanoseconds()) / 1e6
	return c
}

// uptime is unknown where the node told nothing of itself.
func uptime(s backends.Stats) render.Cell {
	if len(s.Counts) == 0 {
		return render.Unknown()
	}
	return render.Seconds(s.Uptime)
}

// word is a fact in words, unknown where it is empty.
func word(s string) render.Cell {
	if s == "" {
		return render.Unknown()
	}
	return render.Text(s)
}

// count is a counter's cell, unknown where the node does not tell it.
func count(s backends.Stats, c backends.Counter, as func(int64) render.Cell) render.Cell {
	n, known := s.Counts[c]
	if !known || n > math.MaxInt64 {
		return render.Unknown()
	}
	return as(int64(n))
}

// worst is what the gates of ping look at: the slowest node, and the sums; NaN
// where a node does not tell.
func worst(stats []backends.Stats) map[string]float64 {
	values := map[string]float64{"nodes": float64(len(stats)), "keys": 0, "memory_bytes": 0, "rtt_ms": 0}
	for _, s := range stats {
		rtt := float64(s.RTT.Nanoseconds()) / 1e6
		if s.RTT == 0 {
			rtt = math.NaN()
		}
		values["rtt_ms"] = max(values["rtt_ms"], rtt)
		if s.Role != "replica" {
			values["keys"] += told(s, backends.Keys)
		}
		values["memory_bytes"] += told(s, backends.UsedMemory)
	}
	return values
}

// told is a counter, NaN where the node does not tell it.
func told(s backends.Stats, c backends.Counter) float64 {
	n, known := s.Counts[c]
	if !known {
		return math.NaN()
	}
	return float64(n)
}

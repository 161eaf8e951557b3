package commands

import (
	"context"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

// slabColumns are those of hitrate --slabs. There is no miss rate among them:
// a class has no misses.
var slabColumns = []render.Column{
	{Name: "node", Label: true},
	{Name: "class", Label: true, Right: true},
	{Name: "chunk", Field: "chunk_bytes", Right: true},
	{Name: "items", Right: true, Metric: gauge("cachectl_slab_items", "Items of the slab class.")},
	{Name: "fill", Right: true, Metric: gauge("cachectl_slab_fill_ratio", "Share of the class's chunks that hold an item.")},
	{Name: "wasted", Field: "wasted_bytes", Right: true},
	{Name: "hits", Right: true, Metric: counter("cachectl_slab_hits_total", "Lookups that found an item of the class.")},
	{Name: "hit_share", Right: true},
	{Name: "sets", Right: true},
	{Name: "evicted", Right: true, Metric: counter("cachectl_slab_evicted_total", "Items of the class removed for want of memory.")},
	{Name: "evicted_unread", Field: "evicted_unfetched", Right: true},
	{Name: "oldest", Field: "oldest_seconds", Right: true},
	{Name: "touch_hits", Right: true, Wide: true},
	{Name: "pages", Right: true, Wide: true},
	{Name: "out_of_memory", Right: true, Wide: true},
}

// runSlabs shows the slab classes, since the server's start or last reset.
func (o *hitrateOptions) runSlabs(ctx context.Context, env *Env, ro render.Options, b backends.Backend) error {
	reader, err := backends.As[backends.SlabReader](b)
	if err != nil {
		return err
	}
	lost := newTrouble(env)
	nodes, err := reader.Slabs(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := lost.split(err); err != nil {
		return err
	}
	if len(o.output.columns) == 0 {
		ro.Columns = nil
	}
	if err := o.output.print(env, ro, render.Doc{
		Columns: slabColumns, Rows: rows(slabRows(nodes)),
		Notes: []string{"since each server's start or last reset; a class has no misses, so there is no hit rate of one"},
	}); err != nil {
		return err
	}
	return lost.err(len(nodes) > 0)
}

func slabRows(nodes []backends.NodeSlabs) []render.Row {
	var table []render.Row
	for _, n := range nodes {
		hits := uint64(0)
		for _, s := range n.Slabs {
			hits += s.Hits
		}
		for _, s := range n.Slabs {
			table = append(table, render.Row{
				render.Text(n.Node), render.Int(int64(s.Class)), render.Bytes(s.ChunkSize), render.Int(s.Used),
				render.Ratio(s.Fill()), orUnknown(s.Wasted(), render.Bytes),
				render.Uint(s.Hits), render.Ratio(float64(s.Hits) / float64(hits)), render.Uint(s.Sets),
				render.Uint(s.Evicted), render.Uint(s.EvictedUnfetched), orUnknown(s.Oldest, seconds),
				render.Uint(s.TouchHits), render.Int(s.Pages), render.Uint(s.OutOfMemory),
			})
		}
	}
	return table
}

// orUnknown is a number that is -1 where the server did not tell it.
func orUnknown(n int64, as func(int64) render.Cell) render.Cell {
	if n < 0 {
		return render.Unknown()
	}
	return as(n)
}

func seconds(n int64) render.Cell { return render.Seconds(time.Duration(n) * time.Second) }

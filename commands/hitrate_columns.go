package commands

import (
	"iter"
	"math"
	"slices"
	"time"

	"github.com/cachectl/cachectl/analyze"
	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

// hitColumns are the columns of hitrate. The first two tell windows apart when
// there are several; the cumulative counters behind are for Prometheus, which
// makes windows of its own.
var hitColumns = []render.Column{
	{Name: "time", Wide: true},
	{Name: "window", Field: "window_seconds", Right: true, Wide: true},
	{Name: "node", Label: true},
	{Name: "role", Label: true, Wide: true},
	{Name: "hit_rate", Right: true, Metric: gauge("cachectl_hit_ratio", "Hits by lookups inside the window; absent without lookups.")},
	{Name: "hits", Right: true},
	{Name: "misses", Right: true},
	{Name: "hits/s", Field: "hits_per_second", Right: true},
	{Name: "misses/s", Field: "misses_per_second", Right: true},
	{Name: "evicted/s", Field: "evictions_per_second", Right: true},
	{Name: "expired/s", Field: "expirations_per_second", Right: true},
	{Name: "errors/s", Field: "errors_per_second", Right: true},
	{Name: "lower_bound", Wide: true},
	{Name: "window_length", Field: "window_length_seconds", Right: true, Wide: true, Metric: gauge("cachectl_hit_ratio_window_seconds", "Length of the window of cachectl_hit_ratio.")},
	{Name: "hits_total", Right: true, Wide: true, Metric: counter("cachectl_keyspace_hits_total", "Lookups that found the key, since the server's start or last reset.")},
	{Name: "misses_total", Right: true, Wide: true, Metric: counter("cachectl_keyspace_misses_total", "Lookups that did not find the key.")},
	{Name: "evicted_total", Right: true, Wide: true, Metric: counter("cachectl_evicted_keys_total", "Keys removed for want of memory.")},
	{Name: "expired_total", Right: true, Wide: true, Metric: counter("cachectl_expired_keys_total", "Keys removed because their TTL ran out.")},
	{Name: "errors_total", Right: true, Wide: true, Metric: counter("cachectl_failed_commands_total", "Commands that failed or were rejected.")},
}

func gauge(name, help string) *render.Metric {
	return &render.Metric{Name: name, Help: help, Type: "gauge"}
}

func counter(name, help string) *render.Metric {
	return &render.Metric{Name: name, Help: help, Type: "counter"}
}

// The columns where --columns says nothing.
var (
	hitNow  = []string{"node", "hit_rate", "hits", "misses", "hits/s", "misses/s", "evicted/s", "expired/s", "errors/s"}
	hitWide = append([]string{"time", "window", "node", "role"}, append(hitNow[1:len(hitNow):len(hitNow)], "lower_bound")...)
	hitProm = []string{"node", "role", "hit_rate", "window_length", "hits_total", "misses_total", "evicted_total", "expired_total", "errors_total"}
)

func (o *hitrateOptions) defaultColumns(f render.Format) []string {
	switch {
	case f == render.Prom:
		return hitProm
	case machine(f) || f == render.Wide:
		return hitWide
	case o.follow || o.count > 1:
		return append([]string{"time"}, hitNow...)
	}
	return hitNow
}

// flat tells whether several windows are one table rather than a document each.
func (o *hitrateOptions) flat(ro render.Options) bool {
	return (o.follow || o.count > 1) &&
		(ro.Format == render.Table || ro.Format == render.Wide || ro.Format == render.CSV || ro.Format == render.Markdown)
}

// windowDoc is one window as a document: the total's fields, a row a node.
func windowDoc(h hitWindow) render.Doc {
	doc := render.Doc{Columns: hitColumns, List: "nodes"}
	total := h.totalRow()
	for i, c := range hitColumns {
		if !slices.Contains(hitWide, c.Name) || c.Name == "node" || c.Name == "role" {
			continue
		}
		name := c.Field
		if name == "" {
			name = c.Name
		}
		doc.Fields = append(doc.Fields, render.Field{Name: name, Cell: total[i], Machine: true})
	}
	var table []render.Row
	for _, n := range h.nodes {
		table = append(table, n.row())
	}
	doc.Rows = rows(table)
	if len(h.nodes) > 1 {
		doc.Footer = total
	}
	doc.Fields = append(doc.Fields, apartFields(&h.total)...)
	return doc
}

// apartFields are what memcached counts apart from hits and misses, or tells of
// the reasons of misses: lower bounds, because what was reaped before anybody
// asked for it is an ordinary miss.
func apartFields(h *analyze.HitRate) []render.Field {
	var fields []render.Field
	for _, f := range []struct {
		counter backends.Counter
		label   string
	}{
		{backends.TouchHits, "touch and gat hits"}, {backends.TouchMisses, "touch and gat misses"},
		{backends.MissedExpired, "misses, expired at least"}, {backends.MissedFlushed, "misses, flushed at least"},
	} {
		if n, known := h.Count(f.counter); known {
			fields = append(fields, render.Field{Name: string(f.counter), Label: f.label, Cell: render.Uint(n), Machine: n == 0})
		}
	}
	if hits, known := h.Count(backends.TouchHits); known {
		misses, _ := h.Count(backends.TouchMisses)
		ratio := analyze.Ratio(map[backends.Counter]uint64{backends.Hits: hits, backends.Misses: misses})
		fields = append(fields, render.Field{Name: "touch_rate", Label: "touch and gat hit rate", Cell: render.Ratio(ratio), Machine: math.IsNaN(ratio)})
	}
	return fields
}

// touchShare is the share of lookups that are no part of the hit rate.
func touchShare(h *analyze.HitRate) float64 {
	sum := func(counters ...backends.Counter) (sum float64) {
		for _, c := range counters {
			n, _ := h.Count(c)
			sum += float64(n)
		}
		return sum
	}
	touches := sum(backends.TouchHits, backends.TouchMisses)
	if touches == 0 {
		return 0
	}
	return touches / (touches + sum(backends.Hits, backends.Misses))
}

// flatDoc is all windows as one table that grows, the total as a row of its own.
func flatDoc(windows iter.Seq2[hitWindow, error]) render.Doc {
	return render.Doc{Columns: hitColumns, Rows: func(yield func([]render.Row, error) bool) {
		for h, err := range windows {
			if err != nil {
				yield(nil, err)
				return
			}
			var table []render.Row
			for _, n := range h.nodes {
				table = append(table, n.row())
			}
			if len(h.nodes) > 1 {
				table = append(table, h.totalRow())
			}
			if !yield(table, nil) {
				return
			}
		}
	}}
}

// row says one node.
func (n hitNode) row() render.Row {
	return hitRow(n.now.At, n.Length, n.Node, n.Role, n.Ratio(), n.Restarted || n.Reset,
		func(c backends.Counter) (uint64, bool) { v, ok := n.Counts[c]; return v, ok },
		n.PerSecond,
		func(c backends.Counter) (uint64, bool) { v, ok := n.now.Counts[c]; return v, ok })
}

// totalRow says the sum over the nodes.
func (h *hitWindow) totalRow() render.Row {
	var longest time.Duration
	for _, n := range h.nodes {
		longest = max(longest, n.Length)
	}
	return hitRow(h.end, longest, "total", "", h.total.Ratio(), h.total.Restarted+h.total.Reset > 0,
		h.total.Count, h.total.PerSecond,
		func(c backends.Counter) (sum uint64, known bool) {
			known = len(h.nodes) > 0
			for _, n := range h.nodes {
				v, told := n.now.Counts[c]
				sum, known = sum+v, known && told
			}
			return sum, known
		})
}

type counts func(backends.Counter) (uint64, bool)

// hitRow is the one place that puts numbers into columns.
func hitRow(at time.Time, window time.Duration, node, role string, ratio float64, lower bool, grew counts, rate func(backends.Counter) float64, now counts) render.Row {
	number := func(from counts, of ...backends.Counter) render.Cell {
		sum := uint64(0)
		for _, c := range of {
			n, known := from(c)
			if !known {
				return render.Unknown()
			}
			sum += n
		}
		return render.Uint(sum)
	}
	perSecond := func(of ...backends.Counter) render.Cell {
		sum := 0.0
		for _, c := range of {
			sum += rate(c)
		}
		return rateCell(sum)
	}
	evicted := perSecond(backends.Evicted)
	if rate(backends.Evicted) > 0 {
		evicted = evicted.As(render.Warn)
	}
	errors := perSecond(backends.FailedCalls, backends.RejectedCalls)
	return render.Row{
		render.Text(at.UTC().Format(time.RFC3339)), render.Seconds(window),
		render.Text(node), word(role), hitRateCell(ratio),
		number(grew, backends.Hits), number(grew, backends.Misses),
		perSecond(backends.Hits), perSecond(backends.Misses), evicted, perSecond(backends.Expired), errors,
		render.Bool(lower),
		render.Seconds(window),
		number(now, backends.Hits), number(now, backends.Misses), number(now, backends.Evicted), number(now, backends.Expired),
		number(now, backends.FailedCalls, backends.RejectedCalls),
	}
}

// rateCell is a rate a second, to the digits that mean something.
func rateCell(perSecond float64) render.Cell {
	if perSecond >= 100 || perSecond == 0 {
		return render.Float(perSecond, 0)
	}
	return render.Float(perSecond, 1)
}

// hitRateCell colours a rate: what is bad depends on the cache, so only the
// extremes are marked.
func hitRateCell(ratio float64) render.Cell {
	c := render.Ratio(ratio)
	switch {
	case ratio >= 0.9:
		return c.As(render.Good)
	case ratio < 0.5:
		return c.As(render.Bad)
	}
	return c
}

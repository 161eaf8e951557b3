package commands

import (
	"cmp"
	"iter"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

// A keyColumn is a fact of an entry: what it needs, and how it is said.
type keyColumn struct {
	render.Column
	fact backends.Facts
	cell func(*backends.Entry) render.Cell
}

var keyColumns = []keyColumn{
	{render.Column{Name: "key"}, 0, func(e *backends.Entry) render.Cell { return render.KeyOf(&e.Key) }},
	{render.Column{Name: "type"}, backends.FactType, func(e *backends.Entry) render.Cell { return render.Text(e.Type) }},
	{render.Column{Name: "ttl", Field: "ttl_ms", Right: true}, backends.FactTTL, ttlCell},
	{render.Column{Name: "size", Field: "size_bytes", Right: true}, backends.FactSize, func(e *backends.Entry) render.Cell { return render.Bytes(e.Size) }},
	{render.Column{Name: "idle", Field: "idle_ms", Right: true, Wide: true}, backends.FactIdle, func(e *backends.Entry) render.Cell { return render.Duration(e.Idle) }},
	{render.Column{Name: "freq", Right: true, Wide: true}, backends.FactFreq, func(e *backends.Entry) render.Cell { return render.Int(e.Freq) }},
	{render.Column{Name: "encoding", Wide: true}, backends.FactEncoding, func(e *backends.Entry) render.Cell { return render.Text(e.Encoding) }},
	{render.Column{Name: "elements", Right: true, Wide: true}, backends.FactElements, func(e *backends.Entry) render.Cell { return render.Int(e.Elements) }},
}

// ttlCell says NoTTL as a word, and as -1 to machines, as the server does.
func ttlCell(e *backends.Entry) render.Cell {
	if e.TTL == backends.NoTTL {
		return render.Cell{Text: "none", Value: int64(-1)}
	}
	return render.Duration(e.TTL)
}

// listColumns are those of ls: the facts, and the node that holds the key.
var listColumns = append(plain(keyColumns), render.Column{Name: "node", Wide: true})

// keyRows turns pages into rows, with cells for the chosen columns only; behind the
// columns stands the node. The memory of a page's rows is used again for the next.
func keyRows(pages iter.Seq2[backends.Page, error], columns []keyColumn, chosen []int) iter.Seq2[[]render.Row, error] {
	return func(yield func([]render.Row, error) bool) {
		var table []render.Row
		for page, err := range pages {
			if err != nil {
				yield(nil, err)
				return
			}
			for len(table) < len(page.Entries) {
				table = append(table, make(render.Row, len(columns)+1))
			}
			for i := range page.Entries {
				e := &page.Entries[i]
				for _, c := range chosen {
					switch {
					case c == len(columns):
						table[i][c] = word(cmp.Or(page.Shard, e.Shard))
					case e.Have.Has(columns[c].fact):
						table[i][c] = columns[c].cell(e)
					default:
						table[i][c] = render.Unknown()
					}
				}
			}
			if len(page.Entries) > 0 && !yield(table[:len(page.Entries)], nil) {
				return
			}
		}
	}
}

func plain(columns []keyColumn) []render.Column {
	out := make([]render.Column, len(columns))
	for i, c := range columns {
		out[i] = c.Column
	}
	return out
}

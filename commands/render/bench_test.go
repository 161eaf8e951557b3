package render

import (
	"io"
	"iter"
	"strconv"
	"sync"
	"testing"
	"time"
)

const benchRows = 500_000

// benchKeys are made before the clock runs; cells and rows are not.
var benchKeys = sync.OnceValue(func() []string {
	keys := make([]string, benchRows)
	for i := range keys {
		keys[i] = "session:user:" + strconv.Itoa(1_000_000+i)
	}
	return keys
})

func benchStream(row func(key string, into Row) Row) iter.Seq2[[]Row, error] {
	return func(yield func([]Row, error) bool) {
		const page = 1000
		keys := benchKeys()
		var rows []Row
		cells := make([]Cell, 0, page*8)
		for i := 0; i < len(keys); i += page {
			rows, cells = rows[:0], cells[:0]
			for _, k := range keys[i : i+page] {
				n := len(cells)
				cells = row(k, cells)
				rows = append(rows, Row(cells[n:]))
			}
			if !yield(rows, nil) {
				return
			}
		}
	}
}

func oneColumn(k string, r Row) Row { return append(r, Key(k)) }

func fourColumns(k string, r Row) Row {
	return append(r, Key(k), Text("string"), Duration(1799*time.Second), Bytes(1234567))
}

// Each iteration prints 500,000 rows, cells included.
func BenchmarkRows(b *testing.B) {
	one := []Column{{Name: "key"}}
	four := []Column{{Name: "key"}, {Name: "type"}, {Name: "ttl", Field: "ttl_ms", Right: true}, {Name: "size", Right: true}}
	for _, c := range []struct {
		name    string
		o       Options
		columns []Column
		row     func(string, Row) Row
	}{
		{"list", Options{}, one, oneColumn},
		{"list/width=80", Options{Width: 80}, one, oneColumn},
		{"table", Options{}, four, fourColumns},
		{"ndjson/1", Options{Format: NDJSON}, one, oneColumn},
		{"ndjson/4", Options{Format: NDJSON}, four, fourColumns},
		{"json/4", Options{Format: JSON}, four, fourColumns},
		{"csv/4", Options{Format: CSV}, four, fourColumns},
		{"markdown/4", Options{Format: Markdown}, four, fourColumns},
		{"yaml/4", Options{Format: YAML}, four, fourColumns},
		{"jq/4", Options{Format: NDJSON, JQ: ".key"}, four, fourColumns},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			benchKeys()
			for b.Loop() {
				w, err := New(io.Discard, c.o)
				if err != nil {
					b.Fatal(err)
				}
				if err := w.Write(Doc{Columns: c.columns, Rows: benchStream(c.row)}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

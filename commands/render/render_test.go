package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// chunks brings rows n at a time, and then err if there is one.
func chunks(n int, err error, rows ...Row) iter.Seq2[[]Row, error] {
	return func(yield func([]Row, error) bool) {
		rows := rows
		for len(rows) > 0 {
			k := min(n, len(rows))
			if !yield(rows[:k], nil) {
				return
			}
			rows = rows[k:]
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// sampleDoc has something of everything.
func sampleDoc() Doc {
	return Doc{
		Fields: []Field{
			{Name: "target", Label: "target", Cell: Text("redis://10.0.0.5:6379")},
			{Name: "hit_rate", Label: "hit rate", Cell: Ratio(0.8321).As(Warn),
				Metric: &Metric{Name: "cachectl_hit_ratio", Help: "Share of reads that hit.", Type: "gauge"}},
			{Name: "window_s", Label: "window", Cell: Seconds(90 * time.Second)},
			{Name: "run_id", Cell: Uint(18446744073709551615), Machine: true},
			{Label: "hint", Cell: Text("for people only")},
		},
		Body: &Field{Name: "sample", Cell: Block("line 1\n\tline |2|\n")},
		Columns: []Column{
			{Name: "key", Label: true},
			{Name: "type"},
			{Name: "ttl", Field: "ttl_ms", Right: true,
				Metric: &Metric{Name: "cachectl_key_ttl_ms", Help: "Time\nleft.", Type: "gauge"}},
			{Name: "size", Field: "size_bytes", Right: true,
				Metric: &Metric{Name: "cachectl_key_bytes", Type: "gauge"}},
			{Name: "freq", Right: true, Wide: true},
			{Name: "note"},
		},
		Rows: chunks(2, nil,
			Row{Key("user:1"), Text("string"), Duration(29*time.Minute + 59*time.Second), Bytes(1234567).As(Bad), Int(12345)},
			Row{Key("cart:世界"), Text("hash"), Unknown(), Bytes(64), Unknown(), Text("a|b")},
			Row{Key("\x00\xff bin\n"), Text("st\x1b[31mring"), Duration(12300 * time.Microsecond), Bytes(0), Int(-1), Text("snake_case *x*")},
			Row{Key(""), Text("json"), Duration(0), Bytes(2048), Int(0), {Text: "{…}", Value: json.RawMessage(`{"b": [1, 2], "a": null}`)}},
		),
		List:   "keys",
		Footer: Row{Text("total"), {}, {}, Bytes(1236679)},
		Notes:  []string{"2 keys of 4 never expire", "a second note"},
	}
}

func say(t *testing.T, o Options, docs ...Doc) (string, error) {
	t.Helper()
	var b bytes.Buffer
	w, err := New(&b, o)
	if err != nil {
		return "", err
	}
	var errs []error
	for _, d := range docs {
		errs = append(errs, w.Write(d))
	}
	errs = append(errs, w.Close())
	return b.String(), errors.Join(errs...)
}

func mustSay(t *testing.T, o Options, docs ...Doc) string {
	t.Helper()
	s, err := say(t, o, docs...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestGolden(t *testing.T) {
	rowsOnly := sampleDoc()
	rowsOnly.List = ""
	second := Doc{Fields: sampleDoc().Fields[:1], Notes: []string{"second"}}
	for _, c := range []struct {
		name string
		o    Options
		docs []Doc
	}{
		{"doc", Options{}, []Doc{sampleDoc()}},
		{"rows", Options{}, []Doc{rowsOnly}},
		{"many", Options{Many: true}, []Doc{sampleDoc(), second}},
		{"columns", Options{Columns: []string{"size", "FREQ", "key"}}, []Doc{sampleDoc()}},
	} {
		for _, f := range Formats() {
			if f == Prom && c.name == "many" {
				continue // the second document has no metric: TestProm
			}
			t.Run(c.name+"/"+string(f), func(t *testing.T) {
				o := c.o
				o.Format, o.Header = f, true
				golden(t, c.name+"."+string(f), mustSay(t, o, c.docs...))
			})
		}
	}
	golden(t, "color.table", mustSay(t, Options{Header: true, Color: true, Width: 60}, sampleDoc()))
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

// In no format does anything reach the terminal but text, newlines and tabs,
// whoever made the cells.
func TestNoEscapeThrough(t *testing.T) {
	evil := "a\x1b]0;pwned\a\u009b31m\x7f\r\u202eb\xff\x9bc"
	m := &Metric{Name: "m"}
	d := Doc{
		Fields: []Field{{Name: "f", Label: evil, Cell: Cell{Text: evil, Value: evil}}, {Name: "k", Cell: Key(evil)}},
		Body:   &Field{Name: "body", Cell: Cell{Text: evil, Value: Binary(evil)}},
		Columns: []Column{{Name: "key", Label: true}, {Name: "raw"}, {Name: "list", Label: true},
			{Name: "n", Metric: m}},
		Notes: []string{evil},
		List:  "rows",
	}
	for _, rowsOnly := range []bool{false, true} {
		if rowsOnly {
			d.List = ""
		}
		for _, f := range Formats() {
			d.Rows = chunks(1, nil, Row{
				{Text: evil, Value: evil},
				{Text: evil, Value: json.RawMessage("[\"\x7f\u009b\u202e\"]")},
				{Text: evil, Value: []any{evil, map[string]any{evil: Binary(evil)}}},
				Int(1),
			})
			out := mustSay(t, Options{Format: f, Header: true, Many: true}, d)
			if i := hidden(out, true); i >= 0 {
				t.Errorf("%s lets %q through:\n%q", f, out[i], out)
			}
		}
	}
}

var errLost = errors.New("connection lost")

// What was printed before the rows failed is well formed, and the error is the
// caller's own.
func TestRowsFail(t *testing.T) {
	for _, list := range []string{"", "keys"} {
		for _, rows := range [][]Row{nil, {{Int(1)}}, {{Int(1)}, {Int(2)}, {Int(3)}}} {
			for _, o := range []Options{{Format: Table}, {Format: JSON}, {Format: JSON, Many: true}, {Format: NDJSON},
				{Format: YAML}, {Format: YAML, Many: true}, {Format: CSV}, {Format: Markdown}, {Format: JSON, JQ: "."}} {
				d := Doc{Columns: []Column{{Name: "n"}}, List: list, Footer: Row{Int(99)}, Rows: chunks(2, errLost, rows...)}
				var b bytes.Buffer
				w, err := New(&b, o)
				if err != nil {
					t.Fatal(err)
				}
				if err := w.Write(d); err != errLost {
					t.Fatalf("%v: err = %v", o, err)
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				if strings.Contains(b.String(), "99") {
					t.Errorf("%v prints the total of a table that is not whole", o)
				}
				want := len(rows)
				if got := countRows(t, o.Format, b.String()); got != want {
					t.Errorf("%v list %q: %d rows of %d in\n%s", o, list, got, want, b.String())
				}
			}
		}
	}
}

type failingWriter struct{ left int }

func (f *failingWriter) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

// A reader that goes away ends the stream at the next chunk.
func TestWriterFails(t *testing.T) {
	for _, o := range []Options{{}, {Format: JSON}, {Format: NDJSON}, {Format: YAML}, {Format: CSV}, {Format: Markdown},
		{Format: NDJSON, JQ: "range(infinite)"}} {
		asked := 0
		d := Doc{Columns: []Column{{Name: "n"}}, Rows: func(yield func([]Row, error) bool) {
			for asked < 100 {
				asked++
				if !yield([]Row{{Text(strings.Repeat("x", 100))}}, nil) {
					return
				}
			}
		}}
		w, err := New(&failingWriter{left: 1000}, o)
		if err != nil {
			t.Fatal(err)
		}
		err = w.Write(d)
		if !errors.Is(err, io.ErrClosedPipe) || !strings.HasPrefix(err.Error(), "write output: ") {
			t.Errorf("%v: err = %v", o, err)
		}
		if asked > 12 {
			t.Errorf("%v: asked for %d chunks", o, asked)
		}
	}
}

// A chunk is on its way before the next is asked for.
func TestStreams(t *testing.T) {
	for _, f := range []Format{Table, Wide, JSON, NDJSON, YAML, CSV, Markdown} {
		for _, list := range []string{"", "keys"} {
			var b bytes.Buffer
			w, err := New(&b, Options{Format: f, Header: true})
			if err != nil {
				t.Fatal(err)
			}
			d := Doc{Columns: []Column{{Name: "key"}, {Name: "n", Right: true}}, List: list,
				Rows: func(yield func([]Row, error) bool) {
					for _, k := range []string{"first", "second"} {
						if !yield([]Row{{Key(k), Int(1)}}, nil) {
							return
						}
						if !strings.Contains(b.String(), k) {
							t.Errorf("%s list %q: %s is not printed before the next chunk", f, list, k)
						}
					}
				}}
			if err := w.Write(d); err != nil {
				t.Fatal(err)
			}
		}
	}
}

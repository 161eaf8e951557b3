package render

import (
	"bufio"
	"strings"
)

// table prints for people: fields as "label  value" lines, a block of text, a
// table without borders, notes; with a blank line between these and between
// documents. Both table and wide are printed here: they differ in columns only.
//
// Texts are never trimmed, wrapped or recased, and cut only to fit a terminal
// whose width is known. A general table writer was measured against that and
// against streams of millions of keys, and does neither: so there is this one.
type table struct {
	w *Writer
	layout
}

func (t *table) close() error { return nil }

func (t *table) document(d *view) error {
	t.layout = layout{out: t.w.out, color: t.w.o.Color, max: t.w.o.Width}
	g := gaps{out: t.w.out, open: !d.first}
	t.fields(d, &g)
	if d.Body != nil && d.Body.Cell.Text != "" {
		g.gap()
		t.body(d.Body.Cell)
	}
	var err error
	if d.Rows != nil {
		err = t.rows(d, &g)
	}
	if len(d.Notes) > 0 {
		g.gap()
		for _, n := range d.Notes {
			t.out.WriteString(visible(n, true))
			t.out.WriteByte('\n')
		}
	}
	return err
}

// gaps puts one blank line between the parts of the output that print.
type gaps struct {
	out  *bufio.Writer
	open bool // something stands above
}

func (g *gaps) gap() {
	if g.open {
		g.out.WriteByte('\n')
	}
	g.open = true
}

func (t *table) fields(d *view, g *gaps) {
	widest, some := 0, false
	for i := range d.Fields {
		if f := &d.Fields[i]; !f.Machine {
			_, n := measure(f.label())
			widest, some = max(widest, n), true
		}
	}
	if !some {
		return
	}
	g.gap()
	for i := range d.Fields {
		f := &d.Fields[i]
		if f.Machine {
			continue
		}
		label, n := measure(f.label())
		t.out.WriteString(label)
		if text := visible(f.Cell.Text, false); text != "" {
			t.spaces(widest - n + 2)
			t.out.WriteString(paint(text, f.Cell.Style, t.color))
		}
		t.out.WriteByte('\n')
	}
}

func (t *table) body(c Cell) {
	text := visible(c.Text, true)
	t.out.WriteString(paint(text, c.Style, t.color))
	if !strings.HasSuffix(text, "\n") {
		t.out.WriteByte('\n')
	}
}

// rows prints the table. The first rows decide how wide its columns are, but do
// not wait for one another: a column may grow while the first chunks print.
func (t *table) rows(d *view, g *gaps) error {
	t.columns(d)
	var header Row
	if t.w.o.Header {
		header = t.header(d)
	}
	t.grow(d.Footer)
	begun := false
	begin := func(rows []Row) {
		t.sample(rows)
		if begun || len(rows) == 0 && header == nil && len(d.Footer) == 0 {
			return
		}
		begun = true
		g.gap()
		if header != nil {
			t.line(header)
		}
	}
	err := t.w.chunks(d, func(rows []Row) error {
		begin(rows)
		if t.single {
			t.list(rows)
			return nil
		}
		for _, r := range rows {
			t.line(r)
		}
		return nil
	})
	begin(nil)
	if err == nil && len(d.Footer) > 0 {
		t.line(d.Footer)
	}
	return err
}

// header is the row of column names, in capitals. A column is never cut below
// its name.
func (t *table) header(d *view) Row {
	header := make(Row, len(d.Columns))
	for i, j := range d.at {
		header[j].Text = strings.ToUpper(d.cols[i].Name)
		_, n := measure(header[j].Text)
		t.floor[i] = max(t.floor[i], n)
	}
	t.grow(header)
	return header
}

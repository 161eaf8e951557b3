package render

import (
	_ "embed"
	"fmt"
	"io"
	"strings"
)

// A Page is an answer to look at: one HTML file that needs nothing else, neither network nor
// script, in light and dark, on a screen and on paper. Whatever is in it is text, and stays text.
type Page struct {
	Title    string
	Lead     string   // what it is, in a line
	Warnings []string // why it does not stand; above everything
	Summary  []Field  // the figures to see first
	Sections []Section
	Foot     string // by whom and when
}

// A Section is a part of a page: words, a picture, a table; each where there is one.
type Section struct {
	Title string
	Text  string
	Chart *Chart
	Table *Doc
}

//go:embed assets/page.css
var pageCSS string

// What a page is made of. All strings are visible text; writing escapes them.
type (
	pageView struct {
		Page
		Tiles    []pair
		Sections []sectionView
	}
	pair struct {
		Label, Text string
		Class       string
	}
	sectionView struct {
		Title, Text, ID string
		Legend          []pair
		SVG             string     // made here, escaped
		Figures         *tableView // of the chart
		Table           *tableView
	}
	tableView struct {
		Fields []pair
		Body   string
		Heads  []pair
		Rows   [][]pair
		Foot   []pair
		Notes  []string
	}
)

// Write writes the page. It returns the error of a table's Rows as it is, and nothing is written then.
func (p *Page) Write(w io.Writer) error {
	v := pageView{Page: *p}
	v.Title, v.Lead, v.Foot = visible(p.Title, false), visible(p.Lead, false), visible(p.Foot, false)
	v.Warnings = nil
	for _, s := range p.Warnings {
		v.Warnings = append(v.Warnings, visible(s, false))
	}
	v.Tiles = fieldPairs(p.Summary)
	for i := range p.Sections {
		s, err := p.Sections[i].view(fmt.Sprintf("c%d", i))
		if err != nil {
			return err
		}
		v.Sections = append(v.Sections, s)
	}
	if _, err := io.WriteString(w, v.html()); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

func (s *Section) view(id string) (sectionView, error) {
	v := sectionView{Title: visible(s.Title, false), Text: visible(s.Text, false), ID: id}
	if s.Chart != nil {
		v.SVG = s.Chart.svg(id)
		if len(s.Chart.Series) > 1 {
			for i := range s.Chart.Series {
				class := fmt.Sprintf("s%d", i%styles)
				if s.Chart.Kind == Bars {
					class += " block"
				}
				v.Legend = append(v.Legend, pair{Label: visible(s.Chart.Series[i].Name, false), Class: class})
			}
		}
		if s.Table == nil && !s.Chart.empty() {
			v.Figures = s.Chart.figures()
		}
	}
	if s.Table == nil {
		return v, nil
	}
	t, err := tableOf(s.Table)
	v.Table = t
	return v, err
}

var styleClass = [...]string{Plain: "", Good: "good", Warn: "warn", Bad: "bad", Dim: "dim"}

func (c Cell) pair(class string) pair {
	if int(c.Style) < len(styleClass) && c.Style != Plain {
		class = strings.TrimSpace(class + " " + styleClass[c.Style])
	}
	return pair{Text: visible(c.Text, false), Class: class}
}

// fieldPairs are the fields that people read.
func fieldPairs(fields []Field) []pair {
	var out []pair
	for i := range fields {
		if f := &fields[i]; !f.Machine {
			one := f.Cell.pair("")
			one.Label = visible(f.label(), false)
			out = append(out, one)
		}
	}
	return out
}

// tableOf reads a document, with the columns that a table on a terminal has.
func tableOf(d *Doc) (*tableView, error) {
	at, err := Options{}.Choose(d.Columns)
	if err != nil {
		return nil, err
	}
	t := &tableView{Fields: fieldPairs(d.Fields)}
	if d.Body != nil {
		t.Body = visible(d.Body.Cell.Text, true)
	}
	row := func(r Row) []pair {
		out := make([]pair, len(at))
		for i, j := range at {
			class := ""
			if d.Columns[j].Right {
				class = "right"
			}
			out[i] = r.cell(j).pair(class)
		}
		return out
	}
	header := make(Row, len(d.Columns))
	for i := range d.Columns {
		header[i] = Cell{Text: strings.ReplaceAll(d.Columns[i].Name, "_", " ")}
	}
	t.Heads = row(header)
	if d.Rows != nil {
		for rows, err := range d.Rows {
			if err != nil {
				return nil, err
			}
			for _, r := range rows {
				t.Rows = append(t.Rows, row(r))
			}
		}
	}
	if len(d.Footer) > 0 {
		t.Foot = row(d.Footer)
	}
	for _, n := range d.Notes {
		t.Notes = append(t.Notes, visible(n, false))
	}
	return t, nil
}

// figures are what the chart shows, as a table: of bars the values, of lines how they run.
func (c *Chart) figures() *tableView {
	if c.Kind == Bars {
		t := &tableView{Heads: []pair{{Text: visible(c.X.Label, false)}}}
		for _, s := range c.Series {
			t.Heads = append(t.Heads, pair{Text: visible(s.Name, false), Class: "right"})
		}
		for i, name := range c.Categories {
			row := []pair{{Text: visible(name, false)}}
			for _, s := range c.Series {
				row = append(row, pair{Text: c.Y.Unit.figure(s.at(float64(i))), Class: "right"})
			}
			t.Rows = append(t.Rows, row)
		}
		return t
	}
	t := &tableView{Heads: []pair{{Text: ""}, {Text: "points", Class: "right"}, {Text: "least", Class: "right"}, {Text: "mean", Class: "right"}, {Text: "most", Class: "right"}, {Text: "last", Class: "right"}}}
	for _, s := range c.Series {
		low, high, n := s.ends()
		if n == 0 {
			continue
		}
		var sum, last float64
		for _, p := range s.Points {
			if drawable(p.Y) {
				sum += p.Y
				last = p.Y
			}
		}
		row := []pair{{Text: visible(s.Name, false)}, {Text: Int(int64(n)).Text, Class: "right"}}
		for _, v := range []float64{low, sum / float64(n), high, last} {
			row = append(row, pair{Text: c.Y.Unit.figure(v), Class: "right"})
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

package render

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// markdown prints for issues and pull requests, in GitHub's dialect: fields as
// a list, the body as a fenced block, rows as a table, notes as paragraphs.
// What the dialect would read as markup is escaped, so that keys like user:*
// arrive as they are; the body needs no escape.
type markdown struct{ w *Writer }

func (f *markdown) close() error { return nil }

func (f *markdown) document(d *view) error {
	out := f.w.out
	g := gaps{out: out, open: !d.first}
	begun := false
	for i := range d.Fields {
		if f := &d.Fields[i]; !f.Machine {
			if !begun {
				g.gap()
				begun = true
			}
			out.WriteString("- " + markup(f.label()) + ": " + markup(f.Cell.Text))
			out.WriteByte('\n')
		}
	}
	if d.Body != nil && d.Body.Cell.Text != "" {
		g.gap()
		f.body(visible(d.Body.Cell.Text, true))
	}
	var err error
	if d.Rows != nil {
		g.gap()
		err = f.rows(d)
	}
	for _, n := range d.Notes {
		g.gap()
		out.WriteString(markup(n))
		out.WriteByte('\n')
	}
	return err
}

// body fences text with more backticks than it holds.
func (f *markdown) body(text string) {
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	f.w.out.WriteString(fence + "\n" + strings.TrimSuffix(text, "\n") + "\n" + fence + "\n")
}

func (f *markdown) rows(d *view) error {
	out := f.w.out
	out.WriteByte('|')
	for i := range d.cols {
		out.WriteString(" " + markup(d.cols[i].Name) + " |")
	}
	out.WriteString("\n|")
	for i := range d.cols {
		if d.cols[i].Right {
			out.WriteString(" ---: |")
		} else {
			out.WriteString(" --- |")
		}
	}
	out.WriteByte('\n')
	err := f.w.chunks(d, func(rows []Row) error {
		for _, r := range rows {
			f.line(d, r)
		}
		return nil
	})
	if err == nil && len(d.Footer) > 0 {
		f.line(d, d.Footer)
	}
	return err
}

func (f *markdown) line(d *view, r Row) {
	out := f.w.out
	out.WriteByte('|')
	for _, j := range d.at {
		out.WriteByte(' ')
		if text := markup(r.cell(j).Text); text != "" {
			out.WriteString(text)
			out.WriteByte(' ')
		}
		out.WriteByte('|')
	}
	out.WriteByte('\n')
}

// markup escapes what GitHub's dialect would not show as it stands. An
// underscore within a word, as in hit_rate, is safe there and stays.
func markup(s string) string {
	s = visible(s, false)
	if !strings.ContainsAny(s, "\\`*_<>[]|~&") {
		return s
	}
	b := make([]byte, 0, len(s)+8)
	for i, r := range s {
		switch r {
		case '\\', '`', '*', '<', '>', '[', ']', '|', '~', '&':
			b = append(b, '\\')
		case '_':
			if !wordAround(s, i) {
				b = append(b, '\\')
			}
		}
		b = utf8.AppendRune(b, r)
	}
	return string(b)
}

// wordAround tells whether the byte at i stands between two letters or digits.
func wordAround(s string, i int) bool {
	before, _ := utf8.DecodeLastRuneInString(s[:i])
	after, _ := utf8.DecodeRuneInString(s[i+1:])
	return word(before) && word(after)
}

func word(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

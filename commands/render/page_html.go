package render

import (
	"html"
	"strings"
)

// A webpage is HTML under way. Only tag and raw take what is HTML already; all else is escaped. It stands in
// place of html/template, which looks methods up by name: the linker then keeps every method of every
// package, which doubled the program (21 to 40 MB).
type webpage struct{ strings.Builder }

func (m *webpage) raw(parts ...string) {
	for _, part := range parts {
		m.WriteString(part)
	}
}

func (m *webpage) text(s string) { m.WriteString(html.EscapeString(s)) }

// tag writes an element with some text and perhaps a class, on what is the line's beginning.
func (m *webpage) tag(name, class, text string) {
	m.raw("<", name)
	if class != "" {
		m.raw(` class="`, html.EscapeString(class), `"`)
	}
	m.raw(">")
	m.text(text)
	m.raw("</", name, ">")
}

// some writes a line with an element, where there is text for it.
func (m *webpage) some(name, class, text string) {
	if text != "" {
		m.raw("\n")
		m.tag(name, class, text)
	}
}

// html is the page as a document. Its policy forbids everything but its own style.
func (v *pageView) html() string {
	var m webpage
	m.raw(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
`)
	m.tag("title", "", v.Title)
	m.raw("\n<style>\n", pageCSS, "</style>\n</head>\n<body>\n<main>\n<header>\n")
	m.tag("h1", "", v.Title)
	m.some("p", "lead", v.Lead)
	m.raw("\n</header>")
	if len(v.Warnings) > 0 {
		m.raw("\n<div class=\"warnings\" role=\"alert\">\n<strong>Read these figures with care</strong>\n<ul>")
		for _, w := range v.Warnings {
			m.some("li", "", w)
		}
		m.raw("\n</ul>\n</div>")
	}
	if len(v.Tiles) > 0 {
		m.raw("\n<dl class=\"tiles\">")
		for _, t := range v.Tiles {
			m.raw("\n<div>")
			m.tag("dt", "", t.Label)
			m.tag("dd", t.Class, t.Text)
			m.raw("</div>")
		}
		m.raw("\n</dl>")
	}
	for i := range v.Sections {
		m.section(&v.Sections[i])
	}
	m.some("footer", "", v.Foot)
	m.raw("\n</main>\n</body>\n</html>\n")
	return m.String()
}

func (m *webpage) section(s *sectionView) {
	m.raw("\n<section>")
	m.some("h2", "", s.Title)
	m.some("p", "", s.Text)
	if s.SVG != "" {
		m.raw("\n<figure>")
		if len(s.Legend) > 0 {
			m.raw("\n<ul class=\"legend\" aria-hidden=\"true\">")
			for _, l := range s.Legend {
				m.raw("\n<li><svg viewBox=\"0 0 28 10\" class=\"swatch\"><path d=\"M1,5H27\" class=\"line ", html.EscapeString(l.Class), "\"/></svg>")
				m.text(l.Label)
				m.raw("</li>")
			}
			m.raw("\n</ul>")
		}
		m.raw("\n", s.SVG, "\n</figure>")
	}
	if s.Figures != nil {
		m.raw("\n<details><summary>The same in figures</summary>\n")
		m.table(s.Figures)
		m.raw("\n</details>")
	}
	if s.Table != nil {
		m.raw("\n")
		m.table(s.Table)
	}
	m.raw("\n</section>")
}

func (m *webpage) table(t *tableView) {
	if len(t.Fields) > 0 {
		m.raw("\n<dl class=\"fields\">")
		for _, f := range t.Fields {
			m.raw("\n")
			m.tag("dt", "", f.Label)
			m.tag("dd", f.Class, f.Text)
		}
		m.raw("\n</dl>")
	}
	m.some("pre", "", t.Body)
	if len(t.Heads) > 0 {
		m.raw("\n<div class=\"scroll\"><table>\n<thead><tr>")
		for _, h := range t.Heads {
			m.raw(`<th scope="col"`)
			if h.Class != "" {
				m.raw(` class="`, html.EscapeString(h.Class), `"`)
			}
			m.raw(">")
			m.text(h.Text)
			m.raw("</th>")
		}
		m.raw("</tr></thead>\n<tbody>")
		for _, row := range t.Rows {
			m.raw("\n")
			m.row(row)
		}
		m.raw("\n</tbody>")
		if len(t.Foot) > 0 {
			m.raw("\n<tfoot>")
			m.row(t.Foot)
			m.raw("</tfoot>")
		}
		m.raw("\n</table></div>")
	}
	for _, n := range t.Notes {
		m.some("p", "note", n)
	}
}

func (m *webpage) row(cells []pair) {
	m.raw("<tr>")
	for _, c := range cells {
		m.tag("td", c.Class, c.Text)
	}
	m.raw("</tr>")
}

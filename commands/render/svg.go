package render

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// The size of a picture, in its own pixels: it grows and shrinks with the page.
const (
	chartWidth  = 920.0
	chartHeight = 340.0
	barHeight   = 20.0
)

// styles is how many ways of drawing a series there are (the classes s0 to s11 of page.css, each with
// a colour and a dash of its own).
const styles = 12

// An svg is a picture being drawn. Whatever text goes in is made visible and escaped.
type svg struct{ strings.Builder }

// tag writes an element without content; pairs are names and values.
func (s *svg) tag(name string, pairs ...any) {
	s.open(name, pairs...)
	s.WriteString("</" + name + ">")
}

func (s *svg) open(name string, pairs ...any) {
	s.WriteString("<" + name)
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(s, ` %s="`, pairs[i])
		switch v := pairs[i+1].(type) {
		case float64:
			s.WriteString(pixels(v))
		default:
			s.WriteString(escaped(fmt.Sprint(v)))
		}
		s.WriteByte('"')
	}
	s.WriteByte('>')
}

func (s *svg) text(x, y float64, anchor, class, text string) {
	s.open("text", "x", x, "y", y, "text-anchor", anchor, "class", class)
	s.WriteString(escaped(text) + "</text>")
}

// hint is what a mouse resting on the element before its end shows, and a screen reader reads.
func (s *svg) hint(text string) { s.WriteString("<title>" + escaped(text) + "</title>") }

func pixels(v float64) string {
	if !finite(v) {
		v = 0
	}
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}

// escaped is text that is nothing but text in HTML, inside elements and attributes.
func escaped(s string) string { return html.EscapeString(visible(s, false)) }

// svg draws the chart. id tells its title and description from those of other pictures on the page.
func (c *Chart) svg(id string) string {
	var s svg
	height := chartHeight
	if c.Kind == Bars {
		height = c.barsHeight()
	}
	s.open("svg", "viewBox", fmt.Sprintf("0 0 %s %s", pixels(chartWidth), pixels(height)), "role", "img", "aria-labelledby", id+"t "+id+"d")
	s.WriteString(`<title id="` + id + `t">` + escaped(c.Title) + `</title><desc id="` + id + `d">` + escaped(c.told()) + `</desc>`)
	switch {
	case c.empty():
		s.tag("rect", "x", 1.0, "y", 1.0, "width", chartWidth-2, "height", height-2, "class", "none")
		s.text(chartWidth/2, height/2+5, "middle", "none", "no data")
	case c.Kind == Bars:
		c.drawBars(&s, height)
	default:
		c.drawLines(&s, height)
	}
	s.WriteString("</svg>")
	return s.String()
}

// told is the chart in a sentence or two.
func (c *Chart) told() string {
	if c.empty() {
		return "There is no data."
	}
	var b strings.Builder
	if c.Y.Label != "" && c.X.Label != "" {
		fmt.Fprintf(&b, "%s by %s.", c.Y.Label, c.X.Label)
	}
	for _, s := range c.Series {
		if low, high, n := s.ends(); n > 0 {
			fmt.Fprintf(&b, " %s: from %s to %s.", s.Name, c.Y.Unit.figure(low), c.Y.Unit.figure(high))
		}
	}
	return b.String()
}

// ends are the least and the greatest of n values.
func (s *Series) ends() (low, high float64, n int) {
	for _, p := range s.Points {
		if !drawable(p.Y) {
			continue
		}
		if n == 0 || p.Y < low {
			low = p.Y
		}
		if n == 0 || p.Y > high {
			high = p.Y
		}
		n++
	}
	return low, high, n
}

func (c *Chart) drawLines(s *svg, height float64) {
	frame := box{x: 62, y: 28, w: chartWidth - 62 - 18, h: height - 28 - 46}
	x, y := c.places(frame)
	s.text(4, 14, "start", "axis", c.Y.Label)
	s.text(frame.x+frame.w, height-4, "end", "axis", c.X.Label)
	for _, t := range y.ticks {
		at := y.pixel(t.at)
		class := "grid"
		if t.minor {
			class = "grid minor"
		}
		s.tag("line", "x1", frame.x, "x2", frame.x+frame.w, "y1", at, "y2", at, "class", class)
		if !t.minor {
			s.text(frame.x-8, at+4, "end", "tick", t.text)
		}
	}
	for _, t := range x.ticks {
		at := x.pixel(t.at)
		s.tag("line", "x1", at, "x2", at, "y1", frame.y+frame.h, "y2", frame.y+frame.h+5, "class", "foot")
		if !t.minor {
			s.text(at, frame.y+frame.h+20, "middle", "tick", t.text)
		}
	}
	s.tag("line", "x1", frame.x, "x2", frame.x+frame.w, "y1", frame.y+frame.h, "y2", frame.y+frame.h, "class", "foot")
	c.drawMarks(s, x, frame)
	for i := range c.Series {
		c.drawSeries(s, i, x, y)
	}
}

func (c *Chart) drawMarks(s *svg, x place, frame box) {
	for _, m := range c.Marks {
		at := x.pixel(m.X)
		if !finite(at) || at < frame.x-1 || at > frame.x+frame.w+1 {
			continue
		}
		s.tag("line", "x1", at, "x2", at, "y1", frame.y-14, "y2", frame.y+frame.h, "class", "mark")
		anchor, beside := "start", at+5
		if at > frame.x+frame.w*.8 {
			anchor, beside = "end", at-5
		}
		s.text(beside, frame.y-4, anchor, "marked", m.Text)
	}
}

// drawSeries draws one line, in as many pieces as gaps leave, and an area below it where it is alone.
func (c *Chart) drawSeries(s *svg, i int, x, y place) {
	series := c.Series[i]
	class := fmt.Sprintf("s%d", i%styles)
	var path, area strings.Builder
	var piece []Point // pixels
	ground := y.start
	flush := func() {
		if len(piece) == 0 {
			return
		}
		d := c.pathOf(piece)
		path.WriteString("M" + d)
		if y.Scale == Linear {
			area.WriteString("M" + d + "V" + pixels(ground) + "H" + pixels(piece[0].X) + "Z")
		}
		piece = piece[:0]
	}
	single := Point{}
	for _, p := range thin(series.Points) {
		at := Point{x.pixel(p.X), y.pixel(p.Y)}
		if !finite(at.X) || !finite(at.Y) {
			flush()
			continue
		}
		piece = append(piece, at)
		single = at
	}
	alone := len(piece) == 1 && path.Len() == 0
	flush()
	if len(c.Series) == 1 && area.Len() > 0 {
		s.tag("path", "d", area.String(), "class", "area "+class)
	}
	s.open("path", "d", path.String(), "class", "line "+class)
	s.hint(series.Name)
	s.WriteString("</path>")
	if alone {
		s.tag("circle", "cx", single.X, "cy", single.Y, "r", 4.0, "class", "dot "+class)
	}
}

// pathOf joins pixels: "x,yLx,y" or, in steps, "x,yHxVy".
func (c *Chart) pathOf(piece []Point) string {
	var b strings.Builder
	for i, p := range piece {
		switch {
		case i == 0:
			b.WriteString(pixels(p.X) + "," + pixels(p.Y))
		case c.Kind == Step:
			b.WriteString("H" + pixels(p.X) + "V" + pixels(p.Y))
		default:
			b.WriteString("L" + pixels(p.X) + "," + pixels(p.Y))
		}
	}
	return b.String()
}

func (c *Chart) groupHeight() float64 { return barHeight*float64(max(len(c.Series), 1)) + 14 }

func (c *Chart) barsHeight() float64 {
	return 30 + 34 + c.groupHeight()*float64(max(len(c.Categories), 2))
}

// drawBars draws a bar for each point, with its value at its end.
func (c *Chart) drawBars(s *svg, height float64) {
	label := 0
	for _, name := range c.Categories {
		_, n := measure(name)
		label = max(label, min(n, 28))
	}
	left := 20 + 8*float64(label)
	frame := box{x: left, y: 24, w: chartWidth - left - 90, h: height - 24 - 40}
	x := place{Axis: c.Y, start: frame.x, room: frame.w}
	var values []float64
	for _, series := range c.Series {
		for _, p := range series.Points {
			values = append(values, p.Y)
		}
	}
	x.fit(values, true, 7)
	x.round()
	for _, t := range x.ticks {
		if at := x.pixel(t.at); !t.minor {
			s.tag("line", "x1", at, "x2", at, "y1", frame.y, "y2", frame.y+frame.h, "class", "grid")
			s.text(at, frame.y+frame.h+18, "middle", "tick", t.text)
		}
	}
	s.text(frame.x+frame.w, height-4, "end", "axis", c.Y.Label)
	s.text(4, 14, "start", "axis", c.X.Label)
	for i, name := range c.Categories {
		top := frame.y + c.groupHeight()*float64(i) + 7
		short, _ := cut(visible(name, false), 28)
		s.open("text", "x", left-10, "y", top+barHeight*float64(len(c.Series))/2+5, "text-anchor", "end", "class", "category")
		s.hint(name)
		s.WriteString(escaped(short) + "</text>")
		for j, series := range c.Series {
			c.drawBar(s, x, j, series.at(float64(i)), top+barHeight*float64(j))
		}
	}
	s.tag("line", "x1", frame.x, "x2", frame.x, "y1", frame.y, "y2", frame.y+frame.h, "class", "foot")
}

func (c *Chart) drawBar(s *svg, x place, j int, v, top float64) {
	from := x.start
	to := from
	if at := x.pixel(v); finite(at) {
		to = max(at, from)
		s.tag("rect", "x", from, "y", top+1.5, "width", to-from, "height", barHeight-3, "rx", 2.0, "class", fmt.Sprintf("bar s%d", j%styles))
	}
	s.text(to+6, top+barHeight/2+4.5, "start", "value", c.Y.Unit.figure(v))
}

// at is the Y of the point at x; NaN where there is none.
func (s *Series) at(x float64) float64 {
	for _, p := range s.Points {
		if p.X == x {
			return p.Y
		}
	}
	return math.NaN()
}

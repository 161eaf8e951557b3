package render

import (
	"math"
	"slices"
)

// A Chart is a picture of numbers for a Page. Where it has no points it says so.
type Chart struct {
	Title  string
	Kind   ChartKind
	X, Y   Axis
	Series []Series
	Marks  []Mark

	// Categories are what Bars stand for, one behind the other: the X of their points counts them from 0.
	Categories []string
}

// A ChartKind is how points are drawn.
type ChartKind uint8

// The kinds of chart.
const (
	Line ChartKind = iota // joined
	Step                  // each Y holds until the next X
	Bars                  // lying, a group a category; Y is their length, from 0
)

// An Axis says what its numbers are and how they lie.
type Axis struct {
	Label string
	Unit  Unit
	Scale Scale
}

// A Unit is what a number is of.
type Unit uint8

// The units.
const (
	Count Unit = iota
	Second
	Share // 0 to 1, told in percent
	Byte
)

// A Scale is how an axis is divided.
type Scale uint8

// The scales. Percentile is for shares up to 1: each nine takes as much room as the one before, as
// HdrHistogram's plotters have it. What is not above 0 has no place on a Log scale.
const (
	Linear Scale = iota
	Log
	Percentile
)

// A Series is some points with a name, in order of X. A Y that is not finite, or beyond 10^15, is a gap.
type Series struct {
	Name   string
	Points []Point
}

// A Point is one value.
type Point struct{ X, Y float64 }

// A Mark is a moment that explains what follows: a line from bottom to top.
type Mark struct {
	X    float64
	Text string
}

// most is how large a number may be to have a place in a picture.
const most = 1e15

func drawable(v float64) bool { return math.Abs(v) <= most } // NaN is not

// empty tells whether there is nothing to draw.
func (c *Chart) empty() bool {
	for _, s := range c.Series {
		for _, p := range s.Points {
			if drawable(p.X) && drawable(p.Y) {
				return false
			}
		}
	}
	return true
}

// mostPoints is how many points of a series are drawn: more than there are pixels show nothing more.
const mostPoints = 1600

// thin leaves of many points the highest and the lowest of each stretch, so that no spike gets lost.
func thin(points []Point) []Point {
	if len(points) <= mostPoints {
		return points
	}
	out := make([]Point, 0, mostPoints)
	stretches := mostPoints / 2
	for i := range stretches {
		part := points[i*len(points)/stretches : (i+1)*len(points)/stretches]
		low, high := 0, 0
		for j, p := range part {
			if p.Y < part[low].Y || !finite(part[low].Y) {
				low = j
			}
			if p.Y > part[high].Y || !finite(part[high].Y) {
				high = j
			}
		}
		out = append(out, part[min(low, high)])
		if low != high {
			out = append(out, part[max(low, high)])
		}
	}
	return out
}

// A place turns numbers into pixels along one axis.
type place struct {
	Axis
	from, to    float64 // on the scale: as they are, logarithms, or nines
	start, room float64 // pixels; room is negative where the axis goes up
	ticks       []tick
}

type tick struct {
	at    float64
	text  string
	minor bool // a line without a word
}

// onScale is where v lies, before it is pixels; NaN where it has no place.
func (p *place) onScale(v float64) float64 {
	if !drawable(v) {
		return math.NaN()
	}
	switch p.Scale {
	case Log:
		if v <= 1/most {
			return math.NaN()
		}
		return math.Log10(v)
	case Percentile:
		if v < 0 || v > 1 {
			return math.NaN()
		}
		return min(-math.Log10(1-v), p.to) // 1 is at the end
	}
	return v
}

func (p *place) pixel(v float64) float64 {
	return p.start + (p.onScale(v)-p.from)/(p.to-p.from)*p.room
}

// fit chooses the ends of the axis and its ticks for values. zero makes a linear axis begin there.
func (p *place) fit(values []float64, zero bool, ticks int) {
	if p.Scale == Percentile {
		p.fitNines(values)
		return
	}
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if at := p.onScale(v); finite(at) {
			low, high = min(low, at), max(high, at)
		}
	}
	switch {
	case low > high:
		low, high = 0, 1
	case p.Scale == Linear && zero:
		low, high = min(low, 0), max(high, 0)
	}
	if high-low < 1e-12*max(math.Abs(high), 1e-9) {
		high = low + max(math.Abs(low), 1)
	}
	p.from, p.to = low, high
	if p.Scale == Log {
		p.fitDecades()
		return
	}
	step := p.Unit.step(high-low, ticks)
	p.ticks = nil
	for i := math.Ceil(low/step - 1e-9); i*step <= high+step*1e-9; i++ {
		p.ticks = append(p.ticks, tick{at: i * step, text: p.Unit.text(i*step, step)})
	}
}

// round makes the axis end at a tick, with room above what is highest.
func (p *place) round() {
	if p.Scale != Linear || len(p.ticks) < 2 {
		return
	}
	last := len(p.ticks) - 1
	if step := p.ticks[1].at - p.ticks[0].at; p.to > p.ticks[last].at+step*1e-9 {
		at := p.ticks[last].at + step
		p.ticks = append(p.ticks, tick{at: at, text: p.Unit.text(at, step)})
		p.to = at
	}
}

func (p *place) fitDecades() {
	p.from, p.to = math.Floor(p.from*3-1e-9)/3, math.Ceil(p.to*3+1e-9)/3 // thirds: 1 2 5
	wide := p.to-p.from > 4
	p.ticks = nil
	for d := math.Floor(p.from); d <= p.to; d++ {
		for m := 1.0; m < 10; m++ {
			at := m * math.Pow(10, d)
			if on := math.Log10(at); on < p.from-1e-9 || on > p.to+1e-9 {
				continue
			}
			said := m == 1 || !wide && (m == 2 || m == 5)
			t := tick{at: at, minor: !said}
			if said {
				t.text = p.Unit.text(at, math.Pow(10, 3*math.Floor(d/3)))
			}
			p.ticks = append(p.ticks, t)
		}
	}
}

// fitNines makes an axis of percentiles, up to the last that is below 1.
func (p *place) fitNines(values []float64) {
	p.from, p.to = 0, 1
	for _, v := range values {
		if v > 0 && v < 1 {
			p.to = max(p.to, -math.Log10(1-v))
		}
	}
	p.ticks = []tick{{at: 0, text: "0%"}, {at: .5, text: "50%"}, {at: .9, text: "90%"}}
	text, left := "99", .01
	for ; -math.Log10(left) <= p.to+1e-9; left /= 10 {
		p.ticks = append(p.ticks, tick{at: 1 - left, text: text + "%"})
		if text == "99" {
			text += "."
		}
		text += "9"
	}
}

// places are the axes of a chart within its frame.
func (c *Chart) places(frame box) (x, y place) {
	var xs, ys []float64
	for _, s := range c.Series {
		for _, p := range s.Points {
			if drawable(p.X) && drawable(p.Y) {
				xs, ys = append(xs, p.X), append(ys, p.Y)
			}
		}
	}
	for _, m := range c.Marks {
		if finite(m.X) && len(xs) > 0 && m.X >= slices.Min(xs) && m.X <= slices.Max(xs) {
			xs = append(xs, m.X)
		}
	}
	x = place{Axis: c.X, start: frame.x, room: frame.w}
	y = place{Axis: c.Y, start: frame.y + frame.h, room: -frame.h}
	x.fit(xs, false, 9)
	y.fit(ys, true, 6)
	y.round()
	return x, y
}

// A box is a part of a picture, in pixels.
type box struct{ x, y, w, h float64 }

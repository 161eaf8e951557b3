package render

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// tail is a made distribution of latency by percentile, its middle at median seconds.
func tail(name string, median float64) Series {
	s := Series{Name: name}
	for left := 1.0; left > 1e-5; left /= 1.2 {
		s.Points = append(s.Points, Point{1 - left, median * (1 + .35*math.Pow(-math.Log10(left), 2.2))})
	}
	s.Points = append(s.Points, Point{1, median * 14})
	return s
}

// wave is a made rate over so many seconds.
func wave(name string, seconds int, rate, dip float64) Series {
	s := Series{Name: name}
	for t := range seconds {
		y := rate * (1 + .02*math.Sin(float64(t)*1.7) + .015*math.Sin(float64(t*t)))
		if t > seconds/3 && t < seconds/3+seconds/8 {
			y *= 1 - dip
		}
		s.Points = append(s.Points, Point{float64(t), y})
	}
	return s
}

func bars(name string, values ...float64) Series {
	s := Series{Name: name}
	for i, v := range values {
		s.Points = append(s.Points, Point{float64(i), v})
	}
	return s
}

// samplePage has n series in each of its charts.
func samplePage(n int) Page {
	names := []string{"redis://10.0.0.5:6379", "valkey://10.0.0.6:6379", "lock", "xfetch", "stale while revalidate", "memcached lease"}
	var tails, rates, waits []Series
	for i, name := range names[:n] {
		tails = append(tails, tail(name, .0002*(1+.4*float64(i))))
		rates = append(rates, wave(name, 180, 10_000-700*float64(i), .2*float64(i)))
		waits = append(waits, wave(name, 60, .0004*float64(i+1), -3))
	}
	table := sampleDoc()
	return Page{
		Title: "Load on redis://10.0.0.5:6379", Lead: "10,000 requests a second for 3 minutes, Zipf 0.99 over 1,000,000 keys, 90% reads",
		Summary: []Field{{Label: "rate", Cell: Text("9,998/s")}, {Label: "p50", Cell: Text("212µs")}, {Label: "p99", Cell: Text("1.9ms").As(Warn)},
			{Label: "p99.9", Cell: Text("14.2ms").As(Bad)}, {Label: "hit rate", Cell: Ratio(.9312).As(Good)}, {Label: "errors", Cell: Int(0)}, {Name: "machine", Machine: true}},
		Sections: []Section{
			{Title: "Latency by percentile", Text: "From the moment a request was due: time lost in a queue counts.",
				Chart: &Chart{Title: "Latency by percentile", X: Axis{Label: "percentile", Scale: Percentile}, Y: Axis{Label: "latency", Unit: Second}, Series: tails}, Table: &table},
			{Title: "Requests answered", Chart: &Chart{Title: "Rate over time", Kind: Step, X: Axis{Label: "time", Unit: Second}, Y: Axis{Label: "requests a second"}, Series: rates,
				Marks: []Mark{{60, "flush"}, {-5, "outside"}}}},
			{Title: "p99 of each second", Chart: &Chart{Title: "p99 over time", X: Axis{Label: "time", Unit: Second}, Y: Axis{Label: "p99", Unit: Second, Scale: Log}, Series: waits}},
			{Title: "Origin calls for each expiry", Chart: &Chart{Title: "Origin calls", Kind: Bars, X: Axis{Label: "strategy"}, Y: Axis{Label: "calls"},
				Categories: []string{"none", "singleflight", "lock", "xfetch", "a strategy whose name goes on and on and on"},
				Series:     []Series{bars("measured", 201.3, 8.51, 1, 2.73, math.NaN()), bars("theory", 201, 8.48, 1, 2.718, .5)}}},
			{Title: "Nothing", Chart: &Chart{Title: "Nothing happened", X: Axis{Label: "time"}, Y: Axis{Label: "rate"}, Series: []Series{{Name: "none"}}}},
		},
		Foot: "cachectl 1.0.0, 2026-03-01 12:00:00 UTC",
	}
}

func pageText(t testing.TB, p Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPageGolden(t *testing.T) {
	golden(t, "page.html", pageText(t, samplePage(2)))
	p := samplePage(1)
	p.Warnings = []string{"the generator was the limit: 12% of the requests were sent more than 1 ms late", "shards 0,2 of 3 are here, 1 missing"}
	p.Sections = p.Sections[:1]
	golden(t, "page1.html", pageText(t, p))
	pageText(t, samplePage(6))
	pageText(t, Page{})
}

// wellFormed reads a page as strict XML would, after what HTML allows beyond it is taken out, and calls see with every element.
func wellFormed(t testing.TB, page string, see func(xml.StartElement)) {
	t.Helper()
	page = strings.TrimPrefix(page, "<!DOCTYPE html>")
	page = regexp.MustCompile(`<meta ([^>]*)>`).ReplaceAllString(page, `<meta $1/>`)
	d := xml.NewDecoder(strings.NewReader(page))
	d.Entity = xml.HTMLEntity
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, page)
		}
		if e, ok := token.(xml.StartElement); ok {
			see(e)
		}
	}
}

// Whatever stands in titles, names, keys and notes, the page has the elements that it would have without
// it, no script, no link and nothing to fetch.
func TestPageIsHostileProof(t *testing.T) {
	elements := func(evil string) (names []string) {
		p := samplePage(2)
		p.Title, p.Lead, p.Foot, p.Warnings = evil, evil, evil, []string{evil}
		p.Summary = []Field{{Label: evil, Cell: Text(evil)}, {Label: evil, Cell: Cell{Text: evil}}}
		for i := range p.Sections {
			p.Sections[i].Title, p.Sections[i].Text = evil, evil
			if c := p.Sections[i].Chart; c != nil {
				c.Title, c.X.Label, c.Y.Label = evil, evil, evil
				for j := range c.Series {
					c.Series[j].Name = evil
				}
				for j := range c.Marks {
					c.Marks[j].Text = evil
				}
				for j := range c.Categories {
					c.Categories[j] = evil
				}
			}
		}
		p.Sections[0].Table = &Doc{Fields: []Field{{Label: evil, Cell: Cell{Text: evil}}}, Body: &Field{Cell: Cell{Text: evil}}, Columns: []Column{{Name: evil}},
			Rows: chunks(1, nil, Row{{Text: evil, Value: evil}}), Footer: Row{{Text: evil}}, Notes: []string{evil}}
		text := pageText(t, p)
		if !utf8.ValidString(text) || hidden(text, true) >= 0 {
			t.Errorf("%q: control characters get through", evil)
		}
		wellFormed(t, text, func(e xml.StartElement) {
			names = append(names, e.Name.Local)
			for _, a := range e.Attr {
				if n := strings.ToLower(a.Name.Local); strings.HasPrefix(n, "on") || n == "href" || n == "src" || n == "style" || n == "action" {
					t.Errorf("%q: <%s %s=%q>", evil, e.Name.Local, n, a.Value)
				}
			}
			if e.Name.Local == "script" || e.Name.Local == "a" || e.Name.Local == "img" || e.Name.Local == "iframe" || e.Name.Local == "link" {
				t.Errorf("%q: <%s>", evil, e.Name.Local)
			}
		})
		if strings.Contains(text, "http:") || strings.Contains(text, "https:") || strings.Contains(pageCSS, "url(") || strings.Contains(pageCSS, "@import") {
			t.Errorf("%q: the page may ask the network for something", evil)
		}
		return names
	}
	want := elements("harmless")
	for _, evil := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `</title><script>`, `</svg><script>`, `]]></desc>`,
		`</style><script>alert(1)</script>`, `{{.Title}}`, `&lt;script&gt;`, "a\x00b\x1b[31m\u202ec\xff", `<!--`, "\\u003cscript\\u003e", "javascript:alert(1)", strings.Repeat("w", 5000),
	} {
		if got := elements(evil); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%.40q changes the page's elements", evil)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		evil := "x" + rapid.StringOf(rapid.RuneFrom([]rune("<>\"'&/= \x00\x1b\u2028abc{}`-!]"))).Draw(rt, "text")
		if got := elements(evil); strings.Join(got, " ") != strings.Join(want, " ") {
			rt.Fatalf("%q changes the page's elements", evil)
		}
	})
}

// Whatever the numbers, every coordinate in a picture is a number, and within it.
func TestChartsOfAnyNumbers(t *testing.T) {
	coordinate := regexp.MustCompile(`-?[0-9]+(\.[0-9]+)?`)
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.OneOf(rapid.Float64(), rapid.Float64Range(0, 1), rapid.SampledFrom([]float64{0, 1, math.NaN(), math.Inf(1), math.Inf(-1), -1, 1e300, 5e-324}))
		axis := rapid.Custom(func(t *rapid.T) Axis {
			return Axis{Unit: rapid.SampledFrom([]Unit{Count, Second, Share, Byte}).Draw(t, "unit"), Scale: rapid.SampledFrom([]Scale{Linear, Log}).Draw(t, "scale")}
		})
		c := Chart{Kind: rapid.SampledFrom([]ChartKind{Line, Step, Bars}).Draw(t, "kind"), X: axis.Draw(t, "x"), Y: axis.Draw(t, "y"), Categories: []string{"a", "b"}}
		if rapid.Bool().Draw(t, "percentile") {
			c.X.Scale = Percentile
		}
		for range rapid.IntRange(0, 3).Draw(t, "series") {
			var s Series
			for range rapid.IntRange(0, 6).Draw(t, "points") {
				s.Points = append(s.Points, Point{number.Draw(t, "X"), number.Draw(t, "Y")})
			}
			c.Series = append(c.Series, s)
		}
		c.Marks = []Mark{{number.Draw(t, "mark"), "m"}}
		picture := c.svg("c")
		if strings.Contains(picture, "NaN") || strings.Contains(picture, "Inf") || len(picture) > 100_000 {
			t.Fatalf("%.5000s", picture)
		}
		for _, d := range regexp.MustCompile(` (d|x|y|x1|x2|y1|y2|cx|cy|width)="([^"]*)"`).FindAllStringSubmatch(picture, -1) {
			for _, n := range coordinate.FindAllString(d[2], -1) {
				var v float64
				fmt.Sscan(n, &v)
				if v < -1 || v > chartWidth+100 {
					t.Fatalf("%s in %s", n, d[0])
				}
			}
		}
	})
}

func TestThinKeepsSpikes(t *testing.T) {
	points := make([]Point, 100_000)
	for i := range points {
		points[i] = Point{float64(i), 10}
	}
	points[54_321].Y, points[54_999].Y, points[99_999].Y = 1000, 0, math.NaN()
	out := thin(points)
	low, high, _ := (&Series{Points: out}).ends()
	if len(out) > mostPoints || low != 0 || high != 1000 {
		t.Errorf("%d points from %g to %g", len(out), low, high)
	}
	for i := range out[1:] {
		if out[i+1].X <= out[i].X {
			t.Fatalf("point %d is at %g after %g", i+1, out[i+1].X, out[i].X)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		axis   Axis
		values []float64
		want   string
	}{
		{Axis{}, []float64{0, 9800}, "0 2k 4k 6k 8k 10k"},
		{Axis{}, []float64{0, 1}, "0.0 0.2 0.4 0.6 0.8 1.0"},
		{Axis{}, []float64{3}, "0 1 2 3"},
		{Axis{}, nil, "0.0 0.2 0.4 0.6 0.8 1.0"},
		{Axis{}, []float64{1_230_000}, "0 0.25M 0.50M 0.75M 1.00M 1.25M"},
		{Axis{Unit: Second}, []float64{.0042}, "0 1ms 2ms 3ms 4ms 5ms"},
		{Axis{Unit: Second}, []float64{1800}, "0 10m 20m 30m"},
		{Axis{Unit: Second}, []float64{.00087}, "0 200µs 400µs 600µs 800µs 1ms"},
		{Axis{}, []float64{10_300}, "0 2.5k 5.0k 7.5k 10.0k 12.5k"},
		{Axis{Unit: Share}, []float64{.93}, "0% 20% 40% 60% 80% 100%"},
		{Axis{Unit: Share}, []float64{.003}, "0.0% 0.1% 0.2% 0.3%"},
		{Axis{Unit: Byte}, []float64{5 << 20}, "0 B 1.0 MiB 2.0 MiB 3.0 MiB 4.0 MiB 5.0 MiB"},
		{Axis{Unit: Second, Scale: Log}, []float64{.00012, .02}, "100µs 200µs 500µs 1ms 2ms 5ms 10ms 20ms"},
		{Axis{Scale: Log}, []float64{1, 1e6, 0}, "1 10 100 1k 10k 100k 1M"},
		{Axis{Scale: Percentile}, []float64{0, .5, .9995, 1}, "0% 50% 90% 99% 99.9%"},
	} {
		p := place{Axis: c.axis}
		p.fit(c.values, true, 6)
		p.round()
		var texts []string
		for _, tick := range p.ticks {
			if !tick.minor {
				texts = append(texts, tick.text)
			}
		}
		if got := strings.Join(texts, " "); got != c.want {
			t.Errorf("%+v of %v: %s, want %s", c.axis, c.values, got, c.want)
		}
	}
}

func TestPageTableFails(t *testing.T) {
	var b bytes.Buffer
	p := Page{Sections: []Section{{Table: &Doc{Columns: []Column{{Name: "n"}}, Rows: chunks(1, errLost, Row{Int(1)})}}}}
	if err := p.Write(&b); err != errLost || b.Len() > 0 {
		t.Errorf("%v, %d bytes", err, b.Len())
	}
	if err := new(Page).Write(&failingWriter{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

func TestSparkline(t *testing.T) {
	for _, c := range []struct {
		values []float64
		width  int
		want   string
	}{
		{[]float64{0, 1, 2, 3, 4, 5, 6, 7}, 8, "▁▂▃▄▅▆▇█"}, {[]float64{0, 1, 2, 3, 4, 5, 6, 7}, 3, "▆▇█"},
		{[]float64{5, math.NaN(), 10}, 9, "▅ █"}, {[]float64{0, 0}, 9, "▁▁"}, {nil, 9, ""}, {[]float64{-3, 2, math.Inf(1)}, 9, "▁█ "}, {[]float64{1}, 0, ""},
	} {
		if got := Sparkline(c.values, c.width); got != c.want {
			t.Errorf("%v in %d: %q, want %q", c.values, c.width, got, c.want)
		}
	}
}

// Every way of drawing a series differs from the others, in its dash alone too.
func TestStylesDiffer(t *testing.T) {
	seen := make(map[string]int)
	for i := 1; i < styles; i++ { // the first has no dash
		_, rest, found := strings.Cut(pageCSS, fmt.Sprintf(".line.s%d { stroke-dasharray: ", i))
		dash, _, _ := strings.Cut(rest, ";")
		if was, twice := seen[dash]; !found || twice {
			t.Errorf("the line of series %d: %q, as that of series %d", i, dash, was)
		}
		seen[dash] = i
		if !strings.Contains(pageCSS, fmt.Sprintf(".s%d { stroke: var(--c", i)) || !strings.Contains(pageCSS, fmt.Sprintf(".bar.s%d, ", i)) {
			t.Errorf("series %d has no colour", i)
		}
	}
}

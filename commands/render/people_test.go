package render

import (
	"errors"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/clipperhouse/displaywidth"
	"github.com/google/go-cmp/cmp"
)

func TestCells(t *testing.T) {
	us := time.Microsecond
	for _, c := range []struct {
		cell  Cell
		text  string
		value any
	}{
		{Cell{}, "", nil}, {Unknown(), "-", nil}, {Text("a\tb"), `a\tb`, "a\tb"}, {Key("a b"), `"a b"`, Binary("a b")},
		{Block("a\n\tb\x1b"), "a\n\tb\\x1b", Binary("a\n\tb\x1b")},
		{Int(0), "0", int64(0)}, {Int(-1234567), "-1,234,567", int64(-1234567)}, {Int(999), "999", int64(999)},
		{Int(math.MinInt64), "-9,223,372,036,854,775,808", int64(math.MinInt64)},
		{Uint(math.MaxUint64), "18,446,744,073,709,551,615", uint64(math.MaxUint64)},
		{Bytes(0), "0 B", int64(0)}, {Bytes(1023), "1023 B", int64(1023)}, {Bytes(1024), "1.0 KiB", int64(1024)},
		{Bytes(1<<20 - 1), "1.0 MiB", int64(1<<20 - 1)}, {Bytes(-1234567), "-1.2 MiB", int64(-1234567)},
		{Bytes(math.MaxInt64), "8.0 EiB", int64(math.MaxInt64)},
		{Rate(0), "0", 0.0}, {Rate(12345.6), "12,346", 12345.6}, {Rate(2), "2.0", 2.0}, {Rate(0.25), "0.25", 0.25}, {Rate(-0.00123), "-0.0012", -0.00123}, {Rate(math.NaN()), "-", nil},
		{Duration(0), "0s", int64(0)}, {Duration(850), "850ns", int64(0)}, {Duration(850 * us), "850µs", int64(0)},
		{Duration(1500), "1.5µs", int64(0)}, {Duration(12345 * us), "12.3ms", int64(12)}, {Duration(999_999), "1ms", int64(0)},
		{Duration(123456 * us), "123ms", int64(123)}, {Duration(999_600 * us), "1s", int64(999)},
		{Duration(45 * time.Second), "45s", int64(45000)}, {Duration(59_960 * time.Millisecond), "1m", int64(59960)},
		{Duration(30*time.Minute - 1), "29m59s", int64(1799999)}, {Duration(3*time.Hour + 12*time.Minute), "3h12m", int64(11520000)},
		{Duration(292 * time.Hour), "12d4h", int64(1051200000)}, {Duration(24 * time.Hour), "1d", int64(86400000)},
		{Duration(-1500 * time.Millisecond), "-1.5s", int64(-1500)}, {Duration(math.MinInt64), "-106751d23h", int64(-9223372036854)},
		{Seconds(12345 * us), "12.3ms", 0.012345},
		{Ratio(0.832), "83.2%", 0.832}, {Ratio(2.0 / 3), "66.7%", 0.666667}, {Ratio(1), "100.0%", 1.0}, {Ratio(0), "0.0%", 0.0},
		{Ratio(0.99996), ">99.9%", 0.99996}, {Ratio(0.0001), "<0.1%", 0.0001}, {Ratio(math.NaN()), "-", nil}, {Ratio(math.Inf(1)), "-", nil},
		{Float(1234.54, 1), "1,234.5", 1234.54}, {Float(-0.001, 1), "0.0", -0.001}, {Float(-1234567, 0), "-1,234,567", -1234567.0},
		{Float(math.Inf(1), 1), "-", nil}, {Bool(true), "yes", true}, {Bool(false), "no", false},
	} {
		if c.cell.Text != c.text || c.cell.Value != c.value {
			t.Errorf("%q %v, want %q %v", c.cell.Text, c.cell.Value, c.text, c.value)
		}
	}
}

func TestVisible(t *testing.T) {
	for _, c := range [][2]string{
		{"plain", "plain"}, {"\x1b[31m", `\x1b[31m`}, {"a\r\nb", `a\r\nb`}, {"\u009b", `\u009b`}, {"\x9b", `\x9b`},
		{"é世👩‍👧", "é世👩‍👧"}, {"\u202eabc", `\u202eabc`}, {"\ufffd", "\ufffd"}, {`a\n`, `a\n`}, {"\x00\x7f", `\x00\x7f`},
	} {
		got := visible(c[0], false)
		if got != c[1] {
			t.Errorf("%q shows as %q, want %q", c[0], got, c[1])
		}
		if again := visible(got, false); again != got {
			t.Errorf("%q shows as %q the second time", c[0], again)
		}
	}
}

var columnsKN = []Column{{Name: "key"}, {Name: "n", Right: true}, {Name: "note"}}

func TestTableAligns(t *testing.T) {
	d := Doc{Columns: columnsKN, Rows: chunks(2, nil,
		Row{Text("user:1"), Int(5), Text("x")}, Row{Text("世界"), Int(12345)}, // sampled together
		Row{Text("é👩‍👧"), Int(7), Text("  kept  ")}, Row{Text("a-much-wider-one"), Int(8), Text("y")},
	)}
	want := "" +
		"KEY          N  NOTE\n" +
		"user:1       5  x\n" +
		"世界    12,345\n" +
		"é👩‍👧                    7    kept  \n" +
		"a-much-wider-one       8  y\n"
	if d := cmp.Diff(want, mustSay(t, Options{Header: true}, d)); d != "" {
		t.Error(d)
	}
}

// After the sample, what is wider pushes its own line to the right and no other.
func TestTablePushes(t *testing.T) {
	var rows []Row
	for range sampleRows {
		rows = append(rows, Row{Text("ab"), Int(1), Text("x")})
	}
	rows = append(rows, Row{Text("abcdef"), Int(1), Text("x")}, Row{Text("ab"), Int(1), Text("x")})
	out := mustSay(t, Options{}, Doc{Columns: columnsKN, Rows: chunks(len(rows), nil, rows...)})
	lines := strings.Split(out, "\n")
	if d := cmp.Diff([]string{"ab  1  x", "abcdef  1  x", "ab  1  x", ""}, lines[sampleRows-1:]); d != "" {
		t.Error(d)
	}
}

func TestTableCuts(t *testing.T) {
	long := strings.Repeat("session:世界:", 20)
	doc := func() Doc {
		return Doc{Columns: columnsKN, Rows: chunks(1, nil,
			Row{Key("user:1"), Int(5), Text("short")}, Row{Key(long), Int(123456), Text(strings.Repeat("note ", 20) + ".")},
			Row{Key("user:2"), Int(6), Text("short")}, Row{Key(long + long), Int(7), Text(long)})}
	}
	for width := 30; width < 300; width += 7 {
		out := mustSay(t, Options{Header: true, Width: width, Color: true}, doc())
		for line := range strings.Lines(out) {
			line = strings.TrimSuffix(line, "\n")
			if n := displaywidth.String(line); n > width {
				t.Errorf("width %d: %d cells in %q", width, n, line)
			}
			if strings.HasSuffix(line, " ") {
				t.Errorf("width %d: trailing space in %q", width, line)
			}
		}
		if !strings.Contains(out, "123,456") || !strings.Contains(out, "user:2") {
			t.Errorf("width %d cuts what it need not:\n%s", width, out)
		}
	}
	if out := mustSay(t, Options{Header: true}, doc()); strings.Contains(out, "…") || !strings.Contains(out, long+long) {
		t.Errorf("cut without a width:\n%s", out)
	}
	single := Doc{Columns: columnsKN[:1], Rows: chunks(1, nil, Row{Key(long)}, Row{Key("a")})}
	if out := mustSay(t, Options{Width: 20}, single); out != "session:世界:sessio…\na\n" {
		t.Errorf("one column: %q", out)
	}
}

var sgrPattern = regexp.MustCompile("\x1b\\[[0-9]*m")

// Colour is around text, and changes nothing else.
func TestColorIsDecoration(t *testing.T) {
	for _, width := range []int{0, 60} {
		o := Options{Header: true, Width: width}
		plain := mustSay(t, o, sampleDoc())
		o.Color = true
		colored := mustSay(t, o, sampleDoc())
		if colored == plain || sgrPattern.ReplaceAllString(colored, "") != plain {
			t.Errorf("width %d:\n%q\n%q", width, colored, plain)
		}
	}
}

func TestManyTables(t *testing.T) {
	d := func() Doc { return Doc{Columns: columnsKN[:1], Rows: chunks(1, nil, Row{Text("a")})} }
	if got := mustSay(t, Options{Width: 9}, Doc{Rows: chunks(1, nil, Row{Int(1)})}); got != "\n" {
		t.Errorf("no columns: %q", got)
	}
	if got := mustSay(t, Options{}, d(), Doc{}, d()); got != "a\n\na\n" {
		t.Errorf("%q", got)
	}
}

func TestChoose(t *testing.T) {
	columns := []Column{{Name: "key"}, {Name: "ttl", Field: "ttl_ms"}, {Name: "freq", Wide: true}}
	for _, c := range []struct {
		o    Options
		want []int
		err  string
	}{
		{Options{}, []int{0, 1}, ""}, {Options{Format: Markdown}, []int{0, 1}, ""}, {Options{Format: Wide}, []int{0, 1, 2}, ""},
		{Options{Format: CSV}, []int{0, 1, 2}, ""}, {Options{Columns: []string{"freq", "TTL_ms", "freq"}}, []int{2, 1}, ""},
		{Options{Columns: []string{"tll"}}, nil, `unknown column "tll", did you mean "ttl"? (known: key, ttl, freq)`},
		{Options{Columns: []string{"zzzzzz"}}, nil, `unknown column "zzzzzz" (known: key, ttl, freq)`},
	} {
		got, err := c.o.Choose(columns)
		text := ""
		var usage *UsageError
		if err != nil {
			text = err.Error()
			if !errors.As(err, &usage) {
				t.Errorf("%T", err)
			}
		}
		if d := cmp.Diff(c.want, got); d != "" || text != c.err {
			t.Errorf("%v: %q\n%s", c.o, text, d)
		}
	}
	if out, err := say(t, Options{Format: CSV, Columns: []string{"x"}}, Doc{Columns: columns}); err == nil || out != "" {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := say(t, Options{Format: JSON, Many: true, Columns: []string{"x"}}, Doc{}); err == nil || out != "" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestParseFormat(t *testing.T) {
	for _, f := range Formats() {
		if got, err := ParseFormat(string(f)); got != f || err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
	for in, near := range map[string]string{"jsno": "json", "yml": "yaml", "JSON": "json", "prometheus": "prom", "tbl": "table", "xlsx": ""} {
		_, err := ParseFormat(in)
		if err == nil || strings.Contains(err.Error(), "did you mean") != (near != "") || !strings.Contains(err.Error(), near) {
			t.Errorf("%s: %v", in, err)
		}
	}
	if _, err := New(nil, Options{Format: "xml"}); err == nil {
		t.Error("xml is a format")
	}
}

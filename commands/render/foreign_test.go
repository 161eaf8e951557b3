package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

// What YAML 1.1 takes for something else than a string is in double quotes, as
// a value and as a name; other words are bare.
func TestYAML11(t *testing.T) {
	for _, s := range yaml11Words {
		for _, in := range []string{`{"k":%s}`, `{%s:1}`, `[%s]`} {
			got, err := marshalYAML(fmt.Appendf(nil, in, appendString(nil, s)))
			if err != nil || !bytes.Contains(got, []byte(`"`+s+`"`)) {
				t.Errorf("%q is %q, %v", s, got, err)
			}
		}
	}
	for _, s := range []string{"yesterday", "no way", "user:1", "10.0.0.5", "12:30 h", "a=b", "nano", "7.2.4-rc1", "1e", "on:1", "offs"} {
		got, err := marshalYAML(appendString(nil, s))
		if err != nil || s != "1e" && string(got) != s+"\n" {
			t.Errorf("%q is %q, %v", s, got, err)
		}
	}
}

var yaml11Words = []string{
	"yes", "Yes", "YES", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF", "y", "Y", "n", "N", "yEs", "true", "False",
	"12:30:45", "190:20:30.15", "-1:30", "1:2", "=", "<<", "~", "null", "NULL", "", ".inf", "-.INF", ".nan", ".NaN",
	"0b1010_0111", "0777", "0o14", "08", "0x_", "0b_", "0x1F", "1_000", "+12", "1.", "._", ".5", "6.8523015e+5", "685_230.15",
	"2001-12-14", "2001-99-99", "2001-1-1 1:1:1", "2001-12-14t21:59:43.10-05:00", "2001-12-15 2:59:43.10",
}

// Down to maxNest it is encoding/json's layout.
func TestIndent(t *testing.T) {
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		leaf := rapid.OneOf(rapid.Map(rapid.StringOf(rapid.SampledFrom([]rune(`a\"[]{},: é`))), func(s string) any { return s }),
			rapid.Just[any](nil), rapid.Just[any](1.5), rapid.Just[any](true))
		if depth == 0 {
			return leaf
		}
		return rapid.OneOf(leaf,
			rapid.Map(rapid.SliceOfN(value(depth-1), 0, 3), func(v []any) any { return v }),
			rapid.Map(rapid.MapOfN(rapid.SampledFrom([]string{"", "a", `"}`, "[", `\`}), value(depth-1), 0, 3), func(v map[string]any) any { return v }))
	}
	rapid.Check(t, func(t *rapid.T) {
		compact, err := json.Marshal(value(4).Draw(t, "v"))
		if err != nil {
			t.Fatal(err)
		}
		depth := rapid.IntRange(0, 2).Draw(t, "depth")
		var want bytes.Buffer
		if err := json.Indent(&want, compact, strings.Repeat("  ", depth), "  "); err != nil {
			t.Fatal(err)
		}
		if got := appendIndented(nil, compact, depth); string(got) != want.String() {
			t.Fatalf("%s is\n%s\nwant\n%s", compact, got, &want)
		}
	})
}

// A value of many nested brackets prints in its own size, more or less.
func TestDeep(t *testing.T) {
	const n = 9_999
	for name, raw := range map[string]string{
		"arrays":  strings.Repeat("[", n) + strings.Repeat("]", n),
		"items":   strings.Repeat("[1,", n-1) + "[]" + strings.Repeat("]", n-1),
		"objects": strings.Repeat(`{"yes":`, n) + `"a\"]"` + strings.Repeat("}", n),
		"ladder":  strings.Repeat("[[],", n-1) + "[]" + strings.Repeat(",[]]", n-1),
	} {
		d := Doc{Body: &Field{Name: "v", Cell: Cell{Text: "x", Value: json.RawMessage(raw)}}}
		out := mustSay(t, Options{Format: JSON}, d)
		var back bytes.Buffer
		// One level more than the value: encoding/json reads 10,000.
		if err := json.Compact(&back, []byte(out)); err != nil || back.String() != `{"v":`+raw+"}" {
			t.Errorf("json, %s: reads back otherwise, %v", name, err)
		}
		if limit := 2*len(raw) + 50_000; len(out) > limit {
			t.Errorf("json, %s: %d bytes, want %d at most", name, len(out), limit)
		}
		out = mustSay(t, Options{Format: YAML}, d)
		if limit := 4*len(raw) + 50_000; len(out) > limit {
			t.Errorf("yaml, %s: %d bytes, want %d at most", name, len(out), limit)
		}
	}
	shallow := strings.Repeat(`[{"no":"a, b: ]"},`, 90) + "[]" + strings.Repeat("]", 90)
	y, err := marshalYAML([]byte(shallow))
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := yaml.Unmarshal(y, &v); err != nil {
		t.Fatalf("%v in\n%s", err, y)
	}
	if got, _ := json.Marshal(v); string(got) != shallow {
		t.Errorf("YAML reads back as\n%s", got)
	}
}

func TestVisibleLine(t *testing.T) {
	for s, want := range map[string]string{
		"": "", "plain words": "plain words", "Grüße 世界": "Grüße 世界", `a\b`: `a\b`,
		"a\nb\tc\r": `a\nb\tc\r`, "\x1b[31mred\x00\x7f": `\x1b[31mred\x00\x7f`, "\xff\xe4": `\xff\xe4`, "\u009b\u202e": `\u009b\u202e`,
	} {
		if got := Visible(s); got != want || got != Text(s).Text || Visible(got) != got {
			t.Errorf("%q is %q, want %q", s, got, want)
		}
	}
}

// A flat column is in csv, and elsewhere where it is asked for.
func TestFlatColumn(t *testing.T) {
	for f, want := range map[Format]string{CSV: "key,count\na,1\n", NDJSON: "{\"count\":1}\n", Table: "1\n", Wide: "1\n",
		Markdown: "| count |\n| --- |\n| 1 |\n", JSON: "[\n  {\"count\":1}\n]\n", YAML: "- count: 1\n"} {
		d := Doc{Columns: []Column{{Name: "key", Flat: true}, {Name: "count"}}, Rows: chunks(1, nil, Row{Key("a"), Int(1)})}
		if got := mustSay(t, Options{Format: f}, d); got != want {
			t.Errorf("%s: %q, want %q", f, got, want)
		}
		if got := mustSay(t, Options{Format: f, Columns: []string{"key"}}, d); !strings.Contains(got, "a") || strings.Contains(got, "1") {
			t.Errorf("%s, chosen: %q", f, got)
		}
	}
}

package render

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

// countRows reads output back, and fails where it is not well formed.
func countRows(t *testing.T, f Format, out string) int {
	t.Helper()
	var v any
	var err error
	switch f {
	case JSON:
		err = json.Unmarshal([]byte(out), &v)
	case YAML:
		err = yaml.Unmarshal([]byte(out), &v)
	case NDJSON:
		lines := []any{}
		dec := json.NewDecoder(strings.NewReader(out))
		for {
			var line any
			if err = dec.Decode(&line); err != nil {
				break
			}
			lines = append(lines, line)
		}
		if err == io.EOF {
			err = nil
		}
		v = lines
	case CSV:
		records, err := csv.NewReader(strings.NewReader(out)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		return len(records) - 1
	case Markdown:
		return strings.Count(out, "\n") - 2
	default:
		return strings.Count(out, "\n")
	}
	if err != nil {
		t.Fatalf("%s: %v in\n%s", f, err, out)
	}
	return rowsIn(v)
}

// rowsIn counts the objects with a member n.
func rowsIn(v any) int {
	n := 0
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			n += rowsIn(item)
		}
	case map[string]any:
		if _, ok := v["n"]; ok {
			return 1
		}
		for _, item := range v {
			n += rowsIn(item)
		}
	}
	return n
}

func TestValues(t *testing.T) {
	for _, c := range []struct {
		v    any
		want string
	}{
		{nil, "null"}, {true, "true"}, {int64(math.MinInt64), "-9223372036854775808"},
		{uint64(math.MaxUint64), "18446744073709551615"},
		{0.832, "0.832"}, {1e21, "1e+21"}, {1e-7, "1e-7"}, {math.NaN(), "null"}, {math.Inf(-1), "null"}, {3.0, "3"},
		{"<a&b>", `"<a&b>"`}, {"\x00\n\"\\\t\u2028", `"\u0000\n\"\\\t\u2028"`}, {"a\xffb", "\"a\ufffdb\""},
		{"\ufffd", "\"\ufffd\""}, {"\x7f\u009b", `"\u007f\u009b"`},
		{Binary("user:1"), `"user:1"`}, {Binary("\xff"), `{"b64":"/w=="}`},
		{json.RawMessage("{\n \"b\" : 1,\"a\":12345678901234567890}"), `{"b":1,"a":12345678901234567890}`},
		{json.RawMessage(`{oops`), `"{oops"`}, {json.RawMessage(nil), "null"}, {json.RawMessage("\"\xff\""), "\"\ufffd\""},
		{[]any{int64(1), "x", nil, Binary("\x80")}, `[1,"x",null,{"b64":"gA=="}]`},
		{map[string]any{"b": int64(1), "a": Binary("\xff"), "c": map[string]any{}}, `{"a_b64":"/w==","b":1,"c":{}}`},
		{[]string{"other"}, `["other"]`}, {make(chan int), "null"},
	} {
		got := string(appendJSON(nil, c.v))
		if got != c.want {
			t.Errorf("%#v is %s, want %s", c.v, got, c.want)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("%#v: %s is no JSON", c.v, got)
		}
	}
}

// Strings and floats read back as encoding/json's do; YAML says the same as JSON.
func TestValuesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune("ab \n\t#:-'\"|>é\u0085\u2028\ufeff~0"))),
			rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "s")
		std, _ := json.Marshal(s)
		var want, got string
		if err := errors.Join(json.Unmarshal(std, &want), json.Unmarshal(appendString(nil, s), &got)); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Fatalf("JSON of %q reads back as %q", s, got)
		}
		f := rapid.Float64().Draw(t, "f")
		std, err := json.Marshal(f)
		if err == nil && string(appendFloat(nil, f)) != string(std) {
			t.Fatalf("%s, want %s", appendFloat(nil, f), std)
		}
		m := newMember("k")
		doc := append(m.append([]byte{'{'}, Binary(s)), '}')
		y, err := marshalYAML(append(append([]byte(`[1,`), doc...), ']'))
		if err != nil {
			t.Fatal(err)
		}
		var back []any
		if err := yaml.Unmarshal(y, &back); err != nil || len(back) != 2 {
			t.Fatalf("%v in %q", err, y)
		}
		object := back[1].(map[string]any)
		bytes, _ := object["k"].(string)
		if !utf8.ValidString(s) {
			raw, _ := base64.StdEncoding.DecodeString(object["k_b64"].(string))
			bytes = string(raw)
		}
		if bytes != s {
			t.Fatalf("YAML of %q is %q", s, y)
		}
	})
}

func TestCSVReadsBack(t *testing.T) {
	rows := []Row{{Key(`a"b,c`)}, {Key("")}, {Unknown()}, {Text("two\nlines")}, {Key("\xff")}, {Float(1234.5, 1)}, {Bool(true)}}
	out := mustSay(t, Options{Format: CSV}, Doc{Columns: []Column{{Name: "key"}}, Rows: chunks(3, nil, rows...)})
	records, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"key"}, {`"a\"b,c"`}, {`""`}, {""}, {"two\nlines"}, {`"\xff"`}, {"1234.5"}, {"true"}}
	if d := cmp.Diff(want, records); d != "" {
		t.Error(d)
	}
}

func TestNoRows(t *testing.T) {
	empty := func(list string) Doc {
		return Doc{Columns: []Column{{Name: "key"}}, Rows: chunks(1, nil), List: list}
	}
	for _, c := range []struct {
		o    Options
		d    Doc
		want string
	}{
		{Options{Header: true}, empty(""), "KEY\n"}, {Options{}, empty(""), ""},
		{Options{Format: JSON}, empty(""), "[]\n"}, {Options{Format: JSON}, empty("keys"), "{\n  \"keys\": []\n}\n"},
		{Options{Format: NDJSON}, empty(""), ""}, {Options{Format: NDJSON}, empty("keys"), "{\"keys\":[]}\n"},
		{Options{Format: YAML}, empty(""), "[]\n"}, {Options{Format: YAML}, empty("keys"), "keys: []\n"},
		{Options{Format: CSV}, empty(""), "key\n"},
		{Options{Format: JSON}, Doc{}, "{}\n"}, {Options{Format: YAML}, Doc{}, "{}\n"}, {Options{}, Doc{}, ""},
	} {
		if got := mustSay(t, c.o, c.d); got != c.want {
			t.Errorf("%v: %q, want %q", c.o, got, c.want)
		}
	}
	if got := mustSay(t, Options{Format: JSON, Many: true}); got != "[]\n" {
		t.Errorf("no document: %q", got)
	}
}

func TestProm(t *testing.T) {
	m := &Metric{Name: "m", Help: "h", Type: "counter"}
	rows := func(k ...string) Doc {
		var r []Row
		for i, k := range k {
			r = append(r, Row{Key(k), Int(int64(i))})
		}
		return Doc{Columns: []Column{{Name: "key", Label: true}, {Name: "n", Metric: m}}, Rows: chunks(9, nil, r...)}
	}
	got := mustSay(t, Options{Format: Prom, Columns: []string{"n"}},
		rows(`a"\`+"\n", "\xff"),
		Doc{Fields: []Field{{Name: "f", Cell: Float(0.5, 1), Metric: &Metric{Name: "f"}},
			{Name: "u", Cell: Unknown(), Metric: &Metric{Name: "u"}}}}.withColumns(rows().Columns), rows("b", ""))
	want := "# HELP m h\n# TYPE m counter\n" + `m{key="a\"\\\n"} 0` + "\n" + `m{key="\"\\xff\""} 1` + "\n" +
		`m{key="b"} 0` + "\n" + `m{key="\"\""} 1` + "\n# TYPE f untyped\nf 0.5\n"
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if _, err := say(t, Options{Format: Prom}, rows("a", "a")); err == nil || !strings.Contains(err.Error(), `m{key="a"} comes twice`) {
		t.Errorf("err = %v", err)
	}
	var usage *UsageError
	if _, err := say(t, Options{Format: Prom}, Doc{}); !errors.As(err, &usage) {
		t.Errorf("err = %v", err)
	}
}

func (d Doc) withColumns(c []Column) Doc {
	d.Columns = c
	return d
}

func TestJQ(t *testing.T) {
	rowsOnly := sampleDoc()
	rowsOnly.List = ""
	for _, c := range []struct {
		o    Options
		docs []Doc
		want string
	}{
		{Options{Format: JSON, JQ: ".hit_rate, .keys[0].key"}, []Doc{sampleDoc()}, "0.8321\n\"user:1\"\n"},
		{Options{Format: JSON, JQ: ".run_id"}, []Doc{sampleDoc()}, "18446744073709551615\n"},
		{Options{Format: JSON, JQ: "length"}, []Doc{rowsOnly}, "4\n"},
		{Options{Format: JSON, JQ: "map(has(\"keys\"))", Many: true}, []Doc{sampleDoc(), {}}, "[\n  true,\n  false\n]\n"},
		{Options{Format: NDJSON, JQ: "{key_b64,t:.type}|select(.key_b64)"}, []Doc{rowsOnly}, "{\"key_b64\":\"AP8gYmluCg==\",\"t\":\"st\\u001b[31mring\"}\n"},
		{Options{Format: NDJSON, JQ: ".key // empty", JQRaw: true}, []Doc{rowsOnly}, "user:1\ncart:世界\n\n"},
		{Options{Format: NDJSON, JQ: ".target", JQRaw: true}, []Doc{sampleDoc()}, "redis://10.0.0.5:6379\n"},
		{Options{Format: YAML, JQ: ".keys[0,1]|{key,type}"}, []Doc{sampleDoc()}, "key: user:1\ntype: string\n---\nkey: cart:世界\ntype: hash\n"},
		{Options{Format: JSON, JQ: "env|length"}, []Doc{{}}, "0\n"},
		{Options{Format: JSON, JQ: "1, halt, 2"}, []Doc{{}}, "1\n"},
	} {
		if d := cmp.Diff(c.want, mustSay(t, c.o, c.docs...)); d != "" {
			t.Errorf("%s %s:\n%s", c.o.Format, c.o.JQ, d)
		}
	}
	var usage *UsageError
	for _, o := range []Options{{JQ: "."}, {Format: CSV, JQ: "."}, {Format: JSON, JQ: "{"}, {Format: JSON, JQ: "nope()"}} {
		if _, err := New(io.Discard, o); !errors.As(err, &usage) {
			t.Errorf("%v: err = %v", o, err)
		}
	}
	_, err := say(t, Options{Format: JSON, JQ: ".keys.x"}, sampleDoc())
	if err == nil || errors.As(err, &usage) || !strings.Contains(err.Error(), ".keys.x") {
		t.Errorf("err = %v", err)
	}
}

func TestManyIsOneValue(t *testing.T) {
	rowsOnly := sampleDoc()
	rowsOnly.List = ""
	var v []any
	out := mustSay(t, Options{Format: JSON, Many: true}, sampleDoc(), rowsOnly, Doc{})
	if err := json.Unmarshal([]byte(out), &v); err != nil || len(v) != 3 {
		t.Errorf("%v in\n%s", err, out)
	}
	dec, n := yaml.NewDecoder(bytes.NewBufferString(mustSay(t, Options{Format: YAML, Many: true}, sampleDoc(), rowsOnly, Doc{}))), 0
	for dec.Decode(new(any)) == nil {
		n++
	}
	if n != 3 {
		t.Errorf("%d yaml documents", n)
	}
}

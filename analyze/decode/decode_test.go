package decode

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/vmihailenco/msgpack/v5"
)

func packed(t testing.TB, w io.WriteCloser, into *bytes.Buffer, data []byte) []byte {
	t.Helper()
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return into.Bytes()
}

func gzipped(t testing.TB, data string) []byte {
	var b bytes.Buffer
	return packed(t, gzip.NewWriter(&b), &b, []byte(data))
}

func zlibbed(t testing.TB, data string) []byte {
	var b bytes.Buffer
	return packed(t, zlib.NewWriter(&b), &b, []byte(data))
}

func zstded(t testing.TB, data string) []byte {
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	return packed(t, w, &b, []byte(data))
}

// What languages and servers really write. The ones that only the signature is
// known of are cut short.
var (
	pickle2  = "\x80\x02}q\x00X\x01\x00\x00\x00aq\x01K\x01s."                        // pickle.dumps({"a": 1}, 2)
	pickle4  = "\x80\x04\x95\n\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x01a\x94K\x01s." // pickle.dumps({"a": 1})
	java     = "\xac\xed\x00\x05sr\x00\x11java.lang.Integer\x12\xe2\xa0\xa4\xf7\x81\x878\x02\x00\x01I\x00\x05value"
	ruby     = "\x04\x08{\x06:\x06ai\x06"                                      // Marshal.dump({a: 1})
	phpArray = `a:2:{s:3:"foo";i:1;i:0;b:1;}`                                  // serialize(["foo" => 1, true])
	phpClass = "O:4:\"User\":1:{s:8:\"\x00User\x00id\";i:7;}"                  // with a private property
	hll      = "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff"  // PFADD of nothing
	pairs    = "\x82\xa4name\xa3Ada\xa2id\xcf\xff\xff\xff\xff\xff\xff\xff\xff" // {"name": "Ada", "id": 2**64-1}
	floats   = "\x92\xca\x3f\x80\x00\x00\xcb\x40\x09\x21\xfb\x54\x44\x2d\x18"  // [1.0 (single), pi]
)

func TestDecode(t *testing.T) {
	for name, c := range map[string]struct {
		value string
		steps string
		text  string // "" stands for a hex dump
		json  string
	}{
		"empty":                {"", "text", "", ""},
		"text":                 {"Grüße\n\tund Tee 👩‍👩‍👧", "text", "Grüße\n\tund Tee 👩‍👩‍👧", ""},
		"integer":              {"12345", "text", "12345", ""},
		"bare string":          {`"a"`, "text", `"a"`, ""},
		"short":                {"a", "text", "a", ""},
		"log line":             {"[INFO] started", "text", "[INFO] started", ""},
		"lines of JSON":        {"{\"a\":1}\n{\"a\":2}", "text", "{\"a\":1}\n{\"a\":2}", ""},
		"control":              {"a\x1b[31mb", "hex", "", ""},
		"object":               {` {"b":1e400,"a":12345678901234567890.10,"a":[]} `, "json", "{\n  \"b\": 1e400,\n  \"a\": 12345678901234567890.10,\n  \"a\": []\n}", `{"b":1e400,"a":12345678901234567890.10,"a":[]}`},
		"array":                {"[1,\n{}]", "json", "[\n  1,\n  {}\n]", "[1,{}]"},
		"JSON with a bad byte": {"[\"\xff\"]", "hex", "", ""},
		"JSON with more":       {`{"a":1} `, "json", "{\n  \"a\": 1\n}", `{"a":1}`},
		"pickle 2":             {pickle2, "pickle hex", "", ""},
		"pickle 4":             {pickle4, "pickle hex", "", ""},
		"java":                 {java, "java serialized hex", "", ""},
		"ruby":                 {ruby, "ruby marshalled hex", "", ""},
		"php array":            {phpArray, "php serialized text", phpArray, ""},
		"php string":           {`s:3:"a"b";`, "php serialized text", `s:3:"a"b";`, ""},
		"php string, wrong":    {`s:4:"a"b";`, "text", `s:4:"a"b";`, ""},
		"php number":           {"i:5;", "php serialized text", "i:5;", ""},
		"php object":           {phpClass, "php serialized hex", "", ""},
		"hyperloglog":          {hll, "hyperloglog hex", "", ""},
		"HYLL in text":         {"HYLL is a magic number", "text", "HYLL is a magic number", ""},
		"msgpack":              {pairs, "msgpack", "{\n  \"name\": \"Ada\",\n  \"id\": 18446744073709551615\n}", `{"name":"Ada","id":18446744073709551615}`},
		"msgpack floats":       {floats, "msgpack", "[\n  1.0,\n  3.141592653589793\n]", "[1.0,3.141592653589793]"},
		"msgpack and more":     {pairs + "\x01", "hex", "", ""},
		"msgpack cut":          {pairs[:len(pairs)-1], "hex", "", ""},
		"msgpack scalar":       {"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "hex", "", ""},
		"msgpack empty map":    {"\x80", "hex", "", ""},
		"small integers":       {"\x93\x01\x02\x03", "hex", "", ""},
		"claims 4 billion":     {"\xdd\xff\xff\xff\xff\xa3abc", "hex", "", ""},
		"claims 4 GiB":         {"\x91\xc6\xff\xff\xff\xff", "hex", "", ""},
		"gzip magic only":      {"\x1f\x8b\x08", "hex", "", ""},
		"zstd magic only":      {"\x28\xb5\x2f\xfd", "hex", "", ""},
		"zstd, huge window":    {"\x28\xb5\x2f\xfd\x00\xf8\x09\x00\x00a", "hex", "", ""},
		"looks like zlib":      {"x^2 + y^2 = z^2", "text", "x^2 + y^2 = z^2", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := Decode([]byte(c.value), Limits{Whole: true})
			if got := strings.Join(d.Steps, " "); got != c.steps {
				t.Errorf("steps are %q, want %q", got, c.steps)
			}
			if strings.HasSuffix(c.steps, "hex") {
				if !strings.HasPrefix(d.Text, "00000000  ") {
					t.Errorf("not a dump: %q", d.Text)
				}
			} else if d.Text != c.text {
				t.Error(cmp.Diff(c.text, d.Text))
			}
			if string(d.JSON) != c.json || c.json == "" && d.JSON != nil {
				t.Errorf("JSON is %q, want %q", d.JSON, c.json)
			}
			if d.Cut {
				t.Error("it is said to be cut")
			}
		})
	}
}

func TestDecodeCompressed(t *testing.T) {
	object := `{"a": "` + strings.Repeat("lorem ipsum ", 200) + `"}`
	for name, c := range map[string]struct {
		value []byte
		steps string
	}{
		"gzip":          {gzipped(t, object), "gzip json"},
		"zstd":          {zstded(t, object), "zstd json"},
		"zlib":          {zlibbed(t, object), "zlib json"},
		"gzip, empty":   {gzipped(t, ""), "gzip text"},
		"zstd, msgpack": {zstded(t, pairs), "zstd msgpack"},
		"gzip, pickle":  {gzipped(t, pickle4), "gzip pickle hex"},
		"two members":   {append(gzipped(t, "[1,"), gzipped(t, "2]")...), "gzip json"},
		"three layers":  {zlibbed(t, string(zstded(t, string(gzipped(t, object))))), "zlib zstd gzip json"},
		"four layers":   {gzipped(t, string(gzipped(t, string(gzipped(t, string(gzipped(t, object))))))), "gzip gzip gzip hex"},
		"zlib and more": {append(zlibbed(t, object), 0), "hex"},
	} {
		t.Run(name, func(t *testing.T) {
			d := Decode(c.value, Limits{Whole: true})
			if got := strings.Join(d.Steps, " "); got != c.steps || d.Cut {
				t.Errorf("steps are %q, want %q; cut: %v", got, c.steps, d.Cut)
			}
			if strings.HasSuffix(c.steps, "json") && !json.Valid(d.JSON) {
				t.Errorf("JSON is %q", d.JSON)
			}
		})
	}
}

func TestDecodeWhatIsThere(t *testing.T) {
	object := `{"items":["` + strings.Repeat(`","some thing ü`, 500) + `"]}`
	packed := gzipped(t, object)
	broken := bytes.Clone(packed)
	broken[len(broken)-6] ^= 0xff // in the checksum
	for name, c := range map[string]struct {
		value string
		l     Limits
		steps string
		begin string
	}{
		"JSON":              {object[:1000], Limits{}, "json", "{\n  \"items\": [\n    \"\",\n"},
		"JSON, whole":       {object[:1000], Limits{Whole: true}, "text", `{"items":["`},
		"JSON at the limit": {object, Limits{Whole: true, Bytes: 1000}, "json", "{"},
		"JSON in a number":  {`{"a":12`, Limits{}, "json", "{\n  \"a\": 12"},
		"JSON in a key":     {`{"a`, Limits{}, "json", "{\n  \"a"},
		"JSON ends":         {`{"a":1}`, Limits{}, "json", "{\n  \"a\": 1\n}"},
		"text":              {"ab ü"[:4], Limits{}, "text", "ab "},
		"text at the limit": {"ab ü", Limits{Bytes: 4, Whole: true}, "text", "ab "},
		"half a rune":       {"\xc3", Limits{}, "hex", "0000"},
		"log":               {"[INFO", Limits{}, "text", "[INFO"},
		"msgpack":           {pairs[:10], Limits{}, "hex", "0000"},
		"gzip":              {string(packed[:len(packed)-20]), Limits{}, "gzip json", "{\n  \"items\": ["},
		"gzip, whole":       {string(packed[:len(packed)-9]), Limits{Whole: true}, "gzip json", "{\n  \"items\": ["},
		"gzip at the limit": {string(packed), Limits{Whole: true, Bytes: 500}, "gzip json", "{"},
		"gzip damaged":      {string(broken), Limits{Whole: true}, "gzip damaged json", "{"},
		"gzip and more":     {string(packed) + "more than a header", Limits{Whole: true}, "gzip damaged json", "{"},
		"zlib at the limit": {string(zlibbed(t, object)), Limits{Whole: true, Bytes: 500}, "zlib json", "{"},
		"zlib":              {string(zlibbed(t, object)[:80]), Limits{}, "hex", "0000"},
		"zstd at the limit": {string(zstded(t, object)), Limits{Whole: true, Bytes: 500}, "zstd json", "{"},
		"pickle":            {pickle4[:8], Limits{}, "pickle hex", "0000"},
		"php":               {phpArray[:15], Limits{}, "php serialized text", "a:2:{"},
	} {
		t.Run(name, func(t *testing.T) {
			d := Decode([]byte(c.value), c.l)
			if got := strings.Join(d.Steps, " "); got != c.steps || !strings.HasPrefix(d.Text, c.begin) {
				t.Errorf("steps are %q, want %q; text begins %.40q, want %q", got, c.steps, d.Text, c.begin)
			}
			if d.JSON != nil {
				t.Errorf("part of a value claims to be all of it: %.40q", d.JSON)
			}
			// A text that its owner calls whole is whole, whatever it looks like.
			if want := name != "JSON, whole"; d.Cut != want {
				t.Errorf("cut is %v", d.Cut)
			}
		})
	}
}

func TestMsgpack(t *testing.T) {
	at := time.Date(2026, 2, 3, 4, 5, 6, 7000, time.UTC)
	var b bytes.Buffer
	enc := msgpack.NewEncoder(&b)
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(enc.EncodeMapLen(7))
	ok(enc.EncodeMulti("z", int64(math.MinInt64), "a", uint64(math.MaxUint64), "bin", []byte{0, 255}, "at", at, "no", nil, -3, []any{true, math.Inf(-1), "<&>\n"}))
	ok(enc.EncodeArrayLen(1)) // a key that is an array
	ok(enc.EncodeMulti("k", 1.5e300))
	want := `{"z":-9223372036854775808,"a":18446744073709551615,"bin":"AP8=","at":"2026-02-03T04:05:06.000007Z","no":null,` +
		`"-3":[true,"-Inf","<&>\n"],"[\"k\"]":1.5e+300}`
	if d := Decode(b.Bytes(), Limits{Whole: true}); string(d.JSON) != want {
		t.Error(cmp.Diff(want, string(d.JSON)))
	}
	for value, want := range map[string]string{
		"\x92\xc7\x03\x05abc\xa1x":                                              `[{"ext":5,"data":"YWJj"},"x"]`,
		"\x91\x81\xa1a\xd6\xff\x00\x00\x00\x00":                                 `[{"a":"1970-01-01T00:00:00Z"}]`,
		"\x92\xa1a\xc7\x0c\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00": `["a",{"ext":-1,"data":"/////wAAAAAAAAAA"}]`,
		"\x92\xa1a\xa2\xff\xfe":                                                 `["a","//4="]`,
		"\x93\xc2\xc0\xd1\xff\x00":                                              `[false,null,-256]`,
		"\x81\xa1a\xd9\x01b":                                                    `{"a":"b"}`,
		"\x92\xca\x7f\xc0\x00\x00\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00":          `["NaN","+Inf"]`,
	} {
		if d := Decode([]byte(value), Limits{Whole: true}); string(d.JSON) != want {
			t.Errorf("%q is %s (%v), want %s", value, d.JSON, d.Steps, want)
		}
	}
}

func TestHexDumpIsCapped(t *testing.T) {
	d := Decode(bytes.Repeat([]byte{0, 'a'}, 10_000), Limits{Whole: true})
	lines := strings.Split(d.Text, "\n")
	if !d.Cut || len(lines) != HexBytes/16+1 || lines[len(lines)-1] != "... 15904 more bytes" ||
		lines[1] != "00000010  00 61 00 61 00 61 00 61  00 61 00 61 00 61 00 61  |.a.a.a.a.a.a.a.a|" {
		t.Errorf("%d lines, cut %v, %q ... %q", len(lines), d.Cut, lines[1], lines[len(lines)-1])
	}
}

func TestAttacksAreBounded(t *testing.T) {
	zeros := strings.Repeat("\x00", 16<<20)
	deep := strings.Repeat("[", 2_000_000)
	keys := strings.Repeat("\x81", 90) + "\xa1a" + strings.Repeat("\x01", 90) // maps as keys of maps
	wide := "[" + strings.Repeat("[", 9000) + strings.Repeat("1,", 1<<20) + "1" + strings.Repeat("]", 9001)
	for name, value := range map[string][]byte{
		"gzip bomb":            gzipped(t, zeros),
		"zstd bomb":            zstded(t, zeros),
		"bomb in a bomb":       gzipped(t, string(gzipped(t, zeros))),
		"nested JSON":          []byte(deep),
		"closed nested JSON":   []byte(deep[:9000] + strings.Repeat("]", 9000)),
		"nested and wide":      []byte(wide),
		"nested msgpack":       bytes.Repeat([]byte{0x91}, 2_000_000),
		"quotes within quotes": []byte(keys),
		"empty gzip members":   bytes.Repeat(gzipped(t, ""), 50_000),
	} {
		t.Run(name, func(t *testing.T) {
			for _, whole := range []bool{true, false} {
				began := time.Now()
				check(t, value, Limits{Bytes: 4 << 20, Whole: whole})
				if took := time.Since(began); took > 20*time.Second {
					t.Errorf("took %v", took)
				}
			}
		})
	}
}

package source

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

func records(r io.Reader, o Options) Stream { return NDJSON(r, nil, o) }

func rows(m Mapping) func(io.Reader, Options) Stream {
	return func(r io.Reader, o Options) Stream { return NDJSON(r, &m, o) }
}

func TestRecords(t *testing.T) {
	check(t, `{"key": "a", "value": "1"}
{"key":"b\n\u00fc\ud83d\ude00","value":"x\"y","ttl":60}
   
{"key_b64":"AP8=","value_b64":"/wA","type":"string","ttl":-1,"flags":7,"heat":2.5}

{"key":"n","value":42,"ttl":"1h30m"}
{"key":"j","value":{"a": [1, null]},"ttl_ms":1500}
{"key":"h","type":"hash","value":{"f":"1","g":2,"o":{"x":1}},"expires_at":"2026-01-02T03:04:15Z"}
{"key":"l","type":"list","value":["a","",true,[1]],"expires_at":1767323055}
{"key":"s","type":"set","value":["a","b"],"expires_at":1767323055500}
{"key":"z","type":"zset","value":[["a",1],["b","-inf"],["c",1e3]],"ttl":null}
{"key":"y","type":"zset","value":{"a":1,"b":2},"ttl":0.5}
{"value":"1","key":"last"}`+"\r\n"+`{"key":"e","value":""}`, `
1 string a "1"
2 string b
ü😀 "x\"y" +1m0s
4 string `+"\x00\xff"+` "\xff\x00" never heat=2.5 flags=7
6 string n "42" +1h30m0s
7 string j "{\"a\": [1, null]}" +1.5s
8 hash h f=1,g=2,o={"x":1}, +10s
9 list l a,,true,[1], +10s
10 set s a,b, +10.5s
11 zset z a=1,b=-Inf,c=1000,
12 zset y a=1,b=2, +500ms
13 string last "1"
14 string e ""
`, records)
}

func TestBadRecords(t *testing.T) {
	for line, want := range map[string]string{
		`{"key":"a"}`:                                     `"a": no "value"`,
		`{"value":1}`:                                     `"": no "key"`,
		`{"key":"a","value":1,"expire":60}`:               `"a": the member "expire" is unknown`,
		`{"key":"a","key_b64":"YQ==","value":1}`:          `at once`,
		`{"key":"a","value":1,"value_b64":""}`:            `at once`,
		`{"key":["a"],"value":1}`:                         `"key" is a string`,
		`{"key":null,"value":1}`:                          `"key" is a string`,
		`{"key":"\ud800","value":1}`:                      `surrogate`,
		`{"key":"a","value":"\ude00\ud83d"}`:              `surrogate`,
		`{"key_b64":"*","value":1}`:                       `no base64`,
		`{"key_b64":12,"value":1}`:                        `base64 is written as a string`,
		`{"key":"a","value":null}`:                        `the value is null`,
		`{"key":"a","type":"stream","value":1}`:           `write string, hash, list, set or zset`,
		`{"key":"a","type":"hash","value":1}`:             `an object is wanted for a hash`,
		`{"key":"a","type":"hash","value":{}}`:            `without elements`,
		`{"key":"a","type":"hash","value":{"x":null}}`:    `null`,
		`{"key":"a","type":"list","value":{"x":1}}`:       `an array is wanted`,
		`{"key":"a","type":"list","value":[]}`:            `without elements`,
		`{"key":"a","type":"list","value_b64":"YQ=="}`:    `is for strings`,
		`{"key":"a","type":"zset","value":["a"]}`:         `[member, score]`,
		`{"key":"a","type":"zset","value":[["a"]]}`:       `[member, score]`,
		`{"key":"a","type":"zset","value":[["a","nan"]]}`: `a score is a number`,
		`{"key":"a","type":"zset","value":3}`:             `an array of [member, score], or an object`,
		`{"key":"a","value":1,"ttl":0}`:                   `a millisecond at least`,
		`{"key":"a","value":1,"ttl":-5}`:                  `a millisecond at least`,
		`{"key":"a","value":1,"ttl":"soon"}`:              `written as seconds or as "1h30m"`,
		`{"key":"a","value":1,"ttl":1e300}`:               `a TTL of 1e300 seconds`,
		`{"key":"a","value":1,"ttl":[1]}`:                 `a number is wanted`,
		`{"key":"a","value":1,"ttl_ms":1.5}`:              `milliseconds are wanted`,
		`{"key":"a","value":1,"ttl":1,"ttl_ms":1}`:        `not several`,
		`{"key":"a","value":1,"expires_at":"tomorrow"}`:   `unix seconds`,
		`{"key":"a","value":1,"expires_at":-7}`:           `unix seconds`,
		`{"key":"a","value":1,"flags":-1}`:                `32 bits`,
		`{"key":"a","value":1`:                            `no JSON: unexpected end`,
		`{"key":"a" "value":1}`:                           `no JSON: invalid character '"' after object key:value pair`,
		`[1]`:                                             `a JSON object is wanted`,
		`null`:                                            `a JSON object is wanted`,
		`key,value`:                                       `no JSON`,
		`{"key":"a","value":1} {"key":"b","value":1}`:     `no JSON`,
	} {
		all := events(records(strings.NewReader("\n"+line+"\n{\"key\":\"next\",\"value\":1}"), Options{}))
		if len(all) != 2 || !strings.HasPrefix(all[0].text, "2 bad") || !strings.Contains(all[0].text, want) || !strings.HasPrefix(all[1].text, "3 string next") {
			t.Errorf("%s: %v\nwant %s", line, all, want)
		}
	}
}

func TestRows(t *testing.T) {
	input := `{"id": 7, "name":"Ann", "address":{"city":"Bath","geo":{"lat":51.380}}, "life":90, "seen":"2026-01-01T00:00:00Z", "tags":["a","b"]}
{"id":12345678901234567890,"name":"B\u00fc\"","address.city":"Dot","address":{"city":"Not","geo":{"lat":1e2}},"life":null,"tags":[]}
{"id":"x:y","name":null,"address":{"city":""}}
{"name":"no id"}
`
	check(t, input, `
1 string user:7:profile "Ann" +1m30s heat=1.7672256e+09
2 string user:12345678901234567890:profile "Bü\""
3 bad "user:x:y:profile": field "name" is null, and is the value
4 bad "": no field "id", which the key needs
`, rows(Mapping{Key: "user:{id}:profile", Value: "name", TTL: "life", Heat: "seen"}))
	check(t, input, `
1 string {Bath}@51.380 "{\"id\": 7, \"name\":\"Ann\", \"address\":{\"city\":\"Bath\",\"geo\":{\"lat\":51.380}}, \"life\":90, \"seen\":\"2026-01-01T00:00:00Z\", \"tags\":[\"a\",\"b\"]}"
2 string {Dot}@1e2 "{\"id\":12345678901234567890,\"name\":\"B\\u00fc\\\"\",\"address.city\":\"Dot\",\"address\":{\"city\":\"Not\",\"geo\":{\"lat\":1e2}},\"life\":null,\"tags\":[]}"
3 bad "": field "address.city" is empty, and the key needs it
4 bad "": no field "address.city", which the key needs
`, rows(Mapping{Key: "{{{address.city}}}@{address.geo.lat}"}))
	check(t, input, `
1 hash u7 id=7,name=Ann,address={"city":"Bath","geo":{"lat":51.380}},life=90,seen=2026-01-01T00:00:00Z,tags=["a","b"],
2 hash u12345678901234567890 id=12345678901234567890,name=Bü",address.city=Dot,address={"city":"Not","geo":{"lat":1e2}},tags=[],
3 hash ux:y id=x:y,address={"city":""},
4 bad "": no field "id", which the key needs
`, rows(Mapping{Key: "u{id}", Type: "hash"}))
	check(t, input, `
1 set t7 a,b,
2 bad "t12345678901234567890": field "tags": a set without elements, which no cache can hold
3 bad "tx:y": no field "tags", which is the value
4 bad "": no field "id", which the key needs
`, rows(Mapping{Key: "t{id}", Type: "set", Value: "tags"}))
}

func TestMappingErrors(t *testing.T) {
	for want, m := range map[string]Mapping{
		`key template "user:{id": a "{" without its "}"; write it as "user:{id}:profile"`: {Key: "user:{id"},
		`a "}" without its "{"`:     {Key: "user:id}"},
		`the field "" has no name`:  {Key: "user:{}"},
		`the field " id" has no`:    {Key: "user:{ id}"},
		`a "{" without`:             {Key: "{a{b}}"},
		`all rows would have one`:   {Key: "user"},
		`key template ""`:           {},
		`write string, hash, list`:  {Key: "{id}", Type: "stream"},
		`needs the field that is`:   {Key: "{id}", Type: "zset"},
		`the TTL comes from one`:    {Key: "{id}", TTL: "a", Expires: "b"},
		`type "command"`:            {Key: "{id}", Type: "command"},
		`all rows would have one k`: {Key: "{{id}}"},
	} {
		if err := m.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", m, err)
		}
		if all := events(NDJSON(strings.NewReader("{}"), &m, Options{})); len(all) != 1 || !strings.HasPrefix(all[0].text, "end:") {
			t.Errorf("%+v: %v", m, all)
		}
	}
	if err := (Mapping{Key: "{{{user}}}:{a.b}}}", Type: "hash"}).Validate(); err != nil {
		t.Error(err)
	}
}

// FuzzJSON holds the scanner against encoding/json: what is JSON, the members, and their
// contents.
func FuzzJSON(f *testing.F) {
	for _, line := range []string{
		`{}`, ` { } `, `{"a":1}`, `{"a":-0.5e+7,"b":[],"c":{"d":null}}`, `{"\u0061":"\ud83d\ude00\\\""}`, `{"a":01}`, `{"a":1,}`,
		`[]`, `{"a":tru}`, `{"a":"\x"}`, `{"a":1}x`, "{\"a\":\"\n\"}", `{"a":"\ud800"}`, `{"a"`, `{"a":-}`, `{"a":1.}`, `{"a":[1,]}`, `{"a":{"b":}}`,
		"{\"\xff\":\"\xff\"}", strings.Repeat(`{"a":`, 10001) + "1" + strings.Repeat("}", 10001),
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		want := make(map[string]json.RawMessage)
		err := json.Unmarshal(line, &want)
		object := err == nil && len(bytes.TrimLeft(line, " \t\r\n")) > 0 && bytes.TrimLeft(line, " \t\r\n")[0] == '{'
		got := make(map[string]json.RawMessage)
		escaped := true
		whole := eachMember(line, func(name, value []byte) bool {
			text, err := unescape(name)
			if err != nil {
				escaped = false
				return true
			}
			got[string(text)] = value
			return true
		})
		if whole != object {
			t.Fatalf("%q: %v, and encoding/json says %v (%v)", line, whole, object, err)
		}
		if !whole || !escaped || !utf8.Valid(line) {
			return
		}
		if len(got) != len(want) {
			t.Fatalf("%q: %q, want %q", line, got, want)
		}
		for name, value := range want {
			if !bytes.Equal(got[name], value) {
				t.Fatalf("%q: %q is %q, want %q", line, name, got[name], value)
			}
			var text string
			if value[0] != '"' || json.Unmarshal(value, &text) != nil {
				continue
			}
			if mine, err := textOf(value); err == nil && string(mine) != text {
				t.Fatalf("%q became %q, want %q", value, mine, text)
			} else if err != nil && !strings.Contains(text, "\ufffd") {
				t.Fatalf("%q: %v", value, err)
			}
			again := appendJSONString(nil, []byte(text))
			var back string
			if err := json.Unmarshal(again, &back); err != nil || back != text {
				t.Fatalf("%q is written as %q", text, again)
			}
		}
	})
}

// FuzzNDJSON: whatever a line is, a record or one bad record comes of it.
func FuzzNDJSON(f *testing.F) {
	f.Add([]byte(`{"key":"a","type":"zset","value":[["a",1]],"ttl":1}`), "{a.b}")
	f.Add([]byte(`{"a":{"b":1},"a.b":"\n"}`), "{a.b}{key}")
	f.Fuzz(func(t *testing.T, line []byte, key string) {
		line = bytes.ReplaceAll(line, []byte{'\n'}, nil)
		if len(line) == 0 || skipSpace(line, 0) == len(line) || bytes.HasPrefix(line, []byte{0x1f, 0x8b}) || len(line) > 3 && isZstd(line) {
			return
		}
		m := Mapping{Key: key, Type: "hash"}
		for _, mapping := range []*Mapping{nil, &m} {
			if mapping != nil && m.Validate() != nil {
				continue
			}
			n := 0
			for _, err := range NDJSON(bytes.NewReader(append([]byte("\n"), line...)), mapping, Options{}) {
				if n++; Ends(err) {
					t.Fatal(err)
				}
			}
			if n != 1 {
				t.Fatalf("%q: %d records", line, n)
			}
		}
	})
}

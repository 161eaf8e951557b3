package decode

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"unicode/utf8"
)

// check decodes and holds the result against everything that Decode promises.
func check(t testing.TB, value []byte, l Limits) {
	t.Helper()
	before := bytes.Clone(value)
	d := Decode(value, l)
	if !bytes.Equal(before, value) {
		t.Fatal("the value was changed")
	}
	limit := int(l.Bytes)
	if limit <= 0 {
		limit = DefaultBytes
	}
	const dumped = HexBytes/16*79 + 40
	if len(d.Text) > max(limit, dumped) || len(d.JSON) > limit {
		t.Fatalf("limit is %d, text has %d bytes, JSON %d", limit, len(d.Text), len(d.JSON))
	}
	if !utf8.ValidString(d.Text) || !utf8.Valid(d.JSON) {
		t.Fatal("not UTF-8")
	}
	if n := len(d.Steps); n == 0 || !slices.Contains([]string{"json", "msgpack", "text", "hex"}, d.Steps[n-1]) {
		t.Fatalf("steps are %q", d.Steps)
	}
	if !l.Whole && !d.Cut {
		t.Fatal("a part is said to be the whole")
	}
	if d.JSON == nil {
		return
	}
	var flat, pretty bytes.Buffer
	if d.Cut || json.Compact(&flat, d.JSON) != nil {
		t.Fatalf("not JSON, or cut: %q", d.JSON)
	}
	if !bytes.Equal(flat.Bytes(), d.JSON) {
		t.Fatalf("not on one line: %q", d.JSON)
	}
	if len(d.JSON) > 4<<10 {
		return // json.Indent knows no limit
	}
	if err := json.Indent(&pretty, d.JSON, "", "  "); err != nil || pretty.Len() <= limit && d.Text != pretty.String() {
		t.Fatalf("text is %q, json.Indent makes %q, %v", d.Text, pretty.String(), err)
	}
}

func FuzzDecode(f *testing.F) {
	text := `{"id":12345678901234567890,"tags":["a","b\"\\",{}],"x":{"y":[[],null,1.50e-7]}}`
	packed := gzipped(f, text)
	for _, seed := range []string{
		"", "12345", "plain text", text, text[:40], "[INFO] x", pickle2, pickle4, java, ruby, phpArray, phpClass, hll, pairs, floats,
		string(packed), string(packed[:len(packed)-9]), string(zstded(f, text)), string(zlibbed(f, text)),
		string(gzipped(f, string(zstded(f, pairs)))), "\x92\xc7\x03\x05abc\xa1x", "\x81\x91\xa1k\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00",
		"\xdf\xff\xff\xff\xff", "\x28\xb5\x2f\xfd\x00\xf8\x09\x00\x00a", "\xd6\xff\x00\x00\x00\x00",
	} {
		f.Add([]byte(seed), true, uint16(0))
		f.Add([]byte(seed), false, uint16(20))
	}
	f.Fuzz(func(t *testing.T, value []byte, whole bool, limit uint16) {
		check(t, value, Limits{Bytes: int64(limit), Whole: whole})
	})
}

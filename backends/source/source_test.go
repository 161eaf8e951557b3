package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/cachectl/cachectl/backends"
)

var testNow = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func atTestNow() time.Time { return testNow }

// told writes an event of a stream for people to compare.
func told(it Item, err error) string {
	var bad *BadRecord
	if errors.As(err, &bad) {
		return fmt.Sprintf("%d bad %q: %s", bad.Line, bad.Key, bad.Reason)
	}
	if err != nil {
		return "end: " + err.Error()
	}
	value := fmt.Sprintf("%q", it.Value)
	switch it.Form {
	case backends.FormHash:
		value = ""
		backends.EachPair(it.Value, func(f, v []byte) { value += fmt.Sprintf("%s=%s,", f, v) })
	case backends.FormList, backends.FormSet:
		value = ""
		backends.EachElement(it.Value, func(e []byte) { value += fmt.Sprintf("%s,", e) })
	case backends.FormZSet:
		value = ""
		backends.EachScored(it.Value, func(m []byte, s float64) { value += fmt.Sprintf("%s=%v,", m, s) })
	}
	text := fmt.Sprintf("%d %s %s %s", it.Line, it.Form, it.Key, value)
	switch {
	case !it.Have.Has(backends.FactTTL):
	case it.Expires.IsZero():
		text += " never"
	default:
		text += " +" + it.Expires.Sub(testNow).String()
	}
	if !math.IsNaN(it.Heat) {
		text += fmt.Sprintf(" heat=%v", it.Heat)
	}
	if it.Flags != 0 {
		text += fmt.Sprintf(" flags=%d", it.Flags)
	}
	return text
}

// An event is an item or an error of a stream.
type event struct {
	text   string
	offset Offset
}

func events(s Stream) (all []event) {
	for it, err := range s {
		e := event{told(it, err), it.Offset}
		var bad *BadRecord
		if errors.As(err, &bad) {
			e.offset = bad.Offset
		}
		all = append(all, e)
	}
	return all
}

func texts(all []event) string {
	var b strings.Builder
	for _, e := range all {
		b.WriteString(e.text + "\n")
	}
	return b.String()
}

func gzipped(t testing.TB, text string) []byte {
	var b bytes.Buffer
	half := len(text) / 2
	for _, part := range []string{text[:half], text[half:]} { // of two members, as logs are
		w := gzip.NewWriter(&b)
		io.WriteString(w, part)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func zstandard(t testing.TB, text string) []byte {
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, text)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// readers are all ways in which an input may come.
func readers(t testing.TB, text string) map[string]func() io.Reader {
	packed, zst := gzipped(t, text), zstandard(t, text)
	return map[string]func() io.Reader{
		"file":       func() io.Reader { return strings.NewReader(text) },
		"bytes":      func() io.Reader { return iotest.OneByteReader(strings.NewReader(text)) },
		"end in one": func() io.Reader { return iotest.DataErrReader(strings.NewReader(text)) },
		"gzip":       func() io.Reader { return bytes.NewReader(packed) },
		"zstd":       func() io.Reader { return iotest.HalfReader(bytes.NewReader(zst)) },
		"marked":     func() io.Reader { return strings.NewReader("\xef\xbb\xbf" + text) },
	}
}

// check reads an input in every way, and goes on behind each of its events: nothing is
// lost, and nothing comes twice.
func check(t *testing.T, input, want string, read func(io.Reader, Options) Stream) {
	t.Helper()
	want = strings.TrimPrefix(want, "\n")
	for name, open := range readers(t, input) {
		all := events(read(open(), Options{Now: atTestNow}))
		if got := texts(all); got != want {
			t.Errorf("%s:\n%swant\n%s", name, got, want)
			return
		}
		for i, e := range all {
			if strings.HasPrefix(e.text, "end:") {
				continue
			}
			from, err := ParseOffset(e.offset.String())
			if err != nil || from != e.offset {
				t.Fatalf("%v became %v, %v", e.offset, from, err)
			}
			rest := events(read(open(), Options{Now: atTestNow, From: from}))
			if got, want := texts(rest), texts(all[i+1:]); got != want {
				t.Errorf("%s, behind %q (%v):\n%swant\n%s", name, e.text, e.offset, got, want)
				return
			}
		}
	}
}

func TestOffsets(t *testing.T) {
	for _, text := range []string{"", "1", "1:2", "1:2:x", "-1:2:3", "1:2:3:4"} {
		if o, err := ParseOffset(text); err == nil {
			t.Errorf("%q is %v", text, o)
		}
	}
	for name, open := range readers(t, "{\"key\":\"a\",\"value\":1}\n") {
		all := events(NDJSON(open(), nil, Options{From: Offset{Byte: 1000, Line: 3}}))
		if len(all) != 1 || !strings.Contains(all[0].text, "end: the input ends before byte 1000") {
			t.Errorf("%s: %v", name, all)
		}
	}
}

// TestBrokenInputs: what came before the trouble is whole, and the trouble is told.
func TestBrokenInputs(t *testing.T) {
	text := strings.Repeat("{\"key\":\"a\",\"value\":\"x\"}\n", 1000)
	packed := gzipped(t, text)
	zst := zstandard(t, text)
	for name, r := range map[string]io.Reader{
		"gzip":  bytes.NewReader(packed[:len(packed)-20]),
		"zstd":  bytes.NewReader(zst[:len(zst)-3]),
		"error": io.MultiReader(strings.NewReader(text[:2010]), iotest.ErrReader(errors.New("the disk is gone"))),
		"magic": bytes.NewReader([]byte{0x1f, 0x8b, 0xff, 0, 0}),
		"first": iotest.ErrReader(errors.New("the disk is gone")),
	} {
		var last error
		for it, err := range NDJSON(r, nil, Options{}) {
			if last != nil {
				t.Errorf("%s: more behind the end", name)
			}
			if last = err; err == nil && (it.Key != "a" || string(it.Value) != "x") {
				t.Errorf("%s: half a record: %+v", name, it)
			}
		}
		if last == nil || !Ends(last) {
			t.Errorf("%s: it ended by %v", name, last)
		}
	}
	if Ends(fmt.Errorf("x: %w", &BadRecord{})) || Ends(nil) || Ends(&backends.KeyError{}) {
		t.Error("a bad record is the end")
	}
}

// A flood is an input without end, of which it counts what was read.
type flood struct {
	text string
	n    int64
	most int64
}

func (f *flood) Read(b []byte) (int, error) {
	if f.n >= f.most {
		return 0, io.EOF
	}
	n := copy(b, f.text[f.n%int64(len(f.text)):])
	f.n += int64(n)
	return n, nil
}

// TestFlatMemory: inputs of any size take the same memory.
func TestFlatMemory(t *testing.T) {
	size := int64(48 << 20)
	if long() {
		size = 2 << 30
	}
	line := "{\"key\":\"user:1\",\"type\":\"hash\",\"value\":{\"a\":\"some text\"},\"ttl\":60}\n"
	for name, s := range map[string]Stream{
		"json": NDJSON(&flood{text: strings.Repeat(line, 1000), most: size}, nil, Options{}),
		"csv":  CSV(&flood{text: strings.Repeat("id,\"some, text\"\nx,y\n", 1000), most: size}, Mapping{Key: "{1}"}, CSVOptions{NoHeader: true}, Options{}),
		"resp": RESP(&flood{text: strings.Repeat(wire("SET", "k", "some text"), 1000), most: size}, RESPOptions{}, Options{}),
	} {
		var n, most uint64
		before := heapSize()
		for _, err := range s {
			var bad *BadRecord
			if err != nil && !errors.As(err, &bad) && !errors.Is(err, ErrOutOfStep) { // the last one is cut
				t.Fatal(err)
			}
			if n++; n%500_000 == 0 {
				most = max(most, heapSize())
			}
		}
		if n < uint64(size)/100 || most == 0 || most > before+4<<20 {
			t.Errorf("%s: %d records; the heap grew from %d to %d bytes", name, n, before, most)
		}
	}
}

func heapSize() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestBounds: what is above the bound is a bad record, whatever comes behind it is read,
// and nobody takes memory for it.
func TestBounds(t *testing.T) {
	long := strings.Repeat("x", 3<<20)
	o := Options{MaxRecord: 1 << 20}
	bulk := fmt.Sprintf("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n%s\r\n", len(long), long)
	end := "*3\r\n$3\r\nSET\r\n$1\r\nz\r\n$1\r\n1\r\n"
	for name, s := range map[string]Stream{
		"json":  NDJSON(strings.NewReader("{\"key\":\"a\",\"value\":\""+long+"\"}\n{\"key\":\"z\",\"value\":1}\n"), nil, o),
		"csv":   CSV(strings.NewReader("id,v\na,"+long+"\nz,1\n"), Mapping{Key: "{id}", Value: "v"}, CSVOptions{}, o),
		"quote": CSV(strings.NewReader("id,v\na,\""+long+"\"\nz,1\n"), Mapping{Key: "{id}", Value: "v"}, CSVOptions{}, o),
		"resp":  RESP(strings.NewReader(bulk+end), RESPOptions{}, o),
		"resp2": RESP(strings.NewReader("*4"+bulk[2:]+"$2\r\nNX\r\n"+end), RESPOptions{}, o),
		"line":  RESP(strings.NewReader("SET k "+long+"\n"+end), RESPOptions{}, o),
	} {
		all := events(s)
		if len(all) != 2 || !strings.Contains(all[0].text, "than 1048576 bytes") && !strings.Contains(all[0].text, "within 1048576 bytes") || !strings.Contains(all[1].text, " z ") {
			t.Errorf("%s: %.300v", name, all)
		}
	}
	f := &flood{text: strings.Repeat(`{"key":`, 10000), most: 1 << 30}
	if all := events(NDJSON(f, nil, o)); len(all) != 1 || f.n < f.most {
		t.Errorf("%v", all)
	}
}

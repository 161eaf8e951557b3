package commands

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
	input "github.com/cachectl/cachectl/backends/source"
)

func TestLifetime(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	in := func(d time.Duration) time.Time { return now.Add(d) }
	for name, c := range map[string]struct {
		l       lifetime
		form    string
		expires time.Time
		want    time.Time
		keep    bool
	}{
		"as it is":                {lifetime{leastFlag: "1s"}, backends.FormString, in(time.Hour), in(time.Hour), true},
		"none stays none":         {lifetime{leastFlag: "1s"}, backends.FormString, time.Time{}, time.Time{}, true},
		"given":                   {lifetime{ttlFlag: "2h", leastFlag: "1s"}, backends.FormString, time.Time{}, in(2 * time.Hour), true},
		"its own":                 {lifetime{ttlFlag: "2h", leastFlag: "1s"}, backends.FormString, in(time.Hour), in(time.Hour), true},
		"little left":             {lifetime{leastFlag: "30s"}, backends.FormString, in(29 * time.Second), in(29 * time.Second), false},
		"just enough":             {lifetime{leastFlag: "30s"}, backends.FormString, in(30 * time.Second), in(30 * time.Second), true},
		"over, for the Loader":    {lifetime{leastFlag: "30s", jitterFlag: "10%"}, backends.FormString, in(-time.Hour), in(-time.Hour), true},
		"a command says its own":  {lifetime{ttlFlag: "2h", leastFlag: "1s"}, backends.FormCommand, time.Time{}, time.Time{}, true},
		"weeks are beyond 30 day": {lifetime{ttlFlag: "8w", leastFlag: "1s"}, backends.FormString, time.Time{}, in(8 * 7 * 24 * time.Hour), true},
	} {
		if err := c.l.parse(); err != nil {
			t.Fatal(err)
		}
		r := backends.Record{Key: "k", Form: c.form, Expires: c.expires}
		if keep := c.l.give(&r, now); keep != c.keep || !r.Expires.Equal(c.want) {
			t.Errorf("%s: keep %v, expires %v; want %v, %v", name, keep, r.Expires, c.keep, c.want)
		}
	}
}

// TestLifetimeSpreads: TTLs lie evenly within the share, the same for a key every time.
func TestLifetimeSpreads(t *testing.T) {
	l := lifetime{ttlFlag: "1h", jitterFlag: "10%", leastFlag: "1s"}
	if err := l.parse(); err != nil {
		t.Fatal(err)
	}
	now, low, high := time.Now(), time.Duration(math.MaxInt64), time.Duration(0)
	for i := range 10_000 {
		key := "k" + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + time.Duration(i).String()
		a, b := backends.Record{Key: key, Form: backends.FormString}, backends.Record{Key: key, Form: backends.FormString}
		if l.give(&a, now); l.give(&b, now) && !a.Expires.Equal(b.Expires) {
			t.Fatalf("%s expires at %v, and at %v", key, a.Expires, b.Expires)
		}
		low, high = min(low, a.Expires.Sub(now)), max(high, a.Expires.Sub(now))
	}
	if low < 54*time.Minute || low > 54*time.Minute+10*time.Second || high > 66*time.Minute || high < 66*time.Minute-10*time.Second {
		t.Errorf("TTLs from %v to %v, want 54m to 66m", low, high)
	}
}

// TestRejectsAreRead: what the server refused can be mended and loaded: the record in the
// reject file is what warm reads.
func TestRejectsAreRead(t *testing.T) {
	at := time.UnixMilli(4_000_000_000_123).UTC()
	pairs := backends.AppendPair(backends.AppendPair(nil, "a", "1"), "b", "x\n")
	for _, r := range []backends.Record{
		{Key: "s", Form: backends.FormString, Value: []byte("v"), Expires: at, Flags: 7},
		{Key: "odd\xff", Form: backends.FormString, Value: []byte{0, 0xff}},
		{Key: "h", Form: backends.FormHash, Value: pairs},
		{Key: "l", Form: backends.FormList, Value: backends.AppendElement(backends.AppendElement(nil, "x"), "")},
		{Key: "t", Form: backends.FormSet, Value: backends.AppendElement(nil, "m")},
		{Key: "z", Form: backends.FormZSet, Value: backends.AppendScored(nil, "m", -1.5)},
	} {
		line := recordJSON(&r)
		n := 0
		for it, err := range input.NDJSON(strings.NewReader(string(line)), nil, input.Options{}) {
			n++
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if it.Key != r.Key || it.Form != r.Form || !it.Expires.Equal(r.Expires) || it.Flags != r.Flags || recordDigest(&it.Record) != recordDigest(&r) {
				t.Errorf("%s is read as %+v, want %+v", line, it.Record, r)
			}
		}
		if n != 1 {
			t.Errorf("%q is %d records", line, n)
		}
	}
	bad := reject{line: 3, key: "k\xff", reason: "why", raw: []byte("\xfe")}
	line, err := json.Marshal(bad.document())
	if want := `{"line":3,"key_b64":"a/8=","reason":"why","raw_b64":"/g=="}`; err != nil || string(line) != want {
		t.Errorf("%s, %v; want %s", line, err, want)
	}
}

// A tank is a server that fills as it is told.
type tank struct {
	limit, used, evicted uint64
	asked                int
	arrives              func() // something that was under way
}

func (k *tank) Stats(context.Context) ([]backends.Stats, error) {
	k.asked++
	if k.arrives != nil {
		k.arrives()
	}
	return []backends.Stats{
		{Node: "a", Role: "master", Counts: map[backends.Counter]uint64{backends.MaxMemory: k.limit, backends.UsedMemory: k.used, backends.Evicted: k.evicted}},
		{Node: "r", Role: "replica", Counts: map[backends.Counter]uint64{backends.MaxMemory: 1, backends.UsedMemory: 1}},
	}, nil
}

func watchTank(k *tank, keep float64) *roomWatch {
	return &roomWatch{room: room{keep: keep}, reader: k, first: make(map[string]backends.Stats), evicted: make(map[string]uint64)}
}

// TestRoomIsNeverOverrun: whatever a record takes beyond its estimate, a node is left its
// share, and nearly all that may be used is.
func TestRoomIsNeverOverrun(t *testing.T) {
	for _, factor := range []float64{0.5, 1, 1.4} {
		k := &tank{limit: 100 << 20, used: 5 << 20}
		w := watchTank(k, 0.1)
		for n := 0; ; n++ {
			const parcel = 100 << 10
			if err := w.admit(t.Context(), parcel, func(string) {}); err != nil {
				var room *roomError
				if !errors.As(err, &room) {
					t.Fatal(err)
				}
				break
			}
			if n > 10_000 {
				t.Fatal("it is never full")
			}
			k.used += uint64(parcel * factor)
			w.settled += parcel
		}
		if used := float64(k.used) / float64(k.limit); used > 0.902 || used < 0.88 {
			t.Errorf("a record of %v times its estimate: %.3f of the memory is used, want 0.9", factor, used)
		}
		if k.asked > 500 {
			t.Errorf("the server was asked %d times", k.asked)
		}
	}
}

// TestRoomAwaitsWhatIsUnderWay: what was sent and has not arrived counts, and what it
// turns out to leave is used.
func TestRoomAwaitsWhatIsUnderWay(t *testing.T) {
	k := &tank{limit: 1 << 20}
	w := watchTank(k, 0)
	w.keep = 0.5
	if err := w.admit(t.Context(), 100<<10, nil); err != nil {
		t.Fatal(err)
	}
	if w.crowded(1) {
		t.Error("it is crowded behind a fifth of the room")
	}
	if !w.crowded(300 << 10) {
		t.Error("it is not crowded where more is to be sent than is known to fit")
	}
}

func TestEvictionsStop(t *testing.T) {
	k := &tank{limit: 0, used: 1, evicted: 1000}
	w := watchTank(k, 0.1)
	var told []string
	tell := func(text string) { told = append(told, text) }
	admit := func() error {
		w.looked = time.Time{} // a second later
		return w.admit(t.Context(), 1, tell)
	}
	if err := errors.Join(admit(), admit()); err != nil || len(told) > 0 {
		t.Fatalf("what was evicted before counts: %v, %q", err, told)
	}
	k.evicted += 3
	if err := admit(); err != nil || len(told) != 1 || !strings.Contains(told[0], "3 keys since the run began") {
		t.Fatalf("first it slows down: %v, %q", err, told)
	}
	k.evicted++
	if err := admit(); err == nil || !strings.Contains(err.Error(), "4 keys since the run began") {
		t.Errorf("then it stops: %v", err)
	}
	k.evicted++
	if w.room.evictions = true; admit() != nil {
		t.Error("it stops where evictions are allowed")
	}
}

// TestDigests: values are the same whatever order they are told in, and no others are.
func TestDigests(t *testing.T) {
	hash := func(pairs ...string) *backends.Record {
		r := &backends.Record{Form: backends.FormHash}
		for i := 0; i < len(pairs); i += 2 {
			r.Value = backends.AppendPair(r.Value, pairs[i], pairs[i+1])
		}
		return r
	}
	list := func(form string, all ...string) *backends.Record {
		r := &backends.Record{Form: form}
		for _, e := range all {
			r.Value = backends.AppendElement(r.Value, e)
		}
		return r
	}
	same := [][2]*backends.Record{
		{hash("a", "1", "b", "2"), hash("b", "2", "a", "1")},
		{hash("a", "0", "a", "1"), hash("a", "1")},
		{list(backends.FormSet, "x", "y"), list(backends.FormSet, "y", "x", "y")},
	}
	other := [][2]*backends.Record{
		{hash("a", "1", "b", "2"), hash("a", "2", "b", "1")},
		{hash("a", "1b"), hash("a1", "b")},
		{list(backends.FormList, "x", "y"), list(backends.FormList, "y", "x")},
		{list(backends.FormSet, "x"), list(backends.FormSet, "x", "y")},
	}
	for _, p := range same {
		if recordDigest(p[0]) != recordDigest(p[1]) {
			t.Errorf("%q and %q are told apart", p[0].Value, p[1].Value)
		}
	}
	for _, p := range other {
		if recordDigest(p[0]) == recordDigest(p[1]) {
			t.Errorf("%q and %q are not told apart", p[0].Value, p[1].Value)
		}
	}
	read := backends.Value{Entry: backends.Entry{Type: "hash"}, Elements: []backends.Element{{Name: []byte("b"), Value: []byte("2")}, {Name: []byte("a"), Value: []byte("1")}}}
	if valueDigest(&read) != recordDigest(hash("a", "1", "b", "2")) {
		t.Error("a hash that was read is not what was written")
	}
}

func TestFormats(t *testing.T) {
	for path, want := range map[string]string{
		"a.ndjson": formatNDJSON, "a.JSONL.gz": formatNDJSON, "a.csv.zst": formatCSV, "a.tsv": formatTSV, "a.resp": formatRESP,
	} {
		if got, err := new(warm).formatOf(path, nil); got != want || err != nil {
			t.Errorf("%s is %q, %v; want %q", path, got, err, want)
		}
	}
	for head, want := range map[string]string{"{\"key\"": formatNDJSON, "*3\r\n": formatRESP, "\x89cachectl backup\r\n": formatBackup} {
		if got, err := new(warm).formatOf("-", []byte(head)); got != want || err != nil {
			t.Errorf("%q is %q, %v; want %q", head, got, err, want)
		}
	}
	for _, dsn := range []string{"postgres://u:p@h/d", "postgresql://:p@h"} {
		if !passwordInURL(dsn) {
			t.Errorf("%s has a password", dsn)
		}
	}
	if slices.ContainsFunc([]string{"postgres://u@h:5432/d", "host=h user=u", ""}, passwordInURL) {
		t.Error("a password where there is none")
	}
}

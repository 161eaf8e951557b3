package backendtest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
)

func testName(t *testing.T, b backends.Backend) {
	if b.Name() == "" {
		t.Error("a backend without a name")
	}
	if strings.Contains(b.Name(), "secret") {
		t.Errorf("Name %q shows the password", b.Name())
	}
}

func (s Suite) testStore(t *testing.T, b backends.Backend) {
	store := must[backends.Store](t, b)
	for _, key := range s.Keys {
		want := []byte("\x00value of\r\n" + key)
		if err := store.Set(testContext(t), key, want, 0); err != nil {
			t.Fatalf("Set(%q): %v", key, err)
		}
		if got, err := store.Get(testContext(t), key); err != nil || !bytes.Equal(got, want) {
			t.Errorf("Get(%q) = %q, %v, want %q", key, got, err, want)
		}
	}
	if _, err := store.Get(testContext(t), "no-such-key"); !errors.Is(err, backends.ErrMiss) {
		t.Errorf("Get of a missing key: %v, want ErrMiss", err)
	}
	set(t, b, time.Second, "short-lived")
	for range 40 {
		if _, err := store.Get(testContext(t), "short-lived"); errors.Is(err, backends.ErrMiss) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("a key with a TTL of 1 s is still there after 4 s")
}

func (s Suite) testInspect(t *testing.T, b backends.Backend) {
	set(t, b, 0, s.Keys...)
	set(t, b, time.Hour, "inspect:hour")
	asked := slices.Concat([]string{"inspect:hour", "no-such-key"}, s.Keys, []string{"no-such-key-2"})
	want := slices.Concat([]string{"inspect:hour"}, s.Keys)
	var got []string
	for e, err := range must[backends.Inspector](t, b).Inspect(testContext(t), backends.FactTTL|backends.FactSize, slices.Values(asked)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Key)
		if e.Key == "inspect:hour" && (e.TTL > time.Hour || e.TTL < 50*time.Minute) {
			t.Errorf("TTL is %v, want about an hour", e.TTL)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("Inspect brought %q\nwant %q", got, want)
	}
}

func (s Suite) testRead(t *testing.T, b backends.Backend) {
	reader, store := must[backends.Reader](t, b), must[backends.Store](t, b)
	for _, key := range s.Keys {
		set(t, b, 0, key)
		v, err := reader.Read(testContext(t), key, backends.Window{})
		if err != nil || v.Key != key || string(v.Data) != "value of "+key || !v.Whole() {
			t.Errorf("Read(%q) = %q, %q, whole %v, %v", key, v.Key, v.Data, v.Whole(), err)
		}
	}
	big := bytes.Repeat([]byte("0123456789"), 20_000)
	if err := store.Set(testContext(t), "read:big", big, time.Hour); err != nil {
		t.Fatal(err)
	}
	v, err := reader.Read(testContext(t), "read:big", backends.Window{Bytes: 1000})
	if err != nil || !bytes.Equal(v.Data, big[:1000]) || v.Total != int64(len(big)) || v.Whole() {
		t.Errorf("window of 1000 bytes: %d bytes of %d, whole %v, %v", len(v.Data), v.Total, v.Whole(), err)
	}
	if v.Have.Has(backends.FactTTL) && (v.TTL > time.Hour || v.TTL < 50*time.Minute) {
		t.Errorf("TTL is %v, want about an hour", v.TTL)
	}
	v, err = reader.Read(testContext(t), "read:big", backends.Window{All: true})
	if err != nil || !bytes.Equal(v.Data, big) || !v.Whole() {
		t.Errorf("whole: %d bytes of %d, %v", len(v.Data), v.Total, err)
	}
	if _, err := reader.Read(testContext(t), "no-such-key", backends.Window{}); !errors.Is(err, backends.ErrMiss) {
		t.Errorf("Read of a missing key: %v, want ErrMiss", err)
	}
}

// testEdit changes single keys. A key's CAS number is a Detail of its Value.
func (s Suite) testEdit(t *testing.T, b backends.Backend) {
	editor, store := must[backends.Editor](t, b), must[backends.Store](t, b)
	for _, key := range s.Keys {
		set(t, b, 0, key)
		cas := casOf(t, b, key)
		if err := editor.Swap(testContext(t), key, []byte("new"), time.Hour, cas+1000); !errors.Is(err, backends.ErrChanged) {
			t.Errorf("Swap(%q) with another number: %v, want ErrChanged", key, err)
		}
		if err := editor.Swap(testContext(t), key, []byte("new"), time.Hour, cas); err != nil {
			t.Errorf("Swap(%q): %v", key, err)
		}
		if got, err := store.Get(testContext(t), key); err != nil || string(got) != "new" {
			t.Errorf("Get(%q) = %q, %v after Swap", key, got, err)
		}
		if err := editor.Touch(testContext(t), key, 40*24*time.Hour); err != nil {
			t.Errorf("Touch(%q): %v", key, err)
		}
		v, err := must[backends.Reader](t, b).Read(testContext(t), key, backends.Window{})
		if err != nil || v.TTL < 39*24*time.Hour || v.TTL > 40*24*time.Hour+time.Minute {
			t.Errorf("TTL of %q is %v after Touch, %v", key, v.TTL, err)
		}
		if err := editor.Remove(testContext(t), key); err != nil {
			t.Errorf("Remove(%q): %v", key, err)
		}
		for name, err := range map[string]error{
			"Get":    func() error { _, err := store.Get(testContext(t), key); return err }(),
			"Remove": editor.Remove(testContext(t), key),
			"Touch":  editor.Touch(testContext(t), key, time.Hour),
			"Swap":   editor.Swap(testContext(t), key, nil, 0, cas),
		} {
			if !errors.Is(err, backends.ErrMiss) {
				t.Errorf("%s(%q) of a deleted key: %v, want ErrMiss", name, key, err)
			}
		}
	}
}

func casOf(t *testing.T, b backends.Backend, key string) uint64 {
	t.Helper()
	v, err := must[backends.Reader](t, b).Read(testContext(t), key, backends.Window{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range v.Details {
		if cas, ok := d.Value.(uint64); ok && d.Name == "cas" {
			return cas
		}
	}
	t.Fatalf("no CAS number among the details of %q: %+v", key, v.Details)
	return 0
}

// total adds a counter up over all nodes.
func total(t *testing.T, b backends.Backend, c backends.Counter) uint64 {
	t.Helper()
	all, err := must[backends.StatsReader](t, b).Stats(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	var sum uint64
	for _, s := range all {
		n, known := s.Counts[c]
		if !known {
			t.Fatalf("%s does not tell %s", s.Node, c)
		}
		sum += n
	}
	return sum
}

func (s Suite) testStats(t *testing.T, b backends.Backend) {
	set(t, b, 0, "stats:there")
	hits, misses := total(t, b, backends.Hits), total(t, b, backends.Misses)
	store := must[backends.Store](t, b)
	for range 5 {
		if _, err := store.Get(testContext(t), "stats:there"); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if _, err := store.Get(testContext(t), "no-such-key"); !errors.Is(err, backends.ErrMiss) {
			t.Fatal(err)
		}
	}
	if got := total(t, b, backends.Hits) - hits; got != 5 {
		t.Errorf("%d hits, want 5", got)
	}
	if got := total(t, b, backends.Misses) - misses; got != 3 {
		t.Errorf("%d misses, want 3", got)
	}
	all, err := must[backends.StatsReader](t, b).Stats(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range all {
		if st.Node == "" || st.Software == "" || st.Version == "" || st.RTT <= 0 || st.At.IsZero() {
			t.Errorf("incomplete: %+v", st)
		}
	}
}

// testFootprint holds Footprint against the server's own counters.
func (s Suite) testFootprint(t *testing.T, b backends.Backend) {
	family(t, b, "foot", 300)
	feet := must[backends.Footprinter](t, b)
	walk := func(q backends.Query) func() {
		return func() {
			for _, err := range must[backends.Scanner](t, b).Scan(testContext(t), q) {
				if backends.Ends(err) {
					t.Fatal(err)
				}
			}
		}
	}
	for name, look := range map[string]func(){
		"keys only":   walk(backends.Query{Match: "foot:*"}),
		"size":        walk(backends.Query{Match: "foot:*", Want: backends.FactSize}),
		"every fact":  walk(backends.Query{Match: "foot:*", Want: backends.AllFacts}),
		"type filter": walk(backends.Query{Match: "foot:*", Type: "string"}),
		"read": func() {
			if r, ok := b.(backends.Reader); ok {
				if _, err := r.Read(testContext(t), "foot:00001", backends.Window{}); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		before, told := total(t, b, backends.Hits)+total(t, b, backends.Misses), feet.Footprint()
		look()
		after := total(t, b, backends.Hits) + total(t, b, backends.Misses)
		if int64(after-before) != feet.Footprint()-told {
			t.Errorf("%s: the server counted %d lookups, Footprint tells %d", name, after-before, feet.Footprint()-told)
		}
	}
}

func (s Suite) testCancelled(t *testing.T, b backends.Backend) {
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	if _, err := must[backends.StatsReader](t, b).Stats(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Stats with a cancelled context: %v, want context.Canceled", err)
	}
}

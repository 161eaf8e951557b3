package backendtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// dumped reads all records of keys, in the order of their parts.
func (s Suite) dumped(t *testing.T, b backends.Backend, keys []string) []backends.Record {
	t.Helper()
	var all []backends.Record
	for records, err := range must[backends.Dumper](t, b).Dump(testContext(t), keys) {
		var notice *backends.Notice
		if s.Expects != nil && errors.As(err, &notice) && s.Expects(notice) {
			continue
		}
		if err != nil {
			t.Fatalf("dump: %v", err)
		}
		all = append(all, records...)
	}
	return all
}

// batches makes a stream of n records each.
func batches(records []backends.Record, n int) iter.Seq2[[]backends.Record, error] {
	return func(yield func([]backends.Record, error) bool) {
		for batch := range slices.Chunk(records, n) {
			if !yield(batch, nil) {
				return
			}
		}
	}
}

// load puts records back, and tells what became of each key.
func load(t *testing.T, b backends.Backend, records []backends.Record, o backends.LoadOptions) map[string]backends.Outcome {
	t.Helper()
	did := make(map[string]backends.Outcome)
	for result, err := range must[backends.Loader](t, b).Load(testContext(t), batches(records, 7), o) {
		if err != nil {
			t.Fatalf("load: %v", err)
		}
		for _, outcome := range result.Outcomes {
			if _, twice := did[outcome.Key]; twice {
				t.Errorf("two outcomes of %q", outcome.Key)
			}
			did[outcome.Key] = outcome
		}
	}
	return did
}

func all(t *testing.T, did map[string]backends.Outcome, keys []string, verb backends.Verb) {
	t.Helper()
	if len(did) != len(keys) {
		t.Errorf("%d outcomes of %d keys", len(did), len(keys))
	}
	for _, key := range keys {
		if did[key].Did != verb {
			t.Errorf("%q: %q (%v), want %s", key, did[key].Did, did[key].Err, verb)
		}
	}
}

func (s Suite) remove(t *testing.T, b backends.Backend, keys []string) {
	t.Helper()
	outcomes(t, must[backends.Deleter](t, b).Delete(testContext(t), pagesOf(keys, 50)))
	if left := present(t, b, keys); len(left) > 0 {
		t.Fatalf("%q are still there", left)
	}
}

func (s Suite) testDump(t *testing.T, b backends.Backend) {
	set(t, b, 0, s.Keys...)
	set(t, b, time.Hour, "dump:hour")
	set(t, b, 45*24*time.Hour, "dump:45days")
	keys := slices.Concat(s.Keys, []string{"dump:hour", "dump:45days"}, family(t, b, "dump", 1000))
	if got := s.dumped(t, b, nil); len(got) > 0 {
		t.Errorf("%d records of no keys", len(got))
	}
	records := s.dumped(t, b, append([]string{"no-such-key"}, keys...))
	for _, r := range records {
		if !slices.Contains(keys, r.Key) {
			t.Errorf("a record of %q, which is not there", r.Key)
		}
		if r.Form == "" || r.Type == "" {
			t.Errorf("incomplete: %+v", r)
		}
	}
	all(t, load(t, b, records, backends.LoadOptions{}), keys, backends.Kept)
	s.remove(t, b, keys)
	all(t, load(t, b, records, backends.LoadOptions{}), keys, backends.Loaded)
	store := must[backends.Store](t, b)
	for _, key := range keys {
		if got, err := store.Get(testContext(t), key); err != nil || string(got) != "value of "+key {
			t.Errorf("%q = %q, %v", key, got, err)
		}
	}
	if _, can := b.(backends.Inspector); !can {
		return
	}
	for e, err := range must[backends.Inspector](t, b).Inspect(testContext(t), backends.FactTTL, slices.Values([]string{"dump:hour", "dump:45days", "dump:00001"})) {
		want := map[string]time.Duration{"dump:hour": time.Hour, "dump:45days": 45 * 24 * time.Hour, "dump:00001": backends.NoTTL}[e.Key]
		// Two seconds more are clocks of whole seconds: a moment is rounded up, and the server's
		// own clock may be one behind the one that it counts moments by.
		if err != nil || e.Have.Has(backends.FactTTL) && (e.TTL > want+2*time.Second || want != backends.NoTTL && e.TTL < want-10*time.Second) {
			t.Errorf("TTL of %q is %v, want %v (%v)", e.Key, e.TTL, want, err)
		}
	}
}

func (s Suite) testLoadReplaces(t *testing.T, b backends.Backend) {
	keys := family(t, b, "replace", 50)
	records := s.dumped(t, b, keys)
	store := must[backends.Store](t, b)
	for _, key := range keys[:25] {
		if err := store.Set(testContext(t), key, []byte("new"), 0); err != nil {
			t.Fatal(err)
		}
	}
	s.remove(t, b, keys[25:])
	for _, replace := range []bool{false, true} {
		did := load(t, b, records, backends.LoadOptions{Replace: replace})
		for i, key := range keys {
			want, value := backends.Loaded, "value of "+key
			if i < 25 && !replace {
				want, value = backends.Kept, "new"
			}
			got, err := store.Get(testContext(t), key)
			if did[key].Did != want || err != nil || string(got) != value {
				t.Errorf("replace %v: %q: %+v, value %q, %v", replace, key, did[key], got, err)
			}
		}
	}
}

func (s Suite) testLoadEnded(t *testing.T, b backends.Backend) {
	keys := family(t, b, "ended", 10)
	records := s.dumped(t, b, keys)
	for i := range records {
		records[i].Expires = time.Now().Add(-time.Hour)
	}
	all(t, load(t, b, records, backends.LoadOptions{Replace: true}), keys, backends.Ended)
	if n := len(present(t, b, keys)); n != len(keys) {
		t.Errorf("%d of %d keys are there: what is over must leave them alone", n, len(keys))
	}
}

func (s Suite) testLoadForeign(t *testing.T, b backends.Backend) {
	record := backends.Record{Key: "foreign", Form: "of-nobody", Value: []byte("x")}
	did := load(t, b, []backends.Record{record}, backends.LoadOptions{})
	if o := did["foreign"]; o.Did != backends.Failed || o.Err == nil {
		t.Errorf("%+v", o)
	}
}

// testLoadParts: a value whose parts are not all there leaves nothing behind.
func (s Suite) testLoadParts(t *testing.T, b backends.Backend) {
	records := s.dumped(t, b, family(t, b, "parts", 3))
	s.remove(t, b, []string{"parts:00000", "parts:00001", "parts:00002"})
	records[0].More, records[1].Part = true, 3
	did := load(t, b, records, backends.LoadOptions{})
	if len(did) != 3 || did[records[0].Key].Did != backends.Failed || did[records[1].Key].Did != backends.Failed || did[records[2].Key].Did != backends.Loaded {
		t.Errorf("%+v", did)
	}
	if left := names(s.collect(t, must[backends.Scanner](t, b).Scan(testContext(t), backends.Query{}))); !slices.Equal(left, []string{records[2].Key}) {
		t.Errorf("%q are there", left)
	}
}

func (s Suite) testLoadErrors(t *testing.T, b backends.Backend) {
	records := s.dumped(t, b, family(t, b, "errors", 20))
	notice, last := &backends.Notice{Shard: "a", What: "x", Err: errors.New("y")}, errors.New("the end")
	source := func(yield func([]backends.Record, error) bool) {
		_ = yield(records[:10], nil) && yield(nil, notice) && yield(records[10:], nil) && yield(nil, last)
	}
	n, notices := 0, 0
	var end error
	for result, err := range must[backends.Loader](t, b).Load(testContext(t), source, backends.LoadOptions{Replace: true}) {
		if n += len(result.Outcomes); err == notice {
			notices++
		} else if err != nil {
			end = err
		}
	}
	if n != 20 || notices != 1 || !errors.Is(end, last) {
		t.Errorf("%d outcomes, %d notices, %v", n, notices, end)
	}
}

func (s Suite) testLoadCancel(t *testing.T, b backends.Backend) {
	keys := family(t, b, "cancel", 1000)
	records := s.dumped(t, b, keys)
	s.remove(t, b, keys)
	for range must[backends.Loader](t, b).Load(testContext(t), batches(records[:20], 10), backends.LoadOptions{}) { // opens what stays open
	}
	s.remove(t, b, keys)
	before := goroutines(t)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	loaded, results := 0, 0
	var last error
	for result, err := range must[backends.Loader](t, b).Load(ctx, batches(records, 10), backends.LoadOptions{}) {
		last = err
		for _, o := range result.Outcomes {
			if o.Did == backends.Loaded {
				loaded++
			}
		}
		if results++; results == 5 {
			cancel()
		}
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("the last error is %v", last)
	}
	if n := len(present(t, b, keys)); n != loaded || n == len(keys) || n == 0 {
		t.Errorf("%d told as loaded, %d there", loaded, n)
	}
	settled(t, before)
	for _, err := range must[backends.Dumper](t, b).Dump(ctx, keys) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Dump with a cancelled context: %v", err)
		}
	}
	for range must[backends.Loader](t, b).Load(testContext(t), batches(records, 10), backends.LoadOptions{}) {
		break
	}
	for range must[backends.Dumper](t, b).Dump(testContext(t), keys) {
		break
	}
	settled(t, before)
	if got := s.dumped(t, b, keys[:20]); len(got) > 20 {
		t.Errorf("after a reader that stopped: %d records of 20 keys", len(got))
	}
}

// testDumpBig: values that are large, though within what any cache takes.
func (s Suite) testDumpBig(t *testing.T, b backends.Backend) {
	store := must[backends.Store](t, b)
	var keys []string
	value := func(i int) []byte { return bytes.Repeat([]byte{byte(i), 'x', '\r', '\n', 0}, 190_000) }
	for i := range 24 {
		key := fmt.Sprintf("big:%d", i)
		if err := store.Set(testContext(t), key, value(i), 0); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	records := s.dumped(t, b, keys)
	s.remove(t, b, keys)
	all(t, load(t, b, records, backends.LoadOptions{}), keys, backends.Loaded)
	for i, key := range keys {
		if got, err := store.Get(testContext(t), key); err != nil || !bytes.Equal(got, value(i)) {
			t.Errorf("%q: %d bytes, %v", key, len(got), err)
		}
	}
}

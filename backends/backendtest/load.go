package backendtest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// testLoadPortable: strings that no cache made are held by every cache, with TTLs beyond
// any limit of a protocol; keys that are there are met as for all records.
func (s Suite) testLoadPortable(t *testing.T, b backends.Backend) {
	store := must[backends.Store](t, b)
	ttls := map[string]time.Duration{"portable:none": backends.NoTTL, "portable:hour": time.Hour, "portable:45days": 45 * 24 * time.Hour}
	var keys []string
	var records []backends.Record
	for i, key := range slices.Concat(s.Keys, []string{"portable:none", "portable:hour", "portable:45days", "portable:over"}) {
		r := backends.Record{Key: key, Form: backends.FormString, Value: fmt.Appendf(nil, "\x00\r\n%d", i)}
		if ttl := ttls[key]; ttl > 0 {
			r.Expires = time.Now().Add(ttl)
		}
		if key == "portable:over" {
			r.Expires = time.Now().Add(-time.Second)
		}
		keys, records = append(keys, key), append(records, r)
	}
	for _, want := range []backends.Verb{backends.Loaded, backends.Kept} {
		did := load(t, b, records, backends.LoadOptions{})
		if did["portable:over"].Did != backends.Ended {
			t.Errorf("%+v", did["portable:over"])
		}
		delete(did, "portable:over")
		all(t, did, keys[:len(keys)-1], want)
	}
	for i := range records[:len(records)-1] {
		r := &records[i]
		if got, err := store.Get(testContext(t), r.Key); err != nil || string(got) != string(r.Value) {
			t.Errorf("%q = %q, %v", r.Key, got, err)
		}
		r.Value = append(r.Value, "again"...)
	}
	did := load(t, b, records, backends.LoadOptions{Replace: true})
	for _, r := range records[:len(records)-1] {
		if got, err := store.Get(testContext(t), r.Key); did[r.Key].Did != backends.Loaded || err != nil || string(got) != string(r.Value) {
			t.Errorf("%q = %q, %v; %+v", r.Key, got, err, did[r.Key])
		}
	}
	if _, can := b.(backends.Inspector); !can {
		return
	}
	for e, err := range must[backends.Inspector](t, b).Inspect(testContext(t), backends.FactTTL, slices.Values([]string{"portable:none", "portable:hour", "portable:45days"})) {
		want := ttls[e.Key]
		if err != nil || e.Have.Has(backends.FactTTL) && (e.TTL > want+time.Second || want != backends.NoTTL && e.TTL < want-10*time.Second) {
			t.Errorf("TTL of %q is %v, want %v (%v)", e.Key, e.TTL, want, err)
		}
	}
}

// testLoadOrder: one result a batch, in the order of batches, and an outcome a record in
// theirs, whatever becomes of the records; errors stand where they stood.
func (s Suite) testLoadOrder(t *testing.T, b backends.Backend) {
	notice := &backends.Notice{Shard: "a", What: "x", Err: errors.New("y")}
	var sent [][]backends.Record
	given := 0
	source := func(yield func([]backends.Record, error) bool) {
		for i := range 300 {
			var batch []backends.Record
			for k := range i % 23 {
				r := backends.Record{Key: fmt.Sprintf("order:%d:%d", i, k), Form: backends.FormString, Value: fmt.Append(nil, i)}
				switch {
				case k == 3:
					r.Form = "of-nobody"
				case k == 5:
					r.Expires = time.Now().Add(-time.Hour)
				case k == 7:
					r.Key = fmt.Sprintf("order:%d:0", i) // which is there by then
				}
				batch = append(batch, r)
			}
			sent = append(sent, batch)
			if given = i + 1; !yield(batch, nil) || i%100 == 99 && !yield(nil, notice) {
				return
			}
		}
	}
	results, notices := 0, 0
	for r, err := range must[backends.Loader](t, b).Load(testContext(t), source, backends.LoadOptions{}) {
		if err != nil {
			if notices++; err != notice || results != 100*notices {
				t.Fatalf("behind result %d: %v", results, err)
			}
			continue
		}
		if results >= len(sent) || len(r.Outcomes) != len(sent[results]) {
			t.Fatalf("result %d has %d outcomes", results, len(r.Outcomes))
		}
		for k, o := range r.Outcomes {
			want := backends.Loaded
			switch k {
			case 3:
				want = backends.Failed
			case 5:
				want = backends.Ended
			case 7:
				want = backends.Kept
			}
			if o.Key != sent[results][k].Key || o.Did != want || (o.Err != nil) != (want == backends.Failed) {
				t.Fatalf("outcome %d of result %d: %+v, want %s of %q", k, results, o, want, sent[results][k].Key)
			}
		}
		results++
	}
	if results != 300 || notices != 3 || given != 300 {
		t.Errorf("%d results of %d batches, %d notices", results, given, notices)
	}
}

// testExport: what Export reads comes back, and from a walk whose pages are dumped ahead
// every key comes, once.
func (s Suite) testExport(t *testing.T, b backends.Backend) {
	keys := slices.Concat(s.Keys, family(t, b, "export", 1000))
	set(t, b, time.Hour, s.Keys...)
	exporter := must[backends.Exporter](t, b)
	for _, by := range []string{"export", "reading"} {
		read, portable, err := backends.Reading(testContext(t), b, b)
		if err != nil {
			t.Fatal(err)
		}
		if by == "export" {
			read = exporter.Export
		}
		var records []backends.Record
		seen := make(map[string]bool)
		pages := must[backends.Scanner](t, b).Scan(testContext(t), backends.Query{Count: 50})
		for d, err := range backends.DumpAhead(testContext(t), pages, 3, read) {
			var notice *backends.Notice
			if s.Expects != nil && errors.As(err, &notice) && s.Expects(notice) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range d.Records {
				if !seen[r.Key] {
					records = append(records, r)
				}
				seen[r.Key] = true
			}
		}
		s.remove(t, b, keys)
		all(t, load(t, b, records, backends.LoadOptions{}), keys, backends.Loaded)
		for _, key := range keys {
			if got, err := must[backends.Store](t, b).Get(testContext(t), key); err != nil || string(got) != "value of "+key {
				t.Errorf("by %s (portable %v): %q = %q, %v", by, portable, key, got, err)
			}
		}
	}
}

package backendtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
)

func (s Suite) testScanAll(t *testing.T, b backends.Backend) {
	set(t, b, 0, s.Keys...)
	many := family(t, b, "all", 1500)
	for _, count := range []int{1, 7, 0, 100_000} {
		got := names(s.collect(t, must[backends.Scanner](t, b).Scan(testContext(t), backends.Query{Count: count})))
		for _, key := range slices.Concat(s.Keys, many) {
			if _, found := slices.BinarySearch(got, key); !found {
				t.Errorf("Count %d: %q did not come", count, key)
			}
		}
	}
}

func (s Suite) testScanMatch(t *testing.T, b backends.Backend) {
	set(t, b, 0, s.Keys...)
	set(t, b, 0, "glob:a", "glob:b", "glob:ab", "glob:*", "glob:[a]", "glob:-", "glob:^")
	scanner := must[backends.Scanner](t, b)
	everything := names(s.collect(t, scanner.Scan(testContext(t), backends.Query{})))
	patterns := []string{"*", "glob:?", "glob:[ab]", "glob:[^a]", "glob:[a-b]*", `glob:\*`, "nothing-like-this", "*a*", "?", "glob:[*"}
	for _, key := range s.Keys {
		patterns = append(patterns, backends.EscapeGlob(key))
	}
	for _, pattern := range patterns {
		var want []string
		for _, key := range everything {
			if pattern == "" || backends.Match(pattern, key) {
				want = append(want, key)
			}
		}
		got := names(s.collect(t, scanner.Scan(testContext(t), backends.Query{Match: pattern})))
		equalKeys(t, fmt.Sprintf("pattern %q", pattern), got, want)
	}
}

func (s Suite) testScanMoving(t *testing.T, b backends.Backend) {
	stay := family(t, b, "stay", 1000)
	store := must[backends.Store](t, b)
	seen := make(map[string]bool)
	i := 0
	for page, err := range s.expected(must[backends.Scanner](t, b).Scan(testContext(t), backends.Query{Match: "stay:*", Count: 20})) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			seen[e.Key] = true
		}
		for range 50 { // grows the table under the walk
			i++
			if err := store.Set(testContext(t), fmt.Sprintf("come:%d", i), []byte("x"), 50*time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, key := range stay {
		if !seen[key] {
			t.Errorf("%q lived through the walk and did not come", key)
		}
	}
}

func (s Suite) testScanStop(t *testing.T, b backends.Backend) {
	family(t, b, "stop", 1000)
	scanner := must[backends.Scanner](t, b)
	for range scanner.Scan(testContext(t), backends.Query{}) { // opens what stays open
		break
	}
	before := goroutines(t)
	for range 10 {
		for range scanner.Scan(testContext(t), backends.Query{Count: 10, Want: backends.FactTTL}) {
			break
		}
	}
	settled(t, before)
	if n := len(s.collect(t, scanner.Scan(testContext(t), backends.Query{Match: "stop:*"}))); n < 1000 {
		t.Errorf("%d keys after scans were left early, want 1000", n)
	}
}

func (s Suite) testScanCancel(t *testing.T, b backends.Backend) {
	family(t, b, "cancel", 2000)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	var last error
	pages := 0
	for _, err := range s.expected(must[backends.Scanner](t, b).Scan(ctx, backends.Query{Count: 10})) {
		if last = err; err == nil {
			pages++
			cancel()
		}
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("last error is %v after %d pages, want context.Canceled", last, pages)
	}
}

func (s Suite) testScanMark(t *testing.T, b backends.Backend) {
	want := family(t, b, "mark", 2000)
	scanner := must[backends.Scanner](t, b)
	query := backends.Query{Match: "mark:*", Count: 50}
	var got []backends.Entry
	marks := make(map[string]backends.Mark)
	pages := 0
	for page, err := range s.expected(scanner.Scan(testContext(t), query)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page.Entries...)
		marks[page.Shard] = page.After
		if pages++; pages == 10 {
			break
		}
	}
	if len(got) >= len(want) {
		t.Fatalf("%d keys in %d pages: the walk was over before it could be resumed", len(got), pages)
	}
	last := make(map[string]bool)
	query.From = maps.Clone(marks)
	for page, err := range s.expected(scanner.Scan(testContext(t), query)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page.Entries...)
		if last[page.Shard] {
			t.Errorf("%s: a page after the last", page.Shard)
		}
		marks[page.Shard], last[page.Shard] = page.After, page.Last
	}
	equalKeys(t, "two halves", names(got), want)
	for shard, ended := range last {
		if !ended {
			t.Errorf("%s: no last page", shard)
		}
	}
	query.From = marks
	if again := s.collect(t, scanner.Scan(testContext(t), query)); len(again) > 0 {
		t.Errorf("%d keys come after the end of every shard", len(again))
	}
	// Marks of servers that are no more.
	for shard := range query.From {
		query.From[shard] = "0123456789012345678901234567890123456789" + query.From[shard][strings.LastIndexByte(string(query.From[shard]), ':'):]
	}
	equalKeys(t, "from the marks of others", names(s.collect(t, scanner.Scan(testContext(t), query))), want)
}

func (s Suite) testScanFacts(t *testing.T, b backends.Backend) {
	set(t, b, 0, "facts:forever")
	set(t, b, time.Hour, "facts:hour")
	byKey := make(map[string]backends.Entry)
	for _, e := range s.collect(t, must[backends.Scanner](t, b).Scan(testContext(t),
		backends.Query{Match: "facts:*", Want: backends.FactTTL | backends.FactSize})) {
		byKey[e.Key] = e
	}
	if e := byKey["facts:forever"]; !e.Have.Has(backends.FactTTL) || e.TTL != backends.NoTTL {
		t.Errorf("facts:forever: TTL %v (have %v), want NoTTL", e.TTL, e.Have)
	}
	if e := byKey["facts:hour"]; e.TTL > time.Hour || e.TTL < 50*time.Minute {
		t.Errorf("facts:hour: TTL %v, want about an hour", e.TTL)
	}
	for key, e := range byKey {
		if e.Have.Has(backends.FactSize) && e.Size < int64(len(key)) {
			t.Errorf("%s: size %d is less than its name", key, e.Size)
		}
	}
}

func (s Suite) testShards(t *testing.T, b backends.Backend) {
	want := family(t, b, "shard", 600)
	shards, err := must[backends.Sharder](t, b).Shards(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	times := make(map[string]int)
	for _, shard := range shards {
		for _, e := range s.collect(t, must[backends.Scanner](t, shard).Scan(testContext(t), backends.Query{Match: "shard:*", Count: 100_000})) {
			times[e.Key]++
		}
	}
	for _, key := range want {
		if times[key] != 1 {
			t.Errorf("%q came %d times over all shards, want once", key, times[key])
		}
	}
}

// testScanKeep: keys that Keep leaves out do not come, and are not asked about.
func (s Suite) testScanKeep(t *testing.T, b backends.Backend) {
	set(t, b, 0, s.Keys...)
	want := family(t, b, "keep", 200)
	before := int64(0)
	f, counted := b.(backends.Footprinter)
	if counted {
		before = f.Footprint()
	}
	query := backends.Query{Count: 30, Want: backends.FactTTL, Keep: func(key string) bool { return strings.HasPrefix(key, "keep:") }}
	got := s.collect(t, must[backends.Scanner](t, b).Scan(testContext(t), query))
	equalKeys(t, "kept", names(got), want)
	if counted && f.Footprint()-before > int64(len(got)) {
		t.Errorf("%d lookups for %d keys: others were asked about", f.Footprint()-before, len(got))
	}
}

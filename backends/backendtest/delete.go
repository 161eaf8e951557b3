package backendtest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cachectl/cachectl/backends"
)

// present lists which of the keys are there.
func present(t *testing.T, b backends.Backend, keys []string) []string {
	t.Helper()
	var there []string
	for _, key := range keys {
		_, err := must[backends.Store](t, b).Get(testContext(t), key)
		if err == nil {
			there = append(there, key)
		} else if !errors.Is(err, backends.ErrMiss) {
			t.Fatalf("Get(%q): %v", key, err)
		}
	}
	return there
}

// outcomes reads a deletion to its end, fails at any error, and counts.
func outcomes(t *testing.T, results iter.Seq2[backends.Result, error]) ([]backends.Outcome, map[backends.Verb]int) {
	t.Helper()
	var all []backends.Outcome
	did := make(map[backends.Verb]int)
	for result, err := range results {
		if err != nil {
			t.Fatalf("delete: %v", err)
		}
		for _, o := range result.Outcomes {
			if did[o.Did]++; (o.Err != nil) != (o.Did == backends.Failed) {
				t.Errorf("%q: %s with error %v", o.Key, o.Did, o.Err)
			}
			all = append(all, o)
		}
	}
	return all, did
}

func pagesOf(keys []string, n int) iter.Seq2[backends.Page, error] {
	return backends.Pages(slices.Values(keys), n)
}

func (s Suite) testDelete(t *testing.T, b backends.Backend) {
	deleter := must[backends.Deleter](t, b)
	for _, size := range []int{1, 7, 1000} {
		set(t, b, 0, s.Keys...)
		keys := slices.Clone(s.Keys)
		rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		doomed, stay := keys[:len(keys)/2], keys[len(keys)/2:]
		all, did := outcomes(t, deleter.Delete(testContext(t), pagesOf(doomed, size)))
		if did[backends.Deleted] != len(doomed) || len(all) != len(doomed) {
			t.Errorf("pages of %d: %v, want %d deleted", size, did, len(doomed))
		}
		for i := range all {
			if all[i].Key != doomed[i] {
				t.Errorf("outcome %d is of %q, want %q", i, all[i].Key, doomed[i])
			}
		}
		equalKeys(t, "after deleting", present(t, b, keys), stay)
		if _, did := outcomes(t, deleter.Delete(testContext(t), pagesOf(doomed, size))); did[backends.Gone] != len(doomed) {
			t.Errorf("the same again: %v, want %d gone", did, len(doomed))
		}
	}
}

// testDeleteModel deletes what random patterns match, out of random keyspaces,
// as the walk brings it, and compares with a set.
func (s Suite) testDeleteModel(t *testing.T, b backends.Backend) {
	scanner, deleter := must[backends.Scanner](t, b), must[backends.Deleter](t, b)
	random := rand.New(rand.NewPCG(1, 2))
	alphabet := []string{"a", "b", "user", ":", "*", "?", "[", "]", "\\", "^", "-", "{", "}", "1", "2", "é"}
	if slices.Contains(s.Keys, "line\nbreak") {
		alphabet = append(alphabet, "\n", "\x00", " ", "\xff")
	}
	word := func(most int) string {
		var w strings.Builder
		for range 1 + random.IntN(most) {
			w.WriteString(alphabet[random.IntN(len(alphabet))])
		}
		return w.String()
	}
	for range 20 {
		model := make(map[string]bool)
		for range 200 {
			model[word(5)] = true
		}
		var keys []string
		for key := range model {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		set(t, b, 0, keys...)
		pattern := word(2) + "*"
		if random.IntN(3) == 0 {
			pattern = "*" + backends.EscapeGlob(word(1)) + "*"
		}
		if backends.CheckGlob(pattern) != nil {
			pattern = backends.EscapeGlob(word(2)) + "*"
		}
		matching := 0
		var stay []string
		for _, key := range keys {
			if backends.Match(pattern, key) {
				matching++
			} else {
				stay = append(stay, key)
			}
		}
		query := backends.Query{Match: pattern, Count: 1 + random.IntN(50)}
		_, did := outcomes(t, deleter.Delete(testContext(t), s.expected(scanner.Scan(testContext(t), query))))
		if did[backends.Deleted] != matching || did[backends.Failed]+did[backends.Kept] > 0 {
			t.Errorf("pattern %q: %v, want %d deleted", pattern, did, matching)
		}
		equalKeys(t, fmt.Sprintf("after deleting %q", pattern), present(t, b, keys), stay)
		outcomes(t, deleter.Delete(testContext(t), pagesOf(stay, 100)))
	}
}

func (s Suite) testDeleteMany(t *testing.T, b backends.Backend) {
	first := family(t, b, "first", 100)
	family(t, b, "doomed", 3000)
	stay := family(t, b, "stay", 500)
	remove := func(query backends.Query) map[backends.Verb]int {
		_, did := outcomes(t, must[backends.Deleter](t, b).Delete(testContext(t), s.expected(must[backends.Scanner](t, b).Scan(testContext(t), query))))
		return did
	}
	if did := remove(backends.Query{Match: "first:*"}); did[backends.Deleted] != len(first) { // and opens what stays open
		t.Errorf("%v, want %d deleted", did, len(first))
	}
	query := backends.Query{Match: "doomed:*", Count: 100}
	before := goroutines(t)
	did := remove(query)
	if did[backends.Deleted] != 3000 || did[backends.Failed]+did[backends.Kept] > 0 {
		t.Errorf("%v, want 3000 deleted", did)
	}
	settled(t, before)
	if left := names(s.collect(t, must[backends.Scanner](t, b).Scan(testContext(t), query))); len(left) > 0 {
		t.Errorf("%d keys are left, such as %q", len(left), left[0])
	}
	if n := len(present(t, b, stay)); n != len(stay) {
		t.Errorf("%d of %d keys that were not asked for are still there", n, len(stay))
	}
}

func (s Suite) testDeleteGuard(t *testing.T, b backends.Backend) {
	keys := family(t, b, "guard", 300)
	keys = append(keys, s.Keys...)
	set(t, b, 0, s.Keys...)
	rewritten := make(map[string]bool)
	pages := func(yield func(backends.Page, error) bool) {
		for page, err := range s.expected(must[backends.Scanner](t, b).Scan(testContext(t), backends.Query{Want: backends.FactGuard})) {
			for i, e := range page.Entries {
				if !e.Have.Has(backends.FactGuard) {
					t.Fatalf("%q came without a guard", e.Key)
				}
				if i%3 == 0 && !rewritten[e.Key] {
					rewritten[strings.Clone(e.Key)] = true
					if err := must[backends.Store](t, b).Set(testContext(t), e.Key, []byte("new value of "+e.Key), 0); err != nil {
						t.Fatal(err)
					}
				}
			}
			if !yield(page, err) {
				return
			}
		}
	}
	_, did := outcomes(t, must[backends.Deleter](t, b).Delete(testContext(t), pages))
	if len(rewritten) < 50 || did[backends.Kept] != len(rewritten) || did[backends.Deleted] != len(keys)-len(rewritten) {
		t.Errorf("%v, want %d kept of %d", did, len(rewritten), len(keys))
	}
	for _, key := range present(t, b, keys) {
		if !rewritten[key] {
			t.Errorf("%q was not rewritten and is still there", key)
		}
	}
}

// testDeleteErrors: what the source has to say beside its pages goes through.
func (s Suite) testDeleteErrors(t *testing.T, b backends.Backend) {
	keys := family(t, b, "errors", 30)
	notice, last := &backends.Notice{Shard: "a", What: "x", Err: errors.New("y")}, errors.New("the end")
	pages := func(yield func(backends.Page, error) bool) {
		for page := range pagesOf(keys, 10) {
			if !yield(page, nil) || !yield(backends.Page{}, notice) {
				return
			}
		}
		if yield(backends.Page{}, last) {
			t.Error("the source was asked for more after its end")
		}
	}
	deleted, notices := 0, 0
	var end error
	for result, err := range must[backends.Deleter](t, b).Delete(testContext(t), pages) {
		switch {
		case err == notice:
			notices++
		case err != nil:
			end = err
		case end != nil:
			t.Error("a result after the end")
		}
		deleted += len(result.Outcomes)
	}
	if deleted != len(keys) || notices != 3 || !errors.Is(end, last) {
		t.Errorf("%d outcomes, %d notices, error %v; want %d, 3, %v", deleted, notices, end, len(keys), last)
	}
}

// testDeleteCancel: what was done before an interruption is known exactly.
func (s Suite) testDeleteCancel(t *testing.T, b backends.Backend) {
	keys := family(t, b, "cancel", 2000)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	deleted, results := 0, 0
	var last error
	pages := s.expected(must[backends.Scanner](t, b).Scan(ctx, backends.Query{Match: "cancel:*", Count: 20}))
	for result, err := range must[backends.Deleter](t, b).Delete(ctx, pages) {
		if last = err; err != nil {
			continue
		}
		for _, o := range result.Outcomes {
			if o.Did != backends.Deleted {
				t.Errorf("%q: %s (%v)", o.Key, o.Did, o.Err)
			}
			deleted++
		}
		if results++; results == 6 {
			cancel()
		}
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("the last error is %v, want context.Canceled", last)
	}
	if left := len(present(t, b, keys)); left+deleted != len(keys) || left == 0 {
		t.Errorf("%d told as deleted, %d left, of %d", deleted, left, len(keys))
	}
}

func (s Suite) testDeleteStop(t *testing.T, b backends.Backend) {
	keys := family(t, b, "stop", 500)
	deleter := must[backends.Deleter](t, b)
	outcomes(t, deleter.Delete(testContext(t), pagesOf(keys[:1], 1))) // opens what stays open
	before := goroutines(t)
	for range deleter.Delete(testContext(t), pagesOf(keys, 10)) {
		break
	}
	settled(t, before)
	// One result was read; a page more may be under way.
	if left := len(present(t, b, keys)); left < len(keys)-40 {
		t.Errorf("%d of %d keys are left after the reader stopped at once", left, len(keys))
	}
}

func (s Suite) testSample(t *testing.T, b backends.Backend) {
	sampler := must[backends.Sampler](t, b)
	empty, err := sampler.Sample(testContext(t), 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, shard := range empty {
		if shard.Of != 0 || len(shard.Keys) != 0 || shard.Shard == "" {
			t.Errorf("of an empty cache: %+v", shard)
		}
	}
	set(t, b, 0, s.Keys...)
	all := append(family(t, b, "sample", 500), s.Keys...)
	const draws = 4000
	samples, err := sampler.Sample(testContext(t), draws)
	if err != nil {
		t.Fatal(err)
	}
	of, drawn := int64(0), make(map[string]int)
	for _, shard := range samples {
		of += shard.Of
		for _, key := range shard.Keys {
			drawn[key]++
		}
	}
	if of != int64(len(all)) {
		t.Errorf("drawn out of %d keys, there are %d", of, len(all))
	}
	n, most := 0, 0
	for key, times := range drawn {
		if !slices.Contains(all, key) {
			t.Errorf("%q was drawn and is not there", key)
		}
		n, most = n+times, max(most, times)
	}
	// Fair draws leave out a key with a probability of e^-7.5, and the mean is 7.5.
	if n < draws || n > draws+len(samples) || len(drawn) < len(all)*95/100 || most > 40 {
		t.Errorf("%d draws of %d keys brought %d different ones, one of them %d times", n, len(all), len(drawn), most)
	}
}

func (s Suite) testPulse(t *testing.T, b backends.Backend) {
	for range 2 {
		pulses, err := must[backends.Pulser](t, b).Pulse(testContext(t))
		if err != nil || len(pulses) == 0 {
			t.Fatalf("%v, error %v", pulses, err)
		}
		for _, p := range pulses {
			_, evictions := p.Counts[backends.Evicted]
			if p.Node == "" || p.RTT <= 0 || p.At.IsZero() || !evictions {
				t.Errorf("%+v", p)
			}
		}
	}
}

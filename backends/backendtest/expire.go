package backendtest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A life is a key and the TTL it has or is given; 0 is a key that is not there.
type life struct {
	key string
	ttl time.Duration
}

// lives makes pages of n entries each, every one with its TTL.
func lives(all []life, n int) iter.Seq2[backends.Page, error] {
	return func(yield func(backends.Page, error) bool) {
		for some := range slices.Chunk(all, n) {
			page := backends.Page{Entries: make([]backends.Entry, len(some))}
			for i, l := range some {
				page.Entries[i] = backends.Entry{Key: l.key, TTL: l.ttl, Have: backends.FactTTL}
			}
			if !yield(page, nil) {
				return
			}
			clear(page.Entries) // the page was the other's until now only
		}
	}
}

// ttls asks what the keys have.
func ttls(t *testing.T, b backends.Backend, keys ...string) map[string]time.Duration {
	t.Helper()
	have := make(map[string]time.Duration)
	for e, err := range must[backends.Inspector](t, b).Inspect(testContext(t), backends.FactTTL, slices.Values(keys)) {
		if err != nil {
			t.Fatal(err)
		}
		if !e.Have.Has(backends.FactTTL) {
			t.Fatalf("the TTL of %q is unknown", e.Key)
		}
		have[e.Key] = e.TTL
	}
	return have
}

// nearly tells whether a TTL is what was given not long ago, in a cache that counts
// whole seconds.
func nearly(got, given time.Duration) bool {
	if given == backends.NoTTL || got == backends.NoTTL {
		return got == given
	}
	return got > given-10*time.Second && got <= given+time.Second
}

func (s Suite) testExpire(t *testing.T, b backends.Backend) {
	expirer := must[backends.Expirer](t, b)
	for round, size := range []int{1, 7, 1000} {
		set(t, b, time.Hour, s.Keys...)
		var given []life
		for i, key := range s.Keys {
			ttl := time.Duration(i+1)*time.Minute + time.Duration(round)*24*time.Hour
			switch i % 4 {
			case 0:
				ttl = backends.NoTTL
			case 1:
				ttl += 40 * 24 * time.Hour // more than memcached takes for a span
			case 2:
				ttl += 400 * time.Microsecond
			}
			given = append(given, life{key, ttl})
		}
		all, did := outcomes(t, expirer.Expire(testContext(t), lives(given, size), backends.Always))
		if did[backends.Changed] != len(given) || len(all) != len(given) {
			t.Errorf("pages of %d: %v, want %d changed", size, did, len(given))
		}
		have := ttls(t, b, s.Keys...)
		for i, l := range given {
			if all[i].Key != l.key {
				t.Errorf("outcome %d is of %q, want %q", i, all[i].Key, l.key)
			}
			if got, there := have[l.key]; !there || !nearly(got, l.ttl) {
				t.Errorf("%q was given %v and has %v", l.key, l.ttl, got)
			}
			if value, err := must[backends.Store](t, b).Get(testContext(t), l.key); err != nil || string(value) != "value of "+l.key {
				t.Errorf("%q is %q, %v after its TTL was changed", l.key, value, err)
			}
		}
	}
	outcomes(t, must[backends.Deleter](t, b).Delete(testContext(t), pagesOf(s.Keys, 100)))
	var missing []life
	for i, key := range s.Keys {
		missing = append(missing, life{key, []time.Duration{time.Minute, backends.NoTTL}[i%2]})
	}
	if _, did := outcomes(t, expirer.Expire(testContext(t), lives(missing, 10), backends.Always)); did[backends.Gone] != len(missing) {
		t.Errorf("of keys that are not there: %v, want %d gone", did, len(missing))
	}
}

// testExpireIf goes through every condition, before and after.
func (s Suite) testExpireIf(t *testing.T, b backends.Backend) {
	expirer := must[backends.Expirer](t, b)
	never, short, long, given := backends.NoTTL, 100*time.Second, 10_000*time.Second, 1000*time.Second
	for _, only := range []backends.Condition{backends.Always, backends.OnlyMissing, backends.OnlyShorten, backends.OnlyExtend} {
		for _, c := range []struct {
			had, given time.Duration
			on         []backends.Condition // Always is understood
		}{
			{never, given, []backends.Condition{backends.OnlyMissing, backends.OnlyShorten}},
			{short, given, []backends.Condition{backends.OnlyExtend}},
			{long, given, []backends.Condition{backends.OnlyShorten}},
			{never, never, []backends.Condition{"none, not even Always: there is nothing to change"}},
			{short, never, []backends.Condition{backends.OnlyExtend}},
		} {
			const n = 60
			var all []life
			keys := make([]string, n)
			for i := range keys {
				keys[i] = fmt.Sprintf("if:%s:%d", only, i)
				all = append(all, life{keys[i], c.given}, life{fmt.Sprintf("absent:%s:%d", only, i), c.given})
			}
			set(t, b, max(c.had, 0), keys...)
			want, after := backends.Kept, c.had
			if slices.Contains(c.on, only) || only == backends.Always && (c.had != never || c.given != never) {
				want, after = backends.Changed, c.given
			}
			_, did := outcomes(t, expirer.Expire(testContext(t), lives(all, 17), only))
			if did[want] != n || did[backends.Gone] != n || len(did) != 2 {
				t.Errorf("%q: from %v to %v: %v, want %d %s and %d gone", only, c.had, c.given, did, n, want, n)
			}
			for key, got := range ttls(t, b, keys...) {
				if !nearly(got, after) {
					t.Errorf("%q: from %v to %v: %s has %v", only, c.had, c.given, key, got)
				}
			}
		}
	}
	for _, err := range expirer.Expire(testContext(t), lives([]life{{"if::0", given}}, 1), "sometimes") {
		if err == nil {
			t.Error("an unknown condition was taken")
		}
	}
}

// testExpireNothing: a TTL that is no time deletes nothing.
func (s Suite) testExpireNothing(t *testing.T, b backends.Backend) {
	keys := family(t, b, "nothing", 40)
	var all []life
	for i, key := range keys {
		all = append(all, life{key, []time.Duration{0, -time.Second, -2, time.Nanosecond, time.Minute}[i%5]})
	}
	_, did := outcomes(t, must[backends.Expirer](t, b).Expire(testContext(t), lives(all, 7), backends.Always))
	if did[backends.Failed] != 32 || did[backends.Changed] != 8 {
		t.Errorf("%v, want 32 failed and 8 changed", did)
	}
	if n := len(present(t, b, keys)); n != len(keys) {
		t.Errorf("%d of %d keys are left", n, len(keys))
	}
}

// testExpireMany changes what a walk brings, while it goes on.
func (s Suite) testExpireMany(t *testing.T, b backends.Backend) {
	keys, stay := family(t, b, "many", 3000), family(t, b, "stay", 300)
	expire := func() map[backends.Verb]int {
		pages := s.expected(must[backends.Scanner](t, b).Scan(testContext(t), backends.Query{Match: "many:*", Count: 100}))
		given := backends.Where(pages, func(e *backends.Entry) bool { e.TTL = time.Hour; return true })
		_, did := outcomes(t, must[backends.Expirer](t, b).Expire(testContext(t), given, backends.OnlyMissing))
		return did
	}
	if did := expire(); did[backends.Changed] != len(keys) || did[backends.Failed] > 0 {
		t.Errorf("%v, want %d changed", did, len(keys))
	}
	before := goroutines(t)
	if did := expire(); did[backends.Kept] < len(keys) || did[backends.Changed]+did[backends.Failed] > 0 {
		t.Errorf("again: %v, want %d kept", did, len(keys))
	}
	settled(t, before)
	for key, ttl := range ttls(t, b, append(keys, stay...)...) {
		if want := key[0] == 'm'; want != nearly(ttl, time.Hour) {
			t.Errorf("%s has %v", key, ttl)
		}
	}
}

// testExpireErrors: what the source has to say beside its pages goes through.
func (s Suite) testExpireErrors(t *testing.T, b backends.Backend) {
	keys := family(t, b, "errors", 30)
	var all []life
	for _, key := range keys {
		all = append(all, life{key, time.Hour})
	}
	notice, last := &backends.Notice{Shard: "a", What: "x", Err: errors.New("y")}, errors.New("the end")
	pages := func(yield func(backends.Page, error) bool) {
		for page := range lives(all, 10) {
			if !yield(page, nil) || !yield(backends.Page{}, notice) {
				return
			}
		}
		yield(backends.Page{}, last)
	}
	changed, notices := 0, 0
	var end error
	for result, err := range must[backends.Expirer](t, b).Expire(testContext(t), pages, backends.Always) {
		if err == notice {
			notices++
		} else if err != nil {
			end = err
		}
		changed += len(result.Outcomes)
	}
	if changed != len(keys) || notices != 3 || !errors.Is(end, last) {
		t.Errorf("%d outcomes, %d notices, error %v; want %d, 3, %v", changed, notices, end, len(keys), last)
	}
}

// testExpireCancel: what was done before an interruption is known exactly.
func (s Suite) testExpireCancel(t *testing.T, b backends.Backend) {
	keys := family(t, b, "cancel", 2000)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	changed, results := 0, 0
	var last error
	pages := backends.Where(s.expected(must[backends.Scanner](t, b).Scan(ctx, backends.Query{Match: "cancel:*", Count: 20})),
		func(e *backends.Entry) bool { e.TTL = time.Hour; return true })
	for result, err := range must[backends.Expirer](t, b).Expire(ctx, pages, backends.Always) {
		if last = err; err != nil {
			continue
		}
		for _, o := range result.Outcomes {
			if o.Did != backends.Changed {
				t.Errorf("%q: %s (%v)", o.Key, o.Did, o.Err)
			}
			changed++
		}
		if results++; results == 6 {
			cancel()
		}
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("the last error is %v, want context.Canceled", last)
	}
	with := 0
	for _, ttl := range ttls(t, b, keys...) {
		if ttl != backends.NoTTL {
			with++
		}
	}
	if with != changed || changed == len(keys) {
		t.Errorf("%d told as changed, %d have a TTL, of %d", changed, with, len(keys))
	}
}

func (s Suite) testExpireStop(t *testing.T, b backends.Backend) {
	keys := family(t, b, "stop", 500)
	var all []life
	for _, key := range keys {
		all = append(all, life{key, time.Hour})
	}
	expirer := must[backends.Expirer](t, b)
	outcomes(t, expirer.Expire(testContext(t), lives(all[:1], 1), backends.Always)) // opens what stays open
	before := goroutines(t)
	for range expirer.Expire(testContext(t), lives(all, 10), backends.Always) {
		break
	}
	settled(t, before)
	with := 0
	for _, ttl := range ttls(t, b, keys...) {
		if ttl != backends.NoTTL {
			with++
		}
	}
	if with > 41 {
		t.Errorf("%d of %d keys were changed after the reader stopped at once", with, len(keys))
	}
}

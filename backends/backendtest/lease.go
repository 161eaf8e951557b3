package backendtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// testLease goes through a lease's life: won, busy, brought, early, stale.
func (s Suite) testLease(t *testing.T, b backends.Backend) {
	to := dialLines(t, b)
	if !s.Leases {
		a := backends.Ask{Do: backends.AskLease, Key: []byte("k"), TTL: time.Minute}
		if out, err := to.all[0].dialect.Append([]byte("kept"), &a); err == nil || string(out) != "kept" {
			t.Errorf("a lease of a cache without was taken: %q, %v", out, err)
		}
		a.Do = backends.AskStale
		if _, err := to.all[0].dialect.Append(nil, &a); err == nil {
			t.Error("a value of a cache without leases was made stale")
		}
		return
	}
	for _, name := range s.Keys {
		key, what := []byte(name), fmt.Sprintf("%q", name)
		lease := func(early time.Duration) backends.Reply {
			return to.ask(t, &backends.Ask{Do: backends.AskLease, Key: key, TTL: time.Minute, Early: early})
		}
		set := func(value string, cas uint64) backends.Reply {
			return to.ask(t, &backends.Ask{Do: backends.AskSet, Key: key, Value: []byte(value), TTL: time.Hour, CAS: cas})
		}
		won := expect(t, what+": first", lease(0), backends.Won)
		if len(won.Value) > 0 || won.Stale || won.CAS == 0 {
			t.Errorf("%s: first: %s", what, told(won))
		}
		for range 3 {
			if r := expect(t, what+": second", lease(0), backends.Busy); len(r.Value) > 0 {
				t.Errorf("%s: second: %s", what, told(r))
			}
		}
		expect(t, what+": get meanwhile", to.ask(t, &backends.Ask{Do: backends.AskGet, Key: key}), backends.Miss)
		expect(t, what+": set by another", set("theirs", won.CAS+1000), backends.NotDone)
		expect(t, what+": set", set("one", won.CAS), backends.Done)
		expect(t, what+": set once more", set("again", won.CAS), backends.NotDone)
		if r := expect(t, what+": fresh", lease(time.Minute), backends.Hit); string(r.Value) != "one" || r.Stale || r.CAS == 0 {
			t.Errorf("%s: fresh: %s", what, told(r))
		}
		early := expect(t, what+": early", lease(2*time.Hour), backends.Won)
		if string(early.Value) != "one" || early.Stale {
			t.Errorf("%s: early: %s", what, told(early))
		}
		if r := expect(t, what+": while it is brought early", lease(2*time.Hour), backends.Hit); string(r.Value) != "one" {
			t.Errorf("%s: while it is brought early: %s", what, told(r))
		}
		expect(t, what+": set early", set("two", early.CAS), backends.Done)
		s.testLeaseStale(t, name, func(a *backends.Ask) backends.Reply { return to.ask(t, a) }, lease, set)
		expect(t, what+": delete", to.ask(t, &backends.Ask{Do: backends.AskDelete, Key: key}), backends.Done)
		expect(t, what+": stale without a value", to.ask(t, &backends.Ask{Do: backends.AskStale, Key: key}), backends.NotDone)
	}
}

// testLeaseStale: a value marked as stale is served while one brings another.
func (s Suite) testLeaseStale(t *testing.T, name string, ask func(*backends.Ask) backends.Reply, lease func(time.Duration) backends.Reply, set func(string, uint64) backends.Reply) {
	t.Helper()
	if do := (&backends.Ask{Do: backends.AskStale, Key: []byte(name), TTL: time.Minute}); ask(do).Answer != backends.Done {
		t.Fatalf("%q is not stale", name)
	}
	won := expect(t, name+": stale", lease(0), backends.Won)
	busy := expect(t, name+": stale, once more", lease(0), backends.Busy)
	for _, r := range []backends.Reply{won, busy} {
		if string(r.Value) != "two" || !r.Stale {
			t.Errorf("%q: stale: %s", name, told(r))
		}
	}
	expect(t, name+": set of what was stale", set("three", won.CAS), backends.Done)
	if r := expect(t, name+": fresh again", lease(0), backends.Hit); string(r.Value) != "three" || r.Stale {
		t.Errorf("%q: fresh again: %s", name, told(r))
	}
}

package memcached

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// TestGuardsKeepWhatWasWrittenAgain: by the walk and by Inspect, and whatever
// kind of write it was; touching is none.
func TestGuardsKeepWhatWasWrittenAgain(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := startStill(t, v)
		c, r := openURL(t, target(s)), dialRaw(t, s)
		for _, guarded := range []bool{true, false} {
			var names []string
			for i := range 2500 {
				names = append(names, fmt.Sprintf("k%04d", i))
			}
			names = append(names, "a b", "c\nd")
			r.fillKeys(names, "1")
			var want backends.Facts
			if guarded {
				want = backends.FactGuard
			}
			l := list(c, backends.Query{Want: want})
			if len(l.entries) != len(names) {
				t.Fatalf("the walk saw %d of %d", len(l.entries), len(names))
			}
			for _, e := range l.entries {
				if e.Have.Has(backends.FactGuard) != guarded || (e.Guard != "") != guarded {
					t.Fatalf("%+v", e)
				}
			}
			r.want("HD", "ms k0001 1\r\n1") // the same value
			r.want("2", "incr k0002 1")
			r.want("STORED", "append k0003 0 0 1\r\nx")
			r.want("TOUCHED", "touch k0004 100")
			r.want("DELETED", "delete k0005")
			r.want("DELETED", "delete k0006")
			r.want("STORED", "set k0006 0 0 1\r\n1")
			r.want("HD", "ms %s 1 b\r\n1", base64.StdEncoding.EncodeToString([]byte("a b")))
			kept := []string{"k0001", "k0002", "k0003", "k0006", "a b"}
			expect := map[backends.Verb]int{backends.Gone: 1, backends.Deleted: len(names) - 1}
			if guarded {
				expect = map[backends.Verb]int{backends.Gone: 1, backends.Kept: len(kept), backends.Deleted: len(names) - 1 - len(kept)}
			}
			got := deleteAll(t.Context(), c, pagesOf(s.Addr, l.entries, 700))
			if !maps.Equal(got.counts, expect) || len(got.errs) > 0 {
				t.Errorf("guarded %v: %v, want %v; %v", guarded, got.counts, expect, got.errs)
			}
			there := r.present(names)
			for _, key := range names {
				if there[key] != (guarded && slices.Contains(kept, key)) {
					t.Errorf("guarded %v: %q there: %v, told %s", guarded, key, there[key], got.did[key])
				}
			}
			flush(t, s)
		}
	})
}

// TestGuardsDieWithTheirProcess: a restarted server counts from the beginning,
// so that a number may come again for another value.
func TestGuardsDieWithTheirProcess(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v)
		c, r := openURL(t, target(s)), dialRaw(t, s)
		r.want("STORED", "set a 0 0 1\r\n1")
		r.want("STORED", "set b 0 0 1\r\n1")
		var entries []backends.Entry
		for e, err := range c.Inspect(t.Context(), backends.FactGuard, one("a", "b")) {
			if err != nil {
				t.Fatal(err)
			}
			entries = append(entries, e)
		}
		time.Sleep(2100 * time.Millisecond) // process IDs may come again in containers; the start's second does not
		s.Restart()
		r = dialRaw(t, s)
		r.want("STORED", "set a 0 0 1\r\n2")
		got := deleteAll(t.Context(), c, pagesOf(s.Addr, entries, 10))
		if len(entries) != 2 || got.did["a"] != backends.Kept || got.did["b"] != backends.Gone || len(got.errs) > 0 {
			t.Errorf("%+v: %v, %v", entries, got.did, got.errs)
		}
		// Seen again, it goes.
		l := list(c, backends.Query{Want: backends.FactGuard})
		if got := deleteAll(t.Context(), c, pagesOf(s.Addr, l.entries, 10)); got.did["a"] != backends.Deleted {
			t.Errorf("%+v, %v", l.entries, got.did)
		}
	})
}

// TestNoCASNoGuard: a server without CAS numbers (-C) says 0, and takes a 0 for
// "delete it anyhow".
func TestNoCASNoGuard(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v, "-C")
		c, r := openURL(t, target(s)), dialRaw(t, s)
		r.want("STORED", "set a 0 0 1\r\n1")
		l := list(c, backends.Query{Want: backends.FactGuard | backends.FactTTL})
		var inspected []backends.Entry
		told := 0
		for e, err := range c.Inspect(t.Context(), backends.FactGuard, one("a")) {
			var notice *backends.Notice
			if errors.As(err, &notice) && notice.Facts == backends.FactGuard {
				told++
			} else if err == nil {
				inspected = append(inspected, e)
			}
		}
		for _, n := range l.notices {
			if n.Facts == backends.FactGuard {
				told++
			}
		}
		if told != 2 || len(l.entries) != 1 || len(inspected) != 1 || l.entries[0].Have.Has(backends.FactGuard) || inspected[0].Have.Has(backends.FactGuard) {
			t.Errorf("%d notices, %+v, %+v", told, l, inspected)
		}
		for _, text := range []string{"0", "", "x", "-1", "1 q O1\r\nflush_all", "18446744073709551616"} {
			e := backends.Entry{Key: "a", Have: backends.FactGuard, Guard: text}
			if got := deleteAll(t.Context(), c, pagesOf(s.Addr, []backends.Entry{e}, 1)); got.did["a"] != backends.Failed || len(got.errs) > 0 {
				t.Errorf("guard %q: %v, %v", text, got.did, got.errs)
			}
		}
		e := backends.Entry{Key: "a", Have: backends.FactGuard, Guard: "7"}
		if got := deleteAll(t.Context(), c, pagesOf(s.Addr, []backends.Entry{e}, 1)); got.did["a"] != backends.Kept {
			t.Errorf("%v", got.did)
		}
		if !r.present([]string{"a"})["a"] {
			t.Error("it is gone")
		}
	})
}

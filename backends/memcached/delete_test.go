package memcached

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// A tally is what a Delete told.
type tally struct {
	did    map[string]backends.Verb // by key, the last word
	counts map[backends.Verb]int
	errs   []error // of the stream, in order
	failed error   // the first outcome's
	pages  int
}

func deleteAll(ctx context.Context, c *cache, pages iter.Seq2[backends.Page, error]) tally {
	t := tally{did: make(map[string]backends.Verb), counts: make(map[backends.Verb]int)}
	for r, err := range c.Delete(ctx, pages) {
		if err != nil {
			t.errs = append(t.errs, err)
			continue
		}
		t.pages++
		for _, o := range r.Outcomes {
			t.did[o.Key] = o.Did
			t.counts[o.Did]++
			if o.Did == backends.Failed && t.failed == nil {
				t.failed = o.Err
			}
			if (o.Did == backends.Failed) != (o.Err != nil) {
				t.errs = append(t.errs, fmt.Errorf("%q: %s with error %v", o.Key, o.Did, o.Err))
			}
		}
	}
	return t
}

// ends is the error that ended the stream.
func (t tally) ends() error {
	if n := len(t.errs); n > 0 && backends.Ends(t.errs[n-1]) {
		return t.errs[n-1]
	}
	return nil
}

// walked scans and drops the notices that belong to old servers.
func walked(c *cache, q backends.Query, keep func(*backends.Entry) bool) iter.Seq2[backends.Page, error] {
	return func(yield func(backends.Page, error) bool) {
		for page, err := range backends.Where(c.Scan(context.Background(), q), keep) {
			if backends.Ends(err) || err == nil {
				if !yield(page, err) {
					return
				}
			}
		}
	}
}

func everything(*backends.Entry) bool { return true }

// fillKeys writes keys of any bytes, by base64 where they need that.
func (c *rawConn) fillKeys(keys []string, value string) {
	c.t.Helper()
	for batch := range slices.Chunk(keys, 500) {
		var all strings.Builder
		for _, key := range batch {
			to, flag := address([]byte("ms "), key)
			fmt.Fprintf(&all, "%s %d%s q\r\n%s\r\n", to, len(value), flag, value)
		}
		c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Write([]byte(all.String())); err != nil {
			c.t.Fatal(err)
		}
		c.want("MN", "mn")
	}
}

// present asks for keys one by one, by a command that is none of the walk's.
func (c *rawConn) present(keys []string) map[string]bool {
	c.t.Helper()
	there := make(map[string]bool)
	for batch := range slices.Chunk(keys, 500) {
		var all strings.Builder
		for i, key := range batch {
			to, flag := address([]byte("mg "), key)
			fmt.Fprintf(&all, "%s%s s O%d\r\n", to, flag, i)
		}
		c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Write([]byte(all.String())); err != nil {
			c.t.Fatal(err)
		}
		for range batch {
			line := c.readLine()
			if rest, ok := strings.CutPrefix(line, "HD"); ok {
				_, number, _ := strings.Cut(rest, "O")
				i, err := strconv.Atoi(number)
				if err != nil {
					c.t.Fatal(line)
				}
				there[batch[i]] = true
			} else if !strings.HasPrefix(line, "EN") {
				c.t.Fatal(line)
			}
		}
	}
	return there
}

// TestDeleteWhileTheDumpGoesOn: of 100,000 keys exactly those go that match,
// hostile ones among them, while the same server is still being walked.
func TestDeleteWhileTheDumpGoesOn(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v, "-m", "256")
		c, r := openURL(t, target(s)), dialRaw(t, s)
		var keys []string
		for i := range 50_000 {
			keys = append(keys, fmt.Sprintf("user:%07d", i), fmt.Sprintf("session:%07d", i))
		}
		for _, key := range hostileKeys() {
			keys = append(keys, key)
			if in := "user:" + key; addressable(in) == nil {
				keys = append(keys, in)
			}
		}
		for b := range 256 {
			keys = append(keys, string([]byte{byte(b)})+"user:1", "user:x"+string([]byte{byte(b)}))
		}
		keys = append(keys, "user*:1", "user*", "user:*")
		slices.Sort(keys)
		keys = slices.Compact(keys)
		r.fillKeys(keys, "x")
		r.want("STORED", "set user:1 0 0 1\r\nx")
		// A walk by the LRU sees every key when nobody moves any.
		time.Sleep(3 * time.Second)

		for range 3 { // 1.6.18 may need more passes
			got := deleteAll(t.Context(), c, walked(c, backends.Query{Match: "user:*", Count: 500}, everything))
			if len(got.errs) > 0 || got.counts[backends.Failed]+got.counts[backends.Kept] > 0 {
				t.Fatalf("%v, %v, %v", got.counts, got.errs, got.failed)
			}
			for key, did := range got.did {
				if !strings.HasPrefix(key, "user:") {
					t.Fatalf("%q: %s", key, did)
				}
			}
			if parseVersion(v.Number).atLeast(1, 6, 19) && got.counts[backends.Gone] > 0 {
				t.Errorf("%v", got.counts)
			}
			if len(list(c, backends.Query{Match: "user:*"}).entries) == 0 {
				break
			}
		}
		there := r.present(keys)
		for _, key := range keys {
			if there[key] == strings.HasPrefix(key, "user:") {
				t.Errorf("%q: there: %v", key, there[key])
			}
		}
		if r.stat("cmd_flush") != "0" {
			t.Error("flush_all came to the server")
		}
	})
}

// TestDeleteProperty: random keys, patterns and keys left out, against a model.
func TestDeleteProperty(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		all := []*servers.Server{start(t, v), start(t, v)}
		c := openURL(t, target(all...))
		raw := []*rawConn{dialRaw(t, all[0]), dialRaw(t, all[1])}
		key := rapid.Custom(func(t *rapid.T) string {
			if rapid.Bool().Draw(t, "hostile") {
				return string(rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "bytes"))
			}
			return rapid.StringMatching(`[ab*?\[\]:\\ -]{1,6}`).Draw(t, "key")
		})
		rapid.Check(t, func(t *rapid.T) {
			for _, r := range raw {
				r.want("OK", "flush_all")
			}
			held := [2][]string{}
			for i := range held {
				held[i] = rapid.SliceOfNDistinct(key, 0, 60, rapid.ID[string]).Draw(t, "held")
				raw[i].fillKeys(held[i], "x")
			}
			pattern := rapid.StringMatching(`[ab*?:\[\]^\\-]{0,5}`).Draw(t, "pattern")
			out := rapid.SliceOf(rapid.SampledFrom(append(slices.Concat(held[0], held[1]), "none"))).Draw(t, "out")
			doomed := func(key string) bool {
				return (pattern == "" || backends.Match(pattern, key)) && !slices.Contains(out, key)
			}
			named := rapid.Bool().Draw(t, "named")
			q := backends.Query{Match: pattern, Count: rapid.IntRange(1, 70).Draw(t, "count")}
			keep := func(e *backends.Entry) bool { return !slices.Contains(out, e.Key) }
			want := map[backends.Verb]int{}
			pages := walked(c, q, keep)
			if named { // the model's own list, one key of which is nowhere
				names := slices.DeleteFunc(slices.Concat(held[0], held[1]), func(k string) bool { return !doomed(k) })
				slices.Sort(names)
				names = append(slices.Compact(names), "nowhere:"+strconv.Itoa(len(names)))
				if want[backends.Gone] = 1; len(names) > 1 {
					want[backends.Deleted] = len(names) - 1
				}
				pages = backends.Pages(slices.Values(names), q.Count)
			} else {
				for i := range held {
					for _, k := range held[i] {
						if doomed(k) {
							want[backends.Deleted]++
						}
					}
				}
			}
			got := deleteAll(context.Background(), c, pages)
			if !maps.Equal(got.counts, want) || len(got.errs) > 0 {
				t.Fatalf("%v, want %v; %v %v", got.counts, want, got.errs, got.failed)
			}
			for i := range held {
				there := raw[i].present(held[i])
				for _, k := range held[i] {
					if there[k] == doomed(k) {
						t.Fatalf("pattern %q, out %q: %q on node %d: there: %v", pattern, out, k, i, there[k])
					}
				}
			}
		})
	})
}

// TestGuardsKeepWhatWasWrittenAgain: by the walk and by Inspect, and whatever
// kind of write it was; touching is none.
func TestGuardsKeepWhatWasWrittenAgain(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v)
		c, r := openURL(t, target(s)), dialRaw(t, s)
		for _, guarded := range []bool{true, false} {
			var names []string
			for i := range 2500 {
				names = append(names, fmt.Sprintf("k%04d", i))
			}
			names = append(names, "a b", "c\nd")
			r.fillKeys(names, "1")
			time.Sleep(1200 * time.Millisecond)
			var want backends.Facts
			if guarded {
				want = backends.FactGuard
			}
			l := list(c, backends.Query{Want: want})
			if len(l.entries) != len(names) {
				t.Skipf("the walk by the LRU saw %d of %d", len(l.entries), len(names))
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

// pagesOf makes pages of one shard.
func pagesOf(shard string, entries []backends.Entry, n int) iter.Seq2[backends.Page, error] {
	return func(yield func(backends.Page, error) bool) {
		for part := range slices.Chunk(entries, n) {
			if !yield(backends.Page{Shard: shard, Entries: part, After: again}, nil) {
				return
			}
		}
	}
}

func entriesOf(keys ...string) []backends.Entry {
	entries := make([]backends.Entry, len(keys))
	for i, key := range keys {
		entries[i].Key = key
	}
	return entries
}

// TestGuardsDieWithTheirProcess: a restarted server counts from the beginning,
// so that a number may come again for another value.
func TestGuardsDieWithTheirProcess(t *testing.T) {
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

// TestDeleteOnSeveralNodes: keys that the user named go from wherever they are;
// keys of a page of a node from that node only.
func TestDeleteOnSeveralNodes(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		all := []*servers.Server{start(t, v), start(t, v), start(t, v)}
		c := openURL(t, target(all...))
		var raw []*rawConn
		for i, s := range all {
			raw = append(raw, dialRaw(t, s))
			raw[i].want("STORED", "set everywhere 0 0 1\r\n1")
			raw[i].want("STORED", "set only%d 0 0 1\r\n1", i)
			raw[i].want("STORED", "set walked 0 0 1\r\n1")
		}
		long := strings.Repeat("k", 251)
		got := deleteAll(t.Context(), c, backends.Pages(slices.Values([]string{"everywhere", "only1", "nowhere", "", long}), 2))
		want := map[string]backends.Verb{"everywhere": backends.Deleted, "only1": backends.Deleted, "nowhere": backends.Gone, "": backends.Failed, long: backends.Failed}
		if !maps.Equal(got.did, want) || len(got.errs) > 0 {
			t.Errorf("%v, %v", got.did, got.errs)
		}
		got = deleteAll(t.Context(), c, pagesOf(all[2].Addr, entriesOf("walked", "only0"), 5))
		if got.did["walked"] != backends.Deleted || got.did["only0"] != backends.Gone {
			t.Errorf("%v", got.did)
		}
		for i, r := range raw {
			there := r.present([]string{"everywhere", "walked", "only0", "only1", "only2"})
			if there["everywhere"] || there["walked"] == (i == 2) || there["only0"] != (i == 0) || there["only2"] != (i == 2) || there["only1"] {
				t.Errorf("node %d has %v", i, there)
			}
		}

		// A guard is one node's: the same number elsewhere says nothing.
		raw[0].want("STORED", "set twice 0 0 1\r\n1")
		raw[1].want("STORED", "set twice 0 0 1\r\n1")
		var entries []backends.Entry
		for e, err := range c.Inspect(t.Context(), backends.FactGuard, one("twice")) {
			if err == nil {
				entries = append(entries, e)
			}
		}
		got = deleteAll(t.Context(), c, pagesOf("", entries, 5))
		if got.did["twice"] != backends.Deleted || raw[0].present([]string{"twice"})["twice"] || !raw[1].present([]string{"twice"})["twice"] {
			t.Errorf("%+v: %v", entries, got.did)
		}

		var shard *backends.ShardError
		got = deleteAll(t.Context(), c, pagesOf("127.0.0.1:1", entriesOf("walked"), 5))
		if len(got.errs) != 1 || !errors.As(got.errs[0], &shard) || got.did["walked"] != backends.Failed {
			t.Errorf("%v, %v", got.did, got.errs)
		}
	})
}

// TestNodeDiesInMidDelete: its keys fail from then on, the others' go, and what
// was told before is true.
func TestNodeDiesInMidDelete(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		all := []*servers.Server{start(t, v), start(t, v)}
		c := openURL(t, target(all...))
		for _, s := range all {
			dialRaw(t, s).fill("k", 20_000, 10)
		}
		pages := func(yield func(backends.Page, error) bool) {
			for i := range 20 {
				var keys []string
				for k := range 1000 {
					keys = append(keys, fmt.Sprintf("k:%07d", i*1000+k))
				}
				if i == 10 {
					all[1].Kill()
				}
				for _, s := range all {
					if !yield(backends.Page{Shard: s.Addr, Entries: entriesOf(keys...)}, nil) {
						return
					}
				}
			}
		}
		counts := map[string]map[backends.Verb]int{all[0].Addr: {}, all[1].Addr: {}}
		lost := 0
		for r, err := range c.Delete(t.Context(), pages) {
			var shard *backends.ShardError
			if errors.As(err, &shard) && shard.Shard == all[1].Addr && errors.Is(err, backends.ErrUnreachable) {
				lost++
			} else if err != nil {
				t.Fatal(err)
			}
			for _, o := range r.Outcomes {
				if lost > 0 && r.Shard == all[1].Addr && o.Did != backends.Failed {
					t.Fatalf("%+v after the loss", o)
				}
				counts[r.Shard][o.Did]++
			}
		}
		one, two := counts[all[0].Addr], counts[all[1].Addr]
		if lost != 1 || one[backends.Deleted] != 20_000 || two[backends.Deleted]+two[backends.Failed] != 20_000 || two[backends.Deleted] < 8000 || two[backends.Failed] < 9000 {
			t.Errorf("lost %d times; %v, %v", lost, one, two)
		}
		if n := dialRaw(t, all[0]).stat("curr_items"); n != "0" {
			t.Errorf("%s keys are left", n)
		}
		// Named keys: deleted on the one, but perhaps still there on the other.
		got := deleteAll(t.Context(), c, backends.Pages(slices.Values([]string{"x"}), 5))
		if got.did["x"] != backends.Failed || len(got.errs) != 1 {
			t.Errorf("%v, %v", got.did, got.errs)
		}
	})
}

// TestSingleNodeDies: with no other node the loss is the end.
func TestSingleNodeDies(t *testing.T) {
	v := servers.Memcacheds(t)[1]
	s := start(t, v)
	c := openURL(t, target(s))
	dialRaw(t, s).fill("k", 3000, 10)
	asked := 0
	got := deleteAll(t.Context(), c, func(yield func(backends.Page, error) bool) {
		for i := range 1000 {
			if asked = i; i == 1 {
				s.Kill()
			}
			if !yield(backends.Page{Shard: s.Addr, Entries: entriesOf(fmt.Sprintf("k:%07d", i))}, nil) {
				return
			}
		}
	})
	if !errors.Is(got.ends(), backends.ErrUnreachable) || asked > 3 || got.did["k:0000000"] != backends.Deleted || got.did["k:0000001"] != backends.Failed {
		t.Errorf("%v, %v, %d pages asked for", got.did, got.errs, asked)
	}
}

// TestRestartInMidDelete: a new process takes over, and counts stay exact.
func TestRestartInMidDelete(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v)
		c := openURL(t, target(s))
		dialRaw(t, s).fill("k", 3000, 10)
		got := deleteAll(t.Context(), c, func(yield func(backends.Page, error) bool) {
			for i := range 3 {
				if i == 1 {
					s.Restart()
				}
				var keys []string
				for k := range 1000 {
					keys = append(keys, fmt.Sprintf("k:%07d", i*1000+k))
				}
				if !yield(backends.Page{Shard: s.Addr, Entries: entriesOf(keys...)}, nil) {
					return
				}
			}
		})
		if got.counts[backends.Deleted] != 1000 || got.counts[backends.Gone] != 2000 || len(got.errs) > 0 {
			t.Errorf("%v, %v", got.counts, got.errs)
		}
	})
}

// TestCancelledInMidDelete: every key that went was told of, and none besides.
func TestCancelledInMidDelete(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v, "-m", "256")
		c, r := openURL(t, target(s)), dialRaw(t, s)
		const keys = 100_000
		for round := range 6 {
			flush(t, s)
			r.fill("k", keys, 10)
			var entries []backends.Entry
			for i := range keys {
				entries = append(entries, backends.Entry{Key: fmt.Sprintf("k:%07d", i)})
			}
			ctx, cancel := context.WithCancel(t.Context())
			after := 1 + rand.IntN(50)
			got := deleteAll(ctx, c, func(yield func(backends.Page, error) bool) {
				n := 0
				for page := range pagesOf(s.Addr, entries, []int{100, 1000, 30_000}[round%3]) {
					if n++; n == after && round < 3 {
						cancel() // between pages
					} else if n == 1 && round >= 3 {
						time.AfterFunc(time.Duration(after)*time.Millisecond, cancel)
					}
					if !yield(page, nil) {
						return
					}
				}
			})
			cancel()
			left, _ := strconv.Atoi(r.stat("curr_items"))
			if got.counts[backends.Deleted] != keys-left || got.counts[backends.Gone] != 0 {
				t.Errorf("%v told, %d of %d keys are left", got.counts, left, keys)
			}
			if err := got.ends(); left > 0 && !errors.Is(err, context.Canceled) || len(got.errs) > 1 {
				t.Errorf("%v", got.errs)
			}
			t.Logf("%d left, %v", left, got.counts)
		}
	})
}

// TestReaderStopsDelete: nothing more is sent, and the cache works on.
func TestReaderStopsDelete(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v)
		c, r := openURL(t, target(s)), dialRaw(t, s)
		r.fill("k", 50_000, 10)
		var entries []backends.Entry
		for i := range 50_000 {
			entries = append(entries, backends.Entry{Key: fmt.Sprintf("k:%07d", i)})
		}
		n := 0
		for range c.Delete(t.Context(), pagesOf(s.Addr, entries, 1000)) {
			if n++; n == 3 {
				break
			}
		}
		time.Sleep(100 * time.Millisecond)
		left, _ := strconv.Atoi(r.stat("curr_items"))
		if left < 50_000-5*1000 || left > 47_000 {
			t.Errorf("%d keys are left", left)
		}
		if got := deleteAll(t.Context(), c, pagesOf(s.Addr, entries, 1000)); got.counts[backends.Deleted] != left {
			t.Errorf("%v, want %d deleted", got.counts, left)
		}
	})
}

// TestSlowSourceGetsResultsAtOnce: with a page now and then, each one's result
// comes before the next page is waited for.
func TestSlowSourceGetsResultsAtOnce(t *testing.T) {
	v := servers.Memcacheds(t)[0]
	s := start(t, v)
	c, told, worst := openURL(t, target(s)), 0, 0
	pages := func(yield func(backends.Page, error) bool) {
		for i := range 5 {
			time.Sleep(2 * slowSource)
			if worst = max(worst, i-told); !yield(backends.Page{Shard: s.Addr, Entries: entriesOf("k")}, nil) {
				return
			}
		}
	}
	for _, err := range c.Delete(t.Context(), pages) {
		if told++; err != nil {
			t.Fatal(err)
		}
	}
	if told != 5 || worst != 0 {
		t.Errorf("%d results, up to %d late", told, worst)
	}
}

// TestErrorsOfPages: they come in their place, and the end after the results.
func TestErrorsOfPages(t *testing.T) {
	v := servers.Memcacheds(t)[0]
	s := start(t, v)
	c := openURL(t, target(s))
	end := errors.New("the end")
	var story []string
	for r, err := range c.Delete(t.Context(), func(yield func(backends.Page, error) bool) {
		_ = yield(backends.Page{Shard: s.Addr, Entries: entriesOf("a")}, nil) &&
			yield(backends.Page{Shard: s.Addr}, nil) &&
			yield(backends.Page{}, &backends.Notice{Shard: "n", What: "w", Err: end}) &&
			yield(backends.Page{Shard: s.Addr, Entries: entriesOf("b", "c"), Done: 1}, nil) &&
			yield(backends.Page{}, &backends.ShardError{Shard: "n", Err: end}) &&
			yield(backends.Page{Shard: s.Addr, Entries: entriesOf("d")}, nil) &&
			yield(backends.Page{}, end)
	}) {
		if err != nil {
			story = append(story, fmt.Sprintf("%T", err))
		} else {
			story = append(story, fmt.Sprint(len(r.Outcomes), r.Done))
		}
	}
	if want := []string{"1 0", "0 0", "*backends.Notice", "2 1", "*backends.ShardError", "1 0", "*errors.errorString"}; !slices.Equal(story, want) {
		t.Errorf("%q, want %q", story, want)
	}
}

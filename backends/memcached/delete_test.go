package memcached

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
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

// startStill runs a server that does not sort its LRU lists behind our back, so
// that a walk by these, all that 1.6.18 can do, is complete as well.
func startStill(t testing.TB, v servers.Version) *servers.Server {
	t.Helper()
	return start(t, v, "-m", "256", "-o", "no_lru_maintainer")
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
		s := startStill(t, v)
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
		doomed := 1 // user:1
		for _, key := range keys {
			if key != "user:1" && strings.HasPrefix(key, "user:") {
				doomed++
			}
		}
		got := deleteAll(t.Context(), c, walked(c, backends.Query{Match: "user:*", Count: 500}, everything))
		if !maps.Equal(got.counts, map[backends.Verb]int{backends.Deleted: doomed}) || len(got.errs) > 0 {
			t.Errorf("%v, want %d deleted; %v, %v", got.counts, doomed, got.errs, got.failed)
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
		all := []*servers.Server{startStill(t, v), startStill(t, v)}
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

// TestDeleteThroughTLSAndLogin: the connection of a deletion is made like any other.
func TestDeleteThroughTLSAndLogin(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		secure, locked := servers.Memcached(t, v, servers.Options{TLS: true}), startAuth(t, v)
		for _, url := range []string{
			strings.Replace(target(secure), "memcached:", "memcacheds:", 1) + "?tls_ca=" + secure.CA + "&tls_cert=" + secure.Cert + "&tls_key=" + secure.Key,
			strings.Replace(target(locked), "//", "//app:secret@", 1),
		} {
			c := openURL(t, url)
			var keys []string
			for i := range 20_000 {
				keys = append(keys, fmt.Sprintf("%0200d", i))
			}
			for _, key := range []string{keys[0], keys[9999], keys[19_999]} {
				if err := c.Set(t.Context(), key, nil, 0); err != nil {
					t.Fatal(err)
				}
			}
			got := deleteAll(t.Context(), c, backends.Pages(slices.Values(keys), 7000))
			if !maps.Equal(got.counts, map[backends.Verb]int{backends.Deleted: 3, backends.Gone: 19_997}) || len(got.errs) > 0 {
				t.Errorf("%v, %v", got.counts, got.errs)
			}
		}
	})
}

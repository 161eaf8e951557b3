package memcached

import (
	"bufio"
	"errors"
	"fmt"
	"iter"
	"maps"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// lasting gives every entry a TTL.
func lasting(pages iter.Seq2[backends.Page, error], ttl time.Duration) iter.Seq2[backends.Page, error] {
	return backends.Where(pages, func(e *backends.Entry) bool { e.TTL = ttl; return true })
}

// became reads a change to its end.
func became(t *testing.T, results iter.Seq2[backends.Result, error]) (did map[string]backends.Verb, counts map[backends.Verb]int, end error) {
	t.Helper()
	did, counts = make(map[string]backends.Verb), make(map[backends.Verb]int)
	for r, err := range results {
		if err != nil {
			end = err
		}
		for _, o := range r.Outcomes {
			did[o.Key] = o.Did
			if counts[o.Did]++; (o.Err != nil) != (o.Did == backends.Failed) {
				t.Errorf("%q: %s, %v", o.Key, o.Did, o.Err)
			}
		}
	}
	return did, counts, end
}

// TestExpireLeavesTheTokenAlone: a stale value waits for the first client that asks;
// we are none.
func TestExpireLeavesTheTokenAlone(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v)
		c, raw := openURL(t, target(s)), dialRaw(t, s)
		for _, only := range []backends.Condition{backends.Always, backends.OnlyShorten} {
			for _, key := range []string{"fresh", "stale", "taken", "never"} {
				raw.do("set %s 0 5000 1\r\nx", key)
			}
			raw.want("HD", "md stale I T4000")
			raw.want("HD", "md never I T0")
			raw.want("HD", "md taken I T4000")
			raw.do("mg taken t")
			_, counts, err := became(t, c.Expire(t.Context(), lasting(pagesOf(s.Addr, entriesOf("fresh", "stale", "taken", "never", "absent"), 2), 600*time.Second), only))
			if counts[backends.Changed] != 4 || counts[backends.Gone] != 1 || err != nil {
				t.Errorf("%q: %v, %v", only, counts, err)
			}
			for key, want := range map[string]string{"fresh": "HD", "stale": "HD X W", "taken": "HD Z X", "never": "HD X W"} {
				answer := raw.do("mg %s t", key)
				answer = strings.NewReplacer(" t600", "", " t599", "", " t598", "").Replace(answer)
				if answer != want {
					t.Errorf("%q: %s: %q, want %q", only, key, answer, want)
				}
			}
		}
	})
}

// TestExpireIsOwnedUpTo: what the server counts is what we say.
func TestExpireIsOwnedUpTo(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v)
		raw := dialRaw(t, s)
		raw.fill("k", 500, 10)
		for _, only := range []backends.Condition{backends.Always, backends.OnlyMissing} {
			c := openURL(t, target(s))
			count := func() (n int64) {
				for _, name := range []string{"get_hits", "get_misses"} {
					i, _ := strconv.ParseInt(raw.stat(name), 10, 64)
					n += i
				}
				return n
			}
			before := count()
			names := []string{"absent", "absent too"}
			for i := range 500 {
				names = append(names, fmt.Sprintf("k:%07d", i))
			}
			_, counts, err := became(t, c.Expire(t.Context(), lasting(pagesOf(s.Addr, entriesOf(names...), 100), time.Hour), only))
			if counts[backends.Gone] != 2 || err != nil {
				t.Errorf("%v, %v", counts, err)
			}
			if counted := count() - before; counted != c.Footprint() {
				t.Errorf("%q: the server counted %d lookups, we own up to %d", only, counted, c.Footprint())
			}
		}
	})
}

// TestExpireBeforeMeta: touch, and conditions are refused before anything is changed.
func TestExpireBeforeMeta(t *testing.T) {
	f := startFake(t, "1.4.39", func(command string, _ *bufio.Reader, w *bufio.Writer) bool {
		words := strings.Fields(command)
		switch {
		case words[0] == "gets" || words[0] == "get":
			w.WriteString("END\r\n")
		case words[0] != "touch" || len(words) != 3:
			w.WriteString("ERROR\r\n")
		case words[1] == "sick":
			w.WriteString("SERVER_ERROR out of memory\r\n")
		case words[1] == "no":
			w.WriteString("NOT_FOUND\r\n")
		default:
			w.WriteString("TOUCHED\r\n")
		}
		return true
	})
	c := quick(t, f)
	did, _, err := became(t, c.Expire(t.Context(), lasting(pagesOf(f.Addr, entriesOf("a", "no", "with space", "sick"), 2), 1500*time.Millisecond), backends.Always))
	want := map[string]backends.Verb{"a": backends.Changed, "no": backends.Gone, "with space": backends.Failed, "sick": backends.Failed}
	if !maps.Equal(did, want) || err != nil {
		t.Errorf("%v, %v", did, err)
	}
	if len(f.heard("touch a 2")) != 1 {
		t.Errorf("%q", f.heard("touch"))
	}
	var unsupported *backends.UnsupportedError
	did, _, err = became(t, c.Expire(t.Context(), lasting(pagesOf(f.Addr, entriesOf("a"), 2), time.Hour), backends.OnlyMissing))
	if !errors.As(err, &unsupported) || len(did) > 0 || len(f.heard("touch a")) != 1 {
		t.Errorf("%v, %v", did, err)
	}
	did, _, err = became(t, c.Stale(t.Context(), pagesOf(f.Addr, entriesOf("a"), 2), time.Minute))
	if !errors.As(err, &unsupported) || len(did) > 0 || len(f.heard("delete")) > 0 {
		t.Errorf("%v, %v", did, err)
	}
}

// TestExpireGarbage: nothing counts as changed that the server did not say is.
func TestExpireGarbage(t *testing.T) {
	for _, answer := range []string{"HD", "HD t5", "HD O0", "HD t5 c1 O7", "HD t5 c1 Ox", "VA 1 t5 O0", "OK", "", "HD t5 c1 O0 O1", "TOUCHED"} {
		f := startFake(t, "1.6.38", func(command string, _ *bufio.Reader, w *bufio.Writer) bool {
			switch {
			case strings.HasPrefix(command, "md "):
				w.WriteString("NF O0\r\n")
			case command == "mn":
				w.WriteString("MN\r\n")
			case strings.HasPrefix(command, "me "):
				w.WriteString("EN\r\n")
			default:
				w.WriteString(answer + "\r\n")
			}
			return true
		})
		did, _, err := became(t, quick(t, f).Expire(t.Context(), lasting(pagesOf(f.Addr, entriesOf("a"), 1), time.Hour), backends.Always))
		if did["a"] != backends.Failed || err == nil {
			t.Errorf("%q: %v, %v", answer, did, err)
		}
	}
}

// TestStale: afterwards the value is served, to meta clients as stale, and the first of
// them is told to bring a new one.
func TestStale(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v)
		c, raw := openURL(t, target(s)), dialRaw(t, s)
		raw.fill("k", 2500, 10)
		raw.want("STORED", "set other 0 0 1\r\nx")
		names := []string{"absent", "with space"}
		for i := range 2500 {
			names = append(names, fmt.Sprintf("k:%07d", i))
		}
		if err := c.Set(t.Context(), "with space", []byte("v"), 0); err != nil {
			t.Fatal(err)
		}
		_, counts, err := became(t, c.Stale(t.Context(), pagesOf(s.Addr, entriesOf(names...), 700), 30*time.Second))
		if counts[backends.Staled] != 2501 || counts[backends.Gone] != 1 || len(counts) != 2 || err != nil {
			t.Fatalf("%v, %v", counts, err)
		}
		for _, key := range []string{"k:0000000", "k:0001999", "k:0002499", "d2l0aCBzcGFjZQ== b"} {
			first, second := raw.do("mg %s t", key), raw.do("mg %s t", key)
			if !strings.HasSuffix(first, " X W") || !strings.HasSuffix(second, " Z X") || !strings.Contains(first, " t30") && !strings.Contains(first, " t29") {
				t.Errorf("%s: %q, then %q", key, first, second)
			}
		}
		raw.want("VALUE k:0000001 0 10", "get k:0000001") // classic clients are not told
		raw.readLine()
		raw.readLine()
		raw.want("HD t-1", "mg other t")
		// A new value is a value like any other.
		raw.want("HD", "ms k:0000000 1\r\ny")
		raw.want("HD t-1", "mg k:0000000 t")
		for _, err := range c.Stale(t.Context(), pagesOf(s.Addr, entriesOf("other"), 1), 0) {
			if err == nil {
				t.Error("stale for no time was taken")
			}
		}
		raw.want("HD t-1", "mg other t")
	})
}

// TestStaleUnchanged: what was written again since it was seen stays fresh.
func TestStaleUnchanged(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v)
		c, raw := openURL(t, target(s)), dialRaw(t, s)
		raw.fill("k", 300, 10)
		pages := func(yield func(backends.Page, error) bool) {
			for page, err := range c.Scan(t.Context(), backends.Query{Match: "k:*", Want: backends.FactGuard}) {
				for _, e := range page.Entries {
					if strings.HasSuffix(e.Key, "7") {
						raw.want("STORED", "set %s 0 0 1\r\ny", e.Key)
					}
				}
				if !yield(page, err) {
					return
				}
			}
		}
		_, counts, _ := became(t, c.Stale(t.Context(), pages, time.Minute))
		if counts[backends.Staled] != 270 || counts[backends.Kept] != 30 {
			t.Errorf("%v, want 270 stale and 30 kept", counts)
		}
		raw.want("HD t-1", "mg k:0000007 t")
	})
}

// FuzzExpireCommands: whatever keys and TTLs are, each command is one line about that key,
// and none deletes.
func FuzzExpireCommands(f *testing.F) {
	for i, key := range hostileKeys() {
		f.Add(key, int64(i)*int64(time.Hour))
	}
	f.Fuzz(func(t *testing.T, key string, ttl int64) {
		s := newSheet(&errand{expires: true}, backends.Page{Entries: []backends.Entry{{Key: key, TTL: time.Duration(ttl)}, {Key: key, TTL: backends.NoTTL}}})
		for _, how := range []manner{asking, touching, returning, byTouch} {
			l := &lane{node: &node{addr: "h:1"}, manner: how, asks: byMe, known: profile{clocked: true}}
			b := &batch{part: &part{sheet: s, lane: l, did: make([]verdict, 2), open: s.live}, first: 7, cas: []uint64{3, 4}}
			if b.fill(0, how) != 2 || len(b.exps) != len(b.entries) {
				t.Fatalf("%d entries, %d times", len(b.entries), len(b.exps))
			}
			lines := strings.SplitAfter(string(b.encode(nil, l)), "\r\n")
			if len(lines) != len(b.entries)+1 {
				t.Fatalf("%q", lines)
			}
			for i, line := range lines[:len(b.entries)] {
				line = strings.TrimSuffix(line, "\r\n")
				words := strings.Split(line, " ")
				want := map[manner]string{asking: "me", touching: "mg", returning: "md", byTouch: "touch"}[how]
				if strings.ContainsAny(line, "\r\n\x00") || words[0] != want || len(words[1]) > maxKey || how == returning && !strings.Contains(line, " I T") {
					t.Fatalf("%q", line)
				}
				if exp := b.exps[i]; exp < 0 || exp == 0 && s.ttls[b.entries[i]] != backends.NoTTL || strings.Contains(line, " T-") {
					t.Fatalf("%q: %d for %v", line, exp, s.ttls[b.entries[i]])
				}
			}
		}
	})
}

// FuzzExpireAnswers: whatever a server says, no key has two verdicts, and in a batch that
// was not answered to its end none.
func FuzzExpireAnswers(f *testing.F) {
	for _, text := range []string{
		"HD t5 c1 O7\r\nEN\r\nEN O9\r\n", "HD t5 c9 O7 X W\r\nHD t-1 c1 O8\r\nHD t5 c1 O9 Z X\r\n", "ME a exp=5 la=0\r\nEN\r\nME c exp=-1\r\n",
		"HD O7\r\nNF O8\r\nEX O9\r\n", "TOUCHED\r\nNOT_FOUND\r\nSERVER_ERROR x\r\n", "HD t\r\n", "HD  t5\r\n", "HD t5 O99\r\n", "\r\n", "",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, how := range []manner{asking, touching, returning, byTouch} {
			s := newSheet(&errand{expires: true, only: backends.OnlyExtend}, backends.Page{Entries: []backends.Entry{{Key: "a", TTL: 1e10}, {Key: "b", TTL: backends.NoTTL}, {Key: "c", TTL: 1e9}}})
			l := &lane{node: &node{addr: "h:1"}, run: &deletion{cache: &cache{lookups: new(atomic.Int64)}}, manner: how, asks: byMe}
			p := &part{sheet: s, lane: l, did: make([]verdict, 3), open: 3}
			b := &batch{part: p, first: 7, cas: []uint64{1, 2, 3}}
			b.fill(0, how)
			if err := b.read(heard(text), how); err != nil {
				if p.open != 3 || p.did[0]+p.did[1]+p.did[2] != 0 {
					t.Fatalf("%v, %v", p.did, err)
				}
				continue
			}
			left := 0
			if next := b.commit(how); next != nil {
				left = len(next.entries)
				if len(next.exps) != left || len(next.said) != left || next.how == returning && len(next.cas) != left {
					t.Fatalf("%+v", next)
				}
			}
			if p.open != left {
				t.Fatalf("%d open, %d to go on with", p.open, left)
			}
		}
	})
}

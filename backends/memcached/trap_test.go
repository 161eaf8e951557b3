package memcached

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// Each test here is a trap that real servers lay, and is run against them.

// TestReadTakesNoRecacheToken: of a stale item one client is told to recompute
// it (W); had we been told, nobody would.
func TestReadTakesNoRecacheToken(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v)
		r, c := dialRaw(t, s), openURL(t, target(s))
		r.want("HD", "ms stale 3 T600\r\nabc")
		r.want("HD", "md stale I T300")
		got, err := c.Read(t.Context(), "stale", backends.Window{})
		if err != nil || string(got.Data) != "abc" {
			t.Fatalf("%q, %v", got.Data, err)
		}
		for range c.Inspect(t.Context(), backends.AllFacts, one("stale")) {
		}
		list(c, backends.Query{Want: backends.AllFacts})
		if answer := r.do("mg stale s"); !strings.Contains(answer, " W") {
			t.Errorf("the next client gets %q: its token was taken", answer)
		}
	})
}

func one(keys ...string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, key := range keys {
			if !yield(key) {
				return
			}
		}
	}
}

// TestLookingLeavesNoMark: facts by me and by the dump count no hit, do not
// mark an item as read, and do not move it.
func TestLookingLeavesNoMark(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v)
		r, c := dialRaw(t, s), openURL(t, target(s))
		r.want("STORED", "set k 5 600 3\r\nabc")
		before := r.stat("get_hits") + r.stat("get_misses") + r.stat("cmd_get") + r.stat("cmd_touch")
		for range c.Inspect(t.Context(), backends.AllFacts, one("k", "not there", "k")) {
		}
		list(c, backends.Query{Want: backends.AllFacts})
		if after := r.stat("get_hits") + r.stat("get_misses") + r.stat("cmd_get") + r.stat("cmd_touch"); after != before {
			t.Errorf("counters went from %s to %s", before, after)
		}
		if answer := r.do("me k"); !strings.Contains(answer, "fetch=no") {
			t.Errorf("marked as read: %s", answer)
		}
		got, err := c.Read(t.Context(), "k", backends.Window{})
		want := []backends.Detail{{Name: "node", Value: s.Addr}, {Name: "client_flags", Value: uint64(5)}, {Name: "cas", Value: uint64(1)},
			{Name: "slab_class", Value: int64(1)}, {Name: "chunk_bytes", Value: int64(96)}, {Name: "fetched", Value: false}}
		if err != nil || !got.Touched || got.Size != 67 || len(got.Details) != len(want) {
			t.Fatalf("%+v, %v", got, err)
		}
		for i, d := range got.Details {
			if d.Name != "cas" && d != want[i] {
				t.Errorf("%+v, want %+v", d, want[i])
			}
		}
	})
}

// TestFactsOfRealItems: sizes, TTLs and idle times against what was stored.
func TestFactsOfRealItems(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v)
		r, c := dialRaw(t, s), openURL(t, target(s))
		r.want("STORED", "set ttl 0 100 50\r\n%050d", 0)
		r.want("STORED", "set flagged 7 0 50\r\n%050d", 0)
		r.want("HD", "ms %s 50 b T100\r\n%050d", base64.StdEncoding.EncodeToString([]byte("a b")), 0)
		time.Sleep(1100 * time.Millisecond)
		l := list(c, backends.Query{Want: backends.AllFacts})
		inspected := make(map[string]backends.Entry)
		for e, err := range c.Inspect(t.Context(), backends.AllFacts, one("ttl", "flagged", "a b")) {
			if backends.Ends(err) {
				t.Fatal(err)
			}
			inspected[e.Key] = e
		}
		if len(l.entries) != 3 {
			t.Fatalf("%q, %v", l.keys(), l.err)
		}
		for _, e := range l.entries {
			in := inspected[e.Key]
			if in.Size != e.Size || (in.TTL-e.TTL).Abs() > time.Second || (in.Idle-e.Idle).Abs() > time.Second {
				t.Errorf("a dump says %+v, me %+v", e, in)
			}
			wantTTL, size := 99*time.Second, int64(56+len(e.Key)+1+50+2)
			if e.Key == "flagged" {
				wantTTL, size = backends.NoTTL, size+4
			}
			if (e.TTL-wantTTL).Abs() > 2*time.Second || e.Size != size || e.Idle > 3*time.Second {
				t.Errorf("%+v, want TTL %v and size %d", e, wantTTL, size)
			}
			if told := e.Have.Has(backends.FactElements); told != parseVersion(v.Number).atLeast(1, 6, 24) || told && e.Elements != 50 {
				t.Errorf("%q: value of %d bytes (have %v), want 50", e.Key, e.Elements, e.Have)
			}
		}
	})
}

// TestTooBigIsRefusedBeforeItDeletes: a server that is sent more than it takes
// drops what the key had. The limit is exact.
func TestTooBigIsRefusedBeforeItDeletes(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v)
		r, c := dialRaw(t, s), openURL(t, target(s))
		most := 1<<20 - 56 - 2 - 2
		if err := c.Set(t.Context(), "k", make([]byte, most), 0); err != nil {
			t.Errorf("the biggest value: %v", err)
		}
		err := c.Set(t.Context(), "k", make([]byte, most+1), 0)
		if err == nil || !strings.Contains(err.Error(), "keeps what it has") {
			t.Errorf("one byte more: %v", err)
		}
		if answer := r.do("mg k s"); answer != fmt.Sprintf("HD s%d", most) {
			t.Errorf("the key has now %q", answer)
		}
	})
}

// TestTTLBeyond30Days: on the wire that is a date, and 31 days one in 1970.
func TestTTLBeyond30Days(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v)
		c := openURL(t, target(s))
		for _, ttl := range []time.Duration{time.Millisecond, time.Minute, 30 * 24 * time.Hour, 30*24*time.Hour + 1, 365 * 24 * time.Hour} {
			for _, key := range []string{"plain", "by base64"} {
				if err := c.Set(t.Context(), key, nil, ttl); err != nil {
					t.Fatal(err)
				}
				got, err := c.Read(t.Context(), key, backends.Window{})
				if err != nil || got.TTL > ttl+time.Second || got.TTL < ttl-2*time.Second || got.TTL == backends.NoTTL && ttl > time.Second {
					t.Errorf("%v: TTL is %v, %v", ttl, got.TTL, err)
				}
			}
		}
		for _, ttl := range []time.Duration{100 * 365 * 24 * time.Hour, -time.Minute} {
			if err := c.Set(t.Context(), "k", nil, ttl); err == nil {
				t.Errorf("%v was taken", ttl)
			}
		}
	})
}

// TestNothingIsInjected: what is no key never reaches the server. 1.6.18 carries
// out the value of a set whose key it refuses.
func TestNothingIsInjected(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v)
		r, c := dialRaw(t, s), openURL(t, target(s))
		r.want("STORED", "set witness 0 0 1\r\nx")
		for _, key := range []string{"", strings.Repeat("k", 251), strings.Repeat("\x01", 187), strings.Repeat("k", 1<<20)} {
			if err := c.Set(t.Context(), key, []byte("\r\nflush_all\r\n"), 0); err == nil {
				t.Errorf("a key of %d bytes was taken", len(key))
			}
			if _, err := c.Get(t.Context(), key); err == nil {
				t.Errorf("Get of a key of %d bytes worked", len(key))
			}
			if _, err := c.Read(t.Context(), key, backends.Window{}); err == nil {
				t.Errorf("Read of a key of %d bytes worked", len(key))
			}
			for range c.Inspect(t.Context(), backends.AllFacts, one(key)) {
			}
		}
		for _, key := range []string{"x\r\nflush_all\r\ny", "x flush_all", "a\nb"} {
			if err := c.Set(t.Context(), key, []byte("\r\nflush_all\r\n"), 0); err != nil {
				t.Error(err)
			}
			if got, err := c.Get(t.Context(), key); err != nil || string(got) != "\r\nflush_all\r\n" {
				t.Errorf("%q, %v", got, err)
			}
		}
		if answer := r.do("mg witness s"); answer != "HD s1" || r.stat("cmd_flush") != "0" {
			t.Errorf("witness: %s, cmd_flush %s", answer, r.stat("cmd_flush"))
		}
	})
}

// TestAuthentication: credentials go to who asks for them, and to nobody else.
func TestAuthentication(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s, plain := startAuth(t, v), start(t, v)
		for user, want := range map[string]error{
			"app:secret@": nil, "other:pass-word@": nil, "app:wrong-secret@": backends.ErrAuth, "nobody:secret@": backends.ErrAuth, "": backends.ErrAuth,
		} {
			b, err := Open(t.Context(), parsed(t, "memcached://"+user+s.Addr))
			if !errors.Is(err, want) {
				t.Errorf("%q: %v, want %v", user, err, want)
			}
			if err == nil {
				b.Close()
			} else if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error shows the password: %v", err)
			}
		}
		// The leak: a server without -Y would store the password as a value.
		if _, err := Open(t.Context(), parsed(t, "memcached://app:secret@"+plain.Addr)); !errors.Is(err, backends.ErrAuth) {
			t.Errorf("a server without authentication: %v", err)
		}
		r := dialRaw(t, plain)
		if r.stat("cmd_set") != "0" || r.stat("total_items") != "0" {
			t.Error("the password was sent to a server that did not ask for it")
		}
	})
}

// TestTLSMismatch: plain to TLS and the other way round: an error with a hint, no hanging.
func TestTLSMismatch(t *testing.T) {
	v := servers.Memcacheds(t)[0]
	s, plain := servers.Memcached(t, v, servers.Options{TLS: true}), start(t, v)
	for _, raw := range []string{
		"memcached://" + s.Addr + "?timeout=300ms", "memcacheds://" + s.Addr + "?timeout=1s", "memcacheds://" + plain.Addr + "?timeout=300ms",
		"memcacheds://" + s.Addr + "?timeout=1s&tls_ca=" + s.CA, // no client certificate
	} {
		if b, err := Open(t.Context(), parsed(t, raw)); !errors.Is(err, backends.ErrUnreachable) {
			t.Errorf("%s: %v, want ErrUnreachable", raw, err)
			if err == nil {
				b.Close()
			}
		}
	}
	b, err := Open(t.Context(), parsed(t, "memcacheds://"+s.Addr+"?tls_skip_verify=true&tls_cert="+s.Cert+"&tls_key="+s.Key))
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
}

// TestCommandsTakenAway: -X forbids dumps, the crawler may be off; everything
// else goes on.
func TestCommandsTakenAway(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		for _, s := range []*servers.Server{start(t, v, "-X"), start(t, v, "-o", "no_lru_crawler")} {
			c := openURL(t, target(s))
			if err := c.Set(t.Context(), "k", []byte("v"), 0); err != nil {
				t.Fatal(err)
			}
			if l := list(c, backends.Query{}); !errors.Is(l.err, backends.ErrDenied) || !strings.Contains(l.err.Error(), "cannot be listed") {
				t.Errorf("%v", l.err)
			}
			if got, err := c.Read(t.Context(), "k", backends.Window{}); err != nil || string(got.Data) != "v" {
				t.Errorf("%q, %v", got.Data, err)
			}
		}
	})
}

// TestDuplicatesAcrossNodes: a key on two nodes is a finding.
func TestDuplicatesAcrossNodes(t *testing.T) {
	v := servers.Memcacheds(t)[0]
	a, b := start(t, v), start(t, v)
	c := openURL(t, target(a, b))
	for i, s := range []*servers.Server{a, b} {
		dialRaw(t, s).want("STORED", "set twice 0 0 1\r\n%d", i)
	}
	away := b // where gomemcache would not look
	if c.home("away").addr == b.Addr {
		away = a
	}
	dialRaw(t, away).want("STORED", "set away 0 0 4\r\nfar!")
	v1, err := c.Read(t.Context(), "twice", backends.Window{})
	if err != nil || string(v1.Data) != "0" || len(v1.Notices) == 0 || !strings.Contains(v1.Notices[0].Error(), a.Addr) || v1.Notices[0].Shard != b.Addr {
		t.Errorf("%q, %v, %v", v1.Data, v1.Notices, err)
	}
	var notices, entries int
	for e, err := range c.Inspect(t.Context(), backends.FactTTL, one("twice", "away", "no")) {
		if err != nil {
			notices++
		} else if e.Key != "" {
			entries++
		}
	}
	if notices != 1 || entries != 2 {
		t.Errorf("Inspect: %d notices, %d entries", notices, entries)
	}
	if got, err := c.Get(t.Context(), "away"); err != nil || string(got) != "far!" {
		t.Errorf("%q, %v", got, err)
	}
	// A Set goes where the key is, so that it makes no duplicate.
	if err := c.Set(t.Context(), "away", []byte("new"), 0); err != nil {
		t.Fatal(err)
	}
	if l := list(c, backends.Query{Match: "away"}); len(l.entries) != 1 {
		t.Errorf("%d nodes hold it now", len(l.entries))
	}
	b.Kill()
	if _, err := c.Read(t.Context(), "no", backends.Window{}); errors.Is(err, backends.ErrMiss) || err == nil {
		t.Errorf("with a lost node: %v, which may have it", err)
	}
	if _, err := c.Stats(t.Context()); err == nil {
		t.Error("Stats does not tell of the lost node")
	}
}

// TestConsumerMayTalkToTheServer: a command for every key in mid-walk, which
// deadlocks 1.6.18 where the walk holds a lock (after about 3,900 keys).
func TestConsumerMayTalkToTheServer(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v)
		dialRaw(t, s).fill("d", 20_000, 10)
		c := openURL(t, target(s))
		deleter := dialRaw(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		gone := 0
		for page, err := range c.Scan(ctx, backends.Query{Count: 100}) {
			if backends.Ends(err) {
				t.Fatal(err)
			}
			for _, e := range page.Entries {
				if deleter.do("delete %s", e.Key) == "DELETED" {
					gone++
				}
			}
		}
		if gone != 20_000 {
			t.Errorf("%d keys deleted, want 20000", gone)
		}
	})
}

// TestWordsWeDoNotHave: no source file but this package's comments and tests
// has a command that changes the server or is known to harm it.
func TestWordsWeDoNotHave(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	literal := regexp.MustCompile("\"(?:[^\"\\\\\\n]|\\\\.)*\"|`[^`]*`")
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			if bytes.HasPrefix(bytes.TrimSpace(line), []byte("//")) {
				continue
			}
			for _, word := range literal.FindAllString(string(line), -1) {
				for _, bad := range []string{"flush_all", " reset", " sizes", "slabs reassign", "slabs automove", "lru ", "lru_crawler crawl", "lru_crawler sleep", "lru_crawler enable",
					"shutdown", "verbosity", "cache_memlimit", "cachedump", "mgdump", "stats detail", "debugtime", "watch"} {
					if strings.Contains(word, bad) {
						t.Errorf("%s: %s", file, word)
					}
				}
			}
		}
	}
}

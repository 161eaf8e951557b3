package loadgen

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
	"github.com/cachectl/cachectl/backends/memcached"
)

// TestFillStopsAtAnothersKey: it stays as it is, and what was written before it is gone afterwards. Filling reads nothing.
func TestFillStopsAtAnothersKey(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, c Config) {
		s, d := single(t)
		k := client(t, s)
		const keys, theirs = 30_000, 20_000
		c.Dialer, c.Connections = d, 3
		c.Traffic = uniform(keys, Mix{Read: 1}, Phase{Length: time.Second, Rate: 1000})
		c.Traffic.TTLs = TTLs{Min: time.Hour}
		for _, at := range []int{theirs, keys - 1, 0} {
			c.Written = NewWritten(keys)
			name := "key:" + strconv.Itoa(at)
			if err := k.Set(t.Context(), name, "another's", 0).Err(); err != nil {
				t.Fatal(err)
			}
			if err := Fill(t.Context(), c, nil); !errors.Is(err, ErrTaken) {
				t.Fatalf("key %d: %v", at, err)
			}
			if n := k.DBSize(t.Context()).Val(); c.Written.has(uint64(at)) || c.Written.Count() != uint64(n-1) || (n > 1) != (at > 0) {
				t.Errorf("key %d: %d keys, %d known, that one: %t", at, n, c.Written.Count(), c.Written.has(uint64(at)))
			}
			if err := RemoveWritten(t.Context(), c, nil); err != nil {
				t.Error(err)
			}
			if left := k.Keys(t.Context(), "*").Val(); len(left) != 1 || left[0] != name || k.Get(t.Context(), name).Val() != "another's" || k.TTL(t.Context(), name).Val() >= 0 {
				t.Errorf("key %d: left: %.200q", at, left)
			}
			k.FlushAll(t.Context())
		}
		if calls := commandCalls(t, k); calls["get"] != 3 { // the test's own
			t.Errorf("the server counted %v", calls)
		}
	})
}

// TestFillStopsOnMemcached: as on Redis.
func TestFillStopsOnMemcached(t *testing.T) {
	t.Parallel()
	mc := servers.Memcached(t, servers.Memcacheds(t)[0], servers.Options{})
	b, err := memcached.Open(t.Context(), &url.URL{Scheme: "memcached", Host: mc.Addr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	store := b.(backends.Store)
	const keys = 5000
	c := Config{Dialer: b.(backends.Dialer), Prefix: "key:", Settle: time.Minute, Written: NewWritten(keys)}
	c.Traffic = uniform(keys, Mix{Read: 1}, Phase{Length: time.Second, Rate: 1000})
	if err := store.Set(t.Context(), "key:4000", []byte("another's"), 0); err != nil {
		t.Fatal(err)
	}
	if err := Fill(t.Context(), c, nil); !errors.Is(err, ErrTaken) {
		t.Fatal(err)
	}
	if err := RemoveWritten(t.Context(), c, nil); err != nil {
		t.Error(err)
	}
	for i := range keys {
		got, err := store.Get(t.Context(), "key:"+strconv.Itoa(i))
		if i == 4000 && string(got) != "another's" || i != 4000 && !errors.Is(err, backends.ErrMiss) {
			t.Fatalf("key %d: %.20q, %v", i, got, err)
		}
	}
}

// TestTwoFillsAtOnce: one of them gets all keys, the other none, however they meet.
func TestTwoFillsAtOnce(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, c Config) {
		s, d := single(t)
		k := client(t, s)
		const keys = 3000
		c.Dialer, c.Connections = d, 3
		c.Traffic = uniform(keys, Mix{Read: 1}, Phase{Length: time.Second, Rate: 1000})
		for round := range 10 {
			var errs [2]error
			var both [2]Config
			var filling sync.WaitGroup
			for i := range both {
				both[i] = c
				both[i].Written = NewWritten(keys)
				filling.Go(func() { errs[i] = Fill(t.Context(), both[i], nil) })
			}
			filling.Wait()
			won, lost := 0, 1
			if errs[0] != nil {
				won, lost = 1, 0
			}
			if errs[won] != nil || !errors.Is(errs[lost], ErrTaken) {
				t.Fatalf("round %d: %v and %v", round, errs[0], errs[1])
			}
			if err := RemoveWritten(t.Context(), both[lost], nil); err != nil {
				t.Error(err)
			}
			if n := k.DBSize(t.Context()).Val(); n != keys || both[won].Written.Count() != keys || both[lost].Written.Count() != 0 {
				t.Fatalf("round %d: %d keys, %d and %d known", round, n, both[won].Written.Count(), both[lost].Written.Count())
			}
			if err := RemoveWritten(t.Context(), both[won], nil); err != nil || k.DBSize(t.Context()).Val() != 0 {
				t.Errorf("round %d: %v", round, err)
			}
		}
	})
}

// A forgetful dialer's connections lose answers: the first cut of them break when the server has answered.
type forgetful struct {
	backends.Dialer
	cuts atomic.Int32
	act  func() // then
}

func (f *forgetful) DialNode(ctx context.Context, node string) (net.Conn, backends.Dialect, error) {
	conn, d, err := f.Dialer.DialNode(ctx, node)
	return &forgetfulConn{conn, f}, d, err
}

type forgetfulConn struct {
	net.Conn
	of *forgetful
}

func (c *forgetfulConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && c.of.cuts.Add(-1) >= 0 {
		if c.of.act != nil {
			c.of.act()
		}
		return 0, io.EOF
	}
	return n, err
}

func losing(t *testing.T, cuts int32) (Config, *forgetful, *goredis.Client) {
	s, d := single(t)
	f := &forgetful{Dialer: d}
	f.cuts.Store(cuts)
	c := Config{Dialer: f, Prefix: "key:", Settle: time.Minute, Connections: 3, Written: NewWritten(5000)}
	c.Traffic = uniform(5000, Mix{Read: 1}, Phase{Length: time.Second, Rate: 1000})
	return c, f, client(t, s)
}

// TestFillLosesAnswers: what was written without an answer is known by its value, and is this run's.
func TestFillLosesAnswers(t *testing.T) {
	t.Parallel()
	for _, large := range []bool{false, true} {
		c, f, k := losing(t, 5) // of them the first key's
		if large {
			c.Traffic.Keys.N, c.Traffic.Sizes = 7, Sizes{Law: Range, Min: 1, Max: 3 << 20}
		}
		if err := Fill(t.Context(), c, nil); err != nil || f.cuts.Load() >= 0 {
			t.Fatalf("%v; %d cuts are left", err, f.cuts.Load())
		}
		if n := k.DBSize(t.Context()).Val(); uint64(n) != c.Traffic.Keys.N || c.Written.Count() != c.Traffic.Keys.N {
			t.Errorf("%d keys, %d known", n, c.Written.Count())
		}
		if err := RemoveWritten(t.Context(), c, nil); err != nil || k.DBSize(t.Context()).Val() != 0 {
			t.Errorf("%v, %d are left", err, k.DBSize(t.Context()).Val())
		}
	}
}

// TestFillLosesAnswerAndKey: where the answer is lost and another value is there, the key is not this run's.
func TestFillLosesAnswerAndKey(t *testing.T) {
	t.Parallel()
	c, f, k := losing(t, 1)
	f.act = func() { k.Set(context.Background(), "key:0", "another's", 0) }
	if err := Fill(t.Context(), c, nil); !errors.Is(err, ErrTaken) {
		t.Fatal(err)
	}
	if err := RemoveWritten(t.Context(), c, nil); err != nil || k.DBSize(t.Context()).Val() != 1 || k.Get(t.Context(), "key:0").Val() != "another's" {
		t.Errorf("%v; left: %d", err, k.DBSize(t.Context()).Val())
	}
}

// TestFillEndsInDoubt: what a fill that is cancelled may have written is looked at when its keys are removed.
func TestFillEndsInDoubt(t *testing.T) {
	t.Parallel()
	for _, others := range []bool{false, true} {
		c, f, k := losing(t, 1)
		ctx, cancel := context.WithCancel(t.Context())
		f.act = func() {
			if others {
				k.Set(context.Background(), "key:0", "another's", 0)
			}
			cancel()
		}
		if err := Fill(ctx, c, nil); !errors.Is(err, context.Canceled) || c.Written.Count() != 0 || k.DBSize(t.Context()).Val() != 1 {
			t.Fatalf("%v; there: %d", err, k.DBSize(t.Context()).Val())
		}
		if err := RemoveWritten(ctx, c, nil); err != nil || (k.DBSize(t.Context()).Val() == 1) != others {
			t.Errorf("another's %t: %v; left: %d", others, err, k.DBSize(t.Context()).Val())
		}
	}
}

// TestNothingToRemove: where nothing was written, or all was refused, nobody is asked to remove it.
func TestNothingToRemove(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, c Config) {
		s, d := single(t)
		k := client(t, s)
		k.ConfigSet(t.Context(), "maxmemory", "1")
		c.Dialer, c.Connections, c.Written = d, 3, NewWritten(100)
		c.Traffic = uniform(100, Mix{Write: 1}, Phase{Length: 100 * time.Millisecond, Rate: 1000})
		if err := Fill(t.Context(), c, nil); err == nil || !strings.Contains(err.Error(), "fill: 100 keys failed: OOM ") {
			t.Errorf("%v", err)
		}
		if r := send(t, c); r.Tallies[Write].Refused == 0 {
			t.Errorf("%+v", r.Tallies[Write])
		}
		s.Stop()
		if err := RemoveWritten(t.Context(), c, nil); err != nil {
			t.Error(err)
		}
	})
}

// TestTaken: it is told by the first of the keys that is there.
func TestTaken(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, c Config) {
		s, d := single(t)
		c.Dialer, c.Connections = d, 3
		c.Traffic = uniform(1000, Mix{Read: 1}, Phase{Length: time.Second, Rate: 1000})
		if taken, err := Taken(t.Context(), c, nil); taken || err != nil {
			t.Errorf("%t, %v", taken, err)
		}
		client(t, s).Set(t.Context(), "key:999", "x", 0)
		if taken, err := Taken(t.Context(), c, nil); !taken || err != nil {
			t.Errorf("%t, %v", taken, err)
		}
	})
}

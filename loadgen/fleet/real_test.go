package fleet

import (
	"context"
	"errors"
	"math"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
	"github.com/cachectl/cachectl/backends/memcached"
	"github.com/cachectl/cachectl/backends/redis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// long tells whether there is time for what takes it.
func long() bool { return os.Getenv("CACHECTL_LONG") != "" }

// A place is a real server to run on.
type place struct {
	backends.Backend
	server *servers.Server
	ttl    time.Duration // a short one that the server can count
}

func (p *place) stage() Stage {
	s := Stage{Cache: p.Backend.(backends.Dialer), Prefix: "fleet:", Size: 100, Tolerance: time.Minute}
	s.Subscriber, _ = p.Backend.(backends.Subscriber)
	return s
}

// keys is how many keys the server has.
func (p *place) keys(t *testing.T) uint64 {
	t.Helper()
	stats, err := p.Backend.(backends.StatsReader).Stats(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	sum := uint64(0)
	for _, s := range stats {
		sum += s.Counts[backends.Keys]
	}
	return sum
}

func opened(t testing.TB, open backends.Opener, scheme, addr string) backends.Backend {
	t.Helper()
	b, err := open(context.Background(), &url.URL{Scheme: scheme, Host: addr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func onRedis(t testing.TB) *place {
	t.Helper()
	s := servers.Redis(t, servers.Default(t), servers.Options{})
	return &place{opened(t, redis.Open, "redis", s.Addr), s, 300 * time.Millisecond}
}

func onMemcached(t testing.TB) *place {
	t.Helper()
	s := servers.Memcached(t, servers.Memcacheds(t)[0], servers.Options{})
	return &place{opened(t, memcached.Open, "memcached", s.Addr), s, 2 * time.Second}
}

// played runs and makes sure that nothing is left behind.
func played(t *testing.T, p *place, c Config, s Stage) *Measured {
	t.Helper()
	m, err := Real(t.Context(), c, s)
	if err != nil {
		t.Fatal(err)
	}
	if n := p.keys(t); n != 0 || m.Left != 0 {
		t.Errorf("%d keys are left behind, and %d are told", n, m.Left)
	}
	if len(m.Invalid) > 0 || m.Unserved > 0 || m.Foreign > 0 || m.Broken > 0 {
		t.Errorf("invalid %q, %d unserved, %d foreign, %d broken", m.Invalid, m.Unserved, m.Foreign, m.Broken)
	}
	served := m.GaveUp + m.Crashed
	for _, n := range m.Served {
		served += n
	}
	if served != m.Reads+m.Writes || m.Reads == 0 {
		t.Errorf("%d reads and %d writes, and %d served", m.Reads, m.Writes, served)
	}
	return m
}

// hotKey is one key asked for at a rate, through some processes, at an origin that takes its time.
func hotKey(t *testing.T, p *place, name string, expiries int) Config {
	t.Helper()
	o := Defaults()
	o.TTL, o.Lock, o.Poll = p.ttl, 5*time.Second, 5*time.Millisecond
	return Config{Strategy: name, Maker: strategy(t, name, o), Processes: 4, Seed: 7, Source: poisson(7, 500, 1),
		Length: time.Duration(expiries) * (p.ttl + 50*time.Millisecond), Origin: Origin{Reads: Fixed(50 * time.Millisecond)}}
}

// TestRealOneFetchAnExpiry: who has a lock or a lease fetches alone, each time.
func TestRealOneFetchAnExpiry(t *testing.T) {
	for name, on := range map[string]func(testing.TB) *place{"lock": onRedis, "lock on memcached": onMemcached, "lease on memcached": onMemcached} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := on(t)
			name, _, _ := strings.Cut(name, " ")
			m := played(t, p, hotKey(t, p, name, 2), p.stage())
			if c := m.Cycles.Starts; c.Most != 1 || c.N == 0 || m.Origin.Reads != c.N+m.Cycles.Unfinished {
				t.Errorf("%d cycles with up to %d fetches, %d fetches in all; want 1 each", c.N, c.Most, m.Origin.Reads)
			}
			if m.Locks.Expired > 0 || m.Locks.Denied == 0 || m.Served[FromOther] == 0 || m.Served[WithError] > 0 {
				t.Errorf("%+v, served %v", m.Locks, m.Served)
			}
		})
	}
}

// TestRealEveryMissFetches: without protection every request that comes while the key is missing fetches, and with
// singleflight no more than there are processes.
func TestRealEveryMissFetches(t *testing.T) {
	places := map[string]func(testing.TB) *place{"redis": onRedis}
	if long() {
		places["memcached"] = onMemcached
	}
	for name, on := range places {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := on(t)
			m := played(t, p, hotKey(t, p, "none", 3), p.stage())
			// Each request is a hit, or a fetch of its own; how many fetch is the business of bench, where clocks are held to.
			if mean := m.Cycles.Starts.Mean(); mean < 8 || m.Origin.Reads != m.Served[FromOrigin] || m.Reads != m.Served[FromOrigin]+m.Served[FromCache] {
				t.Errorf("none: %.1f fetches an expiry, %d fetches for %d requests, served %v", mean, m.Origin.Reads, m.Reads, m.Served)
			}
			m = played(t, p, hotKey(t, p, "singleflight", 2), p.stage())
			if c := m.Cycles.Peak; c.Most < 2 || c.Most > 4 {
				t.Errorf("singleflight: up to %d fetches at once, want those of 4 processes", c.Most)
			}
		})
	}
}

// TestRealEarly: xfetch fetches before the end.
func TestRealEarly(t *testing.T) {
	t.Parallel()
	p := onRedis(t)
	m := played(t, p, hotKey(t, p, "xfetch", 6), p.stage())
	if m.Cycles.Early == 0 || m.Origin.Early == 0 || m.Cycles.Lead.Quantile(0.5) > p.ttl {
		t.Errorf("%d cycles began early, %d fetches, lead %v", m.Cycles.Early, m.Origin.Early, m.Cycles.Lead.Quantile(0.5))
	}
}

// TestRealAndVirtual: a run and its twin have the same requests, and their counts agree within three standard deviations, and what comes
// in the time that a busy machine leaves the key missing longer, or brings requests late.
func TestRealAndVirtual(t *testing.T) {
	names := []string{"none", "lock"}
	if long() {
		names = append(names, "singleflight", "swr", "xfetch", "stale-if-error")
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := onRedis(t)
			c := hotKey(t, p, name, 8)
			m := played(t, p, c, p.stage())
			c.Source = poisson(7, 500, 1)
			v := virtually(t, c)
			if m.Reads != v.Reads {
				t.Errorf("%d requests, and %d virtual ones", m.Reads, v.Reads)
			}
			a, b := &m.Cycles.Starts, &v.Cycles.Starts
			more := 500 * (math.Abs(m.Cycles.Missing.Mean().Seconds()-v.Cycles.Missing.Mean().Seconds()) + m.Late.Quantile(.99).Seconds())
			sigma := math.Sqrt(a.Variance()/float64(a.N) + b.Variance()/float64(b.N))
			if diff := math.Abs(a.Mean() - b.Mean()); diff > 3*sigma+more+1 {
				t.Errorf("%.1f fetches an expiry (%d), and virtually %.1f (%d); sigma %.2f, %.1f come later", a.Mean(), a.N, b.Mean(), b.N, sigma, more)
			}
			misses := float64(m.Reads) * (v.Hits() - m.Hits()) / float64(a.N)
			if math.Abs(misses) > 5+more+500*0.003 {
				t.Errorf("hit rate %.3f, and virtually %.3f: %.1f misses an expiry more", m.Hits(), v.Hits(), misses)
			}
			t.Logf("%.2f fetches an expiry (%d), virtually %.2f (%d); hits %.3f, %.3f; latency p99 %v, %v; late p99 %v", a.Mean(), a.N, b.Mean(), b.N,
				m.Hits(), v.Hits(), m.Latency.Quantile(.99), v.Latency.Quantile(.99), m.Late.Quantile(.99))
		})
	}
}

// TestRealCluster: a lock shares the node of its value, and every key has one fetch an expiry.
func TestRealCluster(t *testing.T) {
	t.Parallel()
	nodes := servers.Cluster(t, servers.Default(t), 3, 0, servers.Options{})
	p := &place{opened(t, redis.Open, "redis+cluster", nodes[0].Addr+","+nodes[1].Addr), nodes[0], 300 * time.Millisecond}
	c := hotKey(t, p, "lock", 3)
	c.Source = poisson(7, 1000, 20)
	s := p.stage()
	s.Lines = 2
	m := played(t, p, c, s)
	if n := m.Cycles.Starts; n.Most != 1 || n.N < 20 || m.Moved > 0 {
		t.Errorf("%d cycles with up to %d fetches, %d moved", n.N, n.Most, m.Moved)
	}
}

// TestRealNeedsLeases: what a cache cannot do is told before anything begins.
func TestRealNeedsLeases(t *testing.T) {
	p := onRedis(t)
	m, err := Real(t.Context(), hotKey(t, p, "lease", 1), p.stage())
	if err == nil || m != nil {
		t.Fatalf("leases on Redis: %+v, %v", m, err)
	}
}

// TestRealCancelled: a run that is broken off leaves nothing behind and tells what there was.
func TestRealCancelled(t *testing.T) {
	for name, on := range map[string]func(testing.TB) *place{"redis": onRedis, "memcached": onMemcached} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := on(t)
			why := errors.New("the caller's reason")
			for after, keys := range map[time.Duration]Key{700 * time.Millisecond: 100, 50 * time.Millisecond: 100_000, time.Millisecond: 100_001} {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				c := hotKey(t, p, "lock", 1000)
				c.Source = poisson(7, 2000, 500)
				c.Load = &Load{Keys: keys, Lifetime: Lifetime{TTL: time.Hour}}
				time.AfterFunc(after, func() { cancel(why) })
				m, err := Real(ctx, c, p.stage())
				if !errors.Is(err, why) || m != nil && ((m.Reads == 0) != (keys > 100) || len(m.Invalid) == 0) {
					t.Errorf("%+v, %v", m, err)
				}
				if n := p.keys(t); n != 0 {
					t.Errorf("%d keys are left behind", n)
				}
			}
		})
	}
}

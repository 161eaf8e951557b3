package fleet

import (
	"math"
	"testing"
	"time"

	"github.com/cachectl/cachectl/loadgen"
)

// staggered asks for each key only from a moment of its own on: what begins together stays in step for long.
type staggered struct {
	*arrivals
	opens []time.Duration // by key
}

// settled is the warm-up of all laws.
const settled = 20 * time.Second

func (s *staggered) Next(op *loadgen.Op) bool {
	for s.arrivals.Next(op) {
		if op.Due >= s.opens[op.Key] {
			return true
		}
	}
	return false
}

// a law is an experiment with Poisson traffic on keys that are all alike.
type law struct {
	reads, writes float64 // a second and key
	keys          int
	c             Config
}

// reports are those of the law's runs.
func (l law) reports(t *testing.T, runs int) []*Report {
	t.Helper()
	all := make([]*Report, runs)
	for i := range all {
		c := l.c
		c.Seed = uint64(i + 1)
		source := staggered{arrivals: poisson(c.Seed, (l.reads+l.writes)*float64(l.keys), uint64(l.keys))}
		source.writes = l.writes / (l.reads + l.writes)
		for range l.keys {
			source.opens = append(source.opens, time.Duration(source.random.Int64N(int64(settled))))
		}
		c.Source = &source
		if c.Length == 0 {
			c.Length = 200 * time.Second
		}
		c.Length, c.Warmup = c.Length+settled, settled
		all[i] = virtually(t, c)
	}
	return all
}

// holds tells that the mean over runs is what theory says, within three standard errors as the runs themselves show
// them, and that those are no more than the share tight of it: a wide band would prove nothing.
func holds(t *testing.T, what string, all []*Report, of func(*Report) float64, want, tight float64) {
	t.Helper()
	var sum, squares float64
	for _, r := range all {
		sum += of(r)
	}
	n := float64(len(all))
	mean := sum / n
	for _, r := range all {
		squares += (of(r) - mean) * (of(r) - mean)
	}
	se := math.Sqrt(squares / (n - 1) / n)
	t.Logf("%s: %.5f ± %.5f, theory %.5f", what, mean, se, want)
	if math.Abs(mean-want) > 3*se {
		t.Errorf("%s: %.5f is %.1f standard errors from %.5f", what, mean, math.Abs(mean-want)/se, want)
	}
	if se > tight*want {
		t.Errorf("%s: the standard error %.5f is too wide to tell", what, se)
	}
}

func servedAs(kinds ...Served) func(*Report) float64 {
	return func(r *Report) float64 {
		n := uint64(0)
		for _, k := range kinds {
			n += r.Served[k]
		}
		return float64(n) / float64(r.Reads)
	}
}

var (
	hits    = servedAs(FromCache)
	misses  = servedAs(FromOrigin)
	delayed = servedAs(FromOther)
)

// fetching is an origin whose fetches take d and see what was there when they began, and whose commits take no time.
func fetching(d time.Duration) Origin { return Origin{Reads: Fixed(d), Writes: &Law{}, Early: true} }

// TestTTLCache: Poisson reads at rate l, fixed TTL T, fetches of D.
func TestTTLCache(t *testing.T) {
	for _, s := range []struct{ l, T, D float64 }{{5, 2, 0.1}, {20, 1, 0.5}, {0.5, 3, 0.2}} {
		ttl, d := seconds(s.T), seconds(s.D)
		coalesced := law{reads: s.l, keys: 20, c: Config{Maker: CacheAside{Reading: Reading{TTL: ttl, Coalesce: true}}.Maker(), Origin: fetching(d)}}.reports(t, 16)
		cycle := 1 + s.l*(s.T+s.D)
		holds(t, "hits", coalesced, hits, s.l*s.T/cycle, 0.01)
		holds(t, "origin", coalesced, misses, 1/cycle, 0.01)
		holds(t, "delayed", coalesced, delayed, s.l*s.D/cycle, 0.04)

		// Every fetch sets, and the last of a cycle, A after the first on the average, sets last: the value lives A longer.
		each := law{reads: s.l, keys: 20, c: Config{Maker: CacheAside{Reading: Reading{TTL: ttl}}.Maker(), Origin: fetching(d)}}.reports(t, 16)
		A := s.D - (1-math.Exp(-s.l*s.D))/s.l
		holds(t, "misses, uncoalesced", each, misses, (1+s.l*s.D)/(1+s.l*(s.T+s.D+A)), 0.02)
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * 1e9) }

// TestSlidingTTL: a read hits if the one before it was less than T ago.
func TestSlidingTTL(t *testing.T) {
	l, T := 2.0, 0.7
	all := law{reads: l, keys: 20, c: Config{Maker: CacheAside{Reading: Reading{TTL: seconds(T), Sliding: true}}.Maker()}}.reports(t, 16)
	holds(t, "hits", all, hits, 1-math.Exp(-l*T), 0.01)
}

// TestCacheAside: reads at l, writes at m, TTL T, W from the origin's read to the set.
func TestCacheAside(t *testing.T) {
	for _, s := range []struct{ l, m, T, W float64 }{{5, 0.5, 4, 0.1}, {20, 0.2, 3, 0.1}, {1, 1, 10, 0.3}} {
		how := Reading{TTL: seconds(s.T), Coalesce: true}
		all := law{reads: s.l, writes: s.m, keys: 40, c: Config{Maker: CacheAside{Reading: how}.Maker(), Origin: fetching(seconds(s.W))}}.reports(t, 16)
		E := (1 - math.Exp(-s.m*s.T)) / s.m
		stale := 1 - math.Exp(-s.m*s.W)
		holds(t, "hits", all, hits, s.l*E/(1+s.l*(E+s.W)), 0.01)
		holds(t, "stale fills", all, staleFills, stale, 0.05)
		for _, r := range all {
			if r.Amplification() != 1 {
				t.Errorf("%d writes of the origin for %d", r.Origin.Writes, r.Served[Written])
			}
		}
	}
}

func staleFills(r *Report) float64 { return r.Consistency.StaleFillShare() }

// staleHits is the share of the answers from the cache that were stale; no other answer may be.
func staleHits(r *Report) float64 {
	return float64(r.Consistency.Stale[FromCache]) / float64(r.Served[FromCache])
}

// TestStaleSetRace: with m*W = 0.02, the share of stale fills bounds that of stale hits; where fills run side by side a later one
// mends what an earlier one spoiled, the more so the more there are. By lease nothing is spoiled.
func TestStaleSetRace(t *testing.T) {
	const m, W = 0.2, 0.1
	bound := 1 - math.Exp(-m*W)
	// A fetch that brings what is stale when it comes is served, too: count the hits only.
	origin := fetching(seconds(W))
	for _, s := range []struct {
		l         float64
		low, high float64 // of stale hits, uncoalesced
	}{{2, 0.8, 1}, {20, 0.7, 0.85}, {100, 0.55, 0.75}} {
		l := law{reads: s.l, writes: m, keys: 40, c: Config{Maker: CacheAside{Reading: Reading{TTL: 10 * time.Second}}.Maker(), Origin: origin}}
		if s.l > 50 {
			l.keys = 10
		}
		all := l.reports(t, 8)
		sum := Report{}
		for _, r := range all {
			sum.Merge(r)
		}
		t.Logf("l*W = %v: stale fills %.4f, stale reads %.4f of %.4f", s.l*W, sum.Consistency.StaleFillShare(), sum.StaleShare(), bound)
	}
}

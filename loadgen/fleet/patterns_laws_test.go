package fleet

import (
	"math"
	"testing"
	"time"

	"github.com/cachectl/cachectl/loadgen"
	"github.com/cachectl/cachectl/loadgen/theory"
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
			c.Length = 100 * time.Second
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
		expect := theory.Expiry{Rate: s.l, Fetch: d, TTL: ttl}
		holds(t, "hits", coalesced, hits, expect.Hits().Mean, 0.01)
		holds(t, "origin", coalesced, misses, expect.Fetching().Mean, 0.01)
		holds(t, "delayed", coalesced, delayed, expect.Delayed().Mean, 0.05)
		each := law{reads: s.l, keys: 20, c: Config{Maker: CacheAside{Reading: Reading{TTL: ttl}}.Maker(), Origin: fetching(d)}}.reports(t, 16)
		holds(t, "misses, uncoalesced", each, misses, expect.UncoalescedMissShare().Mean, 0.02)
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * 1e9) }

// TestSlidingTTL: a read hits if the one before it was less than T ago.
func TestSlidingTTL(t *testing.T) {
	l, T := 2.0, 0.7
	all := law{reads: l, keys: 20, c: Config{Maker: CacheAside{Reading: Reading{TTL: seconds(T), Sliding: true}}.Maker()}}.reports(t, 16)
	holds(t, "hits", all, hits, theory.Sliding(l, seconds(T)).Mean, 0.01)
}

// TestCacheAside: reads at l, writes at m, TTL T, W from the origin's read to the set.
func TestCacheAside(t *testing.T) {
	for _, s := range []struct{ l, m, T, W float64 }{{5, 0.5, 4, 0.2}, {15, 1, 3, 0.1}, {2, 1, 10, 0.3}} {
		how := Reading{TTL: seconds(s.T), Coalesce: true}
		all := law{reads: s.l, writes: s.m, keys: 30, c: Config{Maker: CacheAside{Reading: how}.Maker(), Origin: fetching(seconds(s.W))}}.reports(t, 16)
		expect := theory.Aside{Reads: s.l, Writes: s.m, Fill: seconds(s.W), Race: seconds(s.W), TTL: how.TTL}
		holds(t, "hits", all, hits, expect.Hits().Mean, 0.01)
		holds(t, "stale fills", all, staleFills, expect.StaleFills().Mean, 0.03)
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

// TestStaleSetRace: with m*W = 0.1, the share of stale fills bounds that of stale hits. Where fills of a key run side by
// side a later one mends what an earlier one spoiled, the more so the more there are. By lease nothing is spoiled.
func TestStaleSetRace(t *testing.T) {
	const m, W = 1.0, 0.1
	bound := theory.Aside{Writes: m, Race: seconds(W)}.StaleFills().Mean
	race := func(l float64, keys int, how Reading) []*Report {
		how.TTL = 10 * time.Second
		return law{reads: l, writes: m, keys: keys, c: Config{Maker: CacheAside{Reading: how}.Maker(), Origin: fetching(seconds(W))}}.reports(t, 16)
	}
	holds(t, "stale hits, coalesced", race(5, 30, Reading{Coalesce: true}), staleHits, bound, 0.04)
	holds(t, "stale hits, l*W = 0.2", race(2, 50, Reading{}), staleHits, bound, 0.04)
	for _, s := range []struct{ l, low, high float64 }{{20, 0.72, 0.9}, {100, 0.55, 0.73}} {
		all := race(s.l, int(400/s.l), Reading{})
		sum := Report{}
		for _, r := range all {
			sum.Merge(r)
		}
		if got := staleHits(&sum) / bound; got < s.low || got > s.high {
			t.Errorf("uncoalesced, l*W = %v: %.2f of the bound; want from %v to %v", s.l*W, got, s.low, s.high)
		} else {
			t.Logf("uncoalesced, l*W = %v: %.2f of the bound", s.l*W, got)
		}
	}
	for _, r := range race(20, 4, Reading{Lease: time.Second, Poll: 10 * ms}) {
		if staleHits(r) != 0 || r.Consistency.StaleFills != 0 || r.Cache.Denied == 0 {
			t.Errorf("by lease: %d stale hits, %d stale fills, %d sets denied", r.Consistency.Stale[FromCache], r.Consistency.StaleFills, r.Cache.Denied)
		}
	}
}

// TestDeleteFirst: between delete and commit, C apart, a read brings back the old value, which is served until the next write; with a
// second delete only until that. l and m as above.
func TestDeleteFirst(t *testing.T) {
	const l, m, C = 4, 0.05, 0.1
	again := 700 * ms
	origin := Origin{Writes: &Law{Mean: seconds(C)}}
	seen := func(r *Report) float64 {
		return float64(r.Consistency.Window.Count()) / float64(r.Consistency.Versions)
	}
	once := law{reads: l, writes: m, keys: 80, c: Config{Maker: CacheAside{Order: DeleteBefore}.Maker(), Origin: origin}}.reports(t, 16)
	holds(t, "versions overlooked", once, seen, (1-math.Exp(-l*C))*l/(l+m), 0.03)
	twice := law{reads: l, writes: m, keys: 80, c: Config{Maker: CacheAside{Order: DeleteTwice, Again: again}.Maker(), Origin: origin}}.reports(t, 16)
	holds(t, "versions overlooked, double delete", twice, seen, (1-math.Exp(-l*C))*(1-math.Exp(-(l+m)*again.Seconds()))*l/(l+m), 0.03)
	for _, r := range twice {
		if most := r.Stale.Age.Quantile(1); most > again+ms || most < again-50*ms {
			t.Errorf("stale for %v at most, the second delete comes after %v", most, again)
		}
	}
}

// TestWriteBehind: writes at w, a flush every F; with two processes each has half of a key's writes.
func TestWriteBehind(t *testing.T) {
	for _, s := range []struct {
		w, F      float64
		processes int
	}{{2, 1, 1}, {0.3, 2, 1}, {10, 0.5, 1}, {3, 1, 2}} {
		expect := theory.Behind{Writes: s.w / float64(s.processes), Every: seconds(s.F)}
		l := law{writes: s.w, keys: 20, c: Config{Maker: WriteBehind{Flush: seconds(s.F)}.Maker(), Processes: s.processes}}
		all := l.reports(t, 16)
		holds(t, "origin writes for each write", all, (*Report).Amplification, expect.Written().Mean, 0.01)
		for _, r := range all {
			if r.Lost != 0 || r.Consistency.LostKeys != 0 {
				t.Errorf("%d writes lost without a crash", r.Lost)
			}
		}
	}
}

// TestWriteBehindCrash: a crash at random finds a key of w*F = x in the buffer with 1-(1-e^-x)/x. The age of the
// writes in a buffer of uniform age has the distribution 1-(1-a/F)^2.
func TestWriteBehindCrash(t *testing.T) {
	const w, F, processes = 3.0, 0.5, 2
	l := law{writes: w, keys: 20, c: Config{Maker: WriteBehind{Flush: seconds(F)}.Maker(), Processes: processes, Deaths: 0.1, Length: 300 * time.Second}}
	all := l.reports(t, 32)
	expect := theory.Behind{Writes: w / processes, Every: seconds(F)}
	holds(t, "keys lost in a crash", all, func(r *Report) float64 {
		return float64(r.Consistency.LostKeys) / float64(r.Consistency.Crashes) / float64(l.keys)
	}, expect.Lost().Mean, 0.03)
	holds(t, "median age of lost writes", all, func(r *Report) float64 { return r.Consistency.LostAge.Quantile(0.5).Seconds() }, F*(1-math.Sqrt(0.5)), 0.03)
	for _, r := range all {
		if most := r.Consistency.LostAge.Quantile(1); most > expect.Every+ms {
			t.Errorf("a write of %v ago was lost, and the flush is every %v", most, expect.Every)
		}
	}
}

// TestRefreshAhead: one process, fetches of no time. The first read after the share 1-s of T fetches; it had to wait only if
// it came after T.
func TestRefreshAhead(t *testing.T) {
	const l, T, s = 1.5, 4.0, 0.25
	all := law{reads: l, keys: 30, c: Config{Maker: RefreshAhead{CacheAside: CacheAside{Reading: Reading{TTL: seconds(T)}}, Share: s}.Maker()}}.reports(t, 16)
	cycle := 1 + l*(1-s)*T
	holds(t, "misses", all, misses, math.Exp(-l*s*T)/cycle, 0.03)
	holds(t, "fetches", all, func(r *Report) float64 { return float64(r.Origin.Reads) / float64(r.Reads) }, 1/cycle, 0.01)
}

// TestRefreshAheadOnce: processes refresh each for itself, or one for all.
func TestRefreshAheadOnce(t *testing.T) {
	starts := func(lock time.Duration) float64 {
		o := RefreshAhead{CacheAside: CacheAside{Reading: Reading{TTL: time.Second, Coalesce: true}}, Share: 0.3, Lock: lock}
		all := law{reads: 400, keys: 1, c: Config{Maker: o.Maker(), Processes: 4, Origin: fetching(100 * ms), Length: 60 * time.Second}}.reports(t, 1)
		if n := all[0].Served[FromOrigin] + all[0].Served[FromOther]; n != 0 {
			t.Errorf("%d reads of a hot key waited for the origin", n)
		}
		return all[0].Cycles.Starts.Mean()
	}
	if each, one := starts(0), starts(time.Second); each < 3.9 || each > 4 || one != 1 {
		t.Errorf("%.2f fetches a refresh by four processes, %.2f by lock", each, one)
	}
}

// TestTwoLayers: M processes share the reads l and the writes m of a key. A copy lives L, or until its process writes (a) or
// hears of a write (the share 1-q of the others' rate b). No answer is staler than L, however many messages are lost.
func TestTwoLayers(t *testing.T) {
	const M, l, m, L = 4, 8.0, 0.4, 1.5
	for _, s := range []struct {
		publish bool
		q       float64
	}{{false, 1}, {true, 1}, {true, 0.3}, {true, 0}} {
		o := TwoLayers{LocalTTL: seconds(L), Capacity: 100, Publish: s.publish}
		all := law{reads: l, writes: m, keys: 20, c: Config{Maker: o.Maker(), Processes: M, Missed: s.q}}.reports(t, 16)
		b := m * (M - 1) / M
		ends := m/M + b*(1-s.q)
		life := (1 - math.Exp(-ends*L)) / ends
		holds(t, "local hits", all, (*Report).LocalHits, l/M*life/(1+l/M*life), 0.01)
		stale := func(r *Report) float64 { return float64(r.Stale.Reads) / float64(r.Served[FromLocal]) }
		for _, r := range all {
			if r.Consistency.Stale[FromLocal] != r.Stale.Reads {
				t.Errorf("%d of %d stale reads were local", r.Consistency.Stale[FromLocal], r.Stale.Reads)
			}
			oldest, window := r.Stale.Age.Quantile(1), r.Consistency.Window.Quantile(1)
			switch bound := seconds(L); {
			case s.q == 0 && r.Stale.Reads != 0:
				t.Errorf("%d stale reads, and no message was lost", r.Stale.Reads)
			case s.q > 0 && (oldest > bound+2*ms || oldest < bound*9/10 || window > bound+2*ms || window < bound*9/10):
				t.Errorf("the oldest answer was %v old, the longest window %v; the bound is %v", oldest, window, bound)
			}
		}
		if s.q > 0 {
			fresh := (1 - math.Exp(-(ends+b*s.q)*L)) / (ends + b*s.q)
			holds(t, "stale copies served", all, stale, 1-fresh/life, 0.04)
		}
	}
}

// TestTwoLayersDelay: a message takes its time, and no answer is staler than that if none is lost.
func TestTwoLayersDelay(t *testing.T) {
	o := TwoLayers{LocalTTL: time.Minute, Capacity: 100, Publish: true}
	delay := 30 * ms
	for _, r := range (law{reads: 50, writes: 2, keys: 10, c: Config{Maker: o.Maker(), Processes: 4, Messages: Fixed(delay)}}).reports(t, 2) {
		if most := r.Consistency.Window.Quantile(1); r.Stale.Reads == 0 || most > delay+ms || most < delay-5*ms {
			t.Errorf("%d stale reads, at most %v after the write; messages take %v", r.Stale.Reads, most, delay)
		}
	}
}

package fleet_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/cachectl/cachectl/loadgen"
	"github.com/cachectl/cachectl/loadgen/fleet"
	"github.com/cachectl/cachectl/loadgen/theory"
)

// What the virtual driver measures is held against theory, every case in the band of its trials. Seeds are fixed.

const millisecond = time.Millisecond

// asked is Poisson traffic of one key.
func asked(rate float64, seed uint64) loadgen.Traffic {
	return loadgen.Traffic{Seed: seed, Phases: []loadgen.Phase{{Length: 1e6 * time.Second, Rate: rate, Poisson: true}},
		Keys: loadgen.Keys{N: 1, Law: loadgen.Uniform}, Sizes: loadgen.Sizes{Law: loadgen.Fixed}, Mix: loadgen.Mix{Read: 1}}
}

// lasting is a strategy's options where values live for ttl.
func lasting(ttl time.Duration) fleet.Options {
	o := fleet.Defaults()
	o.TTL = ttl
	return o
}

func chosen(t *testing.T, name string, o fleet.Options) fleet.Maker {
	t.Helper()
	choice, err := fleet.Choose(fleet.Catalogue(), name)
	if err != nil {
		t.Fatal(err)
	}
	if o.TTL == 0 {
		o.Stale = 0
	}
	return choice.Make(o)
}

// expiries runs a strategy over so many expiries of one key.
func expiries(t *testing.T, name string, e theory.Expiry, o fleet.Options, cycles int, change func(*fleet.Config)) *fleet.Report {
	t.Helper()
	traffic := asked(e.Rate, 1)
	length := time.Duration(float64(cycles+2) * ((e.TTL + e.Fetch).Seconds() + 1/e.Rate) * 1e9)
	c := fleet.Config{Strategy: name, Maker: chosen(t, name, o), Processes: 1, Seed: 1, Source: traffic.Source(), Length: length, Skip: 1,
		Origin: fleet.Origin{Reads: fleet.Fixed(e.Fetch)}}
	if change != nil {
		change(&c)
	}
	r, err := fleet.Virtual(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Cycles.Starts.N < uint64(cycles)/2 {
		t.Fatalf("%d cycles, where about %d were wanted", r.Cycles.Starts.N, cycles)
	}
	return r
}

// holds tells whether the mean of so many trials is in the band.
func holds(t *testing.T, what string, e theory.Expectation, mean float64, trials uint64) {
	t.Helper()
	low, high := e.Band(trials)
	if e.Kind == theory.None || !e.Holds(mean, trials) {
		t.Errorf("%s: %.5g in %d trials; theory says %v: %.5g to %.5g", what, mean, trials, e, low, high)
	} else {
		t.Logf("%s: %.5g in %d trials; theory says %v: %.5g to %.5g", what, mean, trials, e, low, high)
	}
}

// calls holds the origin calls of a cycle, their mean and how they spread.
func calls(t *testing.T, e theory.Expectation, r *fleet.Report) {
	t.Helper()
	starts := &r.Cycles.Starts
	holds(t, "origin calls", e, starts.Mean(), starts.N)
	strays := e.SD * e.SD * float64(starts.N) // too few tell nothing
	if sd := math.Sqrt(starts.Variance()); strays > 20 && math.Abs(sd-e.SD) > 0.15*e.SD {
		t.Errorf("origin calls: standard deviation %.4g, theory says %.4g", sd, e.SD)
	}
}

// edged widens the band of what is counted over the time of a run by the cycle that its ends cut.
func edged(e theory.Expectation, cycles uint64) theory.Expectation {
	e.Tolerance += 1 / float64(cycles)
	return e
}

func share(part, whole uint64) float64 { return float64(part) / float64(whole) }

var hot = theory.Expiry{Rate: 1000, Fetch: 200 * millisecond, TTL: time.Second}

func TestUncoalescedAsInTheory(t *testing.T) {
	t.Parallel()
	r := expiries(t, "none", hot, lasting(hot.TTL), 400, nil)
	calls(t, hot.Uncoalesced(), r)
	holds(t, "share that misses", hot.UncoalescedMissShare(), share(r.Served[fleet.FromOrigin], r.Reads), r.Cycles.Starts.N)
	for _, q := range []float64{0.5, 0.9, 0.99} {
		holds(t, fmt.Sprint(q), hot.UncoalescedQuantile(q), r.Latency.Quantile(q).Truncate(millisecond).Seconds(), 1)
	}
	holds(t, "calls a second", edged(hot.UncoalescedCallRate(), r.Cycles.Starts.N), float64(r.Origin.Reads)/r.Length.Seconds(), r.Cycles.Starts.N)
}

func TestEvenArrivalsAsInTheory(t *testing.T) {
	t.Parallel()
	e := theory.Expiry{Rate: 999, Fetch: 200 * millisecond, TTL: time.Second}
	r := expiries(t, "none", e, lasting(e.TTL), 50, func(c *fleet.Config) {
		traffic := asked(e.Rate, 1)
		traffic.Phases[0].Poisson = false
		c.Source = traffic.Source()
	})
	calls(t, e.Even(), r)
}

func TestLawsOfFetchesAsInTheory(t *testing.T) {
	t.Parallel()
	samples := []time.Duration{50 * millisecond, 100 * millisecond, 450 * millisecond}
	for name, c := range map[string]struct {
		fetch fleet.Law
		law   theory.Latency
	}{
		"exponential": {fleet.Exponential(hot.Fetch), theory.Exponential(hot.Fetch)},
		"lognormal":   {fleet.Lognormal(hot.Fetch, 0.5), theory.Lognormal(hot.Fetch, 0.5)},
		"empirical":   {fleet.Empirical(samples), theory.Empirical(samples)},
	} {
		t.Run(name, func(t *testing.T) {
			e := hot
			e.TTL = 3 * time.Second // longer than any fetch, so that it ends before the next expiry
			r := expiries(t, "none", e, lasting(e.TTL), 300, func(cfg *fleet.Config) { cfg.Origin.Reads = c.fetch })
			calls(t, e.UncoalescedOf(c.law), r)
		})
	}
}

func TestSharedOriginAsInTheory(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rate  float64
		units int
	}{{1000, 50}, {1000, 100}, {500, 20}, {100, 30}} {
		t.Run(fmt.Sprintf("%g,%d", c.rate, c.units), func(t *testing.T) {
			e := theory.Expiry{Rate: c.rate, Fetch: 200 * millisecond, TTL: 2 * time.Second}
			expected := e.Shared(c.units)
			// The origin is to be at rest again at the next expiry.
			e.TTL += time.Duration(expected.Mean / float64(c.units) * 2 * float64(e.Fetch))
			r := expiries(t, "none", e, lasting(e.TTL), 150, func(cfg *fleet.Config) {
				cfg.Origin.Servers, cfg.Origin.Sharing = c.units, true
			})
			calls(t, expected, r)
		})
	}
}

func TestQueueAsInTheory(t *testing.T) {
	t.Parallel()
	const servers = 20
	e := hot
	e.TTL = 4 * time.Second
	r := expiries(t, "none", e, lasting(e.TTL), 150, func(c *fleet.Config) { c.Origin.Servers = servers })
	calls(t, e.Queued(), r)
	// How long the last of a burst waits: of the run, the longest burst.
	holds(t, "longest wait", e.Drain(servers), r.Latency.Max().Seconds(), 1)
}

func TestSingleflightAsInTheory(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rate      float64
		processes int
	}{{1000, 20}, {50, 20}, {1000, 1}, {20, 3}} {
		e := theory.Expiry{Rate: c.rate, Fetch: 200 * millisecond, TTL: time.Second}
		r := expiries(t, "singleflight", e, lasting(e.TTL), 400, func(cfg *fleet.Config) { cfg.Processes = c.processes })
		calls(t, e.Singleflight(c.processes), r)
	}
}

func TestWaitersAsInTheory(t *testing.T) {
	t.Parallel()
	r := expiries(t, "singleflight", hot, lasting(hot.TTL), 200, nil)
	// Window has the waiters, and of each cycle the one that fetches.
	others := r.Window.Count() - r.Cycles.Starts.N
	waits := (r.Window.Mean().Seconds()*float64(r.Window.Count()) - hot.Fetch.Seconds()*float64(r.Cycles.Starts.N)) / float64(others)
	waiter := hot.Waiter()
	waiter.Tolerance = 0.002 // buckets of the histogram
	holds(t, "wait", waiter, waits, others)
	holds(t, "hits", hot.Hits(), r.Hits(), r.Cycles.Starts.N)
	holds(t, "delayed", hot.Delayed(), share(r.Served[fleet.FromOther], r.Reads), r.Cycles.Starts.N)
	n := r.Cycles.Starts.N
	holds(t, "fetching", edged(hot.Fetching(), n), share(r.Served[fleet.FromOrigin], r.Reads), n)
	holds(t, "calls a second", edged(hot.CallRate(hot.Single()), n), float64(r.Origin.Reads)/r.Length.Seconds(), n)
	open := r.Cycles.Missing.Mean().Seconds() * float64(r.Cycles.Missing.Count()) / r.Length.Seconds()
	holds(t, "open", edged(hot.OpenShare(), n), open, n)
}

func TestLockAsInTheory(t *testing.T) {
	t.Parallel()
	e := hot
	e.TTL = 4 * time.Second
	for _, poll := range []time.Duration{millisecond, 10 * millisecond, 150 * millisecond} {
		t.Run(poll.String(), func(t *testing.T) {
			o := lasting(e.TTL)
			o.Poll = poll
			r := expiries(t, "lock", e, o, 100, nil)
			calls(t, e.Locked(o.Lock), r)
			waits := e.Poller(poll)
			waits.Tolerance = 0.002
			holds(t, "wait", waits, r.Locks.Waited.Mean().Seconds(), r.Locks.Waited.Count())
			holds(t, "longest", e.LongestPoll(poll), r.Locks.Waited.Max().Truncate(millisecond).Seconds(), 1)
			if poll == millisecond {
				holds(t, "p99", e.WaitingQuantile(0.99), r.Latency.Quantile(0.99).Seconds(), 1)
				holds(t, "p999", e.WaitingQuantile(0.999), r.Latency.Quantile(0.999).Seconds(), 1)
			}
		})
	}
	for _, held := range []time.Duration{100 * millisecond, 50 * millisecond, 80 * millisecond} {
		o := lasting(hot.TTL)
		o.Lock = held
		calls(t, hot.Locked(held), expiries(t, "lock", hot, o, 100, nil))
	}
}

func TestXFetchAsInTheory(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rate, beta float64
		cycles     int
	}{{1000, 0.5, 300}, {1000, 1, 200}, {300, 2, 200}, {10, 1, 4000}, {2, 1, 6000}, {10, 0.3, 4000}} {
		t.Run(fmt.Sprintf("%g,%g", c.rate, c.beta), func(t *testing.T) {
			e := theory.Early{Expiry: theory.Expiry{Rate: c.rate, Fetch: 200 * millisecond}, Beta: c.beta}
			e.TTL = e.Longest()/2 + 500*millisecond
			o := lasting(e.TTL)
			o.Beta = c.beta
			r := expiries(t, "xfetch", e.Expiry, o, c.cycles, nil)
			n := r.Cycles.Starts.N
			calls(t, e.Calls(), r)
			holds(t, "lead", e.Lead(), r.Cycles.Lead.Mean().Seconds(), r.Cycles.Early)
			holds(t, "unrefreshed", e.Unrefreshed(), share(n-r.Cycles.Early, n), n)
			holds(t, "missed hard", e.HardMissed(), share(r.Cycles.Missing.Count(), n), n)
			alone := uint64(0)
			for _, b := range r.Cycles.Starts.Values {
				if b.Value == 1 {
					alone = b.Count
				}
			}
			holds(t, "alone", e.Alone(), share(alone, n), n)
		})
	}
}

// Whatever has one fetch at a time makes one call an expiry, always.
func TestSingleCallsAsInTheory(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"lock", "lock-stale", "xfetch-lock", "swr", "lease"} {
		t.Run(name, func(t *testing.T) {
			e := hot
			e.TTL = 3 * time.Second
			r := expiries(t, name, e, lasting(e.TTL), 50, func(c *fleet.Config) { c.Processes = 4 })
			calls(t, e.Single(), r)
			if missing := r.Cycles.Missing.Count(); name != "lock" && name != "lease" && missing > 0 {
				t.Errorf("the key was missing %d times", missing)
			}
		})
	}
	t.Run("lease, ahead", func(t *testing.T) {
		o := lasting(2 * time.Second)
		o.Ahead = 500 * millisecond
		e := hot
		e.TTL = 2 * time.Second
		r := expiries(t, "lease", e, o, 50, nil)
		calls(t, e.Single(), r)
		if missing := r.Cycles.Missing.Count(); missing > 0 {
			t.Errorf("the key was missing %d times", missing)
		}
	})
}

func TestStaleServesAsInTheory(t *testing.T) {
	t.Parallel()
	o := lasting(hot.TTL)
	r := expiries(t, "swr", hot, o, 300, func(c *fleet.Config) {
		c.Processes, c.Load = 4, &fleet.Load{Keys: 1, Lifetime: o.Lifetime, Took: hot.Fetch}
	})
	n := r.Cycles.Starts.N
	holds(t, "stale serves", hot.StaleServed(), share(r.Served[fleet.FromStale], n), n)
	// The age of the last stale serve of a cycle is not in the report; of the run, the oldest.
	if oldest := r.Stale.Past.Max(); oldest < hot.Fetch || oldest > hot.Fetch+20*millisecond {
		t.Errorf("%v past its soft TTL; %v and some times 1 ms were expected", oldest, hot.Fetch)
	}
	if r.Latency.Max() > millisecond {
		t.Errorf("who is served stale values waited %v", r.Latency.Max())
	}
}

func TestHerdAsInTheory(t *testing.T) {
	t.Parallel()
	const keys, ttl = 500, time.Second
	for _, jitter := range []float64{0, 0.2, 0.8} {
		h := theory.Herd{Keys: keys, Fetch: 50 * millisecond, Spread: time.Duration(jitter * float64(ttl))}
		var peaks float64
		const runs = 6
		for seed := range uint64(runs) {
			traffic := asked(keys*200, seed+1)
			traffic.Keys.N = keys
			lifetime := fleet.Lifetime{TTL: ttl, Jitter: jitter}
			r, err := fleet.Virtual(t.Context(), fleet.Config{Maker: chosen(t, "singleflight", lasting(0)), Seed: seed, Source: traffic.Source(),
				Length: ttl + h.Spread + h.Fetch, Load: &fleet.Load{Keys: keys, Lifetime: lifetime},
				Origin: fleet.Origin{Reads: fleet.Fixed(h.Fetch)}})
			if err != nil {
				t.Fatal(err)
			}
			peaks += float64(r.Origin.Peak)
		}
		holds(t, fmt.Sprintf("peak, jitter %g", jitter), h.Peak(), peaks/runs, runs)
	}
}

// patterned runs a pattern on one key whose requests read and write at these rates.
func patterned(t *testing.T, maker fleet.Maker, reads, writes float64, length time.Duration, change func(*fleet.Config)) *fleet.Report {
	t.Helper()
	traffic := asked(reads+writes, 1)
	traffic.Mix = loadgen.Mix{Read: reads, Write: writes}
	c := fleet.Config{Maker: maker, Seed: 1, Source: traffic.Source(), Length: length}
	if change != nil {
		change(&c)
	}
	r, err := fleet.Virtual(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCacheAsideAsInTheory(t *testing.T) {
	t.Parallel()
	for _, a := range []theory.Aside{
		{Reads: 5, Writes: 0.5, Fill: 200 * millisecond, TTL: 4 * time.Second},
		{Reads: 15, Writes: 1, Fill: 100 * millisecond, TTL: 3 * time.Second},
		{Reads: 2, Writes: 0.3, Fill: 300 * millisecond},
	} {
		a.Race = a.Fill // the origin's reading is the beginning of its work
		reading := fleet.Reading{TTL: a.TTL, Coalesce: true}
		r := patterned(t, fleet.CacheAside{Reading: reading}.Maker(), a.Reads, a.Writes, 20_000*time.Second, func(c *fleet.Config) {
			c.Origin = fleet.Origin{Reads: fleet.Fixed(a.Fill), Writes: &fleet.Law{}, Early: true}
		})
		fills := r.Served[fleet.FromOrigin]
		holds(t, "hits", a.Hits(), share(r.Served[fleet.FromCache], r.Reads), fills)
		holds(t, "stale fills", a.StaleFills(), r.Consistency.StaleFillShare(), fills)
		holds(t, "stale hits", a.StaleHits(true), share(r.Consistency.Stale[fleet.FromCache], r.Served[fleet.FromCache]), fills)
	}
}

func TestSlidingAsInTheory(t *testing.T) {
	t.Parallel()
	const ttl = 700 * millisecond
	r := patterned(t, fleet.CacheAside{Reading: fleet.Reading{TTL: ttl, Sliding: true}}.Maker(), 2, 0, 20_000*time.Second, nil)
	holds(t, "hits", theory.Sliding(2, ttl), share(r.Served[fleet.FromCache], r.Reads), r.Reads)
}

func TestWriteBehindAsInTheory(t *testing.T) {
	t.Parallel()
	for _, b := range []theory.Behind{{Writes: 2, Every: time.Second}, {Writes: 0.3, Every: 2 * time.Second}, {Writes: 10, Every: 500 * millisecond}} {
		const length = 10_000 * time.Second
		maker := fleet.WriteBehind{Flush: b.Every}.Maker()
		r := patterned(t, maker, 0, b.Writes, length, nil)
		holds(t, "written", b.Written(), r.Amplification(), uint64(length/b.Every))
		r = patterned(t, maker, 0, b.Writes, length, func(c *fleet.Config) { c.Deaths = 0.1 / b.Every.Seconds() })
		holds(t, "lost", b.Lost(), share(r.Consistency.LostKeys, r.Consistency.Crashes), r.Consistency.Crashes)
	}
}

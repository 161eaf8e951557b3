package theory

import (
	"math"
	"testing"
	"time"
)

const ms = time.Millisecond

// hot is the key of most tables: 1000 requests a second, fetches of 200 ms, 200 of them expected meanwhile.
var hot = Expiry{Rate: 1000, Fetch: 200 * ms, TTL: 10 * time.Second}

// near judges a form against figures from elsewhere: by hand, from the literature, or simulated there.
func near(t *testing.T, what string, e Expectation, want, tolerance float64) {
	t.Helper()
	if e.Kind == None || !(math.Abs(e.Mean-want) <= tolerance) {
		t.Errorf("%s: %v (SD %.4g), not %g ± %g", what, e, e.SD, want, tolerance)
	}
}

func rare(rate float64) Expiry { return Expiry{Rate: rate, Fetch: 200 * ms, TTL: 10 * time.Second} }

func TestCallsAnExpiry(t *testing.T) {
	near(t, "uncoalesced", hot.Uncoalesced(), 201, 0)
	near(t, "uncoalesced, as a law", hot.UncoalescedOf(Fixed(200*ms)), 201, 0.01)
	near(t, "exponential", hot.UncoalescedOf(Exponential(200*ms)), 18.06, 0.01)
	near(t, "exponential, about", hot.UncoalescedOf(Exponential(200*ms)), 1+math.Sqrt(math.Pi*200/2), 0.7)
	near(t, "lognormal", hot.UncoalescedOf(Lognormal(200*ms, 0.5)), 77.6, 0.05)
	near(t, "one sample", hot.UncoalescedOf(Empirical([]time.Duration{200 * ms})), 201, 0.01)
	near(t, "even", Expiry{Rate: 999, Fetch: 200 * ms}.Even(), 200, 0)
	near(t, "singleflight in 20", hot.Singleflight(20), 20, 0.01)
	near(t, "singleflight in 20, rare", rare(50).Singleflight(20), 8.48, 0.005)
	near(t, "singleflight in one", hot.Singleflight(1), 1, 0)
	near(t, "lock", hot.Locked(5*time.Second), 1, 0)
	near(t, "lock of half", hot.Locked(100*ms), 2, 0)
	near(t, "lock of a quarter", hot.Locked(50*ms), 4, 0)
	near(t, "lock of a third", hot.Locked(80*ms), 3, 0)
	near(t, "closed loop", hot.ClosedLoop(50), 50, 0)
	near(t, "closed loop of many", hot.ClosedLoop(5000), 201, 0)
	near(t, "single", hot.Single(), 1, 0)
}

// Two samples, of which it can be told by hand: at 0.1 s each is done with chance 1/2. P(open) is 1 up to there; then
// half the first, times exp(-L/2 (t - 0.1)) up to 0.3 s.
func TestUncoalescedOfTwoSamplesByHand(t *testing.T) {
	e := Expiry{Rate: 20}
	want := 1 + 20*(0.1+0.5*(1-math.Exp(-10*0.2))/10)
	near(t, "two samples", e.UncoalescedOf(Empirical([]time.Duration{300 * ms, 100 * ms})), want, 1e-4)
	sd := hot.UncoalescedOf(Fixed(200 * ms)).SD
	if math.Abs(sd-math.Sqrt(200)) > 0.01 {
		t.Errorf("SD %g of a Poisson number of 200", sd)
	}
}

// The fluid form and simulations, of the research this rests on.
func TestSharedOrigin(t *testing.T) {
	for _, c := range []struct {
		rate                   float64
		units                  int
		fluid, simulated, sims float64
	}{{1000, 50, 1025, 1046, 20}, {1000, 100, 274.6, 275.1, 3}, {500, 20, 1148, 1180, 25}} {
		e := rare(c.rate)
		a, u := e.expected(), float64(c.units)
		if fluid := u * math.Exp((a-u+1)/u); math.Abs(fluid-c.fluid) > 0.6 {
			t.Errorf("fluid form %g, not %g", fluid, c.fluid)
		}
		near(t, "shared", e.Shared(c.units), c.simulated, c.sims)
		near(t, "shared, fluid", e.Shared(c.units), c.fluid, 0.03*c.fluid)
	}
	near(t, "shared by one", Expiry{Rate: 10, Fetch: 200 * ms}.Shared(1), math.Exp(2), 1e-9)
	wide := hot.Shared(2000)
	near(t, "more units than calls", wide, 201, 1e-6)
	if math.Abs(wide.SD-math.Sqrt(200)) > 1e-3 {
		t.Errorf("SD %g where units are plenty", wide.SD)
	}
	near(t, "queued", hot.Queued(), 201, 0)
	near(t, "drain", hot.Drain(20), 2.2, 1e-9)
}

func TestXFetch(t *testing.T) {
	for _, c := range []struct{ beta, mean, alone float64 }{{0.5, 7.39, 0.135}, {1, 2.718, 0.368}, {2, 1.649, 0.607}} {
		e := Early{hot, c.beta}
		near(t, "hot", e.CallsWhenHot(), c.mean, 0.001)
		near(t, "hot, by integral", e.Calls(), e.CallsWhenHot().Mean, 1e-6)
		near(t, "alone", e.Alone(), c.alone, 0.0005)
		if sd := e.Calls().SD; math.Abs(sd-e.CallsWhenHot().SD) > 1e-5 {
			t.Errorf("beta %g: SD %g, not %g", c.beta, sd, e.CallsWhenHot().SD)
		}
	}
	one := Early{hot, 1}
	near(t, "rare, 2 in a fetch", Early{rare(10), 1}.Calls(), 2.152, 0.001)
	near(t, "rare, 0.4 in a fetch", Early{rare(2), 1}.Calls(), 1.354, 0.001)
	near(t, "lead", one.Lead(), 1.175, 0.001)
	near(t, "lead, by the asymptote", one.Lead(), 0.2*(math.Log(200)+0.57721566), 1e-6)
	if sd := one.Lead().SD; math.Abs(sd-0.2*math.Pi/math.Sqrt(6)) > 1e-5 {
		t.Errorf("SD of the lead %g", sd)
	}
	near(t, "unrefreshed", Early{rare(10), 1}.Unrefreshed(), math.Exp(-2), 1e-12)
	near(t, "hard misses of a hot key", one.HardMissed(), 0, 1e-12)
	if low, high := one.Calls().Band(400); math.Abs(low-2.394) > 0.001 || math.Abs(high-3.042) > 0.001 {
		t.Errorf("band of 400 cycles: %g to %g", low, high)
	}
	if l := one.Longest(); l < 3*time.Second || l > 5*time.Second {
		t.Errorf("longest lead %v", l)
	}
}

// With a tiny Beta XFetch is no XFetch: every expiry is missed hard, and costs what it does without.
func TestXFetchWithoutBeta(t *testing.T) {
	e := Early{hot, 1e-6}
	near(t, "calls", e.Calls(), 201, 0.05)
	near(t, "hard", e.HardMissed(), 1, 1e-3)
}

func TestLatencies(t *testing.T) {
	near(t, "open", hot.OpenShare(), 0.0196, 0.00005)
	near(t, "missing requests", hot.MissShare(), 201.0/10201, 1e-12)
	near(t, "p99, uncoalesced", hot.UncoalescedQuantile(0.99), 0.2, 0)
	near(t, "p90, uncoalesced", hot.UncoalescedQuantile(0.9), 0, 0)
	if e := hot.UncoalescedQuantile(0.98); e.Kind != None {
		t.Errorf("a quantile at the boundary is %v", e)
	}
	near(t, "p99, waiting", hot.WaitingQuantile(0.99), 0.0985, 0.001)
	near(t, "p999, waiting", hot.WaitingQuantile(0.999), 0.190, 0.001)
	near(t, "p90, waiting", hot.WaitingQuantile(0.9), 0, 0)
	near(t, "poller", hot.Poller(10*ms), 0.105, 1e-12)
	near(t, "longest poll", hot.LongestPoll(10*ms), 0.21, 1e-12)
	near(t, "waiter", hot.Waiter(), 0.1, 0)
	near(t, "poller of a long poll", hot.Poller(time.Second), 1, 1e-12)
	near(t, "poller, by hand", hot.Poller(150*ms), (150*0.15+50*0.30)/200, 1e-12)
	near(t, "staleness", hot.Staleness(), 0.201, 1e-12)
	near(t, "stale serves", hot.StaleServed(), 201, 0)
	near(t, "missing requests, uncoalesced", hot.UncoalescedMissShare(), 201.0/(201+1000*(10+0.2-0.001)), 1e-9)
	near(t, "rate, uncoalesced", hot.UncoalescedCallRate(), 201/10.4, 1e-3) // 19.7 if later fetches did not prolong the value
	near(t, "rate, lock", hot.CallRate(hot.Single()), 0.098, 0.0001)
	near(t, "rate, XFetch", Early{hot, 1}.CallRate(), 0.30, 0.002)
}

func TestHerd(t *testing.T) {
	for _, c := range []struct{ spread, load, peak, within float64 }{{0, 10000, 10000, 0}, {3, 167, 208, 8}, {6, 83.3, 115, 6}, {30, 16.7, 36, 4}} {
		h := Herd{10000, 100 * ms, time.Duration(c.spread * 1e9)}
		near(t, "load", h.Load(), c.load, 0.5)
		near(t, "peak", h.Peak(), c.peak, c.within)
	}
}

func TestSteady(t *testing.T) {
	e := Expiry{Rate: 2, Fetch: 250 * ms, TTL: 5 * time.Second}
	near(t, "hits", e.Hits(), 10/11.5, 1e-12)
	near(t, "fetching", e.Fetching(), 1/11.5, 1e-12)
	near(t, "delayed", e.Delayed(), 0.5/11.5, 1e-12)
	near(t, "missing", e.MissShare(), 1.5/11.5, 1e-12)
	near(t, "sliding", Sliding(2, time.Second), 1-math.Exp(-2), 1e-12)

	a := Aside{Reads: 10, Writes: 0.2, Fill: 100 * ms, Race: 100 * ms, TTL: 10 * time.Second}
	life := (1 - math.Exp(-2)) / 0.2
	near(t, "aside", a.Hits(), 10*life/(1+10*(life+0.1)), 1e-12)
	near(t, "stale fills", a.StaleFills(), 0.0198, 0.00001)
	if kind := a.StaleHits(false).Kind; kind != Bound {
		t.Errorf("stale hits where fills race: %v", kind)
	}
	if kind := a.StaleHits(true).Kind; kind != Exact {
		t.Errorf("stale hits where one fetch serves all: %v", kind)
	}
	alone := Aside{Reads: 1, Writes: 0.2, Fill: 100 * ms, Race: 100 * ms, TTL: 10 * time.Second}
	near(t, "stale hits", alone.StaleHits(false), 0.0198, 0.00001)
	near(t, "without TTL", Aside{Reads: 10, Writes: 0.5, Fill: 0}.Hits(), 20.0/21, 1e-12)
	near(t, "without writes", Aside{Reads: 2, TTL: 5 * time.Second, Fill: 250 * ms}.Hits(), e.Hits().Mean, 1e-12)
	if a, b := (Aside{Reads: 2, TTL: 5 * time.Second, Fill: 250 * ms}).Hits().SD, e.Hits().SD; math.Abs(a-b) > 1e-12 {
		t.Errorf("SD of one cache by two forms: %g, %g", a, b)
	}

	b := Behind{Writes: 2, Every: time.Second}
	near(t, "written", b.Written(), (1-math.Exp(-2))/2, 1e-12)
	near(t, "lost", b.Lost(), 1-(1-math.Exp(-2))/2, 1e-12)
	near(t, "age", b.Age(), 0.5, 0)
	near(t, "local", Outdated(3*time.Second), 3, 0)
}

func TestFootings(t *testing.T) {
	for _, c := range []struct {
		rate, hits, capacity float64
		want                 Footing
	}{{1000, 0.9, 200, Vulnerable}, {1000, 0.5, 200, Overloaded}, {150, 0.9, 200, Stable}, {1000, 1, 200, Vulnerable}} {
		if got := FootingOf(c.rate, c.hits, c.capacity); got != c.want {
			t.Errorf("%g/s, hits %g, capacity %g: %v, not %v", c.rate, c.hits, c.capacity, got, c.want)
		}
	}
	if a := Advertised(0.9, 200); math.Abs(a-2000) > 1e-9 {
		t.Errorf("advertised %g", a)
	}
	for queue, want := range map[int]bool{200: false, 150: true, 100: true} {
		if got := AnswersInTime(queue, 20, 100*ms, time.Second); got != want {
			t.Errorf("a queue of %d: %v", queue, got)
		}
	}
}

func TestBands(t *testing.T) {
	e := Expectation{Mean: 10, SD: 2, Kind: Approximate, Tolerance: 0.1}
	if low, high := e.Band(4); math.Abs(low-6) > 1e-6 || math.Abs(high-14) > 1e-6 {
		t.Errorf("%g to %g", low, high)
	}
	if !e.Holds(6.1, 4) || e.Holds(5.9, 4) || e.Holds(14.1, 4) {
		t.Error("the band is not what Holds says")
	}
	if b := (Expectation{Mean: 3, Kind: Bound}); !b.Holds(-1000, 1) || b.Holds(3.1, 1) {
		t.Error("a bound has no lower end, and an upper one")
	}
	if u := Unknown("x"); !u.Holds(1e300, 1000) {
		t.Error("what has no closed form holds always")
	}
	for want, e := range map[string]Expectation{"201": hot.Uncoalesced(), "no closed form: x": Unknown("x"), "about 10 (within 10%)": e, "at most 3": {Mean: 3, Kind: Bound}} {
		if e.String() != want {
			t.Errorf("%q, not %q", e, want)
		}
	}
}

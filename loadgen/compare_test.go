package loadgen

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// A server is made up: a lognormal latency whose level wanders from second to second as an AR(1),
// and from run to run.
type server struct {
	median    time.Duration
	sigma     float64 // of the logarithm, within a second
	perSecond int
	poisson   bool
	hit, bad  float64
	wander    float64 // standard deviation of the logarithm of a second's level
	rho       float64 // how much of it a second has from the one before
	runs      float64 // standard deviation of the logarithm of a run's level
}

var plainServer = server{median: 300 * time.Microsecond, sigma: .5, perSecond: 100, poisson: true, hit: .9, bad: .002}

func (s server) run(random *rand.Rand, seconds int) *Report {
	r := &Report{Target: "redis://a", Started: day, Length: time.Duration(seconds) * time.Second}
	base := s.runs * random.NormFloat64()
	level := random.NormFloat64()
	t := &r.Tallies[Read]
	for at := range seconds {
		level = s.rho*level + math.Sqrt(1-s.rho*s.rho)*random.NormFloat64()
		tick := Tick{At: time.Duration(at) * time.Second}
		n := s.perSecond
		if s.poisson {
			n = int(math.Round(float64(n) + math.Sqrt(float64(n))*random.NormFloat64()))
		}
		for range n {
			t.Sent, tick.Sent, t.Due, tick.Due = t.Sent+1, tick.Sent+1, t.Due+1, tick.Due+1
			if random.Float64() < s.bad {
				t.Refused, tick.Refused = t.Refused+1, tick.Refused+1
				continue
			}
			t.Done, tick.Done = t.Done+1, tick.Done+1
			if random.Float64() < s.hit {
				t.Hits, tick.Hits = t.Hits+1, tick.Hits+1
			} else {
				t.Misses, tick.Misses = t.Misses+1, tick.Misses+1
			}
			took := time.Duration(float64(s.median) * math.Exp(base+s.wander*level+s.sigma*random.NormFloat64()))
			t.Latency.Add(took)
			t.Service.Add(took / 2)
			tick.Latency.Add(took)
		}
		tick.Latency.Coarsen()
		r.Ticks = append(r.Ticks, tick)
	}
	return r
}

func (s server) times(random *rand.Rand, runs, seconds int) []*Report {
	all := make([]*Report, runs)
	for i := range all {
		all[i] = s.run(random, seconds)
	}
	return all
}

// verdicts counts, over seeds, what Compare finds: differences by figure, cases with any, and figures not judged.
func verdicts(seeds, runs, seconds int, a, b server) (found, unjudged map[string]int, anyFound int) {
	found, unjudged = make(map[string]int), make(map[string]int)
	for seed := range seeds {
		random := rand.New(rand.NewPCG(uint64(seed), 99))
		some := false
		for _, d := range Compare(a.times(random, runs, seconds), b.times(random, runs, seconds)).Differences {
			switch {
			case d.Unjudged != "":
				unjudged[d.Name]++
			case !d.Noise:
				found[d.Name]++
				some = true
			}
		}
		if some {
			anyFound++
		}
	}
	return found, unjudged, anyFound
}

func long() bool { return os.Getenv("CACHECTL_LONG") != "" }

// Two sides that are alike show no difference, in any figure, in 95 of 100 comparisons: with seconds
// that stand alone, seconds that lean on each other, and with runs.
func TestEqualSourcesAreNoise(t *testing.T) {
	seeds := 15
	if long() {
		seeds = 400
	}
	leaning := plainServer
	leaning.wander, leaning.rho = .2, .7
	runs := plainServer
	runs.runs = .05
	for _, c := range []struct {
		name          string
		source        server
		runs, seconds int
	}{{"alone", plainServer, 1, 60}, {"few", plainServer, 1, 25}, {"leaning", leaning, 1, 120}, {"leaning, few", leaning, 1, 60}, {"two runs", leaning, 2, 40}, {"runs", runs, 5, 8}} {
		found, unjudged, any := verdicts(seeds, c.runs, c.seconds, c.source, c.source)
		t.Logf("%s: %d of %d comparisons find something: %v; unjudged %v", c.name, any, seeds, found, unjudged)
		if allowed := int(.05*float64(seeds)) + int(2*math.Sqrt(.05*.95*float64(seeds))); any > allowed {
			t.Errorf("%s: %d of %d comparisons of equals find a difference: %v", c.name, any, seeds, found)
		}
	}
}

// What is there is found, and with its right sign and size.
func TestRealDifferencesAreFound(t *testing.T) {
	seeds := 20
	if long() {
		seeds = 200
	}
	slower := plainServer
	slower.median = slower.median * 11 / 10
	found, _, _ := verdicts(seeds, 1, 60, plainServer, slower)
	t.Logf("10%% slower: %v of %d", found, seeds)
	for _, name := range []string{"p50", "p90"} {
		if found[name] < seeds*95/100 {
			t.Errorf("%s: 10%% slower is found in %d of %d", name, found[name], seeds)
		}
	}
	if found["hit_rate"]+found["rate"] > 1+seeds/20 {
		t.Errorf("of what did not change %v", found)
	}
	misses := plainServer
	misses.hit = .86
	if found, _, _ = verdicts(seeds, 1, 60, plainServer, misses); found["hit_rate"] < seeds*95/100 {
		t.Errorf("4 points of the hit rate are found in %d of %d", found["hit_rate"], seeds)
	}
	slower.runs = .02
	plain := plainServer
	plain.runs = .02
	if found, _, _ = verdicts(seeds, 6, 8, plain, slower); found["p50"] < seeds*9/10 {
		t.Errorf("in 6 runs that differ by 2%%, 10%% slower is found in %d of %d", found["p50"], seeds)
	}

	slower.runs = 0
	random := rand.New(rand.NewPCG(5, 5))
	c := Compare(plainServer.times(random, 1, 100), slower.times(random, 1, 100))
	for _, d := range c.Differences {
		if d.Name == "p50" && !(d.Low < .1 && .1 < d.High && d.High-d.Low < .1 && math.Abs(d.Change-.1) < .05) {
			t.Errorf("p50: %+v", d)
		}
	}
}

func TestCompareSaysWhatItCannotTell(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	verdict := func(c Comparison, name string) Difference {
		return c.Differences[slices.IndexFunc(c.Differences, func(d Difference) bool { return d.Name == name })]
	}
	short := Compare(plainServer.times(random, 1, 10), plainServer.times(random, 3, 30))
	if d := verdict(short, "p50"); d.Unjudged != "need at least 20 seconds a side" || d.NeedSeconds != 20 || d.Noise || !math.IsNaN(d.Low) {
		t.Errorf("%+v", d)
	}
	if short.A != (Size{1, 10}) || short.B != (Size{3, 90}) {
		t.Errorf("%+v", short)
	}
	if d := verdict(short, "max"); d.Unjudged != "seconds do not tell it: needs 4 runs a side" || d.A == 0 || d.B == 0 {
		t.Errorf("%+v", d)
	}
	rare := plainServer
	rare.perSecond = 20
	if d := verdict(Compare(rare.times(random, 1, 30), rare.times(random, 1, 30)), "p99.9"); d.NeedSeconds < 60 || d.NeedSeconds > 600 {
		t.Errorf("%+v", d)
	}
	nothing := Compare([]*Report{{}}, plainServer.times(random, 1, 30))
	for _, d := range nothing.Differences {
		if d.Unjudged == "" {
			t.Errorf("of nothing: %+v", d)
		}
	}
	for _, d := range Compare(nil, nil).Differences {
		if d.Unjudged == "" {
			t.Errorf("of no runs: %+v", d)
		}
	}

	a, b := plainServer.run(random, 30), plainServer.run(random, 30)
	b.Traffic.Keys.N, b.Invalid = 5, []string{"the generator was the limit"}
	b.Tallies[Read].Dropped = 30
	b.Traffic.Shard = Shard{Index: 1, Of: 3}
	notes := strings.Join(Compare([]*Report{a}, []*Report{b}).Notes, "\n")
	for _, want := range []string{"differs in its keys", "a run of B is not valid: the generator was the limit", "dropped 1% of its", "A is shard 1/1 and B shard 2/3", "compare 4 runs a side"} {
		if !strings.Contains(notes, want) {
			t.Errorf("no %q in %s", want, notes)
		}
	}
}

// One side that never fails and one that hardly does: the difference is judged, with no division by nothing.
func TestCompareRates(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	never, hardly, often := plainServer, plainServer, plainServer
	never.bad, hardly.bad, often.bad = 0, .0001, .02
	for _, c := range []struct {
		b     server
		noise bool
	}{{never, true}, {hardly, true}, {often, false}} {
		for _, d := range Compare(never.times(random, 1, 60), c.b.times(random, 1, 60)).Differences {
			if d.Name == "error_rate" && (d.Unjudged != "" || d.Noise != c.noise || d.Low > d.Change || d.High < d.Change) {
				t.Errorf("errors of %g: %+v", c.b.bad, d)
			}
		}
	}
	even := plainServer
	even.poisson, even.bad = false, 0
	for _, d := range Compare(even.times(random, 1, 60), even.times(random, 1, 60)).Differences {
		if d.Name == "rate" && (d.A != 100 || d.Low != 0 || d.High != 0 || !d.Noise) {
			t.Errorf("two steady rates: %+v", d)
		}
	}
}

// Against tables of the distribution.
func TestStudentT(t *testing.T) {
	for _, c := range []struct{ p, n, want float64 }{
		{.975, 1, 12.7062}, {.975, 2, 4.30265}, {.975, 3, 3.18245}, {.975, 4, 2.77645}, {.975, 7, 2.36462}, {.975, 10, 2.22814},
		{.975, 30, 2.04227}, {.975, 200, 1.97190}, {.995, 3, 5.84091}, {.995, 4, 4.60409}, {.995, 7, 3.49948}, {.995, 30, 2.75000}, {.975, 1e9, 1.95996},
	} {
		if got := studentT(c.p, c.n); math.Abs(got-c.want) > 2e-4 {
			t.Errorf("t(%g, %g) = %g, want %g", c.p, c.n, got, c.want)
		}
	}
}

// An hour a side at 1,000 a second.
func BenchmarkCompare(b *testing.B) {
	s := plainServer
	s.perSecond = 1000
	random := rand.New(rand.NewPCG(1, 1))
	x, y := s.times(random, 1, 3600), s.times(random, 1, 3600)
	for b.Loop() {
		Compare(x, y)
	}
}

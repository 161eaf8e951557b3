package fleet

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cachectl/cachectl/loadgen"
	"pgregory.net/rapid"
)

const sec = time.Second

// reading is Poisson traffic that reads one key.
func reading(seed uint64, rate float64, length time.Duration) *loadgen.Traffic {
	return &loadgen.Traffic{Seed: seed, Phases: []loadgen.Phase{{Length: length, Rate: rate, Poisson: true}},
		Keys: loadgen.Keys{N: 1, Law: "uniform"}, Sizes: loadgen.Sizes{Law: "fixed", Min: 1}, Mix: loadgen.Mix{Read: 1}}
}

func source(t testing.TB, traffic *loadgen.Traffic) loadgen.Source {
	t.Helper()
	if err := traffic.Valid(); err != nil {
		t.Fatal(err)
	}
	return traffic.Source()
}

func strategy(t testing.TB, name string, o Options) Maker {
	t.Helper()
	c, err := Choose(Catalogue(), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Valid(); err != nil {
		t.Fatal(err)
	}
	return c.Make(o)
}

func virtually(t testing.TB, c Config) *Report {
	t.Helper()
	r, err := Virtual(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// text is all of a report.
func text(t testing.TB, r *Report) string {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The experiment of the defaults: one hot key, 1000 requests a second, fetches of 200 ms.
func hot(t *testing.T, name string, o Options, change func(*Config)) *Report {
	t.Helper()
	c := Config{Strategy: name, Maker: strategy(t, name, o), Processes: 4, Seed: 1, Skip: 1, Length: 60 * o.TTL, Origin: Origin{Reads: Fixed(200 * ms)}}
	if change != nil {
		change(&c)
	}
	if c.Source == nil {
		c.Source = source(t, reading(1, 1000, c.Length))
	}
	return virtually(t, c)
}

func near(t *testing.T, what string, got, want, by float64) {
	t.Helper()
	if math.Abs(got-want) > by {
		t.Errorf("%s: %.4f, want %.4f within %.4f", what, got, want, by)
	}
}

// Means of origin calls for one expiry, within three standard errors.
func TestCallsForAnExpiry(t *testing.T) {
	hundred := func(c *Config) { c.Length = 600 * sec }
	short := Defaults()
	short.TTL, short.Stale = 3*sec, 3*sec
	lock := func(d time.Duration) Options { o := Defaults(); o.Lock = d; return o }
	for _, c := range []struct {
		name, why string
		o         Options
		change    func(*Config)
		want, by  float64
	}{
		{"none", "1+a", Defaults(), nil, 201, 3 * 14.1 / math.Sqrt(57)},
		{"none", "even arrivals: 1+floor(a)", Defaults(), func(c *Config) {
			traffic := reading(1, 997, c.Length)
			traffic.Phases[0].Poisson = false
			c.Source = traffic.Source()
		}, 200, 0},
		{"singleflight", "all of 20 processes", Defaults(), func(c *Config) { c.Processes = 20 }, 20, 0.01},
		{"singleflight", "1+19(1-exp(-10/20))", Defaults(), func(c *Config) {
			c.Processes, c.Length = 20, 6000*sec
			c.Source = reading(1, 50, c.Length).Source()
		}, 8.476, 3 * 2.1 / math.Sqrt(580)},
		{"lock", "one", Defaults(), nil, 1, 0},
		{"lock", "ceil(D/l)", lock(100 * ms), hundred, 2, 0},
		{"lock", "ceil(D/l)", lock(50 * ms), hundred, 4, 0},
		{"lock-stale", "one", Defaults(), nil, 1, 0},
		{"xfetch", "e", short, func(c *Config) { c.Length = 1200 * sec }, math.E, 3 * 2.16 / math.Sqrt(560)},
		{"xfetch-lock", "one", short, nil, 1, 0},
		{"swr", "one", Defaults(), nil, 1, 0},
		{"swr-local", "one a process", Defaults(), nil, 4, 0},
		{"stale-if-error", "1+a", Defaults(), nil, 201, 3 * 14.1 / math.Sqrt(57)},
		{"lease", "one", Defaults(), nil, 1, 0},
	} {
		t.Run(c.name+", "+c.why, func(t *testing.T) {
			t.Parallel()
			r := hot(t, c.name, c.o, c.change)
			if r.Cycles.Starts.N < 50 {
				t.Fatalf("%d cycles", r.Cycles.Starts.N)
			}
			near(t, "calls", r.Cycles.Starts.Mean(), c.want, c.by)
		})
	}
}

// Who waits, and for how long: research of the stampede, section 2.3.
func TestWhoWaits(t *testing.T) {
	none, lock, swr := hot(t, "none", Defaults(), nil), hot(t, "lock", Defaults(), nil), hot(t, "swr", Defaults(), nil)
	near(t, "none: share that waits", 1-none.Hits(), 0.2/10.2, 0.001)
	near(t, "none: everybody who waits waits for D", none.Window.Quantile(0.5).Seconds(), 0.2, 0.001)
	near(t, "none: the key is missing for D", none.Cycles.Missing.Quantile(0.5).Seconds(), 0.2, 0.001)
	near(t, "none: duplicated work", none.Cycles.Duplicated(), 200./201, 0.001)
	near(t, "lock: who waits does so for (D+p)/2", lock.Locks.Waited.Mean().Seconds(), 0.105, 0.002)
	if worst := lock.Latency.Quantile(1); worst > 211*ms || worst < 200*ms {
		t.Errorf("lock: the longest wait is %v, want D to D+p", worst)
	}
	near(t, "swr: stale serves for an expiry", float64(swr.Served[FromStale])/58, 200, 8)
	if p := swr.Stale.Past.Quantile(1); p > 206*ms || p < 195*ms {
		t.Errorf("swr: the stalest answer was %v past its TTL, want D and a moment", p)
	}
	if swr.Window.Count() > 300 || swr.Served[FromOther] > 300 {
		t.Errorf("swr: %d requests came while the key was missing, after the first fill none should", swr.Window.Count())
	}
	if lock.Locks.Expired != 0 || lock.Locks.Won != 59 {
		t.Errorf("lock: %d locks won and %d expired, want 59 and 0", lock.Locks.Won, lock.Locks.Expired)
	}
}

// The flush of a cache before an origin that cannot bear the load without it: whether it recovers is decided by what becomes of
// values that come when their client has given up.
func TestRecovery(t *testing.T) {
	for _, c := range []struct {
		what, name string
		drop       bool
		queue      int
		recovered  bool
	}{
		{"late fills dropped", "none", true, 0, false},
		{"late fills stored", "none", false, 0, true},
		{"coalesced, late fills dropped", "singleflight", true, 0, false},
		{"coalesced, late fills stored", "singleflight", false, 0, true},
		{"a queue as long as patience", "none", true, 200, false},
		{"a queue shorter than patience", "none", true, 150, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			traffic := reading(1, 1000, 90*sec)
			traffic.Keys = loadgen.Keys{N: 5000, Law: "zipf", Theta: 0.9}
			o := Defaults()
			o.TTL, o.Stale, o.DropLate = 0, 0, c.drop
			r := virtually(t, Config{Maker: strategy(t, c.name, o), Seed: 1, Source: source(t, traffic), Length: 90 * sec,
				Patience: sec, Load: &Load{Keys: 5000}, Origin: Origin{Reads: Fixed(100 * ms), Servers: 20, Queue: c.queue},
				Triggers: []Trigger{{At: 30 * sec, Do: Flush}}})
			after := r.After[0]
			if after.Recovered != c.recovered || (r.Overloaded == 0) != c.recovered {
				t.Errorf("recovered: %v, %d runs ended overloaded, hit ratio %.2f; want %v", after.Recovered, r.Overloaded, after.Hits, c.recovered)
			}
			if c.recovered && (after.After < 10*sec || after.After > 32*sec || after.Hits < 0.98) {
				t.Errorf("recovered after %v, hit ratio %.2f", after.After, after.Hits)
			}
			if !c.recovered && (after.Hits < 0.3 || after.Hits > 0.5) {
				t.Errorf("hit ratio %.2f at the end, want about 0.4", after.Hits)
			}
			if r.Ticks[20].HitRatio() != 1 {
				t.Errorf("hit ratio %v before the flush, want 1", r.Ticks[20].HitRatio())
			}
		})
	}
}

// Keys that were loaded at once expire at once, unless their TTLs differ.
func TestJitter(t *testing.T) {
	most := func(jitter float64) int {
		o := Defaults()
		o.TTL, o.Jitter = 60*sec, jitter
		traffic := reading(1, 100_000, 75*sec)
		traffic.Keys.N = 2000
		r := virtually(t, Config{Maker: strategy(t, "lock", o), Seed: 1, Source: source(t, traffic), Length: 75 * sec,
			Load: &Load{Keys: 2000, Lifetime: o.Lifetime}, Origin: Origin{Reads: Fixed(100 * ms)}})
		return r.Origin.Peak
	}
	if n := most(0); n < 1900 {
		t.Errorf("without jitter %d fetches at once, want nearly 2000", n)
	}
	if n := most(0.1); n < 17 || n > 45 { // K*D/(2J) = 16.7
		t.Errorf("with a tenth of jitter %d fetches at once, want 17 and noise", n)
	}
}

// draw makes any experiment.
func draw(t *rapid.T) (Config, *loadgen.Traffic) {
	law := func(name string, top time.Duration) Law {
		l := Law{Kind: rapid.SampledFrom([]string{"fixed", "exponential", "lognormal", "empirical"}).Draw(t, name), Sigma: 0.7,
			Mean: time.Duration(rapid.Int64Range(0, int64(top)).Draw(t, name+" mean"))}
		l.Samples = []time.Duration{0, l.Mean, 3 * l.Mean}
		return l
	}
	choice := rapid.SampledFrom(Catalogue()).Draw(t, "strategy")
	o := Options{Lifetime: Lifetime{TTL: time.Duration(rapid.Int64Range(1, int64(3*sec)).Draw(t, "ttl")), Jitter: rapid.Float64Range(0, 0.9).Draw(t, "jitter"),
		Stale: time.Duration(rapid.Int64Range(0, int64(3*sec)).Draw(t, "stale"))},
		DropLate: rapid.Bool().Draw(t, "drop late"), Coalesce: rapid.Bool().Draw(t, "coalesce"), Beta: rapid.Float64Range(0, 3).Draw(t, "beta"),
		Lock: time.Duration(rapid.Int64Range(1, int64(sec)).Draw(t, "lock")), Poll: time.Duration(rapid.Int64Range(1, int64(50*ms)).Draw(t, "poll")),
		Ahead: time.Duration(rapid.Int64Range(0, int64(sec)).Draw(t, "ahead"))}
	length := time.Duration(rapid.Int64Range(int64(ms), int64(6*sec)).Draw(t, "length"))
	traffic := reading(rapid.Uint64().Draw(t, "traffic"), rapid.Float64Range(1, 500).Draw(t, "rate"), length)
	traffic.Keys.N = rapid.Uint64Range(1, 20).Draw(t, "keys")
	traffic.Mix = loadgen.Mix{Read: 1, Write: rapid.SampledFrom([]float64{0, 0.1}).Draw(t, "writes")}
	c := Config{Strategy: choice.Name, Maker: choice.Make(o), Processes: rapid.IntRange(1, 5).Draw(t, "processes"), Seed: rapid.Uint64().Draw(t, "seed"), Length: length,
		Network: law("network", 20*ms), Capacity: rapid.SampledFrom([]int{0, 1, 5}).Draw(t, "capacity"), Messages: law("messages", 20*ms),
		Origin: Origin{Reads: law("origin", 300*ms), Servers: rapid.SampledFrom([]int{0, 1, 10}).Draw(t, "servers"), Early: rapid.Bool().Draw(t, "early"),
			Fails: rapid.SampledFrom([]float64{0, 0.2}).Draw(t, "fails")},
		Patience: time.Duration(rapid.Int64Range(0, int64(sec)).Draw(t, "patience")), Crashes: rapid.SampledFrom([]float64{0, 0.1}).Draw(t, "crashes")}
	if c.Origin.Servers > 0 {
		c.Origin.Queue, c.Origin.Sharing = rapid.IntRange(-1, 20).Draw(t, "queue"), rapid.Bool().Draw(t, "sharing")
	}
	if rapid.Bool().Draw(t, "loaded") {
		c.Load = &Load{Keys: Key(traffic.Keys.N), Lifetime: o.Lifetime, Took: c.Origin.Reads.Mean}
	}
	for i, do := range rapid.SliceOfN(rapid.SampledFrom([]string{Flush, Expire, Outage}), 0, 3).Draw(t, "triggers") {
		c.Triggers = append(c.Triggers, Trigger{At: time.Duration(i+1) * length / 4, Do: do, For: length / 8})
	}
	return c, traffic
}

// Whatever the experiment, every request is answered once or its client gives up, no lock outlives its holder for longer
// than its time, what the ledger counts adds up, and all of it happens again in the same way.
func TestAnyExperiment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, traffic := draw(t)
		c.Source = traffic.Source()
		v := newVirtual(c)
		v.load()
		if err := v.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := v.report()
		served := r.GaveUp + r.Crashed
		for _, n := range r.Served {
			served += n
		}
		if served != r.Reads+r.Writes || r.Unserved != 0 {
			t.Fatalf("%d reads and %d writes arrived, %d were served, %d not", r.Reads, r.Writes, served, r.Unserved)
		}
		var op loadgen.Op
		arrived := uint64(0)
		for s := traffic.Source(); s.Next(&op); {
			arrived++
		}
		if arrived != r.Reads+r.Writes {
			t.Fatalf("%d requests were made, %d arrived", arrived, r.Reads+r.Writes)
		}
		if n := r.Latency.Count() + r.Writing.Count(); n+r.Crashed != served {
			t.Fatalf("%d latencies of %d requests, %d of which crashed", n, served, r.Crashed)
		}
		if r.Cycles.Starts.Sum > r.Origin.Reads || r.Cycles.Starts.N > 0 && r.Cycles.Starts.Mean() < 1 {
			t.Fatalf("%d reads in %d cycles of %d reads", r.Cycles.Starts.Sum, r.Cycles.Starts.N, r.Origin.Reads)
		}
		var ticks Tick
		for i := range r.Ticks {
			ticks.merge(&r.Ticks[i])
		}
		if ticks.Reads != r.Reads || ticks.Writes != r.Writes || ticks.Starts != r.Origin.Reads+r.Origin.Writes || ticks.Most != r.Origin.Peak ||
			ticks.Good != r.Good() || ticks.Hits != r.Served[FromCache]+r.Served[FromLocal]+r.Served[FromStale] {
			t.Fatalf("the series adds up to %+v, of %+v", ticks, r)
		}
		v.cache.items.all(func(key Key, it *item) {
			if it.lockEnds > v.now+time.Second || it.stubEnds > v.now+time.Second {
				t.Fatalf("key %d is locked until %v, at %v", key, max(it.lockEnds, it.stubEnds), v.now)
			}
		})
		c.Source = traffic.Source()
		again, err := Virtual(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		one, _ := json.Marshal(r)
		other, _ := json.Marshal(again)
		if string(one) != string(other) {
			t.Fatalf("the same experiment again:\n%s\n%s", one, other)
		}
	})
}

// A strategy that breaks the contract is told so.
func TestServedTwice(t *testing.T) {
	_, err := Virtual(t.Context(), Config{Strategy: "twice", Length: sec, Source: source(t, reading(1, 10, sec)), Maker: func(int, *rand.Rand) Strategy { return twice{} }})
	if err == nil || !strings.Contains(err.Error(), "strategy twice served request 1") {
		t.Errorf("error %v", err)
	}
}

type twice struct{}

func (twice) Next(e *Event, do *Actions) {
	do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key})
	do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key})
}

// A strategy that never answers is broken off, and told.
func TestNeverServed(t *testing.T) {
	r := virtually(t, Config{Length: sec, Source: source(t, reading(1, 10, sec)), Maker: func(int, *rand.Rand) Strategy { return silent{} }})
	if r.Unserved == 0 || r.Unserved != r.Reads {
		t.Errorf("%d of %d requests were not served, want all", r.Unserved, r.Reads)
	}
}

type silent struct{}

func (silent) Next(*Event, *Actions) {}

// Reports of runs add up, whatever the order.
func TestMergeOfReports(t *testing.T) {
	run := func(seed uint64) *Report {
		o := Defaults()
		o.TTL = sec
		return hot(t, "none", o, func(c *Config) {
			c.Seed, c.Length, c.Patience, c.Triggers = seed, 5*sec, 150*ms, []Trigger{{At: 2 * sec, Do: Flush}}
			c.Source = reading(seed, 1000, c.Length).Source()
		})
	}
	var one, other Report
	for _, seed := range []uint64{1, 2, 3} {
		one.Merge(run(seed))
		other.Merge(run(4 - seed))
	}
	other.After[0], other.After[2] = other.After[2], other.After[0]
	if a, b := text(t, &one), text(t, &other); a != b {
		t.Errorf("the order matters:\n%s\n%s", a, b)
	}
	first := run(1)
	if one.Runs != 3 || len(one.After) != 3 || one.Reads <= 2*first.Reads || one.Latency.Count() != one.Reads {
		t.Errorf("three runs make %d with %d reads, %d latencies, %d triggers", one.Runs, one.Reads, one.Latency.Count(), len(one.After))
	}
}

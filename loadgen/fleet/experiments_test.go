package fleet

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cachectl/cachectl/loadgen"
)

// Totals are of what was due after the warm-up, the series is of everything.
func TestWarmup(t *testing.T) {
	r := hot(t, "none", Defaults(), func(c *Config) { c.Length, c.Warmup = 60*sec, 30*sec })
	if len(r.Ticks) < 60 || r.Ticks[5].Reads == 0 {
		t.Errorf("the series has %d seconds, and %d reads in its sixth", len(r.Ticks), r.Ticks[5].Reads)
	}
	near(t, "reads", float64(r.Reads), 30_000, 600)
	if n := r.Cycles.Starts.N; n != 3 {
		t.Errorf("%d cycles of 10.2 s in 30 s, want 3", n)
	}
	near(t, "origin reads", float64(r.Origin.Reads), 3*201, 150)
}

// A winner that crashes leaves its lock behind: nobody gets on until that runs out.
func TestCrashes(t *testing.T) {
	for _, name := range []string{"lock", "lease"} {
		o := Defaults()
		o.Lock, o.Poll = sec, 20*ms
		r := hot(t, name, o, func(c *Config) { c.Crashes, c.Length = 0.4, 400*sec })
		if r.Locks.Crashes < 10 || r.Crashed < r.Locks.Crashes {
			t.Errorf("%s: %d winners crashed with %d requests, of %d", name, r.Locks.Crashes, r.Crashed, r.Locks.Won)
		}
		whole := map[time.Duration]uint64{} // windows by the locks that had to run out
		for d, n := range r.Cycles.Missing.Buckets() {
			whole[d/sec] += n
			if rest := d % sec; rest < 199*ms || rest > 200*ms+(d/sec+1)*20*ms {
				t.Errorf("%s: the key was missing for %v, want 200 ms, and a second for each crash", name, d)
			}
		}
		if whole[0] < 10 || whole[1] < 3 {
			t.Errorf("%s: windows by crashes: %v", name, whole)
		}
		if r.Cycles.Starts.Mean() != 1 {
			t.Errorf("%s: %.3f calls for an expiry, want 1", name, r.Cycles.Starts.Mean())
		}
	}
}

// While the origin is down, stale values are served by who keeps them, and errors by who does not.
func TestOutage(t *testing.T) {
	down := func(c *Config) { c.Length, c.Triggers = 60*sec, []Trigger{{At: 21 * sec, Do: Outage, For: 8 * sec}} }
	o := Defaults()
	o.TTL = 5 * sec
	none, stale := hot(t, "none", o, down), hot(t, "stale-if-error", o, down)
	if n := none.Served[WithError]; n < 3000 {
		t.Errorf("none: %d errors in more than 3 seconds without a value", n)
	}
	if n := stale.Served[WithError]; n != 0 || stale.Served[FromStale] < 3000 {
		t.Errorf("stale-if-error: %d errors and %d stale answers", n, stale.Served[FromStale])
	}
	if a := none.After[0]; !a.Recovered || a.After < 4*sec || a.After > 10*sec {
		t.Errorf("none: %+v", a)
	}
}

// An LRU cache of independent requests that are all alike holds whatever it holds: hits are capacity over keys.
func TestCapacity(t *testing.T) {
	o := Defaults()
	o.TTL, o.Stale = 0, 0
	traffic := reading(1, 10_000, 20*sec)
	traffic.Keys = loadgen.Keys{N: 1000, Law: "uniform"}
	r := virtually(t, Config{Maker: strategy(t, "none", o), Source: source(t, traffic), Length: 20 * sec, Warmup: 2 * sec, Capacity: 300})
	near(t, "hit ratio", r.Hits(), 0.3, 0.005)
	if r.Cache.Evicted < 100_000 {
		t.Errorf("%d evictions", r.Cache.Evicted)
	}
}

// A round trip is in every answer, twice in one that was fetched only if the answer waits for the set, which it does not.
func TestRoundTrips(t *testing.T) {
	r := hot(t, "none", Defaults(), func(c *Config) { c.Network, c.Length = Fixed(2*ms), 300*sec })
	near(t, "a hit (ms)", r.Latency.Quantile(0.5).Seconds()*1000, 2, 0.01)
	near(t, "a miss (ms)", r.Latency.Max().Seconds()*1000, 202, 0.3)
	near(t, "calls for an expiry", r.Cycles.Starts.Mean(), 1+1000*0.202, 8) // from the first get's arrival to the set's
}

// A run can be broken off.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if _, err := Virtual(ctx, Config{Maker: strategy(t, "none", Defaults()), Source: source(t, reading(1, 1, time.Hour)), Length: time.Hour}); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
}

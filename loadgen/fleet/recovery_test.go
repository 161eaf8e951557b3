package fleet_test

import (
	"testing"
	"time"

	"github.com/cachectl/cachectl/loadgen"
	"github.com/cachectl/cachectl/loadgen/fleet"
	"github.com/cachectl/cachectl/loadgen/theory"
)

// A flush of a warm cache before an origin that bears a fifth of the load: a vulnerable footing. Each variant by five seeds, all of
// which are to agree. The figures are those of another simulation of the same experiment, widened by a few per cent.
func TestRecoveriesOfFiveSeeds(t *testing.T) {
	const (
		rate, servers     = 1000, 20
		service, patience = 100 * millisecond, time.Second
		flushed, end      = 10 * time.Second, 100 * time.Second
	)
	if footing := theory.FootingOf(rate, 1, servers/service.Seconds()); footing != theory.Vulnerable {
		t.Fatalf("the experiment is %v, and so says nothing of recovery", footing)
	}
	never := [2]time.Duration{}
	for _, c := range []struct {
		what, name string
		drop       bool
		queue      int
		fifth      [2]float64 // hit ratio five seconds after the flush
		last       [2]float64 // over the last ten
		after      [2]time.Duration
	}{
		{"late fills dropped", "none", true, 0, [2]float64{0.36, 0.47}, [2]float64{0.37, 0.44}, never},
		{"late fills stored", "none", false, 0, [2]float64{0.55, 0.65}, [2]float64{0.995, 1}, [2]time.Duration{25 * time.Second, 31 * time.Second}},
		{"coalesced, late fills dropped", "singleflight", true, 0, [2]float64{0.40, 0.51}, [2]float64{0.39, 0.49}, never},
		{"coalesced, late fills stored", "singleflight", false, 0, [2]float64{0.60, 0.70}, [2]float64{0.995, 1}, [2]time.Duration{13 * time.Second, 19 * time.Second}},
		{"a queue as long as patience", "none", true, 200, [2]float64{0.36, 0.47}, [2]float64{0.37, 0.44}, never},
		{"a queue of 150", "none", true, 150, [2]float64{0.58, 0.68}, [2]float64{0.995, 1}, [2]time.Duration{17 * time.Second, 23 * time.Second}},
		{"a queue of 100", "none", true, 100, [2]float64{0.58, 0.68}, [2]float64{0.995, 1}, [2]time.Duration{17 * time.Second, 23 * time.Second}},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			o := lasting(0)
			o.DropLate = c.drop
			if inTime := theory.AnswersInTime(c.queue, servers, service, patience); c.queue > 0 && inTime != (c.after != never) {
				t.Errorf("the rule says that a queue of %d answers in time: %v", c.queue, inTime)
			}
			for seed := range uint64(5) {
				traffic := asked(rate, seed+1)
				traffic.Keys = loadgen.Keys{N: 5000, Law: loadgen.Zipf, Theta: 0.9}
				r, err := fleet.Virtual(t.Context(), fleet.Config{Maker: chosen(t, c.name, o), Seed: seed, Source: traffic.Source(), Length: end, Patience: patience,
					Load: &fleet.Load{Keys: 5000}, Origin: fleet.Origin{Reads: fleet.Fixed(service), Servers: servers, Queue: c.queue},
					Triggers: []fleet.Trigger{{At: flushed, Do: fleet.Flush}}})
				if err != nil {
					t.Fatal(err)
				}
				a := r.After[0]
				switch {
				case r.Ticks[9].HitRatio() != 1:
					t.Errorf("seed %d: hit ratio %.3f before the flush", seed, r.Ticks[9].HitRatio())
				case a.Recovered != (c.after != never), a.After < c.after[0], a.After > c.after[1]:
					t.Errorf("seed %d: recovered: %v, after %v; not %v", seed, a.Recovered, a.After, c.after)
				case a.Fifth < c.fifth[0], a.Fifth > c.fifth[1], a.Hits < c.last[0], a.Hits > c.last[1]:
					t.Errorf("seed %d: hit ratio %.3f at the fifth second and %.3f at the end, not %v and %v", seed, a.Fifth, a.Hits, c.fifth, c.last)
				}
			}
		})
	}
}

package fleet

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestLaws(t *testing.T) {
	const n = 200_000
	for what, c := range map[string]struct {
		law      Law
		mean, sd float64 // ms
	}{
		"fixed":       {Fixed(20 * ms), 20, 0},
		"nothing":     {Law{}, 0, 0},
		"exponential": {Exponential(20 * ms), 20, 20},
		"lognormal":   {Lognormal(20*ms, 0.5), 20, 20 * math.Sqrt(math.Exp(0.25)-1)},
		"empirical":   {Empirical([]time.Duration{10 * ms, 10 * ms, 40 * ms}), 20, math.Sqrt(200)},
	} {
		t.Run(what, func(t *testing.T) {
			if err := c.law.Valid(); err != nil {
				t.Fatal(err)
			}
			random := rand.New(rand.NewPCG(1, 2))
			var sum, squares float64
			for range n {
				x := float64(c.law.Draw(random)) / float64(ms)
				sum += x
				squares += (x - c.mean) * (x - c.mean)
			}
			near(t, "mean", sum/n, c.mean, 3.5*c.sd/math.Sqrt(n)+1e-9)
			near(t, "standard deviation", math.Sqrt(squares/n), c.sd, 0.02*c.sd+1e-9)
			near(t, "typical", c.law.Typical().Seconds()*1000, c.mean, 1e-9)
		})
	}
	for _, wrong := range []Law{{Kind: "normal"}, {Mean: -1}, {Kind: "empirical"}, {Kind: "empirical", Samples: []time.Duration{-1}}, {Sigma: math.NaN()}} {
		if wrong.Valid() == nil {
			t.Errorf("%+v is valid", wrong)
		}
	}
}

// A visit is a job of a test: reads take one time, writes another.
type visit struct {
	at    time.Duration
	write bool
}

func visits(t *rapid.T) []visit {
	all := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) visit {
		return visit{time.Duration(rapid.IntRange(0, 400).Draw(t, "at")) * ms, rapid.Bool().Draw(t, "write")}
	}), 1, 40).Draw(t, "visits")
	slices.SortStableFunc(all, func(a, b visit) int { return int(a.at - b.at) })
	return all
}

// times are when each of the visits is done at the desk; -1: refused. What ends and what comes at one instant: the end is first.
func times(t *rapid.T, d *Desk, all []visit) []time.Duration {
	done := make([]time.Duration, len(all))
	end := func(until time.Duration) {
		for {
			at, some := d.Next()
			if !some || at > until {
				return
			}
			done[d.End(at).ID] = at
		}
	}
	for i, v := range all {
		end(v.at)
		if !d.Start(v.at, uint32(i), v.write) {
			done[i] = -1
		}
	}
	end(math.MaxInt64)
	if d.Busy() != 0 {
		t.Fatalf("%d jobs never end", d.Busy())
	}
	return done
}

// A queue against servers that are walked through by hand.
func TestQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := visits(t)
		writes := Fixed(time.Duration(rapid.IntRange(0, 60).Draw(t, "writes")) * ms)
		o := Origin{Reads: Fixed(30 * ms), Writes: &writes, Servers: rapid.IntRange(1, 4).Draw(t, "servers"), Queue: rapid.IntRange(-1, 6).Draw(t, "queue")}
		got := times(t, NewDesk(o, rand.New(rand.NewPCG(1, 1))), all)

		limit := o.Queue
		if limit == 0 {
			limit = math.MaxInt
		}
		limit = max(limit, 0)
		type served struct {
			ends time.Duration
			id   int
		}
		var working []served
		var waiting []int
		want := make([]time.Duration, len(all))
		for now, next := time.Duration(0), 0; next < len(all) || len(working) > 0; now += ms {
			for moved := true; moved; { // jobs of no time end and let others in at the same instant
				moved = false
				for i := 0; i < len(working); i++ {
					if working[i].ends == now {
						want[working[i].id] = now
						working = slices.Delete(working, i, i+1)
						i, moved = i-1, true
					}
				}
				for len(waiting) > 0 && len(working) < o.Servers {
					work := o.Reads.Mean
					if all[waiting[0]].write {
						work = writes.Mean
					}
					working = append(working, served{now + work, waiting[0]})
					waiting, moved = waiting[1:], true
				}
				if !moved && next < len(all) && all[next].at == now {
					if len(waiting) < limit || len(working) < o.Servers {
						waiting = append(waiting, next)
					} else {
						want[next] = -1
					}
					next, moved = next+1, true
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%+v: %v\n got %v\nwant %v", o, all, got, want)
		}
	})
}

// Shared processors against work that is handed out from one event to the next.
func TestSharing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := visits(t)
		writes := Fixed(time.Duration(rapid.IntRange(1, 60).Draw(t, "writes")) * ms)
		o := Origin{Reads: Fixed(30 * ms), Writes: &writes, Servers: rapid.IntRange(1, 4).Draw(t, "servers"), Sharing: true}
		got := times(t, NewDesk(o, rand.New(rand.NewPCG(1, 1))), all)
		left := map[int]float64{}
		now := 0.0
		for next := 0; next < len(all) || len(left) > 0; {
			pace := min(1, float64(o.Servers)/float64(max(len(left), 1)))
			step := math.Inf(1)
			for _, work := range left {
				step = min(step, work/pace)
			}
			if next < len(all) {
				step = min(step, float64(all[next].at)-now)
			}
			now += step
			for id := range left {
				if left[id] -= step * pace; left[id] < 1 {
					if math.Abs(float64(got[id])-now) > 100 {
						t.Fatalf("job %d is done at %v, want %v", id, got[id], time.Duration(now))
					}
					delete(left, id)
				}
			}
			for next < len(all) && float64(all[next].at) <= now {
				work := o.Reads.Mean
				if all[next].write {
					work = writes.Mean
				}
				left[next] = float64(work)
				next++
			}
		}
	})
}

func TestSharingRefuses(t *testing.T) {
	d := NewDesk(Origin{Reads: Fixed(sec), Servers: 2, Queue: 1, Sharing: true}, nil)
	for id, want := range []bool{true, true, true, false} {
		if d.Start(0, uint32(id), false) != want {
			t.Errorf("job %d is taken: %v, want %v", id, !want, want)
		}
	}
}

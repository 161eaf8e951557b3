package loadgen

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var day = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// madeRun is a report as a run of so many seconds might leave it: n requests a second, 9 of 10
// reads, 8 of 10 reads hits, one in a hundred refused.
func madeRun(seed uint64, seconds, n int, median time.Duration) *Report {
	random := rand.New(rand.NewPCG(seed, 2))
	r := &Report{Target: "redis://a:6379", Started: day, Length: time.Duration(seconds) * time.Second, Connections: 2, Depth: 64}
	r.Traffic = Traffic{Seed: 42, Phases: []Phase{{Length: r.Length, Rate: float64(n)}}, Keys: Keys{N: 1000, Law: Uniform},
		Sizes: Sizes{Law: "fixed", Min: 100}, Mix: Mix{Read: 9, Write: 1}}
	for s := range seconds {
		tick := Tick{At: time.Duration(s) * time.Second}
		for range n {
			madeRequest(random, &r.Tallies, &tick, median)
		}
		tick.Latency.Coarsen()
		r.Ticks = append(r.Ticks, tick)
	}
	r.Late.AddN(20*time.Microsecond, uint64(seconds*n))
	return r
}

func madeRequest(random *rand.Rand, tallies *[doKinds]Tally, tick *Tick, median time.Duration) {
	do := Read
	if random.IntN(10) == 0 {
		do = Write
	}
	t := &tallies[do]
	t.Due, t.Sent, tick.Due, tick.Sent = t.Due+1, t.Sent+1, tick.Due+1, tick.Sent+1
	if random.IntN(100) == 0 {
		t.Refused, tick.Refused = t.Refused+1, tick.Refused+1
		return
	}
	t.Done, tick.Done = t.Done+1, tick.Done+1
	if do == Read && random.IntN(10) < 8 {
		t.Hits, tick.Hits = t.Hits+1, tick.Hits+1
	} else if do == Read {
		t.Misses, tick.Misses = t.Misses+1, tick.Misses+1
	}
	took := time.Duration(float64(median) * (.5 + random.ExpFloat64()*.7))
	t.Latency.Add(took)
	t.Service.Add(took / 2)
	tick.Latency.Add(took)
}

func shardOf(r *Report, index, of int) *Report {
	r.Traffic.Shard = Shard{Index: index, Of: of}
	return r
}

// In whatever order the shards come, the sum is that of the parts, second by second.
func TestMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		of := rapid.IntRange(2, 4).Draw(t, "of")
		var shards []*Report
		var done, length uint64
		var all Histogram
		perSecond := make(map[time.Duration]uint64)
		for i := range of {
			s := shardOf(madeRun(uint64(i), rapid.IntRange(1, 4).Draw(t, "seconds"), 5*(i+1), time.Millisecond), i, of)
			s.Traffic.Phases = []Phase{{Length: 4 * time.Second, Rate: 100}}
			jitter := time.Duration(rapid.IntRange(-200, 200).Draw(t, "jitter")) * time.Millisecond
			s.Errors, s.Closed = map[string]uint64{"ERR no": uint64(i + 1)}, i == 1
			s.Started = day.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "late"))*time.Second + jitter)
			shards = append(shards, s)
		}
		first := shards[0].Started
		for _, s := range shards {
			if s.Started.Before(first) {
				first = s.Started
			}
		}
		for _, s := range shards {
			total := s.Total()
			done += total.Done
			all.Merge(&total.Latency)
			length = max(length, uint64(s.Started.Sub(first)+s.Length))
			for _, tick := range s.Ticks {
				perSecond[(s.Started.Sub(first) + tick.At).Round(time.Second)] += tick.Done
			}
		}
		order := rapid.Permutation(shards).Draw(t, "order")
		sum, err := Merge(order...)
		if err != nil {
			t.Fatal(err)
		}
		total := sum.Total()
		if total.Done != done || !sum.Started.Equal(first) || uint64(sum.Length) != length || sum.Traffic.Shard != (Shard{}) || sum.Connections != 2*of ||
			sum.Errors["ERR no"] != uint64(of*(of+1)/2) || !sum.Closed {
			t.Fatalf("%d done since %v in %v by %d, want %d since %v in %v", total.Done, sum.Started, sum.Length, sum.Connections, done, first, time.Duration(length))
		}
		if total.Latency.Count() != all.Count() || total.Latency.Quantile(.9) != all.Quantile(.9) {
			t.Fatal("the histograms do not add up")
		}
		if len(sum.Ticks) != len(perSecond) {
			t.Fatalf("%d ticks, want %d", len(sum.Ticks), len(perSecond))
		}
		for i, tick := range sum.Ticks {
			if tick.Done != perSecond[tick.At] || tick.Done != tick.Latency.Count() || i > 0 && tick.At <= sum.Ticks[i-1].At {
				t.Fatalf("tick %d at %v: %d, want %d", i, tick.At, tick.Done, perSecond[tick.At])
			}
		}
		if order[0].Total().Done == done {
			t.Fatal("a part was changed")
		}
	})
}

func TestMergeSaysWhatIsWrong(t *testing.T) {
	made := func(index, of int) *Report {
		return shardOf(madeRun(uint64(index), 2, 10, time.Millisecond), index, of)
	}
	changed := func(index int, change func(*Report)) *Report {
		r := made(index, 3)
		change(r)
		return r
	}
	for _, c := range []struct {
		name    string
		shards  []*Report
		err     string // "": merged
		invalid string // "": valid
	}{
		{"nothing", nil, "there are none", ""},
		{"one whole run", []*Report{made(0, 0)}, "", ""},
		{"two whole runs", []*Report{made(0, 0), made(0, 0)}, "not merged", ""},
		{"all", []*Report{made(2, 3), made(0, 3), made(1, 3)}, "", ""},
		{"one missing", []*Report{made(0, 3), made(2, 3)}, "", "shards 1,3 of 3 are here, 2 missing"},
		{"many missing", []*Report{made(3, 1e9)}, "", "shards 4 of 1000000000 are here, 1,2,3,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,... missing"},
		{"twice", []*Report{made(1, 3), made(0, 3), made(1, 3)}, "shard 2/3 comes twice", ""},
		{"no such shard", []*Report{made(0, 3), made(3, 3)}, "no shard 4/3", ""},
		{"other numbers", []*Report{made(0, 3), made(1, 2)}, "not of one run", ""},
		{"another target", []*Report{made(0, 3), changed(1, func(r *Report) { r.Target = "redis://b" })}, "another to redis://b", ""},
		{"another seed", []*Report{made(0, 3), changed(1, func(r *Report) { r.Traffic.Seed++ })}, "shards 1/3 and 2/3 differs in its seed", ""},
		{"other keys and mix", []*Report{made(0, 3), changed(1, func(r *Report) { r.Traffic.Keys.N, r.Traffic.Mix.Read = 7, 1 })}, "its keys, mix", ""},
		{"apart", []*Report{made(0, 3), changed(1, func(r *Report) { r.Started = day.Add(4900 * time.Millisecond) }), made(2, 3)}, "", "shard 2/3 started 4.9s after the first"},
		{"invalid part", []*Report{made(0, 3), changed(1, func(r *Report) { r.Invalid = []string{"cut short"} }), made(2, 3)}, "", "shard 2/3: cut short"},
	} {
		sum, err := Merge(c.shards...)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		}
		if err != nil {
			continue
		}
		if said := strings.Join(sum.Invalid, "; "); (said == "") != (c.invalid == "") || !strings.Contains(said, c.invalid) {
			t.Errorf("%s: invalid for %q, want %q", c.name, said, c.invalid)
		}
	}
}

func TestFigures(t *testing.T) {
	r := madeRun(1, 3, 100, time.Millisecond)
	r.Tallies[Read].Due += 15
	r.Tallies[Read].Dropped += 15
	r.Tallies[Write].Hits = 1000 // of writes and deletes hits are no part of the hit rate
	figures := r.Figures()
	names := FigureNames()
	if len(names) != len(figures) {
		t.Errorf("%d names, %d figures", len(names), len(figures))
	}
	for _, name := range names {
		if _, ok := figures[name]; !ok {
			t.Errorf("no figure %s", name)
		}
	}
	total := r.Total()
	done, read := float64(total.Done), r.Tallies[Read]
	for name, want := range map[string]float64{
		"rate": done / 3, "due_per_second": 105, "reached": done / 315, "drop_rate": 15. / 315, "error_rate": float64(total.Refused) / 300,
		"hit_rate": float64(read.Hits) / float64(read.Hits+read.Misses), "p99": total.Latency.Quantile(.99).Seconds(),
		"service_max": total.Service.Max().Seconds(), "read_p50": read.Latency.Quantile(.5).Seconds(), "seconds": 3, "invalid": 0,
	} {
		if figures[name] != want {
			t.Errorf("%s is %v, want %v", name, figures[name], want)
		}
	}
	for _, unknown := range []string{"delete_p99", "delete_mean"} {
		if v := figures[unknown]; v == v {
			t.Errorf("%s is %v of no deletes", unknown, v)
		}
	}
	for _, name := range []string{"rate", "hit_rate", "p50", "reached"} {
		if v := new(Report).Figures()[name]; v == v {
			t.Errorf("%s of nothing is %v", name, v)
		}
	}
}

package loadgen

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// TestRunFileAddsUp: counts that no run has are refused, and what does not add up is named.
func TestRunFileAddsUp(t *testing.T) {
	for _, c := range []struct {
		want   string
		change func(r *Report)
	}{
		{"reads sent or dropped are", func(r *Report) { r.Tallies[Read].Due++ }},
		{"writes sent or dropped are", func(r *Report) { r.Tallies[Write].Dropped++ }},
		{"reads done, refused or lost are", func(r *Report) { r.Tallies[Read].Done = 2 * r.Tallies[Read].Sent }},
		{"writes done, refused or lost are", func(r *Report) { r.Tallies[Write].Lost++ }},
		{"latencies of reads are 1", func(r *Report) { r.Tallies[Read].Latency = Histogram{}; r.Tallies[Read].Latency.Add(1) }},
		{"service times of writes are 0, and those done ", func(r *Report) { r.Tallies[Write].Service = Histogram{} }},
		{"hits and misses of reads are", func(r *Report) { r.Tallies[Read].Hits-- }},
		{"hits and misses of writes are 1, and there can be 0", func(r *Report) { r.Tallies[Write].Misses++ }},
		{"hits and misses of deletes are 1, and those done 0", func(r *Report) { r.Tallies[Remove].Hits++ }},
		{"latencies of second 2 are", func(r *Report) { r.Ticks[1].Latency.Add(time.Millisecond) }},
		{"requests due in all seconds are", func(r *Report) { r.Ticks[1].Due++ }},
		{"requests sent in all seconds are", func(r *Report) { r.Ticks[2].Sent-- }},
		{"requests done in all seconds are", func(r *Report) { r.Ticks = r.Ticks[:2]; r.Ticks[0].Due += 20; r.Ticks[0].Sent += 20 }},
		{"requests refused in all seconds are", func(r *Report) { r.Ticks[0].Refused += 7 }},
		{"requests lost in all seconds are 1, and those of all kinds 0", func(r *Report) { r.Ticks[0].Lost++ }},
		{"requests dropped in all seconds are 1, and those of all kinds 0", func(r *Report) { r.Ticks[0].Dropped++ }},
		{"hits in all seconds are", func(r *Report) { r.Ticks[0].Hits++ }},
		{"misses in all seconds are", func(r *Report) { r.Ticks[0].Misses++ }},
		{"more errors are named than the 0 requests that were refused or lost (1 of \"OOM\")", func(r *Report) { r.Errors = map[string]uint64{"OOM": 1} }},
		{"requests that the generator came round to are 61, and those due 60", func(r *Report) { r.Late.Add(1) }},
	} {
		good := madeRun(1, 3, 20, time.Millisecond)
		for seed := uint64(2); good.Total().Refused > 0; seed++ {
			good = madeRun(seed, 3, 20, time.Millisecond)
		}
		c.change(good)
		run, err := ReadRun(bytes.NewReader(savedRun(t, loadRun(madeRun(1, 3, 20, time.Millisecond), good))))
		if err == nil || !strings.Contains(err.Error(), "report 2: its counts do not add up: "+c.want) {
			t.Errorf("%v, %v, want %q", run, err, c.want)
		}
	}
	text := string(savedRun(t, loadRun(madeRun(1, 3, 20, time.Millisecond))))
	at := strings.Index(text, `"done":`) + len(`"done":`)
	if _, err := ReadRun(strings.NewReader(text[:at] + "-" + text[at:])); err == nil || !strings.Contains(err.Error(), "done") {
		t.Errorf("a negative count: %v", err)
	}
}

// TestRunsAddUp: what the engine and Merge leave behind can be read, whatever happened to the run.
func TestRunsAddUp(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, c Config) {
		s, d := single(t)
		k := client(t, s)
		c.Dialer, c.Connections, c.Depth, c.Threads, c.MaxWaiting = d, 3, 4, 2, 20
		c.Traffic = uniform(500, Mix{6, 3, 1}, Phase{Length: 100 * time.Millisecond, Rate: 500, Warmup: true},
			Phase{Length: 50 * time.Millisecond}, Phase{Length: time.Hour, Rate: 4000})
		var shards []*Report
		for i := range 2 {
			c.Traffic.Shard = Shard{i, 2}
			r := sendWhile(t, c, func() {
				waitForGets(t, k, 100)
				k.Do(t.Context(), "debug", "sleep", "0.1") // too many wait
				k.ConfigSet(t.Context(), "maxmemory", "1") // writes are refused
				eventually(t, "writes are refused", func() bool { return errorCount(k, "OOM") > 0 })
				k.ClientKillByFilter(t.Context(), "type", "normal", "skipme", "yes")
				k.ConfigSet(t.Context(), "maxmemory", "0")
				waitForGets(t, k, commandCalls(t, k)["get"]+100)
			})
			if r.Total().Refused == 0 {
				t.Errorf("%+v", r.Total())
			}
			shards = append(shards, r)
			k.ConfigResetStat(t.Context())
		}
		whole, err := Merge(shards...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ReadRun(bytes.NewReader(savedRun(t, loadRun(append(shards, whole)...)))); err != nil {
			t.Error(err)
		}
	})
}

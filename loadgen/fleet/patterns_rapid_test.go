package fleet

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cachectl/cachectl/loadgen"
	"pgregory.net/rapid"
)

// A storm is reads and writes of few keys for a while, then a long rest, then reads of all keys.
type storm struct {
	random      *rand.Rand
	keys, n     int
	during      time.Duration
	last, again int
	now         time.Duration
}

const (
	rest  = 2 * time.Minute // longer than any TTL, and than a hundred flushes
	calms = 12              // reads of each key after the rest
)

func (s *storm) Next(op *loadgen.Op) bool {
	*op = loadgen.Op{Key: uint64(s.random.IntN(s.keys))}
	if s.last < s.n {
		s.last++
		s.now += time.Duration(s.random.Int64N(int64(2*s.during)/int64(s.n) + 1))
		if s.random.IntN(3) == 0 {
			op.Do = loadgen.Write
		}
		op.Due = s.now
		return true
	}
	if s.again == calms*s.keys {
		return false
	}
	op.Key = uint64(s.again % s.keys)
	op.Due = s.calm() + time.Duration(s.again)*ms
	s.again++
	return true
}

// calm is when the rest is over, a whole second: no storm is longer than twice what it should be.
func (s *storm) calm() time.Duration { return (2*s.during + rest).Truncate(time.Second) }

func drawnLaw(t *rapid.T, of string) Law {
	mean := time.Duration(rapid.IntRange(0, 60).Draw(t, of)) * ms
	if rapid.Bool().Draw(t, of+" varies") {
		return Exponential(mean)
	}
	return Fixed(mean)
}

func drawnOptions(t *rapid.T) Options {
	o := Defaults()
	o.TTL = time.Duration(rapid.IntRange(1, 3000).Draw(t, "ttl")) * ms
	o.Jitter = rapid.SampledFrom([]float64{0, 0.3}).Draw(t, "jitter")
	o.Coalesce = rapid.Bool().Draw(t, "coalesce")
	o.Sliding = rapid.Bool().Draw(t, "sliding")
	o.Lock = time.Duration(rapid.IntRange(1, 1000).Draw(t, "lock")) * ms
	o.Flush = time.Duration(rapid.IntRange(1, 1000).Draw(t, "flush")) * ms
	o.Batch = rapid.IntRange(0, 4).Draw(t, "batch")
	o.LocalTTL = time.Duration(rapid.IntRange(1, 3000).Draw(t, "local ttl")) * ms
	o.LocalKeys = rapid.IntRange(1, 6).Draw(t, "local keys")
	return o
}

// drawnPattern is any pattern in any variant, also those that the catalogue does not have.
func drawnPattern(t *rapid.T) (name string, m Maker) {
	o := drawnOptions(t)
	how := o.reading()
	if rapid.Bool().Draw(t, "by lease") {
		how.Lease, how.Poll = o.Lock, o.Poll
	}
	aside := CacheAside{Reading: how, Again: o.Again, Order: rapid.SampledFrom(
		[]WriteOrder{DeleteAfter, DeleteBefore, DeleteTwice, SetAfter, SetBefore}).Draw(t, "order")}
	switch name = rapid.SampledFrom([]string{"cache-aside", "write-behind", "refresh-ahead", "two-layers"}).Draw(t, "pattern"); name {
	case "write-behind":
		return name, WriteBehind{Reading: how, Flush: o.Flush, Batch: o.Batch}.Maker()
	case "refresh-ahead":
		lock := rapid.SampledFrom([]time.Duration{0, o.Lock}).Draw(t, "refresh lock")
		return name, RefreshAhead{CacheAside: aside, Share: o.Share, Lock: lock}.Maker()
	case "two-layers":
		return name, TwoLayers{CacheAside: aside, LocalTTL: o.LocalTTL, Capacity: o.LocalKeys, Publish: rapid.Bool().Draw(t, "publish")}.Maker()
	}
	return name, aside.Maker()
}

// TestPatternsKeepTheRules: whatever the network, the origin and the processes do, every request is served exactly once (the driver
// refuses a second time), no acknowledged write is lost unless a process with a buffer crashes, and after a rest every
// layer has the newest version of every key: the origin, the cache, the copies in the processes.
func TestPatternsKeepTheRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name, m := drawnPattern(t)
		s := &storm{
			random: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "traffic"), 1)),
			keys:   rapid.IntRange(1, 5).Draw(t, "keys"), n: rapid.IntRange(1, 300).Draw(t, "requests"),
			during: time.Duration(rapid.IntRange(1, 20).Draw(t, "seconds")) * time.Second,
		}
		c := Config{
			Strategy: name, Maker: m, Source: s, Seed: rapid.Uint64().Draw(t, "seed"), Length: s.calm() + time.Hour,
			Processes: rapid.IntRange(1, 4).Draw(t, "processes"),
			Network:   drawnLaw(t, "network"),
			Capacity:  rapid.IntRange(0, 4).Draw(t, "capacity"),
			Origin:    Origin{Reads: drawnLaw(t, "fetch"), Early: rapid.Bool().Draw(t, "early"), Fails: rapid.SampledFrom([]float64{0, 0.2}).Draw(t, "fails")},
			Patience:  rapid.SampledFrom([]time.Duration{0, 40 * ms}).Draw(t, "patience"),
			Messages:  drawnLaw(t, "messages"),
			Missed:    rapid.SampledFrom([]float64{0, 0.3, 1}).Draw(t, "missed"),
			Deaths:    rapid.SampledFrom([]float64{0, 0.2}).Draw(t, "deaths"),
		}
		writes := drawnLaw(t, "commit")
		c.Origin.Writes = &writes
		r, err := Virtual(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		answered := r.GaveUp + r.Crashed
		for _, n := range r.Served {
			answered += n
		}
		if answered != r.Reads+r.Writes || r.Unserved != 0 || r.Reads+r.Writes != uint64(s.n+calms*s.keys) {
			t.Errorf("%d reads and %d writes, %d answered, %d not", r.Reads, r.Writes, answered, r.Unserved)
		}
		if r.Lost > 0 && (c.Deaths == 0 || name != "write-behind") {
			t.Errorf("%d acknowledged writes lost", r.Lost)
		}
		for i, tick := range r.Ticks {
			if time.Duration(i)*time.Second >= s.calm() && tick.Stale > 0 {
				t.Errorf("%d of %d reads stale when all had settled", tick.Stale, tick.Reads)
			}
		}
	})
}

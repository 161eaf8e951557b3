package loadgen

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// all brings the ops of some traffic, at most limit of them.
func all(t *Traffic, limit int) (ops []Op) {
	var op Op
	for s := t.Source(); len(ops) < limit && s.Next(&op); {
		ops = append(ops, op)
	}
	return ops
}

// drawTraffic draws any valid traffic of some hundred open-loop ops.
func drawTraffic(t *rapid.T) Traffic {
	rate := rapid.Float64Range(0.5, 5000)
	tr := Traffic{
		Seed: rapid.Uint64().Draw(t, "seed"),
		Keys: Keys{N: rapid.Uint64Range(1, 1000).Draw(t, "keys"), Law: rapid.SampledFrom(KeyLaws).Draw(t, "law"),
			Theta: rapid.Float64Range(0.01, 3).Draw(t, "theta"), Hot: 0.2, Heat: 0.7},
		Mix: Mix{rapid.Float64Range(0, 5).Draw(t, "reads"), rapid.Float64Range(0.1, 5).Draw(t, "writes"), rapid.Float64Range(0, 5).Draw(t, "deletes")},
	}
	for range rapid.IntRange(1, 4).Draw(t, "phases") {
		p := Phase{Rate: rate.Draw(t, "rate"), Poisson: rapid.Bool().Draw(t, "poisson")}
		if rapid.Bool().Draw(t, "ramp") {
			if p.End = rate.Draw(t, "end"); p.End == p.Rate {
				p.End = 0 // as texts have it
			}
		}
		p.Length = time.Duration(rapid.Float64Range(1, 200).Draw(t, "requests") / max(p.Rate, p.End) * 1e9)
		tr.Phases = append(tr.Phases, p)
	}
	tr.Sizes = rapid.SampledFrom([]Sizes{{Law: Fixed, Min: 64}, {Law: Range, Min: 1, Max: 100}, {Law: Lognormal, Mean: 1000, Sigma: 1.5},
		{Law: Weighted, Values: []int{64, 4096, 9}, Weight: []float64{0.9, 0, 0.1}}}).Draw(t, "sizes")
	tr.TTLs = rapid.SampledFrom([]TTLs{{}, {Min: time.Minute}, {Min: time.Second, Max: time.Hour}}).Draw(t, "ttls")
	return tr
}

// The shards of a traffic are the whole, op by op, whatever it is.
func TestShardsAreTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr := drawTraffic(t)
		if err := tr.Valid(); err != nil {
			t.Fatal(err)
		}
		whole := all(&tr, math.MaxInt)
		of := rapid.IntRange(1, 7).Draw(t, "of")
		joined := make([]Op, len(whole))
		count := 0
		for i := range of {
			part := tr
			part.Shard = Shard{i, of}
			for j, op := range all(&part, math.MaxInt) {
				if n := j*of + i; op.N != uint64(n) || n >= len(joined) {
					t.Fatalf("op %d of shard %d/%d has N %d; the whole has %d ops", j, i, of, op.N, len(whole))
				}
				joined[op.N] = op
				count++
			}
		}
		if !slices.Equal(whole, joined) || count != len(whole) {
			t.Fatalf("%d ops of %d; whole against shards:\n%s", count, len(whole), cmp.Diff(whole, joined))
		}
	})
}

// What every source keeps to, whatever the traffic.
func TestOpsAreInOrderAndInRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr := drawTraffic(t)
		var length, last time.Duration
		for _, p := range tr.Phases {
			length += p.Length
		}
		for i, op := range all(&tr, math.MaxInt) {
			switch {
			case op.N != uint64(i), op.Due < last, op.Due >= length, op.Key >= tr.Keys.N, op.Do >= doKinds:
				t.Fatalf("op %d of %v long traffic: %+v (the one before was due at %v)", i, length, op, last)
			case op.Do == Remove && (op.Size != 0 || op.TTL != 0), op.Do != Remove && op.TTL < tr.TTLs.Min:
				t.Fatalf("op %d: %+v", i, op)
			}
			last = op.Due
		}
	})
}

func TestScrambleIsABijection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(1, 5000).Draw(t, "n")
		s := newScramble(n, rapid.Uint64().Draw(t, "seed"))
		seen := make([]bool, n)
		for x := range n {
			y := s.of(x)
			if y >= n || seen[y] {
				t.Fatalf("of %d numbers, %d becomes %d, which is out of range or another's", n, x, y)
			}
			seen[y] = true
		}
	})
}

// Changing one dimension leaves the others as they were.
func TestDimensionsAreIndependent(t *testing.T) {
	base := Traffic{Seed: 7, Phases: []Phase{{Length: time.Second, Rate: 500, Poisson: true}}, Keys: Keys{N: 100, Law: Zipf, Theta: 0.99},
		Sizes: Sizes{Law: Fixed, Min: 64}, Mix: Mix{1, 1, 0}}
	other := base
	other.Sizes = Sizes{Law: Lognormal, Mean: 500, Sigma: 1}
	other.TTLs = TTLs{Min: time.Second, Max: time.Minute}
	other.Keys = Keys{N: 50, Law: Uniform}
	a, b := all(&base, math.MaxInt), all(&other, math.MaxInt)
	if len(a) != len(b) {
		t.Fatalf("%d ops against %d", len(a), len(b))
	}
	differ := 0
	for i := range a {
		if a[i].Due != b[i].Due || a[i].Do != b[i].Do {
			t.Fatalf("op %d: %+v against %+v", i, a[i], b[i])
		}
		if a[i].Key != b[i].Key {
			differ++
		}
	}
	if differ == 0 {
		t.Error("the law of keys was changed, and all keys are the same")
	}
}

// A closed loop goes on until its phase is ended.
func TestClosedLoopEndsByItsRunner(t *testing.T) {
	tr := Traffic{Phases: []Phase{{Name: WarmupName, Length: time.Second, Warmup: true}, {Length: time.Second, Rate: 2}, {Length: time.Second}},
		Keys: Keys{N: 10, Law: Sequential}, Sizes: Sizes{Law: Fixed}, Mix: Mix{Read: 1}}
	if err := tr.Valid(); err != nil {
		t.Fatal(err)
	}
	s := tr.Source()
	var op Op
	for range 5000 {
		if !s.Next(&op) || op.Due != 0 {
			t.Fatalf("%+v", op)
		}
	}
	s.(Ender).EndPhase()
	for _, due := range []time.Duration{1000, 1500, 2000, 2000} {
		if !s.Next(&op) || op.Due != due*time.Millisecond {
			t.Fatalf("due at %v, not after %d ms", op.Due, due)
		}
	}
	if op.N != 5003 || op.Key != 3 {
		t.Errorf("%+v", op)
	}
	for range 2 {
		s.(Ender).EndPhase()
		if s.Next(&op) {
			t.Fatalf("after the last phase came %+v", op)
		}
	}
}

func digest(ops []Op) string {
	h := fnv.New64a()
	for _, op := range ops {
		for _, v := range [...]uint64{op.N, uint64(op.Due), uint64(op.Do), op.Key, uint64(op.Size), uint64(op.TTL)} {
			h.Write(binary.LittleEndian.AppendUint64(nil, v))
		}
	}
	return fmt.Sprintf("%d ops, %016x", len(ops), h.Sum64())
}

// The same traffic is the same ops in every version: saved runs and shards on other machines rest on it.
func TestOpsAreTheSameForever(t *testing.T) {
	base := Traffic{Seed: 42, Phases: []Phase{{Length: 10 * time.Second, Rate: 1000}}, Keys: Keys{N: 100_000, Law: Uniform},
		Sizes: Sizes{Law: Fixed, Min: 64}, Mix: Mix{Read: 1}}
	for _, c := range []struct {
		name   string
		change func(*Traffic)
		want   string
	}{
		{"uniform", func(*Traffic) {}, "10000 ops, c555dfb1c50f38e7"},
		{"another seed", func(t *Traffic) { t.Seed = 43 }, "10000 ops, 46f90d0e8c3eb5cf"},
		{"poisson", func(t *Traffic) { t.Phases[0].Poisson = true }, "9912 ops, 2de8dca253e774b1"},
		{"ramp", func(t *Traffic) { t.Phases[0].End = 100 }, "5500 ops, cb8bc4a124c83443"},
		{"poisson ramp", func(t *Traffic) { t.Phases[0].End, t.Phases[0].Poisson = 3000, true }, "19853 ops, c53d709924d6f12a"},
		{"zipf 0.99", func(t *Traffic) { t.Keys.Law, t.Keys.Theta = Zipf, 0.99 }, "10000 ops, 98140eb0434ef68c"},
		{"zipf 1", func(t *Traffic) { t.Keys.Law, t.Keys.Theta = Zipf, 1 }, "10000 ops, 2184f895f7b28807"},
		{"hotspot", func(t *Traffic) { t.Keys.Law, t.Keys.Hot, t.Keys.Heat = Hotspot, 0.2, 0.8 }, "10000 ops, 5b00b81252c556f2"},
		{"latest", func(t *Traffic) { t.Keys.Law, t.Keys.Theta, t.Mix = Latest, 0.99, Mix{80, 15, 5} }, "10000 ops, fc06a1a6c4bf9b90"},
		{"sequential", func(t *Traffic) { t.Keys.Law = Sequential }, "10000 ops, f3a1d6733fa6da27"},
		{"range", func(t *Traffic) { t.Sizes = Sizes{Law: Range, Min: 10, Max: 1000} }, "10000 ops, 88f86be0470bdf62"},
		{"lognormal", func(t *Traffic) { t.Sizes = Sizes{Law: Lognormal, Mean: 1024, Sigma: 1.5} }, "10000 ops, 328ac656b16dba0b"},
		{"weighted", func(t *Traffic) { t.Sizes = Sizes{Law: Weighted, Values: []int{64, 4096}, Weight: []float64{9, 1}} }, "10000 ops, 88f66e3bd50b9727"},
		{"ttls", func(t *Traffic) { t.TTLs = TTLs{Min: 30 * time.Second, Max: 90 * time.Second} }, "10000 ops, da6206e280bcc385"},
	} {
		tr := base
		tr.Phases = []Phase{base.Phases[0]}
		c.change(&tr)
		if got := digest(all(&tr, 20_000)); got != c.want {
			t.Errorf("%s: %q, which was %q", c.name, got, c.want)
		}
	}
}

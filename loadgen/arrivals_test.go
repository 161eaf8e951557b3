package loadgen

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func phasesOnly(seed uint64, phases ...Phase) *Traffic {
	return &Traffic{Seed: seed, Phases: phases, Keys: Keys{N: 1, Law: Uniform}, Sizes: Sizes{Law: Fixed}, Mix: Mix{Read: 1}}
}

// Evenly spaced requests are due exactly when the integral of the rate passes a whole number.
func TestEvenArrivalsFollowTheIntegral(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rates := rapid.Float64Range(0.1, 1e6)
		p := Phase{Rate: rates.Draw(t, "rate"), End: rates.Draw(t, "end")}
		p.Length = time.Duration(rapid.Float64Range(1, 500).Draw(t, "requests") / max(p.Rate, p.End) * 1e9)
		ops := all(phasesOnly(1, p), math.MaxInt)
		if want := math.Ceil(p.Requests() * (1 - 1e-12)); float64(len(ops)) != want {
			t.Fatalf("%s: %d requests of %g", p, len(ops), p.Requests())
		}
		length, top := p.Length.Seconds(), max(p.Rate, p.End)
		for i, op := range ops {
			at := op.Due.Seconds()
			expected := p.Rate*at + (p.End-p.Rate)*at*at/(2*length)
			if math.Abs(expected-float64(i)) > 2e-9*top+1e-9*float64(i) {
				t.Fatalf("%s: request %d is due at %v, when %g are expected", p, i, op.Due, expected)
			}
		}
	})
}

func TestEvenArrivalsByHand(t *testing.T) {
	for _, c := range []struct {
		text  string
		count int
		due   map[int]time.Duration
	}{
		{"10s@1000/s:even", 10000, map[int]time.Duration{0: 0, 1: time.Millisecond, 9999: 9999 * time.Millisecond}},
		{"10s@0.3/s:even", 3, map[int]time.Duration{1: 3333333333, 2: 6666666666}},
		{"10s@0-10/s:even", 50, map[int]time.Duration{0: 0, 2: 2 * time.Second, 32: 8 * time.Second}},      // t^2/2
		{"1s@7/s:even,1s@2/s:even", 9, map[int]time.Duration{6: 857142857, 7: time.Second, 8: 1500 * 1e6}}, // every phase anew
		{"3s@1-3/s:even:steps=3", 6, map[int]time.Duration{0: 0, 1: time.Second, 2: 1500 * time.Millisecond}},
		{"100ms@1/s:even,100ms@1/s:even", 2, map[int]time.Duration{0: 0, 1: 100 * time.Millisecond}},         // less than one is one
		{"1s@1M/s:even", 1_000_000, map[int]time.Duration{1: time.Microsecond, 999_999: 999_999 * 1000}},     // a million a second
		{"90m@40/m:even", 3600, map[int]time.Duration{1: 1500 * time.Millisecond, 3599: 5398500 * 1000_000}}, // by the minute
	} {
		phases, err := ParsePhases(c.text)
		if err != nil {
			t.Fatal(err)
		}
		ops := all(phasesOnly(1, phases...), math.MaxInt)
		if len(ops) != c.count {
			t.Errorf("%s: %d requests, not %d", c.text, len(ops), c.count)
		}
		for i, due := range c.due {
			if ops[i].Due != due {
				t.Errorf("%s: request %d is due at %v, not %v", c.text, i, ops[i].Due, due)
			}
		}
	}
}

// The gaps of a Poisson process are exponential, and its counts in windows are Poisson.
func TestPoissonGapsAndCounts(t *testing.T) {
	const n, rate, bins = 200_000, 1000.0, 100
	ops := drawn(t, n, Traffic{Seed: 4, Phases: []Phase{{Length: 1000 * time.Second, Rate: rate, Poisson: true}}})
	gaps, even := make([]float64, bins), make([]float64, bins)
	windows := make([]float64, n/rate*100) // of 10 ms, in which 10 are expected
	var last time.Duration
	for _, op := range ops {
		p := -math.Expm1(-(op.Due - last).Seconds() * rate)
		gaps[min(int(p*bins), bins-1)]++
		if w := int(op.Due / (10 * time.Millisecond)); w < len(windows) {
			windows[w]++
		}
		last = op.Due
	}
	for i := range even {
		even[i] = n / bins
	}
	fits(t, "gaps", gaps, even)

	windows = windows[:len(windows)-500] // the last may not be full
	const low, high = 2, 20              // what is beyond counts with these
	counts, expected := make([]float64, high-low+1), make([]float64, high-low+1)
	for _, w := range windows {
		counts[min(max(int(w), low), high)-low]++
	}
	p := math.Exp(-10)
	for k := range 60 {
		expected[min(max(k, low), high)-low] += p * float64(len(windows))
		p *= 10 / float64(k+1)
	}
	fits(t, "counts", counts, expected)
}

// A ramp's arrivals are a Poisson process with the rate of the moment, of every phase its own.
func TestPoissonRampsFollowTheIntegral(t *testing.T) {
	for _, text := range []string{"100s@0-1000/s", "100s@1000-10/s", "50s@200/s,50s@200-2000/s", "100s@100-1000/s:steps=5"} {
		phases, err := ParsePhases(text)
		if err != nil {
			t.Fatal(err)
		}
		const window = 2 * time.Second
		counts, expected := make([]float64, 50), make([]float64, 50)
		for _, op := range all(phasesOnly(6, phases...), math.MaxInt) {
			counts[op.Due/window]++
		}
		const slices = 1000 // by which the integral is summed here
		for i := range 50 * slices {
			at := (time.Duration(i)*window + window/2) / slices
			so := time.Duration(0)
			for _, p := range phases {
				if at < so+p.Length {
					rate := p.Rate
					if p.End > 0 {
						rate += (p.End - p.Rate) * float64(at-so) / float64(p.Length)
					}
					expected[i/slices] += rate * window.Seconds() / slices
					break
				}
				so += p.Length
			}
		}
		fits(t, fmt.Sprint(text), counts, expected)
	}
}

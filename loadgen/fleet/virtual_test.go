package fleet

import (
	"math"
	"math/rand/v2"
	"time"

	"testing"

	"github.com/cachectl/cachectl/loadgen"
)

// arrivals is a cheap source: requests for any of n keys, each as likely, or by the weights' sums.
type arrivals struct {
	random  *rand.Rand
	rate    float64 // a second
	even    bool
	keys    uint64
	weights []float64
	writes  float64
	last    float64
	n       uint64
}

func poisson(seed uint64, rate float64, keys uint64) *arrivals {
	return &arrivals{random: rand.New(rand.NewPCG(seed, 99)), rate: rate, keys: keys}
}

func (a *arrivals) Next(op *loadgen.Op) bool {
	gap := 1.0
	if !a.even {
		gap = a.random.ExpFloat64()
	}
	a.last += gap / a.rate * 1e9
	*op = loadgen.Op{N: a.n, Due: time.Duration(a.last)}
	a.n++
	if a.writes > 0 && a.random.Float64() < a.writes {
		op.Do = loadgen.Write
	}
	switch {
	case a.weights != nil:
		x, low, high := a.random.Float64()*a.weights[len(a.weights)-1], 0, len(a.weights)-1
		for low < high {
			if mid := (low + high) / 2; a.weights[mid] > x {
				high = mid
			} else {
				low = mid + 1
			}
		}
		op.Key = uint64(low)
	case a.keys > 1:
		op.Key = a.random.Uint64N(a.keys)
	}
	return true
}

// zipf makes the weights of n keys by rank.
func zipf(n int, theta float64) []float64 {
	sums, sum := make([]float64, n), 0.0
	for i := range sums {
		sum += math.Pow(float64(i+1), -theta)
		sums[i] = sum
	}
	return sums
}

func strategy(t testing.TB, name string, o Options) Maker {
	t.Helper()
	c, err := Choose(Catalogue(), name)
	if err != nil {
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

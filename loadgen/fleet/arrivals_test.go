package fleet

import (
	"math/rand/v2"
	"time"

	"github.com/cachectl/cachectl/loadgen"
)

// arrivals is a source without an end: Poisson requests for any of n keys, each as likely, some of them writes.
type arrivals struct {
	random *rand.Rand
	rate   float64 // a second
	keys   uint64
	writes float64
	last   float64
	n      uint64
}

func poisson(seed uint64, rate float64, keys uint64) *arrivals {
	return &arrivals{random: rand.New(rand.NewPCG(seed, 99)), rate: rate, keys: keys}
}

func (a *arrivals) Next(op *loadgen.Op) bool {
	a.last += a.random.ExpFloat64() / a.rate * 1e9
	*op = loadgen.Op{N: a.n, Due: time.Duration(a.last)}
	a.n++
	if a.writes > 0 && a.random.Float64() < a.writes {
		op.Do = loadgen.Write
	}
	if a.keys > 1 {
		op.Key = a.random.Uint64N(a.keys)
	}
	return true
}

package fleet

import (
	"testing"
	"time"

	"github.com/cachectl/cachectl/loadgen"
)

// Mostly hits, a thousand processes, ten thousand keys; a second of wall time is to see a million requests at least.
func BenchmarkVirtual(b *testing.B) {
	for _, name := range []string{"none", "xfetch", "lock"} {
		for _, trip := range []time.Duration{0, time.Millisecond} {
			b.Run(name+"/"+trip.String(), func(b *testing.B) {
				b.ReportAllocs()
				const rate, length = 100_000, 20 * time.Second
				weights := zipf(10_000, .99)
				requests := uint64(0)
				for b.Loop() {
					a := poisson(1, rate, 10_000)
					a.weights = weights
					r := virtually(b, Config{Strategy: name, Maker: strategy(b, name, Defaults()), Processes: 1000, Seed: 1,
						Source: a, Length: length, Network: Fixed(trip), Origin: Origin{Reads: Fixed(100 * time.Millisecond)}})
					requests += r.Reads
				}
				b.ReportMetric(float64(requests)/b.Elapsed().Seconds(), "requests/s")
			})
		}
	}
}

// The source alone, to be taken off.
func BenchmarkSource(b *testing.B) {
	a := poisson(1, 1000, 10_000)
	a.weights = zipf(10_000, .99)
	var op loadgen.Op
	for b.Loop() {
		a.Next(&op)
	}
}

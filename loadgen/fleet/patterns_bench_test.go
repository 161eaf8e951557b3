package fleet

import (
	"testing"

	"github.com/cachectl/cachectl/loadgen"
)

// One write in twenty, a hundred processes, ten thousand keys by Zipf's law.
func BenchmarkPatterns(b *testing.B) {
	traffic := reading(1, 100_000, 10*sec)
	traffic.Keys = loadgen.Keys{N: 10_000, Law: "zipf", Theta: 0.99}
	traffic.Mix = loadgen.Mix{Read: 0.95, Write: 0.05}
	for _, p := range Patterns() {
		b.Run(p.Name, func(b *testing.B) {
			b.ReportAllocs()
			requests := uint64(0)
			for b.Loop() {
				r := virtually(b, Config{Strategy: p.Name, Maker: p.Make(Defaults()), Processes: 100, Seed: 1, Source: source(b, traffic),
					Length: 10 * sec, Network: Fixed(ms), Origin: Origin{Reads: Fixed(20 * ms)}})
				requests += r.Reads + r.Writes
			}
			b.ReportMetric(float64(requests)/b.Elapsed().Seconds(), "requests/s")
		})
	}
}

package fleet

import (
	"testing"
	"time"

	"github.com/cachectl/cachectl/loadgen"
)

// Mostly hits, a thousand processes, ten thousand keys; a second of wall time is to see a million requests at least,
// with the making of the traffic in it.
func BenchmarkVirtual(b *testing.B) {
	for _, name := range []string{"none", "xfetch", "lock"} {
		for _, trip := range []time.Duration{0, time.Millisecond} {
			b.Run(name+"/trip="+trip.String(), func(b *testing.B) {
				b.ReportAllocs()
				traffic := reading(1, 100_000, 20*sec)
				traffic.Keys = loadgen.Keys{N: 10_000, Law: "zipf", Theta: 0.99}
				requests := uint64(0)
				for b.Loop() {
					r := virtually(b, Config{Strategy: name, Maker: strategy(b, name, Defaults()), Processes: 1000, Seed: 1,
						Source: source(b, traffic), Length: 20 * sec, Network: Fixed(trip), Origin: Origin{Reads: Fixed(100 * ms)}})
					requests += r.Reads
				}
				b.ReportMetric(float64(requests)/b.Elapsed().Seconds(), "requests/s")
			})
		}
	}
}

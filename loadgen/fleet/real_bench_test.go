package fleet

import (
	"testing"
	"time"
)

// BenchmarkRealHits is how many requests a second the driver brings to a cache that has them all, and how late: as
// many as are asked for, or the run says that it is invalid.
func BenchmarkRealHits(b *testing.B) {
	for _, rate := range []float64{1000, 10_000, 30_000} {
		b.Run(time.Duration(1e9/rate).String(), func(b *testing.B) {
			p := onRedis(b)
			for b.Loop() {
				s := p.stage()
				s.Tolerance = 0
				m, err := Real(b.Context(), Config{Maker: strategy(b, "none", Defaults()), Processes: 4, Source: poisson(7, rate, 1000),
					Length: 2 * time.Second, Load: &Load{Keys: 1000, Lifetime: Lifetime{TTL: time.Hour}}}, s)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(m.Good())/2, "req/s")
				b.ReportMetric(m.Late.Quantile(.99).Seconds()*1e3, "late-p99-ms")
				b.ReportMetric(m.Latency.Quantile(.99).Seconds()*1e3, "latency-p99-ms")
				b.ReportMetric(float64(len(m.Invalid)), "invalid")
			}
		})
	}
}

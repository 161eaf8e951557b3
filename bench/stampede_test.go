package bench

import (
	"net/url"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
	"github.com/cachectl/cachectl/backends/redis"
	"github.com/cachectl/cachectl/loadgen"
	"github.com/cachectl/cachectl/loadgen/fleet"
	"github.com/cachectl/cachectl/loadgen/theory"
)

// BenchmarkStampede lets a hot key of a real redis-server expire again and again: 1000
// requests a second for it, an origin that takes 50 ms, four processes. It prints the origin calls
// per expiry beside what theory says, and fails only where the run was valid and outside
// its band: none and lock with three standard errors, all widened by a millisecond's worth of
// requests for the round trip.
//
//	go test ./bench -run '^$' -bench Stampede -benchtime 1x -v
func BenchmarkStampede(b *testing.B) {
	const rate, fetch, ttl = 1000.0, 50 * time.Millisecond, 1500 * time.Millisecond
	expiry := theory.Expiry{Rate: rate, Fetch: fetch, TTL: ttl}
	for name, expected := range map[string]theory.Expectation{
		"none": expiry.Uncoalesced(), "singleflight": expiry.Singleflight(4), "lock": expiry.Single(),
		"xfetch": theory.Early{Expiry: expiry, Beta: 1}.Calls(), "swr": expiry.Single(),
	} {
		b.Run(name, func(b *testing.B) {
			server := servers.Redis(b, servers.Default(b), servers.Options{})
			u, err := url.Parse("redis://" + server.Addr)
			if err != nil {
				b.Fatal(err)
			}
			cache, err := redis.Open(b.Context(), u)
			if err != nil {
				b.Fatal(err)
			}
			defer cache.Close()
			dialer, err := backends.As[backends.Dialer](cache)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				choice, err := fleet.Choose(fleet.Catalogue(), name)
				if err != nil {
					b.Fatal(err)
				}
				o := fleet.Defaults()
				o.Lifetime = fleet.Lifetime{TTL: ttl, Stale: ttl}
				traffic := loadgen.Traffic{Seed: uint64(b.N), Phases: []loadgen.Phase{{Length: 30 * time.Second, Rate: rate, Poisson: true}},
					Keys: loadgen.Keys{N: 1, Law: loadgen.Uniform}, Sizes: loadgen.Sizes{Law: loadgen.Fixed, Min: 100}, Mix: loadgen.Mix{Read: 1}}
				m, err := fleet.Real(b.Context(), fleet.Config{Strategy: name, Maker: choice.Make(o), Processes: 4, Seed: 1, Skip: 1,
					Source: traffic.Source(), Length: 30 * time.Second, Origin: fleet.Origin{Reads: fleet.Fixed(fetch)}}, fleet.Stage{Cache: dialer, Prefix: "bench:"})
				if err != nil {
					b.Fatal(err)
				}
				starts := &m.Cycles.Starts
				low, high := expected.Band(starts.N)
				low, high = low-rate*0.001, high+rate*0.001
				b.ReportMetric(starts.Mean(), "calls/expiry")
				b.ReportMetric(expected.Mean, "predicted")
				b.ReportMetric(float64(starts.N), "expiries")
				b.ReportMetric(float64(m.Late.Quantile(0.99).Microseconds()), "late-p99-us")
				b.Logf("%s: %.3f calls per expiry in %d expiries, theory %.3f (%.3f to %.3f), invalid: %q", name, starts.Mean(), starts.N, expected.Mean, low, high, m.Invalid)
				if mean := starts.Mean(); len(m.Invalid) == 0 && (mean < low || mean > high) {
					b.Errorf("%s: outside its band", name)
				}
			}
		})
	}
}

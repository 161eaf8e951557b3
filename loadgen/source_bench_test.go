package loadgen

import (
	"testing"
	"time"
)

func BenchmarkNext(b *testing.B) {
	even := []Phase{{Length: 1000 * time.Hour, Rate: 1e6}}
	poisson := []Phase{{Length: 1000 * time.Hour, Rate: 1e6, Poisson: true}}
	ramp := []Phase{{Length: 1000 * time.Hour, Rate: 1e6, End: 2e6, Poisson: true}}
	uniform, zipf := Keys{N: 1e6, Law: Uniform}, Keys{N: 1e6, Law: Zipf, Theta: 0.99}
	fixed := Sizes{Law: Fixed, Min: 64}
	reads, mixed := Mix{Read: 1}, Mix{80, 15, 5}
	for _, c := range []struct {
		name string
		t    Traffic
	}{
		{"uniform,even", Traffic{Phases: even, Keys: uniform, Sizes: fixed, Mix: reads}},
		{"zipf,poisson", Traffic{Phases: poisson, Keys: zipf, Sizes: fixed, Mix: reads}},
		{"zipf:1,poisson", Traffic{Phases: poisson, Keys: Keys{N: 1e6, Law: Zipf, Theta: 1}, Sizes: fixed, Mix: reads}},
		{"hotspot,ramp", Traffic{Phases: ramp, Keys: Keys{N: 1e6, Law: Hotspot, Hot: 0.2, Heat: 0.8}, Sizes: fixed, Mix: reads}},
		{"latest,mix", Traffic{Phases: poisson, Keys: Keys{N: 1e6, Law: Latest, Theta: 0.99}, Sizes: fixed, Mix: mixed}},
		{"everything", Traffic{Phases: ramp, Keys: zipf, Sizes: Sizes{Law: Lognormal, Mean: 1024, Sigma: 1.5},
			TTLs: TTLs{Min: 30 * time.Second, Max: time.Minute}, Mix: mixed}},
		{"zipf,poisson,shard", Traffic{Phases: poisson, Keys: zipf, Sizes: fixed, Mix: reads, Shard: Shard{1, 16}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			if err := c.t.Valid(); err != nil {
				b.Fatal(err)
			}
			s := c.t.Source()
			var op Op
			for b.Loop() {
				if !s.Next(&op) {
					b.Fatal("the traffic ended")
				}
			}
		})
	}
}

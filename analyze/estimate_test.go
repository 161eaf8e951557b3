package analyze

import (
	"math/rand/v2"
	"testing"
)

// TestEstimateKeepsItsPromise: the interval holds the truth in about 95 of 100
// samples, of common and of rare hits, from one part and from three.
func TestEstimateKeepsItsPromise(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, parts := range [][]struct {
		of    int64
		share float64
	}{
		{{1_000_000, 0.25}},
		{{1_000_000, 0.002}},
		{{1_000_000, 0.0001}},
		{{500_000, 0.9}, {100_000, 0.01}, {2_000_000, 0.3}},
		{{10_000, 0}, {10_000, 0.5}},
	} {
		const rounds, draws = 1000, 4000
		number, total := 0, 0
		truth, bytes := 0.0, 0.0
		for _, p := range parts {
			truth += float64(p.of) * p.share
			bytes += float64(p.of) * p.share * 150 // mean of 100 to 200
		}
		for range rounds {
			var strata []Stratum
			for _, p := range parts {
				s := Stratum{Of: p.of, Drawn: draws / int64(len(parts))}
				for range s.Drawn {
					if random.Float64() < p.share {
						s.Hits++
						s.Size(100 + 100*random.Float64())
					}
				}
				strata = append(strata, s)
			}
			if e := Number(strata...); e.Low <= truth && truth <= e.High {
				number++
			}
			if e := Total(strata...); e.Low <= bytes && bytes <= e.High {
				total++
			}
		}
		if number < rounds*92/100 {
			t.Errorf("%v: the number was inside its interval %d times of %d", parts, number, rounds)
		}
		// The normal interval of the bytes is for hits that are not rare.
		if truth > 10_000 && total < rounds*92/100 {
			t.Errorf("%v: the bytes were inside their interval %d times of %d", parts, total, rounds)
		}
	}
}

func TestEstimateAtTheEdges(t *testing.T) {
	if e := Number(); e != (Estimate{}) || !e.Exact() {
		t.Errorf("of nothing: %+v", e)
	}
	if e := Number(Stratum{Of: 100}); e.Low != 0 || e.High != 100 {
		t.Errorf("nothing drawn: %+v, want anything from 0 to 100", e)
	}
	if e := Number(Stratum{Of: 1_000_000, Drawn: 4000}); e.Value != 0 || e.Low != 0 || e.High < 900 || e.High > 1000 {
		t.Errorf("no hit in 4000: %+v, want 0 to 960", e)
	}
	if e := Number(Stratum{Of: 50, Drawn: 4000, Hits: 4000}); e.Value != 50 || e.High != 50 {
		t.Errorf("nothing but hits: %+v", e)
	}
	if e := Exactly(7); !e.Exact() || e.Value != 7 {
		t.Errorf("%+v", e)
	}
}

package analyze

import "math"

// An Estimate is a number that is known from a sample: the best guess, and an
// interval that holds the truth in 95 of 100 samples. Where Low is High, it is
// a count.
type Estimate struct{ Value, Low, High float64 }

// Exactly is the estimate of what has been counted.
func Exactly(n int64) Estimate {
	f := float64(n)
	return Estimate{f, f, f}
}

// Exact tells whether the number has been counted.
func (e Estimate) Exact() bool { return e.Low == e.High }

// A Stratum is what a random sample of one part of a population tells: of so many
// members, so many were drawn, so many of those were hits, and of the hits a size
// was taken from so many. The zero Stratum is an empty part.
type Stratum struct {
	Of, Drawn, Hits int64
	Sized           int64
	Sum, Squares    float64 // of the sizes
}

// Size takes the size of a hit.
func (s *Stratum) Size(size float64) {
	s.Sized++
	s.Sum += size
	s.Squares += size * size
}

// z is the 97.5 % quantile of the normal distribution.
const z = 1.959964

// Number estimates how many hits there are. The interval of each part is
// Wilson's (JASA 22, 1927), which keeps its promise for rare hits too: none in n
// draws still allows for 3.8/n of all. Those of several parts are joined as Zou
// and Donner do (Statistics in Medicine 27, 2008).
func Number(strata ...Stratum) Estimate {
	var e Estimate
	var below, above float64
	for _, s := range strata {
		if s.Of == 0 {
			continue
		}
		share, low, high := 0.5, 0.0, 1.0 // nothing drawn: nothing known
		if n := float64(s.Drawn); n > 0 {
			share = float64(s.Hits) / n
			middle := (share + z*z/(2*n)) / (1 + z*z/n)
			half := z / (1 + z*z/n) * math.Sqrt(share*(1-share)/n+z*z/(4*n*n))
			low, high = max(middle-half, 0), min(middle+half, 1)
			if s.Hits == 0 {
				low = 0
			}
			if s.Hits == s.Drawn {
				high = 1
			}
		}
		of := float64(s.Of)
		e.Value += of * share
		below += square(of * (share - low))
		above += square(of * (high - share))
	}
	e.Low, e.High = e.Value-math.Sqrt(below), e.Value+math.Sqrt(above)
	return e
}

// Total estimates the sum of the sizes of all hits: their number times the mean
// size, by the normal distribution. With few sizes, or a few huge ones among them,
// the interval is too narrow.
func Total(strata ...Stratum) Estimate {
	var e Estimate
	variance := 0.0
	for _, s := range strata {
		if s.Drawn == 0 || s.Sized == 0 {
			continue
		}
		of, n, sized := float64(s.Of), float64(s.Drawn), float64(s.Sized)
		share, mean := float64(s.Hits)/n, s.Sum/sized
		spread := 0.0 // variance of one size
		if sized > 1 {
			spread = max(s.Squares-s.Sum*mean, 0) / (sized - 1)
		}
		e.Value += of * share * mean
		// Of a product: how many hits there are, and how big one is on average.
		variance += of * of * (mean*mean*share*(1-share)/n + share*share*spread/sized)
	}
	half := z * math.Sqrt(variance)
	e.Low, e.High = max(e.Value-half, 0), e.Value+half
	return e
}

func square(x float64) float64 { return x * x }

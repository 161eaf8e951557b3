package loadgen

import (
	"math"
	"sort"
)

// The laws of sizes.
const (
	Fixed     = "fixed"     // all are Min
	Range     = "range"     // every size from Min to Max is as likely
	Lognormal = "lognormal" // the logarithm is normal; kept between Min and Max (where Max is 0: Biggest)
	Weighted  = "weighted"  // Values, each as often as its weight says
)

// SizeLaws are the names of the laws of sizes.
var SizeLaws = []string{Fixed, Range, Lognormal, Weighted}

// Biggest is the largest size of a value: Redis' own limit of a string.
const Biggest = 512 << 20

// sizePicker says how large a value is.
type sizePicker struct {
	law       string
	draws     draws
	low, high uint64
	mu, sigma float64
	values    []int
	bounds    []uint64 // of the bits, for each value
}

func newSizePicker(s *Sizes, seed uint64) sizePicker {
	p := sizePicker{law: s.Law, draws: drawsOf(seed, ofSizes), low: uint64(s.Min), high: uint64(s.Max)}
	switch s.Law {
	case Lognormal:
		if p.high == 0 {
			p.high = Biggest
		}
		p.sigma = s.Sigma
		p.mu = math.Log(s.Mean) - float64(s.Sigma*s.Sigma)/2
	case Weighted:
		p.values = s.Values
		p.bounds = bounds(s.Weight)
	}
	return p
}

// pick brings the size of op n.
func (p *sizePicker) pick(n uint64) int {
	switch p.law {
	case Range:
		return int(p.low + below(p.draws.at(n), p.high-p.low+1))
	case Lognormal:
		size := math.Exp(p.mu + float64(p.sigma*normal(p.draws.at(n))))
		return int(min(max(size, float64(p.low)), float64(p.high)) + 0.5)
	case Weighted:
		x := p.draws.at(n)
		return p.values[sort.Search(len(p.bounds)-1, func(i int) bool { return under(x, p.bounds[i]) })]
	}
	return int(p.low)
}

// normal makes of bits a number of the standard normal law, by inversion.
func normal(x uint64) float64 {
	return math.Sqrt2 * math.Erfinv((float64(x>>11)+0.5)/(1<<52)-1)
}

// Average is the mean size.
func (s *Sizes) Average() float64 {
	switch s.Law {
	case Range:
		return (float64(s.Min) + float64(s.Max)) / 2
	case Lognormal:
		return s.Mean
	case Weighted:
		var sum, all float64
		for i, w := range s.Weight {
			sum += w * float64(s.Values[i])
			all += w
		}
		return sum / all
	}
	return float64(s.Min)
}

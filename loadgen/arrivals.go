package loadgen

import (
	"math"
	"math/rand/v2"
	"time"
)

// arrivals brings the moments of the requests, phase by phase.
//
// Both laws are drawn on one scale, the number of requests expected so far, and brought
// to time by the inverse of the rate's integral (time rescaling): evenly spaced requests stand at 0, 1, 2 ...
// of it, those of a Poisson process at sums of exponential gaps. That is exact for ramps too. Every
// phase starts anew: evenly spaced with a request at its beginning.
type arrivals struct {
	phases []Phase
	at     int           // which phase it is
	began  time.Duration // when that began
	rate   float64       // at its beginning, a second
	slope  float64       // by how much that grows a second
	whole  float64       // requests expected in all of it
	so     float64       // requests expected up to the last one
	first  bool          // none came yet
	closed bool
	random *rand.Rand
}

func newArrivals(phases []Phase, seed uint64) *arrivals {
	d := drawsOf(seed, ofArrivals)
	a := &arrivals{phases: phases, at: -1, random: rand.New(rand.NewPCG(d.at(0), d.at(1)))}
	a.turn()
	return a
}

// turn goes on to the next phase.
func (a *arrivals) turn() {
	if a.at >= 0 {
		a.began += a.phases[a.at].Length
	}
	a.at++
	if a.at >= len(a.phases) {
		return
	}
	p := &a.phases[a.at]
	a.rate, a.slope, a.so, a.first, a.closed = p.Rate, 0, 0, true, p.Closed()
	if p.End > 0 {
		a.slope = (p.End - p.Rate) / p.Length.Seconds()
	}
	// A little less than all, so that a whole number that rounding made larger brings no request at the very end.
	a.whole = p.Requests() * (1 - 1e-12)
}

// next goes on to the next request, and tells whether there is one.
func (a *arrivals) next() bool {
	for a.at < len(a.phases) {
		switch {
		case a.closed:
			return true
		case a.phases[a.at].Poisson:
			a.so += a.random.ExpFloat64()
		case !a.first:
			a.so++
		}
		a.first = false
		if a.so < a.whole {
			return true
		}
		a.turn()
	}
	return false
}

// due is when the request is to be sent. The conversions forbid fused operations, which would round otherwise on some machines.
func (a *arrivals) due() time.Duration {
	if a.closed || a.so == 0 {
		return a.began
	}
	if a.slope == 0 {
		return a.began + time.Duration(a.so*1e9/a.rate)
	}
	root := math.Sqrt(float64(a.rate*a.rate) + float64(2*a.slope*a.so))
	return a.began + time.Duration(2e9*a.so/(a.rate+root))
}

// Closed tells whether requests of the phase are sent as fast as answers come.
func (p *Phase) Closed() bool { return p.Rate == 0 && p.End == 0 }

// Requests is how many requests are expected in the phase, the integral of its rate; 0 where it is closed.
func (p *Phase) Requests() float64 {
	if p.End == 0 {
		return p.Rate * p.Length.Seconds()
	}
	return (p.Rate + p.End) / 2 * p.Length.Seconds()
}

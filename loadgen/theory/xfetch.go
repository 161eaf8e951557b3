package theory

import (
	"math"
	"time"
)

// Early is an expiry where each request may refresh the value before its time, with XFetch's rule
// now - Fetch Beta ln(random) >= expiry (Vattani, Chierichetti and Lowenstein, PVLDB 8(8), 2015). Nobody coalesces.
//
// Early starts at s before the expiry are a Poisson process of intensity L exp(-s/(Beta Fetch)): Beta a in all. Measured by
// that intensity's integral, the first start comes after x ~ Exp(1) (time rescaling), and the N-1 others during its fetch are Poisson
// with the mean others(x). For Beta a much above 1 that makes N geometric with the mean e^(1/Beta), whatever the rate. The TTL
// is to be long beside Lead.
type Early struct {
	Expiry
	Beta float64 // 1 in the paper
}

// early is how many requests would start early if nothing ended the expiry.
func (e Early) early() float64 { return e.Beta * e.expected() }

// others is how many more start during the fetch of the first, which came at x.
func (e Early) others(x float64) float64 {
	all := e.early()
	switch {
	case x >= all: // it came after the expiry
		return e.expected()
	case x <= all*math.Exp(-1/e.Beta): // it is done before the expiry
		return x * math.Expm1(1/e.Beta)
	}
	return all + e.late(x) - x
}

// late is how many requests come after the expiry and before the end of the fetch that began at x.
func (e Early) late(x float64) float64 {
	return e.early()*math.Log(x/e.early()) + e.expected()
}

// average integrates f(x) exp(-x), by Simpson's rule between the points where the forms change.
func (e Early) average(f func(x float64) float64) float64 {
	const strips, far = 4000, 45
	knots := []float64{0, min(e.early()*math.Exp(-1/e.Beta), far), min(e.early(), far), far}
	sum := 0.0
	for i := range knots[1:] {
		from, to := knots[i], knots[i+1]
		h := (to - from) / strips
		if h == 0 {
			continue
		}
		at := func(x float64) float64 { return f(x) * math.Exp(-x) }
		edge := h * 1e-9 // the forms are taken from inside the part
		part := at(from+edge) + at(to-edge)
		for j := 1; j < strips; j++ {
			part += float64(2+2*(j%2)) * at(from+float64(j)*h)
		}
		sum += part * h / 3
	}
	return sum
}

// Calls is the number of origin calls an expiry costs.
func (e Early) Calls() Expectation {
	mean := e.average(e.others)
	square := e.average(func(x float64) float64 { m := e.others(x); return m + m*m })
	return exact(1+mean, deviation(mean, square), "expiry")
}

// CallsWhenHot is Calls for Beta a far above 1: geometric.
func (e Early) CallsWhenHot() Expectation {
	m := math.Exp(1 / e.Beta)
	return exact(m, math.Sqrt(m*m-m), "expiry")
}

// Alone is the share of the expiries that cost just one call.
func (e Early) Alone() Expectation {
	return bernoulli(e.average(func(x float64) float64 { return math.Exp(-e.others(x)) }), "expiry")
}

// Unrefreshed is the share of the expiries that no request came early for. Cold keys gain nothing by XFetch.
func (e Early) Unrefreshed() Expectation { return bernoulli(math.Exp(-e.early()), "expiry") }

// HardMissed is the share of the expiries at which a request found nothing in the cache: none came early, or the refresh
// was not done in time for one that came after the expiry.
func (e Early) HardMissed() Expectation {
	p := e.average(func(x float64) float64 {
		switch {
		case x >= e.early():
			return 1
		case x <= e.early()*math.Exp(-1/e.Beta):
			return 0
		}
		return -math.Expm1(-e.late(x))
	})
	return bernoulli(min(p, 1), "expiry")
}

// Lead is how long before the expiry the first refresh starts, of those expiries that have an early one. Where Beta a is
// far above 1 it is Beta Fetch (ln(Beta a) + 0.5772).
func (e Early) Lead() Expectation {
	scale := e.Beta * e.Fetch.Seconds()
	early := -math.Expm1(-e.early())
	lead := func(power float64) float64 {
		// Substituting x = early exp(-s) takes the pole of the logarithm at 0 out of the integral.
		const strips, far = 20000, 60.0
		sum := 0.0
		for i := range strips {
			s := (float64(i) + 0.5) * far / strips
			x := e.early() * math.Exp(-s)
			sum += math.Pow(scale*s, power) * math.Exp(-x) * x * far / strips
		}
		return sum / early
	}
	return exact(lead(1), deviation(lead(1), lead(2)), "early expiry")
}

// CallRate is how many origin calls come a second: a cycle ends early by Lead.
func (e Early) CallRate() Expectation {
	calls := e.Calls()
	cycle := (e.TTL + e.Fetch).Seconds() - e.Lead().Mean*(1-math.Exp(-e.early())) + math.Exp(-e.early())/e.Rate
	return approximate(calls.Mean/cycle, calls.SD/cycle, 0.03, "expiry", "the TTL is long beside a fetch and the lead")
}

// Longest is the longest lead that XFetch has in all but one of a million expiries: TTLs should be longer.
func (e Early) Longest() time.Duration {
	// P(first start before s) = 1 - exp(-early exp(-s/scale)) = 1e-6
	s := math.Log(e.early() / 1e-6)
	return time.Duration(max(0, s) * e.Beta * float64(e.Fetch))
}

package theory

import (
	"math"
	"slices"
	"time"
)

// A Latency is the law of how long a fetch takes.
type Latency interface {
	// below is P(X <= t) and E[X; X <= t], of seconds.
	below(t float64) (share, partial float64)
	// steps are the times where the share jumps, in order.
	steps() []float64
	mean() float64
}

type fixed float64
type exponential float64
type lognormal struct{ average, mu, sigma float64 }
type empirical struct {
	times []float64 // in order
	sums  []float64 // of as many of them
}

// Fixed is always d.
func Fixed(d time.Duration) Latency { return fixed(d.Seconds()) }

// Exponential has the mean d.
func Exponential(d time.Duration) Latency { return exponential(d.Seconds()) }

// Lognormal has the mean (not the median) d; sigma, more than 0, is the standard deviation of the logarithm.
func Lognormal(d time.Duration, sigma float64) Latency {
	return lognormal{d.Seconds(), math.Log(d.Seconds()) - sigma*sigma/2, sigma}
}

// Empirical is one of samples, of which there is at least one, each as likely.
func Empirical(samples []time.Duration) Latency {
	e := empirical{sums: []float64{0}}
	for _, s := range slices.Sorted(slices.Values(samples)) {
		e.times = append(e.times, s.Seconds())
		e.sums = append(e.sums, e.sums[len(e.sums)-1]+s.Seconds())
	}
	return e
}

func (f fixed) steps() []float64     { return []float64{float64(f)} }
func (exponential) steps() []float64 { return nil }
func (lognormal) steps() []float64   { return nil }
func (e empirical) steps() []float64 { return e.times }

func (f fixed) mean() float64       { return float64(f) }
func (x exponential) mean() float64 { return float64(x) }
func (l lognormal) mean() float64   { return l.average }
func (e empirical) mean() float64   { return e.sums[len(e.times)] / float64(len(e.times)) }

func (f fixed) below(t float64) (share, partial float64) {
	if t < float64(f) {
		return 0, 0
	}
	return 1, float64(f)
}

func (x exponential) below(t float64) (share, partial float64) {
	share = -math.Expm1(-t / float64(x))
	return share, float64(x)*share - t*(1-share)
}

func (l lognormal) below(t float64) (share, partial float64) {
	z := (math.Log(t) - l.mu) / l.sigma
	return phi(z), l.average * phi(z-l.sigma)
}

func (e empirical) below(t float64) (share, partial float64) {
	n, _ := slices.BinarySearch(e.times, math.Nextafter(t, math.Inf(1)))
	return float64(n) / float64(len(e.times)), e.sums[n] / float64(len(e.times))
}

// phi is the standard normal distribution.
func phi(z float64) float64 { return math.Erfc(-z/math.Sqrt2) / 2 }

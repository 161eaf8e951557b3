// Package theory is what queueing and renewal theory say about caches: how many calls an origin
// gets when a key expires, who waits for how long, how much a cache of some TTL hits. It knows
// nothing of how anything is measured; it is what measurements are held against.
//
// Requests of a key are a Poisson process unless a name says otherwise. Times go in as
// time.Duration and come out in seconds. Where no source is named, a form is derived in its comment.
package theory

import (
	"fmt"
	"math"
)

// An Expectation is what a measurement should come to: the mean of many trials, and by how much one trial strays.
type Expectation struct {
	Mean      float64 // times: seconds; shares: 0 to 1
	SD        float64 // standard deviation of one trial; of a share, of what one trial adds to it
	Per       string  // what a trial is: "expiry", "request", "fill" ...
	Kind      Kind
	Tolerance float64 // of an approximation: how far off it may be, as a share of Mean
	Note      string  // what it rests on, where that is not always so; why there is none
}

// A Kind says how far to trust an Expectation.
type Kind uint8

// The kinds.
const (
	None        Kind = iota // there is no closed form
	Exact                   // under the assumptions that are stated
	Approximate             // within Tolerance
	Bound                   // no trial goes above Mean
)

func (k Kind) String() string { return [...]string{"none", "exact", "approximate", "bound"}[k] }

// Unknown is the Expectation where there is no closed form.
func Unknown(why string) Expectation { return Expectation{Note: why} }

func exact(mean, sd float64, per string) Expectation {
	return Expectation{Mean: mean, SD: sd, Per: per, Kind: Exact}
}

func approximate(mean, sd, tolerance float64, per, note string) Expectation {
	return Expectation{Mean: mean, SD: sd, Per: per, Kind: Approximate, Tolerance: tolerance, Note: note}
}

// Band is where the mean of so many trials lies in all but 3 of 1000 runs (three standard deviations), widened by
// the tolerance of an approximation. Without a closed form it is everything.
func (e Expectation) Band(trials uint64) (low, high float64) {
	if e.Kind == None || trials == 0 {
		return math.Inf(-1), math.Inf(1)
	}
	by := 3*e.SD/math.Sqrt(float64(trials)) + (e.Tolerance+1e-9)*math.Abs(e.Mean)
	if e.Kind == Bound {
		return math.Inf(-1), e.Mean + by
	}
	return e.Mean - by, e.Mean + by
}

// Holds tells whether a mean of so many trials is within the Band.
func (e Expectation) Holds(mean float64, trials uint64) bool {
	low, high := e.Band(trials)
	return low <= mean && mean <= high
}

func (e Expectation) String() string {
	switch e.Kind {
	case None:
		return "no closed form: " + e.Note
	case Bound:
		return fmt.Sprintf("at most %.4g", e.Mean)
	case Approximate:
		return fmt.Sprintf("about %.4g (within %.2g%%)", e.Mean, 100*e.Tolerance)
	}
	return fmt.Sprintf("%.4g", e.Mean)
}

// deviation is the standard deviation of what has this mean and this mean of squares.
func deviation(mean, square float64) float64 { return math.Sqrt(max(0, square-mean*mean)) }

// bernoulli is the share p of trials that succeed independently of each other.
func bernoulli(p float64, per string) Expectation { return exact(p, math.Sqrt(p*(1-p)), per) }

// poisson is the probability of k where m are expected.
func poisson(k int, m float64) float64 {
	if m == 0 {
		if k == 0 {
			return 1
		}
		return 0
	}
	gamma, _ := math.Lgamma(float64(k) + 1)
	return math.Exp(float64(k)*math.Log(m) - m - gamma)
}

// atLeast is the probability of k or more where m are expected: also of k exponential gaps of mean 1 ending before m.
func atLeast(k int, m float64) float64 {
	below := 0.0
	for j := range k {
		below += poisson(j, m)
	}
	return max(0, 1-below)
}

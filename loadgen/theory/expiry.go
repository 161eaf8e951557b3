package theory

import (
	"math"
	"slices"
	"time"
)

// An Expiry is a key that expires again and again, and is asked for all the while.
type Expiry struct {
	Rate  float64       // requests of the key, a second
	Fetch time.Duration // from a request that misses to the value being in the cache: the origin's work, and round trips
	TTL   time.Duration // from then on
}

// expected is how many requests are expected during a fetch, the a of the literature.
func (e Expiry) expected() float64 { return e.Rate * e.Fetch.Seconds() }

// Uncoalesced is the number of origin calls an expiry costs if everybody who misses fetches, and the origin serves all
// at once in the same time: the first, and a Poisson number of others.
func (e Expiry) Uncoalesced() Expectation {
	a := e.expected()
	return exact(1+a, math.Sqrt(a), "expiry")
}

// UncoalescedOf is the same where fetches take law; Fetch does not matter. The window ends with whichever fetch is done first:
// P(it is open at t) is (1-F(t)) exp(-L H(t)), H being the integral of F, because those that came and are done are
// a Poisson process of their own. Those that came and are not done are another, of u(t) = L (t - H(t)), so that
// E[N] = 1 + L Int P(open) and E[(N-1)^2] = L Int P(open) (1 + 2u). Exponential times give about sqrt(pi a / 2) calls, not a.
func (e Expiry) UncoalescedOf(law Latency) Expectation {
	var first, second float64
	previous := 0.0
	for _, t := range grid(law) {
		middle, width := (previous+t)/2, t-previous
		share, partial := law.below(middle)
		done := middle*share - partial // H
		open := (1 - share) * math.Exp(-e.Rate*done)
		first += e.Rate * open * width
		second += e.Rate * open * (1 + 2*e.Rate*(middle-done)) * width
		previous = t
	}
	return exact(1+first, deviation(first, second), "expiry")
}

// grid are the ends of the strips of the integral: each a thousandth longer than the one before it, and none across a jump.
func grid(law Latency) []float64 {
	var ends []float64
	for t := law.mean() * 1e-7; t < law.mean()*1e3; t *= 1.001 {
		ends = append(ends, t)
	}
	ends = append(ends, law.steps()...)
	slices.Sort(ends)
	return slices.Compact(ends)
}

// Even is the number of origin calls where requests come at even intervals and nobody coalesces.
func (e Expiry) Even() Expectation { return exact(1+math.Floor(e.expected()), 0, "expiry") }

// Singleflight is the number of origin calls where each of several processes, to which requests come at random, fetches at
// most once at a time: the first, and every other process that is asked meanwhile.
func (e Expiry) Singleflight(processes int) Expectation {
	others := float64(processes - 1)
	asked := -math.Expm1(-e.expected() / float64(processes))
	return exact(1+others*asked, math.Sqrt(others*asked*(1-asked)), "expiry")
}

// Locked is the number of origin calls where a lock of that lifetime decides who fetches. A lock that ends
// before the fetch is given away again and again: it needs requests that come or poll often.
func (e Expiry) Locked(lifetime time.Duration) Expectation {
	if lifetime >= e.Fetch || lifetime == 0 {
		return exact(1, 0, "expiry")
	}
	calls := math.Ceil(e.Fetch.Seconds() / lifetime.Seconds())
	return approximate(calls, 0, 0.02, "expiry", "a lock that ended is asked for at once: polls and requests are frequent")
}

// Single is the number of origin calls of whatever lets one fetch at a time: a lock that lives long enough, a lease, early refresh
// with a lock, one refresher behind stale values.
func (e Expiry) Single() Expectation { return exact(1, 0, "expiry") }

// cycle is the mean time from one first miss to the next, in seconds.
func (e Expiry) cycle() float64 { return (e.TTL + e.Fetch).Seconds() + 1/e.Rate }

// lag is by how much the last fetch of an uncoalesced expiry starts after the first, in mean and variance: a fetch's time, less the
// time since the last request, which is exponential and cut there. Each fetch gives the key its whole TTL again,
// so the value lives that much longer.
func (e Expiry) lag() (mean, variance float64) {
	a, l := e.expected(), e.Rate
	idle := -math.Expm1(-a) / l
	square := 2 * (1 - math.Exp(-a)*(1+a)) / (l * l)
	return e.Fetch.Seconds() - idle, max(0, square-idle*idle)
}

// OpenShare is the share of the time that the key is not there, where one fetch serves all who wait.
func (e Expiry) OpenShare() Expectation {
	d, cycle := e.Fetch.Seconds(), e.cycle()
	return exact(d/cycle, d/(e.Rate*cycle*cycle), "expiry") // of a cycle only the wait for the first request varies
}

// MissShare is the share of the requests that do not find the key, where one fetch serves all who wait: 1 + a of them in a cycle,
// and L TTL that do.
func (e Expiry) MissShare() Expectation {
	a, hits := e.expected(), e.Rate*e.TTL.Seconds()
	return exact(shareOf(1+a, a, hits, hits))
}

// UncoalescedMissShare is the same where everybody fetches: the value lives until its TTL after the last fetch.
func (e Expiry) UncoalescedMissShare() Expectation {
	lag, variance := e.lag()
	a, hits := e.expected(), e.Rate*(e.TTL.Seconds()+lag)
	return exact(shareOf(1+a, a, hits, hits+e.Rate*e.Rate*variance))
}

// shareOf is what a share of requests comes to that has one part of this mean and variance in a cycle while the rest has another.
func shareOf(part, partVariance, rest, restVariance float64) (mean, sd float64, per string) {
	all := part + rest
	share := part / all
	return share, math.Sqrt((1-share)*(1-share)*partVariance+share*share*restVariance) / all, "expiry"
}

// CallRate is how many origin calls come a second where an expiry costs so many, one at a time.
func (e Expiry) CallRate(calls Expectation) Expectation { return e.callRate(calls, e.cycle()) }

// UncoalescedCallRate is how many origin calls come a second where everybody fetches.
func (e Expiry) UncoalescedCallRate() Expectation {
	lag, _ := e.lag()
	return e.callRate(e.Uncoalesced(), e.cycle()+lag)
}

func (e Expiry) callRate(calls Expectation, cycle float64) Expectation {
	calls.SD = math.Hypot(calls.SD, calls.Mean/(e.Rate*cycle)) / cycle
	calls.Mean /= cycle
	return calls
}

// UncoalescedQuantile is the latency that the share q of all requests does not exceed where everybody fetches: the
// time of a fetch for those who miss, nothing for the others. It is unknown where q is within a tenth of the boundary.
func (e Expiry) UncoalescedQuantile(q float64) Expectation {
	switch share := e.UncoalescedMissShare().Mean; {
	case 1-q > 1.1*share:
		return exact(0, 0, "run")
	case 1-q < 0.9*share:
		return exact(e.Fetch.Seconds(), 0, "run")
	}
	return Unknown("the share of those who miss is near the quantile")
}

// WaitingQuantile is the latency that the share q of all requests does not exceed where all who miss wait for one
// fetch: they come evenly over its time, and polls are frequent.
func (e Expiry) WaitingQuantile(q float64) Expectation {
	share := e.MissShare().Mean
	if 1-q >= share {
		return exact(0, 0, "run")
	}
	return approximate(e.Fetch.Seconds()*(1-(1-q)/share), 0, 0.05, "run", "polls are frequent, and cycles many")
}

// Waiter is how long who waits for another's fetch does so, without polls: evenly from 0 to the time of a fetch.
func (e Expiry) Waiter() Expectation {
	d := e.Fetch.Seconds()
	return exact(d/2, d/math.Sqrt(12), "waiter")
}

// Poller is how long who polls for another's fetch waits: a whole number of polls, n where the fetch ends
// within the n-th. Where a fetch takes a whole number of them that is (Fetch + poll)/2 on average.
func (e Expiry) Poller(poll time.Duration) Expectation {
	d, p := e.Fetch.Seconds(), poll.Seconds()
	whole := float64(e.Fetch / poll) // integer division
	rest := d - whole*p
	mean := (p*p*whole*(whole+1)/2 + (whole+1)*p*rest) / d
	square := (p*p*p*whole*(whole+1)*(2*whole+1)/6 + (whole+1)*(whole+1)*p*p*rest) / d
	return exact(mean, deviation(mean, square), "waiter")
}

// LongestPoll is the longest that who polls for another's fetch waits.
func (e Expiry) LongestPoll(poll time.Duration) Expectation {
	return Expectation{Mean: (e.Fetch + poll).Seconds(), Per: "waiter", Kind: Bound}
}

// StaleServed is how many requests are served a stale value at each soft expiry, where the first of them has it refreshed.
func (e Expiry) StaleServed() Expectation { return e.Uncoalesced() }

// Staleness is how far past its soft TTL a value is at most on average: the first request comes 1/L after that, and is
// refreshed after a fetch.
func (e Expiry) Staleness() Expectation {
	return exact(e.Fetch.Seconds()+1/e.Rate, 1/e.Rate, "expiry")
}

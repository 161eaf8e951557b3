package theory

import (
	"math"
	"time"
)

// Shared is the number of origin calls an expiry costs where everybody fetches from an origin that shares units among
// all that it serves (processor sharing: each goes at min(1, units/n), and Fetch alone on one unit), so that congestion
// itself draws more in. The first is done when it got its work. Measured by that work, calls are a pure birth process of rate
// L max(1, n/units) from 1: Poisson up to units calls, and a Yule process from there. With C units and a requests expected in Fetch
//
//	E[N; fewer than C] = Sum (j+1) Poisson(j; a), j < C-1
//	E[N; C or more]    = C e^(a/C) (C/(C+1))^(C-1) P(Erlang(C-1) <= a (1+1/C))
//
// The fluid form C exp((a-C+1)/C) is some per cent below it.
func (e Expiry) Shared(units int) Expectation {
	a, c := e.expected(), float64(units)
	var mean, square float64
	for j := range units - 1 {
		p, n := poisson(j, a), float64(j+1)
		mean += n * p
		square += n * n * p
	}
	// E[exp(k x)], x being (a - Erlang)/C where the Erlang is less than a.
	grown := func(k float64) float64 {
		return math.Exp(k*a/c-(c-1)*math.Log1p(k/c)) * atLeast(units-1, a*(1+k/c))
	}
	mean += c * grown(1)
	square += (c*c+c)*grown(2) - c*grown(1)
	return exact(mean, deviation(mean, square), "expiry")
}

// Queued is the number of origin calls an expiry costs where everybody fetches from an origin of some servers with one queue: the first
// to come is the first to be done, so that it is as many as without one.
func (e Expiry) Queued() Expectation { return e.Uncoalesced() }

// Drain is how long servers are busy with an expiry where everybody fetches: in rounds.
func (e Expiry) Drain(servers int) Expectation {
	calls := 1 + e.expected()
	rounds := math.Ceil(calls / float64(servers))
	return approximate(rounds*e.Fetch.Seconds(), 0, 1/rounds, "expiry", "whole rounds of all servers; a round more or less by chance")
}

// ClosedLoop is the number of origin calls where so many workers each wait for an answer before they ask again: the generator hides
// the stampede.
func (e Expiry) ClosedLoop(workers int) Expectation {
	calls := min(float64(workers), 1+e.expected())
	return approximate(calls, 0, 0.05, "expiry", "workers ask again at once")
}

// A Herd is keys that were loaded at once, and are refreshed one by one when they expire, by one fetch each.
type Herd struct {
	Keys   int
	Fetch  time.Duration
	Spread time.Duration // TTLs differ by up to so much to either side, evenly
}

// Load is how many of its fetches are under way on average while keys expire.
func (h Herd) Load() Expectation {
	if h.Spread == 0 {
		return exact(float64(h.Keys), 0, "run")
	}
	m := float64(h.Keys) * h.Fetch.Seconds() / (2 * h.Spread.Seconds())
	return approximate(min(m, float64(h.Keys)), 0, 0.02, "run", "many expire during a fetch")
}

// Peak is the most of its fetches that are under way at once. Their number moves as in a queue of Poisson arrivals with
// servers for all (M/D/oo), whose visits to a level k far above the mean m come in clumps (Aldous, Probability Approximations via the Poisson
// Clumping Heuristic, 1989): they begin at the rate of arrivals times P(k-1) (1 - m/k).
func (h Herd) Peak() Expectation {
	m := h.Load().Mean
	if h.Spread == 0 || m >= float64(h.Keys) {
		return exact(float64(h.Keys), 0, "run")
	}
	var mean, square, reached float64 // reached: P(peak >= k)
	for k := h.Keys; k > 0; k-- {
		if level := float64(k); level <= m {
			reached = 1
		} else {
			reached = max(reached, -math.Expm1(-float64(h.Keys)*poisson(k-1, m)*(1-m/level)))
		}
		mean += reached
		square += reached * float64(2*k-1)
	}
	return approximate(mean, deviation(mean, square), 0.05, "run", "keys are asked for all the time")
}

package theory

import (
	"math"
	"time"
)

// The hit rates are of renewal cycles: a miss, the fetch, the value's life. A trial of a share is one such cycle.

// Hits is the share of the requests that a cache of fixed TTL hits where one fetch serves all who wait: L T of
// 1 + L (T + Fetch).
func (e Expiry) Hits() Expectation {
	miss := e.MissShare()
	miss.Mean = 1 - miss.Mean
	return miss
}

// Fetching is the share of the requests that fetch themselves, where one fetch serves all who wait.
func (e Expiry) Fetching() Expectation {
	others := e.Rate * (e.TTL + e.Fetch).Seconds()
	return exact(shareOf(1, 0, others, others))
}

// Delayed is the share of the requests that wait for another's fetch (delayed hits).
func (e Expiry) Delayed() Expectation {
	a, hits := e.expected(), e.Rate*e.TTL.Seconds()
	return exact(shareOf(a, a, 1+hits, hits))
}

// Sliding is the share of the requests that hit where every hit gives the key its whole TTL again, and fetches
// take no time: those that come sooner than the TTL after the one before.
func Sliding(rate float64, ttl time.Duration) Expectation {
	return bernoulli(-math.Expm1(-rate*ttl.Seconds()), "request")
}

// Aside is a key that is read through the cache and deleted from it by every write.
type Aside struct {
	Reads, Writes float64       // of the key, a second; both Poisson
	Fill          time.Duration // from a read that misses to the value being in the cache
	Race          time.Duration // the part of it from the moment the origin read the value: a write meanwhile makes the fill stale
	TTL           time.Duration // 0: none
}

// life is the mean life of a value, and the mean of its square: until the next write, or the TTL.
func (a Aside) life() (mean, square float64) {
	m, t := a.Writes, a.TTL.Seconds()
	switch {
	case m == 0:
		return t, t * t
	case t == 0:
		return 1 / m, 2 / (m * m)
	}
	return -math.Expm1(-m*t) / m, 2 * (1 - math.Exp(-m*t)*(1+m*t)) / (m * m)
}

// Hits is the share of the reads that hit: L E of 1 + L (E + Fill), E being a value's mean life. It is exact where one
// fetch serves all who wait, and very nearly so where everybody fetches.
func (a Aside) Hits() Expectation {
	life, square := a.life()
	filling := a.Reads * a.Fill.Seconds()
	mean, sd, _ := shareOf(a.Reads*life, a.Reads*life+a.Reads*a.Reads*(square-life*life), 1+filling, filling)
	return exact(mean, sd, "fill")
}

// StaleFills is the share of the fills that put an outdated value into the cache: a write came between the origin's
// reading and the cache's storing. Commit and delete are taken for one moment.
func (a Aside) StaleFills() Expectation {
	return bernoulli(-math.Expm1(-a.Writes*a.Race.Seconds()), "fill")
}

// StaleHits is the share of the hits that are outdated. It is that of the fills where fills do not overlap, because one
// fetch serves all who wait or reads are rare: a fill's life does not depend on what it brought. Where several race, a later one
// often mends what an earlier one spoilt.
func (a Aside) StaleHits(coalesced bool) Expectation {
	p := a.StaleFills().Mean
	life, square := a.life()
	mean := a.Reads * life // hits of a fill, and the mean of their square
	squares := mean + a.Reads*a.Reads*square
	sd := math.Sqrt(p*(1-p)*squares) / mean
	switch {
	case coalesced:
		return exact(p, sd, "fill")
	case a.Reads*a.Fill.Seconds() <= 0.2:
		return approximate(p, sd, 0.05, "fill", "fills seldom overlap")
	}
	return Expectation{Mean: p, SD: sd, Per: "fill", Kind: Bound, Note: "a later fill often mends an earlier, stale one"}
}

// Behind is a key whose writes are acknowledged at once, and brought to the origin every so often.
type Behind struct {
	Writes float64 // of the key, a second
	Every  time.Duration
}

// expected is how many writes are expected between flushes.
func (b Behind) expected() float64 { return b.Writes * b.Every.Seconds() }

// Written is the share of the writes that reach the origin; the others are overtaken before the flush.
func (b Behind) Written() Expectation {
	n := b.expected()
	dirty := -math.Expm1(-n)
	share := dirty / n
	// Of a flush the key's is I, of W writes: Var(I - share W), with Cov(I, W) = n (1-dirty).
	variance := dirty*(1-dirty) + share*share*n - 2*share*n*(1-dirty)
	return exact(share, math.Sqrt(max(0, variance))/n, "flush")
}

// Lost is the share of the keys that lose a write when the process crashes at a random moment.
func (b Behind) Lost() Expectation {
	n := b.expected()
	return bernoulli(1+math.Expm1(-n)/n, "crash")
}

// Age is how old writes are when they are flushed: they come evenly between two flushes.
func (b Behind) Age() Expectation {
	f := b.Every.Seconds()
	return exact(f/2, f/math.Sqrt(12), "write")
}

// Outdated is the longest that a process' own cache of that TTL serves an outdated value. Invalidation by pub/sub shortens most
// cases and not this bound: Redis delivers a message at most once.
func Outdated(local time.Duration) Expectation {
	return Expectation{Mean: local.Seconds(), Per: "read", Kind: Bound}
}

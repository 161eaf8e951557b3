package theory

import "time"

// A Footing is how an application stands that relies on a cache in front of an origin (Bronson, Aghayev, Charapko and
// Zhu, Metastable Failures in Distributed Systems, HotOS 2021).
type Footing uint8

// The footings.
const (
	Stable     Footing = iota // the origin bears all requests: without the cache it is slow, not down
	Vulnerable                // it works because the cache hits; when that is cold the origin is overloaded, and may stay so
	Overloaded                // the origin has more to do than it can even with a warm cache
)

func (f Footing) String() string { return [...]string{"stable", "vulnerable", "overloaded"}[f] }

// FootingOf judges by requests a second, the share of them that hit, and how many misses a second the origin bears.
func FootingOf(rate, hits, capacity float64) Footing {
	switch {
	case rate*(1-hits) >= capacity:
		return Overloaded
	case rate > capacity:
		return Vulnerable
	}
	return Stable
}

// Advertised is the rate an application with a warm cache bears. What it bears without one is the origin's
// capacity, the hidden one.
func Advertised(hits, capacity float64) float64 { return capacity / (1 - hits) }

// AnswersInTime tells whether an origin of some servers, with a queue of at most that many, answers what it admits before
// clients give up. If not, a full queue does nothing but work that is thrown away.
func AnswersInTime(queue, servers int, service, patience time.Duration) bool {
	wait := time.Duration(float64(queue) / float64(servers) * float64(service))
	return wait+service < patience
}

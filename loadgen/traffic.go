package loadgen

import "time"

// Traffic describes a run's requests completely: the same Traffic is the same
// sequence of Ops in every version, and on every machine but for the last bit of Exp and Log, which
// may move one op in many millions of millions to its neighbour. It is plain data, and part of a saved run.
type Traffic struct {
	Seed   uint64  `json:"seed"`
	Phases []Phase `json:"phases"` // one behind the other; the first may be a warm-up
	Keys   Keys    `json:"keys"`
	Sizes  Sizes   `json:"sizes"`
	TTLs   TTLs    `json:"ttls"`
	Mix    Mix     `json:"mix"`
	Shard  Shard   `json:"shard"`
}

// A Phase is a time with a law of arrival.
type Phase struct {
	Name    string        `json:"name,omitempty"`
	Length  time.Duration `json:"length_ns"`
	Rate    float64       `json:"rate"`               // requests a second at its beginning; with End 0, too: as fast as answers come (a closed loop)
	End     float64       `json:"end_rate,omitempty"` // rate at its end, reached linearly; 0: as at its beginning
	Poisson bool          `json:"poisson,omitempty"`  // arrivals are independent of each other; else evenly spaced
	Warmup  bool          `json:"warmup,omitempty"`   // not part of the report
}

// Keys say how many keys there are and which of them a request means.
type Keys struct {
	N     uint64  `json:"n"`
	Law   string  `json:"law"`             // one of KeyLaws
	Theta float64 `json:"theta,omitempty"` // of zipf and latest: P(rank r) ~ 1/r^theta, any theta > 0
	Hot   float64 `json:"hot,omitempty"`   // of hotspot: share of the keys that are hot
	Heat  float64 `json:"heat,omitempty"`  // of hotspot: share of the requests that go to hot keys
}

// Sizes are the law of values' sizes in bytes.
type Sizes struct {
	Law    string    `json:"law"` // one of SizeLaws
	Min    int       `json:"min"` // the size, where it is fixed
	Max    int       `json:"max,omitempty"`
	Mean   float64   `json:"mean,omitempty"`  // lognormal: of the law, before Min and Max cut it
	Sigma  float64   `json:"sigma,omitempty"` // lognormal: standard deviation of the logarithm
	Values []int     `json:"values,omitempty"`
	Weight []float64 `json:"weights,omitempty"`
}

// TTLs are the law of TTLs of writes.
type TTLs struct {
	Min time.Duration `json:"min_ns"`           // 0: none
	Max time.Duration `json:"max_ns,omitempty"` // 0: all are Min; else uniform between them
}

// Mix says in which proportion requests read, write and delete.
type Mix struct {
	Read   float64 `json:"read"`
	Write  float64 `json:"write"`
	Remove float64 `json:"delete"`
}

// A Shard is one of several generators that share a run: the Index-th (from 0) of Of sends
// the ops with N = Index modulo Of. Together they send exactly what one would. The zero Shard sends all.
type Shard struct {
	Index int `json:"index"`
	Of    int `json:"of"`
}

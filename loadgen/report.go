package loadgen

import (
	"math"
	"time"
)

// A Report is what became of some traffic. Reports of the shards of one run add up
// exactly: see Merge. All times are since the beginning of what was measured, after the warm-up.
type Report struct {
	Traffic     Traffic           `json:"traffic"`
	Target      string            `json:"target"` // without its password
	Started     time.Time         `json:"started"`
	Length      time.Duration     `json:"length_ns"`
	Tallies     [doKinds]Tally    `json:"tallies"`               // by Do
	Ticks       []Tick            `json:"ticks"`                 // one a second, in order
	Late        Histogram         `json:"late"`                  // how long after its time the generator came round to a request, whatever the server did
	Connections int               `json:"connections,omitempty"` // of each node
	Depth       int               `json:"depth,omitempty"`       // requests in flight on each
	Closed      bool              `json:"closed,omitempty"`      // some of it was a closed loop: Latency is Service there, and nothing is told of a given rate
	Errors      map[string]uint64 `json:"errors,omitempty"`      // what servers refused with, and why connections broke: how often each
	Invalid     []string          `json:"invalid,omitempty"`     // why the figures do not stand: the generator was the limit, the run was cut short ...
}

// A Tally is what became of one kind of request.
type Tally struct {
	Due      uint64    `json:"due"` // were to be sent
	Sent     uint64    `json:"sent"`
	Done     uint64    `json:"done"` // answered without error: Latency and Service are of these
	Hits     uint64    `json:"hits"` // reads that found the key, deletes that did
	Misses   uint64    `json:"misses"`
	Refused  uint64    `json:"refused"`   // answered by an error
	Lost     uint64    `json:"lost"`      // the connection broke before the answer
	Dropped  uint64    `json:"dropped"`   // never sent: too many were waiting
	BytesIn  uint64    `json:"bytes_in"`  // of values
	BytesOut uint64    `json:"bytes_out"` // of values
	Latency  Histogram `json:"latency"`   // from the moment the request was due
	Service  Histogram `json:"service"`   // from the moment it was sent
}

// A Tick is one second of the run: what was due, sent and answered in it. Whoever keeps
// thousands of ticks coarsens their Latency when the second is over.
type Tick struct {
	At      time.Duration `json:"at_ns"`
	Due     uint64        `json:"due"`
	Sent    uint64        `json:"sent"`
	Done    uint64        `json:"done"`
	Hits    uint64        `json:"hits,omitempty"` // of reads
	Misses  uint64        `json:"misses,omitempty"`
	Refused uint64        `json:"refused,omitempty"`
	Lost    uint64        `json:"lost,omitempty"`
	Dropped uint64        `json:"dropped,omitempty"`
	Latency Histogram     `json:"latency"` // of what was answered in it
}

// Total adds the kinds up. Hits and Misses are of reads only.
func (r *Report) Total() Tally {
	var sum Tally
	for i := range r.Tallies {
		sum.Merge(&r.Tallies[i])
	}
	sum.Hits, sum.Misses = r.Tallies[Read].Hits, r.Tallies[Read].Misses
	return sum
}

// Rate is how many requests a second were answered; NaN of no time at all.
func (r *Report) Rate() float64 { return r.perSecond(r.sum(func(t *Tally) uint64 { return t.Done })) }

// Asked is how many requests a second were due.
func (r *Report) Asked() float64 { return r.perSecond(r.sum(func(t *Tally) uint64 { return t.Due })) }

// HitRate is the share of reads that found their key; NaN without an answered read.
func (r *Report) HitRate() float64 { return r.Tallies[Read].HitRate() }

// ErrorRate is the share of the requests sent that an error answered or that got lost; NaN
// where none was sent.
func (r *Report) ErrorRate() float64 {
	return share(r.sum((*Tally).Errors), r.sum(func(t *Tally) uint64 { return t.Sent }))
}

// DropRate is the share of the requests due that were never sent.
func (r *Report) DropRate() float64 {
	return share(r.sum(func(t *Tally) uint64 { return t.Dropped }), r.sum(func(t *Tally) uint64 { return t.Due }))
}

func (r *Report) sum(of func(*Tally) uint64) (sum uint64) {
	for i := range r.Tallies {
		sum += of(&r.Tallies[i])
	}
	return sum
}

func (r *Report) perSecond(n uint64) float64 {
	if r.Length <= 0 {
		return math.NaN()
	}
	return float64(n) / r.Length.Seconds()
}

// HitRate is hits by hits and misses; NaN without either.
func (t *Tally) HitRate() float64 { return share(t.Hits, t.Hits+t.Misses) }

// Errors are the requests that an error answered or that got lost.
func (t *Tally) Errors() uint64 { return t.Refused + t.Lost }

// Merge adds other.
func (t *Tally) Merge(other *Tally) {
	t.Due += other.Due
	t.Sent += other.Sent
	t.Done += other.Done
	t.Hits += other.Hits
	t.Misses += other.Misses
	t.Refused += other.Refused
	t.Lost += other.Lost
	t.Dropped += other.Dropped
	t.BytesIn += other.BytesIn
	t.BytesOut += other.BytesOut
	t.Latency.Merge(&other.Latency)
	t.Service.Merge(&other.Service)
}

// Merge adds other, whatever second it is of.
func (t *Tick) Merge(other *Tick) {
	t.Due += other.Due
	t.Sent += other.Sent
	t.Done += other.Done
	t.Hits += other.Hits
	t.Misses += other.Misses
	t.Refused += other.Refused
	t.Lost += other.Lost
	t.Dropped += other.Dropped
	t.Latency.Merge(&other.Latency)
}

// Pack makes all histograms small: those of ticks coarse, the others as they are.
func (r *Report) Pack() {
	for i := range r.Tallies {
		r.Tallies[i].Latency.Pack()
		r.Tallies[i].Service.Pack()
	}
	for i := range r.Ticks {
		r.Ticks[i].Latency.Coarsen()
	}
	r.Late.Pack()
}

func share(part, whole uint64) float64 {
	if whole == 0 {
		return math.NaN()
	}
	return float64(part) / float64(whole)
}

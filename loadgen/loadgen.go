// Package loadgen makes traffic for caches and keeps account of it. It knows nothing
// about servers, which it meets as backends.Dialer, about output, or about commands.
//
//	Traffic -> Source -> run (real connections) or fleet (an application, on a real or a virtual clock) -> Report
//
// The loop is open: a request is sent when it is due, whatever became of those before,
// and its latency counts from that moment.
package loadgen

import "time"

// An Op is one request of the traffic.
type Op struct {
	N    uint64        // its place in the traffic, from 0; a shard sees every n-th
	Due  time.Duration // when it is to be sent, since the start
	Do   Do
	Key  uint64        // which of the keys, 0 to Keys-1
	Size int           // bytes of the value that a write brings, or that a read does when it missed and fills the cache
	TTL  time.Duration // of that value; 0: none
}

// Do is what an Op does to its key.
type Do uint8

// What traffic does.
const (
	Read Do = iota
	Write
	Remove
	doKinds
)

func (d Do) String() string { return [...]string{"read", "write", "delete"}[d] }

// A Source brings the ops of some traffic, in order of Due. It is not safe for concurrent use.
//
// In a closed loop (a Phase whose rates are 0) Due is the beginning of the phase, and ops never end: who
// runs it ends the phase when its time is over, by Ender.
type Source interface {
	// Next fills in the next op, and tells whether there was one.
	Next(op *Op) bool
}

// An Ender goes on to the next phase, whatever the present one still held. Sources of Traffic are Enders.
type Ender interface{ EndPhase() }

package fleet

import (
	"math/rand/v2"
	"time"
)

// A WriteOrder says what a write does to the shared cache, and when.
type WriteOrder uint8

// The orders. All but DeleteAfter are known to be worse in some way; they are here to be measured.
const (
	DeleteAfter  WriteOrder = iota // commit, delete: what memcached's and Redis' manuals and NSDI'13 advise
	DeleteBefore                   // delete, commit: who reads in between brings the old value back
	DeleteTwice                    // delete, commit, acknowledge, wait, delete: "delayed double delete"
	SetAfter                       // commit, set: two writers may set in the other order than they committed
	SetBefore                      // set, commit: others read what may never be committed
)

// CacheAside is the pattern in which the application keeps the cache: it reads as Reading says, and
// a write deletes the key.
type CacheAside struct {
	Reading
	Order WriteOrder
	Again time.Duration // DeleteTwice: from the commit to the second delete
}

// Maker makes the strategy.
func (o CacheAside) Maker() Maker {
	return func(process int, random *rand.Rand) Strategy {
		return &aside{reads: newReads(o.Reading, random), writes: writes{order: o.Order, again: o.Again, stamps: stamps{process: process}}}
	}
}

// aside serves both cache-aside and write-through, which differ in the order of a write only.
type aside struct {
	reads
	writes
}

func (p *aside) Next(e *Event, do *Actions) {
	if !p.writes.next(e, do, &p.reads) {
		p.reads.next(e, do)
	}
}

// writes is the write side of one process that commits before it acknowledges.
type writes struct {
	order  WriteOrder
	again  time.Duration
	stamps stamps
	made   slots[uint64] // the version that each writes or wrote; 0: the origin is to number it

	done func(e *Event, v Value, do *Actions) // v of e.Key was committed and the shared cache told
}

// next takes the events of writes, and tells whether this was one.
func (w *writes) next(e *Event, do *Actions, r *reads) bool {
	switch {
	case e.Kind == Arrived && e.Write:
		w.begin(e, do, r)
	case e.Kind == Answered && e.Tag == tagBefore:
		// The cache's failure is no reason to refuse a write.
		do.Add(Action{Kind: Commit, Req: e.Req, Key: e.Key, Tag: tagCommit, Value: Value{Version: w.made[e.Req]}})
	case e.Kind == Committed:
		w.committed(e, do, r)
	case e.Kind == Answered && e.Tag == tagAfter:
		w.finish(e, do)
	case e.Kind == Woke && e.Tag == tagAgain:
		do.Add(Action{Kind: Delete, Key: e.Key, Tag: tagAgain})
	default:
		return e.Tag == tagAgain
	}
	return true
}

func (w *writes) begin(e *Event, do *Actions, r *reads) {
	switch w.order {
	case DeleteBefore, DeleteTwice:
		*w.made.at(e.Req) = 0
		do.Add(Action{Kind: Delete, Req: e.Req, Key: e.Key, Tag: tagBefore})
	case SetBefore:
		v := Value{Version: w.stamps.next(e.Now), Read: e.Now}
		*w.made.at(e.Req) = v.Version
		do.Add(Action{Kind: Set, Req: e.Req, Key: e.Key, Tag: tagBefore, Value: v, TTL: r.ttl()})
	default:
		do.Add(Action{Kind: Commit, Req: e.Req, Key: e.Key, Tag: tagCommit})
	}
}

func (w *writes) committed(e *Event, do *Actions, r *reads) {
	if e.Answer != OK {
		do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key, As: WithError})
		return
	}
	*w.made.at(e.Req) = e.Value.Version
	switch w.order {
	case DeleteAfter:
		do.Add(Action{Kind: Delete, Req: e.Req, Key: e.Key, Tag: tagAfter})
	case SetAfter:
		do.Add(Action{Kind: Set, Req: e.Req, Key: e.Key, Tag: tagAfter, Value: e.Value, TTL: r.ttl()})
	case DeleteTwice:
		do.Add(Action{Kind: Wait, Key: e.Key, Tag: tagAgain, For: w.again})
		w.finish(e, do)
	default:
		w.finish(e, do)
	}
}

func (w *writes) finish(e *Event, do *Actions) {
	v := Value{Version: w.made[e.Req]}
	do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key, Value: v, As: Written})
	if w.done != nil {
		w.done(e, v, do)
	}
}

// stamps number writes that get their version before the origin sees them: by the clock, so that of two writes the later one is
// newer whichever process took it, and by the process where the clock is the same. They are greater than any count of commits.
type stamps struct {
	process int
	last    time.Duration
}

func (s *stamps) next(now time.Duration) uint64 {
	s.last = max(s.last+1, now)
	return uint64(s.last)<<stampBits | uint64(s.process)&(1<<stampBits-1)
}

// stampBits hold the number of a process: 4096 of them, and a clock of 52 bits of nanoseconds, which is 52 days.
const stampBits = 12

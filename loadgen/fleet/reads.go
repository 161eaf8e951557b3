package fleet

import (
	"math/rand/v2"
	"time"
)

// Reading is how a pattern reads: the shared cache first; on a miss the origin, and
// what it answered is set in the cache. A fill sets what the origin held when
// it was read: a write that comes between is overwritten in the cache by the older value (the
// stale-set race), unless fills go by lease.
type Reading struct {
	TTL      time.Duration // of fills; 0: they stay until they are deleted
	Jitter   float64       // each TTL is drawn from TTL*(1-Jitter) to TTL*(1+Jitter)
	Sliding  bool          // a hit gives the value its TTL anew
	Coalesce bool          // one fetch of a key at a time in each process, or one that waits for another's lease; who misses it meanwhile waits for that one
	Lease    time.Duration // > 0: a fill needs a lease, and this is the time it gives to bring the value; a Delete takes it away
	Poll     time.Duration // how long a read waits before it asks again while another has the lease
}

// Tags say which step of a pattern is answered.
const (
	tagRead     uint8 = iota // Get, Lease or Wait of a read, and the fetch behind a miss
	tagFill                  // Set of what was fetched, and whatever else nobody waits for
	tagBefore                // Delete or Set before the commit
	tagCommit                // Commit of a write
	tagAfter                 // Delete or Set behind the commit
	tagAgain                 // the second Delete, and the Wait before it
	tagLock                  // lock of a refresh
	tagRefresh               // fetch of a refresh, and its Set
	tagFlush                 // Wait between flushes, and their commits
	tagReplaced              // Lose of a write that a later one had replaced, which is lost too
)

// reads is the read side of one process.
type reads struct {
	Reading
	random  *rand.Rand
	flights map[Key]crowd // where it coalesces
	leases  slots[uint64] // the CAS that each holds, 0 for none

	onHit func(e *Event, do *Actions) // a read found e.Value in the shared cache
	learn func(e *Event)              // e.Value came from the cache or the origin
}

func newReads(how Reading, random *rand.Rand) reads {
	return reads{Reading: how, random: random, flights: map[Key]crowd{}}
}

// A crowd is the request of a process that fetches a key, or polls for it, and those that wait for what it gets.
type crowd struct {
	leader  Req
	waiting []Req
}

// ttl is the TTL of one fill.
func (r *reads) ttl() time.Duration {
	ttl, _ := (&Lifetime{TTL: r.TTL, Jitter: r.Jitter}).Draw(0, r.random)
	return ttl
}

// next takes the events of reads.
func (r *reads) next(e *Event, do *Actions) {
	switch e.Kind {
	case Arrived, Woke:
		r.ask(e, do)
	case Answered:
		if e.Tag == tagRead {
			r.answered(e, do)
		}
	case Fetched:
		r.fetched(e, do)
	}
}

func (r *reads) ask(e *Event, do *Actions) {
	a := Action{Kind: Get, Req: e.Req, Key: e.Key, Tag: tagRead}
	switch {
	case r.Lease > 0:
		a.Kind, a.TTL = Lease, r.Lease
	case r.Sliding:
		a.TTL = r.TTL
	}
	do.Add(a)
}

func (r *reads) answered(e *Event, do *Actions) {
	switch e.Answer {
	case Hit:
		if r.learn != nil {
			r.learn(e)
		}
		do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key, Value: e.Value, As: FromCache})
		r.found(e, do)
		if r.onHit != nil {
			r.onHit(e, do)
		}
	case Won:
		*r.leases.at(e.Req) = e.Value.CAS
		r.joins(e)
		do.Add(Action{Kind: Fetch, Req: e.Req, Key: e.Key, Tag: tagRead})
	case Busy:
		if !r.joins(e) {
			do.Add(Action{Kind: Wait, Req: e.Req, Key: e.Key, Tag: tagRead, For: r.Poll})
		}
	default: // a cache that fails is a cache that has nothing
		*r.leases.at(e.Req) = 0
		if !r.joins(e) {
			do.Add(Action{Kind: Fetch, Req: e.Req, Key: e.Key, Tag: tagRead})
		}
	}
}

// joins makes the request wait in the crowd for its key, or lead a new one. The winner of a lease fetches whatever others do.
func (r *reads) joins(e *Event) bool {
	if !r.Coalesce {
		return false
	}
	c, some := r.flights[e.Key]
	switch {
	case !some:
		r.flights[e.Key] = crowd{leader: e.Req}
	case c.leader != e.Req && e.Answer != Won:
		c.waiting = append(c.waiting, e.Req)
		r.flights[e.Key] = c
		return true
	}
	return false
}

// found serves the crowd of a request that got e.Value without a fetch: it was polling.
func (r *reads) found(e *Event, do *Actions) {
	if r.Lease > 0 && r.flights[e.Key].leader == e.Req {
		r.dismiss(e, FromOther, do)
	}
}

// dismiss serves a crowd.
func (r *reads) dismiss(e *Event, as Served, do *Actions) {
	for _, q := range r.flights[e.Key].waiting {
		do.Add(Action{Kind: Serve, Req: q, Key: e.Key, Value: e.Value, As: as})
	}
	delete(r.flights, e.Key)
}

// fetched fills the cache and serves all who wait. With leases only the holder of one fills, and one
// whose fetch failed gives it back.
func (r *reads) fetched(e *Event, do *Actions) {
	as, others := FromOrigin, FromOther
	if e.Answer != OK {
		as, others = WithError, WithError
	} else if r.learn != nil {
		r.learn(e)
	}
	r.fill(e, do)
	do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key, Value: e.Value, As: as})
	r.dismiss(e, others, do)
}

func (r *reads) fill(e *Event, do *Actions) {
	a := Action{Kind: Set, Req: e.Req, Key: e.Key, Tag: tagFill, Value: e.Value}
	if r.Lease > 0 {
		a.Value.CAS = r.leases[e.Req]
		if a.Value.CAS == 0 {
			return
		}
	}
	switch {
	case e.Answer == OK:
		a.TTL = r.ttl()
	case r.Lease > 0:
		a.Kind = Delete
	default:
		return
	}
	do.Add(a)
}

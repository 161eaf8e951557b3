package fleet

import (
	"math/rand/v2"
	"time"
)

// RefreshAhead is cache-aside whose hits look at the TTL that is left: below a share of it, one of the readers fetches the value
// anew behind the scenes, and nobody waits. A key that nobody reads in that last share expires as ever.
type RefreshAhead struct {
	CacheAside
	Share float64       // of Reading.TTL, 0 to 1
	Lock  time.Duration // > 0: one refresh of a key in all processes, by a lock of this TTL; 0: one in each process
}

// Maker makes the strategy.
func (o RefreshAhead) Maker() Maker {
	below := time.Duration(o.Share * float64(o.TTL))
	return func(process int, random *rand.Rand) Strategy {
		p := &ahead{
			aside:   aside{reads: newReads(o.Reading, random), writes: writes{order: o.Order, again: o.Again, stamps: stamps{process: process}}},
			below:   below,
			lock:    o.Lock,
			running: map[Key]uint64{},
		}
		p.onHit = p.hit
		return p
	}
}

type ahead struct {
	aside
	below   time.Duration
	lock    time.Duration
	running map[Key]uint64 // refreshes of this process, with the tokens of their locks
}

func (p *ahead) Next(e *Event, do *Actions) {
	switch {
	case e.Kind == Answered && e.Tag == tagLock:
		p.locked(e, do)
	case e.Kind == Fetched && e.Tag == tagRefresh:
		p.refreshed(e, do)
	case e.Kind == Answered && e.Tag == tagRefresh:
		p.release(e.Key, do)
	default:
		p.aside.Next(e, do)
	}
}

func (p *ahead) hit(e *Event, do *Actions) {
	if e.Value.Expires == 0 || e.Value.Expires-e.Now >= p.below {
		return
	}
	if _, busy := p.running[e.Key]; busy {
		return
	}
	if p.lock == 0 {
		p.running[e.Key] = 0
		do.Add(Action{Kind: Fetch, Key: e.Key, Tag: tagRefresh})
		return
	}
	token := p.random.Uint64() | 1
	p.running[e.Key] = token
	do.Add(Action{Kind: Add, Key: e.Key, Tag: tagLock, Token: token, TTL: p.lock})
}

func (p *ahead) locked(e *Event, do *Actions) {
	if e.Answer != OK {
		delete(p.running, e.Key)
		return
	}
	do.Add(Action{Kind: Fetch, Key: e.Key, Tag: tagRefresh})
}

func (p *ahead) refreshed(e *Event, do *Actions) {
	if e.Answer != OK {
		p.release(e.Key, do)
		return
	}
	do.Add(Action{Kind: Set, Key: e.Key, Tag: tagRefresh, Value: e.Value, TTL: p.ttl()})
}

func (p *ahead) release(k Key, do *Actions) {
	if token := p.running[k]; token != 0 {
		do.Add(Action{Kind: Release, Key: k, Tag: tagFill, Token: token})
	}
	delete(p.running, k)
}

package fleet

import (
	"math/rand/v2"
	"time"
)

// TwoLayers is cache-aside with a small cache in each process in front of the shared one. What
// a process has itself it serves without asking anybody, so a write elsewhere is not seen until the copy's TTL ends or
// an invalidation message comes. Messages by pub/sub are delivered at most once: the bound on staleness is LocalTTL, with or without them.
type TwoLayers struct {
	CacheAside
	LocalTTL time.Duration // > 0
	Capacity int           // keys in each process, > 0; the least recently used one goes
	Publish  bool          // writers tell all processes, which drop their copies
}

// Maker makes the strategy.
func (o TwoLayers) Maker() Maker {
	return func(process int, random *rand.Rand) Strategy {
		p := &layers{
			aside:     aside{reads: newReads(o.Reading, random), writes: writes{order: o.Order, again: o.Again, stamps: stamps{process: process}}},
			TwoLayers: o,
			local:     newLRU(o.Capacity),
			floors:    map[Key]floor{},
		}
		p.reads.learn = p.keep
		p.writes.done = p.written
		return p
	}
}

type layers struct {
	aside
	TwoLayers
	local  *lru
	floors map[Key]floor
	heard  []Key // those of floors, in the order in which they end
}

// A floor is the newest version of a key that the process was told of. An answer that is older was overtaken by its invalidation,
// and is served but not kept. A floor outlives every answer that may have been under way: it is kept for LocalTTL.
type floor struct {
	version uint64
	until   time.Duration
}

func (p *layers) Next(e *Event, do *Actions) {
	switch {
	case e.Kind == Arrived && !e.Write:
		if v, ok := p.local.get(e.Key, e.Now); ok {
			do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key, Value: v, As: FromLocal})
			return
		}
		p.reads.next(e, do)
		return
	case e.Kind == Heard:
		p.drop(e.Now, e.Key, e.Value.Version)
		return
	}
	p.aside.Next(e, do)
}

func (p *layers) keep(e *Event) {
	if e.Value.Version < p.floors[e.Key].version {
		return
	}
	until := e.Now + p.LocalTTL
	if e.Value.Expires > 0 {
		until = min(until, e.Value.Expires)
	}
	p.local.put(e.Key, e.Value, until)
}

// written drops the writer's own copy at once: no message is needed for that.
func (p *layers) written(e *Event, v Value, do *Actions) {
	p.drop(e.Now, e.Key, v.Version)
	if p.Publish {
		do.Add(Action{Kind: Publish, Key: e.Key, Value: v})
	}
}

func (p *layers) drop(now time.Duration, k Key, version uint64) {
	for len(p.heard) > 0 && p.floors[p.heard[0]].until <= now {
		delete(p.floors, p.heard[0])
		p.heard = p.heard[1:]
	}
	f, known := p.floors[k]
	if !known {
		p.heard = append(p.heard, k)
		f.until = now + p.LocalTTL
	}
	f.version = max(f.version, version)
	p.floors[k] = f
	p.local.drop(k, version)
}

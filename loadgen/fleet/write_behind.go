package fleet

import (
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// WriteBehind is the pattern in which a write is acknowledged when the process has it in its buffer
// and has set it in the shared cache. The buffer goes to the origin at every tick of Flush, or earlier when Batch keys are in it;
// of several writes of a key the origin sees the last. A process that crashes loses what it had not sent.
// Reads are as Reading says, but that a miss looks into the process' own buffer before it goes to the origin.
type WriteBehind struct {
	Reading
	Flush time.Duration // > 0; ticks are at multiples of it after a moment drawn for each process
	Batch int           // keys in the buffer that bring a flush forward; 0: any number may wait
}

// Maker makes the strategy.
func (o WriteBehind) Maker() Maker {
	return func(process int, random *rand.Rand) Strategy {
		return &behind{
			reads: newReads(o.Reading, random), WriteBehind: o,
			phase:  time.Duration(random.Int64N(int64(o.Flush))),
			dirty:  map[Key]*unsent{},
			sent:   map[Key]*unsent{},
			stamps: stamps{process: process},
		}
	}
}

type behind struct {
	reads
	WriteBehind
	stamps  stamps
	made    slots[uint64] // the version of each write
	phase   time.Duration
	dirty   map[Key]*unsent // acknowledged and not sent
	sent    map[Key]*unsent // sent to the origin, which has not answered: one commit of a key at a time, so that none overtakes another
	ticking bool
}

// unsent is a key's newest version in the buffer, and the acknowledged writes that led to it.
type unsent struct {
	value Value
	acked []acknowledged // oldest first
}

type acknowledged struct {
	version uint64
	at      time.Duration
}

func (p *behind) Next(e *Event, do *Actions) {
	switch {
	case e.Kind == Arrived && e.Write:
		p.write(e, do)
	case e.Kind == Answered && e.Tag == tagRead && (e.Answer == Miss || e.Answer == Won):
		if v, ok := p.buffered(e.Key); ok {
			p.restore(e, v, do)
			return
		}
		p.reads.next(e, do)
	case e.Kind == Answered && e.Tag == tagAfter:
		p.acknowledge(e, do)
	case e.Kind == Woke && e.Tag == tagFlush:
		p.ticking = false
		p.flush(do)
		p.tick(e.Now, do)
	case e.Kind == Committed:
		p.committed(e, do)
	case e.Kind == Crashed:
		p.crash(do)
	default:
		p.reads.next(e, do)
	}
}

func (p *behind) buffered(k Key) (Value, bool) {
	if u := p.dirty[k]; u != nil {
		return u.value, true
	}
	if u := p.sent[k]; u != nil {
		return u.value, true
	}
	return Value{}, false
}

// restore brings what the cache has lost and the origin has not got yet.
func (p *behind) restore(e *Event, v Value, do *Actions) {
	v.CAS = e.Value.CAS
	do.Add(Action{Kind: Set, Req: e.Req, Key: e.Key, Tag: tagFill, Value: v, TTL: p.ttl()})
	do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key, Value: v, As: FromLocal})
	e.Value = v
	p.found(e, do)
}

func (p *behind) write(e *Event, do *Actions) {
	v := Value{Version: p.stamps.next(e.Now), Read: e.Now}
	*p.made.at(e.Req) = v.Version
	u := p.dirty[e.Key]
	if u == nil {
		u = &unsent{}
		p.dirty[e.Key] = u
	}
	u.value = v
	do.Add(Action{Kind: Set, Req: e.Req, Key: e.Key, Tag: tagAfter, Value: v, TTL: p.ttl()})
	if p.Batch > 0 && len(p.dirty) >= p.Batch {
		p.flush(do)
	}
	p.tick(e.Now, do)
}

// acknowledge comes when the cache has answered, well or not: the value is in the buffer.
func (p *behind) acknowledge(e *Event, do *Actions) {
	version := p.made[e.Req]
	do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key, Value: Value{Version: version}, As: Written})
	for _, u := range []*unsent{p.sent[e.Key], p.dirty[e.Key]} {
		if u != nil && version <= u.value.Version {
			u.acked = append(u.acked, acknowledged{version, e.Now})
			return
		}
	}
}

// tick asks to be woken at the next tick, if there is anything to flush.
func (p *behind) tick(now time.Duration, do *Actions) {
	if p.ticking || len(p.dirty) == 0 {
		return
	}
	p.ticking = true
	do.Add(Action{Kind: Wait, Tag: tagFlush, For: p.Flush - (now+p.phase)%p.Flush})
}

// flush sends what is in the buffer, except keys whose last commit is still under way.
func (p *behind) flush(do *Actions) {
	for _, k := range slices.Sorted(maps.Keys(p.dirty)) {
		if p.sent[k] != nil {
			continue
		}
		u := p.dirty[k]
		p.sent[k] = u
		delete(p.dirty, k)
		do.Add(Action{Kind: Commit, Key: k, Tag: tagFlush, Value: u.value})
	}
}

// committed forgets what the origin has, and keeps what it refused for the next flush.
func (p *behind) committed(e *Event, do *Actions) {
	u := p.sent[e.Key]
	delete(p.sent, e.Key)
	if u == nil || e.Answer == OK {
		return
	}
	if later := p.dirty[e.Key]; later != nil {
		later.acked = append(u.acked, later.acked...)
		return
	}
	p.dirty[e.Key] = u
	p.tick(e.Now, do)
}

// crash tells what is lost: of each key in the buffer its acknowledged writes. What was sent is the origin's, answered or not.
func (p *behind) crash(do *Actions) {
	for _, k := range slices.Sorted(maps.Keys(p.dirty)) {
		u := p.dirty[k]
		for i, w := range slices.Backward(u.acked) {
			lost := Action{Kind: Lose, Key: k, Value: Value{Version: w.version, Read: w.at}}
			if i < len(u.acked)-1 {
				lost.Tag = tagReplaced
			}
			do.Add(lost)
		}
	}
}

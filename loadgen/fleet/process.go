package fleet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/cachectl/cachectl/loadgen"
)

// A process is one process of the fleet.
type process struct {
	strategy Strategy
	random   *rand.Rand
	requests []request // by Req; 0 is none
	free     []Req
	epoch    uint32 // how often it crashed
	turn     uint64
}

// A request is in flight while it is not served, or something it asked for is not answered.
type request struct {
	ticket Ticket
	turn   uint64 // how many requests its process had before
	open   int    // what it asked for and was not told
	served bool
	live   bool
}

func (p *process) begin(m Maker, number int) {
	p.strategy = m(number, p.random)
	p.requests = append(p.requests[:0], request{})
	p.free = p.free[:0]
}

func (p *process) take() (Req, *request) {
	p.turn++
	if n := len(p.free); n > 0 {
		q := p.free[n-1]
		p.free = p.free[:n-1]
		r := &p.requests[q]
		*r = request{turn: p.turn, live: true}
		return q, r
	}
	p.requests = append(p.requests, request{turn: p.turn, live: true})
	q := Req(len(p.requests) - 1)
	return q, &p.requests[q]
}

// waits tells whether a client still waits for the request that was the turn-th of the process.
func (p *process) waits(q Req, turn uint64) bool {
	return int(q) < len(p.requests) && p.requests[q].turn == turn && !p.requests[q].ticket.Done
}

// settle frees the number of a request that needs it no more.
func (p *process) settle(q Req) {
	if q == 0 {
		return
	}
	if r := &p.requests[q]; r.live && r.served && r.open == 0 {
		r.live = false
		p.free = append(p.free, q)
	}
}

// ticket is the ledger's note of a request; nil for none.
func (p *process) ticket(q Req) *Ticket {
	if q == 0 {
		return nil
	}
	return &p.requests[q].ticket
}

func (v *virtual) arrive(op *loadgen.Op) {
	if op.Key > math.MaxUint32 {
		v.broken = fmt.Errorf("key number %d is beyond 2^32", op.Key)
		return
	}
	n := uint32(v.assign.Uint64() >> 32 * uint64(v.Processes) >> 32)
	p := &v.processes[n]
	q, r := p.take()
	r.ticket = Ticket{Due: op.Due, Key: Key(op.Key), Write: op.Do != loadgen.Read}
	v.ledger.Arrive(&r.ticket)
	turn := r.turn
	v.unserved++
	v.tell(in{process: n, epoch: p.epoch, event: Event{Kind: Arrived, Req: q, Key: Key(op.Key), Write: op.Do != loadgen.Read}})
	if v.Patience == 0 {
		return
	}
	if v.processes[n].waits(q, turn) {
		v.patience.push(impatience{at: op.Due + v.Patience, turn: turn, process: n, req: q})
	}
}

func (v *virtual) giveUp(i impatience) {
	p := &v.processes[i.process]
	v.tell(in{process: i.process, epoch: p.epoch, event: Event{Kind: GaveUp, Req: i.req, Key: p.requests[i.req].ticket.Key}})
}

// fire brings what an alarm was set for.
func (v *virtual) fire(a alarm) {
	if !a.out {
		in := v.ins.all[a.slot]
		v.ins.drop(a.slot)
		v.tell(in)
		return
	}
	o := &v.outs.all[a.slot]
	slot, reply := v.ins.add()
	*reply = in{process: o.process, epoch: o.epoch, event: Event{Kind: Answered, Req: o.action.Req, Key: o.action.Key, Tag: o.action.Tag, Of: o.action.Kind}}
	v.cache.do(v.now, &o.action, &reply.event)
	v.timers.set(v.now, o.back, slot, false)
	v.outs.drop(a.slot)
}

// worked brings what the origin has done.
func (v *virtual) worked(j Job) {
	o := &v.outs.all[j.ID]
	a := &o.action
	e := Event{Kind: Fetched, Req: a.Req, Key: a.Key, Tag: a.Tag, Of: a.Kind, Answer: OK}
	if j.Write {
		e.Kind = Committed
	}
	switch {
	case j.Fails || v.now < v.outage:
		e.Answer = Failed
		if j.Write && o.epoch != v.processes[o.process].epoch {
			v.ledger.Orphan(v.now, a.Key, a.Value.Version)
		}
	case j.Write:
		e.Value = Value{Version: v.ledger.Commit(v.now, a.Key, a.Value.Version), Read: v.now, Took: v.now - j.Asked}
	default:
		e.Value = Value{Read: v.now, Took: v.now - j.Asked}
		if v.Origin.Early {
			e.Value.Read = j.Began
		}
		e.Value.Version = v.ledger.Version(a.Key, e.Value.Read)
	}
	in := in{process: o.process, epoch: o.epoch, event: e}
	v.outs.drop(j.ID)
	v.tell(in)
}

// tell brings an event to its process now, and whatever follows from it at once.
func (v *virtual) tell(i in) {
	v.current = i
	v.hear(&v.current)
	for v.ready.len() > 0 && v.broken == nil {
		v.current = *v.ready.front()
		v.ready.drop()
		v.hear(&v.current)
	}
}

func (v *virtual) hear(i *in) {
	p, e := &v.processes[i.process], &i.event
	e.Now = v.now
	if i.epoch != p.epoch {
		if !i.refused {
			v.ledger.Tell(nil, e)
		}
		return
	}
	if e.Req != 0 {
		switch e.Kind {
		case Answered, Fetched, Committed, Woke:
			p.requests[e.Req].open--
		}
	}
	if !i.refused {
		v.ledger.Tell(p.ticket(e.Req), e)
	}
	if v.Crashes > 0 && e.Kind == Answered && (e.Of == Add && e.Answer == OK || e.Of == Lease && e.Answer == Won) &&
		v.crashes.Float64() < v.Crashes {
		v.ledger.Winner(v.now)
		v.crash(i.process)
		return
	}
	v.do.Reset()
	p.strategy.Next(e, &v.do)
	for n := range v.do.list {
		v.act(i.process, p, &v.do.list[n])
	}
	for n := range v.do.list {
		if a := &v.do.list[n]; a.Kind == Serve {
			p.settle(a.Req)
		}
	}
	p.settle(e.Req)
}

func (v *virtual) crash(n uint32) {
	p := &v.processes[n]
	v.ledger.Death(v.now)
	v.do.Reset()
	p.strategy.Next(&Event{Kind: Crashed, Now: v.now}, &v.do)
	for i := range v.do.list {
		if a := &v.do.list[i]; a.Kind == Lose {
			v.ledger.Do(v.now, nil, a)
		}
	}
	for i := range p.requests {
		r := &p.requests[i]
		if r.live && !r.served {
			v.unserved--
		}
		if r.live {
			v.ledger.Crash(v.now, &r.ticket)
		}
	}
	p.epoch++
	p.begin(v.Maker, int(n))
}

func (v *virtual) serve(p *process, a *Action) {
	if a.Req == 0 || int(a.Req) >= len(p.requests) || !p.requests[a.Req].live || p.requests[a.Req].served {
		v.broken = fmt.Errorf("strategy %s served request %d, which nobody waits for", v.Strategy, a.Req)
		return
	}
	p.requests[a.Req].served = true
	v.unserved--
}

// act does what a strategy wants.
func (v *virtual) act(n uint32, p *process, a *Action) {
	if a.Kind == Serve {
		if v.serve(p, a); v.broken != nil {
			return
		}
	}
	if a.Kind == Set {
		a.Value.Expires = 0
		if a.TTL > 0 {
			a.Value.Expires = v.now + a.TTL
		}
	}
	if a.Kind != Fetch && a.Kind != Commit {
		v.ledger.Do(v.now, p.ticket(a.Req), a)
	}
	if a.Req != 0 && a.Kind != Serve && a.Kind != Publish && a.Kind != Lose {
		p.requests[a.Req].open++
	}
	switch a.Kind {
	case Get, Set, Delete, Invalidate, Add, Release, Lease:
		v.ask(n, p, a)
	case Fetch, Commit:
		v.order(n, p, a)
	case Wait:
		slot, i := v.ins.add()
		*i = in{process: n, epoch: p.epoch, event: Event{Kind: Woke, Req: a.Req, Key: a.Key, Tag: a.Tag, Of: Wait}}
		v.timers.set(v.now, max(a.For, time.Microsecond), slot, false)
	case Publish:
		v.publish(a)
	}
}

// ask sends an action to the cache. Without a round trip its answer is there at once.
func (v *virtual) ask(n uint32, p *process, a *Action) {
	if trip := v.Network.Draw(v.network); trip > 0 {
		slot, o := v.outs.add()
		*o = out{process: n, epoch: p.epoch, back: trip - trip/2, action: *a}
		v.timers.set(v.now, trip/2, slot, true)
		return
	}
	i := v.ready.add()
	*i = in{process: n, epoch: p.epoch, event: Event{Kind: Answered, Req: a.Req, Key: a.Key, Tag: a.Tag, Of: a.Kind}}
	v.cache.do(v.now, a, &i.event)
}

// order asks the origin, which may refuse.
func (v *virtual) order(n uint32, p *process, a *Action) {
	slot, o := v.outs.add()
	*o = out{process: n, epoch: p.epoch, action: *a}
	if v.desk.Start(v.now, slot, a.Kind == Commit) {
		v.ledger.Do(v.now, p.ticket(a.Req), a)
		return
	}
	v.outs.drop(slot)
	v.ledger.Refuse(v.now)
	e := Event{Kind: Fetched, Req: a.Req, Key: a.Key, Tag: a.Tag, Of: a.Kind, Answer: Failed}
	if a.Kind == Commit {
		e.Kind = Committed
	}
	v.ready.push(in{process: n, epoch: p.epoch, refused: true, event: e})
}

func (v *virtual) publish(a *Action) {
	for n := range v.processes {
		if v.Missed > 0 && v.messages.Float64() < v.Missed {
			continue
		}
		i := in{process: uint32(n), epoch: v.processes[n].epoch, event: Event{Kind: Heard, Key: a.Key, Value: Value{Version: a.Value.Version}}}
		delay := v.Messages.Draw(v.messages)
		if delay == 0 {
			v.ready.push(i)
			continue
		}
		slot, later := v.ins.add()
		*later = i
		v.timers.set(v.now, delay, slot, false)
	}
}

package fleet

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/cachectl/cachectl/loadgen"
)

// Virtual runs an experiment on a clock of its own. The same Config, with a source that brings the same, gives the
// same Report, byte for byte (machines of different kinds may differ in the last bit of Exp and Log, and so in a request). It ends when every request was served, or has been waiting for an hour after Length.
//
// Of things that happen at the same instant triggers come first, then arrivals, then
// the origin's answers, then all else in the order in which it was set off.
func Virtual(ctx context.Context, c Config) (*Report, error) {
	if err := c.Valid(); err != nil {
		return nil, err
	}
	v := newVirtual(c)
	v.load()
	if err := v.run(ctx); err != nil {
		return nil, err
	}
	return v.report(), nil
}

func (v *virtual) report() *Report {
	v.ledger.Evicted(v.cache.evicted)
	return v.ledger.Report()
}

// A virtual is a run of the virtual driver.
type virtual struct {
	Config
	now       time.Duration
	processes []process
	cache     cache
	desk      *Desk
	ledger    *Ledger
	timers    timers
	outs      slab[out]
	ins       slab[in]
	current   in               // the event that is told, kept here because it goes through an interface
	ready     ring[in]         // events that are due now
	patience  ring[impatience] // in order
	unserved  int
	outage    time.Duration // the origin fails until then
	do        Actions
	broken    error // a strategy did what the contract forbids
	assign    *rand.PCG
	network   *rand.Rand
	messages  *rand.Rand
	crashes   *rand.Rand
	dies      time.Duration // when the next process crashes for no reason, where they do
}

// An out is an action on its way to the cache or at the origin.
type out struct {
	process, epoch uint32
	back           time.Duration // how long the answer travels
	action         Action
}

// An in is an event on its way to a process.
type in struct {
	process, epoch uint32
	refused        bool // the origin did not take it, and the ledger knows
	event          Event
}

// An impatience is when the client of a request gives up.
type impatience struct {
	at      time.Duration
	turn    uint64 // of the request's number
	process uint32
	req     Req
}

// Streams of random numbers: one for each cause of chance, so that a change to one leaves the others.
const (
	streamAssign = iota
	streamNetwork
	streamOrigin
	streamMessages
	streamCrashes
	streamLoad
	streamProcess // and from here on one a process
)

func newVirtual(c Config) *virtual {
	c.Processes = max(c.Processes, 1)
	stream := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(c.Seed, n)) }
	v := &virtual{Config: c, ledger: NewLedger(c.terms()), desk: NewDesk(c.Origin, stream(streamOrigin)),
		cache: cache{capacity: c.Capacity}, assign: rand.NewPCG(c.Seed, streamAssign),
		network: stream(streamNetwork), messages: stream(streamMessages), crashes: stream(streamCrashes)}
	v.processes = make([]process, c.Processes)
	for i := range v.processes {
		p := &v.processes[i]
		p.random = stream(streamProcess + uint64(i))
		p.begin(c.Maker, i)
	}
	return v
}

func (v *virtual) load() {
	if v.Load == nil {
		return
	}
	random := rand.New(rand.NewPCG(v.Seed, streamLoad))
	for key := range v.Load.Keys {
		a := Action{Kind: Set, Key: key, Value: Value{Version: 1, Took: v.Load.Took}}
		ttl, soft := v.Load.Lifetime.Draw(0, random)
		if ttl > 0 {
			a.Value.Expires = ttl
		}
		a.Value.Soft = soft
		var e Event
		v.cache.do(0, &a, &e)
		v.ledger.Load(key, &e.Value)
	}
}

// What comes next.
const (
	nothing = iota
	trigger
	death
	arrival
	origin
	timer
	impatient
)

const (
	never = 1<<63 - 1
	drain = time.Hour
)

func (v *virtual) run(ctx context.Context) error {
	var op loadgen.Op
	more := v.arrives(&op)
	v.dies = v.untilDeath()
	triggers := v.Triggers
	for steps := 0; ; steps++ {
		if steps%4096 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		at, what := v.next()
		if more && op.Due <= at {
			at, what = op.Due, arrival
		}
		if v.Deaths > 0 && more && v.dies <= at {
			at, what = v.dies, death
		}
		if len(triggers) > 0 && triggers[0].At <= at && (more || v.unserved > 0) {
			at, what = triggers[0].At, trigger
		}
		if !more && v.unserved == 0 || what == nothing || at > v.Length+drain {
			v.ledger.report.Unserved = uint64(v.unserved)
			return v.broken
		}
		v.now = max(v.now, at)
		switch what {
		case trigger:
			v.trigger(triggers[0])
			triggers = triggers[1:]
		case death:
			v.die()
			v.dies += v.untilDeath()
		case arrival:
			v.arrive(&op)
			more = v.arrives(&op)
		case origin:
			v.worked(v.desk.End(v.now))
		case timer:
			v.fire(v.timers.pop())
		case impatient:
			v.giveUp(v.patience.pop())
		}
		if v.broken != nil {
			return v.broken
		}
	}
}

// arrives brings the next request of the source into op.
func (v *virtual) arrives(op *loadgen.Op) bool {
	return v.Source.Next(op) && op.Due < v.Length
}

// next is what comes next of what was set off.
func (v *virtual) next() (time.Duration, int) {
	at, what := time.Duration(never), nothing
	if then, some := v.desk.Next(); some {
		at, what = then, origin
	}
	if then, some := v.timers.next(); some && then < at {
		at, what = then, timer
	}
	for v.patience.len() > 0 {
		first := v.patience.front()
		if !v.processes[first.process].waits(first.req, first.turn) {
			v.patience.drop()
			continue
		}
		if first.at < at {
			at, what = first.at, impatient
		}
		break
	}
	return at, what
}

func (v *virtual) trigger(t Trigger) {
	switch t.Do {
	case Flush:
		v.cache.flush()
	case Expire:
		v.cache.expire(v.now)
	case Outage:
		v.outage = t.At + t.For
	case Crash:
		v.die()
	}
	v.ledger.Trigger(t)
}

// untilDeath is how long the fleet lives until its next Death.
func (v *virtual) untilDeath() time.Duration {
	if v.Deaths == 0 {
		return never
	}
	return duration(float64(time.Second) / (v.Deaths * float64(v.Processes)) * v.crashes.ExpFloat64())
}

// die crashes one of the processes.
func (v *virtual) die() { v.crash(uint32(v.crashes.IntN(v.Processes))) }

// A slab holds Ts under numbers that are used again.
type slab[T any] struct {
	all  []T
	free []uint32
}

func (s *slab[T]) add() (uint32, *T) {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		return i, &s.all[i]
	}
	s.all = append(s.all, *new(T))
	return uint32(len(s.all) - 1), &s.all[len(s.all)-1]
}

func (s *slab[T]) drop(i uint32) { s.free = append(s.free, i) }

package fleet

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/cachectl/cachectl/loadgen"
)

// dispatch brings requests to their processes when they are due, and does what happens to the whole. It
// ends the run when requests are not served in time after the last.
func (r *real) dispatch() {
	assign := rand.NewPCG(r.Seed, streamAssign)
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	var op loadgen.Op
	more := r.arrives(&op)
	dies := r.untilDeath()
	triggers := r.Triggers
	for more || len(triggers) > 0 {
		at, what := time.Duration(never), nothing
		if more {
			at, what = op.Due, arrival
		}
		if more && r.Deaths > 0 && dies <= at {
			at, what = dies, death
		}
		if len(triggers) > 0 && triggers[0].At <= at {
			at, what = triggers[0].At, trigger
		}
		if !r.sleep(alarm, at) {
			return
		}
		switch what {
		case arrival:
			n := uint32(assign.Uint64() >> 32 * uint64(r.Processes) >> 32)
			if op.Key > math.MaxUint32 {
				r.end(fmt.Errorf("key number %d is beyond 2^32", op.Key))
				return
			}
			r.mu.Lock()
			r.unserved++
			r.mu.Unlock()
			r.workers[n].post(in{event: Event{Kind: Arrived, Key: Key(op.Key), Write: op.Do != loadgen.Read, Value: Value{Read: op.Due}}})
			more = r.arrives(&op)
		case death:
			r.die()
			dies += r.untilDeath()
		case trigger:
			r.trigger(triggers[0])
			triggers = triggers[1:]
		}
	}
	r.sleep(alarm, r.Length+r.Drain)
	r.end(nil)
}

// arrives brings the next request of the source, and ends the run if there is none and none is under way.
func (r *real) arrives(op *loadgen.Op) bool {
	if r.Source.Next(op) && op.Due < r.Length {
		return true
	}
	r.mu.Lock()
	r.arriving = false
	done := r.complete()
	r.mu.Unlock()
	if done {
		r.end(nil)
	}
	return false
}

// sleep waits until a time of the run; false: the run is over.
func (r *real) sleep(alarm *time.Timer, at time.Duration) bool {
	wait := at - r.since()
	if wait <= 0 {
		select {
		case <-r.over:
			return false
		default:
			return true
		}
	}
	alarm.Reset(wait)
	select {
	case <-r.over:
		return false
	case <-alarm.C:
		return true
	}
}

// untilDeath is how long the fleet lives until its next Death.
func (r *real) untilDeath() time.Duration {
	if r.Deaths == 0 {
		return never
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return duration(float64(time.Second) / (r.Deaths * float64(r.Processes)) * r.crashes.ExpFloat64())
}

// die crashes one of the processes.
func (r *real) die() {
	r.mu.Lock()
	w := r.workers[r.crashes.IntN(r.Processes)]
	r.mu.Unlock()
	w.box.Lock()
	w.mail.deaths++
	w.box.Unlock()
	w.nudge()
}

func (r *real) trigger(t Trigger) {
	switch t.Do {
	case Flush:
		r.aside(r.sweeper.flush)
	case Expire:
		r.aside(r.sweeper.expire)
	case Outage:
		r.mu.Lock()
		r.origin.outage = t.At + t.For
		r.mu.Unlock()
	case Crash:
		r.die()
	}
	r.mu.Lock()
	r.ledger.Trigger(t)
	r.mu.Unlock()
}

// aside does what takes its time, while requests go on.
func (r *real) aside(do func(context.Context) error) {
	r.running.Go(func() {
		if err := do(r.life); err != nil && r.life.Err() == nil {
			r.end(err)
		}
	})
}

package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A worker is one process of a real run. What it has belongs to its own goroutine, but for the mailbox.
type worker struct {
	*real
	process
	wire
	number   uint32
	ready    ring[in] // events that are due now
	timers   timers
	ins      slab[in]
	patience ring[impatience]
	do       Actions
	current  in    // the event that is told
	fault    error // what ends the run

	wake chan struct{}
	box  sync.Mutex
	mail mail
	read mail
}

// A mail is what others have for a worker.
type mail struct {
	events []in
	deaths int // how often it is to crash
	mended *mending
	closed bool // nobody reads it any more
}

// nudge makes the worker look around.
func (w *worker) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// post brings an event.
func (w *worker) post(i in) {
	w.box.Lock()
	w.mail.events = append(w.mail.events, i)
	w.box.Unlock()
	w.nudge()
}

// live is the worker's life.
func (w *worker) live() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer w.close()
	for {
		w.receive()
		w.open()
		next := w.fire()
		w.flush()
		timer.Reset(next)
		select {
		case <-w.over:
			w.drain()
			return
		case <-w.wake:
		case <-timer.C:
		}
	}
}

// open reads the mail.
func (w *worker) open() {
	w.box.Lock()
	w.read, w.mail = w.mail, mail{events: w.read.events[:0]}
	w.box.Unlock()
	if w.read.mended != nil {
		w.mend(w.read.mended)
	}
	for i := range w.read.events {
		w.current = w.read.events[i]
		switch w.current.event.Kind {
		case Arrived:
			w.arrive()
			continue
		case Heard:
			w.current.epoch = w.epoch
		}
		w.hear()
	}
	for range w.read.deaths {
		w.die()
	}
}

// fire tells what is due by the clock, and how long nothing is.
func (w *worker) fire() time.Duration {
	for {
		now := w.since()
		at, what := w.next(now)
		if at > now {
			return at - now
		}
		switch what {
		case timer:
			a := w.timers.pop()
			w.current = w.ins.all[a.slot]
			w.ins.drop(a.slot)
			w.hear()
		case impatient:
			i := w.patience.pop()
			w.current = in{epoch: w.epoch, event: Event{Kind: GaveUp, Req: i.req, Key: w.requests[i.req].ticket.Key}}
			w.hear()
		default:
			w.silent()
		}
	}
}

// next is what comes next by the clock.
func (w *worker) next(now time.Duration) (time.Duration, int) {
	at, what := now+time.Minute, nothing
	if l := w.oldest(); l != nil {
		at = min(at, l.waits.front().sent+w.Timeout)
	}
	if then, some := w.timers.next(); some && then < at {
		at, what = then, timer
	}
	for w.patience.len() > 0 {
		first := w.patience.front()
		if !w.waits(first.req, first.turn) {
			w.patience.drop()
			continue
		}
		if first.at < at {
			at, what = first.at, impatient
		}
		break
	}
	return at, what
}

// arrive takes a request in. The dispatcher says in Read when it was due.
func (w *worker) arrive() {
	e := &w.current.event
	q, r := w.take()
	due, turn := e.Value.Read, r.turn
	r.ticket = Ticket{Due: due, Key: e.Key, Write: e.Write}
	e.Value, e.Req, w.current.epoch = Value{}, q, w.epoch
	w.mu.Lock()
	w.late.Add(w.since() - due)
	w.ledger.Arrive(&r.ticket)
	w.mu.Unlock()
	w.hear()
	if w.Patience > 0 && w.waits(q, turn) {
		w.patience.push(impatience{at: due + w.Patience, turn: turn, req: q})
	}
}

// hear tells the current event, and what follows from it at once.
func (w *worker) hear() {
	for {
		w.tell(&w.current)
		if w.ready.len() == 0 {
			return
		}
		w.current = w.ready.pop()
	}
}

// tell tells the strategy an event, and does what it wants.
func (w *worker) tell(i *in) {
	e := &i.event
	w.mu.Lock()
	e.Now = w.since()
	if i.epoch != w.epoch {
		if !i.refused {
			w.ledger.Tell(nil, e)
		}
		w.mu.Unlock()
		return
	}
	if e.Req != 0 {
		switch e.Kind {
		case Answered, Fetched, Committed, Woke:
			w.requests[e.Req].open--
		}
	}
	if !i.refused {
		w.ledger.Tell(w.ticket(e.Req), e)
	}
	if w.Crashes > 0 && e.Kind == Answered && (e.Of == Add && e.Answer == OK || e.Of == Lease && e.Answer == Won) &&
		w.crashes.Float64() < w.Crashes {
		w.ledger.Winner(e.Now)
		w.mu.Unlock()
		w.die()
		return
	}
	w.do.Reset()
	w.strategy.Next(e, &w.do)
	list, now := w.do.List(), e.Now
	for n := range list {
		w.note(now, &list[n])
	}
	done := w.complete()
	w.mu.Unlock()
	for n := range list {
		w.act(now, &list[n])
	}
	for n := range list {
		if list[n].Kind == Serve && w.fault == nil {
			w.settle(list[n].Req)
		}
	}
	w.settle(e.Req)
	if done || w.fault != nil {
		w.end(w.fault)
	}
}

// note enters an action into the books. The lock is held.
func (w *worker) note(now time.Duration, a *Action) {
	switch a.Kind {
	case Serve:
		if a.Req == 0 || int(a.Req) >= len(w.requests) || !w.requests[a.Req].live || w.requests[a.Req].served {
			w.fault = fmt.Errorf("strategy %s served request %d, which nobody waits for", w.Strategy, a.Req)
			return
		}
		w.requests[a.Req].served = true
		w.unserved--
	case Set:
		a.Value.Expires = 0
		if a.TTL > 0 {
			a.Value.Expires = now + a.TTL
		}
		*w.touched.at(a.Key) |= touchedValue
	case Lease:
		*w.touched.at(a.Key) |= touchedValue
	case Add:
		*w.touched.at(a.Key) |= touchedLock
	}
	if a.Kind == Fetch || a.Kind == Commit {
		w.origin.order(now, w, a)
	} else {
		w.ledger.Do(now, w.ticket(a.Req), a)
	}
	if a.Req != 0 && a.Kind != Serve && a.Kind != Publish && a.Kind != Lose {
		w.requests[a.Req].open++
	}
}

// act does what is not of the books.
func (w *worker) act(now time.Duration, a *Action) {
	switch {
	case a.asks():
		w.ask(now, a)
	case a.Kind == Wait:
		slot, i := w.ins.add()
		*i = in{epoch: w.epoch, event: Event{Kind: Woke, Req: a.Req, Key: a.Key, Tag: a.Tag, Of: Wait}}
		w.timers.set(now, max(a.For, time.Microsecond), slot, false)
	}
}

// die is a crash.
func (w *worker) die() {
	w.mu.Lock()
	now := w.since()
	w.ledger.Death(now)
	w.do.Reset()
	w.strategy.Next(&Event{Kind: Crashed, Now: now}, &w.do)
	for i := range w.do.list {
		if a := &w.do.list[i]; a.Kind == Lose {
			w.ledger.Do(now, nil, a)
		}
	}
	for i := range w.requests {
		r := &w.requests[i]
		if r.live && !r.served {
			w.unserved--
		}
		if r.live {
			w.ledger.Crash(now, &r.ticket)
		}
	}
	done := w.complete()
	w.mu.Unlock()
	w.epoch++
	w.begin(w.Maker, int(w.number))
	clear(w.locks)
	if done {
		w.end(nil)
	}
}

// listen hears what is published until ctx ends.
func (w *worker) listen(ctx context.Context, ready func()) error {
	for message, err := range w.Subscriber.Subscribe(ctx, w.channel(), ready) {
		var notice *backends.Notice
		if errors.As(err, &notice) {
			w.mu.Lock()
			w.counts.Missed++
			w.mu.Unlock()
			continue
		}
		if err != nil {
			return err
		}
		if key, version, ours := w.message(message); ours && !w.misses() {
			w.post(in{event: Event{Kind: Heard, Key: key, Value: Value{Version: version}}})
		}
	}
	return nil
}

// misses tells by chance whether a message is not heard.
func (w *worker) misses() bool {
	if w.Config.Missed == 0 {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.messages.Float64() < w.Config.Missed
}

package fleet

import "time"

// An alarm is when something is due that lies in a slab.
type alarm struct {
	at   time.Duration
	seq  uint64 // the order in which alarms were set
	slot uint32
	out  bool // in outs: it reaches the cache. Else in ins: it reaches a process
}

func (a *alarm) before(b *alarm) bool { return a.at < b.at || a.at == b.at && a.seq < b.seq }

// lanes bounds how many delays have a lane of their own: more would cost more than the heap.
const lanes = 6

// timers brings alarms in order. Most delays are one of a few constants (a round trip, a poll), and alarms of the
// same delay come in the order in which they were set: they wait in a lane, and only the rest in a heap.
type timers struct {
	seq   uint64
	lanes [lanes]lane
	used  int
	heap  heap[alarm, *alarm]
	first int // where the next alarm is: a lane, counted from 1, or one of the constants
}

type lane struct {
	delay time.Duration
	ring[alarm]
}

const (
	unknown = 0
	inHeap  = -1
	nowhere = -2
)

// set sets an alarm at now + delay.
func (t *timers) set(now, delay time.Duration, slot uint32, out bool) {
	t.seq++
	t.first = unknown
	a := alarm{at: now + delay, seq: t.seq, slot: slot, out: out}
	empty := -1
	for i := range t.used {
		if t.lanes[i].delay == delay {
			t.lanes[i].push(a)
			return
		}
		if t.lanes[i].len() == 0 {
			empty = i
		}
	}
	if empty < 0 && t.used < lanes {
		empty = t.used
		t.used++
	}
	if empty < 0 {
		t.heap.push(a)
		return
	}
	t.lanes[empty].delay = delay
	t.lanes[empty].push(a)
}

// next is when the next alarm is due.
func (t *timers) next() (time.Duration, bool) {
	if t.first == unknown {
		t.first = t.find()
	}
	switch t.first {
	case nowhere:
		return 0, false
	case inHeap:
		return t.heap[0].at, true
	}
	return t.lanes[t.first-1].front().at, true
}

func (t *timers) find() int {
	first, least := nowhere, (*alarm)(nil)
	if len(t.heap) > 0 {
		first, least = inHeap, &t.heap[0]
	}
	for i := range t.used {
		if t.lanes[i].len() == 0 {
			continue
		}
		if a := t.lanes[i].front(); least == nil || a.before(least) {
			first, least = i+1, a
		}
	}
	return first
}

// pop takes the alarm that next told of.
func (t *timers) pop() alarm {
	first := t.first
	t.first = unknown
	if first == inHeap {
		return t.heap.pop()
	}
	return t.lanes[first-1].pop()
}

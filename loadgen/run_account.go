package loadgen

import (
	"slices"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// An account is what one loop counts. Ops that are due before from, in the warm-up, are not counted,
// and shown live only.
type account struct {
	from    time.Duration
	tallies [doKinds]Tally
	late    Histogram
	ticks   []Tick // from the warm-up's beginning on, of which those of the warm-up are shown live only
	second  Histogram
	filled  int           // second is of this tick
	edge    time.Duration // when it is over, since the start
	over    []Tick        // ended, and not yet taken
	first   time.Duration // At of ticks[0]
	void    Tick          // what is left of the warm-up when that is over
	errors  map[string]uint64
	failed  func(Op)
	written *Written // may be nil
	adding  bool     // as in Config
}

func newAccount(warmup time.Duration, c *Config) account {
	// Seconds count from the end of the warm-up.
	first := -(warmup + time.Second - 1) / time.Second * time.Second
	return account{from: warmup, first: first, edge: warmup + first + time.Second, errors: make(map[string]uint64),
		failed: c.failed, written: c.Written, adding: c.adding}
}

// tick is the second of t, since the start.
func (a *account) tick(t time.Duration) *Tick {
	i := max(0, int((t-a.from-a.first)/time.Second))
	for i >= len(a.ticks) {
		a.ticks = append(a.ticks, Tick{At: a.first + time.Duration(len(a.ticks))*time.Second})
	}
	return &a.ticks[i]
}

func (a *account) counts(op *Op) bool { return op.Due >= a.from }

// tickOf is the second of t for something about op: from the end of the warm-up on only ops that count
// have one, so that the seconds add up to the tallies.
func (a *account) tickOf(op *Op, t time.Duration) *Tick {
	if t >= a.from && !a.counts(op) {
		return &a.void
	}
	return a.tick(t)
}

// due counts an op that the loop came round to now.
func (a *account) due(op *Op, now time.Duration, closed bool) {
	a.tickOf(op, op.Due).Due++
	if !a.counts(op) {
		return
	}
	a.tallies[op.Do].Due++
	if !closed {
		a.late.Add(now - op.Due)
	}
}

func (a *account) sent(op *Op, now time.Duration) {
	a.tickOf(op, now).Sent++
	if a.counts(op) {
		t := &a.tallies[op.Do]
		t.Sent++
		if op.Do == Write {
			t.BytesOut += uint64(op.Size)
		}
	}
}

func (a *account) dropped(op *Op, now time.Duration) {
	a.tickOf(op, now).Dropped++
	if a.counts(op) {
		a.tallies[op.Do].Dropped++
	}
}

func (a *account) lost(op *Op, now time.Duration, why string) {
	a.tickOf(op, now).Lost++
	if a.counts(op) {
		a.tallies[op.Do].Lost++
		a.note(why)
	}
	if op.Do == Write && a.written != nil {
		if a.adding {
			a.written.doubt(op)
		} else {
			a.written.Add(op.Key)
		}
	}
	if a.failed != nil {
		a.failed(*op)
	}
}

func (a *account) refused(op *Op, now time.Duration, why string) {
	a.tickOf(op, now).Refused++
	if a.counts(op) {
		a.tallies[op.Do].Refused++
		a.note(why)
	}
	if a.failed != nil {
		a.failed(*op)
	}
}

// How many kinds of errors are told apart, and how much of their words.
const (
	mostErrors  = 20
	mostOfError = 120
)

func (a *account) note(why string) {
	why = why[:min(len(why), mostOfError)]
	if _, known := a.errors[why]; !known && len(a.errors) >= mostErrors {
		why = "others"
	}
	a.errors[why]++
}

// answered counts a reply that came now. Latencies are of ops that were done.
func (a *account) answered(f *flight, now time.Duration, r *backends.Reply) {
	hit := false
	switch r.Answer {
	case backends.Hit:
		hit = true
	case backends.Miss:
	case backends.Done:
		hit = f.op.Do == Remove
		if f.op.Do == Write && a.written != nil {
			a.written.Add(f.op.Key)
		}
	case backends.NotDone:
		if f.op.Do == Write {
			a.refused(&f.op, now, "a write was not done")
			return
		}
	default:
		a.refused(&f.op, now, r.Text)
		return
	}
	tick := a.tickOf(&f.op, now)
	tick.Done++
	latency := now - f.op.Due
	if tick != &a.void {
		a.turn(now)
		a.second.Add(latency)
	}
	var t *Tally
	if a.counts(&f.op) {
		t = &a.tallies[f.op.Do]
		t.Done++
		t.BytesIn += uint64(len(r.Value))
		t.Latency.Add(latency)
		t.Service.Add(now - f.sent)
	}
	switch {
	case f.op.Do == Write:
	case hit:
		tick.Hits += isRead(f)
		if t != nil {
			t.Hits++
		}
	default:
		tick.Misses += isRead(f)
		if t != nil {
			t.Misses++
		}
	}
}

// turn ends the seconds that are over. What was due in them may yet be counted, their latencies are complete.
func (a *account) turn(now time.Duration) {
	for now >= a.edge {
		a.over = append(a.over, a.closeSecond())
	}
}

// take is the seconds that ended since the last call, to be shown.
func (a *account) take() []Tick {
	over := a.over
	a.over = nil
	return over
}

func (a *account) closeSecond() Tick {
	t := a.tick(a.from + a.first + time.Duration(a.filled)*time.Second)
	t.Latency = a.second
	t.Latency.Coarsen() // a copy: second keeps its memory
	if a.second.h != nil {
		a.second.h.Reset()
	}
	a.filled++
	a.edge += time.Second
	return *t
}

// end ends the seconds that are left.
func (a *account) end() {
	for a.filled < len(a.ticks) {
		a.over = append(a.over, a.closeSecond())
	}
}

// addTo adds what was counted to a report.
func (a *account) addTo(r *Report) {
	for i := range a.tallies {
		r.Tallies[i].Merge(&a.tallies[i])
	}
	r.Late.Merge(&a.late)
	for why, n := range a.errors {
		r.Errors[why] += n
	}
	measured := a.ticks[min(len(a.ticks), int(-a.first/time.Second)):]
	for i := range measured {
		if i == len(r.Ticks) {
			r.Ticks = append(r.Ticks, Tick{At: measured[i].At})
		}
		r.Ticks[i].Merge(&measured[i])
	}
	r.Ticks = slices.Clip(r.Ticks)
}

// isRead is 1 of a read: the seconds tell hits and misses of reads only.
func isRead(f *flight) uint64 {
	if f.op.Do == Read {
		return 1
	}
	return 0
}

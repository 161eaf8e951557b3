package fleet

import (
	"time"

	"github.com/cachectl/cachectl/loadgen"
)

// A Ledger keeps account of a run. It is a fold over what drivers tell it: the requests that arrive, the actions
// that strategies take, the events they hear, and the origin's commits, in order of their time. Its
// memory grows with the number of keys and of seconds, not of requests. It has no clock and is not safe for
// concurrent use.
type Ledger struct {
	report  Report
	terms   Terms
	keys    paged[account]
	flushed time.Duration // the last flush or expiry; what was known of keys before does not hold
	flight  int           // at the origin
	now     *Tick         // of the series, the latest
	begins  time.Duration // that tick
	reads   batch
	past    []Trigger
}

// Terms are what a Ledger goes by.
type Terms struct {
	Strategy  string
	Processes int
	Warmup    time.Duration
	Length    time.Duration // warm-up included
	Servers   int           // of the origin; 0: no limit
	Skip      int           // how many cycles of each key are not counted: the first fill of a cold cache is not an expiry
	Rule      RecoveryRule  // zero fields: 0.9 and 3
}

// A Ticket is the ledger's note of a request. The driver keeps it with the request and fills in the
// exported fields before Arrive.
type Ticket struct {
	Due    time.Duration
	Key    Key
	Write  bool
	Done   bool // it was served, or its client gave up
	GaveUp bool
	denied time.Duration // when it was first refused a lock; 0: never
}

// An account is what the ledger knows of a key.
type account struct {
	flight  uint32 // fetches under way
	starts  uint32 // of this cycle
	peak    uint32
	cycles  uint32 // that began
	early   bool   // this cycle began while the value was fresh
	counted bool   // this cycle counts
	missing bool   // a window is open
	lead    time.Duration
	opened  time.Duration // the last window in which it was missing
	closed  time.Duration
	set     time.Duration // when it was last set, to the ledger's knowledge
	fresh   time.Duration // and how long that is fresh
	latest  uint64        // version, acknowledged or committed; 0: 1, it was never written
	truth   *histories
}

type histories struct{ known, committed history }

// NewLedger opens a ledger.
func NewLedger(t Terms) *Ledger {
	if t.Rule.Ratio == 0 {
		t.Rule.Ratio = 0.9
	}
	if t.Rule.Seconds == 0 {
		t.Rule.Seconds = 3
	}
	l := &Ledger{terms: t, report: Report{
		Strategy: t.Strategy, Processes: t.Processes, Runs: 1, Warmup: t.Warmup, Length: t.Length, Rule: t.Rule}}
	l.report.Ticks = []Tick{{}}
	l.now = &l.report.Ticks[0]
	return l
}

// tick is the second of at. It is good until the next tick.
func (l *Ledger) tick(at time.Duration) *Tick {
	if since := at - l.begins; since >= 0 && since < time.Second {
		return l.now
	}
	i := int(max(at, 0) / time.Second)
	for len(l.report.Ticks) <= i {
		l.report.Ticks = append(l.report.Ticks, Tick{Most: l.flight, Least: l.flight})
		n := len(l.report.Ticks) - 1
		l.now, l.begins = &l.report.Ticks[n], time.Duration(n)*time.Second
	}
	if at >= l.begins {
		return l.now
	}
	return &l.report.Ticks[i]
}

// Arrive notes a request.
func (l *Ledger) Arrive(t *Ticket) {
	tick := l.tick(t.Due)
	counts := t.Due >= l.terms.Warmup
	if t.Write {
		tick.Writes++
		if counts {
			l.report.Writes++
		}
		return
	}
	tick.Reads++
	if counts {
		l.report.Reads++
	}
}

// Do notes an action at the moment it is taken. t is of its request; nil: of none.
func (l *Ledger) Do(now time.Duration, t *Ticket, a *Action) {
	switch a.Kind {
	case Serve:
		l.serve(now, t, a)
	case Fetch:
		l.fetch(now, a.Key)
	case Commit:
		l.ask(now)
		if now >= l.terms.Warmup {
			l.report.Origin.Writes++
		}
	case Set:
		if t != nil && t.GaveUp && now >= l.terms.Warmup {
			l.report.Origin.LateStored++
		}
	case Lose:
		l.lose(now, a)
	}
}

// Refuse notes a Fetch or Commit that the origin did not take. Neither Do nor Tell is to hear of it.
func (l *Ledger) Refuse(now time.Duration) {
	if now >= l.terms.Warmup {
		l.report.Origin.Refused++
	}
}

// Tell notes an event at the moment a process hears it. t is of its request; nil: of none, or of one that crashed.
func (l *Ledger) Tell(t *Ticket, e *Event) {
	switch e.Kind {
	case Answered:
		l.answered(t, e)
	case Fetched:
		l.fetched(t, e)
	case Committed:
		l.rest(e.Now)
		if e.Answer == Failed && e.Now >= l.terms.Warmup {
			l.report.Origin.Failed++
		}
	case GaveUp:
		l.gaveUp(e.Now, t)
	}
}

func (l *Ledger) answered(t *Ticket, e *Event) {
	counts := e.Now >= l.terms.Warmup
	cache, locks := &l.report.Cache, &l.report.Locks
	if !counts {
		cache, locks = new(CacheTally), new(LockTally)
	}
	if e.Answer == Failed {
		cache.Failed++
		return
	}
	switch e.Of {
	case Get, Lease:
		if e.Answer == Hit || e.Value.Version != 0 {
			cache.Hits++
			if k := l.keys.at(e.Key); k.missing {
				l.found(e.Now, k)
			}
		} else {
			cache.Misses++
			l.missed(e.Now, l.keys.at(e.Key))
		}
		if e.Answer == Won {
			locks.Won++
		}
		if e.Answer == Busy {
			locks.Denied++
			l.denied(e.Now, t)
		}
	case Add:
		if e.Answer == OK {
			locks.Won++
		} else {
			locks.Denied++
			l.denied(e.Now, t)
		}
	case Release:
		if e.Answer == No {
			locks.Expired++
		}
	case Set:
		if e.Answer == No {
			cache.Denied++
			return
		}
		cache.Sets++
		k := l.keys.at(e.Key)
		l.stored(e.Now, k, &e.Value)
		if t == nil || !t.Write {
			l.filled(e, k)
		}
	case Delete, Invalidate:
		if e.Answer == No {
			cache.Denied++
			return
		}
		cache.Deletes++
		l.keys.at(e.Key).fresh = 0
	}
}

func (l *Ledger) denied(now time.Duration, t *Ticket) {
	if t != nil && t.denied == 0 {
		t.denied = max(now, 1)
	}
}

// Crash notes that the process of a request ended under it.
func (l *Ledger) Crash(now time.Duration, t *Ticket) {
	if t.Done {
		return
	}
	t.Done = true
	l.tick(now).Errors++
	if t.Due >= l.terms.Warmup {
		l.report.Crashed++
	}
}

// Winner notes that a process crashed because it won a lock.
func (l *Ledger) Winner(now time.Duration) {
	if now >= l.terms.Warmup {
		l.report.Locks.Crashes++
	}
}

// Evicted notes that the cache dropped n values for want of room.
func (l *Ledger) Evicted(n uint64) { l.report.Cache.Evicted += n }

// Load notes that the cache had a value before anything began.
func (l *Ledger) Load(key Key, v *Value) { l.stored(0, l.keys.at(key), v) }

// Trigger notes what happened to the whole.
func (l *Ledger) Trigger(t Trigger) {
	l.past = append(l.past, t)
	if t.Do == Flush || t.Do == Expire {
		l.flushed = t.At
	}
}

// Report closes the ledger at end, when nothing is under way any more that is to count.
func (l *Ledger) Report() *Report {
	l.reads.flush()
	r := &l.report
	l.keys.all(func(_ Key, k *account) {
		l.windows(k)
		if k.flight > 0 && k.counted {
			r.Cycles.Unfinished++
		}
	})
	for i, t := range l.past {
		until := r.Length
		if i+1 < len(l.past) {
			until = l.past[i+1].At
		}
		r.After = append(r.After, aftermath(t, r.Rule, r.Ticks, until))
	}
	if overloaded(r.Ticks, l.terms.Servers, r.Length) {
		r.Overloaded = 1
	}
	return r
}

// A batch is the same duration many times over, on its way into a histogram: hits take no time, or the same.
type batch struct {
	into *loadgen.Histogram
	d    time.Duration
	n    uint64
}

func (b *batch) add(into *loadgen.Histogram, d time.Duration) {
	if b.d != d || b.into != into {
		b.flush()
		b.into, b.d = into, d
	}
	b.n++
}

func (b *batch) flush() {
	if b.n > 0 {
		b.into.AddN(b.d, b.n)
	}
	b.n = 0
}

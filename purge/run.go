package purge

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Options say how a run goes. The zero value is a run without a journal, under
// a key of its own.
type Options struct {
	// Key makes the References of calls. Two runs with one key are one purge
	// told twice. Empty: a random one.
	Key         string
	Journal     Journal
	Tries       int           // of one call, for trouble that passes; 0: 8
	Patience    time.Duration // how long a call may find the provider Busy, or be told to wait; 0: 30 minutes
	CallTimeout time.Duration // of one request; 0: a minute
	Clock       Clock         // nil: the system's
	Random      func() float64
}

// An Outcome says what became of items. Err is nil when they are purged.
type Outcome struct {
	Target   string
	Call     Call // as it was sent last: maybe a part of the planned one
	Items    []Item
	Receipts []Receipt
	Tries    int
	Err      error
}

// Run sends calls to the purgers that they name, as fast as the limits allow,
// several at once where a plan says so. Targets run in parallel and share
// limits of the same name.
//
// Every item of every call comes in exactly one Outcome, as purged or as failed
// with its reason, also when ctx ends: then the rest fails with ErrNotSent or
// with ctx's error, and that error ends the stream. Outcomes are in the journal
// before they are yielded. A *Notice tells of waits and smaller batches. A
// caller that leaves the loop early is told no more; Run has stopped then too.
//
// A purge is at least once: a call whose answer was lost is sent again.
func Run(ctx context.Context, purgers []Purger, calls []Call, o Options) iter.Seq2[Outcome, error] {
	return func(yield func(Outcome, error) bool) {
		inner, cancel := context.WithCancel(ctx)
		defer cancel()
		r, err := newRun(purgers, calls, o)
		if err != nil {
			yield(Outcome{}, err)
			return
		}
		r.start(inner)
		err = r.report(cancel, yield)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil && !r.left {
			yield(Outcome{}, err)
		}
	}
}

// What Options leave open.
const (
	defaultTries       = 8
	defaultPatience    = 30 * time.Minute
	defaultCallTimeout = time.Minute
)

// A run is the state of one Run.
type run struct {
	Options
	limits *limiter
	lanes  []*lane
	lost   []Call // no purger has their target
	out    chan event
	left   bool // the reader has left the loop
}

// An event is an outcome, with the journal's name of its call, or a notice.
type event struct {
	Outcome
	queued string
	whole  bool // the outcome is about all of the queued call
	notice *Notice
}

func newRun(purgers []Purger, calls []Call, o Options) (*run, error) {
	r := &run{Options: o, out: make(chan event, 64)}
	if r.Key == "" {
		r.Key = NewKey()
	}
	if r.Tries == 0 {
		r.Tries = defaultTries
	}
	if r.Patience == 0 {
		r.Patience = defaultPatience
	}
	if r.CallTimeout == 0 {
		r.CallTimeout = defaultCallTimeout
	}
	if r.Clock == nil {
		r.Clock = systemClock{}
	}
	if r.Random == nil {
		r.Random = rand.Float64
	}
	byName := make(map[string]*lane)
	var plans []Plan
	for _, p := range purgers {
		limits, err := p.Plan(nil)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name(), err)
		}
		plans = append(plans, limits)
		l := &lane{run: r, purger: p, workers: max(1, limits.Parallel)}
		byName[p.Name()] = l
		r.lanes = append(r.lanes, l)
	}
	for _, c := range calls {
		if l := byName[c.Target]; l != nil {
			queued := c.Queued
			if queued == "" {
				queued = c.ID
			}
			l.queue = append(l.queue, task{call: c, queued: queued, whole: c.Queued == ""})
		} else {
			r.lost = append(r.lost, c)
		}
	}
	r.limits = newLimiter(r.Clock.Now(), plans...)
	return r, nil
}

// start sets all workers going. The last of them closes r.out.
func (r *run) start(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() {
		for _, c := range r.lost {
			r.out <- event{queued: c.ID, whole: true, Outcome: Outcome{Target: c.Target, Call: c, Items: c.Items,
				Err: fmt.Errorf("%w: this run has no target %s", ErrNotSent, c.Target)}}
		}
	})
	for _, l := range r.lanes {
		for range min(l.workers, len(l.queue)) {
			running.Go(func() { l.work(ctx) })
		}
	}
	go func() { running.Wait(); close(r.out) }()
}

// report records and yields what the workers bring, until the last has ended.
// Outcomes that are there at the same moment are recorded together. If the
// journal fails, or the reader leaves, it stops the workers and takes in what
// they still bring.
func (r *run) report(cancel func(), yield func(Outcome, error) bool) (failed error) {
	for first := range r.out {
		events := r.more(first)
		if r.Journal != nil && failed == nil {
			if failed = r.record(events); failed != nil {
				cancel()
			}
		}
		for _, e := range events {
			if r.left {
				break
			}
			var err error
			if e.notice != nil {
				err = e.notice
			}
			if !yield(e.Outcome, err) {
				r.left = true
				cancel()
			}
		}
	}
	return failed
}

func (r *run) more(first event) []event {
	events := []event{first}
	for len(events) < cap(r.out) {
		select {
		case e, ok := <-r.out:
			if !ok {
				return events
			}
			events = append(events, e)
		default:
			return events
		}
	}
	return events
}

func (r *run) record(events []event) error {
	var entries []Entry
	for _, e := range events {
		if e.notice != nil || errors.Is(e.Err, ErrNotSent) {
			continue
		}
		entry := Entry{Op: Done, At: r.Clock.Now(), ID: e.queued, Receipts: slices.Clone(e.Receipts)}
		if !e.whole {
			entry.Items = e.Items
		}
		for n := range entry.Receipts {
			entry.Receipts[n].Items = nil // they are the call's
		}
		if e.Err != nil {
			entry.Op, entry.Error = Failed, e.Err.Error()
		}
		entries = append(entries, entry)
	}
	if len(entries) == 0 {
		return nil
	}
	return r.Journal.Record(entries...)
}

package commands

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A load is the work of a filling under way.
type load struct {
	*filling
	env      *Env
	backend  backends.Backend
	loader   backends.Loader
	room     *roomWatch
	lost     *trouble
	progress *walkProgress

	next   func() (*parcel, error, bool) // of the feed, also over a connection that was lost
	source error                         // why the feed ended, once it has; errFed: it is read to its end
	again  []*parcel                     // whose records were lost with a node

	mu    sync.Mutex
	queue []*parcel // handed to the Loader, and not told

	bytes   int64                    // of what was loaded, about
	bad     atomic.Int64             // records rejected, also by the run before
	stuck   map[string]backends.Page // of a shard that has records in again, how far it has come beside them
	unmet   []backends.Outcome       // what again has to say
	partial bool                     // among them is a part of a value, which cannot be sent alone
	reasons map[string]int64         // why records are uncarried
	shaken  bool                     // a node was lost, and waited for
}

var errFed = errors.New("the source is read to its end")

// fedAhead is how many parcels are read before the Loader asks for them.
const fedAhead = 4

// errDrain, among batches, makes the Loader tell what became of all before it.
var errDrain error = &backends.Notice{What: "drain"}

// all loads in rounds: where the connection is lost, what was under way is sent again for
// a while. The feed is read once.
func (l *load) all(ctx context.Context) error {
	l.lost = newTrouble(l.env)
	l.progress = newWalkProgress(l.env, l.words.done, false)
	l.lost.before = l.progress.clear
	defer l.progress.stop()
	l.bad.Store(l.state.Sum(rejected))
	l.stuck, l.reasons = make(map[string]backends.Page), make(map[string]int64)
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	next, stop := iter.Pull2(ahead(l.feed.parcels(inner, maps.Clone(l.state.Marks)), fedAhead))
	defer stop()
	defer cancel()
	l.next = next
	moved, wait := l.env.Now(), firstWait
	for {
		met := l.met()
		err := l.round(ctx)
		if l.met() > met {
			moved, wait = l.env.Now(), firstWait
		}
		cause := l.loss(err)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case l.source != nil && !errors.Is(l.source, errFed):
			return l.source
		case cause == nil || !returns(cause) || l.partial || l.env.Now().Sub(moved) > l.retryFor:
			return cause
		}
		l.shaken = true
		if wait == firstWait {
			l.progress.clear()
			l.env.warn("%v: trying again", cause)
		}
		if !pause(ctx, wait) {
			return context.Cause(ctx)
		}
		wait = min(2*wait, mostWait)
	}
}

// loss is why records could not be sent.
func (l *load) loss(err error) error {
	if err == nil && len(l.unmet) > 0 {
		err = l.unmet[0].Err
	}
	return err
}

// round loads until the feed ends, or a node is lost. Its error is why it ended early.
func (l *load) round(ctx context.Context) error {
	waiting := l.again
	l.again, l.unmet, l.queue = nil, nil, nil
	results := l.told(l.loader.Load(ctx, l.batches(ctx, waiting), backends.LoadOptions{Replace: l.replace}))
	var end error
	for result, err := range l.journal.Settle(results, l.state) {
		if err != nil {
			end = err
			break
		}
		n := 0
		for i := range result.Outcomes {
			if result.Outcomes[i].Did == backends.Loaded {
				n++
			}
		}
		l.progress.see(result.Shard, result.Done, n)
	}
	for _, p := range l.queue { // the stream ended before their results
		l.postpone(p, end)
	}
	l.queue = nil
	l.regroup()
	return end
}

// batches hands parcels to the Loader: those that wait, then those of the feed.
func (l *load) batches(ctx context.Context, waiting []*parcel) iter.Seq2[[]backends.Record, error] {
	return func(yield func([]backends.Record, error) bool) {
		var p *parcel
		entries := make([]backends.Entry, 2*parcelRecords)
		pages := func(yield func(backends.Page, error) bool) {
			for some, err := range l.parcels(ctx, waiting) {
				page := backends.Page{}
				if p = some; p != nil {
					entries = slices.Grow(entries[:0], len(p.records))
					page.Entries = entries[:len(p.records)]
				}
				if !yield(page, err) {
					return
				}
			}
		}
		for _, err := range l.pace.of(ctx, l.backend, &l.selection, pages) {
			switch {
			case err == errDrain: // comes back behind the results of all before it
				if !yield(nil, err) {
					return
				}
				continue
			case err != nil && backends.Ends(err):
				l.source = err
				return
			case err != nil:
				l.lost.add(err)
				continue
			}
			l.mu.Lock()
			l.queue = append(l.queue, p)
			l.mu.Unlock()
			if !yield(p.records, nil) {
				return
			}
		}
	}
}

// parcels brings what is to be sent, as long as there is room for it, nothing was lost,
// and not too much was rejected. What waits goes alone: while some of it is lost again, the
// source stands still, so that what is held does not grow, and only what is held can make a
// round one that got on.
func (l *load) parcels(ctx context.Context, waiting []*parcel) iter.Seq2[*parcel, error] {
	return func(yield func(*parcel, error) bool) {
		for _, p := range waiting {
			if !yield(p, nil) {
				return
			}
		}
		if len(waiting) > 0 && !yield(nil, errDrain) {
			return
		}
		for l.source == nil && len(l.again) == 0 && ctx.Err() == nil {
			p, err, ok := l.next()
			switch {
			case !ok:
				l.source = errFed
				return
			case err != nil && backends.Ends(err):
				l.source = err
				return
			case err != nil:
				l.lost.add(err)
				continue
			}
			l.trim(p)
			l.bad.Add(int64(len(p.bad)))
			if l.room.crowded(p.bytes) && !yield(nil, errDrain) {
				return
			}
			if err := l.room.admit(ctx, p.bytes, l.tellRoom); err != nil {
				l.source = err
				return
			}
			if !yield(p, nil) {
				return
			}
			if err := l.rejects.over(l.bad.Load()); err != nil && l.source == nil {
				l.source = err
			}
		}
	}
}

func (l *load) tellRoom(text string) {
	l.progress.clear()
	l.env.note("%s", text)
}

// trim gives records their time, and takes out those that are not worth it.
func (l *load) trim(p *parcel) {
	if l.lifetime.plain() && l.lifetime.least == 0 {
		return
	}
	now, kept := time.Now(), 0
	for i := range p.records {
		if !l.lifetime.give(&p.records[i], now) {
			if !p.records[i].More {
				p.others = append(p.others, backends.Outcome{Key: p.records[i].Key, Did: skipped})
			}
			continue
		}
		if kept != i {
			p.records[kept] = p.records[i]
			if p.lines != nil {
				p.lines[kept] = p.lines[i]
			}
		}
		kept++
	}
	p.records = p.records[:kept]
}

// told matches results with parcels: the first result is of the first batch.
func (l *load) told(results iter.Seq2[backends.Result, error]) iter.Seq2[backends.Result, error] {
	return func(yield func(backends.Result, error) bool) {
		for result, err := range results {
			if err != nil {
				if !backends.Ends(err) {
					var shard *backends.ShardError // its records come as failed
					if err != errDrain && !errors.As(err, &shard) {
						l.lost.add(err)
					}
					continue
				}
				if !yield(backends.Result{}, err) {
					return
				}
				continue
			}
			l.mu.Lock()
			var p *parcel
			if len(l.queue) > 0 {
				p, l.queue = l.queue[0], l.queue[1:]
			}
			l.mu.Unlock()
			if p == nil { // values whose last part never came: their source ended, and said so
				continue
			}
			r, err := l.match(p, result.Outcomes)
			if err != nil {
				yield(backends.Result{}, err)
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// match judges the outcomes of a parcel. What failed with its node is kept to be sent
// again, and the mark of its shard stays in front of it.
func (l *load) match(p *parcel, outcomes []backends.Outcome) (backends.Result, error) {
	r := backends.Result{Shard: p.page.Shard, After: p.page.After, Last: p.page.Last, Done: p.page.Done, Outcomes: outcomes}
	var lost []int // places of records in the parcel
	at, kept := 0, 0
	for _, o := range outcomes {
		for at < len(p.records) && (p.records[at].More || p.records[at].Key != o.Key) {
			at++
		}
		switch {
		case o.Did == backends.Loaded && at < len(p.records):
			l.proof.see(&p.records[at])
		case o.Did == backends.Failed && at < len(p.records) && passing(o.Err):
			lost, l.unmet = append(lost, at), append(l.unmet, o)
			if full(o.Err) && l.source == nil {
				l.source = &roomError{"it takes no more: " + o.Err.Error()}
			}
			at++
			continue
		case o.Did == backends.Failed:
			bad := reject{key: o.Key, reason: o.Err.Error()}
			if at < len(p.records) {
				record := p.records[at]
				bad.record = &record
				if p.lines != nil {
					bad.line = p.lines[at]
				}
			}
			p.bad = append(p.bad, bad)
			l.bad.Add(1)
			at++
			continue
		}
		r.Outcomes[kept] = o
		kept++
		at++
	}
	r.Outcomes = append(r.Outcomes[:kept], p.others...)
	for i := range p.bad {
		r.Outcomes = append(r.Outcomes, backends.Outcome{Key: p.bad[i].key, Did: rejected})
	}
	for _, o := range p.others {
		if o.Did == uncarried && o.Err != nil {
			l.reasons[o.Err.Error()]++
		}
	}
	if err := l.rejects.take(p.bad); err != nil {
		return r, err
	}
	done := p.bytes
	if len(lost) > 0 {
		rest := p.only(lost)
		done -= rest.bytes
		l.postpone(rest, nil)
	} else if _, stuck := l.stuck[p.page.Shard]; stuck {
		l.stuck[p.page.Shard] = p.page
	}
	l.bytes += done
	l.room.settled += float64(done)
	if _, stuck := l.stuck[p.page.Shard]; stuck {
		r.After, r.Last = l.state.Marks[p.page.Shard], false
	}
	return r, nil
}

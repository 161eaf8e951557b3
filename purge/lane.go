package purge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A lane is what one target has to do in a run. Its workers share the queue;
// a worker keeps what it splits.
type lane struct {
	*run
	purger  Purger
	workers int

	mu        sync.Mutex
	queue     []task
	size      int   // most items in a call, once a larger one was refused; 0: as planned
	forbidden error // why nothing more is sent
	searches  int   // calls that were cut in two to find a bad item
}

// A task is a call on its way.
type task struct {
	call   Call
	queued string // the journal's name of the call it is, or is a part of
	whole  bool   // it is all of that call
	tries  int
	busy   int       // tries that found the provider Busy
	since  time.Time // the first of them
}

// maxSearches bounds the calls that a target's bad items may cost. A list
// with more of them is wrong as a whole.
const maxSearches = 64

func (l *lane) work(ctx context.Context) {
	for {
		l.mu.Lock()
		if len(l.queue) == 0 {
			l.mu.Unlock()
			return
		}
		stack := []task{l.queue[0]}
		l.queue = l.queue[1:]
		l.mu.Unlock()
		for len(stack) > 0 {
			t := stack[len(stack)-1]
			stack = append(stack[:len(stack)-1], l.step(ctx, t)...)
		}
	}
}

// step sends a task once, and returns what is still to be done of it, last
// things first.
func (l *lane) step(ctx context.Context, t task) []task {
	l.mu.Lock()
	size, forbidden := l.size, l.forbidden
	l.mu.Unlock()
	if forbidden != nil {
		l.fail(t, fmt.Errorf("%w: %w", ErrNotSent, forbidden))
		return nil
	}
	if size > 0 && len(t.call.Items) > size {
		return l.split(t, size)
	}
	if err := l.limits.wait(ctx, l.Clock, t.call.Draws); err != nil {
		l.fail(t, fmt.Errorf("%w: %w", ErrNotSent, err))
		return nil
	}
	t.tries++
	t.call.Reference = Reference(l.Key, t.call)
	receipts, err := l.do(ctx, t.call)
	l.limits.answered(t.call.Draws)
	now := l.Clock.Now()
	for _, r := range receipts {
		l.limits.learn(now, r.Budgets)
	}
	done, rest := sift(t.call.Items, receipts)
	if len(done) > 0 {
		part := t
		if len(rest) > 0 {
			part = l.part(t, done)
		}
		l.emit(event{queued: t.queued, whole: part.whole, Outcome: Outcome{
			Target: l.purger.Name(), Call: part.call, Items: done, Receipts: receipts, Tries: t.tries}})
	}
	if len(rest) == 0 {
		return nil
	}
	if len(done) > 0 {
		t = l.part(t, rest)
	}
	if err == nil {
		err = &CallError{Fault: Unavailable, Err: errors.New("the answer does not tell of every item")}
	}
	return l.recover(ctx, t, err)
}

// do sends one request, for no longer than a request may take.
func (l *lane) do(ctx context.Context, c Call) ([]Receipt, error) {
	timed, cancel := context.WithTimeout(ctx, l.CallTimeout)
	defer cancel()
	receipts, err := l.purger.Do(timed, c)
	switch {
	case err == nil:
		return receipts, nil
	case ctx.Err() != nil:
		return receipts, fmt.Errorf("interrupted while under way, maybe purged: %w", ctx.Err())
	case timed.Err() != nil:
		err = &CallError{Fault: Unavailable, Err: fmt.Errorf("no answer within %v", l.CallTimeout)}
	}
	return receipts, err
}

// recover decides what to do about a failed task, and waits where it has to.
func (l *lane) recover(ctx context.Context, t task, err error) []task {
	var trouble *CallError
	if !errors.As(err, &trouble) || ctx.Err() != nil {
		l.fail(t, err)
		return nil
	}
	l.limits.learn(l.Clock.Now(), trouble.Budgets)
	items := len(t.call.Items)
	switch trouble.Fault {
	case TooLarge:
		return l.shrink(t, trouble)
	case Rejected:
		if items > 1 && l.maySearch() {
			return l.split(t, (items+1)/2)
		}
	case Forbidden:
		l.mu.Lock()
		l.forbidden = err
		l.mu.Unlock()
	case Busy:
		return l.crowded(ctx, t, trouble)
	case Throttled, Unavailable:
		if trouble.RetryAfter > l.Patience {
			err = fmt.Errorf("not before %v from now: %w", trouble.RetryAfter.Round(time.Second), err)
		} else if t.tries < l.Tries {
			return l.again(ctx, t, trouble, backoff{base: 500 * time.Millisecond, most: 30 * time.Second}.after(t.tries))
		}
		if t.tries >= l.Tries {
			err = fmt.Errorf("given up after %d tries: %w", t.tries, err)
		}
	}
	l.fail(t, err)
	return nil
}

// crowded waits until less is under way. From the second time on the call is
// halved: it may be more than fits at once.
func (l *lane) crowded(ctx context.Context, t task, trouble *CallError) []task {
	now := l.Clock.Now()
	if t.busy++; t.busy == 1 {
		t.since = now
	}
	if now.Sub(t.since) > l.Patience {
		l.fail(t, fmt.Errorf("given up after %v: %w", now.Sub(t.since).Round(time.Second), trouble))
		return nil
	}
	tasks := l.again(ctx, t, trouble, backoff{base: 5 * time.Second, most: time.Minute}.after(t.busy))
	if len(tasks) > 0 && t.busy > 1 && len(t.call.Items) > 1 {
		return l.split(t, (len(t.call.Items)+1)/2)
	}
	return tasks
}

// shrink goes on with smaller calls, this one and all to come.
func (l *lane) shrink(t task, trouble *CallError) []task {
	items := len(t.call.Items)
	size := trouble.Size
	if size <= 0 || size >= items {
		size = items / 2
	}
	if size < 1 {
		l.fail(t, trouble)
		return nil
	}
	l.mu.Lock()
	news := l.size == 0 || size < l.size
	if news {
		l.size = size
	}
	l.mu.Unlock()
	if news {
		l.notice(fmt.Sprintf("%d items a call are refused: goes on with %d", items, size), 0, trouble)
	}
	return l.split(t, size)
}

func (l *lane) maySearch() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.searches++
	return l.searches <= maxSearches
}

// A backoff is exponential with full jitter.
type backoff struct{ base, most time.Duration }

// after is the longest wait after the n-th failure.
func (b backoff) after(n int) time.Duration {
	return min(b.most, b.base<<min(n-1, 16))
}

// again waits and brings t back. The provider's word on how long outranks ours,
// and holds for every call that draws on the same limits.
func (l *lane) again(ctx context.Context, t task, trouble *CallError, longest time.Duration) []task {
	wait := trouble.RetryAfter
	if trouble.Fault == Throttled || wait > 0 {
		l.limits.slow(l.Clock.Now(), t.call.Draws, wait)
	}
	if wait == 0 {
		wait = time.Duration(l.Random() * float64(longest))
	}
	l.notice(fmt.Sprintf("%s: tries again", trouble.Fault), wait, trouble)
	if err := l.Clock.Sleep(ctx, wait); err != nil {
		l.fail(t, fmt.Errorf("%w: not tried again: %w", trouble, err))
		return nil
	}
	return []task{t}
}

// split cuts a task into parts of n items. The last comes first, so that the
// stack has them in order.
func (l *lane) split(t task, n int) []task {
	var parts []task
	for items := range slices.Chunk(t.call.Items, n) {
		part := l.part(t, items)
		part.tries = 0
		parts = append(parts, part)
	}
	slices.Reverse(parts)
	return parts
}

// part is t with some of its items only. What they draw on the limits, the
// purger knows.
func (l *lane) part(t task, items []Item) task {
	part := t
	part.whole = false
	part.call = NewCall(t.call.Target, slices.Clone(items), t.call.Draws...)
	if p, err := l.purger.Plan(items); err == nil && len(p.Calls) == 1 && len(p.Calls[0].Items) == len(items) {
		part.call.Draws = p.Calls[0].Draws
	}
	return part
}

// sift tells the items that receipts speak of from the others.
func sift(items []Item, receipts []Receipt) (done, rest []Item) {
	told := make(map[string]bool)
	for _, r := range receipts {
		for _, i := range r.Items {
			told[i.key()] = true
		}
	}
	for _, i := range items {
		if told[i.key()] {
			done = append(done, i)
		} else {
			rest = append(rest, i)
		}
	}
	return done, rest
}

func (l *lane) fail(t task, err error) {
	l.emit(event{queued: t.queued, whole: t.whole, Outcome: Outcome{
		Target: l.purger.Name(), Call: t.call, Items: t.call.Items, Tries: t.tries, Err: err}})
}

func (l *lane) notice(what string, wait time.Duration, err error) {
	l.emit(event{notice: &Notice{Target: l.purger.Name(), What: what, Wait: wait, Err: err}})
}

// emit never blocks for long: report reads until the last worker has ended.
func (l *lane) emit(e event) { l.out <- e }

package purge

import (
	"context"
	"sync"
	"time"
)

// A Clock is the time that a run lives by.
type Clock interface {
	Now() time.Time
	// Sleep returns ctx's error when that ends first.
	Sleep(ctx context.Context, d time.Duration) error
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A Budget is what a provider tells, with an answer, about a rate limit.
type Budget struct {
	Rate   string        // Rate.Name
	Left   float64       // tokens that are left now
	Reset  time.Duration // until there are more
	Quota  float64       // tokens a Window; 0: not told
	Window time.Duration
}

// A bucket is one limit. Tokens may go below zero: they are reserved, and
// whoever reserved them waits until they are there.
type bucket struct {
	rate    float64 // tokens a second; 0: no limit is known
	burst   float64
	tokens  float64
	at      time.Time // of tokens
	blocked time.Time // nothing before that
	flying  float64   // tokens of calls that are sent and not answered
}

func (b *bucket) refill(now time.Time) {
	if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.tokens = min(b.burst, b.tokens+passed*b.rate)
		b.at = now
	}
}

// reserve takes n tokens and tells when they are there.
func (b *bucket) reserve(now time.Time, n float64) time.Time {
	at := now
	if b.rate > 0 {
		b.refill(now)
		if b.tokens -= n; b.tokens < 0 {
			at = now.Add(time.Duration(-b.tokens / b.rate * float64(time.Second)))
		}
	}
	if at.Before(b.blocked) {
		return b.blocked
	}
	return at
}

// learn believes the provider where it allows less than is known, and takes
// its rate over the documented one. Calls under way may not be in its count.
func (b *bucket) learn(now time.Time, told Budget) {
	fresh := b.rate == 0
	left := max(0, told.Left-b.flying)
	if told.Quota > 0 && told.Window > 0 {
		b.refill(now)
		b.rate, b.burst = headroom*told.Quota/told.Window.Seconds(), told.Quota
	}
	if b.rate > 0 {
		if b.refill(now); fresh {
			b.at, b.tokens = now, left
		}
		b.tokens = min(b.tokens, left)
	}
	if told.Left < 1 {
		b.block(now.Add(told.Reset))
	}
}

func (b *bucket) block(until time.Time) {
	if until.After(b.blocked) {
		b.blocked = until
	}
}

// A limiter holds the buckets of a run. Targets that share a limit share its bucket.
type limiter struct {
	mu      sync.Mutex
	buckets map[string]*bucket
}

func newLimiter(now time.Time, plans ...Plan) *limiter {
	l := &limiter{buckets: make(map[string]*bucket)}
	for _, p := range plans {
		for _, r := range p.Rates {
			l.buckets[r.Name] = &bucket{rate: headroom * r.PerSecond, burst: r.Burst, tokens: r.Burst, at: now}
		}
	}
	return l
}

// each calls f with the buckets that draws name. One that no plan told of has
// no limit.
func (l *limiter) each(draws []Draw, f func(b *bucket, tokens float64)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range draws {
		if l.buckets[d.Rate] == nil {
			l.buckets[d.Rate] = &bucket{}
		}
		f(l.buckets[d.Rate], d.Tokens)
	}
}

func (l *limiter) reserve(now time.Time, draws []Draw) time.Time {
	at := now
	l.each(draws, func(b *bucket, tokens float64) {
		if t := b.reserve(now, tokens); t.After(at) {
			at = t
		}
	})
	return at
}

// wait returns when a call with these draws may be sent, and takes it for sent
// until answered is called. Limits that are learned meanwhile hold too.
func (l *limiter) wait(ctx context.Context, clock Clock, draws []Draw) error {
	at := l.reserve(clock.Now(), draws)
	for {
		l.each(draws, func(b *bucket, _ float64) {
			if b.blocked.After(at) {
				at = b.blocked
			}
		})
		d := at.Sub(clock.Now())
		if d <= 0 {
			l.each(draws, func(b *bucket, tokens float64) { b.flying += tokens })
			return ctx.Err()
		}
		if err := clock.Sleep(ctx, d); err != nil {
			return err
		}
	}
}

func (l *limiter) answered(draws []Draw) {
	l.each(draws, func(b *bucket, tokens float64) { b.flying -= tokens })
}

func (l *limiter) learn(now time.Time, budgets []Budget) {
	for _, told := range budgets {
		l.each([]Draw{{Rate: told.Rate}}, func(b *bucket, _ float64) { b.learn(now, told) })
	}
}

// slow answers a refusal for going too fast: the buckets are less full than
// was thought, and until wait is over they stay shut.
func (l *limiter) slow(now time.Time, draws []Draw, wait time.Duration) {
	l.each(draws, func(b *bucket, _ float64) {
		if b.rate > 0 {
			b.refill(now)
			b.tokens = min(b.tokens, 0)
		}
		if wait > 0 {
			b.block(now.Add(wait))
		}
	})
}

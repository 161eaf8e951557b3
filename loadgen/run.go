package loadgen

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A Config says what is sent where. Traffic and Dialer are needed, zeros elsewhere mean the defaults.
type Config struct {
	Traffic Traffic
	Dialer  backends.Dialer
	Target  string   // what the report calls the target; without its password
	Prefix  string   // of the keys' names: the number of the key follows
	Names   []string // what follows instead, as many as the traffic has keys; nil: the number

	Connections int           // to each node, over all threads: 50
	Depth       int           // requests in flight on each: 1
	Threads     int           // event loops, each with its share of traffic and connections: 1
	MaxWaiting  int           // requests that are due and wait for a connection; what is due beyond them is dropped: 1,000,000
	Begin       time.Time     // when the run begins, warm-up included, its connections being made by then; zero: as soon as they are
	Settle      time.Duration // how long the end waits for outstanding answers: 2 s
	Observe     func(Tick)    // called with every second of the run when it is over, the warm-up's too (At is negative there); from one goroutine
	Written     *Written      // notes the keys that were written, or may have been (no answer came), for RemoveWritten; may be nil

	source   func(*Traffic) Source      // nil: the Traffic's own
	portable bool                       // goroutines and net.Conn also where epoll is to be had
	adding   bool                       // writes are for keys that are not there, else not done
	failed   func(Op)                   // told of every op refused or lost, by its loop's goroutine
	told     func(*Op, *backends.Reply) // told of every reply but Moved before it is counted, by its loop's goroutine
}

// The defaults of a Config.
const (
	DefaultConnections = 50
	DefaultMaxWaiting  = 1_000_000
	DefaultSettle      = 2 * time.Second
)

func (c *Config) complete() error {
	if c.Dialer == nil {
		return errors.New("send: nowhere to send to")
	}
	if c.Connections < 0 || c.Depth < 0 || c.Threads < 0 || c.MaxWaiting < 0 || c.Settle < 0 {
		return errors.New("send: connections, depth, threads and bounds are not negative")
	}
	if c.Names != nil && uint64(len(c.Names)) != c.Traffic.Keys.N {
		return fmt.Errorf("run: %d names for %d keys", len(c.Names), c.Traffic.Keys.N)
	}
	fill(&c.Connections, DefaultConnections)
	fill(&c.Depth, 1)
	fill(&c.Threads, 1)
	fill(&c.MaxWaiting, DefaultMaxWaiting)
	fill(&c.Settle, DefaultSettle)
	c.Threads = min(c.Threads, c.Connections)
	if c.source != nil {
		return nil
	}
	c.source = (*Traffic).Source
	return c.Traffic.Valid()
}

func fill[T comparable](at *T, value T) {
	var zero T
	if *at == zero {
		*at = value
	}
}

// Send sends the traffic and tells what became of it. When ctx ends, nothing more is sent,
// what is in flight is settled, and the report, which says so, is of what was done: that is no error.
// An error says that the run could not begin.
func Send(ctx context.Context, c Config) (*Report, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	r := &runner{Config: c, values: newValues(c.Traffic.Seed)}
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	defer r.close()
	if wait := time.Until(c.Begin); wait > 0 {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(wait):
		}
	}
	return r.run(ctx), nil
}

// A runner is what the loops of one run share.
type runner struct {
	Config
	values  values
	start   time.Time
	loops   []*loop
	router  router
	dialing sync.WaitGroup
	ctx     context.Context // ends when the loops have; for dialling and asking for routes
	cancel  context.CancelFunc
	live    live
}

// open makes the loops and connects each of them to every node.
func (r *runner) open(ctx context.Context) error {
	routes, err := r.Dialer.Routes(ctx)
	if err != nil {
		return err
	}
	if len(routes.Nodes) == 0 {
		return errors.New("send: the target has no node that takes writes")
	}
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.router.runner = r
	for i := range r.Threads {
		l := &loop{runner: r, share: r.Connections / r.Threads, most: max(1, r.MaxWaiting/r.Threads)}
		if i < r.Connections%r.Threads {
			l.share++
		}
		t := r.Traffic
		t.Shard = Shard{t.Shard.Index + i*max(1, t.Shard.Of), r.Threads * max(1, t.Shard.Of)}
		l.feed = newFeed(r.source(&t), t.Phases)
		l.acc = newAccount(l.feed.warmup, &r.Config)
		l.reroute(routes)
		r.loops = append(r.loops, l)
	}
	if err := r.connect(ctx); err != nil {
		r.close()
		return err
	}
	return nil
}

// run lets the loops go, and adds up what they counted.
func (r *runner) run(ctx context.Context) *Report {
	r.start = time.Now()
	r.live.begin(r.Observe, len(r.loops))
	stop := context.AfterFunc(ctx, func() {
		for _, l := range r.loops {
			l.post(letter{stop: true})
		}
	})
	var running sync.WaitGroup
	for _, l := range r.loops {
		running.Go(l.run)
	}
	running.Wait()
	stop()
	r.cancel()
	r.dialing.Wait()
	r.live.end()
	return r.report()
}

// close gives back what open took.
func (r *runner) close() {
	r.cancel()
	r.dialing.Wait()
	for _, l := range r.loops {
		l.close()
	}
}

// report joins what the loops counted.
func (r *runner) report() *Report {
	warmup := r.loops[0].feed.warmup
	out := &Report{
		Traffic: r.Traffic, Target: r.Target, Started: r.start.Add(warmup), Length: r.loops[0].feed.length - warmup,
		Connections: r.Connections, Depth: r.Depth, Errors: make(map[string]uint64),
	}
	var cut, left bool
	overflowed := 0
	var reached time.Duration
	for _, l := range r.loops {
		l.acc.addTo(out)
		cut = cut || l.stopped
		left = left || l.abandoned > 0
		overflowed += l.overflowed
		reached = max(reached, l.ended)
	}
	if cut {
		out.Length = max(0, min(out.Length, reached-warmup))
		out.Invalid = append(out.Invalid, fmt.Sprintf("the run was cut short after %v of %v", reached.Round(time.Millisecond), r.loops[0].feed.length))
	}
	if left {
		out.Invalid = append(out.Invalid, fmt.Sprintf("requests were without an answer %v after the end: they count as lost, or as dropped if they were not sent", r.Settle))
	}
	out.Closed = slices.ContainsFunc(r.Traffic.Phases, func(p Phase) bool { return p.Closed() && !p.Warmup })
	if overflowed > 0 {
		out.Invalid = append(out.Invalid, fmt.Sprintf("%d requests were never sent: no more than %d may wait", overflowed, r.MaxWaiting))
	}
	if why := out.late(); why != "" {
		out.Invalid = append(out.Invalid, why)
	}
	return out
}

// How far the generator may be the limit. Lateness is part of latency: where it is a tenth of it, that is a
// measurement of the generator. Below a millisecond nobody minds.
const (
	lateShare = 0.1
	lateFloor = time.Millisecond
)

// late tells whether the generator was the limit, not the server.
func (r *Report) late() string {
	var latency Histogram
	for i := range r.Tallies {
		latency.Merge(&r.Tallies[i].Latency)
	}
	late, all := r.Late.Quantile(0.99), latency.Quantile(0.99)
	if latency.Count() == 0 || late <= lateFloor || float64(late) <= lateShare*float64(all) {
		return ""
	}
	return fmt.Sprintf("the generator was the limit: it came round to requests late, p99 %v, which is more than %.0f %% of the latency's p99 %v", late.Round(time.Microsecond), lateShare*100, all.Round(time.Microsecond))
}

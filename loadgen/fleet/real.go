package fleet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/loadgen"
)

// A Stage is what a real run needs beside its Config: a cache, and perhaps an origin.
type Stage struct {
	Cache      backends.Dialer
	Subscriber backends.Subscriber // where strategies listen; nil: a Publish ends the run
	Prefix     string              // of every key and of the channel. What has it is the run's own
	Size       int                 // bytes of a value; at least those of its header
	Lines      int                 // connections of each process to each node; 0: one
	Timeout    time.Duration       // a reply that takes longer fails, with all others of its connection; 0: DefaultTimeout
	HTTP       *HTTPOrigin         // asked in place of Config.Origin; it takes no writes
	Tolerance  time.Duration       // a run whose generator was later with one request in a hundred is Invalid; 0: DefaultTolerance
	Drain      time.Duration       // after Length, how long requests are waited for that are not served; 0: DefaultDrain
}

// The defaults of a Stage.
const (
	DefaultTimeout   = 3 * time.Second
	DefaultTolerance = 10 * time.Millisecond
	DefaultDrain     = 30 * time.Second
)

// forgotten is how long after a run the server keeps what was to have no TTL, where nobody came back to remove it.
const forgotten = 10 * time.Minute

// ErrUnable says that a strategy asks what the cache cannot do.
var ErrUnable = errors.New("needs a cache that it cannot have here")

// Measured is the report of a real run, and how far it is to be trusted.
type Measured struct {
	*Report
	Late    loadgen.Histogram `json:"late"`              // how long after its time a request came to its process
	Foreign uint64            `json:"foreign"`           // values found under our keys that were not of this run: they count as misses
	Broken  uint64            `json:"broken"`            // connections that were lost
	Moved   uint64            `json:"moved"`             // answers that the key is another node's
	Missed  uint64            `json:"missed"`            // times that a process may have missed messages
	Refused uint64            `json:"refused"`           // actions that the cache answered by an error: they count as misses
	Refusal string            `json:"refusal,omitempty"` // the first of those errors
	// Of an HTTPOrigin: fetches that failed, and the first reason.
	Unfetched uint64   `json:"unfetched"`
	Failure   string   `json:"failure,omitempty"`
	Left      uint64   `json:"left"` // keys that could not be removed at the end
	Invalid   []string `json:"invalid,omitempty"`
}

// Real runs an experiment on a real cache, in real time. Of the Config, Network, Messages and Capacity are what they are there, and
// what Lifetime and Lock say holds in the server's resolution: memcached counts whole seconds, and ends a
// TTL up to one early. The strategies, the choice of the process for each request and the ledger are
// those of Virtual.
//
// Each process is a goroutine with connections of its own; whatever happens to it happens in turn. A connection that
// breaks fails what is outstanding on it, and what is asked until it is dialled again. At the end, also when ctx is
// cancelled, all keys are removed. The report of a cancelled run is of what there was of it.
func Real(ctx context.Context, c Config, s Stage) (*Measured, error) {
	if err := errors.Join(c.Valid(), s.valid(&c)); err != nil {
		return nil, err
	}
	r := newReal(c, s)
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	defer r.origin.close()
	defer r.sweeper.hangUp()
	err := r.load(ctx)
	if err == nil {
		err = r.play(ctx)
	} else {
		r.close()
	}
	m := r.measured()
	if n, left := r.sweeper.clear(ctx, m.Broken > 0); left != nil {
		m.Left = uint64(n)
		m.Invalid = append(m.Invalid, fmt.Sprintf("%d of its keys could not be removed: %v", m.Left, left))
	}
	if err != nil {
		m.Invalid = append(m.Invalid, "the run was cut short: "+err.Error())
	}
	return m, err
}

// Able makes sure that the cache can do what the experiment's strategy begins with; else the error is ErrUnable.
func Able(ctx context.Context, c Config, s Stage) error {
	c.Processes = 1
	if err := errors.Join(c.Valid(), s.valid(&c)); err != nil {
		return err
	}
	r := newReal(c, s)
	defer r.sweeper.hangUp()
	if err := r.sweeper.dial(ctx); err != nil {
		return err
	}
	return r.can()
}

func (s *Stage) valid(c *Config) error {
	switch {
	case s.Cache == nil:
		return errors.New("a real run needs a cache")
	case s.Prefix == "":
		return errors.New("a real run needs a prefix for its keys")
	case s.Size < 0 || s.Lines < 0 || s.Timeout < 0 || s.Tolerance < 0 || s.Drain < 0:
		return errors.New("sizes, numbers and times are not negative")
	case s.HTTP == nil:
		return nil
	}
	return s.HTTP.valid()
}

// A real is a run of the real driver. The books are of all processes; whoever takes an entry has the lock, and takes
// the time under it, so that entries are in order.
type real struct {
	Config
	Stage
	wording
	start   time.Time
	workers []*worker
	sweeper *sweeper
	origin  origins

	mu       sync.Mutex
	ledger   *Ledger
	touched  paged[uint8] // which keys there may be: bit 0 the value, bit 1 the lock
	late     loadgen.Histogram
	counts   Measured
	unserved int
	arriving bool // more requests are to come
	crashes  *rand.Rand
	messages *rand.Rand
	broken   error

	life    context.Context // of connections and fetches
	running sync.WaitGroup
	over    chan struct{} // closed when the run is
	finish  sync.Once
}

const (
	touchedValue = 1 << iota
	touchedLock
)

func newReal(c Config, s Stage) *real {
	c.Processes = max(c.Processes, 1)
	s.Lines = max(s.Lines, 1)
	if s.Timeout == 0 {
		s.Timeout = DefaultTimeout
	}
	if s.Tolerance == 0 {
		s.Tolerance = DefaultTolerance
	}
	if s.Drain == 0 {
		s.Drain = DefaultDrain
	}
	terms := c.terms()
	if s.HTTP != nil {
		terms.Servers = s.HTTP.Most
	}
	stream := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(c.Seed, n)) }
	r := &real{Config: c, Stage: s, wording: wording{prefix: s.Prefix, run: rand.Uint64(), size: s.Size, keep: c.Length + s.Drain + forgotten},
		ledger: NewLedger(terms), crashes: stream(streamCrashes), messages: stream(streamMessages),
		arriving: true, over: make(chan struct{})}
	r.sweeper = &sweeper{real: r}
	r.origin = origins{real: r, desk: NewDesk(c.Origin, stream(streamOrigin)), wake: make(chan struct{}, 1)}
	for i := range c.Processes {
		w := &worker{real: r, number: uint32(i), wake: make(chan struct{}, 1)}
		w.random = stream(streamProcess + uint64(i))
		w.begin(c.Maker, i)
		r.workers = append(r.workers, w)
	}
	return r
}

// open dials everything, so that what cannot be is told before anything begins.
func (r *real) open(ctx context.Context) error {
	r.origin.open()
	routes, err := r.Cache.Routes(ctx)
	if err != nil {
		return err
	}
	if err := r.sweeper.dial(ctx); err != nil {
		return err
	}
	if err := r.can(); err != nil {
		r.sweeper.hangUp()
		return err
	}
	for _, w := range r.workers {
		if err := w.dial(ctx, routes); err != nil {
			r.close()
			return err
		}
	}
	return nil
}

// close ends what open began.
func (r *real) close() {
	for _, w := range r.workers {
		w.close()
	}
	r.sweeper.hangUp()
	r.running.Wait()
}

// can asks a strategy what it does first, and the cache's dialect whether it has words for that.
func (r *real) can() error {
	probe := r.Maker(0, rand.New(rand.NewPCG(r.Seed, streamProcess)))
	var do Actions
	for q, write := range []bool{false, true} {
		probe.Next(&Event{Kind: Arrived, Req: Req(q + 1), Write: write}, &do)
	}
	var a backends.Ask
	var e encoder
	for i := range do.List() {
		action := &do.List()[i]
		if !action.asks() {
			continue
		}
		e.encode(&r.wording, action, &a)
		if _, err := r.sweeper.lines[0].dialect.Append(nil, &a); err != nil {
			return fmt.Errorf("strategy %s %w: %w", r.Strategy, ErrUnable, err)
		}
	}
	return nil
}

// since is the time of the run.
func (r *real) since() time.Duration { return time.Since(r.start) }

// end ends the run: nil says that it is complete.
func (r *real) end(err error) {
	r.finish.Do(func() {
		r.mu.Lock()
		r.broken = err
		r.mu.Unlock()
		close(r.over)
	})
}

// complete tells whether every request is served. The lock is held.
func (r *real) complete() bool { return r.unserved == 0 && !r.arriving }

// play runs everything until the run is over.
func (r *real) play(ctx context.Context) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { r.end(context.Cause(ctx)) })
	defer stop()
	r.life = inner
	if err := r.listen(inner); err != nil {
		r.end(err)
	}
	if r.Load == nil {
		r.start = time.Now()
	}
	r.running.Go(r.origin.work)
	r.running.Go(r.dispatch)
	for _, w := range r.workers {
		r.running.Go(w.live)
	}
	<-r.over
	cancel()
	r.running.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.broken
}

// listen subscribes every process and returns when all hear.
func (r *real) listen(ctx context.Context) error {
	if r.Subscriber == nil {
		return nil
	}
	ready := make(chan error, 2*len(r.workers))
	for _, w := range r.workers {
		r.running.Go(func() {
			err := w.listen(ctx, func() { ready <- nil })
			ready <- err
			if err != nil && ctx.Err() == nil {
				r.end(err)
			}
		})
	}
	for range r.workers {
		if err := <-ready; err != nil {
			return err
		}
	}
	return nil
}

// measured closes the books.
func (r *real) measured() *Measured {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.counts
	r.ledger.report.Unserved = uint64(r.unserved)
	m.Report, m.Late = r.ledger.Report(), r.late
	if late := m.Late.Quantile(0.99); late > r.Tolerance {
		m.Invalid = append(m.Invalid, fmt.Sprintf("the generator was the limit: one request in a hundred came %v late to its process (%v is tolerated)", late, r.Tolerance))
	}
	if m.Foreign > 0 {
		m.Invalid = append(m.Invalid, fmt.Sprintf("%d values found under our keys were not of this run", m.Foreign))
	}
	if m.Refused > (m.Reads+m.Writes)/100 {
		m.Invalid = append(m.Invalid, fmt.Sprintf("the cache refused %d commands, the first with: %s", m.Refused, m.Refusal))
	}
	return &m
}

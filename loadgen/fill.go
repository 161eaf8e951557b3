package loadgen

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// How Fill and RemoveWritten go about it: they are no measurement, and may be as fast as they can.
const (
	sweepConnections = 8
	sweepDepth       = 128
	sweepBytes       = 32 << 20         // of values in flight, about
	sweepPasses      = 3                // how often what failed is tried again
	sweepFailures    = 100_000          // so many are no accident any more
	sweepPatience    = 10 * time.Second // without any answer
)

// RemoveBound is how long RemoveWritten goes on when its context has ended.
const RemoveBound = 30 * time.Second

// Fill writes every key of the traffic once, with sizes and TTLs by its laws; of a shard, its share of
// them. progress, which may be nil, is told once a second how many there are. An error says
// that some were not written.
func Fill(ctx context.Context, c Config, progress func(done uint64)) error {
	if err := c.Traffic.Valid(); err != nil {
		return err
	}
	t := c.Traffic
	t.Keys, t.Mix = Keys{N: c.Traffic.Keys.N, Law: Sequential}, Mix{Write: 1}
	t.Phases, t.Shard = sweepPhases(), Shard{}
	s := sweep{Config: c, what: "fill", progress: progress}
	s.Depth = max(1, min(sweepDepth, sweepBytes/sweepConnections/max(1, meanSize(t.Source()))))
	s.source = func(shard *Traffic) Source {
		t.Shard = shard.Shard
		return &everyKey{t.Source(), t.Keys.N}
	}
	return s.run(ctx)
}

// Taken tells whether any key that Fill would write is there already: it is somebody's, or another run's. It
// reads them all, which a server counts, but for what comes after the first that is found.
func Taken(ctx context.Context, c Config, progress func(done uint64)) (bool, error) {
	if err := c.Traffic.Valid(); err != nil {
		return false, err
	}
	t := c.Traffic
	t.Keys, t.Mix = Keys{N: c.Traffic.Keys.N, Law: Sequential}, Mix{Read: 1}
	t.Phases, t.Shard = sweepPhases(), Shard{}
	s := sweep{Config: c, what: "look for the keys", progress: progress}
	s.Depth, s.Written = max(1, min(sweepDepth, sweepBytes/sweepConnections/max(1, meanSize(t.Source())))), nil
	s.source = func(shard *Traffic) Source {
		t.Shard = shard.Shard
		return &everyKey{t.Source(), t.Keys.N}
	}
	err := s.run(ctx)
	if s.hits > 0 {
		return true, nil
	}
	return false, err
}

func sweepPhases() []Phase { return []Phase{{Length: 10_000 * time.Hour}} }

// meanSize is about how large values are.
func meanSize(s Source) int {
	const draws = 1000
	var op Op
	sum := 0
	for range draws {
		s.Next(&op)
		sum += op.Size
	}
	return sum / draws
}

// everyKey makes op n the one of key n.
type everyKey struct {
	Source
	keys uint64
}

func (e *everyKey) Next(op *Op) bool {
	if !e.Source.Next(op) || op.N >= e.keys {
		return false
	}
	op.Key = op.N
	return true
}

// RemoveWritten deletes the keys in c.Written, and no others. It goes on when ctx ends, for RemoveBound at most, because
// that is when keys are to be removed. progress is as of Fill. An error says that some may be left.
func RemoveWritten(ctx context.Context, c Config, progress func(done uint64)) error {
	if c.Written == nil {
		return errors.New("remove: it is not known which keys were written")
	}
	detached, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(RemoveBound, func() { cancel(fmt.Errorf("it took more than %v", RemoveBound)) })
	})()
	s := sweep{Config: c, what: "remove", progress: progress}
	s.Depth, s.Written = sweepDepth, nil
	written := c.Written
	s.source = func(*Traffic) Source { return newRemovals(written) }
	return s.run(detached)
}

// removals delete keys in their order.
type removals struct {
	written *Written
	n, key  uint64
}

func newRemovals(w *Written) *removals { return &removals{written: w} }

func (r *removals) Next(op *Op) bool {
	key, some := r.written.from(r.key)
	if !some {
		return false
	}
	*op = Op{N: r.n, Do: Remove, Key: key}
	r.n, r.key = r.n+1, key+1
	return true
}

// A sweep sends ops until each of them is done.
type sweep struct {
	Config
	what     string
	progress func(uint64)
	done     uint64
	quiet    int    // seconds without an answer
	hits     uint64 // reads that found their key

	mu     sync.Mutex
	failed []Op
	cancel context.CancelCauseFunc
}

func (s *sweep) run(ctx context.Context) error {
	ctx, s.cancel = context.WithCancelCause(ctx)
	defer s.cancel(nil)
	s.Threads, s.Observe, s.Config.failed = 1, s.observe, s.fails
	if s.Connections == 0 || s.Connections > sweepConnections {
		s.Connections = sweepConnections
	}
	s.Traffic.Phases = sweepPhases()
	var r *Report
	var again []Op
	for range sweepPasses {
		var err error
		if r, err = Send(ctx, s.Config); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
		s.hits += r.Tallies[Read].Hits
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("%s: after %d keys: %w", s.what, s.done, err)
		}
		if len(s.failed) == 0 {
			return nil
		}
		again = s.failed
		s.failed = nil
		s.source = func(*Traffic) Source { return &list{again} }
	}
	return fmt.Errorf("%s: %d keys failed: %s", s.what, len(again), r.commonest())
}

// observe adds the seconds up.
func (s *sweep) observe(t Tick) {
	s.done += t.Done
	if s.progress != nil {
		s.progress(s.done)
	}
	if s.quiet++; t.Done > 0 {
		s.quiet = 0
	}
	if s.quiet >= int(sweepPatience/time.Second) {
		s.cancel(fmt.Errorf("no answer for %v", sweepPatience))
	}
}

func (s *sweep) fails(op Op) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed = append(s.failed, op); len(s.failed) == sweepFailures {
		s.cancel(fmt.Errorf("%d requests failed", sweepFailures))
	}
}

// A list is ops that are to be tried again.
type list struct{ ops []Op }

func (l *list) Next(op *Op) bool {
	if len(l.ops) == 0 {
		return false
	}
	*op, l.ops = l.ops[0], l.ops[1:]
	op.Due = 0
	return true
}

// commonest is the error that came most often.
func (r *Report) commonest() string {
	var most string
	for why, n := range r.Errors {
		if n > r.Errors[most] {
			most = why
		}
	}
	return most
}

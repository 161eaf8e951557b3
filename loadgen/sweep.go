package loadgen

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// A sweep sends ops until each of them is done.
type sweep struct {
	Config
	what     string
	progress func(uint64)
	done     uint64
	quiet    int                                                            // seconds without an answer
	between  func(ctx context.Context, failed []Op) (again []Op, err error) // what is to be tried again; nil: all that failed

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
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("%s: after %d keys: %w", s.what, s.done, err)
		}
		if len(s.failed) == 0 {
			return nil
		}
		again = s.failed
		s.failed = nil
		if s.between != nil {
			if again, err = s.between(ctx, again); err != nil {
				return fmt.Errorf("%s: after %d keys: %w", s.what, s.done, err)
			}
			if len(again) == 0 {
				return nil
			}
		}
		s.source = func(*Traffic) Source { return &list{ops: again} }
	}
	return fmt.Errorf("%s: %w", s.what, &failedError{len(again), r.commonest()})
}

// A failedError says that some ops failed as often as they were tried.
type failedError struct {
	keys int
	why  string // the commonest
}

func (e *failedError) Error() string {
	if e.keys == 1 {
		return "1 key failed: " + e.why
	}
	return fmt.Sprintf("%d keys failed: %s", e.keys, e.why)
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

// A list is ops that are to be tried now or again, and then what follows, if anything.
type list struct {
	ops  []Op
	then Source
}

func (l *list) Next(op *Op) bool {
	if len(l.ops) == 0 {
		return l.then != nil && l.then.Next(op)
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

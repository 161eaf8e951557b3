package loadgen

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cachectl/cachectl/backends"
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

// ErrTaken says that a key which Fill was to write is there already: it is somebody's, or another run's.
var ErrTaken = errors.New("a key is there already")

// Fill writes every key of the traffic once, with sizes and TTLs by its laws; of a shard, its share of
// them. It writes only what is not there: at the first key that is it stops, with ErrTaken, and c.Written has what
// it wrote until then. Of two runs with the same first key only one gets beyond that.
// progress, which may be nil, is told once a second how many there are. An error says that some were not written.
func Fill(ctx context.Context, c Config, progress func(done uint64)) error {
	if err := c.Traffic.Valid(); err != nil {
		return err
	}
	t := c.Traffic
	t.Keys, t.Mix, t.Phases = Keys{N: c.Traffic.Keys.N, Law: Sequential}, Mix{Write: 1}, sweepPhases()
	if c.Written == nil {
		c.Written = NewWritten(t.Keys.N)
	}
	f := filling{sweep: sweep{Config: c, what: "fill", progress: progress}}
	f.Depth = max(1, min(sweepDepth, sweepBytes/sweepConnections/max(1, meanSize(t.Source()))))
	all, first := &everyKey{t.Source(), t.Keys.N}, make([]Op, 1)
	if !all.Next(&first[0]) {
		return nil
	}
	f.source, f.Connections = only(&list{ops: first}), 1
	var failed *failedError
	err := f.run(ctx)
	switch {
	case errors.As(err, &failed): // as many others will, who are to be counted
	case err != nil:
		return err
	default:
		first = nil
	}
	f.source, f.Connections = only(&list{first, all}), c.Connections
	return f.run(ctx)
}

// only is the source of a sweep, which has one thread.
func only(s Source) func(*Traffic) Source { return func(*Traffic) Source { return s } }

// Taken tells whether any key that Fill would write is there, for traffic that writes to keys without filling. It
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
	s.told = func(_ *Op, r *backends.Reply) {
		if r.Answer == backends.Hit {
			s.cancel(ErrTaken)
		}
	}
	err := s.run(ctx)
	if errors.Is(err, ErrTaken) {
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

// RemoveWritten deletes the keys in c.Written, and no others; where there are none it asks for no connection. It goes on when ctx ends, for RemoveBound at most, because
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
	_, unsettled := settle(detached, c)
	if _, some := c.Written.from(0); !some {
		return unsettled
	}
	s := sweep{Config: c, what: "remove", progress: progress}
	s.Depth, s.Written = sweepDepth, nil
	written := c.Written
	s.source = func(*Traffic) Source { return newRemovals(written) }
	if err := s.run(detached); err != nil {
		return err
	}
	return unsettled
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

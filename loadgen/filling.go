package loadgen

import (
	"bytes"
	"context"

	"github.com/cachectl/cachectl/backends"
)

// A filling is a sweep that adds keys: what is there already stays, and ends it.
//
// A write whose answer was lost leaves a doubt: what is there when it is tried again may be this run's. The value
// tells, which another seed makes another one; who has the same seed has the same first key, and came second.
type filling struct{ sweep }

func (f *filling) run(ctx context.Context) error {
	f.adding, f.between = true, f.again
	f.told = func(op *Op, r *backends.Reply) {
		if r.Answer == backends.NotDone && !f.Written.doubts(op.Key) {
			f.cancel(ErrTaken)
		}
	}
	return f.sweep.run(ctx)
}

// again leaves out what turns out to be written.
func (f *filling) again(ctx context.Context, failed []Op) (again []Op, err error) {
	others, err := settle(ctx, f.Config)
	if others {
		return nil, ErrTaken
	}
	for _, op := range failed {
		if !f.Written.has(op.Key) {
			again = append(again, op)
		}
	}
	return again, err
}

// settle looks at the keys whose answer was lost: those with this run's value were written by it. others tells that one
// has another value. What is not there stays in doubt, as does everything after an error.
func settle(ctx context.Context, c Config) (others bool, err error) {
	ops := c.Written.doubted()
	if len(ops) == 0 {
		return false, nil
	}
	s := sweep{Config: c, what: "look for what was written"}
	values := newValues(c.Traffic.Seed)
	s.adding, s.Written, s.Depth = false, nil, 1 // the values may be large
	s.told = func(op *Op, r *backends.Reply) {
		switch {
		case r.Answer != backends.Hit:
		case bytes.Equal(r.Value, values.of(op.N, op.Size)):
			c.Written.Add(op.Key)
			c.Written.settled(op.Key)
		default:
			others = true
			c.Written.settled(op.Key)
		}
	}
	s.source = only(&list{ops: ops})
	err = s.run(ctx)
	return others, err
}

package memcached

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// Pulse asks every node for its version, which takes it no time and gives the
// round trip, and for its general statistics: two round trips, and some 3 kB.
func (c *cache) Pulse(ctx context.Context) ([]backends.Stats, error) {
	ctx, release := c.bound(ctx)
	defer release()
	return c.gather(ctx, (*node).pulse)
}

func (n *node) pulse(ctx context.Context) (backends.Stats, error) {
	s := backends.Stats{Node: n.addr, Software: "memcached"}
	err := n.do(ctx, func(c *conn) error {
		start := time.Now()
		if _, err := c.ask("version"); err != nil {
			return err
		}
		s.At = time.Now()
		s.RTT = s.At.Sub(start)
		values, err := c.stats(general)
		if err != nil {
			return err
		}
		s.Version, s.RunID = c.version, runID(values)
		s.Counts = make(map[backends.Counter]uint64)
		if evicted, err := strconv.ParseUint(values[statFields[backends.Evicted]], 10, 64); err == nil {
			s.Counts[backends.Evicted] = evicted
		}
		return nil
	})
	return s, err
}

// gather asks all nodes side by side. Those that could not be asked are in the
// error.
func (c *cache) gather(ctx context.Context, ask func(*node, context.Context) (backends.Stats, error)) ([]backends.Stats, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	stats, errs := make([]backends.Stats, len(c.nodes)), make([]error, len(c.nodes))
	c.each(func(i int, n *node) { stats[i], errs[i] = ask(n, ctx) })
	var all []backends.Stats
	for i := range stats {
		if errs[i] == nil {
			all = append(all, stats[i])
		} else {
			errs[i] = c.lost(ctx, c.nodes[i], errs[i])
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return all, errors.Join(errs...)
}

var _ backends.Pulser = (*cache)(nil)

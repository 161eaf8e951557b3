package memcached

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/cachectl/cachectl/backends"
)

// inspectBatch is how many keys go to a node in one round trip. Their answers
// fit into the buffers of a connection, so that writing them never waits.
const inspectBatch = 100

// Inspect asks every node for every key, by "me". A key that several nodes hold
// is told once, as the first of them has it, with a Notice.
func (c *cache) Inspect(ctx context.Context, want backends.Facts, keys iter.Seq[string]) iter.Seq2[backends.Entry, error] {
	return func(yield func(backends.Entry, error) bool) {
		ctx, release := c.bound(ctx)
		defer release()
		in := inspection{cache: c, want: want, gone: make(map[*node]bool), said: make(map[string]bool)}
		for batch := range backends.Batch(keys, inspectBatch) {
			entries, troubles := in.ask(ctx, batch)
			for _, err := range troubles {
				if !yield(backends.Entry{}, err) || backends.Ends(err) {
					return
				}
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
		}
		if ctx.Err() != nil {
			yield(backends.Entry{}, context.Cause(ctx))
		}
	}
}

// An inspection is one Inspect under way.
type inspection struct {
	*cache
	want  backends.Facts
	begun bool
	gone  map[*node]bool
	said  map[string]bool // notices, each of which comes once a node
}

// A found is what one node tells of a batch.
type found struct {
	items   map[string]item
	mode    int32
	profile profile
	refused error // why some keys could not be asked for
	err     error
}

func (in *inspection) ask(ctx context.Context, keys []string) (entries []backends.Entry, troubles []error) {
	all := make([]found, len(in.nodes))
	in.each(func(i int, n *node) {
		if in.gone[n] {
			return
		}
		if !in.begun && in.want.Has(backends.FactGuard) { // a guard is worth nothing without its process
			if _, all[i].err = n.profile(ctx, true); all[i].err != nil {
				return
			}
		}
		all[i] = in.findOn(ctx, n, keys)
	})
	in.begun = true
	for i, n := range in.nodes {
		if all[i].err != nil {
			in.gone[n] = true
			if err := in.lost(ctx, n, all[i].err); err != nil {
				troubles = append(troubles, err)
			}
			continue
		}
		troubles = append(troubles, in.notices(n, &all[i])...)
	}
	for _, key := range keys {
		holder := -1
		for i := range all {
			it, ok := all[i].items[key]
			switch {
			case !ok:
			case holder < 0:
				holder = i
				e := it.entry(in.want, all[i].profile, it.exp, it.la)
				switch {
				case !in.want.Has(backends.FactGuard) || all[i].profile.noCAS:
				case it.cas == 0:
					troubles = append(troubles, in.once(noGuard(in.nodes[i], "answer"))...)
				case len(in.nodes) > 1:
					e.Guard = guardOf(it.cas, in.nodes[i].addr, all[i].profile.run)
				}
				entries = append(entries, e)
			default:
				troubles = append(troubles, in.once(in.duplicate(key, in.nodes[holder], in.nodes[i]))...)
			}
		}
	}
	return entries, troubles
}

// duplicate tells of a key on two nodes: two clients that do not agree on where
// keys belong, or a node that was out of the ring for a while.
func (c *cache) duplicate(key string, one, two *node) *backends.Notice {
	return &backends.Notice{Shard: two.addr, What: "holds a key that is on another node too",
		Err: fmt.Errorf("%q is also on %s", key, one.addr)}
}

func (in *inspection) once(n *backends.Notice) []error {
	if n == nil || in.said[n.Shard+n.What] {
		return nil
	}
	in.said[n.Shard+n.What] = true
	return []error{n}
}

func (in *inspection) notices(n *node, f *found) (all []error) {
	if f.mode == unasked {
		return nil
	}
	all = in.once(degraded(f.mode, n.addr))
	if f.refused != nil {
		all = append(all, in.once(&backends.Notice{Shard: n.addr, What: "some keys cannot be asked for", Err: f.refused})...)
	}
	for _, m := range f.profile.missing(in.want, false) {
		if f.mode != byMe && in.want.Has(backends.FactElements) && m.what == lengthUnknown {
			continue // mg and gets tell it
		}
		all = append(all, in.once(&backends.Notice{Shard: n.addr, What: m.what, Facts: m.fact, Err: m.err})...)
	}
	return all
}

// findOn asks one node for keys, in one round trip.
func (c *cache) findOn(ctx context.Context, n *node, keys []string) found {
	f := found{items: make(map[string]item)}
	if f.profile, f.err = n.profile(ctx, false); f.err != nil {
		return f
	}
	f.err = n.do(ctx, func(conn *conn) error {
		var err error
		if f.mode, err = n.probe(conn); err != nil {
			return err
		}
		var commands []byte
		var sent []string
		f.refused = nil
		for _, key := range keys {
			err := addressable(key)
			if err == nil && f.mode == byGets && !plain(key) {
				err = errors.New("the server has no meta commands, and no other reaches a key with blanks")
			}
			if err != nil {
				f.refused = fmt.Errorf("%s: %w", printable([]byte(key)), err)
				continue
			}
			commands = lookup(commands, f.mode, key)
			sent = append(sent, key)
		}
		if len(sent) == 0 {
			return nil
		}
		c.asked(f.mode, len(sent))
		if err := conn.send(commands); err != nil {
			return err
		}
		for _, key := range sent {
			it, err := conn.answer(f.mode, key, f.profile.version)
			switch {
			case err == nil:
				f.items[key] = it
			case !errors.Is(err, backends.ErrMiss):
				return err
			}
		}
		return nil
	})
	return f
}

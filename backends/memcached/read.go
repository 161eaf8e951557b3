package memcached

import (
	"context"
	"errors"
	"fmt"

	"github.com/cachectl/cachectl/backends"
)

// Read asks every node for the key's facts ("me": nothing counted, nothing
// moved), then the first that has it for the value.
//
// No command of any version reads a value and leaves no mark. "gets" counts a
// hit and marks the item as used; "mg" with u does not mark it, but where the
// item is stale takes the token by which one client is told to recompute it, so
// that nobody does. So the value comes by "gets", and Touched says what that
// did. A key that only base64 can carry has no choice but "mg".
func (c *cache) Read(ctx context.Context, key string, w backends.Window) (backends.Value, error) {
	v := backends.Value{Entry: backends.Entry{Key: key}}
	ctx, release := c.bound(ctx)
	defer release()
	if err := checkKey(key); err != nil {
		return v, backends.ErrMiss // no server holds such a key
	}
	h, err := c.find(ctx, key, &v)
	if err != nil {
		return v, err
	}
	got, err := c.fetch(ctx, h.node, key, windowBytes(w))
	if err != nil {
		return v, err
	}
	fillValue(&v, h, &got)
	v.Details = details(h, &got, c.chunkOf(ctx, h))
	return v, nil
}

func windowBytes(w backends.Window) int64 {
	switch {
	case w.All:
		return -1
	case w.Bytes > 0:
		return w.Bytes
	}
	return backends.DefaultWindowBytes
}

// A holder is a node that has a key, and what it tells of it.
type holder struct {
	node    *node
	item    item
	mode    int32
	profile profile
}

// find asks all nodes. Others that hold the key too, and nodes that could not
// be asked, become notices; without any holder the latter are the error, since
// the key may be there.
func (c *cache) find(ctx context.Context, key string, v *backends.Value) (holder, error) {
	if err := addressable(key); err != nil {
		return holder{}, fmt.Errorf("%s: %w", printable([]byte(key)), err)
	}
	all := make([]found, len(c.nodes))
	c.each(func(i int, n *node) { all[i] = c.findOn(ctx, n, []string{key}) })
	var first *holder
	var lost []error
	for i, n := range c.nodes {
		f := &all[i]
		if f.err == nil && f.refused != nil {
			f.err = f.refused
		}
		if f.err != nil {
			lost = append(lost, c.lost(ctx, n, f.err))
			v.Notices = append(v.Notices, &backends.Notice{Shard: n.addr, What: "could not be asked", Err: bare(fail(ctx, n.addr, f.err))})
			continue
		}
		if d := degraded(f.mode, n.addr); d != nil {
			v.Notices = append(v.Notices, d)
		}
		it, ok := f.items[key]
		switch {
		case !ok:
		case first == nil:
			first = &holder{n, it, f.mode, f.profile}
		default:
			v.Notices = append(v.Notices, c.duplicate(key, first.node, n))
		}
	}
	switch {
	case ctx.Err() != nil:
		return holder{}, context.Cause(ctx)
	case first != nil:
		return *first, nil
	case len(lost) > 0:
		return holder{}, errors.Join(lost...)
	}
	return holder{}, backends.ErrMiss
}

// fetch reads the value from one node.
func (c *cache) fetch(ctx context.Context, n *node, key string, window int64) (gotten, error) {
	var got gotten
	c.lookups.Add(1)
	err := n.do(ctx, func(conn *conn) error {
		if plain(key) {
			line, err := conn.ask("gets " + key)
			if err == nil {
				got, err = conn.value(line, key, window)
			}
			return answered(err)
		}
		command, flag := address([]byte("mg "), key)
		line, err := conn.ask(string(command) + flag + " u v f c")
		if err == nil {
			got, err = conn.metaValue(line, key, window)
		}
		return answered(err)
	})
	if err == nil && got.key == "" {
		err = backends.ErrMiss
	}
	return got, err
}

// errMiss is a miss, which is no reason to give a connection up.
var errMiss = backends.ErrMiss

func answered(err error) error {
	if errors.Is(err, errMiss) {
		return nil
	}
	return err
}

// fillValue puts together what "me" told and what came with the value.
func fillValue(v *backends.Value, h holder, got *gotten) {
	it := h.item
	it.flags, it.hasFlags, it.cas = got.flags, got.hasFlags, got.cas
	it.value, it.hasValue = got.total, true
	v.Entry = it.entry(backends.AllFacts, h.profile, it.exp, it.la)
	v.Data, v.Total = got.data, got.total
	v.Touched = plain(v.Key)
	if got.won {
		v.Notices = append(v.Notices, &backends.Notice{Shard: h.node.addr, What: "this read took the item's recache token",
			Err: errors.New("the item is stale, and its key can be read by mg only: no other client is told to recompute it")})
	}
}

// chunkOf is the real memory of an item; 0 is unknown.
func (c *cache) chunkOf(ctx context.Context, h holder) int64 {
	if h.item.class == 0 || !h.item.hasSize {
		return 0
	}
	return h.node.chunk(ctx, h.item.class, h.item.size)
}

// details are what an Entry has no place for. Fetched is as it was before this
// read.
func details(h holder, got *gotten, chunk int64) []backends.Detail {
	all := []backends.Detail{{Name: "node", Value: h.node.addr}}
	if got.hasFlags {
		all = append(all, backends.Detail{Name: "client_flags", Value: uint64(got.flags)})
	}
	if got.cas != 0 {
		all = append(all, backends.Detail{Name: "cas", Value: got.cas})
	}
	if h.item.class != 0 {
		all = append(all, backends.Detail{Name: "slab_class", Value: int64(h.item.class)})
	}
	if chunk != 0 {
		all = append(all, backends.Detail{Name: "chunk_bytes", Value: chunk})
	}
	if h.mode == byMe {
		all = append(all, backends.Detail{Name: "fetched", Value: h.item.fetched})
	}
	return all
}

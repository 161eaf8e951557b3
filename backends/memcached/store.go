package memcached

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// Get reads a value whole. With several nodes it looks on the key's home first
// (see home), as a client would, and asks the others for it by "me" only where
// it is not there.
func (c *cache) Get(ctx context.Context, key string) ([]byte, error) {
	ctx, release := c.bound(ctx)
	defer release()
	if checkKey(key) != nil {
		return nil, backends.ErrMiss // no server holds such a key
	}
	home := c.home(key)
	value, err := c.getFrom(ctx, home, key)
	if err == nil || len(c.nodes) == 1 || ctx.Err() != nil {
		return value, err
	}
	if !errors.Is(err, backends.ErrMiss) {
		err = &backends.ShardError{Shard: home.addr, Err: bare(err)}
	}
	var v backends.Value
	h, elsewhere := c.find(ctx, key, &v)
	switch {
	case errors.Is(elsewhere, backends.ErrMiss):
		return nil, err
	case elsewhere != nil:
		return nil, elsewhere
	}
	return c.getFrom(ctx, h.node, key)
}

func (c *cache) getFrom(ctx context.Context, n *node, key string) ([]byte, error) {
	if !plain(key) {
		if err := addressable(key); err != nil {
			return nil, err
		}
		got, err := c.fetch(ctx, n, key, -1)
		return got.data, err
	}
	c.lookups.Add(1)
	return n.getOne(ctx, key)
}

// home is where gomemcache would put a key. An application whose client hashes
// otherwise has it elsewhere, so nothing rests on this but where a new key goes.
func (c *cache) home(key string) *node {
	if len(c.nodes) == 1 {
		return c.nodes[0]
	}
	return c.nodes[homeOf([]byte(key), len(c.nodes))]
}

// Set writes a value to every node that holds the key, and to its home where
// none does. What cannot work is refused before anything is written: a server
// that is sent a value too big for it drops the value that the key had, and an
// old one takes the value of a set with a bad key for commands.
func (c *cache) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	ctx, release := c.bound(ctx)
	defer release()
	if err := addressable(key); err != nil {
		return fmt.Errorf("%s: %w", printable([]byte(key)), err)
	}
	targets, err := c.holders(ctx, key)
	if err != nil {
		return err
	}
	for _, n := range targets {
		if err := n.fits(ctx, key, value); err != nil {
			return err
		}
	}
	for _, n := range targets {
		if err := c.setOn(ctx, n, key, value, ttl); err != nil {
			return err
		}
	}
	return nil
}

// holders are the nodes that a Set of key goes to.
func (c *cache) holders(ctx context.Context, key string) ([]*node, error) {
	if len(c.nodes) == 1 {
		return c.nodes, nil
	}
	var holding []*node
	all := make([]found, len(c.nodes))
	c.each(func(i int, n *node) { all[i] = c.findOn(ctx, n, []string{key}) })
	for i, n := range c.nodes {
		if all[i].err != nil {
			return nil, c.lost(ctx, n, all[i].err) // it may hold an older value
		}
		if _, ok := all[i].items[key]; ok {
			holding = append(holding, n)
		}
	}
	if len(holding) == 0 {
		holding = []*node{c.home(key)}
	}
	return holding, nil
}

// fits refuses a value that the server would not take, before it is sent.
func (n *node) fits(ctx context.Context, key string, value []byte) error {
	p, err := n.profile(ctx, false)
	if err != nil {
		return err
	}
	if most := p.itemMax; most > 0 && p.itemSize(key, len(value)) > most {
		return &opError{addr: n.addr, err: fmt.Errorf("%s: a value of %d bytes makes an item of %d, and the server takes %d (-I); the key keeps what it has",
			printable([]byte(key)), len(value), p.itemSize(key, len(value)), most)}
	}
	return nil
}

func (c *cache) setOn(ctx context.Context, n *node, key string, value []byte, ttl time.Duration) error {
	p, err := n.profile(ctx, false)
	if err != nil {
		return err
	}
	exp, err := expiry(ttl, p)
	if err != nil {
		return &opError{addr: n.addr, err: fmt.Errorf("%s: %w", printable([]byte(key)), err)}
	}
	if plain(key) {
		return n.setOne(ctx, key, value, exp)
	}
	return n.do(ctx, func(conn *conn) error {
		command, flag := address([]byte("ms "), key)
		command = strconv.AppendInt(append(command, ' '), int64(len(value)), 10)
		command = append(append(command, flag...), " T"...)
		command = strconv.AppendInt(command, int64(exp), 10)
		command = append(append(append(command, "\r\n"...), value...), "\r\n"...)
		if err := conn.send(command); err != nil {
			return err
		}
		line, err := conn.line()
		if err == nil && string(line) != "HD" {
			err = unexpected("ms", line)
		}
		return err
	})
}

// relativeMost is the longest expiry that a server takes for a time from now;
// beyond, it is a date, and 31 days would be one in 1970 (memcached.c, realtime).
const relativeMost = 30 * 24 * time.Hour

// expiry is ttl as the protocol takes it, rounded up to whole seconds. Long ones
// become a date by the server's own clock.
func expiry(ttl time.Duration, p profile) (int32, error) {
	if ttl == 0 || ttl == backends.NoTTL {
		return 0, nil
	}
	if ttl < 0 {
		return 0, fmt.Errorf("the TTL %v is in the past", ttl)
	}
	n := int64((ttl + time.Second - 1) / time.Second)
	if ttl <= relativeMost {
		return int32(n), nil
	}
	if !p.clocked {
		return 0, errors.New("a TTL of more than 30 days needs the server's clock, and it does not tell that")
	}
	if n += p.now(); n > math.MaxInt32 {
		return 0, errors.New("the TTL ends after 2038: memcached cannot count that far")
	}
	return int32(n), nil
}

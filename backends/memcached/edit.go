package memcached

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/cachectl/cachectl/backends"
)

// Remove deletes a key from every node that holds it.
func (c *cache) Remove(ctx context.Context, key string) error {
	return c.edit(ctx, key, func(ctx context.Context, n *node) error {
		if plain(key) {
			return n.one(ctx, func(client *memcache.Client) error { return client.Delete(key) })
		}
		return n.meta(ctx, "md ", key, nil, "")
	})
}

// Touch gives a key another TTL on every node that holds it. The server counts
// it as a touch; a key that only base64 can carry goes by mg with T, which
// counts a hit as a touch too, but a miss as a miss.
func (c *cache) Touch(ctx context.Context, key string, ttl time.Duration) error {
	return c.edit(ctx, key, func(ctx context.Context, n *node) error {
		p, err := n.profile(ctx, false)
		if err != nil {
			return err
		}
		exp, err := expiry(ttl, p)
		if err != nil {
			return err
		}
		if plain(key) {
			return n.one(ctx, func(client *memcache.Client) error { return client.Touch(key, exp) })
		}
		return n.meta(ctx, "mg ", key, nil, " T"+strconv.Itoa(int(exp)))
	})
}

// Swap replaces a value that is still the one with the number cas. Each node
// counts CAS numbers of its own, so of several holders one can match at best.
func (c *cache) Swap(ctx context.Context, key string, value []byte, ttl time.Duration, cas uint64) error {
	return c.edit(ctx, key, func(ctx context.Context, n *node) error {
		p, err := n.profile(ctx, false)
		if err != nil {
			return err
		}
		exp, err := expiry(ttl, p)
		if err == nil {
			err = n.fits(ctx, key, value)
		}
		if err != nil {
			return err
		}
		if plain(key) {
			return n.one(ctx, func(client *memcache.Client) error {
				return client.CompareAndSwap(&memcache.Item{Key: key, Value: value, Expiration: exp, CasID: cas})
			})
		}
		return n.meta(ctx, "ms ", key, value, " T"+strconv.Itoa(int(exp))+" C"+strconv.FormatUint(cas, 10))
	})
}

// edit runs change on the nodes that hold key, one behind the other.
func (c *cache) edit(ctx context.Context, key string, change func(context.Context, *node) error) error {
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
		if err := change(ctx, n); err != nil {
			if errors.Is(err, backends.ErrChanged) {
				return err
			}
			return fail(ctx, n.addr, err)
		}
	}
	return nil
}

// one makes a call of gomemcache whose answer may be that the key is not there,
// or not what it was: neither is trouble with the connection.
func (n *node) one(ctx context.Context, call func(*memcache.Client) error) error {
	var said error
	err := n.single(ctx, func(client *memcache.Client) error {
		err := call(client)
		switch {
		case errors.Is(err, memcache.ErrCacheMiss):
			said = backends.ErrMiss
		case errors.Is(err, memcache.ErrCASConflict), errors.Is(err, memcache.ErrNotStored):
			said = backends.ErrChanged
		default:
			return err
		}
		return nil
	})
	return errors.Join(err, said)
}

// meta sends one meta command about a key by base64. value goes with ms.
func (n *node) meta(ctx context.Context, verb, key string, value []byte, flags string) error {
	return n.do(ctx, func(conn *conn) error {
		command, flag := address([]byte(verb), key)
		if verb == "ms " {
			command = strconv.AppendInt(append(command, ' '), int64(len(value)), 10)
		}
		command = append(append(append(command, flag...), flags...), "\r\n"...)
		if verb == "ms " {
			command = append(append(command, value...), "\r\n"...)
		}
		if err := conn.send(command); err != nil {
			return err
		}
		line, err := conn.line()
		if err != nil {
			return err
		}
		switch string(line) {
		case "HD":
			return nil
		case "NF", "EN":
			return backends.ErrMiss
		case "EX", "NS":
			return backends.ErrChanged
		}
		return unexpected(verb, line)
	})
}

var _ backends.Editor = (*cache)(nil)

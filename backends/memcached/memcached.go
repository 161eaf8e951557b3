// Package memcached looks into memcached servers: one, or several that an
// application spreads its keys over. gomemcache gets and sets single keys; what
// it has no words for (statistics, the key dump, the meta commands, -Y
// authentication, contexts) goes over a small connection of our own, which
// gomemcache borrows, so that there is one way to dial.
//
//	url -> nodes -> connections -> me, gets, stats       one answer each
//	                            -> metadump -> drain -> spool -> lines -> pages
//
// It keeps to these rules. How the application spreads its keys is not known
// and not guessed: every node is asked. Looking takes no recache token and
// counts no hit where the server offers a command that does neither. Nothing a
// user wrote becomes part of a command but a checked key, as base64 where it
// has bytes that end a word. A dump that was begun is read to its end, because
// a reader that pauses stalls a server's other clients (before 1.6.19) or
// overflows its heap (before 1.6.44). The package has no words for flush_all,
// stats reset, stats sizes_enable, slabs, lru and shutdown.
package memcached

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/cachectl/cachectl/backends"
)

// A cache is one target: every node that the URL leads to, or one of them.
type cache struct {
	*config
	name    string
	nodes   []*node
	life    context.Context // of the target; its end fails every call
	end     context.CancelCauseFunc
	stop    func() bool // unhooks the nodes from the life
	lookups *atomic.Int64
	shard   bool // owned by its parent
	limits  limits
}

// Open opens the memcached servers that u names, see Schemes: one node must
// answer. ctx bounds the life of the backend: when it is cancelled, calls under
// way fail at once, but for a dump, which is read to its end first.
func Open(ctx context.Context, u *url.URL) (backends.Backend, error) {
	conf, err := parseURL(u)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", backends.ErrURL, err)
	}
	c := &cache{config: &conf, name: conf.name, lookups: new(atomic.Int64), limits: defaultLimits}
	c.life, c.end = context.WithCancelCause(ctx)
	addrs := conf.addrs
	if conf.discover {
		if addrs, err = c.discoverNodes(ctx); err != nil {
			c.end(errClosed)
			return nil, err
		}
	}
	for _, addr := range addrs {
		c.nodes = append(c.nodes, &node{addr: addr, config: &conf})
	}
	c.stop = context.AfterFunc(c.life, c.disconnect)
	if err := c.connect(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// connect makes sure that some node answers. One that does not is no reason to
// refuse the others: every walk and every Stats tells that it is lost. Wrong
// credentials are.
func (c *cache) connect(ctx context.Context) error {
	errs := make([]error, len(c.nodes))
	c.each(func(i int, n *node) { errs[i] = n.do(ctx, func(*conn) error { return nil }) })
	for _, err := range errs {
		if errors.Is(err, backends.ErrAuth) {
			return err
		}
	}
	for _, err := range errs {
		if err == nil {
			return nil
		}
	}
	return errors.Join(errs...)
}

// each runs f for all nodes side by side.
func (c *cache) each(f func(i int, n *node)) {
	var running sync.WaitGroup
	for i, n := range c.nodes {
		running.Go(func() { f(i, n) })
	}
	running.Wait()
}

// bound is ctx, ended by the end of the backend as well.
func (c *cache) bound(ctx context.Context) (context.Context, func()) {
	inner, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.life, func() { cancel(context.Cause(c.life)) })
	return inner, func() { stop(); cancel(context.Canceled) }
}

var errClosed = errors.New("the backend is closed")

// Name is the target's URL without its password.
func (c *cache) Name() string { return c.name }

// Close closes all connections. A shard is closed by its parent.
func (c *cache) Close() error {
	if c.shard {
		return nil
	}
	c.end(errClosed)
	if c.stop != nil && c.stop() {
		c.disconnect()
	}
	return nil
}

func (c *cache) disconnect() {
	for _, n := range c.nodes {
		n.close(context.Cause(c.life))
	}
}

// Shards are the nodes, in the order of the URL.
func (c *cache) Shards(ctx context.Context) ([]backends.Backend, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	shards := make([]backends.Backend, len(c.nodes))
	for i, n := range c.nodes {
		part := *c
		part.nodes, part.name, part.shard = []*node{n}, c.shardName(n), true
		shards[i] = &part
	}
	return shards, nil
}

func (c *cache) shardName(n *node) string {
	name := "memcached://"
	if c.tls != nil {
		name = "memcacheds://"
	}
	if c.user != "" {
		name += c.user + "@"
	}
	return name + n.addr
}

// Footprint is the number of lookups made that the servers count among
// get_hits and get_misses. The facts of a key come by "me" and by the dump,
// which count none; a value costs one, and so does each key of Inspect where
// the server has no "me".
func (c *cache) Footprint() int64 { return c.lookups.Load() }

var (
	_ backends.Scanner     = (*cache)(nil)
	_ backends.Inspector   = (*cache)(nil)
	_ backends.Store       = (*cache)(nil)
	_ backends.Reader      = (*cache)(nil)
	_ backends.StatsReader = (*cache)(nil)
	_ backends.Sharder     = (*cache)(nil)
	_ backends.Footprinter = (*cache)(nil)
	_ backends.SlabReader  = (*cache)(nil)
)

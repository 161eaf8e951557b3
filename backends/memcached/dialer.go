package memcached

import (
	"context"
	"fmt"
	"hash/crc32"
	"net"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// Routes are the nodes in the order of the URL, and where gomemcache would put a key on
// them (see home). Memcached's servers know nothing of one another, so these never change.
func (c *cache) Routes(ctx context.Context) (backends.Routes, error) {
	if err := ctx.Err(); err != nil {
		return backends.Routes{}, context.Cause(ctx)
	}
	routes := backends.Routes{Nodes: make([]string, len(c.nodes))}
	for i, n := range c.nodes {
		routes.Nodes[i] = n.addr
	}
	if nodes := len(c.nodes); nodes > 1 {
		routes.Of = func(key []byte) int { return homeOf(key, nodes) }
	}
	return routes, nil
}

// homeOf is where gomemcache puts a key among so many nodes (selector.go, PickServer).
func homeOf(key []byte, nodes int) int {
	return int(crc32.ChecksumIEEE(key) % uint32(nodes))
}

// DialNode opens a connection of its own to one of the nodes. Its dialect is of meta
// commands where the server has them, and of the classic ones elsewhere.
func (c *cache) DialNode(ctx context.Context, addr string) (net.Conn, backends.Dialect, error) {
	ctx, release := c.bound(ctx)
	defer release()
	for _, n := range c.nodes {
		if n.addr != addr {
			continue
		}
		conn, dialect, err := n.dialBare(ctx)
		return conn, dialect, fail(ctx, addr, err)
	}
	return nil, nil, fmt.Errorf("%s is not a node of %s", addr, c.name)
}

func (n *node) dialBare(ctx context.Context) (net.Conn, backends.Dialect, error) {
	p, err := n.profile(ctx, false)
	if err != nil {
		return nil, nil, err
	}
	c, err := n.dial(ctx)
	if err != nil {
		return nil, nil, err
	}
	disarm := c.arm(ctx)
	how, err := c.probeDelete()
	switch {
	case !disarm():
		err = context.Cause(ctx)
	case err != nil:
	case c.r.Buffered() > 0:
		err = fmt.Errorf("%w: more than was asked for", errProtocol)
	default:
		err = c.SetDeadline(time.Time{})
	}
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	words := wording{profile: p, name: n.name}
	if how == byDelete {
		return c.Conn, &classicDialect{words}, nil
	}
	return c.Conn, &metaDialect{words}, nil
}

var _ backends.Dialer = (*cache)(nil)

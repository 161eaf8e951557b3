package redis

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
)

// Routes tells the masters of now, by the topology's own word.
func (c *cache) Routes(ctx context.Context) (backends.Routes, error) {
	shards, err := c.shards(ctx)
	if err != nil {
		return backends.Routes{}, err
	}
	if err := c.reachesAll(ctx, shards); err != nil {
		return backends.Routes{}, err
	}
	var r backends.Routes
	for _, s := range shards {
		r.Nodes = append(r.Nodes, s.master.addr)
	}
	if c.topology != cluster || len(shards) == 1 {
		return r, nil
	}
	// A slot that nobody serves goes to the first node, which says so: Moved.
	var of [slots]uint16
	for i, s := range shards {
		for _, own := range s.slots {
			for slot := max(own.from, 0); slot <= min(own.to, slots-1); slot++ {
				of[slot] = uint16(i)
			}
		}
	}
	r.Of = func(key []byte) int { return int(of[slotOf(key)]) }
	return r, nil
}

// reachesAll refuses a node that the target names as if it were alone, while others have slots of its cluster: the
// keys of those could not be reached.
func (c *cache) reachesAll(ctx context.Context, shards []shard) error {
	if c.topology != single || c.only != nil {
		return nil
	}
	n := shards[0].master
	p, err := n.profile(ctx, c.db, false)
	if err != nil || !p.cluster {
		return err
	}
	if all, err := c.clusterShards(ctx); err == nil && len(all) > 1 {
		return fmt.Errorf("%s: it is one node of a cluster; for all of them use redis+cluster://%s", n.addr, n.addr)
	}
	return nil
}

// DialNode dials and logs in through go-redis, then takes the connection from it. It is
// RESP2, named like all of ours, and otherwise as an application's: what it does counts
// as use of the keys.
func (c *cache) DialNode(ctx context.Context, addr string) (net.Conn, backends.Dialect, error) {
	o := c.options(addr, false)
	dial := c.dial
	if dial == nil {
		o.Dialer = nil // else it is guarded, which the connection is to be later without
		dial = redis.NewDialer(o)
	}
	var lent loan
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return lent.take(conn)
	}
	o.Protocol, o.PoolSize, o.OnConnect = 2, 1, nameOnly
	client := redis.NewClient(o)
	held := client.Conn()
	err := held.Ping(ctx).Err()
	held.Close()
	client.Close()
	conn := lent.end(err == nil || refused(err))
	if conn == nil {
		return nil, nil, fail(ctx, addr, err)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		conn.Close()
		return nil, nil, fail(ctx, addr, err)
	}
	host, _, _ := net.SplitHostPort(addr) // a socket has none
	return conn, dialect{host}, nil
}

// nameOnly names a connection, where that is allowed.
func nameOnly(ctx context.Context, conn *redis.Conn) error {
	if err := conn.Do(ctx, "client", "setname", clientName).Err(); broken(err) {
		return fmt.Errorf("client setname: %w", err)
	}
	return nil
}

// A loan is the connection that go-redis is lent to log in on. go-redis dials in a goroutine of its own, and
// may go on when the call that wanted the connection has ended.
type loan struct {
	mu    sync.Mutex
	conn  net.Conn
	ended bool
}

// take lends conn in place of what was lent before, which is of an attempt that failed.
func (l *loan) take(conn net.Conn) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		l.conn.Close()
	}
	l.conn = conn
	if l.ended {
		conn.Close()
		return nil, net.ErrClosed
	}
	return &guard{Conn: lentConn{conn}}, nil
}

// end takes the connection back, and closes it if it is not good.
func (l *loan) end(good bool) net.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.conn != nil && !good {
		l.conn.Close()
		return nil
	}
	return l.conn
}

// A lentConn stays open when its borrower closes it.
type lentConn struct{ net.Conn }

func (lentConn) Close() error { return nil }

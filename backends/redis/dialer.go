package redis

import (
	"context"
	"fmt"
	"net"
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
	lent := new(lentConn)
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if lent.Conn != nil { // a second try
			lent.Conn.Close()
		}
		lent.Conn = conn
		return &guard{Conn: lent}, nil
	}
	o.Protocol, o.PoolSize, o.OnConnect = 2, 1, nameOnly
	client := redis.NewClient(o)
	held := client.Conn()
	err := held.Ping(ctx).Err()
	held.Close()
	client.Close()
	if err == nil || refused(err) {
		err = lent.Conn.SetDeadline(time.Time{})
	}
	if err != nil {
		if lent.Conn != nil {
			lent.Conn.Close()
		}
		return nil, nil, fail(ctx, addr, err)
	}
	host, _, _ := net.SplitHostPort(addr) // a socket has none
	return lent.Conn, dialect{host}, nil
}

// nameOnly names a connection, where that is allowed.
func nameOnly(ctx context.Context, conn *redis.Conn) error {
	if err := conn.Do(ctx, "client", "setname", clientName).Err(); broken(err) {
		return fmt.Errorf("client setname: %w", err)
	}
	return nil
}

// A lentConn stays open when its borrower closes it.
type lentConn struct{ net.Conn }

func (*lentConn) Close() error { return nil }

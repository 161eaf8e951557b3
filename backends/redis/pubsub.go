package redis

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
)

// Publish sends a message once: a connection that breaks before the answer is an error,
// and whether the message was sent is not known then. In a cluster it reaches the listeners of all
// nodes, and the number is of one node's. Where Sentinel watches, the master is asked for
// each time: a master of before takes messages too, and few hear them.
func (c *cache) Publish(ctx context.Context, channel string, message []byte) (int64, error) {
	n, err := c.station(ctx, channel, 0)
	if err != nil {
		return 0, fail(ctx, c.name, err)
	}
	reached, err := c.speaker(n).Publish(ctx, channel, message).Result()
	return reached, fail(ctx, n.addr, err)
}

// station is the node to publish and to listen on: a master, in a cluster one that the
// channel's name decides, and another at each try.
func (c *cache) station(ctx context.Context, channel string, try int) (*node, error) {
	shards, err := c.shards(ctx)
	if err != nil {
		return nil, err
	}
	return shards[(slotOf(channel)+try)%len(shards)].master, nil
}

// speaker returns the client that publishes on n. It sends nothing twice.
func (c *cache) speaker(n *node) *redis.Client {
	whole := c.whole
	whole.mu.Lock()
	defer whole.mu.Unlock()
	if n.speaker == nil {
		o := c.options(n.addr, false)
		o.MaxRetries, o.Dialer = -1, checkable(o.Dialer)
		n.speaker = redis.NewClient(o)
		if whole.closed {
			n.speaker.Close()
		}
	}
	return n.speaker
}

type rawConn = syscall.Conn

// checkable makes connections that go-redis looks at before it uses them again: one that the server
// closed meanwhile is no reason for Publish to fail. TLS hides that from it.
func checkable(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if g, ok := conn.(*guard); ok && err == nil {
			if raw, ok := g.Conn.(syscall.Conn); ok {
				return struct {
					*guard
					rawConn
				}{g, raw}, nil
			}
		}
		return conn, err
	}
}

// Waits before a lost subscription is tried again; each is twice the one before.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// A listener is one subscription, over one connection after another.
type listener struct {
	*cache
	channel string
	ready   func()
	yield   func([]byte, error) bool
	begun   bool  // ready was called
	lost    error // why it does not listen at the moment; nil while it does
	tries   int   // since it was lost
	told    bool  // that it does not listen
}

// Subscribe listens to a channel until ctx or the backend ends. What prevents the first
// connection ends it, what breaks a later one does not: a *Notice comes once it listens again,
// and one before where that does not succeed at once. A connection that is silent is asked
// whether it is there, every few seconds.
func (c *cache) Subscribe(ctx context.Context, channel string, ready func()) backends.Messages {
	return func(yield func([]byte, error) bool) {
		l := &listener{cache: c, channel: channel, ready: ready, yield: yield}
		wait := firstRetry
		for {
			addr, stopped, err := l.once(ctx)
			if stopped {
				return
			}
			err = fail(ctx, addr, err)
			if !l.begun || ctx.Err() != nil || c.whole.ended() || !errors.Is(err, backends.ErrUnreachable) {
				yield(nil, err)
				return
			}
			if l.lost == nil {
				l.tries, l.told, wait = 0, false, firstRetry
			} else if !l.told {
				l.told = true
				if !yield(nil, &backends.Notice{Shard: addr, What: "not listening: messages are missed until it answers again", Err: err}) {
					return
				}
			}
			l.lost = err
			l.tries++
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
			wait = min(2*wait, lastRetry)
		}
	}
}

// ended tells whether the backend is closed.
func (c *cache) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// once listens over one connection, to its end or until the reader has stopped.
func (l *listener) once(ctx context.Context) (addr string, stopped bool, err error) {
	if err := ctx.Err(); err != nil {
		return l.name, false, err
	}
	n, err := l.station(ctx, l.channel, l.tries)
	if err != nil {
		return l.name, false, err
	}
	sub := n.client.Subscribe(ctx) // to nothing yet: it would keep the error for itself
	defer sub.Close()
	defer context.AfterFunc(ctx, func() { sub.Close() })()
	if err := sub.Subscribe(ctx, l.channel); err != nil {
		return n.addr, false, err
	}
	var silent atomic.Int32
	defer l.watch(sub, &silent)()
	for {
		got, err := sub.Receive(ctx)
		if err != nil {
			return n.addr, false, err
		}
		switch got := got.(type) {
		case *redis.Subscription:
			stopped = !l.listening(n.addr)
		case *redis.Message:
			silent.Store(-1 << 20) // a slow reader is no silence
			stopped = !l.yield([]byte(got.Payload), nil)
		}
		if silent.Store(0); stopped {
			return n.addr, true, nil
		}
	}
}

// listening says so: to ready the first time, and by a *Notice from then on.
func (l *listener) listening(addr string) bool {
	lost := l.lost
	l.lost = nil
	switch {
	case !l.begun:
		l.begun = true
		l.ready()
	case lost != nil:
		return l.yield(nil, &backends.Notice{Shard: addr, What: "messages may have been missed", Err: lost})
	}
	return true
}

// watch closes a subscription whose connection is dead without saying so: after some silence
// it sends a PING, and what follows on that is no silence. The function that it returns ends it.
func (l *listener) watch(sub *redis.PubSub, silent *atomic.Int32) func() {
	var running sync.WaitGroup
	done := make(chan struct{})
	running.Go(func() {
		tick := time.NewTicker(l.timeout)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			switch silent.Add(1) {
			case 1, 2:
				sub.Ping(context.Background())
			case 3:
				sub.Close()
				return
			}
		}
	})
	return func() {
		close(done)
		running.Wait()
	}
}

var (
	_ backends.Publisher  = (*cache)(nil)
	_ backends.Subscriber = (*cache)(nil)
)

package redis

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// keptWires is how many idle connections of our own a node keeps for dumping and
// loading, which come in many short calls.
const keptWires = 2

// A wireKind is what idle connections are kept by.
type wireKind struct {
	node    *node
	filling bool // see onConnect
}

// borrow gives a connection to n for one call, an idle one where there is any. Cancelling
// ctx ends what is under way on it. The caller hands it back by the returned function,
// and says whether no answer is outstanding.
func (c *cache) borrow(ctx context.Context, n *node, fresh, filling bool) (w *wire, back func(good bool), err error) {
	whole, kind := c.whole, wireKind{n, filling}
	whole.mu.Lock()
	if idle := whole.wires[kind]; len(idle) > 0 && !fresh {
		w = idle[len(idle)-1]
		whole.wires[kind] = idle[:len(idle)-1]
	}
	whole.mu.Unlock()
	if w == nil {
		if w, err = c.dialWireAs(context.WithoutCancel(ctx), n, filling); err != nil {
			return nil, nil, err
		}
	}
	w.out = w.out[:0]
	stop := context.AfterFunc(ctx, func() { w.net.SetDeadline(time.Unix(1, 0)) })
	return w, func(good bool) {
		if !stop() || !good || w.in.Buffered() > 0 {
			w.close()
			return
		}
		whole.mu.Lock()
		defer whole.mu.Unlock()
		if whole.closed || len(whole.wires[kind]) >= keptWires {
			w.close()
			return
		}
		if whole.wires == nil {
			whole.wires = make(map[wireKind][]*wire)
		}
		whole.wires[kind] = append(whole.wires[kind], w)
	}, nil
}

// dropWires closes the idle connections. c.mu is held.
func (c *cache) dropWires() {
	c.closed = true
	for _, idle := range c.wires {
		for _, w := range idle {
			w.close()
		}
	}
	c.wires = nil
}

// Owners know which master answers for a key.
type owners struct {
	shards []shard
	bySlot []*node // in a cluster
}

func (c *cache) owners(ctx context.Context) (*owners, error) {
	shards, err := c.shards(ctx)
	if err != nil {
		return nil, err
	}
	o := &owners{shards: shards}
	if c.topology == cluster {
		o.bySlot = make([]*node, slots)
		for _, s := range shards {
			for _, r := range s.slots {
				for slot := max(r.from, 0); slot <= min(r.to, slots-1); slot++ {
					o.bySlot[slot] = s.master
				}
			}
		}
	}
	return o, nil
}

func (o *owners) of(key string) *node {
	if o.bySlot != nil {
		if n := o.bySlot[slotOf(key)]; n != nil {
			return n
		}
	}
	return o.shards[0].master
}

// mostHops bounds how often commands follow a slot that is moving.
const mostHops = 8

// through runs commands about one key, in one round trip, on n or where n says that the
// key is: MOVED and ASK are followed. filling says that they write values. The error is of the connection; what the server
// answered stands in the commands.
func (c *cache) through(ctx context.Context, n *node, filling bool, commands ...[]string) ([]*redis.Cmd, error) {
	asking := false
	for hop := 0; ; hop++ {
		client := n.client
		if filling {
			client = c.fills(n)
		}
		pipe := client.Pipeline()
		cmds := make([]*redis.Cmd, len(commands))
		for i, args := range commands {
			if asking {
				pipe.Do(ctx, "asking")
			}
			cmds[i] = do(ctx, pipe, args)
		}
		if err := exec(ctx, pipe); err != nil {
			return nil, err
		}
		var away error
		for _, cmd := range cmds {
			if classify(cmd.Err()) == moved {
				away = cmd.Err()
				break
			}
		}
		if away == nil || hop == mostHops || c.whole.topology != cluster {
			return cmds, nil
		}
		n, asking = c.follow(n, away)
		if hop > 0 && !pausing(ctx, 10*time.Millisecond<<hop) {
			return nil, ctx.Err()
		}
	}
}

// follow reads "MOVED 3999 127.0.0.1:6381", "ASK ..." and "TRYAGAIN ...".
func (c *cache) follow(n *node, away error) (to *node, asking bool) {
	words := strings.Fields(away.Error())
	if len(words) < 3 || words[0] == "TRYAGAIN" {
		return n, false
	}
	host, port, err := net.SplitHostPort(words[2])
	if err != nil {
		return n, false
	}
	if host == "" || host == "?" {
		host, _, _ = net.SplitHostPort(n.addr)
	}
	return c.whole.node(net.JoinHostPort(host, port), false), words[0] == "ASK"
}

func pausing(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

var errOtherNode = errors.New("the key lives on another node of the cluster")

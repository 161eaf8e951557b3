package redis

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// onConnect names a new connection and makes it harmless: it is not to count as use of a
// key (NO-TOUCH, Redis 7.2), and not to be evicted in the middle of a walk
// (NO-EVICT, 7.0). Servers that know neither, or forbid it, serve us all the
// same; Value.Touched and the documents say what that means.
//
// filling connections do without NO-TOUCH: Redis 8.0 and Valkey 8.1 die of it, as below,
// when such a client fills a key that others wait for with BLPOP and its kin.
func (c *cache) onConnect(replica, filling bool) func(context.Context, *redis.Conn) error {
	return func(ctx context.Context, conn *redis.Conn) error {
		var hello *redis.Cmd
		_, err := conn.Pipelined(ctx, func(p redis.Pipeliner) error {
			p.Do(ctx, "client", "setname", clientName) // not by Options.ClientName, which fails where this is forbidden
			p.Do(ctx, "client", "no-evict", "on")
			if replica && c.topology == cluster {
				p.ReadOnly(ctx)
			}
			hello = p.Do(ctx, "hello")
			return nil
		})
		if broken(err) {
			return err
		}
		if filling {
			return nil
		}
		if c.diesOfNoTouch(hello.Val()) {
			c.touches.Store(true)
			return nil
		}
		if err = conn.Do(ctx, "client", "no-touch", "on").Err(); broken(err) {
			return err
		}
		if err != nil {
			c.touches.Store(true)
		}
		return nil
	}
}

// diesOfNoTouch tells whether NO-TOUCH may kill the server, by what it says in
// HELLO. A cluster node whose slot is moving looks a key up before it runs the
// command, and Redis 8.0 and Valkey 8.1 read the command through a null pointer then
// (redis#14415, valkey#2347; seen with TYPE and UNLINK). Which releases have the
// repair is known of the next minor versions only.
func (c *cache) diesOfNoTouch(hello any) bool {
	told := make(map[string]string)
	switch fields := hello.(type) {
	case map[any]any: // RESP3
		for name, value := range fields {
			told[fmt.Sprint(name)] = fmt.Sprint(value)
		}
	case []any:
		for i := 0; i+1 < len(fields); i += 2 {
			told[fmt.Sprint(fields[i])] = fmt.Sprint(fields[i+1])
		}
	}
	mode, known := told["mode"]
	if !known {
		return c.topology == cluster || c.whole.topology == cluster
	}
	v := parseVersion(told["version"])
	repaired := told["server"] == "valkey" && v.atLeast(9, 0) || told["server"] == "redis" && v.atLeast(8, 4)
	return mode == "cluster" && !repaired
}

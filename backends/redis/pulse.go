package redis

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
)

// Pulse asks the masters: a PING, and three short sections of INFO.
func (c *cache) Pulse(ctx context.Context) ([]backends.Stats, error) {
	shards, err := c.shards(ctx)
	if err != nil {
		return nil, err
	}
	for i := range shards {
		shards[i].replicas = nil
	}
	return everyNode(ctx, shards, c.nodePulse)
}

func (c *cache) nodePulse(ctx context.Context, n *node) (backends.Stats, error) {
	s := backends.Stats{Node: n.addr, Counts: make(map[backends.Counter]uint64)}
	start := time.Now()
	if err := c.ping(ctx, n); err != nil {
		return s, fail(ctx, n.addr, err)
	}
	if s.At = time.Now(); !c.noPing.Load() {
		s.RTT = s.At.Sub(start)
	}
	var infos [3]*redis.StringCmd
	_, err := n.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, section := range []string{"memory", "stats", "replication"} {
			infos[i] = p.Info(ctx, section)
		}
		return nil
	})
	if broken(err) {
		return s, fail(ctx, n.addr, err)
	}
	memory, stats, replication := parseInfo(infos[0].Val()), parseInfo(infos[1].Val()), parseInfo(infos[2].Val())
	for counter, value := range map[backends.Counter]string{
		backends.LazyfreePending: memory["lazyfree_pending_objects"],
		backends.Evicted:         stats["evicted_keys"],
	} {
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			s.Counts[counter] = n
		}
	}
	if lag, ok := replicaLag(replication); ok {
		s.Counts[backends.ReplicaLag] = lag
	}
	return s, nil
}

// replicaLag is how far the replica furthest behind has not confirmed the
// master's stream. Replicas confirm once a second, so a busy master is always
// some way ahead of a healthy one.
func replicaLag(replication map[string]string) (lag uint64, known bool) {
	at, err := strconv.ParseUint(replication["master_repl_offset"], 10, 64)
	if err != nil {
		return 0, false
	}
	for i := range 64 {
		// slave0:ip=10.0.0.2,port=6379,state=online,offset=1234,lag=0
		fields, ok := replication["slave"+strconv.Itoa(i)]
		if !ok {
			break
		}
		if confirmed := keyspaceNumber(fields, "offset"); confirmed > 0 {
			known = true
			lag = max(lag, at-min(at, confirmed))
		}
	}
	return lag, known
}

package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
)

// Stats reads every node, masters first, replicas behind them. The topology is
// looked up at each call, so that a failover between two calls is seen.
func (c *cache) Stats(ctx context.Context) ([]backends.Stats, error) {
	shards, err := c.shards(ctx)
	if err != nil {
		return nil, err
	}
	return everyNode(ctx, shards, c.nodeStats)
}

func (c *cache) nodeStats(ctx context.Context, n *node) (backends.Stats, error) {
	s := backends.Stats{Node: n.addr, Counts: make(map[backends.Counter]uint64)}
	if err := c.ping(ctx, n); err != nil { // opens the connection, so that the next one is a bare round trip
		return s, fail(ctx, n.addr, err)
	}
	start := time.Now()
	if err := c.ping(ctx, n); err != nil {
		return s, fail(ctx, n.addr, err)
	}
	if !c.noPing.Load() {
		s.RTT = time.Since(start)
	}
	var all, commands *redis.StringCmd
	_, err := n.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		all, commands = p.Info(ctx), p.Info(ctx, "commandstats")
		return nil
	})
	if broken(err) {
		return s, fail(ctx, n.addr, err)
	}
	if err := all.Err(); err != nil && !refused(err) {
		return s, fail(ctx, n.addr, err)
	}
	if refused(all.Err()) {
		s.Notices = append(s.Notices, &backends.Notice{Shard: n.addr, What: "the server's statistics are unknown", Err: errors.New(words(all.Err()))})
	}
	s.At = time.Now()
	fillStats(&s, parseInfo(all.Val()), parseInfo(commands.Val()))
	return s, nil
}

// ping is one round trip, unless this user may not send it.
func (c *cache) ping(ctx context.Context, n *node) error {
	if c.noPing.Load() {
		return nil
	}
	err := n.client.Ping(ctx).Err()
	if refused(err) {
		c.noPing.Store(true)
		return nil
	}
	return err
}

// Where a counter stands in INFO. A section is "" where the field is by itself.
var infoFields = map[backends.Counter]string{
	backends.Hits:         "keyspace_hits",
	backends.Misses:       "keyspace_misses",
	backends.Expired:      "expired_keys",
	backends.Evicted:      "evicted_keys",
	backends.Commands:     "total_commands_processed",
	backends.ErrorReplies: "total_error_replies",
	backends.UsedMemory:   "used_memory",
	backends.MaxMemory:    "maxmemory",
	backends.Clients:      "connected_clients",
}

// fillStats reads info (INFO) and commands (INFO commandstats) into s. What
// they do not tell stays unknown.
func fillStats(s *backends.Stats, info, commands map[string]string) {
	s.Software, s.Version = "redis", info["redis_version"]
	if v := info["valkey_version"]; v != "" {
		s.Software, s.Version = "valkey", v
	}
	if info["server_name"] == "cachectl-embedded" {
		s.Software = "embedded"
	}
	s.RunID, s.Policy = info["run_id"], info["maxmemory_policy"]
	switch info["role"] {
	case "slave":
		s.Role = "replica"
	case "master":
		s.Role = "master"
	}
	if n, err := strconv.ParseInt(info["uptime_in_seconds"], 10, 64); err == nil {
		s.Uptime = time.Duration(n) * time.Second
	}
	for counter, field := range infoFields {
		if n, err := strconv.ParseUint(info[field], 10, 64); err == nil {
			s.Counts[counter] = n
		}
	}
	if n, ok := sumOver(commands, "cmdstat_", "failed_calls"); ok {
		s.Counts[backends.FailedCalls] = n
	}
	if n, ok := sumOver(commands, "cmdstat_", "rejected_calls"); ok {
		s.Counts[backends.RejectedCalls] = n
	}
	// An empty keyspace has no lines, so the section itself must be there.
	if len(info) > 0 {
		var keys uint64
		for db := range 1024 {
			value, ok := info[fmt.Sprintf("db%d", db)]
			if ok {
				keys += keyspaceNumber(value, "keys")
			}
		}
		s.Counts[backends.Keys] = keys
	}
}

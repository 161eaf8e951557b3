package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
)

// A shard is a master, its replicas, and how many slots are its own (0 outside
// a cluster).
type shard struct {
	master   *node
	replicas []*node
	slots    []slotRange
	read     *node // to read from, where that is decided
}

type slotRange struct{ from, to int }

// reader is the node to read a whole shard from: a replica where the target
// prefers one and has one that answers, else the master.
func (c *cache) reader(ctx context.Context, s shard) *node {
	if s.read != nil {
		return s.read
	}
	if c.preferReplica {
		for _, r := range s.replicas {
			if r.client.Ping(ctx).Err() == nil {
				return r
			}
		}
	}
	return s.master
}

// shards asks for the topology as it is now.
func (c *cache) shards(ctx context.Context) ([]shard, error) {
	switch {
	case c.only != nil:
		return []shard{*c.only}, nil
	case c.topology == cluster:
		return c.clusterShards(ctx)
	case c.topology == sentinel:
		return c.sentinelShards(ctx)
	}
	return []shard{{master: c.node(c.addrs[0], false)}}, nil
}

// clusterShards asks the nodes of the URL, then those met before, until one tells.
func (c *cache) clusterShards(ctx context.Context) ([]shard, error) {
	seeds := slices.Clone(c.addrs)
	c.mu.Lock()
	for addr := range c.nodes {
		if !slices.Contains(seeds, addr) {
			seeds = append(seeds, addr)
		}
	}
	c.mu.Unlock()
	var failed []error
	for _, seed := range seeds {
		//lint:ignore SA1019 CLUSTER SHARDS is missing before Redis 7.0 and on managed services
		slots, err := c.node(seed, false).client.ClusterSlots(ctx).Result()
		switch {
		case err != nil && strings.Contains(err.Error(), "cluster support disabled"):
			return nil, fmt.Errorf("%s: this server is not a cluster node: %w", seed, err)
		case err != nil:
			if err = fail(ctx, seed, err); ctx.Err() != nil || errors.Is(err, backends.ErrAuth) {
				return nil, err
			}
			failed = append(failed, err)
		case len(slots) == 0:
			failed = append(failed, fmt.Errorf("%s: the cluster has no slots assigned", seed))
		default:
			if shards := c.assemble(seed, slots); len(shards) > 0 {
				return shards, nil
			}
			failed = append(failed, fmt.Errorf("%s: the cluster's slots have no nodes", seed))
		}
	}
	return nil, errors.Join(failed...)
}

// assemble turns slot ranges into shards, in the order of their first slot.
func (c *cache) assemble(seed string, slots []redis.ClusterSlot) []shard {
	slices.SortFunc(slots, func(a, b redis.ClusterSlot) int { return a.Start - b.Start })
	seedHost, _, _ := net.SplitHostPort(seed)
	address := func(n redis.ClusterNode) string {
		// A node that does not know its own address tells an empty one.
		host, port, err := net.SplitHostPort(n.Addr)
		if err == nil && (host == "" || host == "?") {
			return net.JoinHostPort(seedHost, port)
		}
		return n.Addr
	}
	var shards []shard
	index := make(map[string]int)
	for _, s := range slots {
		if len(s.Nodes) == 0 {
			continue
		}
		addr := address(s.Nodes[0])
		i, known := index[addr]
		if !known {
			i = len(shards)
			index[addr] = i
			sh := shard{master: c.node(addr, false)}
			for _, r := range s.Nodes[1:] {
				sh.replicas = append(sh.replicas, c.node(address(r), true))
			}
			shards = append(shards, sh)
		}
		shards[i].slots = append(shards[i].slots, slotRange{s.Start, s.End})
	}
	return shards
}

// sentinelShards asks the sentinels in turn for the master's address.
func (c *cache) sentinelShards(ctx context.Context) ([]shard, error) {
	var failed []error
	for _, addr := range c.addrs {
		s, err := c.askSentinel(ctx, addr)
		if err == nil {
			return []shard{s}, nil
		}
		if err = fail(ctx, addr, err); ctx.Err() != nil {
			return nil, err
		}
		failed = append(failed, err)
	}
	return nil, fmt.Errorf("no sentinel knows the master %q: %w", c.master, errors.Join(failed...))
}

func (c *cache) askSentinel(ctx context.Context, addr string) (shard, error) {
	o := c.options(addr, false)
	o.Username, o.Password, o.DB, o.OnConnect = c.sentinelUser, c.sentinelPassword, 0, nil
	client := redis.NewSentinelClient(o)
	defer client.Close()
	defer context.AfterFunc(ctx, func() { client.Close() })()
	master, err := client.GetMasterAddrByName(ctx, c.master).Result()
	if err != nil {
		if errors.Is(err, redis.Nil) {
			err = errors.New("it watches no master of that name")
		}
		return shard{}, err
	}
	s := shard{master: c.node(net.JoinHostPort(master[0], master[1]), false)}
	replicas, err := client.Replicas(ctx, c.master).Result()
	if err != nil {
		return s, nil // a master is enough to go on
	}
	for _, r := range replicas {
		if flags := r["flags"]; !strings.Contains(flags, "down") && !strings.Contains(flags, "disconnected") {
			s.replicas = append(s.replicas, c.node(net.JoinHostPort(r["ip"], r["port"]), true))
		}
	}
	return s, nil
}

// Shards returns the masters, each a backend of its own.
func (c *cache) Shards(ctx context.Context) ([]backends.Backend, error) {
	shards, err := c.shards(ctx)
	if err != nil {
		return nil, err
	}
	var out []backends.Backend
	for _, s := range shards {
		s.read = c.reader(ctx, s)
		out = append(out, c.part(s))
	}
	return out, nil
}

// part is the backend of one shard alone; its connections are its parent's. It
// reads from one node, and writes to the master.
func (c *cache) part(s shard) *cache {
	n := s.read
	s.replicas = nil
	p := &cache{config: c.config, dial: c.dial, only: &s, whole: c.whole, router: n.client, lookups: c.lookups}
	p.topology, p.addrs = single, []string{n.addr}
	if c.network == "tcp" && c.dial == nil {
		if p.name = "redis://" + n.addr; c.db != 0 {
			p.name += "/" + strconv.Itoa(c.db)
		}
	}
	return p
}

// everyNode runs visit for all masters and replicas at once and returns what
// they brought, masters first, beside the joined *ShardErrors of the others.
func everyNode[T any](ctx context.Context, shards []shard, visit func(context.Context, *node) (T, error)) ([]T, error) {
	var nodes []*node
	for _, s := range shards {
		nodes = append(nodes, s.master)
	}
	for _, s := range shards {
		nodes = append(nodes, s.replicas...)
	}
	results, errs := make([]T, len(nodes)), make([]error, len(nodes))
	var running sync.WaitGroup
	for i, n := range nodes {
		running.Go(func() { results[i], errs[i] = visit(ctx, n) })
	}
	running.Wait()
	var good []T
	for i, err := range errs {
		if err == nil {
			good = append(good, results[i])
		} else {
			errs[i] = &backends.ShardError{Shard: nodes[i].addr, Err: err}
		}
	}
	return good, errors.Join(errs...)
}

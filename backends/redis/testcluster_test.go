package redis

import (
	"context"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// A testCluster is three masters, a client for the whole and one for each node.
type testCluster struct {
	nodes   []*servers.Server
	whole   *goredis.ClusterClient
	clients []*goredis.Client
	ids     []string
	target  string
}

func newCluster(t *testing.T, v servers.Version, replicas int) *testCluster {
	t.Helper()
	c := &testCluster{nodes: servers.Cluster(t, v, 3, replicas, servers.Options{Args: []string{"--cluster-require-full-coverage", "no"}})}
	c.target = "redis+cluster://" + c.nodes[0].Addr + "," + c.nodes[1].Addr
	c.whole = goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{c.nodes[0].Addr, c.nodes[1].Addr}})
	t.Cleanup(func() { c.whole.Close() })
	for _, s := range c.nodes {
		client := raw(t, s)
		c.clients = append(c.clients, client)
		c.ids = append(c.ids, client.Do(context.Background(), "cluster", "myid").Val().(string))
	}
	return c
}

// of is the keys that belong to the node'th master.
func (c *testCluster) of(keys []string, node int) (own []string) {
	for _, key := range keys {
		if slot := slotOf(key); slot >= slots*node/3 && slot < slots*(node+1)/3 {
			own = append(own, key)
		}
	}
	return own
}

// inStep waits until the replica of a master has all that the master has.
func inStep(t *testing.T, master *goredis.Client) {
	t.Helper()
	for range 500 {
		if lag, known := replicaLag(parseInfo(master.Info(context.Background(), "replication").Val())); known && lag == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the replica did not catch up")
}

// trusted waits until b knows of a replica for every shard.
func trusted(t *testing.T, b backends.Backend) {
	t.Helper()
	for range 200 {
		shards, err := b.(*cache).shards(t.Context())
		if err == nil && !slices.ContainsFunc(shards, func(s shard) bool { return len(s.replicas) == 0 }) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("no replicas to be seen")
}

// left is how many keys the masters have.
func (c *testCluster) left(t *testing.T) (n int64) {
	t.Helper()
	for _, client := range c.clients[:3] {
		n += client.DBSize(context.Background()).Val()
	}
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open begins to move a slot from one master to another.
func (c *testCluster) open(t *testing.T, slot, from, to int) {
	t.Helper()
	ctx := context.Background()
	must(t, c.clients[to].Do(ctx, "cluster", "setslot", slot, "importing", c.ids[from]).Err())
	must(t, c.clients[from].Do(ctx, "cluster", "setslot", slot, "migrating", c.ids[to]).Err())
}

// carry takes keys of an open slot over.
func (c *testCluster) carry(t *testing.T, from, to int, keys ...string) {
	t.Helper()
	host, port, _ := strings.Cut(c.nodes[to].Addr, ":")
	args := []any{"migrate", host, port, "", 0, 5000, "keys"}
	for _, key := range keys {
		args = append(args, key)
	}
	must(t, c.clients[from].Do(context.Background(), args...).Err())
}

// settle ends the move of a slot.
func (c *testCluster) settle(t *testing.T, slot, to int) {
	t.Helper()
	for _, i := range []int{to, 0, 1, 2} {
		must(t, c.clients[i].Do(context.Background(), "cluster", "setslot", slot, "node", c.ids[to]).Err())
	}
}

// move takes a slot over with all that is in it.
func (c *testCluster) move(t *testing.T, slot, from, to int) {
	t.Helper()
	c.open(t, slot, from, to)
	for {
		keys, err := c.clients[from].ClusterGetKeysInSlot(context.Background(), slot, 1000).Result()
		must(t, err)
		if len(keys) == 0 {
			break
		}
		c.carry(t, from, to, keys...)
	}
	c.settle(t, slot, to)
}

// byShards deletes what each shard's walk brings, as rm does.
func byShards(ctx context.Context, t *testing.T, b backends.Backend, q backends.Query) iter.Seq2[backends.Result, error] {
	t.Helper()
	shards, err := b.(backends.Sharder).Shards(ctx)
	must(t, err)
	var work []func(context.Context) iter.Seq2[backends.Result, error]
	for _, shard := range shards {
		work = append(work, func(ctx context.Context) iter.Seq2[backends.Result, error] {
			results := shard.(backends.Deleter).Delete(ctx, shard.(backends.Scanner).Scan(ctx, q))
			return func(yield func(backends.Result, error) bool) {
				for result, err := range results {
					if backends.Ends(err) && ctx.Err() == nil {
						err = &backends.ShardError{Shard: shard.Name(), Err: err}
					}
					if !yield(result, err) {
						return
					}
				}
			}
		})
	}
	return backends.Parallel(ctx, work...)
}

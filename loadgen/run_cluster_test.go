package loadgen

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// TestClusterSlotsMove: ops follow their keys to other nodes, to one that was not there at the beginning
// too, and are counted once.
func TestClusterSlotsMove(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, c Config) {
		nodes := servers.Cluster(t, servers.Default(t), 2, 0, servers.Options{Args: []string{"--cluster-require-full-coverage", "no"}})
		c.Dialer = dialer(t, &url.URL{Scheme: "redis+cluster", Host: nodes[0].Addr})
		c.Connections, c.Depth, c.Threads = 4, 2, 2
		c.Traffic = uniform(200, Mix{Read: 5, Write: 4, Remove: 1}, Phase{Length: 2 * time.Second, Rate: 4000})
		c.Settle = 20 * time.Second
		moved := make(chan int)
		go func() {
			time.Sleep(100 * time.Millisecond)
			k, n := client(t, nodes[0]), 0
			for i := range 40 {
				if slot := int(k.ClusterKeySlot(context.Background(), "key:"+strconv.Itoa(i)).Val()); slot < 8192 {
					n += moveSlot(t, nodes, slot, 0, 1, 0)
				}
			}
			moved <- n
		}()
		r := send(t, c)
		n := <-moved
		all := r.Total()
		if all.Due != 8000 || all.Done != 8000 {
			t.Errorf("%d due, %d done, %d refused, %d lost, %v, %v", all.Due, all.Done, all.Refused, all.Lost, r.Errors, r.Invalid)
		}
		if n == 0 {
			t.Error("no key was moved")
		}
		if refused := client(t, nodes[0]).Info(t.Context(), "errorstats").Val(); !strings.Contains(refused, "errorstat_MOVED") {
			t.Errorf("nothing met a slot that was gone: %s", refused)
		}
	})
}

// TestClusterSlotOnItsWay: while a slot moves, ops go to the node that has the key by now, without waiting for
// the end of the move.
func TestClusterSlotOnItsWay(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, c Config) {
		nodes := servers.Cluster(t, servers.Default(t), 2, 0, servers.Options{Args: []string{"--cluster-require-full-coverage", "no"}})
		c.Dialer = dialer(t, &url.URL{Scheme: "redis+cluster", Host: nodes[0].Addr})
		c.Connections, c.Depth, c.Prefix = 4, 2, "{z}:" // slot 8157, the first node's
		c.Traffic = uniform(100, Mix{Read: 5, Write: 4, Remove: 1}, Phase{Length: 1500 * time.Millisecond, Rate: 1000})
		c.Settle = 20 * time.Second
		moved := make(chan int)
		go func() {
			time.Sleep(200 * time.Millisecond)
			moved <- moveSlot(t, nodes, 8157, 0, 1, 700*time.Millisecond)
		}()
		r := send(t, c)
		if n, all := <-moved, r.Total(); n == 0 || all.Done != 1500 {
			t.Errorf("%d keys moved; %d done, %d refused, %d lost, %v, %v", n, all.Done, all.Refused, all.Lost, r.Errors, r.Invalid)
		}
		refused := client(t, nodes[0]).Info(t.Context(), "errorstats").Val()
		_, text, _ := strings.Cut(refused, "errorstat_ASK:count=")
		asks, _ := strconv.Atoi(strings.TrimSpace(strings.SplitN(text, "\n", 2)[0]))
		if asks < 500 || asks > 1300 || strings.Contains(refused, "errorstat_TRYAGAIN") {
			t.Errorf("a key on its way is asked for twice, there and where it went: %d of them, %s", asks, refused)
		}
	})
}

// moveSlot takes a slot over with all that is in it, and tells how many keys that were. rest leaves time for
// keys to be asked for that are there no more.
func moveSlot(t *testing.T, nodes []*servers.Server, slot, from, to int, rest time.Duration) (n int) {
	ctx := context.Background()
	clients := make(map[int]*goredis.Client)
	for _, node := range []int{from, to} {
		clients[node] = goredis.NewClient(&goredis.Options{Addr: nodes[node].Addr})
		defer clients[node].Close()
	}
	do := func(node int, args ...any) any {
		v, err := clients[node].Do(ctx, args...).Result()
		if err != nil {
			t.Errorf("%v: %v", args, err)
		}
		return v
	}
	target := do(to, "cluster", "myid")
	do(to, "cluster", "setslot", slot, "importing", do(from, "cluster", "myid"))
	do(from, "cluster", "setslot", slot, "migrating", target)
	host, port, _ := strings.Cut(nodes[to].Addr, ":")
	for {
		keys, _ := do(from, "cluster", "getkeysinslot", slot, 1000).([]any)
		if len(keys) == 0 {
			break
		}
		do(from, append([]any{"migrate", host, port, "", 0, 5000, "keys"}, keys...)...)
		n += len(keys)
	}
	time.Sleep(rest)
	do(to, "cluster", "setslot", slot, "node", target)
	do(from, "cluster", "setslot", slot, "node", target)
	return n
}

// TestNodeJoinsAndLeaves: a node that takes all slots of another gets connections, and what waits for
// the other goes to it.
func TestNodeLeaves(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, c Config) {
		nodes := servers.Cluster(t, servers.Default(t), 2, 1, servers.Options{})
		c.Dialer = dialer(t, &url.URL{Scheme: "redis+cluster", Host: nodes[0].Addr})
		c.Connections = 2
		c.Traffic = uniform(1000, Mix{Read: 1}, Phase{Length: 1500 * time.Millisecond, Rate: 1000})
		c.Settle = 20 * time.Second
		failed := make(chan struct{})
		go func() {
			defer close(failed)
			time.Sleep(200 * time.Millisecond)
			if err := client(t, nodes[2]).Do(context.Background(), "cluster", "failover").Err(); err != nil {
				t.Error(err)
			}
			for range 200 {
				if strings.Contains(client(t, nodes[2]).Info(context.Background(), "replication").Val(), "role:master") {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Error("no failover")
		}()
		r := send(t, c)
		<-failed
		if all := r.Total(); all.Done+all.Lost != 1500 || all.Lost > 4 {
			t.Errorf("%d done, %d refused, %d lost, %v, %v", all.Done, all.Refused, all.Lost, r.Errors, r.Invalid)
		}
		if !strings.Contains(client(t, nodes[2]).Info(t.Context(), "commandstats").Val(), "cmdstat_get:") {
			t.Error("nothing went to the new master")
		}
	})
}

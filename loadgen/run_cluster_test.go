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
		c.Traffic = uniform(200, Mix{Read: 5, Write: 4, Remove: 1}, Phase{Length: time.Hour, Rate: 4000})
		k, n := client(t, nodes[0]), 0
		r := sendWhile(t, c, func() {
			waitForGets(t, k, 200)
			for i := range 40 {
				if slot := int(k.ClusterKeySlot(context.Background(), "key:"+strconv.Itoa(i)).Val()); slot < 8192 {
					n += moveSlot(t, nodes, slot, 0, 1, func() {})
				}
			}
			eventually(t, "a slot is asked for that is gone", func() bool { return errorCount(k, "MOVED") > 0 })
			waitForGets(t, client(t, nodes[1]), 2000)
		})
		all := r.Total()
		if all.Done < 2000 || all.Refused+all.Lost > 0 {
			t.Errorf("%d due, %d done, %d refused, %d lost, %v, %v", all.Due, all.Done, all.Refused, all.Lost, r.Errors, r.Invalid)
		}
		if n == 0 {
			t.Error("no key was moved")
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
		c.Traffic = uniform(100, Mix{Read: 5, Write: 4, Remove: 1}, Phase{Length: time.Hour, Rate: 1000})
		k, n := client(t, nodes[0]), 0
		r := sendWhile(t, c, func() {
			waitForGets(t, k, 100)
			n = moveSlot(t, nodes, 8157, 0, 1, func() {
				eventually(t, "500 keys are asked for on their way", func() bool { return errorCount(k, "ASK") >= 500 })
			})
			waitForGets(t, client(t, nodes[1]), 500)
		})
		if all := r.Total(); n == 0 || all.Refused+all.Lost > 0 {
			t.Errorf("%d keys moved; %d done, %d refused, %d lost, %v, %v", n, all.Done, all.Refused, all.Lost, r.Errors, r.Invalid)
		}
		if asks, tries := errorCount(k, "ASK"), errorCount(k, "TRYAGAIN"); uint64(asks) > r.Total().Done || tries > 0 {
			t.Errorf("a key on its way is asked for once where it was: %d times for %d ops, and %d tries", asks, r.Total().Done, tries)
		}
	})
}

// errorCount is how many errors of a kind the server has answered with.
func errorCount(k *goredis.Client, kind string) int {
	_, text, _ := strings.Cut(k.Info(context.Background(), "errorstats").Val(), "errorstat_"+kind+":count=")
	n, _ := strconv.Atoi(strings.TrimSpace(strings.SplitN(text, "\n", 2)[0]))
	return n
}

// moveSlot takes a slot over with all that is in it, and tells how many keys that were. While rest runs, its
// keys are there no more, and the slot is.
func moveSlot(t *testing.T, nodes []*servers.Server, slot, from, to int, rest func()) (n int) {
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
	rest()
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
		c.Traffic = uniform(1000, Mix{Read: 1}, Phase{Length: time.Hour, Rate: 1000})
		heir := client(t, nodes[2])
		r := sendWhile(t, c, func() {
			waitForGets(t, client(t, nodes[0]), 100)
			if err := heir.Do(context.Background(), "cluster", "failover").Err(); err != nil {
				t.Error(err)
				return
			}
			waitForGets(t, heir, 200)
		})
		if all := r.Total(); all.Done < 300 || all.Refused > 0 || all.Lost > 4 {
			t.Errorf("%d done, %d refused, %d lost, %v, %v", all.Done, all.Refused, all.Lost, r.Errors, r.Invalid)
		}
	})
}

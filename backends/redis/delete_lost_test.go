package redis

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// TestSlotMovedToALostNode: keys that have gone over to a node which is lost make that the
// shard's trouble, which may pass, and not theirs.
func TestSlotMovedToALostNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t, servers.Default(t), 0)
	keys := write(t, c.whole, "{x}", 100) // slot 16287, of the last master
	shards, err := openURL(t, c.target+"?timeout=1s").(backends.Sharder).Shards(t.Context())
	must(t, err)
	c.open(t, slotOf("{x}"), 2, 0)
	c.carry(t, 2, 0, keys[:50]...)
	c.nodes[0].Kill()
	r := removed(t, shards[2].(backends.Deleter).Delete(t.Context(), backends.Pages(slices.Values(keys), 100)), nil)
	if r.want(t, 50, 0, 0, 50); !errors.Is(r.end, backends.ErrUnreachable) {
		t.Errorf("%v; want it to end with ErrUnreachable", r)
	}
	for _, o := range r.outcomes {
		if o.Did == backends.Failed && !errors.Is(o.Err, backends.ErrUnreachable) {
			t.Fatalf("%q: %v, want ErrUnreachable", o.Key, o.Err)
		}
	}
}

// TestMasterOfAClusterKilled: its keys fail, one *ShardError says so, and the
// others' all go.
func TestMasterOfAClusterKilled(t *testing.T) {
	for name, by := range map[string]bool{"list": false, "shards": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, servers.Default(t), 0)
			keys := write(t, c.whole, "k", 3000)
			b := openURL(t, c.target+"?timeout=1s")
			act := b.(backends.Deleter).Delete(t.Context(), backends.Pages(slices.Values(keys), 100))
			if by {
				act = byShards(t.Context(), t, b, backends.Query{Count: 50})
			}
			told := make(map[string]bool)
			r := removed(t, act, func(n int) {
				if n == 6 {
					c.nodes[2].Kill()
				}
			})
			for _, o := range r.outcomes {
				if told[o.Key] {
					t.Errorf("%q has two outcomes", o.Key)
				}
				if told[o.Key] = true; o.Did == backends.Failed && !errors.Is(o.Err, backends.ErrUnreachable) {
					t.Fatalf("%q: %v, want ErrUnreachable", o.Key, o.Err)
				}
			}
			if len(r.lost) != 1 || !strings.Contains(r.lost[0].Error(), c.nodes[2].Addr) || r.end != nil {
				t.Errorf("lost %v, end %v; want one *ShardError of %s", r.lost, r.end, c.nodes[2].Addr)
			}
			if !by && len(r.outcomes) != 3000 {
				t.Errorf("%d outcomes of 3000 keys", len(r.outcomes))
			}
			for _, key := range slices.Concat(c.of(keys, 0), c.of(keys, 1)) {
				if did, err := r.verb(key); did != backends.Deleted {
					t.Fatalf("%q of another shard: %s, %v", key, did, err)
				}
			}
			for i := range 2 {
				if n := c.clients[i].DBSize(t.Context()).Val(); n != 0 {
					t.Errorf("%s has %d keys left", c.nodes[i].Addr, n)
				}
			}
		})
	}
}

// TestTakeover: a replica takes a shard over in mid-run, and the old master,
// which is a replica by then, answers MOVED: what it was asked for goes on the
// new one.
func TestTakeover(t *testing.T) {
	for _, v := range someVersions(t) {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, v, 1)
			keys := write(t, c.whole, "k", 3000)
			for _, client := range c.clients[:3] {
				inStep(t, client)
			}
			b := openURL(t, c.target)
			old, heir := c.clients[2], c.clients[5]
			r := removed(t, b.(backends.Deleter).Delete(t.Context(), backends.Pages(slices.Values(keys), 50)), func(n int) {
				if n != 5 {
					return
				}
				time.Sleep(20 * time.Millisecond) // the page under way arrives
				inStep(t, old)
				must(t, heir.Do(t.Context(), "cluster", "failover", "takeover").Err())
				for range 500 { // until the old master knows
					if strings.Contains(old.Info(t.Context(), "replication").Val(), "role:slave") {
						return
					}
					time.Sleep(10 * time.Millisecond)
				}
				t.Error("the old master did not step down")
			})
			if r.end != nil || len(r.outcomes) != 3000 {
				t.Errorf("%v", r)
			}
			there := 0
			for _, client := range append(c.clients[:2:2], heir) {
				there += int(client.DBSize(t.Context()).Val())
			}
			if r.want(t, 3000, 0, 0, 0); there != 0 {
				t.Errorf("%d keys are there of 3000", there)
			}
		})
	}
}

// TestSentinelFailoverInMidRun: the old master turns replica and answers
// READONLY. That ends the run, and nothing is told as deleted that is not.
func TestSentinelFailoverInMidRun(t *testing.T) {
	t.Parallel()
	_, sentinels, nodes := servers.Sentinel(t, servers.Default(t), servers.Options{})
	master, replica := raw(t, nodes[0]), raw(t, nodes[1])
	keys := write(t, master, "k", 3000)
	b := openURL(t, "redis+sentinel://mymaster@"+strings.Join(sentinels, ","))
	trusted(t, b)
	r := removed(t, b.(backends.Deleter).Delete(t.Context(), backends.Pages(slices.Values(keys), 100)), func(n int) {
		if n != 5 {
			return
		}
		time.Sleep(20 * time.Millisecond) // the page under way arrives
		inStep(t, master)
		// What sentinels do, at a moment of our choosing.
		host, port, _ := strings.Cut(nodes[1].Addr, ":")
		must(t, replica.Do(t.Context(), "replicaof", "no", "one").Err())
		must(t, master.Do(t.Context(), "replicaof", host, port).Err())
		for range 1000 {
			if strings.Contains(master.Info(t.Context(), "replication").Val(), "role:slave") {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Error("no failover")
	})
	if r.end == nil || !strings.Contains(r.end.Error(), "READONLY") {
		t.Errorf("ended by %v, want READONLY", r.end)
	}
	if n := left(t, replica, keys); n+r.did[backends.Deleted] != 3000 || r.did[backends.Failed] == 0 {
		t.Errorf("%v; the new master has %d of 3000", r, n)
	}
}

package redis

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// someVersions are all where there is time for it.
func someVersions(t *testing.T) []servers.Version {
	t.Helper()
	if long() {
		return servers.Redises(t)
	}
	return []servers.Version{servers.Default(t)}
}

// TestSlotInMigration: the keys of a slot are on two nodes: those not moved yet
// (the old owner has them), those moved (ASK), and both in one command (TRYAGAIN).
func TestSlotInMigration(t *testing.T) {
	for _, v := range servers.Redises(t) {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, v, 0)
			const tag = "{x}" // slot 16287, of the last master
			slot := slotOf(tag)
			for name, act := range map[string]func(b backends.Backend, keys []string) iter.Seq2[backends.Result, error]{
				"list": func(b backends.Backend, keys []string) iter.Seq2[backends.Result, error] {
					return b.(backends.Deleter).Delete(t.Context(), backends.Pages(slices.Values(keys), 150))
				},
				"one page": func(b backends.Backend, keys []string) iter.Seq2[backends.Result, error] {
					return b.(backends.Deleter).Delete(t.Context(), backends.Pages(slices.Values(keys), 1000))
				},
				"shards": func(b backends.Backend, _ []string) iter.Seq2[backends.Result, error] {
					return byShards(t.Context(), t, b, backends.Query{Count: 50})
				},
			} {
				keys := append(write(t, c.whole, tag, 400), write(t, c.whole, "k", 400)...)
				c.open(t, slot, 2, 0)
				var carried []string
				for i := 0; i < 400; i += 2 {
					carried = append(carried, keys[i])
				}
				c.carry(t, 2, 0, carried...)
				r := removed(t, act(openURL(t, c.target), keys), nil)
				// A walk over the new owner sees what was moved already, and so does nobody else.
				if r.want(t, 800, 0, 0, 0); r.end != nil || len(r.lost) > 0 {
					t.Errorf("%s: %v", name, r)
				}
				if n := c.left(t); n != 0 {
					t.Errorf("%s: %d keys are left", name, n)
				}
				c.settle(t, slot, 0)
				c.move(t, slot, 0, 2)
			}
		})
	}
}

// TestFactsOfASlotInMigration: looking at keys on their way does no harm. Redis 8.0
// and Valkey 8.1 die of TYPE from a client that told them NO-TOUCH.
func TestFactsOfASlotInMigration(t *testing.T) {
	for _, v := range servers.Redises(t) {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, v, 0)
			keys := write(t, c.whole, "{x}", 100)
			c.open(t, slotOf("{x}"), 2, 0)
			c.carry(t, 2, 0, keys[:50]...)
			for _, target := range []string{c.target, "redis://" + c.nodes[2].Addr} {
				b := openURL(t, target)
				entries, _, lost := scanned(t, b, backends.Query{Want: backends.AllFacts | backends.FactGuard})
				if len(lost) > 0 || len(entries) < 50 {
					t.Errorf("%s: %d entries, lost %v", target, len(entries), lost)
				}
				for e, err := range b.(backends.Inspector).Inspect(t.Context(), backends.FactType, slices.Values(keys)) {
					if err != nil && backends.Ends(err) {
						t.Errorf("%s: %+v, %v", target, e, err)
					}
				}
				b.(backends.Reader).Read(t.Context(), keys[99], backends.Window{})
			}
			for i, client := range c.clients {
				if err := client.Ping(t.Context()).Err(); err != nil {
					t.Errorf("%s is dead: %v", c.nodes[i].Addr, err)
				}
			}
		})
	}
}

// TestSlotMovedInMidRun: what has moved since the walk saw it, or since the
// topology was asked for, is deleted where it is now.
func TestSlotMovedInMidRun(t *testing.T) {
	for _, v := range someVersions(t) {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, v, 0)
			const tag = "{x}"
			slot := slotOf(tag)
			b := openURL(t, c.target)
			for name, way := range map[string]func(keys []string, between func(page int)) removal{
				"list": func(keys []string, between func(int)) removal {
					return removed(t, b.(backends.Deleter).Delete(t.Context(), backends.Pages(slices.Values(keys), 100)), between)
				},
				"a walk's pages": func(_ []string, between func(int)) removal {
					shards, err := b.(backends.Sharder).Shards(t.Context())
					must(t, err)
					last := shards[2]
					var all removal
					pages, n := last.(backends.Scanner).Scan(t.Context(), backends.Query{Match: tag + "*", Count: 100}), 0
					moving := func(yield func(backends.Page, error) bool) { // between being seen and being sent
						for page, err := range pages {
							if len(page.Entries) > 0 {
								n++
								between(n)
							}
							if !yield(page, err) {
								return
							}
						}
					}
					all = removed(t, last.(backends.Deleter).Delete(t.Context(), moving), nil)
					return all
				},
			} {
				keys := write(t, c.whole, tag, 1000)
				others := write(t, c.whole, "other", 100)
				r := way(keys, func(n int) {
					if n == 3 {
						c.move(t, slot, 2, 1)
					}
				})
				// A walk by shards may or may not meet the rest again: the list must get it all.
				gone := r.did[backends.Deleted]
				if r.did[backends.Failed]+r.did[backends.Kept] > 0 || r.end != nil || len(r.lost) > 0 || gone < 300 {
					t.Errorf("%s: %v", name, r)
				}
				if name == "list" {
					r.want(t, 1000, 0, 0, 0)
				}
				if n := left(t, c.whole, keys); n+gone != 1000 {
					t.Errorf("%s: %d told as deleted, %d left, of 1000", name, gone, n)
				}
				if n := left(t, c.whole, others); n != 100 {
					t.Errorf("%s: %d of 100 others are left", name, n)
				}
				c.move(t, slot, 1, 2)
				remove(t, b, keys, 1000)
			}
		})
	}
}

// TestNodeOfACluster: a target that names one node deletes that node's keys, and
// says of the others where they are.
func TestNodeOfACluster(t *testing.T) {
	t.Parallel()
	for _, rule := range []string{"+@all", "+@all -info"} { // who may not ask cannot know that it is a cluster
		c := newCluster(t, servers.Default(t), 0)
		must(t, c.clients[0].Do(t.Context(), "acl", "setuser", "app", "on", ">secret", "~*", "+@all").Err())
		for _, r := range strings.Fields(rule) {
			must(t, c.clients[0].Do(t.Context(), "acl", "setuser", "app", r).Err())
		}
		keys := write(t, c.whole, "k", 600)
		own := c.of(keys, 0)
		b := openURL(t, "redis://app:secret@"+c.nodes[0].Addr)
		r := remove(t, b, keys, 100)
		if r.want(t, len(own), 0, 0, 600-len(own)); r.end != nil {
			t.Errorf("%s: %v", rule, r)
		}
		for _, o := range r.outcomes {
			if o.Did == backends.Failed && !strings.Contains(o.Err.Error(), "redis+cluster://"+c.nodes[0].Addr) {
				t.Fatalf("%s: %q failed: %v; want to be told of redis+cluster://", rule, o.Key, o.Err)
			}
		}
		if n := c.left(t); int(n) != 600-len(own) {
			t.Errorf("%s: %d keys are left, want %d", rule, n, 600-len(own))
		}
	}
}

// TestSlotOfNobody: the keys of a slot that nobody serves fail, and no others.
func TestSlotOfNobody(t *testing.T) {
	t.Parallel()
	c := newCluster(t, servers.Default(t), 0)
	keys := write(t, c.whole, "k", 600)
	slot := slotOf(keys[17])
	for _, client := range c.clients {
		must(t, client.Do(t.Context(), "cluster", "delslots", slot).Err())
	}
	lost := 0
	for _, key := range keys {
		if slotOf(key) == slot {
			lost++
		}
	}
	r := remove(t, openURL(t, c.target), keys, 100)
	if r.want(t, 600-lost, 0, 0, lost); r.end != nil || len(r.lost) > 0 {
		t.Errorf("%v", r)
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

// TestReplicasAreOnlyRead: deletions go to masters, a look at what was
// kept too.
func TestReplicasAreOnlyRead(t *testing.T) {
	t.Parallel()
	c := newCluster(t, servers.Default(t), 1)
	keys := write(t, c.whole, "k", 600)
	for _, client := range c.clients[:3] {
		inStep(t, client)
	}
	b := openURL(t, c.target+"?read=replica")
	trusted(t, b)
	r := removed(t, byShards(t.Context(), t, b, backends.Query{Count: 50, Want: backends.FactGuard}), nil)
	if r.want(t, len(keys), 0, 0, 0); r.end != nil || len(r.lost) > 0 {
		t.Errorf("%v", r)
	}
	if n := c.left(t); n != 0 {
		t.Errorf("%d keys are left", n)
	}
	for i := range 3 {
		if n := calls(t, c.clients[i], "scan"); n > 0 {
			t.Errorf("the master %s was walked", c.nodes[i].Addr)
		}
	}
}

// TestGroupsAreOfOneSlot: hash tags bring many keys of one page into one command,
// never keys of two slots.
func TestGroupsAreOfOneSlot(t *testing.T) {
	t.Parallel()
	c := newCluster(t, servers.Default(t), 0)
	var keys []string
	pipe := c.whole.Pipeline()
	for i := range 3000 {
		key := fmt.Sprintf("{%d}%s:%d", i%7, strings.Repeat("}", i%3), i)
		if i%5 == 0 {
			key = "{}" + strconv.Itoa(i)
		}
		keys = append(keys, key)
		pipe.Set(t.Context(), key, "v", 0)
	}
	_, err := pipe.Exec(t.Context())
	must(t, err)
	remove(t, openURL(t, c.target), keys, 1000).want(t, 3000, 0, 0, 0)
	commands, errs := uint64(0), ""
	for _, client := range c.clients {
		commands += calls(t, client, "unlink")
		errs += client.Info(t.Context(), "errorstats").Val()
	}
	if strings.Contains(errs, "CROSSSLOT") || commands > 900 {
		t.Errorf("%d commands for 3000 keys of 607 slots; errors %s", commands, errs)
	}
}

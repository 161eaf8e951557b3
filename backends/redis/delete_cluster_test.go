package redis

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"testing"

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

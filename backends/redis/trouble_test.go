package redis

import (
	"errors"
	"slices"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// TestServerGoneInMidScan: a server that dies, and one that comes back as
// another process, must end the walk with an error: its cursor means nothing.
func TestServerGoneInMidScan(t *testing.T) {
	for _, back := range []bool{false, true} {
		s := servers.Redis(t, servers.Default(t), servers.Options{})
		fill(t, raw(t, s), 5000)
		b := openURL(t, "redis://"+s.Addr)
		var last error
		pages := 0
		for _, err := range b.(backends.Scanner).Scan(t.Context(), backends.Query{Count: 10}) {
			if last = err; err == nil {
				if pages++; pages == 5 {
					s.Kill()
					if back {
						s.Restart()
						fill(t, raw(t, s), 5000)
					}
				}
			}
		}
		if !errors.Is(last, backends.ErrUnreachable) || pages > 10 {
			t.Errorf("back %v: %d pages, then %v; want ErrUnreachable soon", back, pages, last)
		}
		if back && !errors.Is(last, errRestarted) {
			t.Errorf("error %v, want errRestarted", last)
		}
	}
}

// TestLostConnectionInMidScan: the same process goes on, and nothing is missed.
func TestLostConnectionInMidScan(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{})
	c := raw(t, s)
	fill(t, c, 5000)
	b := openURL(t, "redis://"+s.Addr)
	seen := make(map[string]bool)
	pages := 0
	for page, err := range b.(backends.Scanner).Scan(t.Context(), backends.Query{Count: 10}) {
		if err != nil {
			t.Fatal(err)
		}
		if pages++; pages%100 == 5 {
			c.Do(t.Context(), "client", "kill", "type", "normal", "skipme", "yes")
		}
		for _, e := range page.Entries {
			seen[e.Key] = true
		}
	}
	if len(seen) != 5000 {
		t.Errorf("%d keys of 5000", len(seen))
	}
}

func TestOneClusterNodeDown(t *testing.T) {
	t.Parallel()
	nodes := servers.Cluster(t, servers.Default(t), 3, 0, servers.Options{Args: []string{"--cluster-require-full-coverage", "no"}})
	cc := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{nodes[0].Addr}})
	t.Cleanup(func() { cc.Close() })
	fill(t, cc, 3000)
	gone := raw(t, nodes[2]).DBSize(t.Context()).Val()
	b := openURL(t, "redis+cluster://"+nodes[0].Addr)
	nodes[2].Kill()
	entries, _, lost := scanned(t, b, backends.Query{})
	var shard *backends.ShardError
	if len(lost) != 1 || !errors.As(lost[0], &shard) || shard.Shard != nodes[2].Addr {
		t.Fatalf("errors %v, want one *ShardError of %s", lost, nodes[2].Addr)
	}
	if int64(len(entries)) != 3000-gone {
		t.Errorf("%d keys, want the others' %d", len(entries), 3000-gone)
	}
	stats, err := b.(backends.StatsReader).Stats(t.Context())
	if len(stats) != 2 || !errors.As(err, &shard) || shard.Shard != nodes[2].Addr {
		t.Errorf("Stats: %d nodes, %v", len(stats), err)
	}
}

func TestOneNodeOfAClusterSaysSo(t *testing.T) {
	t.Parallel()
	nodes := servers.Cluster(t, servers.Default(t), 3, 0, servers.Options{})
	_, notices, lost := scanned(t, openURL(t, "redis://"+nodes[0].Addr), backends.Query{})
	if len(lost) > 0 || !slices.Equal(notices, []string{"only this node's keys are seen"}) {
		t.Errorf("notices %q, errors %v", notices, lost)
	}
}

func TestReplicaIsReadWherePreferred(t *testing.T) {
	t.Parallel()
	nodes := servers.Cluster(t, servers.Default(t), 3, 1, servers.Options{})
	cc := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{nodes[0].Addr}})
	t.Cleanup(func() { cc.Close() })
	fill(t, cc, 300)
	b := openURL(t, "redis+cluster://"+nodes[0].Addr+"?read=replica")
	for range 100 { // a replica is listed once the others have heard of its offset
		shards, err := b.(*cache).shards(t.Context())
		if err == nil && !slices.ContainsFunc(shards, func(s shard) bool { return len(s.replicas) == 0 }) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	shards := make(map[string]bool)
	n := 0
	for page, err := range b.(backends.Scanner).Scan(t.Context(), backends.Query{Want: backends.FactTTL}) {
		if err != nil {
			t.Fatal(err)
		}
		shards[page.Shard] = true
		n += len(page.Entries)
	}
	for _, master := range nodes[:3] {
		if shards[master.Addr] {
			t.Errorf("the master %s was walked", master.Addr)
		}
	}
	if n != 300 || len(shards) != 3 {
		t.Errorf("%d keys of %d shards, want 300 of 3", n, len(shards))
	}
}

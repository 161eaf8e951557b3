package main

import (
	"context"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// begun waits until a run has taken something from one of the servers.
func begun(t *testing.T, all ...*redis.Client) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		for _, c := range all {
			if stats, err := c.InfoMap(t.Context(), "commandstats").Result(); err == nil && stats["Commandstats"]["cmdstat_unlink"] != "" {
				return
			}
		}
	}
	t.Fatal("the run does not begin")
}

// TestClusterMovesUnderARun: slots that move and a master that dies in the middle of a
// run cost it nothing.
func TestClusterMovesUnderARun(t *testing.T) {
	t.Parallel()
	nodes := servers.Cluster(t, servers.Default(t), 3, 1, servers.Options{})
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{nodes[0].Addr}})
	defer c.Close()
	const n = 12_000
	crowd(t, c, n)
	cmd, out := program(t, "rm", "doomed:*", "-t", "redis+cluster://"+nodes[0].Addr+","+nodes[1].Addr, "--yes", "--rate", "3000/s", "--count", "100", "--retry-for", "3m",
		"--journal", filepath.Join(t.TempDir(), "run.journal"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var clients []*redis.Client
	for _, node := range nodes {
		clients = append(clients, redis.NewClient(&redis.Options{Addr: node.Addr}))
		defer clients[len(clients)-1].Close()
	}
	begun(t, clients...)
	for slot := range 40 { // of the first master, to the second and back into what it has walked
		moveSlot(t, nodes[0], nodes[1], slot)
	}
	for slot := 10923; slot < 10963; slot++ {
		moveSlot(t, nodes[2], nodes[0], slot)
	}
	nodes[2].Kill() // its replica takes over
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var masters []*redis.Client
	for wait := 0; len(masters) != 3 && wait < 300; wait++ { // the run may have ended before the third had fallen
		time.Sleep(100 * time.Millisecond)
		masters = nil
		for _, c := range clients {
			if info, err := c.Info(t.Context(), "replication").Result(); err == nil && strings.Contains(info, "role:master") {
				masters = append(masters, c)
			}
		}
	}
	if doomed, stay := left(t, masters...); doomed != 0 || stay < n-200 || stay > n || len(masters) != 3 {
		// The dead master may take along the last writes that its replica had not seen.
		t.Errorf("%d masters, %d keys left that match, %d of %d others\n%s", len(masters), doomed, stay, n, out)
	}
	t.Logf("%s", out)
}

// TestFailoverUnderARun: Sentinel makes a replica the master in the middle of a run,
// which walks it from its beginning.
func TestFailoverUnderARun(t *testing.T) {
	t.Parallel()
	_, sentinels, nodes := servers.Sentinel(t, servers.Default(t), servers.Options{})
	c := redis.NewClient(&redis.Options{Addr: nodes[0].Addr}) // the master
	defer c.Close()
	const n = 12_000
	crowd(t, c, n)
	if got, err := c.Wait(t.Context(), 1, 5*time.Second).Result(); err != nil || got < 1 {
		t.Fatalf("%d replicas, %v", got, err)
	}
	cmd, out := program(t, "rm", "doomed:*", "-t", "redis+sentinel://mymaster@"+strings.Join(sentinels, ","), "--yes", "--rate", "4000/s", "--retry-for", "3m") // a Sentinel that was stalled for 2 s judges nobody for 30
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	begun(t, c)
	nodes[0].Kill()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, node := range nodes[1:] {
		client := redis.NewClient(&redis.Options{Addr: node.Addr})
		defer client.Close()
		if info, err := client.Info(t.Context(), "replication").Result(); err != nil || !strings.Contains(info, "role:master") {
			continue
		}
		if doomed, stay := left(t, client); doomed != 0 || stay != n {
			t.Errorf("%d keys left that match, %d of %d others\n%s", doomed, stay, n, out)
		}
		t.Logf("%s", out)
		return
	}
	t.Errorf("nobody is master\n%s", out)
}

// moveSlot moves a slot with its keys, as redis-cli --cluster reshard does.
func moveSlot(t *testing.T, from, to *servers.Server, slot int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	source, target := redis.NewClient(&redis.Options{Addr: from.Addr}), redis.NewClient(&redis.Options{Addr: to.Addr})
	defer source.Close()
	defer target.Close()
	id := func(c *redis.Client) string { return c.Do(ctx, "cluster", "myid").Val().(string) }
	do := func(c *redis.Client, args ...any) any {
		got, err := c.Do(ctx, args...).Result()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return got
	}
	do(target, "cluster", "setslot", slot, "importing", id(source))
	do(source, "cluster", "setslot", slot, "migrating", id(target))
	host, port, _ := strings.Cut(to.Addr, ":")
	for {
		keys := do(source, "cluster", "getkeysinslot", slot, 50).([]any)
		if len(keys) == 0 {
			break
		}
		number, _ := strconv.Atoi(port)
		do(source, append([]any{"migrate", host, number, "", 0, 5000, "keys"}, keys...)...)
	}
	do(target, "cluster", "setslot", slot, "node", id(target))
	do(source, "cluster", "setslot", slot, "node", id(target))
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// eventually waits until something holds. A minute is for machines that stand still.
func eventually(t *testing.T, what string, holds func(ctx context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !holds(ctx) {
		if ctx.Err() != nil {
			t.Fatalf("%s: not within a minute", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// cutOff lets a master answer no more writes, waits until its replica, if it has one, has
// seen all that it did answer, and kills it: what it took along nobody was told of.
func cutOff(t *testing.T, s *servers.Server, replicated bool) {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer c.Close()
	if err := c.Do(t.Context(), "client", "pause", 600_000, "write").Err(); err != nil {
		t.Fatal(err)
	}
	info := func(ctx context.Context) string { return c.Info(ctx, "replication").Val() }
	written := field(t, info(t.Context()), "master_repl_offset")
	eventually(t, "the replica has everything", func(ctx context.Context) bool {
		_, replica, has := strings.Cut(info(ctx), "slave0:")
		if !replicated {
			return !has
		}
		var seen int64
		_, offset, _ := strings.Cut(replica, "offset=")
		fmt.Sscanf(offset, "%d", &seen)
		return has && seen >= written
	})
	s.Kill()
}

// answered is the summary of a run, which adds records that are not unsettled to their
// number, each once.
type answered struct{ Loaded, Kept, Rejected, Failed, Bytes int64 }

func summary(t *testing.T, answer *bytes.Buffer) answered {
	t.Helper()
	var doc struct{ answered }
	if err := json.Unmarshal(answer.Bytes(), &doc); err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	return doc.answered
}

// TestFailoverUnderAWarm: a master that is lost in the middle costs no record: those of
// its slots are sent to the replica that takes its place. Each counts once.
func TestFailoverUnderAWarm(t *testing.T) {
	t.Parallel()
	const n = 30_000
	nodes := servers.Cluster(t, servers.Default(t), 3, 1, servers.Options{})
	path, good := records(t, n)
	rejects := filepath.Join(t.TempDir(), "rejects.ndjson")
	cmd, out := program(t, "warm", path, "-t", "redis+cluster://"+nodes[0].Addr+","+nodes[2].Addr, "--rate", "4000/s", "--retry-for", "3m", "--rejects", rejects, "-o", "json")
	var answer bytes.Buffer
	cmd.Stdout = &answer
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	doomed := redis.NewClient(&redis.Options{Addr: nodes[2].Addr})
	defer doomed.Close()
	eventually(t, "the run begins", func(ctx context.Context) bool { return doomed.DBSize(ctx).Val() > 500 })
	cutOff(t, nodes[2], true)
	if cmd.Wait(); cmd.ProcessState.ExitCode() != 4 || !strings.Contains(out.String(), "trying again") || !strings.Contains(out.String(), "warning: a node was lost on the way") { // 4: the bad records
		t.Fatalf("exit %d\n%s", cmd.ProcessState.ExitCode(), out)
	}
	live := []string{nodes[0].Addr, nodes[1].Addr, nodes[5].Addr}
	for _, addr := range live {
		node := redis.NewClient(&redis.Options{Addr: addr})
		defer node.Close()
		eventually(t, addr+" knows of the new master", func(ctx context.Context) bool {
			//lint:ignore SA1019 as the program asks
			slots, err := node.ClusterSlots(ctx).Result()
			for _, s := range slots {
				if s.Nodes[0].Addr == nodes[2].Addr {
					return false
				}
			}
			return err == nil
		})
	}
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: live})
	defer c.Close()
	whole(t, c, good)
	want := int64(0)
	for key, value := range good {
		want += int64(len(key)+len(value)) + 104 // as records are estimated
	}
	got := summary(t, &answer)
	if got.Loaded+got.Kept != int64(len(good)) || got.Rejected != int64(n-len(good)) || got.Failed != 0 || got.Bytes != want {
		t.Errorf("%+v; want %d records, %d bytes", got, len(good), want)
	}
	if got := len(rejectedKeys(t, rejects)); got != n-len(good) {
		t.Errorf("%d records are in the reject file", got)
	}
	t.Logf("%s%s", out, &answer)
}

// TestWarmGivesUp: a master that does not come back is tried again for no longer than
// --retry-for, whatever the others take meanwhile; the run says which records are not
// loaded, and goes on with them.
func TestWarmGivesUp(t *testing.T) {
	t.Parallel()
	const n = 40_000
	nodes := servers.Cluster(t, servers.Default(t), 3, 0, servers.Options{Args: []string{"--appendonly", "yes", "--appendfsync", "always", "--cluster-require-full-coverage", "no"}})
	path, good := records(t, n)
	file, rejects, target := filepath.Join(t.TempDir(), "run.journal"), filepath.Join(t.TempDir(), "rejects.ndjson"), "redis+cluster://"+nodes[0].Addr+","+nodes[1].Addr
	run := func(args ...string) (wait func() (answered, string)) {
		cmd, out := program(t, append(args, "-t", target, "-o", "json")...)
		var answer bytes.Buffer
		cmd.Stdout = &answer
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return func() (answered, string) {
			if cmd.Wait(); cmd.ProcessState.ExitCode() != 4 {
				t.Fatalf("exit %d\n%s", cmd.ProcessState.ExitCode(), out)
			}
			return summary(t, &answer), out.String()
		}
	}
	wait := run("warm", path, "--rejects", rejects, "--journal", file, "--rate", "4000/s", "--retry-for", "1s")
	doomed := redis.NewClient(&redis.Options{Addr: nodes[2].Addr})
	defer doomed.Close()
	eventually(t, "the run begins", func(ctx context.Context) bool { return doomed.DBSize(ctx).Val() > 500 })
	cutOff(t, nodes[2], false)
	got, out := wait()
	if got.Failed == 0 || got.Loaded+got.Failed >= int64(len(good)) || !strings.Contains(out, " to go on: cachectl warm --resume="+file) ||
		!strings.Contains(out, " not loaded: ") || !strings.Contains(out, " records (lines ") || !strings.Contains(out, ", nor what the source has behind them") {
		t.Errorf("%+v of %d\n%s", got, len(good), out)
	}
	t.Logf("%+v\n%s", got, out)
	nodes[2].Restart()
	got, out = run("warm", "--resume", file, "--rate", "100000/s", "--retry-for", "3m")()
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{nodes[0].Addr, nodes[1].Addr, nodes[2].Addr}})
	defer c.Close()
	whole(t, c, good)
	if bad := len(rejectedKeys(t, rejects)); got.Failed != 0 || bad != n-len(good) {
		t.Errorf("%+v, %d records are in the reject file\n%s", got, bad, out)
	}
}

package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// BenchmarkPace: what another client, which gets a key every millisecond, notices of
// a deletion of a fifth of the keyspace: nothing under way, ours at its default pace
// and as fast as can be, and redis-cli --scan piped to xargs redis-cli unlink.
func BenchmarkPace(b *testing.B) {
	program, cli := build(b), servers.Tool(b, "redis-cli")
	n := keys() * 5 / 2
	s := servers.Redis(b, servers.Default(b), servers.Options{})
	c := redis.NewClient(&redis.Options{Addr: s.Addr, ReadTimeout: time.Minute, PoolSize: 1})
	b.Cleanup(func() { c.Close() })
	host, port, _ := strings.Cut(s.Addr, ":")
	recipe := fmt.Sprintf("%[1]s -h %[2]s -p %[3]s --scan --pattern 'doomed:*' | xargs %[1]s -h %[2]s -p %[3]s unlink",
		strings.Join(cli, " "), host, port)
	rm := []string{program, "rm", "doomed:*", "-t", "redis://" + s.Addr, "--yes", "-q"}
	for _, load := range []struct {
		name    string
		command []string
	}{
		{"idle", []string{"sleep", "5"}},
		{"default", rm},
		{"max", append(rm[:len(rm):len(rm)], "--pace", "max")},
		{"xargs", []string{"sh", "-c", recipe}},
	} {
		b.Run(load.name, func(b *testing.B) {
			for range b.N {
				crowd(b, c, n)
				took, latencies := watch(b, c, exec.Command(load.command[0], load.command[1:]...))
				slices.Sort(latencies)
				at := func(share float64) time.Duration { return latencies[int(share*float64(len(latencies)-1))] }
				b.Logf("%s: %.1f s, %d GETs: median %v, p99 %v, p99.9 %v, worst %v", load.name, took.Seconds(), len(latencies), at(.5), at(.99), at(.999), at(1))
				b.ReportMetric(at(.99).Seconds()*1e3, "p99-ms")
				b.ReportMetric(took.Seconds(), "s")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}

// crowd writes what is missing of n keys, a fifth of them doomed.
func crowd(b *testing.B, c *redis.Client, n int) {
	b.Helper()
	const script = `for i=ARGV[1],ARGV[2] do
		local name = i % 5 == 0 and "doomed:" or "kept:"
		redis.call("set", name..i, "0123456789012345678901234567890123456789") end`
	for from := 0; from < n; from += 50_000 {
		if err := c.Eval(context.Background(), script, nil, from, min(from+50_000, n)-1).Err(); err != nil && err != redis.Nil {
			b.Fatal(err)
		}
	}
}

// watch gets random keys while cmd runs, one a millisecond, and returns how long each
// took from the moment it was due.
func watch(b *testing.B, c *redis.Client, cmd *exec.Cmd) (time.Duration, []time.Duration) {
	b.Helper()
	start := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var latencies []time.Duration
	for due := start; ; due = due.Add(time.Millisecond) {
		select {
		case err := <-ended:
			if err != nil {
				b.Fatal(err)
			}
			return time.Since(start), latencies
		default:
		}
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		}
		sent := time.Now()
		if err := c.Get(context.Background(), fmt.Sprintf("kept:%d", 5*rand.IntN(200_000)+1)).Err(); err != nil {
			b.Fatal(err)
		}
		// From its due time where the one before was late, without the clock's own grain.
		latencies = append(latencies, time.Since(sent)+max(0, sent.Sub(due)-time.Millisecond))
	}
}

package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// keys is how many the keyspace has; a quarter of them are sessions.
func keys() int {
	if n, err := strconv.Atoi(os.Getenv("BENCH_KEYS")); err == nil {
		return n
	}
	return 2_000_000
}

// build compiles the program as it ships.
func build(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "cachectl")
	if out, err := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "github.com/cachectl/cachectl/cmd/cachectl").CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// keyspace starts a server with the peers' data set in small: sessions, users,
// products and carts, most of them with a TTL.
func keyspace(b *testing.B, n int) (*servers.Server, *redis.Client) {
	b.Helper()
	s := servers.Redis(b, servers.Default(b), servers.Options{})
	c := redis.NewClient(&redis.Options{Addr: s.Addr, ReadTimeout: time.Minute})
	b.Cleanup(func() { c.Close() })
	fill(b, c, 0, n)
	return s, c
}

// fill writes the keys from..to-1 of the data set.
func fill(b *testing.B, c *redis.Client, from, to int) {
	b.Helper()
	const script = `for i=ARGV[1],ARGV[2] do
		local kind = i % 4
		if kind == 0 then redis.call("set", "session:"..i, "0123456789012345678901234567890123456789", "ex", 86400)
		elseif kind == 1 then redis.call("set", "user:"..i..":profile", "{\"id\":"..i.."}")
		elseif kind == 2 then redis.call("set", "product:"..i, "{\"price\":"..i.."}", "ex", 86400)
		else redis.call("rpush", "cart:"..i, "a", "b") end end`
	for ; from < to; from += 100_000 {
		if err := c.Eval(context.Background(), script, nil, from, min(from+100_000, to)-1).Err(); err != nil && err != redis.Nil {
			b.Fatal(err)
		}
	}
}

// A figure is what one run of a program took.
type figure struct {
	wall, cpu, server float64 // seconds; server is the server's own CPU
	rss               float64 // MiB
	lines             int
}

// run runs a program to its end and counts the lines it prints.
func run(b *testing.B, c *redis.Client, command []string, args ...string) figure {
	b.Helper()
	args = append(command[1:len(command):len(command)], args...)
	cmd := exec.Command(command[0], args...)
	var lines lineCounter
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &lines, &errs
	before, start := serverCPU(b, c), time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatalf("%s %q: %v\n%s", command[0], args, err, errs.String())
	}
	f := figure{wall: time.Since(start).Seconds(), server: serverCPU(b, c) - before, lines: int(lines)}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	f.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	f.rss = float64(usage.Maxrss) / 1024
	return f
}

type lineCounter int

func (l *lineCounter) Write(p []byte) (int, error) {
	*l += lineCounter(bytes.Count(p, []byte("\n")))
	return len(p), nil
}

var _ io.Writer = new(lineCounter)

func serverCPU(b *testing.B, c *redis.Client) float64 {
	b.Helper()
	info, err := c.Info(context.Background(), "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	sum := 0.0
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && (name == "used_cpu_user" || name == "used_cpu_sys") {
			n, _ := strconv.ParseFloat(value, 64)
			sum += n
		}
	}
	return sum
}

func median(all []figure, of func(figure) float64) float64 {
	var values []float64
	for _, f := range all {
		values = append(values, of(f))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// report prints both medians and their ratio, ours by the peer's. What the peer was not
// measured for is left out.
func report(b *testing.B, name string, ours, peer []figure) {
	for _, m := range []struct {
		name string
		of   func(figure) float64
	}{
		{"wall", func(f figure) float64 { return f.wall }},
		{"client-cpu", func(f figure) float64 { return f.cpu }},
		{"server-cpu", func(f figure) float64 { return f.server }},
	} {
		us, them := median(ours, m.of), median(peer, m.of)
		if them == 0 {
			continue
		}
		b.ReportMetric(us/them, name+"-"+m.name+"-ratio")
		b.Logf("%-10s ours %.3f s, %s %.3f s, ratio %.2f (medians of %d)", m.name, us, name, them, us/them, len(ours))
	}
	b.ReportMetric(median(ours, func(f figure) float64 { return f.rss }), "rss-MiB")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkList: every key that matches a pattern, keys only, beside
// redis-cli --scan with the same page size.
func BenchmarkList(b *testing.B) {
	program, cli := build(b), servers.Tool(b, "redis-cli") // the system's may be too old for --count
	n := keys()
	s, c := keyspace(b, n)
	host, port, _ := strings.Cut(s.Addr, ":")
	for _, pattern := range []struct {
		name, glob string
		hits       int
	}{{"quarter", "session:*", n / 4}, {"all", "*", n}, {"none", "nothing:*", 0}} {
		b.Run(fmt.Sprintf("%s-of-%d", pattern.name, n), func(b *testing.B) {
			var ours, peer []figure
			for range b.N {
				peer = append(peer, run(b, c, cli, "-h", host, "-p", port, "--scan", "--count", "1000", "--pattern", pattern.glob))
				ours = append(ours, run(b, c, []string{program}, "ls", pattern.glob, "-t", "redis://"+s.Addr, "--columns", "key", "--no-header"))
				for _, f := range []figure{ours[len(ours)-1], peer[len(peer)-1]} {
					if f.lines != pattern.hits {
						b.Fatalf("%d keys, want %d", f.lines, pattern.hits)
					}
				}
			}
			report(b, "redis-cli", ours, peer)
		})
	}
}

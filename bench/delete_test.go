package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// BenchmarkDelete: a quarter of the keyspace as fast as can be, beside the floor (a
// bare socket that sends the next SCAN with this page's UNLINK, and checks nothing),
// and beside what everybody does: redis-cli --scan piped to xargs redis-cli unlink.
// Every run deletes the same keys, which are written anew.
func BenchmarkDelete(b *testing.B) {
	program, cli := build(b), servers.Tool(b, "redis-cli")
	n := keys()
	s, c := keyspace(b, n)
	host, port, _ := strings.Cut(s.Addr, ":")
	recipe := fmt.Sprintf("%[1]s -h %[2]s -p %[3]s --scan --pattern 'session:*' | xargs %[1]s -h %[2]s -p %[3]s unlink | awk '{n+=$1} END {print n}'",
		strings.Join(cli, " "), host, port)
	var ours, floor, xargs []figure
	for range b.N {
		ours = append(ours, run(b, c, []string{program}, "rm", "session:*", "-t", "redis://"+s.Addr, "--yes", "--pace", "max", "-q"))
		restore(b, c, n)
		floor = append(floor, bare(b, c, s.Addr))
		restore(b, c, n)
		xargs = append(xargs, run(b, c, []string{"sh", "-c", recipe}))
		restore(b, c, n)
	}
	report(b, "floor", ours, floor)
	report(b, "xargs", ours, xargs)
}

// restore makes sure that the sessions are gone, and writes them again.
func restore(b *testing.B, c *redis.Client, n int) {
	b.Helper()
	if left := c.DBSize(context.Background()).Val(); left != int64(n-(n+3)/4) {
		b.Fatalf("%d keys are left of %d", left, n)
	}
	fill(b, c, 0, n)
}

// bare is the floor.
func bare(b *testing.B, c *redis.Client, addr string) figure {
	b.Helper()
	before, start := serverCPU(b, c), time.Now()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	in, out := bufio.NewReaderSize(conn, 64<<10), []byte(nil)
	line := func() string {
		text, err := in.ReadString('\n')
		if err != nil {
			b.Fatal(err)
		}
		return strings.TrimSpace(text)
	}
	scan := func(cursor string) {
		out = fmt.Appendf(out, "*6\r\n$4\r\nscan\r\n$%d\r\n%s\r\n$5\r\nmatch\r\n$9\r\nsession:*\r\n$5\r\ncount\r\n$4\r\n1000\r\n", len(cursor), cursor)
	}
	scan("0")
	for unlinked := false; ; {
		if _, err := conn.Write(out); err != nil {
			b.Fatal(err)
		}
		out = out[:0]
		if unlinked {
			line() // of UNLINK, which was sent in front of the SCAN
		}
		line()
		line()
		cursor := line()
		keys, _ := strconv.Atoi(line()[1:])
		if unlinked = keys > 0; unlinked {
			out = fmt.Appendf(out, "*%d\r\n$6\r\nunlink\r\n", keys+1)
		}
		for range keys {
			size, _ := strconv.Atoi(line()[1:])
			body := make([]byte, size+2)
			if _, err := io.ReadFull(in, body); err != nil {
				b.Fatal(err)
			}
			out = append(fmt.Appendf(out, "$%d\r\n", size), body...)
		}
		if cursor == "0" {
			conn.Write(out)
			if unlinked {
				line()
			}
			break
		}
		scan(cursor)
	}
	return figure{wall: time.Since(start).Seconds(), server: serverCPU(b, c) - before}
}

// BenchmarkDeleteCluster: the same on one master and on three, with keys that are
// spread evenly.
func BenchmarkDeleteCluster(b *testing.B) {
	program := build(b)
	n := keys()
	for _, masters := range []int{1, 3} {
		b.Run(fmt.Sprintf("masters-%d", masters), func(b *testing.B) {
			nodes := servers.Cluster(b, servers.Default(b), masters, 0, servers.Options{})
			c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{nodes[0].Addr}})
			b.Cleanup(func() { c.Close() })
			wall := 0.0
			for range b.N {
				spread(b, c, n)
				cmd := exec.Command(program, "rm", "session:*", "-t", "redis+cluster://"+nodes[0].Addr, "--yes", "--pace", "max", "-q")
				start := time.Now()
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%v\n%s", err, out)
				}
				wall += time.Since(start).Seconds()
			}
			b.ReportMetric(float64(n/4*b.N)/wall, "deleted/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func spread(b *testing.B, c *redis.ClusterClient, n int) {
	b.Helper()
	for from := 0; from < n; from += 10_000 {
		pipe := c.Pipeline()
		for i := from; i < min(from+10_000, n); i++ {
			name := "user:" + strconv.Itoa(i)
			if i%4 == 0 {
				name = "session:" + strconv.Itoa(i)
			}
			pipe.Set(context.Background(), name, "0123456789012345678901234567890123456789", 0)
		}
		if _, err := pipe.Exec(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

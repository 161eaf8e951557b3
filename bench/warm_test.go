package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
	cacheredis "github.com/cachectl/cachectl/backends/redis"
	"github.com/cachectl/cachectl/backends/source"
)

// warmBatch is how many records the loader gets at a time.
const warmBatch = 500

// BenchmarkWarm: 2,000,000 SETs of 100 bytes, from the commands of "redis-cli --pipe" and
// from NDJSON, beside redis-cli that reads the same commands. Each loads an empty server.
// The reader of the records and the loader run in a process of their own, as the program
// would run them; and the program itself runs, with its journal and its watch of the memory.
func BenchmarkWarm(b *testing.B) {
	if file := os.Getenv("BENCH_WARM_FILE"); file != "" {
		warmHere(b, file, os.Getenv("BENCH_WARM_TARGET"))
		return
	}
	n := keys()
	resp, ndjson := warmFiles(b, n)
	s := servers.Redis(b, servers.Default(b), servers.Options{})
	c := redis.NewClient(&redis.Options{Addr: s.Addr, ReadTimeout: time.Minute})
	b.Cleanup(func() { c.Close() })
	cli := servers.Tool(b, "redis-cli")
	host, port, _ := strings.Cut(s.Addr, ":")
	recipe := fmt.Sprintf("%s -h %s -p %s --pipe < %s", strings.Join(cli, " "), host, port, resp)
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	empty := func() {
		b.Helper()
		if got := c.DBSize(context.Background()).Val(); got != int64(n) && got != 0 {
			b.Fatalf("%d keys, want %d", got, n)
		}
		if err := c.FlushAll(context.Background()).Err(); err != nil {
			b.Fatal(err)
		}
	}
	ours := func(file string) figure {
		empty()
		return run(b, c, []string{"env", "BENCH_WARM_FILE=" + file, "BENCH_WARM_TARGET=redis://" + s.Addr, self}, "-test.run", "^$", "-test.bench", "^BenchmarkWarm$", "-test.benchtime", "1x")
	}
	program := build(b)
	warm := func(file string) figure {
		empty()
		return run(b, c, []string{program}, "warm", file, "-t", "redis://"+s.Addr, "--pace", "max", "-q", "--journal", filepath.Join(b.TempDir(), "run.journal"))
	}
	var fromRESP, fromNDJSON, warmRESP, warmNDJSON, peer []figure
	for range b.N {
		empty()
		peer = append(peer, run(b, c, []string{"sh", "-c", recipe}))
		fromRESP = append(fromRESP, ours(resp))
		fromNDJSON = append(fromNDJSON, ours(ndjson))
		warmRESP = append(warmRESP, warm(resp))
		warmNDJSON = append(warmNDJSON, warm(ndjson))
	}
	report(b, "redis-cli", fromRESP, peer)
	report(b, "redis-cli-from-ndjson", fromNDJSON, peer)
	report(b, "redis-cli-warm", warmRESP, peer)
	report(b, "redis-cli-warm-ndjson", warmNDJSON, peer)
	b.ReportMetric(median(fromRESP, func(f figure) float64 { return f.rss }), "rss-MiB")
	b.ReportMetric(median(fromNDJSON, func(f figure) float64 { return f.rss }), "ndjson-rss-MiB")
}

// BenchmarkWarmCluster: the same commands into one master and into three, which redis-cli
// cannot do. On a machine of two cores three servers and the loader share these.
func BenchmarkWarmCluster(b *testing.B) {
	n := keys()
	resp, _ := warmFiles(b, n)
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	for _, masters := range []int{1, 3} {
		b.Run(fmt.Sprintf("masters-%d", masters), func(b *testing.B) {
			nodes := servers.Cluster(b, servers.Default(b), masters, 0, servers.Options{})
			c := redis.NewClient(&redis.Options{Addr: nodes[0].Addr, ReadTimeout: time.Minute})
			b.Cleanup(func() { c.Close() })
			var all []figure
			for range b.N {
				for _, s := range nodes {
					node := redis.NewClient(&redis.Options{Addr: s.Addr, ReadTimeout: time.Minute})
					if err := errors.Join(node.FlushAll(context.Background()).Err(), node.Close()); err != nil {
						b.Fatal(err)
					}
				}
				all = append(all, run(b, c, []string{"env", "BENCH_WARM_FILE=" + resp, "BENCH_WARM_TARGET=redis+cluster://" + nodes[0].Addr, self}, "-test.run", "^$", "-test.bench", "^BenchmarkWarm$", "-test.benchtime", "1x"))
			}
			b.ReportMetric(float64(n)/median(all, func(f figure) float64 { return f.wall }), "records/s")
			b.ReportMetric(median(all, func(f figure) float64 { return f.cpu }), "client-cpu-s")
			b.ReportMetric(median(all, func(f figure) float64 { return f.rss }), "rss-MiB")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// warmHere loads a file once.
func warmHere(b *testing.B, file, target string) {
	b.Helper()
	f, err := os.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var items source.Stream
	if strings.HasSuffix(file, ".resp") {
		items = source.RESP(f, source.RESPOptions{}, source.Options{})
	} else {
		items = source.NDJSON(f, nil, source.Options{})
	}
	u, err := url.Parse(target)
	if err != nil {
		b.Fatal(err)
	}
	to, err := cacheredis.Open(context.Background(), u)
	if err != nil {
		b.Fatal(err)
	}
	defer to.Close()
	start, n := time.Now(), 0
	for r, err := range to.(backends.Loader).Load(context.Background(), warming(b, items), backends.LoadOptions{Replace: true}) {
		if err != nil {
			b.Fatal(err)
		}
		for _, o := range r.Outcomes {
			if o.Did != backends.Loaded {
				b.Fatalf("%+v", o)
			}
		}
		n += len(r.Outcomes)
	}
	b.ReportMetric(float64(n)/time.Since(start).Seconds(), "records/s")
}

// warming makes batches of a source.
func warming(b *testing.B, items source.Stream) iter.Seq2[[]backends.Record, error] {
	return func(yield func([]backends.Record, error) bool) {
		batch := make([]backends.Record, 0, warmBatch)
		for it, err := range items {
			if err != nil {
				b.Error(err)
				return
			}
			if batch = append(batch, it.Record); len(batch) == warmBatch {
				if !yield(batch, nil) {
					return
				}
				batch = make([]backends.Record, 0, warmBatch)
			}
		}
		yield(batch, nil)
	}
}

// warmFiles writes the same n strings as commands and as NDJSON.
func warmFiles(b *testing.B, n int) (resp, ndjson string) {
	b.Helper()
	value := strings.Repeat("0123456789", 10)
	write := func(name string, each func(w *bufio.Writer, i int)) string {
		path := filepath.Join(b.TempDir(), name)
		f, err := os.Create(path)
		if err != nil {
			b.Fatal(err)
		}
		w := bufio.NewWriterSize(f, 1<<20)
		for i := range n {
			each(w, i)
		}
		if err := errors.Join(w.Flush(), f.Close()); err != nil {
			b.Fatal(err)
		}
		return path
	}
	resp = write("keys.resp", func(w *bufio.Writer, i int) {
		key := "user:" + strconv.Itoa(i)
		fmt.Fprintf(w, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(key), key, len(value), value)
	})
	ndjson = write("keys.ndjson", func(w *bufio.Writer, i int) {
		fmt.Fprintf(w, "{\"key\":\"user:%d\",\"value\":\"%s\"}\n", i, value)
	})
	return resp, ndjson
}

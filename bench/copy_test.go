package bench

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
	"github.com/cachectl/cachectl/backends/memcached"
	cacheredis "github.com/cachectl/cachectl/backends/redis"
)

// copyAhead is how many pages are dumped at a time.
const copyAhead = 4

// copied copies everything, and counts what was loaded.
func copied(b *testing.B, from, to backends.Backend, export bool) (loaded int) {
	b.Helper()
	ctx := context.Background()
	read, portable, err := backends.Reading(ctx, from, to)
	if err != nil {
		b.Fatal(err)
	}
	if portable != export {
		if !export {
			b.Fatal("records of one version are said to be of two formats")
		}
		read = from.(backends.Exporter).Export
	}
	pages := from.(backends.Scanner).Scan(ctx, backends.Query{Count: 1000})
	var batches iter.Seq2[[]backends.Record, error] = func(yield func([]backends.Record, error) bool) {
		for d, err := range backends.DumpAhead(ctx, pages, copyAhead, read) {
			if !yield(d.Records, err) {
				return
			}
		}
	}
	for r, err := range to.(backends.Loader).Load(ctx, batches, backends.LoadOptions{}) {
		if backends.Ends(err) {
			b.Fatal(err)
		} else if err != nil {
			b.Log(err)
		}
		for _, o := range r.Outcomes {
			switch o.Did {
			case backends.Loaded:
				loaded++
			case backends.Failed:
				b.Fatalf("%+v", o)
			}
		}
	}
	return loaded
}

func opened(b *testing.B, scheme, addr string) backends.Backend {
	b.Helper()
	u, open := &url.URL{Scheme: scheme, Host: addr}, cacheredis.Open
	if scheme == "memcached" {
		open = memcached.Open
	}
	c, err := open(context.Background(), u)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}

// mixed writes keys of all types: half strings, the rest hashes, lists, sets, sorted sets
// and streams; half with a TTL, and some fields of hashes where the server has these.
const mixed = `for i=ARGV[1],ARGV[2] do
	local k, kind = "key:"..i, i % 20
	local v = redis.sha1hex(i)..redis.sha1hex(i+1)
	if kind < 10 then redis.call("set", k, v)
	elseif kind < 13 then redis.call("hset", k, "name", v, "mail", v, "count", i)
		if kind == 12 and ARGV[3] == "1" then redis.call("hpexpire", k, 7200000, "fields", 1, "mail") end
	elseif kind < 15 then redis.call("rpush", k, v, i, v, "c")
	elseif kind < 17 then redis.call("sadd", k, v, i, "c")
	elseif kind < 19 then redis.call("zadd", k, i, v, i / 3, "b")
	else redis.call("xadd", k, "1-1", "field", v) redis.call("xadd", k, "2-1", "field", i) end
	if i % 2 == 0 then redis.call("pexpire", k, 3600000 + i) end
end`

// BenchmarkCopy: 1,000,000 mixed keys from one server to another of the same version, by
// Dump and by Export, beside one key a round trip (PTTL and DUMP, then RESTORE), which is
// measured on a part of the keys. Afterwards both servers have the same DEBUG DIGEST.
func BenchmarkCopy(b *testing.B) {
	n := items()
	v := servers.Redises(b)[1]
	o := servers.Options{Args: []string{"--enable-debug-command", "yes"}}
	from, to := servers.Redis(b, v, o), servers.Redis(b, v, o)
	ctx := context.Background()
	a := redis.NewClient(&redis.Options{Addr: from.Addr, ReadTimeout: time.Minute})
	z := redis.NewClient(&redis.Options{Addr: to.Addr, ReadTimeout: time.Minute})
	b.Cleanup(func() { a.Close(); z.Close() })
	fields := "1"
	if err := a.Do(ctx, "hpexpire", "none", 1, "fields", 1, "f").Err(); err != nil && !strings.Contains(err.Error(), "no such key") && strings.Contains(err.Error(), "unknown command") {
		fields = "0"
	}
	for at := 0; at < n; at += 20_000 {
		if err := a.Eval(ctx, mixed, nil, at, min(at+20_000, n)-1, fields).Err(); err != nil && err != redis.Nil {
			b.Fatal(err)
		}
	}
	digest := a.Do(ctx, "debug", "digest").String()
	digest = digest[strings.LastIndexByte(digest, ' '):]
	speed := make(map[string][]figure)
	for range b.N {
		for _, how := range []string{"dump", "export"} {
			if err := z.FlushAll(ctx).Err(); err != nil {
				b.Fatal(err)
			}
			source, target := opened(b, "redis", from.Addr), opened(b, "redis", to.Addr)
			sourceCPU, targetCPU := serverCPU(b, a), serverCPU(b, z)
			f := measured(func() {
				if got := copied(b, source, target, how == "export"); got != n {
					b.Fatalf("%d keys of %d", got, n)
				}
			})
			speed[how] = append(speed[how], f)
			b.Logf("%-7s CPU: source %.2f s, target %.2f s, client %.2f s; wall %.2f s; peak RSS of the benchmark %.0f MiB",
				how, serverCPU(b, a)-sourceCPU, serverCPU(b, z)-targetCPU, f.cpu, f.wall, f.rss)
			if got := z.Do(ctx, "debug", "digest").String(); !strings.HasSuffix(got, digest) {
				b.Fatalf("by %s: the copy is another: %s, want %s", how, got, digest)
			}
		}
		if err := z.FlushAll(ctx).Err(); err != nil {
			b.Fatal(err)
		}
		part := min(n, 30_000)
		sourceCPU, targetCPU := serverCPU(b, a), serverCPU(b, z)
		f := measured(func() { oneByOne(b, a, z, part) })
		b.Logf("one by one, %d keys: CPU: source %.2f s, target %.2f s, client %.2f s; wall %.2f s", part, serverCPU(b, a)-sourceCPU, serverCPU(b, z)-targetCPU, f.cpu, f.wall)
		f.wall, f.cpu = f.wall*float64(n)/float64(part), f.cpu*float64(n)/float64(part)
		speed["one"] = append(speed["one"], f)
	}
	for _, how := range []string{"dump", "export", "one"} {
		wall := median(speed[how], func(f figure) float64 { return f.wall })
		b.ReportMetric(float64(n)/wall, how+"-keys/s")
		b.Logf("%-7s %.2f s, client CPU %.2f s", how, wall, median(speed[how], func(f figure) float64 { return f.cpu }))
	}
	b.ReportMetric(0, "ns/op")
}

// measured is what f costs this process.
func measured(f func()) figure {
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	start := time.Now()
	f()
	wall := time.Since(start).Seconds()
	syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	used := func(u *syscall.Rusage) float64 {
		return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
	}
	return figure{wall: wall, cpu: used(&after) - used(&before), rss: float64(after.Maxrss) / 1024}
}

// oneByOne copies n keys, each by three round trips.
func oneByOne(b *testing.B, from, to *redis.Client, n int) {
	b.Helper()
	ctx := context.Background()
	for i := range n {
		key := fmt.Sprint("key:", i)
		ttl, err := from.PTTL(ctx, key).Result()
		if err != nil {
			b.Fatal(err)
		}
		value, err := from.Dump(ctx, key).Result()
		if err != nil {
			b.Fatal(err)
		}
		if err := to.Restore(ctx, key, max(ttl, 0), value).Err(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCopyMemcached: 1,000,000 items of 100 bytes, beside "memcached-tool dump",
// which asks for one key at a time and puts nothing anywhere.
func BenchmarkCopyMemcached(b *testing.B) {
	n := items()
	for _, v := range servers.Memcacheds(b) {
		b.Run(v.Name, func(b *testing.B) {
			o := servers.Options{Args: []string{"-m", "2048"}}
			from, to := servers.Memcached(b, v, o), servers.Memcached(b, v, o)
			store(b, from, "item", n)
			var all []figure
			for i := range b.N {
				if i > 0 {
					to = servers.Memcached(b, v, o)
				}
				source, target := opened(b, "memcached", from.Addr), opened(b, "memcached", to.Addr)
				sourceCPU, targetCPU := memcachedCPU(b, from.Addr), memcachedCPU(b, to.Addr)
				f := measured(func() {
					if got := copied(b, source, target, false); got != n {
						b.Fatalf("%d items of %d", got, n)
					}
				})
				all = append(all, f)
				b.Logf("CPU: source %.2f s, target %.2f s, client %.2f s; wall %.2f s; peak RSS of the benchmark %.0f MiB",
					memcachedCPU(b, from.Addr)-sourceCPU, memcachedCPU(b, to.Addr)-targetCPU, f.cpu, f.wall, f.rss)
			}
			wall := median(all, func(f figure) float64 { return f.wall })
			b.ReportMetric(float64(n)/wall, "items/s")
			b.ReportMetric(median(all, func(f figure) float64 { return f.cpu }), "client-cpu-s")
			tool := toolDump(b, from.Addr, n)
			b.ReportMetric(tool, "tool-items/s")
			b.ReportMetric(float64(n)/wall/tool, "times-tool")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// memcachedCPU is what a server has used so far, in seconds.
func memcachedCPU(b *testing.B, addr string) (sum float64) {
	b.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "stats\r\nquit\r\n")
	all, err := io.ReadAll(c)
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(all)) {
		if words := strings.Fields(line); len(words) == 3 && strings.HasPrefix(words[1], "rusage_") {
			n, _ := strconv.ParseFloat(words[2], 64)
			sum += n
		}
	}
	return sum
}

// toolDump is how many items a second memcached-tool dumps, to nowhere. It walks the LRU
// lists, and may miss some.
func toolDump(b *testing.B, addr string, n int) float64 {
	b.Helper()
	const tool = "/usr/share/memcached/scripts/memcached-tool" // of Debian's package
	start := time.Now()
	out, err := exec.Command("sh", "-c", fmt.Sprintf("perl %s %s dump | grep -c '^add '", tool, addr)).Output()
	wall := time.Since(start).Seconds()
	got, _ := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil || got < n*99/100 {
		b.Fatalf("%d items of %d, %v", got, n, err)
	}
	return float64(got) / wall
}

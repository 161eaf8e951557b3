package memcached

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// rawDrain reads a dump as fast as it comes and looks at nothing but its end.
func rawDrain(t testing.TB, s *servers.Server, mode crawlMode) (lines int, took time.Duration) {
	t.Helper()
	r := dialRaw(t, s)
	defer r.Close()
	buffer, tail := make([]byte, 256<<10), []byte(nil)
	began := time.Now()
	r.SetDeadline(began.Add(time.Minute))
	fmt.Fprintf(r, "lru_crawler metadump %s\r\n", mode)
	for !bytes.HasSuffix(tail, []byte("END\r\n")) {
		n, err := r.Conn.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.HasPrefix(buffer[:n], []byte("ERROR locked")) { // while its hash table grows, 1.6.38 says this and no END
			time.Sleep(300 * time.Millisecond)
			return rawDrain(t, s, mode)
		}
		lines += bytes.Count(buffer[:n], []byte{'\n'})
		tail = lastBytes(tail, buffer[:n], 5)
	}
	return lines - 1, time.Since(began)
}

func scanAll(t testing.TB, c *cache, want backends.Facts) (keys map[string]struct{}, n int, took time.Duration) {
	t.Helper()
	var pages [][]backends.Entry
	began := time.Now()
	for page, err := range c.Scan(context.Background(), backends.Query{Want: want}) {
		if backends.Ends(err) {
			t.Fatal(err)
		}
		n += len(page.Entries)
		pages = append(pages, page.Entries)
	}
	took = time.Since(began)
	keys = make(map[string]struct{}, n)
	for _, page := range pages {
		for _, e := range page {
			keys[e.Key] = struct{}{}
		}
	}
	return keys, n, took
}

const listFacts = backends.FactTTL | backends.FactSize | backends.FactIdle | backends.FactElements

// median of an odd number of runs.
func median(runs []time.Duration) time.Duration {
	slices.Sort(runs)
	return runs[len(runs)/2]
}

// TestListingKeepsUpWithTheServer: every key, while four clients hammer 1,000
// of them, in not much more time than draining the same dump takes. The short
// run is too short to hold a clock to it.
func TestListingKeepsUpWithTheServer(t *testing.T) {
	keys, rounds := 50_000, 1
	if long() {
		keys, rounds = 1_000_000, 5
	}
	for _, v := range servers.Memcacheds(t) {
		t.Run(v.Name, func(t *testing.T) {
			mode := profile{version: parseVersion(v.Number)}.mode()
			s := start(t, v, "-m", "1024")
			dialRaw(t, s).fill("k", keys, 100)
			c := openURL(t, target(s))
			clients := startProbe(t, s, 4, 1000)
			var raw, ours []time.Duration
			for range rounds {
				drained, took := rawDrain(t, s, mode)
				raw = append(raw, took)
				runtime.GC()
				got, n, took := scanAll(t, c, listFacts)
				ours = append(ours, took)
				t.Logf("raw %d lines in %v, listed %d keys (%d lines) in %v", drained, raw[len(raw)-1], len(got), n, took)
				if mode == byHash && len(got) != keys {
					t.Errorf("%d of %d keys", len(got), keys)
				}
				if len(got) < keys*8/10 {
					t.Errorf("%d of %d keys, even for a walk of the LRU", len(got), keys)
				}
			}
			p99, worst, _ := clients.end()
			ratio := float64(median(ours)) / float64(median(raw))
			t.Logf("%s: listing takes %.2f times a raw drain; clients' p99 %v, worst %v", v, ratio, p99, worst)
			if long() && mode == byHash && ratio > 1.6 {
				t.Errorf("%.2f times a raw drain, want 1.6 at most", ratio)
			}
		})
	}
}

// TestSlowConsumer: the server is done with the dump long before its reader is,
// and memory stays within the bound.
func TestSlowConsumer(t *testing.T) {
	v := servers.Memcacheds(t)[1]
	s := start(t, v, "-m", "256")
	dialRaw(t, s).fill("k", 50_000, 10)
	c := openURL(t, target(s))
	c.limits.memory = 256 << 10
	r := dialRaw(t, s)
	n := 0
	for page, err := range c.Scan(t.Context(), backends.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 { // one page, and then nothing for a while
			time.Sleep(500 * time.Millisecond)
			if line := r.do("lru_crawler metadump 63"); line != "END" {
				t.Errorf("the crawler says %q: the dump waits for its reader", line)
			}
		}
		n += len(page.Entries)
	}
	if n != 50_000 {
		t.Errorf("%d keys", n)
	}
}

// BenchmarkListing reports what listing costs over draining: the metric "x-raw".
func BenchmarkListing(b *testing.B) {
	v := servers.Memcacheds(b)[1]
	const keys = 200_000
	s := start(b, v, "-m", "1024")
	dialRaw(b, s).fill("k", keys, 100)
	c := openURL(b, target(s))
	var raw, ours time.Duration
	for b.Loop() {
		_, took := rawDrain(b, s, byHash)
		raw += took
		_, n, took := scanAll(b, c, listFacts)
		ours += took
		if n != keys {
			b.Fatal(n)
		}
	}
	b.ReportMetric(float64(ours)/float64(raw), "x-raw")
	b.ReportMetric(float64(keys)*float64(b.N)/ours.Seconds(), "keys/s")
}

// BenchmarkParseDumpLine is the inner loop of listing.
func BenchmarkParseDumpLine(b *testing.B) {
	line := []byte("key=user%3A0000017%3Aprofile exp=1795383519 la=1795383459 cas=2345678 fetch=no cls=5 size=178 flags=0 ext_page=0 ext_offset=3098343 ")
	var it item
	var scratch []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if scratch, err = parseDumpLine(line, &it, scratch); err != nil {
			b.Fatal(err)
		}
	}
}

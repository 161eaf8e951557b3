package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
	"github.com/cachectl/cachectl/backends/memcached"
)

// items is how many the memcached of a benchmark has; a tenth of them is to go.
func items() int {
	if n, err := strconv.Atoi(os.Getenv("BENCH_KEYS")); err == nil {
		return n
	}
	return 1_000_000
}

// store writes n items of 100 bytes and waits until they are there.
func store(b *testing.B, s *servers.Server, name string, n int) {
	b.Helper()
	c, err := net.Dial("tcp", s.Addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	var all bytes.Buffer
	value := bytes.Repeat([]byte("x"), 100)
	for i := range n {
		fmt.Fprintf(&all, "ms %s:%08d 100 q\r\n%s\r\n", name, i, value)
		if all.Len() > 1<<20 || i == n-1 {
			all.WriteString("mn\r\n")
			if _, err := all.WriteTo(c); err != nil {
				b.Fatal(err)
			}
			var answer [4]byte
			if _, err := c.Read(answer[:]); err != nil || string(answer[:]) != "MN\r\n" {
				b.Fatalf("%q, %v", answer, err)
			}
		}
	}
}

// A deletion is one run of both.
type deletion struct{ ours, peer, walk, both float64 } // keys a second

// BenchmarkDeleteMemcached: a tenth of the items, which a prefix names, beside
// gomemcache's Delete of as many others, one by one. The ratio is of deleting;
// the walk that finds the keys has a rate of its own, in items a second, and
// "both" is the two as they run, one into the other, in keys a second.
func BenchmarkDeleteMemcached(b *testing.B) {
	n := items()
	for _, v := range servers.Memcacheds(b) {
		b.Run(fmt.Sprintf("%s/%d-of-%d", v, n/10, n), func(b *testing.B) {
			s := servers.Memcached(b, v, servers.Options{Args: []string{"-m", "2048"}})
			store(b, s, "product", n-3*(n/10))
			u := &url.URL{Scheme: "memcached", Host: s.Addr}
			target, err := memcached.Open(context.Background(), u)
			if err != nil {
				b.Fatal(err)
			}
			defer target.Close()
			peer := memcache.New(s.Addr)
			defer peer.Close()
			peer.Timeout = 10 * time.Second
			var runs []deletion
			for range b.N {
				for _, name := range []string{"session", "cart", "user"} {
					store(b, s, name, n/10)
				}
				time.Sleep(2 * time.Second) // so that the LRU's lists, which old servers walk, stand still
				runs = append(runs, deletion{peer: deleteByPeer(b, peer, n/10)})
				last := &runs[len(runs)-1]
				last.walk, last.ours = deleteApart(b, target, n)
				last.both = deleteTogether(b, target, n/10)
			}
			reportDeletion(b, runs)
		})
	}
}

// deleteByPeer is what a script does today.
func deleteByPeer(b *testing.B, peer *memcache.Client, n int) float64 {
	b.Helper()
	began := time.Now()
	for i := range n {
		if err := peer.Delete(fmt.Sprintf("user:%08d", i)); err != nil {
			b.Fatal(err)
		}
	}
	return float64(n) / time.Since(began).Seconds()
}

// deleteApart walks first and deletes then, and tells the rate of each.
func deleteApart(b *testing.B, target backends.Backend, n int) (walk, ours float64) {
	b.Helper()
	var pages []backends.Page
	found := 0
	began := time.Now()
	for page, err := range target.(backends.Scanner).Scan(context.Background(), backends.Query{Match: "session:*"}) {
		if backends.Ends(err) {
			b.Fatal(err)
		}
		if len(page.Entries) > 0 {
			pages = append(pages, page)
			found += len(page.Entries)
		}
	}
	walked := time.Since(began)
	source := func(yield func(backends.Page, error) bool) {
		for _, page := range pages {
			if !yield(page, nil) {
				return
			}
		}
	}
	began = time.Now()
	deleted := count(b, target, source)
	took := time.Since(began)
	if deleted != found || found < n/10*9/10 {
		b.Fatalf("%d deleted of %d found of %d", deleted, found, n/10)
	}
	return float64(n) / walked.Seconds(), float64(deleted) / took.Seconds()
}

// deleteTogether deletes while it walks.
func deleteTogether(b *testing.B, target backends.Backend, n int) float64 {
	b.Helper()
	began := time.Now()
	deleted := count(b, target, target.(backends.Scanner).Scan(context.Background(), backends.Query{Match: "cart:*"}))
	if deleted < n*9/10 || deleted > n {
		b.Fatalf("%d of %d", deleted, n)
	}
	return float64(deleted) / time.Since(began).Seconds()
}

func count(b *testing.B, target backends.Backend, pages func(func(backends.Page, error) bool)) (deleted int) {
	b.Helper()
	for result, err := range target.(backends.Deleter).Delete(context.Background(), pages) {
		var notice *backends.Notice
		if err != nil && !errors.As(err, &notice) {
			b.Fatal(err)
		}
		for _, o := range result.Outcomes {
			if o.Did != backends.Deleted {
				b.Fatalf("%q: %s, %v", o.Key, o.Did, o.Err)
			}
			deleted++
		}
	}
	return deleted
}

func reportDeletion(b *testing.B, runs []deletion) {
	median := func(of func(deletion) float64) float64 {
		var all []float64
		for _, r := range runs {
			all = append(all, of(r))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	ours, peer := median(func(d deletion) float64 { return d.ours }), median(func(d deletion) float64 { return d.peer })
	walk, both := median(func(d deletion) float64 { return d.walk }), median(func(d deletion) float64 { return d.both })
	b.ReportMetric(ours/peer, "x-gomemcache")
	b.ReportMetric(ours, "keys/s")
	b.ReportMetric(0, "ns/op")
	b.Logf("delete: ours %.0f keys/s, gomemcache %.0f keys/s, ratio %.1f; walk %.0f items/s; walk and delete in one %.0f keys/s (medians of %d)",
		ours, peer, ours/peer, walk, both, len(runs))
}

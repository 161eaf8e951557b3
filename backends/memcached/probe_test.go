package memcached

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// childTarget makes this test binary list a server's keys and nothing else.
const childTarget = "CACHECTL_TEST_LIST"

// child lists keys like a slow command would, and tells how many there were.
func child(target string) {
	defer HoldStops()()
	u, err := url.Parse(target)
	if err != nil {
		panic(err)
	}
	b, err := Open(context.Background(), u)
	if err != nil {
		panic(err)
	}
	defer b.Close()
	n := 0
	for page, err := range b.(backends.Scanner).Scan(context.Background(), backends.Query{}) {
		if backends.Ends(err) {
			fmt.Println("error", err)
			return
		}
		if n == 0 && len(page.Entries) > 0 {
			fmt.Println("begun")
		}
		n += len(page.Entries)
	}
	fmt.Println("keys", n)
}

// long tells whether the tests that take a minute are wanted.
func long() bool { return os.Getenv("CACHECTL_LONG") == "1" }

// A probe is clients that read keys one by one and note how long each takes.
type probe struct {
	stop    atomic.Bool
	running sync.WaitGroup
	mu      sync.Mutex
	took    []time.Duration
}

func startProbe(t testing.TB, s *servers.Server, clients, keys int) *probe {
	t.Helper()
	p := new(probe)
	for i := range clients {
		r := dialRaw(t, s)
		p.running.Go(func() {
			var mine []time.Duration
			for n := i; !p.stop.Load(); n++ {
				began := time.Now()
				r.SetDeadline(began.Add(20 * time.Second))
				fmt.Fprintf(r, "mg k:%07d v\r\n", n%keys)
				line, err := r.r.ReadString('\n')
				if err == nil && strings.HasPrefix(line, "VA") {
					_, err = r.r.ReadString('\n')
				}
				if err != nil {
					t.Errorf("a client: %v", err)
					return
				}
				mine = append(mine, time.Since(began))
			}
			p.mu.Lock()
			p.took = append(p.took, mine...)
			p.mu.Unlock()
		})
	}
	return p
}

// end stops the clients, and tells their 99th percentile and the worst.
func (p *probe) end() (p99, worst time.Duration, n int) {
	p.stop.Store(true)
	p.running.Wait()
	if len(p.took) == 0 {
		return 0, 0, 0
	}
	slices.Sort(p.took)
	return p.took[len(p.took)*99/100], p.took[len(p.took)-1], len(p.took)
}

package memcached

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

func manyRecords(n, size int) []backends.Record {
	records := make([]backends.Record, n)
	for i := range records {
		records[i] = backends.Record{Key: fmt.Sprintf("k:%d", i), Form: backends.FormString, Value: bytes.Repeat([]byte("v"), size)}
	}
	return records
}

// loadInOrder loads records in batches of n, and holds that each has one outcome, in
// order. see is called with each result's number.
func loadInOrder(t *testing.T, ctx context.Context, c *cache, records []backends.Record, n int, see func(int)) (did map[backends.Verb]int, end error) {
	t.Helper()
	did = make(map[backends.Verb]int)
	source := func(yield func([]backends.Record, error) bool) {
		for batch := range slices.Chunk(records, n) {
			if !yield(batch, nil) {
				return
			}
		}
	}
	at, results := 0, 0
	for r, err := range c.Load(ctx, source, backends.LoadOptions{}) {
		if err != nil {
			end = err
			continue
		}
		for _, o := range r.Outcomes {
			if at >= len(records) || o.Key != records[at].Key || o.Did == "" || (o.Did == backends.Failed) != (o.Err != nil) {
				t.Fatalf("outcome %d is %+v", at, o)
			}
			did[o.Did]++
			at++
		}
		if results++; see != nil {
			see(results)
		}
	}
	return did, end
}

// cutter passes connections on to a server, and cuts each behind most bytes of requests
// while on is set.
func cutter(t *testing.T, to string, most int64) (addr string, on *atomic.Bool, cuts *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	on, cuts = new(atomic.Bool), new(atomic.Int64)
	var running sync.WaitGroup
	var open sync.Map
	running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			open.Store(in, nil)
			open.Store(out, nil)
			running.Go(func() {
				defer in.Close()
				io.Copy(in, out)
			})
			running.Go(func() {
				defer out.Close()
				if !on.Load() {
					io.Copy(out, in)
					return
				}
				if n, _ := io.CopyN(out, in, most); n == most {
					cuts.Add(1)
				}
				in.Close()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
		running.Wait()
	})
	return l.Addr().String(), on, cuts
}

// TestLoadOverCutConnections: every record has one outcome, in the order of the batches,
// and is there; what a lost attempt stored is Kept.
func TestLoadOverCutConnections(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v)
		addr, on, cuts := cutter(t, s.Addr, 700_001)
		c, raw := openURL(t, "memcached://"+addr), dialRaw(t, s)
		c.nodes[0].profile(t.Context(), false)
		c.nodes[0].mu.Lock()
		c.nodes[0].idle = nil // so that the next is cut
		c.nodes[0].mu.Unlock()
		on.Store(true)
		records := manyRecords(30_000, 100)
		did, end := loadInOrder(t, t.Context(), c, records, 70, nil)
		if there := raw.stat("curr_items"); end != nil || did[backends.Loaded]+did[backends.Kept] != len(records) || there != fmt.Sprint(len(records)) || cuts.Load() < 3 {
			t.Errorf("%v, %v, %s are there; %d connections were cut", did, end, there, cuts.Load())
		}
	})
}

// TestLoadIsInterrupted: behind the end of the context nothing is sent, what was sent is
// counted as what it is, and the rest of what was taken on has failed.
func TestLoadIsInterrupted(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v)
		c, raw := openURL(t, target(s)), dialRaw(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		records := manyRecords(100_000, 100)
		did, end := loadInOrder(t, ctx, c, records, 500, func(n int) {
			if n == 10 {
				cancel()
			}
		})
		there := raw.stat("curr_items")
		if !errors.Is(end, context.Canceled) || did[backends.Loaded] < 5000 || did[backends.Loaded]+did[backends.Failed] == len(records) || there != fmt.Sprint(did[backends.Loaded]) {
			t.Errorf("%v, %v, %s are there", did, end, there)
		}
	})
}

// TestLoadIntoStandstill: a server that reads nothing any more, or reads and says nothing,
// is given up, and every record that was taken on has failed.
func TestLoadIntoStandstill(t *testing.T) {
	for _, reads := range []bool{false, true} {
		over := make(chan struct{})
		f := startFake(t, "1.6.38", func(command string, r *bufio.Reader, w *bufio.Writer) bool {
			if !strings.HasPrefix(command, "ms ") {
				w.WriteString("ERROR\r\n")
				return true
			}
			if reads {
				io.Copy(io.Discard, r)
			} else {
				<-over
			}
			return false
		})
		t.Cleanup(func() { close(over) })
		c := openURL(t, "memcached://"+f.Addr+"?timeout=100ms")
		did, end := loadInOrder(t, t.Context(), c, manyRecords(2000, 50_000), 10, nil)
		if !errors.Is(end, backends.ErrUnreachable) || did[backends.Failed] < 10 || len(did) != 1 {
			t.Errorf("reads %v: %v, %v", reads, did, end)
		}
	}
}

// TestLoadBehindRefusal: a record that is refused in the middle of others fails alone.
// The others go over another connection, and none over the one in doubt.
func TestLoadBehindRefusal(t *testing.T) {
	var n atomic.Int64
	f := startFake(t, "1.6.38", func(command string, r *bufio.Reader, w *bufio.Writer) bool {
		if !strings.HasPrefix(command, "ms ") {
			w.WriteString("ERROR\r\n")
			return true
		}
		r.ReadString('\n')
		if strings.HasPrefix(command, "ms k:777 ") {
			n.Add(1)
			w.WriteString("SERVER_ERROR out of memory storing object\r\n")
		} else {
			w.WriteString("HD\r\n")
		}
		return true
	})
	did, end := loadInOrder(t, t.Context(), openURL(t, "memcached://"+f.Addr), manyRecords(5000, 100), 100, nil)
	if end != nil || did[backends.Failed] != 1 || did[backends.Loaded] != 4999 || n.Load() != 1 {
		t.Errorf("%v, %v; the one was sent %d times", did, end, n.Load())
	}
}

// TestLoadOverTLS: whole commands stand in each record however much is on its way, so that
// the server forgets none.
func TestLoadOverTLS(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := servers.Memcached(t, v, servers.Options{TLS: true})
		c := openURL(t, strings.Replace(target(s), "memcached:", "memcacheds:", 1)+"?tls_ca="+s.CA+"&tls_cert="+s.Cert+"&tls_key="+s.Key)
		for _, size := range []int{150, 9000} {
			records := manyRecords(900_000/size, size)
			for i := range records {
				records[i].Key += fmt.Sprint(":", size)
			}
			if did, end := loadInOrder(t, t.Context(), c, records, 50, nil); end != nil || did[backends.Loaded] != len(records) {
				t.Errorf("values of %d bytes: %v, %v", size, did, end)
			}
		}
	})
}

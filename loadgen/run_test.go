package loadgen

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
	"github.com/cachectl/cachectl/backends/redis"
)

// engines runs a test over epoll, where there is any, and over goroutines.
func engines(t *testing.T, test func(t *testing.T, c Config)) {
	for _, portable := range []bool{false, true} {
		t.Run(map[bool]string{false: "native", true: "portable"}[portable], func(t *testing.T) {
			t.Parallel()
			test(t, Config{portable: portable, Prefix: "key:", Settle: time.Minute})
		})
	}
}

func dialer(t *testing.T, u *url.URL) backends.Dialer {
	t.Helper()
	b, err := redis.Open(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b.(backends.Dialer)
}

func single(t *testing.T) (*servers.Server, backends.Dialer) {
	t.Helper()
	s := servers.Redis(t, servers.Default(t), servers.Options{})
	return s, dialer(t, &url.URL{Scheme: "redis", Host: s.Addr})
}

func client(t *testing.T, s *servers.Server) *goredis.Client {
	t.Helper()
	c := goredis.NewClient(&goredis.Options{Addr: s.Addr, ReadTimeout: time.Minute})
	t.Cleanup(func() { c.Close() })
	return c
}

func uniform(keys uint64, mix Mix, phases ...Phase) Traffic {
	return Traffic{Seed: 1, Phases: phases, Mix: mix, Keys: Keys{N: keys, Law: Uniform}, Sizes: Sizes{Law: Range, Min: 3, Max: 64}}
}

func send(t *testing.T, c Config) *Report {
	t.Helper()
	r, err := Send(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	balanced(t, r)
	return r
}

// sendWhile sends for as long as act takes: what happens in the middle of a run waits for the run where it has to, and
// the run for it, however slow the machine is.
func sendWhile(t *testing.T, c Config, act func()) *Report {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	acted := make(chan struct{})
	go func() {
		defer close(acted)
		defer cancel()
		act()
	}()
	r, err := Send(ctx, c)
	<-acted
	if err != nil {
		t.Fatal(err)
	}
	balanced(t, r)
	return r
}

// eventually waits for what has to come.
func eventually(t *testing.T, what string, is func() bool) {
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("waited for a minute: %s", what)
			return
		}
	}
}

// waitForGets waits until the server was asked for n keys.
func waitForGets(t *testing.T, k *goredis.Client, n int) {
	eventually(t, fmt.Sprintf("%d keys are asked for", n), func() bool { return commandCalls(t, k)["get"] >= n })
}

// balanced: nothing is counted twice, and nothing is missing.
func balanced(t *testing.T, r *Report) {
	t.Helper()
	var ticks, all Tally
	for do := range r.Tallies {
		k := &r.Tallies[do]
		if k.Due != k.Sent+k.Dropped || k.Sent != k.Done+k.Refused+k.Lost || k.Latency.Count() != k.Done || k.Service.Count() != k.Done {
			t.Errorf("%v: due %d = sent %d + dropped %d; sent = done %d + refused %d + lost %d; latencies %d, %d",
				Do(do), k.Due, k.Sent, k.Dropped, k.Done, k.Refused, k.Lost, k.Latency.Count(), k.Service.Count())
		}
		if Do(do) != Write && k.Hits+k.Misses != k.Done {
			t.Errorf("%v: %d hits and %d misses of %d", Do(do), k.Hits, k.Misses, k.Done)
		}
		all.Merge(k)
	}
	for i := range r.Ticks {
		k := &r.Ticks[i]
		if k.At != time.Duration(i)*time.Second || k.Latency.Count() != k.Done {
			t.Errorf("second %d is at %v, and has %d latencies of %d", i, k.At, k.Latency.Count(), k.Done)
		}
		ticks.Merge(&Tally{Due: k.Due, Sent: k.Sent, Done: k.Done, Refused: k.Refused, Lost: k.Lost, Dropped: k.Dropped})
	}
	if ticks.Due != all.Due || ticks.Sent != all.Sent || ticks.Done != all.Done || ticks.Refused != all.Refused || ticks.Lost != all.Lost || ticks.Dropped != all.Dropped {
		t.Errorf("the seconds add up to %+v", ticks)
	}
}

// TestOpenLoopCounts: every op that was due arrived at the server, none twice; the warm-up is not in the report.
func TestOpenLoopCounts(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, c Config) {
		s, d := single(t)
		k := client(t, s)
		var mu sync.Mutex
		var shown []Tick
		c.Dialer, c.Connections, c.Target, c.Threads = d, 6, "redis://x", 2
		c.Observe = func(tick Tick) {
			mu.Lock()
			defer mu.Unlock()
			shown = append(shown, tick)
		}
		c.Traffic = uniform(50, Mix{6, 3, 1}, Phase{Length: 300 * time.Millisecond, Rate: 1000, Warmup: true}, Phase{Length: 1200 * time.Millisecond, Rate: 2000, Poisson: true})
		c.Traffic.TTLs = TTLs{Min: time.Hour}
		var want [doKinds]uint64
		var bytes, warm uint64
		source, op := c.Traffic.Source(), Op{}
		for source.Next(&op) {
			if op.Due < 300*time.Millisecond {
				warm++
				continue
			}
			if want[op.Do]++; op.Do == Write {
				bytes += uint64(op.Size)
			}
		}
		r := send(t, c)
		for do := range r.Tallies {
			if r.Tallies[do].Due != want[do] || r.Tallies[do].Done != want[do] {
				t.Errorf("%v: %d due, %d done, want %d", Do(do), r.Tallies[do].Due, r.Tallies[do].Done, want[do])
			}
		}
		if r.Tallies[Write].BytesOut != bytes || r.Tallies[Read].BytesIn == 0 || r.Length != 1200*time.Millisecond || r.Closed || r.Target != "redis://x" || r.Connections != 6 {
			t.Errorf("%+v", r)
		}
		calls := commandCalls(t, k)
		if calls["get"]+calls["set"]+calls["del"] != int(want[Read]+want[Write]+want[Remove]+warm) || calls["get"] == 0 || calls["set"] == 0 || calls["del"] == 0 || calls["getex"] > 0 {
			t.Errorf("the server counts %v, want %v and %d of the warm-up", calls, want, warm)
		}
		var done uint64
		for _, tick := range shown[min(1, len(shown)):] {
			done += tick.Done
		}
		if len(shown) < 3 || shown[0].At != -time.Second || shown[0].Done > warm || done != want[Read]+want[Write]+want[Remove] {
			t.Errorf("%d seconds were shown with %d ops: %+v", len(shown), done, shown)
		}
	})
}

func commandCalls(t *testing.T, k *goredis.Client) map[string]int {
	t.Helper()
	calls := make(map[string]int)
	for line := range strings.Lines(k.Info(context.Background(), "commandstats").Val()) {
		var n int
		name, rest, _ := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":")
		if _, err := fmt.Sscanf(rest, "calls=%d,", &n); err == nil {
			calls[name] = n
		}
	}
	return calls
}

// TestClosedLoop: as many in flight as there is room for, until the time is over.
func TestClosedLoop(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, c Config) {
		_, d := single(t)
		c.Dialer, c.Connections, c.Depth = d, 4, 8
		c.Traffic = uniform(1000, Mix{Read: 1, Write: 1}, Phase{Length: 200 * time.Millisecond, Warmup: true}, Phase{Length: 3 * time.Second},
			Phase{Length: 200 * time.Millisecond, Rate: 500})
		r := send(t, c)
		if all := r.Total(); !r.Closed || all.Done < 300 || r.Late.Count() > 101 {
			t.Errorf("%d done, %d late, %v", all.Done, r.Late.Count(), r.Invalid)
		}
	})
}

// TestLatencyFromWhenDue: a server that is frozen for a second delays all requests of that second, which an open
// loop shows. Of those in flight there are no more than there is room for, so service times hide it.
func TestLatencyFromWhenDue(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, c Config) {
		s, d := single(t)
		k := client(t, s)
		const rate, room = 1000, 6
		c.Dialer, c.Connections, c.Depth = d, room/2, 2
		c.Traffic = uniform(100, Mix{Read: 1}, Phase{Length: time.Hour, Rate: rate})
		var stall time.Duration
		r := sendWhile(t, c, func() {
			waitForGets(t, k, 300)
			s.Pause()
			start := time.Now()
			time.Sleep(time.Second)
			stall = time.Since(start)
			s.Resume()
			waitForGets(t, k, 500+int(rate*stall.Seconds())) // what waited has caught up
		})
		reads := &r.Tallies[Read]
		if reads.Lost+reads.Refused > 0 {
			t.Errorf("%d lost, %d refused", reads.Lost, reads.Refused)
		}
		// Those due in the first nine tenths of the stall waited for a tenth of it at least.
		least := uint64(0.9 * stall.Seconds() * rate * 0.95)
		if slow := above(&reads.Latency, stall/10); slow < least {
			t.Errorf("%d requests took more than %v from when they were due, want %d", slow, stall/10, least)
		}
		if slow := above(&reads.Service, stall/2); slow == 0 || slow > 10*room { // ten times, for a machine that stalls too
			t.Errorf("%d requests took more than %v from when they were sent: there was room for %d", slow, stall/2, room)
		}
	})
}

func above(h *Histogram, d time.Duration) (n uint64) {
	for upper, count := range h.Buckets() {
		if upper > d {
			n += count
		}
	}
	return n
}

// afterDials does something when the last connection was made.
type afterDials struct {
	backends.Dialer
	mu   sync.Mutex
	left int
	then func()
}

func (a *afterDials) DialNode(ctx context.Context, node string) (net.Conn, backends.Dialect, error) {
	conn, d, err := a.Dialer.DialNode(ctx, node)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.left--; a.left == 0 {
		a.then()
	}
	return conn, d, err
}

// atTheEnd does something when all ops have been taken.
type atTheEnd struct {
	Source
	then func()
}

func (a *atTheEnd) Next(op *Op) bool {
	more := a.Source.Next(op)
	if !more {
		a.then()
	}
	return more
}

// TestDropped: no more wait than may, and what is dropped is told.
func TestDropped(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, c Config) {
		s, d := single(t)
		c.Dialer, c.Connections, c.MaxWaiting = d, 2, 100
		c.Traffic = uniform(100, Mix{Read: 1}, Phase{Length: time.Second, Rate: 1000})
		c.Dialer = &afterDials{Dialer: d, left: 2, then: s.Pause}
		c.source = func(t *Traffic) Source { return &atTheEnd{t.Source(), s.Resume} }
		r := send(t, c)
		if reads := r.Tallies[Read]; reads.Done != 102 || reads.Dropped != 898 || len(r.Invalid) == 0 || !strings.HasPrefix(r.Invalid[0], "898 requests were never sent") {
			t.Errorf("%d done, %d dropped: %v", reads.Done, reads.Dropped, r.Invalid)
		}
	})
}

// TestNoAnswerAtTheEnd: the end waits for a bounded time.
func TestNoAnswerAtTheEnd(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, c Config) {
		s, d := single(t)
		c.Dialer, c.Connections, c.Settle = d, 2, 100*time.Millisecond
		c.Traffic = uniform(100, Mix{Read: 1}, Phase{Length: 200 * time.Millisecond, Rate: 1000})
		c.Dialer = &afterDials{Dialer: d, left: 2, then: s.Pause}
		r := send(t, c)
		s.Resume()
		if reads := r.Tallies[Read]; reads.Lost != 2 || reads.Dropped != 198 || len(r.Invalid) != 1 {
			t.Errorf("%d lost, %d dropped: %v", reads.Lost, reads.Dropped, r.Invalid)
		}
	})
}

// TestCutShort: the end of the context ends the run, with what is in flight settled.
func TestCutShort(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, c Config) {
		s, d := single(t)
		k := client(t, s)
		for _, rate := range []float64{1000, 0} {
			c.Dialer, c.Connections = d, 5
			c.Traffic = uniform(100, Mix{Read: 1}, Phase{Length: time.Hour, Rate: rate})
			r := sendWhile(t, c, func() { waitForGets(t, k, commandCalls(t, k)["get"]+100) })
			reads := r.Tallies[Read]
			if reads.Done < 100 || reads.Lost > 0 || r.Length > 2*time.Minute || r.Length <= 0 || len(r.Invalid) == 0 || !strings.Contains(r.Invalid[0], "cut short") {
				t.Errorf("rate %v: %d done, %d lost in %v: %v", rate, reads.Done, reads.Lost, r.Length, r.Invalid)
			}
		}
	})
}

// TestMain lets more tests run at once than there are processors, because most of their time they wait, and
// looks for goroutines that outlive their runs.
// TestBegin: a run that is to begin later is connected by then, and begins no sooner; who waits for it can be called off.
func TestBegin(t *testing.T) {
	s, d := single(t)
	engines(t, func(t *testing.T, c Config) {
		c.Dialer, c.Traffic = d, uniform(10, Mix{Read: 1}, Phase{Length: 50 * time.Millisecond, Rate: 1000})
		c.Begin = time.Now().Add(300 * time.Millisecond)
		if r := send(t, c); r.Started.Before(c.Begin) || r.Total().Due == 0 {
			t.Errorf("begun at %v, %d requests; not to begin before %v", r.Started, r.Total().Due, c.Begin)
		}
		c.Begin, c.Connections = time.Now().Add(time.Hour), 7
		ctx, cancel := context.WithCancelCause(t.Context())
		called, cl := errors.New("called off"), client(t, s)
		go func() {
			for ctx.Err() == nil && cl.Info(ctx, "clients").Err() == nil {
				if n := len(strings.Split(cl.ClientList(ctx).Val(), "\n")); n > c.Connections {
					cancel(called) // they are there before the run is
				}
			}
		}()
		if r, err := Send(ctx, c); r != nil || !errors.Is(err, called) {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "8")
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

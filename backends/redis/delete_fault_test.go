package redis

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// A proxy passes bytes on to a server, and loses connections on demand.
type proxy struct {
	addr  string
	cuts  atomic.Int64 // connections it has cut
	after func() int64 // bytes of a connection, both ways, that it lets pass; below 0: all

	mu   sync.Mutex
	open []net.Conn
}

func newProxy(t *testing.T, to string, after func() int64) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{addr: l.Addr().String(), after: after}
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range p.open {
			c.Close()
		}
	})
	go func() {
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
			p.mu.Lock()
			p.open = append(p.open, in, out)
			p.mu.Unlock()
			left := new(atomic.Int64)
			left.Store(p.after())
			go p.pass(in, out, left)
			go p.pass(out, in, left)
		}
	}()
	return p
}

func (p *proxy) pass(from, to net.Conn, left *atomic.Int64) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 4096)
	unlimited := left.Load() < 0
	for {
		n, err := from.Read(buf)
		if rest := left.Add(int64(-n)) + int64(n); !unlimited && rest < int64(n) {
			to.Write(buf[:max(rest, 0)])
			p.cuts.Add(1)
			return
		}
		if _, lost := to.Write(buf[:n]); err != nil || lost != nil {
			return
		}
	}
}

// TestConnectionCut: connections that break anywhere, with commands and answers
// lost, cost no key and no outcome, and no key is told as deleted twice.
func TestConnectionCut(t *testing.T) {
	t.Parallel()
	for _, guarded := range []bool{false, true} {
		t.Run(fmt.Sprint("guarded ", guarded), func(t *testing.T) {
			s := servers.Redis(t, servers.Default(t), servers.Options{})
			c := raw(t, s)
			for round := range 5 {
				keys := write(t, c, "k", 5000)
				write(t, c, "stays", 100)
				var lossy atomic.Bool
				p := newProxy(t, s.Addr, func() int64 {
					if !lossy.Load() {
						return -1
					}
					if guarded { // a script a key: ten times the bytes
						return 200_000 + rand.Int64N(400_000)
					}
					return 12_000 + rand.Int64N(40_000)
				})
				b := openURL(t, "redis://"+p.addr)
				pages := backends.Pages(slices.Values(keys), 250)
				if guarded {
					var all []backends.Page
					for page, err := range b.(backends.Scanner).Scan(t.Context(), backends.Query{Match: "k*", Want: backends.FactGuard, Count: 250}) {
						must(t, err)
						page.Entries = slices.Clone(page.Entries)
						all = append(all, page)
					}
					pages = func(yield func(backends.Page, error) bool) {
						for _, page := range all {
							if !yield(page, nil) {
								return
							}
						}
					}
				}
				lossy.Store(true)
				r := removed(t, b.(backends.Deleter).Delete(t.Context(), pages), nil)
				if r.end != nil || len(r.outcomes) != 5000 || r.did[backends.Deleted]+r.did[backends.Gone] != 5000 {
					t.Errorf("round %d: %v", round, r)
				}
				told := make(map[string]bool)
				for _, o := range r.outcomes {
					if told[o.Key] {
						t.Fatalf("%q has two outcomes", o.Key)
					}
					told[o.Key] = true
				}
				// Only what was under way when a connection broke may be told as gone.
				if cuts := int(p.cuts.Load()); cuts < 1 || r.did[backends.Gone] > cuts*500 || r.did[backends.Deleted] < 1000 {
					t.Errorf("round %d: %d cuts, %v", round, cuts, r)
				}
				if n := c.DBSize(t.Context()).Val(); n != 100 {
					t.Errorf("round %d: %d keys are left, want 100", round, n)
				}
			}
		})
	}
}

// TestServerKilledInMidDeletion: every page that was sent has its outcomes, and
// what is told as deleted was.
func TestServerKilledInMidDeletion(t *testing.T) {
	t.Parallel()
	for _, back := range []bool{false, true} {
		s := servers.Redis(t, servers.Default(t), servers.Options{Args: []string{"--appendonly", "yes", "--appendfsync", "always"}})
		keys := write(t, raw(t, s), "k", 3000)
		b := openURL(t, "redis://"+s.Addr+"?timeout=1s")
		r := removed(t, b.(backends.Deleter).Delete(t.Context(), backends.Pages(slices.Values(keys), 100)), func(n int) {
			if n == 5 {
				time.Sleep(50 * time.Millisecond) // the page under way is done
				if s.Kill(); back {
					s.Restart()
				}
			}
		})
		if !back {
			if !errors.Is(r.end, backends.ErrUnreachable) || len(r.outcomes) != 800 || r.did[backends.Deleted] != 600 || r.did[backends.Gone] > 0 {
				t.Errorf("%v; want 600 deleted, the two pages that found nobody failed, then ErrUnreachable", r)
			}
			s.Restart()
		} else if r.end != nil || len(r.outcomes) != 3000 || r.did[backends.Failed] > 0 || r.did[backends.Gone] > 100 {
			t.Errorf("%v; want the same server to be gone on with", r)
		}
		c := raw(t, s)
		there := left(t, c, keys)
		if told := r.did[backends.Deleted] + r.did[backends.Gone]; there+told > 3000 || back && there > 0 {
			t.Errorf("%v; %d are there", r, there)
		}
	}
}

// TestPausedServer: a server that is silent for longer than the timeout and then
// goes on is gone on with; its keys are told once.
func TestPausedServer(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{})
	keys := write(t, raw(t, s), "k", 3000)
	b := openURL(t, "redis://"+s.Addr+"?timeout=250ms")
	r := removed(t, b.(backends.Deleter).Delete(t.Context(), backends.Pages(slices.Values(keys), 100)), func(n int) {
		if n == 5 {
			s.Pause()
			time.AfterFunc(1200*time.Millisecond, s.Resume)
		}
	})
	if r.end != nil || len(r.outcomes) != 3000 || r.did[backends.Failed] > 0 || r.did[backends.Gone] > 200 {
		t.Errorf("%v", r)
	}
	if n := left(t, raw(t, s), keys); n != 0 {
		t.Errorf("%d keys are left", n)
	}
}

// removing is a fake server that answers what a deletion asks beside the
// deletion itself, which is answered by remove.
func removing(t *testing.T, info string, remove func(args []string, conn net.Conn) bool) string {
	t.Helper()
	return listen(t, func(args []string, conn net.Conn) bool {
		switch strings.ToLower(args[0]) {
		case "ping":
			io.WriteString(conn, "+PONG\r\n")
		case "info":
			fmt.Fprintf(conn, "$%d\r\n%s\r\n", len(info), info)
		case "client", "hello":
			io.WriteString(conn, "-ERR unknown command\r\n")
		default:
			return remove(args, conn)
		}
		return true
	})
}

// TestHostileAnswersToDeletions: whatever a server answers, the end is an error
// in bounded time, and nothing is told that it did not say.
func TestHostileAnswersToDeletions(t *testing.T) {
	for name, answer := range map[string]string{
		"more than there are":  ":65\r\n",
		"far more":             ":4611686018427387904\r\n",
		"negative":             ":-1\r\n",
		"no number":            ":x\r\n",
		"null":                 "$-1\r\n",
		"null array":           "*-1\r\n",
		"a word":               "+OK\r\n",
		"a string":             "$1\r\n1\r\n",
		"an array":             "*1\r\n:1\r\n",
		"a huge string":        "$999999999999\r\n",
		"a long string":        "$500000000\r\nabc",
		"garbage":              "\x00\x01\x02 what?\r\n",
		"HTTP":                 "HTTP/1.1 400 Bad Request\r\n\r\n",
		"two answers":          ":1\r\n:1\r\n",
		"nothing":              "",
		"half":                 ":1",
		"an error":             "-ERR I would rather not\r\n",
		"an error of no words": "-\r\n",
		"endless line":         strings.Repeat("x", 200_000),
	} {
		for _, hang := range []bool{true, false} {
			if hang && name == "two answers" { // as good as one each to both groups
				continue
			}
			t.Run(fmt.Sprintf("%s, hangs up %v", name, hang), func(t *testing.T) {
				t.Parallel()
				addr := removing(t, "redis_version:7.0.0\r\n", func(_ []string, conn net.Conn) bool {
					io.WriteString(conn, answer)
					return !hang
				})
				b := openURL(t, "redis://"+addr+"?timeout=200ms")
				start := time.Now()
				r := remove(t, b, slices.Repeat([]string{"key"}, 640), 128)
				// Whether the second answer is met before the first group is settled is a matter of time.
				if name == "two answers" {
					return
				}
				if r.end == nil || !hang && name != "an error" && name != "an error of no words" && !errors.Is(r.end, backends.ErrUnreachable) {
					t.Errorf("%v; want an error", r)
				}
				// A sensible answer may be believed, if nothing else came.
				if n := r.did[backends.Deleted] + r.did[backends.Gone] + r.did[backends.Kept]; n > 0 {
					t.Errorf("%v; want nothing told as done", r)
				}
				if d := time.Since(start); d > 30*time.Second {
					t.Errorf("took %v", d)
				}
			})
		}
	}
}

// TestHangsUpForEver: a server that takes a connection and drops it at every
// deletion is given up, whether or not it answers now and then.
func TestHangsUpForEver(t *testing.T) {
	var dials atomic.Int64
	addr := removing(t, "redis_version:7.0.0\r\n", func([]string, net.Conn) bool {
		dials.Add(1)
		return false
	})
	r := remove(t, openURL(t, "redis://"+addr+"?timeout=200ms"), []string{"a", "b"}, 1)
	r.want(t, 0, 0, 0, 2)
	if !errors.Is(r.end, backends.ErrUnreachable) || dials.Load() > 2*(walkRetries+1) {
		t.Errorf("%v after %d attempts", r, dials.Load())
	}
}

// FuzzRemoval: whatever a server answers to a deletion, counts stay within what
// was asked for, each key has one outcome, and it ends.
func FuzzRemoval(f *testing.F) {
	for _, seed := range []string{":2\r\n:0\r\n", ":1\r\n-MOVED 1 a:1\r\n", "-WRONGTYPE x\r\n:-1\r\n", "$-1\r\n", ":3\r\n", "-ERR Key should be of string type if conditions are specified\r\n:1\r\n:0\r\n"} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, guarded bool) {
		w := &work{result: backends.Result{Outcomes: make([]backends.Outcome, 6)}}
		if guarded {
			w.guards = []string{"", "dump:x", "", "digest:y", "value:z", ""}
		}
		p := &part{work: w, remover: &remover{task: &unlinking}, at: []int{0, 1, 2, 3, 4, 5}}
		p.divide(false)
		in := wireOn(string(data))
		for _, g := range p.groups {
			answer, err := in.scalar()
			if err != nil {
				break
			}
			refused, _, err := p.take(g, answer)
			if err != nil {
				break
			}
			deleted := int64(0)
			for n := g.from; n < g.to; n++ {
				if p.outcome(n).Did == backends.Deleted {
					deleted++
				}
			}
			if refused && deleted > 0 || !refused && answer.err == nil && deleted != max(answer.num, 0) {
				t.Fatalf("%d told as deleted after %+v", deleted, answer)
			}
		}
		p.fail(errors.New("the end"))
		for _, o := range w.result.Outcomes {
			if o.Did == "" || (o.Err != nil) != (o.Did == backends.Failed) {
				t.Fatalf("%+v", o)
			}
		}
	})
}

package redis

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// TestConnectionsAreNamedAndHarmless looks at what the server says of ours in
// the middle of a walk: name, no-touch and no-evict where it knows them.
func TestConnectionsAreNamedAndHarmless(t *testing.T) {
	for _, v := range servers.Redises(t) {
		s := servers.Redis(t, v, servers.Options{})
		c := raw(t, s)
		fill(t, c, 100)
		b := openURL(t, "redis://"+s.Addr+"/0")
		for page, err := range b.(backends.Scanner).Scan(t.Context(), backends.Query{Count: 10}) {
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Entries) == 0 {
				continue
			}
			ours := 0
			for line := range strings.Lines(c.ClientList(t.Context()).Val()) {
				if !strings.Contains(line, "name=cachectl") {
					continue
				}
				ours++
				flags := strings.SplitN(strings.SplitN(line, " flags=", 2)[1], " ", 2)[0]
				if !strings.Contains(flags, "e") || strings.Contains(flags, "T") != (v.Name != "redis-7.0") {
					t.Errorf("%s: flags %s", v.Name, flags)
				}
			}
			if ours < 2 { // the one for single commands, and the walk's
				t.Errorf("%s: %d connections named cachectl", v.Name, ours)
			}
			break
		}
	}
}

// A countingConn counts writes: each is one request that waits for its answer.
type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// TestFactsShareARoundTrip: a page's facts go with the next page's SCAN, so a
// walk with facts takes as many round trips as one without.
func TestFactsShareARoundTrip(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{})
	fill(t, raw(t, s), 5000)
	trips := func(want backends.Facts) (writes, pages int64) {
		var n atomic.Int64
		b, err := OpenDial(t.Context(), "counted://", func(ctx context.Context) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr)
			return countingConn{conn, &n}, err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		for _, err := range b.(backends.Scanner).Scan(t.Context(), backends.Query{Count: 50, Want: want}) {
			if err != nil {
				t.Fatal(err)
			}
			pages++
		}
		return n.Load(), pages
	}
	const handshakes = 15
	for _, want := range []backends.Facts{0, backends.FactType | backends.FactTTL | backends.FactSize} {
		writes, pages := trips(want)
		if pages < 50 || writes > pages+handshakes {
			t.Errorf("facts %q: %d writes for %d pages", want, writes, pages)
		}
	}
}

// TestModuleTypeIsSaid: a type nobody here can read is named, and nothing is made up.
func TestModuleTypeIsSaid(t *testing.T) {
	addr := scripted(t, map[string]string{
		"ping": "+PONG\r\n", "type": "+ReJSON-RL\r\n", "pttl": ":-1\r\n", "memory": ":512\r\n",
		"object": "$3\r\nraw\r\n", "info": "$0\r\n\r\n",
	})
	v, err := openURL(t, "redis://"+addr).(backends.Reader).Read(t.Context(), "doc", backends.Window{})
	if err != nil || v.Type != "ReJSON-RL" || v.Size != 512 || v.Opaque != "values of the module type ReJSON-RL cannot be read" || v.Whole() {
		t.Errorf("%+v, %v", v, err)
	}
}

// scripted answers each command by its name, and refuses all others.
func scripted(t *testing.T, answers map[string]string) string {
	t.Helper()
	return listen(t, func(args []string, conn net.Conn) bool {
		answer, ok := answers[strings.ToLower(args[0])]
		if !ok {
			answer = "-ERR unknown command\r\n"
		}
		_, err := fmt.Fprint(conn, answer)
		return err == nil
	})
}

package redis

import (
	"context"
	"net"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// TestBigValuesDoNotBlock: big collections are freed in a thread of the server's own,
// which it counts, so that other clients wait no longer than for a scheduler. How long
// that is on this machine is only told: it is held against a bound where values have
// millions of elements.
func TestBigValuesDoNotBlock(t *testing.T) {
	scale := 1
	if long() {
		scale = 10
	}
	for _, v := range servers.Redises(t) {
		s := servers.Redis(t, v, servers.Options{})
		c := raw(t, s)
		for name, big := range map[string]struct {
			script string
			n      int
			lazy   uint64 // values that the other thread frees
		}{
			"list":   {`for i=1,ARGV[1] do redis.call("rpush", KEYS[1], "element " .. i) end return 1`, 200_000 * scale, 1},
			"hash":   {`for i=1,ARGV[1] do redis.call("hset", KEYS[1], "field " .. i, i) end return 1`, 100_000 * scale, 1},
			"string": {`redis.call("setrange", KEYS[1], ARGV[1], "x") return 1`, 10_000_000 * scale, 0},
		} {
			if err := c.Eval(t.Context(), big.script, []string{"big"}, big.n).Err(); err != nil {
				t.Fatal(err)
			}
			before := freed(c)
			worst, stop := worstPing(t, s)
			time.Sleep(20 * time.Millisecond)
			remove(t, openURL(t, "redis://"+s.Addr), []string{"big"}, 1).want(t, 1, 0, 0, 0)
			for wait := 0; freed(c) < before+big.lazy && wait < 500; wait++ {
				time.Sleep(10 * time.Millisecond)
			}
			stop()
			if got := freed(c) - before; got != big.lazy {
				t.Errorf("%s: %s: %d values were freed by the other thread, want %d", v, name, got, big.lazy)
			}
			t.Logf("%s: %s: worst PING %v", v, name, *worst)
			if long() && *worst > 50*time.Millisecond {
				t.Errorf("%s: %s: a PING took %v", v, name, *worst)
			}
		}
	}
}

// freed is how many values a server's thread for that has freed.
func freed(c *goredis.Client) uint64 {
	return keyspaceNumber("n="+parseInfo(c.Info(context.Background(), "memory").Val())["lazyfreed_objects"], "n")
}

// worstPing pings until stop is called.
func worstPing(t *testing.T, s *servers.Server) (worst *time.Duration, stop func()) {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	worst = new(time.Duration)
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		answer := make([]byte, 7)
		for {
			select {
			case <-ended:
				return
			default:
			}
			start := time.Now()
			if _, err := conn.Write([]byte("PING\r\n")); err != nil {
				return
			}
			if _, err := conn.Read(answer); err != nil {
				return
			}
			*worst = max(*worst, time.Since(start))
			time.Sleep(200 * time.Microsecond)
		}
	}()
	return worst, func() { close(ended); <-done; conn.Close() }
}

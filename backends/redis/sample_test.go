package redis

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

func TestSampleForbidden(t *testing.T) {
	for _, command := range []string{"randomkey", "dbsize"} {
		s := servers.Redis(t, servers.Default(t), servers.Options{ACL: []string{"user app on >secret ~* +@all -" + command}})
		write(t, raw(t, s), "k", 100)
		samples, err := openURL(t, "redis://app:secret@"+s.Addr).(backends.Sampler).Sample(t.Context(), 10)
		if !errors.Is(err, backends.ErrDenied) || len(samples) != 0 {
			t.Errorf("without %s: %v, %v; want ErrDenied", command, samples, err)
		}
	}
}

func TestSampleOfOneKey(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{})
	const key = "\x00\r\n*"
	raw(t, s).Set(t.Context(), key, "v", 0)
	samples, err := openURL(t, "redis://"+s.Addr).(backends.Sampler).Sample(t.Context(), 250)
	if err != nil || len(samples) != 1 || samples[0].Of != 1 || len(samples[0].Keys) != 250 || samples[0].Keys[249] != key {
		t.Errorf("%v, %v", samples, err)
	}
}

// TestSampleOfExpiredKeys: keys that are dead and not yet swept away do not make
// RANDOMKEY turn for ever, on a master or, where it may not remove them, a replica.
func TestSampleOfExpiredKeys(t *testing.T) {
	for _, v := range servers.Redises(t) {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			s := servers.Redis(t, v, servers.Options{})
			c := raw(t, s)
			for _, living := range []int{0, 5} {
				must(t, c.Do(t.Context(), "debug", "set-active-expire", 0).Err())
				must(t, c.Eval(t.Context(), `for i=1,20000 do redis.call("set", "dead:" .. i, "v", "px", 1) end return 1`, nil).Err())
				write(t, c, "alive:", living)
				time.Sleep(5 * time.Millisecond)
				start := time.Now()
				samples, err := openURL(t, "redis://"+s.Addr).(backends.Sampler).Sample(t.Context(), 50)
				if err != nil || len(samples) != 1 || living > 0 && len(samples[0].Keys) != 50 {
					t.Errorf("%d living: %+v, %v", living, samples, err)
				}
				for _, key := range samples[0].Keys {
					if !strings.HasPrefix(key, "alive:") {
						t.Fatalf("%q was drawn", key)
					}
				}
				if d := time.Since(start); d > 30*time.Second {
					t.Errorf("%d living: took %v", living, d)
				}
			}
		})
	}
}

// TestSampleOfAbsurdSizes: what a server claims to have does not become our memory.
func TestSampleOfAbsurdSizes(t *testing.T) {
	for _, size := range []string{"9223372036854775807", "-5", "4611686018427387904", "0"} {
		addr := removing(t, "", func(args []string, conn net.Conn) bool {
			if strings.ToLower(args[0]) == "dbsize" {
				fmt.Fprintf(conn, ":%s\r\n", size)
			} else {
				io.WriteString(conn, "$1\r\nk\r\n")
			}
			return true
		})
		samples, err := openURL(t, "redis://"+addr+"?timeout=1s").(backends.Sampler).Sample(t.Context(), 100_000)
		if err == nil && (len(samples) != 1 || len(samples[0].Keys) > 100_000 || samples[0].Of < 0) {
			t.Errorf("%s: %d samples, %v", size, len(samples), err)
		}
	}
}

// TestSampleSharesOut: a cluster's nodes are drawn from in proportion, and a lost
// one does not take the others along.
func TestSampleSharesOut(t *testing.T) {
	t.Parallel()
	c := newCluster(t, servers.Default(t), 0)
	write(t, c.whole, "{x}", 900) // of the last master
	first := len(c.of(write(t, c.whole, "k", 300), 0))
	b := openURL(t, c.target+"?timeout=1s")
	samples, err := b.(backends.Sampler).Sample(t.Context(), 1200)
	if err != nil || len(samples) != 3 || len(samples[0].Keys) != first || len(samples[2].Keys) < 900 {
		t.Errorf("%d samples, %v", len(samples), err)
	}
	c.nodes[2].Kill()
	samples, err = b.(backends.Sampler).Sample(t.Context(), 300)
	var shard *backends.ShardError
	if len(samples) != 2 || len(samples[0].Keys)+len(samples[1].Keys) < 300 || !errors.As(err, &shard) || shard.Shard != c.nodes[2].Addr {
		t.Errorf("%d samples, %v", len(samples), err)
	}
}

func TestPulseForbidden(t *testing.T) {
	for rule, want := range map[string]struct{ rtt, counts bool }{"-info": {true, false}, "-ping": {false, true}, "-info -ping": {false, false}} {
		s := servers.Redis(t, servers.Default(t), servers.Options{ACL: []string{"user app on >secret ~* +@all " + rule}})
		b := openURL(t, "redis://app:secret@"+s.Addr)
		for range 3 {
			pulses, err := b.(backends.Pulser).Pulse(t.Context())
			if err != nil || len(pulses) != 1 || (pulses[0].RTT > 0) != want.rtt || (len(pulses[0].Counts) > 0) != want.counts || pulses[0].At.IsZero() {
				t.Errorf("%s: %+v, %v", rule, pulses, err)
			}
		}
	}
}

package memcached

import (
	"context"
	"errors"
	"testing"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// TestPulse: round trips and evictions of every node, one that is down told
// apart, and cheap enough for ten a second.
func TestPulse(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		a, b := start(t, v, "-m", "2"), start(t, v)
		c := openURL(t, target(a, b))
		dialRaw(t, a).fill("e", 20_000, 500)
		all, err := c.Pulse(t.Context())
		if err != nil || len(all) != 2 {
			t.Fatal(all, err)
		}
		for i, s := range all {
			evicted, known := s.Counts[backends.Evicted]
			if !known || (evicted > 0) != (i == 0) || s.RTT <= 0 || s.RunID == "" || s.Node != []string{a.Addr, b.Addr}[i] {
				t.Errorf("%+v", s)
			}
		}
		b.Kill()
		var shard *backends.ShardError
		if all, err := c.Pulse(t.Context()); len(all) != 1 || !errors.As(err, &shard) || shard.Shard != b.Addr {
			t.Errorf("%v, %v", all, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Pulse(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

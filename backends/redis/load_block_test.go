package redis

import (
	"context"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// TestLoadWakesWaiters: a key that others wait for is filled without harm to the server.
func TestLoadWakesWaiters(t *testing.T) {
	for _, v := range servers.Redises(t) {
		t.Run(v.Name, func(t *testing.T) {
			s := servers.Redis(t, v, servers.Options{})
			c, b := raw(t, s), openURL(t, "redis://"+s.Addr)
			must(t, c.RPush(t.Context(), "queue", "a", "b").Err())
			var records []backends.Record
			for batch, err := range b.(backends.Dumper).Dump(t.Context(), []string{"queue"}) {
				must(t, err)
				records = append(records, batch...)
			}
			must(t, c.Del(t.Context(), "queue").Err())
			popped := make(chan []string, 1)
			go func() { popped <- c.BLPop(context.Background(), 5*time.Second, "queue").Val() }()
			time.Sleep(200 * time.Millisecond)
			loaded := 0
			for result, err := range b.(backends.Loader).Load(t.Context(), func(yield func([]backends.Record, error) bool) { yield(records, nil) }, backends.LoadOptions{}) {
				must(t, err)
				loaded += len(result.Outcomes)
			}
			if got := <-popped; loaded != 1 || len(got) != 2 || got[1] != "a" {
				t.Errorf("%d loaded, the waiter got %q", loaded, got)
			}
			if err := c.Ping(t.Context()).Err(); err != nil {
				t.Errorf("the server died of it: %v\n%s", err, s.Log())
			}
		})
	}
}

package fleet

import (
	"context"
	"errors"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// TestRealNothingStays: values without a TTL have one on the server, should nobody come back to remove them.
func TestRealNothingStays(t *testing.T) {
	t.Parallel()
	p := onRedis(t)
	client := goredis.NewClient(&goredis.Options{Addr: p.server.Addr})
	defer client.Close()
	o := Defaults()
	o.TTL, o.Stale = 0, 0
	c := Config{Strategy: "none", Maker: strategy(t, "none", o), Processes: 2, Seed: 7, Source: poisson(7, 500, 2),
		Length: time.Minute, Origin: Origin{Reads: Fixed(time.Millisecond)}, Load: &Load{Keys: 1}}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	seen, met := errors.New("seen"), make(chan [2]time.Duration, 1)
	go func() {
		for ctx.Err() == nil {
			loaded, _ := client.PTTL(ctx, "fleet:{0}").Result()
			filled, _ := client.PTTL(ctx, "fleet:{1}").Result()
			if loaded != -2 && filled != -2 { // both are there
				met <- [2]time.Duration{loaded, filled}
				cancel(seen)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if _, err := Real(ctx, c, p.stage()); !errors.Is(err, seen) {
		t.Fatalf("%v; want to have seen a key that was loaded, and one that was filled", err)
	}
	for i, ttl := range <-met {
		if ttl < c.Length || ttl > time.Hour {
			t.Errorf("the server's TTL of key %d is %v; want more than the run", i, ttl)
		}
	}
	if n := p.keys(t); n != 0 {
		t.Errorf("%d keys are left behind", n)
	}
}

// TestAble: what a cache cannot do is known before anything is tried.
func TestAble(t *testing.T) {
	t.Parallel()
	p := onRedis(t)
	if err := Able(t.Context(), hotKey(t, p, "lease", 1), p.stage()); !errors.Is(err, ErrUnable) {
		t.Errorf("leases on Redis: %v", err)
	}
	if err := Able(t.Context(), hotKey(t, p, "lock", 1), p.stage()); err != nil {
		t.Errorf("locks on Redis: %v", err)
	}
}

package embedded_test

import (
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends/embedded"
)

func TestZZReal(t *testing.T) {
	real := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6391"})
	defer real.Close()
	ctx := t.Context()
	real.FlushAll(ctx)
	c := one(t, embedded.Options{Sample: true})
	var enc, mem, n int
	var sumA, sumB int64
	seen := map[string]int{}
	for _, key := range walk(t, c, "COUNT", 1000) {
		n++
		d, err := c.Dump(ctx, key).Result()
		if err != nil {
			t.Fatal(key, err)
		}
		if err := real.Restore(ctx, key, 0, d).Err(); err != nil {
			t.Errorf("%q: real RESTORE: %v", key, err)
			continue
		}
		if a, b := c.Type(ctx, key).Val(), real.Type(ctx, key).Val(); a != b {
			t.Errorf("%q type %s %s", key, a, b)
		}
		ea, eb := c.ObjectEncoding(ctx, key).Val(), real.ObjectEncoding(ctx, key).Val()
		if ea != eb {
			enc++
			seen["encoding "+ea+" vs "+eb]++
		}
		ma, mb := c.MemoryUsage(ctx, key).Val(), real.MemoryUsage(ctx, key, 0).Val()
		sumA += ma
		sumB += mb
		if ma != mb {
			mem++
			k := "mem " + c.Type(ctx, key).Val() + " " + ea + " " + eb
			seen[k]++
			if seen[k] < 5 {
				fmt.Printf("%q %s: %d vs real %d\n", key, k, ma, mb)
			}
		}
		if ca, cb := content(t, c, key), content(t, real, key); ca != cb && len(key) > 3 && key[:3] != "vis" {
			t.Errorf("%q content differs %.100q %.100q", key, ca, cb)
		}
		// back
		rd := real.Dump(ctx, key).Val()
		if err := c.RestoreReplace(ctx, "back", 0, rd).Err(); err != nil {
			t.Errorf("%q back (%s): %v", key, eb, err)
		} else if ca, cb := content(t, c, "back"), content(t, real, key); ca != cb {
			t.Errorf("%q back differs", key)
		}
		c.Del(ctx, "back")
	}
	fmt.Println(n, "keys; encodings differ", enc, "memory differs", mem, "sum", sumA, sumB)
	fmt.Println(seen)
	real.FlushAll(ctx)
}

package loadgen

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestFillAndRemove: every key is there with its size, then none of ours, and those of others are as they were.
func TestFillAndRemove(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, c Config) {
		s, d := single(t)
		k := client(t, s)
		const keys = 70_000 // more than a piece of Written
		c.Dialer, c.Connections, c.Written = d, 3, NewWritten(keys)
		c.Traffic = uniform(keys, Mix{Read: 1, Write: 1}, Phase{Length: time.Second, Rate: 1000})
		c.Traffic.TTLs = TTLs{Min: time.Hour}
		if err := k.Set(t.Context(), "key:"+strconv.Itoa(keys), "another's", 0).Err(); err != nil {
			t.Fatal(err)
		}
		var told uint64
		if err := Fill(t.Context(), c, func(n uint64) { told = n }); err != nil {
			t.Fatal(err)
		}
		if n := k.DBSize(t.Context()).Val(); n != keys+1 || c.Written.Count() != keys || told != keys {
			t.Fatalf("%d keys, %d known, %d told", n, c.Written.Count(), told)
		}
		sizes, values := make(map[int]bool), make(map[string]bool)
		for i := range 1000 {
			v := k.Get(t.Context(), "key:"+strconv.Itoa(i)).Val()
			sizes[len(v)], values[v] = true, true
		}
		if len(sizes) != 62 || len(values) < 900 {
			t.Errorf("%d sizes, %d values", len(sizes), len(values))
		}
		if ttl := k.TTL(t.Context(), "key:0").Val(); ttl < 30*time.Minute || ttl > time.Hour {
			t.Errorf("a TTL of %v", ttl)
		}
		if err := RemoveWritten(t.Context(), c, func(n uint64) { told = n }); err != nil || told != keys {
			t.Errorf("%d told, %v", told, err)
		}
		if left := k.Keys(t.Context(), "*").Val(); len(left) != 1 || left[0] != "key:"+strconv.Itoa(keys) {
			t.Errorf("left: %.200q", left)
		}
	})
}

// TestRemoveAfterCut: what a run wrote before its context ended is removed although it has, and no more than that.
func TestRemoveAfterCut(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, c Config) {
		s, d := single(t)
		k := client(t, s)
		c.Dialer, c.Connections, c.Written = d, 3, NewWritten(100_000)
		c.Traffic = uniform(100_000, Mix{Write: 1}, Phase{Length: time.Hour, Rate: 1000})
		sendWhile(t, c, func() {
			eventually(t, "something is written", func() bool { return k.DBSize(context.Background()).Val() > 100 })
		})
		if n := k.DBSize(t.Context()).Val(); n == 0 || uint64(n) != c.Written.Count() {
			t.Errorf("%d keys, %d known", n, c.Written.Count())
		}
		for i := range 100_000 {
			if c.Written.has(uint64(i)) != (k.Exists(t.Context(), "key:"+strconv.Itoa(i)).Val() == 1) {
				t.Fatalf("key %d", i)
			}
			if i > 2000 {
				break
			}
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := RemoveWritten(ended, c, nil); err != nil {
			t.Error(err)
		}
		if n := k.DBSize(t.Context()).Val(); n != 0 {
			t.Errorf("%d keys are left", n)
		}
	})
}

// TestFillFails: what cannot be written is told, with the server's words.
func TestFillFails(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, c Config) {
		s, d := single(t)
		client(t, s).ConfigSet(t.Context(), "maxmemory", "1")
		c.Dialer, c.Connections = d, 3
		c.Traffic = uniform(100, Mix{Read: 1}, Phase{Length: time.Second, Rate: 1000})
		if err := Fill(t.Context(), c, nil); err == nil || !strings.Contains(err.Error(), "100 keys failed: OOM ") {
			t.Errorf("%v", err)
		}
		if err := RemoveWritten(t.Context(), c, nil); err == nil {
			t.Error("it cannot know what was written")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := Fill(ctx, c, nil); err == nil {
			t.Error("a fill that was cancelled")
		}
	})
}

// TestFillOfShards: each shard fills its share.
func TestFillOfShards(t *testing.T) {
	t.Parallel()
	s, d := single(t)
	k := client(t, s)
	c := Config{Dialer: d, Connections: 1, Prefix: "key:", Traffic: uniform(100, Mix{Read: 1}, Phase{Length: time.Second, Rate: 1000})}
	for i, want := range []int64{34, 67, 100} {
		c.Traffic.Shard = Shard{i, 3}
		if err := Fill(t.Context(), c, nil); err != nil {
			t.Fatal(err)
		}
		if n := k.DBSize(t.Context()).Val(); n != want {
			t.Errorf("%d keys after %d shards, want %d", n, i+1, want)
		}
	}
}

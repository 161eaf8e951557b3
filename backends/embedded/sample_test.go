package embedded_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends/embedded"
)

// census is one line a key: everything that has to be the same every time.
func census(t *testing.T, c *redis.Client) map[string]string {
	t.Helper()
	keys := walk(t, c, "COUNT", 1000)
	pipe := c.Pipeline()
	for _, key := range keys {
		pipe.Type(t.Context(), key)
		pipe.ObjectEncoding(t.Context(), key)
		pipe.MemoryUsage(t.Context(), key)
		pipe.PTTL(t.Context(), key)
		pipe.ObjectIdleTime(t.Context(), key)
	}
	replies, err := pipe.Exec(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]string{}
	for i, key := range keys {
		var line []string
		for _, r := range replies[5*i : 5*i+5] {
			_, value, _ := strings.Cut(r.String(), ": ")
			line = append(line, value)
		}
		lines[key] = strings.Join(line, " ")
	}
	return lines
}

func TestSampleIsAlwaysTheSame(t *testing.T) {
	clock := newClock()
	a := census(t, one(t, embedded.Options{Sample: true, Now: clock.now}))
	clock.pass(1000 * time.Hour)
	b := census(t, one(t, embedded.Options{Sample: true, Now: clock.now}))
	if len(a) < 2200 || len(a) > 2600 {
		t.Errorf("%d keys, want some 2,400", len(a))
	}
	if len(a) != len(b) {
		t.Errorf("%d keys, then %d", len(a), len(b))
	}
	for key, line := range a {
		if b[key] != line {
			t.Errorf("%q: %s, then %s", key, line, b[key])
		}
	}
}

func TestSampleHasEverything(t *testing.T) {
	clock := newClock()
	c := one(t, embedded.Options{Sample: true, Now: clock.now})
	seen := map[string]int{}
	for key, line := range census(t, c) {
		f := strings.Fields(line)
		seen["type "+f[0]]++
		seen["encoding "+f[1]]++
		prefix, _, _ := strings.Cut(key, ":")
		seen["prefix "+prefix]++
		if f[3] == "-1ns" {
			seen["forever "+prefix]++
		}
	}
	for _, want := range []string{
		"type string", "type hash", "type list", "type set", "type zset", "type stream",
		"encoding int", "encoding embstr", "encoding raw", "encoding listpack", "encoding quicklist", "encoding hashtable",
		"encoding intset", "encoding skiplist", "encoding stream",
		"forever session", "forever user", "forever config", "prefix cart", "prefix visitors", "prefix tags",
	} {
		if seen[want] == 0 {
			t.Errorf("there is no %s", want)
		}
	}
	if seen["forever session"] != 1 || seen["prefix session"] < 600 {
		t.Errorf("%d sessions of %d live forever", seen["forever session"], seen["prefix session"])
	}
	if got := c.Get(t.Context(), "visitors:2026-09-05").Val(); !strings.HasPrefix(got, "HYLL") || len(got) != 12304 {
		t.Errorf("a HyperLogLog is %d bytes: %.8q", len(got), got)
	}
	if n := c.PFCount(t.Context(), "visitors:2026-09-05").Val(); n < 50 {
		t.Errorf("PFCOUNT is %d", n)
	}
	if n := c.ZCard(t.Context(), "leaderboard:all-time").Val(); n != 20000 {
		t.Errorf("ZCARD is %d", n)
	}
	clock.pass(11 * time.Minute)
	if n := c.HLen(t.Context(), "cart:held").Val(); n != 2 {
		t.Errorf("cart:held has %d fields once one has expired, want 2", n)
	}
}

func TestSampleLoadsQuickly(t *testing.T) {
	began := time.Now()
	start(t, embedded.Options{Sample: true})
	if took := time.Since(began); took > 20*time.Second { // 0.1 s on an idle machine; a guard against a slip, not a benchmark
		t.Errorf("loading took %v", took)
	}
}

func TestTrafficReadsOnly(t *testing.T) {
	clock := newClock()
	s := start(t, embedded.Options{Sample: true, Now: clock.now})
	c := client(t, s)
	before := c.DBSize(t.Context()).Val()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Traffic(ctx, 5000) }()
	deadline := time.Now().Add(20 * time.Second)
	var hits, misses float64
	for hits+misses < 2000 && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
		hits, _ = strconv.ParseFloat(info(t, c, "stats", "keyspace_hits"), 64)
		misses, _ = strconv.ParseFloat(info(t, c, "stats", "keyspace_misses"), 64)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if share := misses / (hits + misses); share < 0.12 || share > 0.18 {
		t.Errorf("%.0f hits and %.0f misses: a share of %.3f misses, want 0.15", hits, misses, share)
	}
	if after := c.DBSize(t.Context()).Val(); after != before {
		t.Errorf("%d keys before, %d after", before, after)
	}
	s.Close()
	if err := s.Traffic(t.Context(), 100); err == nil {
		t.Error("traffic on a closed server is no error")
	}
}

func TestDumpAndRestore(t *testing.T) {
	c := one(t, embedded.Options{Sample: true})
	for _, key := range []string{
		"product:0000", "product:0004", "config:maintenance", "counter:orders", "report:2026-q3", "user:0003:profile", "catalog:index", "queue:mails",
		"leaderboard:week:01", "leaderboard:all-time", "tags:home:00", "tags:kitchen:01", "events:orders", "blob:\xff\xfe\x80\x00",
	} {
		dump := c.Dump(t.Context(), key).Val()
		if err := c.Restore(t.Context(), "copy", time.Minute, dump).Err(); err != nil {
			t.Errorf("RESTORE of %q: %v", key, err)
			continue
		}
		if err := c.Restore(t.Context(), "copy", 0, dump).Err(); err == nil {
			t.Error("RESTORE overwrites")
		}
		a, b := content(t, c, key), content(t, c, "copy")
		if a != b {
			t.Errorf("%q differs after RESTORE:\n%.200s\n%.200s", key, a, b)
		}
		if ttl := c.TTL(t.Context(), "copy").Val(); ttl < 50*time.Second {
			t.Errorf("the TTL is %v", ttl)
		}
		do(t, c, "DEL", "copy")
	}
	dump := c.Dump(t.Context(), "product:0000").Val()
	if err := c.Restore(t.Context(), "copy", 0, dump[:20]+"x"+dump[21:]).Err(); err == nil {
		t.Error("a broken dump is taken")
	}
	if err := c.Restore(t.Context(), "copy", 0, "").Err(); err == nil {
		t.Error("an empty dump is taken")
	}
}

func content(t *testing.T, c *redis.Client, key string) string {
	ctx := t.Context()
	switch c.Type(ctx, key).Val() {
	case "string":
		return c.Get(ctx, key).Val()
	case "hash":
		return fmt.Sprint(c.HGetAll(ctx, key).Val())
	case "list":
		return fmt.Sprint(c.LRange(ctx, key, 0, -1).Val())
	case "set":
		members := c.SMembers(ctx, key).Val()
		slices.Sort(members)
		return fmt.Sprint(members)
	case "zset":
		return fmt.Sprint(c.ZRangeWithScores(ctx, key, 0, -1).Val())
	}
	return fmt.Sprint(c.XRange(ctx, key, "-", "+").Val())
}

package embedded_test

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/embedded"
)

// walk scans to the end and returns all keys.
func walk(t *testing.T, c *redis.Client, options ...any) (keys []string) {
	t.Helper()
	var cursor uint64
	var done float64
	for {
		args := append([]any{"SCAN", cursor}, options...)
		page := redis.NewScanCmd(t.Context(), c.Process, args...)
		if err := c.Process(t.Context(), page); err != nil {
			t.Fatal(err)
		}
		some, next := page.Val()
		keys = append(keys, some...)
		if next == 0 {
			return keys
		}
		if share := float64(bits.Reverse64(next)) / (1 << 64); share <= done {
			t.Fatalf("progress went from %v to %v", done, share)
		} else {
			done = share
		}
		cursor = next
	}
}

func TestScanReturnsWhatLivesThrough(t *testing.T) {
	s := start(t, embedded.Options{})
	c, other := client(t, s), client(t, s)
	want := map[string]int{}
	for i := range 2000 {
		key := fmt.Sprintf("stays:%d\xff\n", i)
		want[key] = 0
		do(t, c, "SET", key, "v")
		do(t, c, "SET", fmt.Sprint("goes:", i), "v")
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			other.Del(t.Context(), fmt.Sprint("goes:", i%2000))
			other.Set(t.Context(), fmt.Sprint("comes:", i), "v", 0)
		}
	}()
	for _, key := range walk(t, c, "COUNT", 37) {
		if _, ok := want[key]; ok {
			want[key]++
		}
	}
	close(stop)
	<-done
	for key, times := range want {
		if times != 1 {
			t.Fatalf("%q came %d times", key, times)
		}
	}
}

func TestScanOptions(t *testing.T) {
	c := one(t, embedded.Options{Sample: true})
	total := int(c.DBSize(t.Context()).Val())
	for _, count := range []int{1, 10, 1000, 100000} {
		if got := walk(t, c, "COUNT", count); len(got) != total {
			t.Errorf("COUNT %d brings %d keys of %d", count, len(got), total)
		}
	}
	keys, _ := c.Scan(t.Context(), 0, "", 25).Val()
	if len(keys) != 25 {
		t.Errorf("COUNT 25 brings %d keys", len(keys))
	}
	sum := 0
	for _, kind := range []string{"string", "hash", "list", "set", "zset", "stream"} {
		some := walk(t, c, "TYPE", kind, "COUNT", 500)
		sum += len(some)
		if len(some) == 0 || c.Type(t.Context(), some[0]).Val() != kind {
			t.Errorf("SCAN TYPE %s brings %d keys", kind, len(some))
		}
	}
	if sum != total {
		t.Errorf("by type there are %d keys, of %d", sum, total)
	}
	for _, bad := range []string{"scan x", "scan 0 count 0", "scan 0 count x", "scan 0 match", "scan 0 nonsense 1", "scan"} {
		if err := c.Do(t.Context(), words(bad)...).Err(); err == nil {
			t.Errorf("%s is no error", bad)
		}
	}
}

func TestScanMatchIsTheServersGlob(t *testing.T) {
	c := one(t, embedded.Options{})
	keys := []string{"a", "b-c", "h[x", `back\slash`, "new\nline", "\xff\x80", "user:1", "user:2", "user:10", "*", "é"}
	for _, key := range keys {
		do(t, c, "SET", key, "v")
	}
	for _, pattern := range []string{
		"*", "?", "user:?", "user:[1-2]*", "[^a]", "[z-a]", `\*`, "*[", `h\[x`, "h[[]x", "*\n*", "\xff?", "??", `*\\*`, "[\x80-\xff]*", "b[-]c", `[\]]`, "**1*",
	} {
		got := walk(t, c, "MATCH", pattern)
		var want []string
		for _, key := range keys {
			if backends.Match(pattern, key) {
				want = append(want, key)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("MATCH %q brings %q, want %q", pattern, got, want)
		}
		if byKeys := c.Keys(t.Context(), pattern).Val(); !slices.Equal(byKeys, want) {
			t.Errorf("KEYS %q brings %q, want %q", pattern, byKeys, want)
		}
	}
}

func TestElementScans(t *testing.T) {
	c := one(t, embedded.Options{Sample: true})
	fields := map[string]string{}
	pages := 0
	for cursor := uint64(0); ; pages++ {
		some, next, err := c.HScan(t.Context(), "catalog:index", cursor, "", 500).Result()
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(some); i += 2 {
			fields[some[i]] = some[i+1]
		}
		if cursor = next; next == 0 {
			break
		}
	}
	if len(fields) != 5000 || pages < 9 {
		t.Errorf("HSCAN brings %d fields in %d pages", len(fields), pages)
	}
	names, _ := c.HScanNoValues(t.Context(), "catalog:index", 0, "sku-0000?", 10000).Val()
	if len(names) != 10 || !strings.HasPrefix(names[0], "sku-") {
		t.Errorf("HSCAN NOVALUES brings %q", names)
	}
	small, next := c.HScan(t.Context(), "user:0001:profile", 0, "", 1).Val()
	if len(small) != 12 || next != 0 {
		t.Errorf("a small hash comes in %d words, cursor %d", len(small), next)
	}
	scores, _ := c.ZScan(t.Context(), "leaderboard:all-time", 0, "", 20).Val()
	if len(scores) != 40 {
		t.Errorf("ZSCAN COUNT 20 brings %d words", len(scores))
	}
	if err := c.SScan(t.Context(), "catalog:index", 0, "", 20).Err(); err == nil {
		t.Error("SSCAN of a hash is no error")
	}
	if got, _ := c.SScan(t.Context(), "none", 0, "", 20).Val(); len(got) != 0 {
		t.Error("SSCAN of nothing brings something")
	}
}

package decode

import (
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// TestHyperLogLogIsPFCOUNT compares the estimate from the bytes with the
// server's own, sparse and dense.
func TestHyperLogLogIsPFCOUNT(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{})
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	t.Cleanup(func() { c.Close() })
	for _, n := range []int{0, 1, 10, 500, 5000, 200_000} {
		key := fmt.Sprintf("hll:%d", n)
		pipe := c.Pipeline()
		pipe.PFAdd(t.Context(), key)
		for i := range n {
			pipe.PFAdd(t.Context(), key, i)
		}
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		value, _ := c.Get(t.Context(), key).Bytes() // before PFCOUNT, which writes its count into the value
		got, ok := HyperLogLog(value)
		if want := c.PFCount(t.Context(), key).Val(); !ok || int64(got) != want {
			t.Errorf("%d elements: %d, %v; PFCOUNT says %d", n, got, ok, want)
		}
	}
}

// FuzzHyperLogLog: no value makes the estimator panic or hang.
func FuzzHyperLogLog(f *testing.F) {
	f.Add([]byte("HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff"))
	f.Add([]byte("HYLL\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80"))
	f.Fuzz(func(t *testing.T, value []byte) { HyperLogLog(value) })
}

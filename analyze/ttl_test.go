package analyze_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cachectl/cachectl/analyze"
	"github.com/cachectl/cachectl/analyze/accumtest"
	"github.com/cachectl/cachectl/backends"
)

func TestTTLs(t *testing.T) {
	const day = 24 * time.Hour
	var h analyze.TTLs
	for _, ttl := range []time.Duration{
		backends.NoTTL, backends.NoTTL,
		0, time.Millisecond, time.Minute - 1, // <1m
		time.Minute, // <10m
		10 * time.Minute, time.Hour - 1,
		time.Hour, // <6h
		6 * time.Hour, day - 1,
		day,     // <7d
		7 * day, // <30d
		30 * day, 1<<63 - 1,
	} {
		h.Add(ttl)
	}
	want := []analyze.TTLBucket{{"none", 2}, {"<1m", 3}, {"<10m", 1}, {"<1h", 2}, {"<6h", 1}, {"<1d", 2}, {"<7d", 1}, {"<30d", 1}, {"more", 2}}
	if diff := cmp.Diff(want, h.Buckets()); diff != "" {
		t.Error(diff)
	}
	if h.Keys() != 15 {
		t.Errorf("%d keys, want 15", h.Keys())
	}
}

func TestTTLsLaws(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	items := []time.Duration{backends.NoTTL}
	for range 500 {
		items = append(items, time.Duration(random.Int64N(1<<random.Int64N(60)+1)))
	}
	accumtest.Laws(t, func() *analyze.TTLs { return new(analyze.TTLs) }, items, func(h *analyze.TTLs) any { return h.Buckets() })
}

package commands

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// TestJitterIsEven holds the places of keys that look alike against the even
// distribution: chi-square over 100 bins, whose 99.99 % quantile is 160.
func TestJitterIsEven(t *testing.T) {
	const n, bins = 100_000, 100
	for name, key := range map[string]func(int) string{
		"counted":   func(i int) string { return fmt.Sprint(i) },
		"prefixed":  func(i int) string { return fmt.Sprintf("session:%08d", i) },
		"same ends": func(i int) string { return fmt.Sprintf("%d:user:profile:cache", i) },
		"bytes":     func(i int) string { return string([]byte{byte(i), byte(i >> 8), byte(i >> 16)}) },
		"long":      func(i int) string { return fmt.Sprintf("%0500d", i) },
	} {
		for _, seed := range []string{"", "1", "2026-11"} {
			var counts [bins]float64
			together := 0.0 // of neighbours: must not go hand in hand
			before := 0.5
			for i := range n {
				p := place(key(i), seed)
				if p < 0 || p >= 1 {
					t.Fatalf("%s: place %v", name, p)
				}
				counts[int(p*bins)]++
				together += (p - 0.5) * (before - 0.5)
				before = p
			}
			chi := 0.0
			for _, c := range counts {
				chi += (c - n/bins) * (c - n/bins) / (n / bins)
			}
			if chi > 160 || chi < 55 {
				t.Errorf("%s, seed %q: chi-square %.1f with 99 degrees of freedom", name, seed, chi)
			}
			if r := together / n * 12; math.Abs(r) > 0.015 {
				t.Errorf("%s, seed %q: neighbours correlate by %.3f", name, seed, r)
			}
		}
	}
}

// TestJitterStays: a key's TTL is the same in every version.
func TestJitterStays(t *testing.T) {
	j := jitter{share: 0.1}
	for key, want := range map[string]time.Duration{
		"": 160348 * time.Millisecond, "a": -87559 * time.Millisecond, "b": 59301 * time.Millisecond, "session:1": 330592 * time.Millisecond, "\xff\x00": -193809 * time.Millisecond,
	} {
		if got := j.offset(key, time.Hour).Truncate(time.Millisecond); got != want {
			t.Errorf("%q: %v, want %v", key, got, want)
		}
	}
	if (jitter{share: 0.1, seed: "x"}).offset("a", time.Hour) == j.offset("a", time.Hour) {
		t.Error("another seed, and the same place")
	}
}

func TestJitterBounds(t *testing.T) {
	for _, ttl := range []time.Duration{time.Millisecond, time.Second, time.Hour, 365 * 24 * time.Hour, 290 * 365 * 24 * time.Hour} {
		for _, share := range []float64{0.001, 0.1, 0.5, 0.999} {
			j := jitter{share: share}
			least, most := time.Duration(math.MaxInt64), time.Duration(math.MinInt64)
			for i := range 5000 {
				o := j.offset(fmt.Sprint("k", i), ttl)
				if o < -j.width(ttl) || o > j.width(ttl) {
					t.Fatalf("%v ± %v: moved by %v", ttl, share, o)
				}
				if again := j.offset(fmt.Sprint("k", i), ttl); again != o {
					t.Fatalf("%v, then %v", o, again)
				}
				least, most = min(least, o), max(most, o)
			}
			if w := float64(j.width(ttl)); w > 1000 && (float64(least) > -0.99*w || float64(most) < 0.99*w) {
				t.Errorf("%v ± %v: all within %v and %v", ttl, share, least, most)
			}
		}
	}
	if o := (jitter{}).offset("k", time.Hour); o != 0 {
		t.Errorf("without jitter moved by %v", o)
	}
}

func TestParseJitter(t *testing.T) {
	for text, want := range map[string]jitter{"10%": {share: 0.1}, "0.5%": {share: 0.005}, "5m": {span: 5 * time.Minute}, "1d": {span: 24 * time.Hour}} {
		if got, err := parseJitter(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "10", "0%", "100%", "-5%", "NaN%", "%", "0s", "-5m", "1e400%"} {
		if j, err := parseJitter(text); err == nil {
			t.Errorf("%q: %+v", text, j)
		}
	}
}

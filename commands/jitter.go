package commands

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A jitter spreads times: each key's lies evenly within so much of the time itself, or
// within a span, before or after it. A key has the same place in every run with the same
// seed, on every machine and in every version.
type jitter struct {
	share float64 // 0.1 for ±10 %
	span  time.Duration
	seed  string
}

// parseJitter reads "10%" or "5m".
func parseJitter(text string) (j jitter, err error) {
	percent, isShare := strings.CutSuffix(text, "%")
	if !isShare {
		j.span, err = parseDuration(text)
		if err == nil && j.span == 0 {
			err = errors.New("it is more than 0")
		}
		return j, err
	}
	n, err := strconv.ParseFloat(percent, 64)
	if err != nil || !(n > 0 && n < 100) {
		return j, fmt.Errorf("%q: write it as 10%%, or as a time: 5m", text)
	}
	j.share = n / 100
	return j, nil
}

// none tells whether all keys are given the same.
func (j jitter) none() bool { return j.share == 0 && j.span == 0 }

// width is how far a time may be moved.
func (j jitter) width(ttl time.Duration) time.Duration {
	return j.span + time.Duration(j.share*float64(ttl))
}

// offset is by how much a key's time is moved.
func (j jitter) offset(key string, ttl time.Duration) time.Duration {
	if j.none() {
		return 0
	}
	return time.Duration(float64(j.width(ttl)) * (2*place(key, j.seed) - 1))
}

// place is where a key stands between 0 and 1: FNV-1a of seed, NUL and key, and the
// finalizer of MurmurHash3, without which short keys that differ in their last byte
// would be neighbours.
func place(key, seed string) float64 {
	h := uint64(14695981039346656037)
	for _, text := range [...]string{seed, "\x00", key} {
		for i := range len(text) {
			h = (h ^ uint64(text[i])) * 1099511628211
		}
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return float64(h>>11) / (1 << 53)
}

package loadgen

import (
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// The range of a Histogram. What is longer counts as the longest, what is shorter as the shortest.
const (
	Shortest = time.Microsecond
	Longest  = time.Hour
)

// A Histogram counts durations in buckets no wider than a thousandth of what is in them
// (three digits), from Shortest to Longest. Histograms add up exactly. The zero value is
// empty and ready; it is not safe for concurrent use.
type Histogram struct {
	h *hdr.Histogram
}

func (h *Histogram) made() *hdr.Histogram {
	if h.h == nil {
		h.h = hdr.New(int64(Shortest), int64(Longest), 3)
	}
	return h.h
}

// Add counts d.
func (h *Histogram) Add(d time.Duration) { h.AddN(d, 1) }

// AddN counts d n times.
func (h *Histogram) AddN(d time.Duration, n uint64) {
	h.made().RecordValues(int64(min(max(d, Shortest), Longest)), int64(n))
}

// Merge adds all of other.
func (h *Histogram) Merge(other *Histogram) {
	if other.h != nil {
		h.made().Merge(other.h)
	}
}

// Count is how many durations were added.
func (h *Histogram) Count() uint64 {
	if h.h == nil {
		return 0
	}
	return uint64(h.h.TotalCount())
}

// Quantile is the duration that the share q (0 to 1) does not exceed, as the upper end of its bucket; 0 where there is none.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.h == nil {
		return 0
	}
	return time.Duration(h.h.ValueAtQuantile(q * 100))
}

package loadgen

import (
	"iter"
	"math/bits"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// The range of a Histogram. What is longer counts as the longest, what is shorter as the shortest.
const (
	Shortest = time.Microsecond
	Longest  = time.Hour
)

// The geometry of Histograms, in HdrHistogram's words. With a unit of a microsecond a
// bucket at 50 µs would be a hundredth wide.
const (
	finest = 64 // lowest discernible value, in nanoseconds: the narrowest bucket
	fine   = 3  // significant digits
	coarse = 2
)

// A Histogram counts durations in buckets no wider than a thousandth of what is in them (three
// digits) or 64 ns, whichever is more, from Shortest to Longest. Histograms add up exactly. The
// zero value is empty and ready; it is not safe for concurrent use, and a copy shares what is in it.
//
// While durations are added it takes 220 KB, and a few nanoseconds for each. Pack or
// Coarsen it when no more will come: it is then as large as it has filled buckets.
type Histogram struct {
	h *hdr.Histogram       // fine
	p *hdr.PackedHistogram // fine or coarse; h is nil then
}

// Add counts d.
func (h *Histogram) Add(d time.Duration) { h.AddN(d, 1) }

// AddN counts d n times.
func (h *Histogram) AddN(d time.Duration, n uint64) {
	v := int64(min(max(d, Shortest), Longest))
	if h.p != nil {
		h.p.RecordValues(v, int64(n))
	} else {
		h.dense().RecordValues(v, int64(n))
	}
}

func (h *Histogram) dense() *hdr.Histogram {
	if h.h == nil {
		h.h = hdr.New(finest, int64(Longest), fine)
	}
	return h.h
}

// Merge adds all of other, which stays as it is. The sum of a coarse one and another is coarse.
func (h *Histogram) Merge(other *Histogram) {
	if other.Count() == 0 {
		return
	}
	if other.digits() < h.digits() {
		h.Coarsen()
	}
	switch {
	case h.p != nil && other.p != nil:
		h.p.Merge(other.p)
	case h.p != nil:
		h.p.MergeFrom(other.h)
	case other.p != nil:
		other.p.MergeInto(h.dense())
	default:
		h.dense().Merge(other.h)
	}
}

// Pack makes the Histogram small. It can do all it could, but adds slowly.
func (h *Histogram) Pack() { h.p, h.h = h.packed(), nil }

// Coarsen packs the Histogram, and makes its buckets a hundredth wide (two digits): enough for
// a second of many, at a quarter of the size. Wide buckets are unions of narrow ones, so it
// does not matter when it is done.
func (h *Histogram) Coarsen() {
	if h.digits() == coarse {
		return
	}
	p := hdr.NewPacked(finest, int64(Longest), coarse)
	for low, count := range h.packed().ForEachBucket {
		p.RecordValues(low, count)
	}
	p.Compact()
	h.p, h.h = p, nil
}

func (h *Histogram) digits() int64 {
	if h.p != nil {
		return h.p.SignificantFigures()
	}
	return fine
}

// packed is the Histogram as a packed one, which the caller does not change.
func (h *Histogram) packed() *hdr.PackedHistogram {
	if h.p != nil {
		return h.p
	}
	p := hdr.NewPacked(finest, int64(Longest), fine)
	if h.h != nil {
		p.MergeFrom(h.h)
		p.Compact()
	}
	return p
}

// Count is how many durations were added.
func (h *Histogram) Count() uint64 {
	switch {
	case h.p != nil:
		return uint64(h.p.TotalCount())
	case h.h != nil:
		return uint64(h.h.TotalCount())
	}
	return 0
}

// Quantile is the duration that the share q (0 to 1) does not exceed, as the upper end of its
// bucket; 0 where there is none. The rank is rounded to the nearest, as HdrHistogram does.
func (h *Histogram) Quantile(q float64) time.Duration {
	switch {
	case h.Count() == 0:
		return 0
	case h.p != nil:
		return time.Duration(h.p.ValueAtPercentile(q * 100))
	}
	return time.Duration(h.h.ValueAtPercentile(q * 100))
}

// Min is the lower end of the bucket of the shortest duration, 0 where there is none.
func (h *Histogram) Min() time.Duration { return h.Quantile(0) }

// Max is the upper end of the bucket of the longest duration, 0 where there is none.
func (h *Histogram) Max() time.Duration { return h.Quantile(1) }

// Mean is the arithmetic mean, each duration taken for the middle of its bucket; 0 where there is none.
func (h *Histogram) Mean() time.Duration { return time.Duration(h.packed().Mean()) }

// Buckets brings the buckets that are not empty, shortest first: upper end and count.
func (h *Histogram) Buckets() iter.Seq2[time.Duration, uint64] {
	return func(yield func(time.Duration, uint64) bool) {
		for low, count := range h.packed().ForEachBucket {
			width := int64(finest) << max(bits.Len64(uint64(low/finest))-h.bits(), 0)
			if !yield(time.Duration(low+width-1), uint64(count)) {
				return
			}
		}
	}
}

// bits is how many bits of a value its bucket tells: the logarithm of HdrHistogram's sub-buckets.
func (h *Histogram) bits() int {
	if h.digits() == coarse {
		return 8
	}
	return 11
}

// doublings is how many times the width of buckets doubles up to Longest: HdrHistogram's buckets.
func (h *Histogram) doublings() int { return bits.Len64(uint64(Longest/finest)) - h.bits() + 1 }

// A Quantile is one of the figures that a distribution is told by.
type Quantile struct {
	Name string
	Q    float64
}

// Quantiles are the figures that latency is told by.
var Quantiles = []Quantile{{"p50", .5}, {"p90", .9}, {"p99", .99}, {"p99.9", .999}, {"p99.99", .9999}, {"max", 1}}

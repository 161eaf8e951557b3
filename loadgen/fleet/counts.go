package fleet

import (
	"math/bits"
	"slices"
)

// Counts is a distribution of whole numbers: exact up to 4095, and beyond in steps of less than a
// thousandth. Sum, Squares and Most are of the numbers themselves. Distributions add up exactly. The zero value is empty.
type Counts struct {
	N       uint64   `json:"n"`       // how many numbers
	Sum     uint64   `json:"sum"`     // of all of them
	Squares float64  `json:"squares"` // sum of their squares
	Most    uint64   `json:"most"`
	Values  []Bucket `json:"values"` // by Value, none with Count 0
}

// A Bucket is a number, or the greatest of those that are counted together, and how often it came.
type Bucket struct {
	Value uint64 `json:"value"`
	Count uint64 `json:"count"`
}

// Add counts v.
func (c *Counts) Add(v uint64) {
	c.N++
	c.Sum += v
	c.Squares += float64(v) * float64(v)
	c.Most = max(c.Most, v)
	c.count(rounded(v), 1)
}

func (c *Counts) count(v, n uint64) {
	i, found := slices.BinarySearchFunc(c.Values, v, func(b Bucket, v uint64) int {
		if b.Value < v {
			return -1
		}
		return min(1, int(b.Value-v))
	})
	if !found {
		c.Values = slices.Insert(c.Values, i, Bucket{Value: v})
	}
	c.Values[i].Count += n
}

// rounded is v with its twelve highest bits, the rest filled with ones.
func rounded(v uint64) uint64 {
	if drop := bits.Len64(v) - 12; drop > 0 {
		return v | (1<<drop - 1)
	}
	return v
}

// Merge adds all of other.
func (c *Counts) Merge(other *Counts) {
	c.N += other.N
	c.Sum += other.Sum
	c.Squares += other.Squares
	c.Most = max(c.Most, other.Most)
	for _, b := range other.Values {
		c.count(b.Value, b.Count)
	}
}

// Mean is the mean; 0 where there is nothing.
func (c *Counts) Mean() float64 {
	if c.N == 0 {
		return 0
	}
	return float64(c.Sum) / float64(c.N)
}

// Variance is the sample's, with N-1 below the line; 0 where there are fewer than two.
func (c *Counts) Variance() float64 {
	if c.N < 2 {
		return 0
	}
	return max(0, c.Squares-float64(c.Sum)*c.Mean()) / float64(c.N-1)
}

// Quantile is the least number that the share q (0 to 1) does not exceed; 0 where there is nothing.
func (c *Counts) Quantile(q float64) uint64 {
	seen := uint64(0)
	for _, b := range c.Values {
		seen += b.Count
		if float64(seen) >= q*float64(c.N) {
			return min(b.Value, c.Most)
		}
	}
	return c.Most
}

// Max is the greatest that was counted; 0 where nothing was.
func (c *Counts) Max() uint64 { return c.Quantile(1) }

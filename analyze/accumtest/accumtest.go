// Package accumtest tests the laws of an accumulator.
package accumtest

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cachectl/cachectl/analyze"
)

// Laws checks, with random orders and partitions of items, that the finding
// depends on neither. read turns an accumulator into what it found; options are
// for comparing two of those.
func Laws[T any, A analyze.Accumulator[T, A]](t *testing.T, newA func() A, items []T, read func(A) any, options ...cmp.Option) {
	t.Helper()
	whole := newA()
	for _, item := range items {
		whole.Add(item)
	}
	want := read(whole)
	random := rand.New(rand.NewPCG(1, uint64(len(items))))
	for range 50 {
		parts := make([]A, 1+random.IntN(5))
		for i := range parts {
			parts[i] = newA()
		}
		for _, i := range random.Perm(len(items)) {
			parts[random.IntN(len(parts))].Add(items[i])
		}
		sum := newA()
		for _, i := range random.Perm(len(parts)) {
			sum.Merge(parts[i])
		}
		if diff := cmp.Diff(want, read(sum), options...); diff != "" {
			t.Fatalf("split over %d accumulators and merged (-whole +merged):\n%s", len(parts), diff)
		}
	}
}

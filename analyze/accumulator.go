// Package analyze turns streams into findings. Each finding is one file, one
// type, and pure: no clock, no input or output, no formatting. It knows
// entries and statistics, and nothing of where they come from.
package analyze

import (
	"iter"

	"github.com/cachectl/cachectl/backends"
)

// An Accumulator is a finding under way. Neither the order of Add nor the
// partition matters: what was added to two accumulators that are then merged is
// what was added to one. So a cluster is looked at shard by shard, and runs on
// several machines are added up. accumtest.Laws tests it.
type Accumulator[T any, A any] interface {
	Add(T)
	Merge(A)
}

// Fold adds the whole stream to into. It returns the error that ended the
// stream; trouble with a shard and notices are handed to trouble and do not
// end it.
func Fold[T any](seq iter.Seq2[T, error], trouble func(error), into ...interface{ Add(T) }) error {
	for item, err := range seq {
		switch {
		case backends.Ends(err):
			return err
		case err != nil:
			trouble(err)
		default:
			for _, a := range into {
				a.Add(item)
			}
		}
	}
	return nil
}

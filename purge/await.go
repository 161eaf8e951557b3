package purge

import (
	"context"
	"fmt"
	"iter"
	"sync"
)

// maxWaits bounds how many receipts of one target are asked about at once.
const maxWaits = 4

// Await waits for all receipts, those of different targets in parallel, and
// yields each as it settles: Completed, or Accepted where the provider has no
// way to tell more. An error belongs to the receipt beside it and does not end
// the stream; after the end of ctx every receipt that is left comes with
// ctx's error. Receipts with one ID are asked about once.
func Await(ctx context.Context, purgers []Purger, receipts []Receipt) iter.Seq2[Receipt, error] {
	type settled struct {
		receipt Receipt
		err     error
	}
	return func(yield func(Receipt, error) bool) {
		inner, cancel := context.WithCancel(ctx)
		defer cancel()
		out := make(chan settled)
		var running sync.WaitGroup
		for target, mine := range byTarget(receipts) {
			queue := make(chan Receipt, len(mine))
			for _, r := range mine {
				queue <- r
			}
			close(queue)
			for range min(maxWaits, len(mine)) {
				running.Go(func() {
					for r := range queue {
						r, err := await(inner, find(purgers, target), r)
						out <- settled{r, err}
					}
				})
			}
		}
		go func() { running.Wait(); close(out) }()
		left := false
		for s := range out {
			if !left && !yield(s.receipt, s.err) {
				left = true
				cancel()
			}
		}
	}
}

func byTarget(receipts []Receipt) map[string][]Receipt {
	mine := make(map[string][]Receipt)
	seen := make(map[[2]string]bool)
	for _, r := range receipts {
		id := [2]string{r.Target, r.ID}
		if r.ID == "" || !seen[id] {
			mine[r.Target] = append(mine[r.Target], r)
		}
		seen[id] = true
	}
	return mine
}

func find(purgers []Purger, name string) Purger {
	for _, p := range purgers {
		if p.Name() == name {
			return p
		}
	}
	return nil
}

func await(ctx context.Context, p Purger, r Receipt) (Receipt, error) {
	if r.State != InProgress {
		return r, nil
	}
	if p == nil {
		return r, fmt.Errorf("wait for %s: no target %s", r.ID, r.Target)
	}
	w, err := As[Waiter](p)
	if err == nil {
		err = w.Wait(ctx, r)
	}
	if err != nil {
		return r, err
	}
	r.State = Completed
	return r, nil
}

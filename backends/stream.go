package backends

import (
	"context"
	"iter"
	"slices"
	"sync"
)

// The helpers below are functions from stream to stream. All of them pass
// errors on, in order, and stop their source when their reader stops.

// Entries unpacks pages. Each entry tells its page's shard.
func Entries(pages iter.Seq2[Page, error]) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for page, err := range pages {
			if err != nil && !yield(Entry{}, err) {
				return
			}
			for _, e := range page.Entries {
				e.Shard = page.Shard
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// Pages makes pages of n keys each, of no shard. Each page is the reader's to keep.
func Pages(keys iter.Seq[string], n int) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		for batch := range Batch(keys, n) {
			page := Page{Entries: make([]Entry, len(batch))}
			for i, key := range batch {
				page.Entries[i].Key = key
			}
			if !yield(page, nil) {
				return
			}
		}
	}
}

// Where drops the entries of pages that keep says no to. The pages stay, empty
// ones too: they tell how far the walk is.
func Where(pages iter.Seq2[Page, error], keep func(*Entry) bool) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		for page, err := range pages {
			kept := page.Entries[:0]
			for i := range page.Entries {
				if keep(&page.Entries[i]) {
					kept = append(kept, page.Entries[i])
				}
			}
			page.Entries = kept
			if !yield(page, err) {
				return
			}
		}
	}
}

// Filter passes on the items that keep says yes to.
func Filter[T any](seq iter.Seq2[T, error], keep func(T) bool) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for item, err := range seq {
			if (err != nil || keep(item)) && !yield(item, err) {
				return
			}
		}
	}
}

// Take ends the stream after n items. Errors do not count. n below 1 takes nothing.
func Take[T any](seq iter.Seq2[T, error], n int64) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		left := n
		if left < 1 {
			return
		}
		for item, err := range seq {
			if !yield(item, err) {
				return
			}
			if err == nil {
				if left--; left == 0 {
					return
				}
			}
		}
	}
}

// Observe shows every item to see before passing it on: progress and counts.
func Observe[T any](seq iter.Seq2[T, error], see func(T)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for item, err := range seq {
			if err == nil {
				see(item)
			}
			if !yield(item, err) {
				return
			}
		}
	}
}

// Pace slows pages down: after each page it waits for as many tokens as the
// page has entries, one at least, so that empty pages are paced as well. wait
// has the form of (*rate.Limiter).WaitN; its error ends the stream.
func Pace(ctx context.Context, pages iter.Seq2[Page, error], wait func(ctx context.Context, n int) error) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		for page, err := range pages {
			if !yield(page, err) {
				return
			}
			if err == nil && page.Last {
				continue
			}
			if err := wait(ctx, max(1, len(page.Entries))); err != nil {
				yield(Page{}, err)
				return
			}
		}
	}
}

// Batch groups items into slices of n, the last one shorter. Each slice is
// the reader's to keep.
func Batch[T any](seq iter.Seq[T], n int) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		batch := make([]T, 0, n)
		for item := range seq {
			if batch = append(batch, item); len(batch) == n {
				if !yield(slices.Clone(batch)) {
					return
				}
				batch = batch[:0]
			}
		}
		if len(batch) > 0 {
			yield(batch)
		}
	}
}

// Parallel runs every source in a goroutine of its own, each one item ahead of
// the reader, and passes on what they bring as it comes. An error that Ends one
// source ends the whole: the context handed to the sources is cancelled, what they
// still bring is passed on, and the error comes last. The same happens when ctx
// ends. When the reader stops, Parallel returns only when all sources have.
func Parallel[T any](ctx context.Context, sources ...func(context.Context) iter.Seq2[T, error]) iter.Seq2[T, error] {
	type item struct {
		value T
		err   error
	}
	return func(yield func(T, error) bool) {
		inner, cancel := context.WithCancel(ctx)
		out, left := make(chan item), make(chan struct{})
		var running sync.WaitGroup
		for _, source := range sources {
			running.Go(func() {
				for value, err := range source(inner) {
					select {
					case out <- item{value, err}:
					case <-left:
						return
					}
				}
			})
		}
		go func() { running.Wait(); close(out) }()
		defer func() {
			close(left)
			cancel()
			for range out { // until the last source has returned
			}
		}()
		var ended error
		for it := range out {
			if Ends(it.err) {
				if ended == nil {
					ended = it.err
				}
				cancel()
			} else if !yield(it.value, it.err) {
				return
			}
		}
		// Sources that a cancelled context silenced must not look like an end.
		if ended == nil {
			ended = ctx.Err()
		}
		if ended != nil {
			var none T
			yield(none, ended)
		}
	}
}

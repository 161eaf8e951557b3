package commands

import (
	"context"
	"iter"
	"slices"

	"github.com/cachectl/cachectl/backends"
)

// A source brings the keys that a bulk change is about: those that a search of the
// keyspace finds, or those of a list.
type source struct {
	selection *selection
	listed    bool
	keys      []string          // of the list
	plan      map[string][]seen // what a plan file knows of them; nil: they come from elsewhere
}

// listPage is the page of a list. Its keys are spread over all nodes of a cluster.
const listPage = 500

// parts are what b is worked on in: its shards, each at its own pace, for a search,
// and the whole for a list, whose keys may be anywhere.
func (s *source) parts(ctx context.Context, b backends.Backend) ([]backends.Backend, error) {
	sharder, ok := b.(backends.Sharder)
	if s.listed || !ok {
		return []backends.Backend{b}, nil
	}
	return sharder.Shards(ctx)
}

// pages brings the selected keys of b, a search from the marks on, with the facts that
// are wanted beside those that the filters need.
func (s *source) pages(ctx context.Context, b backends.Backend, from map[string]backends.Mark, want backends.Facts) iter.Seq2[backends.Page, error] {
	if s.plan != nil {
		return s.planned(ctx, min(listPage, max(s.selection.query.Count, 1)))
	}
	if s.listed {
		return s.list(ctx, b, want|s.selection.needs())
	}
	scanner, err := backends.As[backends.Scanner](b)
	if err != nil {
		return ended[backends.Page](err)
	}
	query := s.selection.query
	query.Want |= want
	query.From = from
	pages := insist(scanner.Scan(ctx, query), s.selection.needs())
	if len(s.selection.filters) > 0 {
		pages = backends.Where(pages, s.selection.keep)
	}
	return pages
}

// list brings the keys of the list. Where facts are wanted, those that are not there
// are left out.
func (s *source) list(ctx context.Context, b backends.Backend, want backends.Facts) iter.Seq2[backends.Page, error] {
	all := len(s.keys)
	pages := func(yield func(backends.Page, error) bool) {
		size, done := min(listPage, max(s.selection.query.Count, 1)), 0
		for page, err := range backends.Pages(slices.Values(s.keys), size) {
			if ctx.Err() != nil {
				yield(backends.Page{}, context.Cause(ctx))
				return
			}
			done += len(page.Entries)
			page.Done = float64(done) / float64(all)
			if !yield(page, err) {
				return
			}
		}
	}
	if want == 0 {
		return pages
	}
	inspector, err := backends.As[backends.Inspector](b)
	if err != nil {
		return ended[backends.Page](err)
	}
	known := func(yield func(backends.Page, error) bool) {
		for page := range pages {
			keys := make([]string, len(page.Entries))
			for i := range page.Entries {
				keys[i] = page.Entries[i].Key
			}
			page.Entries = page.Entries[:0]
			for e, err := range inspector.Inspect(ctx, want, slices.Values(keys)) {
				if err != nil {
					if !yield(backends.Page{}, err) || backends.Ends(err) {
						return
					}
					continue
				}
				page.Entries = append(page.Entries, e)
			}
			if !yield(page, nil) {
				return
			}
		}
	}
	return backends.Where(insist(known, s.selection.needs()), s.selection.keep)
}

// ended is a stream that ends before it begins.
func ended[T any](err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		yield(none, err)
	}
}

// can tells whether b has a capability.
func can[C any](b backends.Backend) error {
	_, err := backends.As[C](b)
	return err
}

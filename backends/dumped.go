package backends

import (
	"context"
	"iter"
)

// A Dumped is what was dumped of a page, or a piece of that: then Records may be many, and
// the page's place comes with the last piece.
type Dumped struct {
	Page
	Records []Record
	More    bool // the page goes on in the next; After, Last and Done are not told yet
}

// DumpAhead reads the keys of pages by read, which is Dump or Export: several pages at a
// time, so that a cache that is a pile of servers, or far away, is not waited for page by
// page. What comes of a page stands in the order of the pages, so that a run which goes on
// behind the After of the last piece of any page misses nothing.
//
// Pages are read where the caller stands; what is dumped is not ahead of the reader by
// more than three pieces a page. An error of the pages comes behind what was dumped before,
// a *KeyError or a *Notice of a dump in its place; any other error of a dump is the end.
// When the reader stops, DumpAhead returns only when all dumps have.
func DumpAhead(ctx context.Context, pages iter.Seq2[Page, error], ahead int, read func(context.Context, []string) iter.Seq2[[]Record, error]) iter.Seq2[Dumped, error] {
	return func(yield func(Dumped, error) bool) {
		inner, cancel := context.WithCancel(ctx)
		var pending []chan dumpPiece
		defer func() {
			cancel()
			for _, pieces := range pending {
				for range pieces { // until its dump has returned
				}
			}
		}()
		give := func(left int) bool {
			for len(pending) > left {
				whole := false
				for piece := range pending[0] {
					if !yield(piece.Dumped, piece.err) || Ends(piece.err) {
						return false
					}
					whole = piece.err == nil && !piece.More
				}
				if pending = pending[1:]; !whole {
					yield(Dumped{}, context.Cause(ctx))
					return false
				}
			}
			return true
		}
		for page, err := range pages {
			if err != nil {
				if !give(0) || !yield(Dumped{}, err) || Ends(err) {
					return
				}
				continue
			}
			pieces := make(chan dumpPiece, 1)
			pending = append(pending, pieces)
			keys := make([]string, len(page.Entries))
			for i := range page.Entries {
				keys[i] = page.Entries[i].Key
			}
			page.Entries = nil
			go func() {
				defer close(pieces)
				dumpPage(inner, page, read(inner, keys), pieces)
			}()
			if !give(max(0, ahead-1)) {
				return
			}
		}
		give(0)
	}
}

// Reading is how from is read for to: by Dump where to takes what that writes, else by
// Export, and then portable is true. A cache that does not tell its format is read by
// Export where it can be.
func Reading(ctx context.Context, from, to Backend) (read func(context.Context, []string) iter.Seq2[[]Record, error], portable bool, err error) {
	source, tells := from.(Formatter)
	target, takes := to.(Formatter)
	if tells && takes {
		format, err := source.Format(ctx)
		if err == nil && format != "" {
			takes, err = target.Takes(ctx, format)
		}
		if ctx.Err() != nil {
			return nil, false, context.Cause(ctx)
		}
		tells = err == nil
	}
	if e, can := from.(Exporter); can && !(tells && takes) {
		return e.Export, true, nil
	}
	d, err := As[Dumper](from)
	if err != nil {
		return nil, false, err
	}
	return d.Dump, false, nil
}

type dumpPiece struct {
	Dumped
	err error
}

// dumpPage sends what is dumped of a page, one piece behind, so that the last is known.
func dumpPage(ctx context.Context, page Page, records iter.Seq2[[]Record, error], to chan<- dumpPiece) {
	send := func(p dumpPiece) bool {
		select {
		case to <- p:
			return true
		case <-ctx.Done():
			return false
		}
	}
	part := Page{Shard: page.Shard}
	var held []Record
	for some, err := range records {
		switch {
		case err != nil:
			if !send(dumpPiece{err: err}) || Ends(err) {
				return
			}
			continue
		case held != nil && !send(dumpPiece{Dumped: Dumped{Page: part, Records: held, More: true}}):
			return
		}
		held = some
	}
	if ctx.Err() != nil { // what was broken off is not the whole page
		return
	}
	send(dumpPiece{Dumped: Dumped{Page: page, Records: held}})
}

package commands

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/archive"
)

// A backupFile is where records go. Several shards use one at a time; *archive.Writer is
// one.
type backupFile interface {
	Append(records ...backends.Record) error
	Sync() error // returns when everything appended before is durable
}

// A backup keeps what a run deletes.
type backup struct {
	path string
	file *archive.Writer
}

// open begins the file, or goes on with it where the run does.
func (k *backup) open(h archive.Header, again bool) (err error) {
	if again {
		var was archive.Header
		if k.file, was, _, err = archive.Resume(k.path); err == nil && was.Run != h.Run {
			err = errors.Join(fmt.Errorf("backup %s: it is of another run", k.path), k.file.Close())
		}
		if !errors.Is(err, fs.ErrNotExist) { // it ended before it came so far
			return err
		}
	}
	if k.file, err = archive.Create(k.path, h); errors.Is(err, fs.ErrExist) {
		err = withHint(&usageError{err}, "a backup is never overwritten: name another file")
	}
	return err
}

// stage backs pages up on their way to be deleted.
func (k *backup) stage(ctx context.Context, shard backends.Backend, pages iter.Seq2[backends.Page, error]) iter.Seq2[backends.Page, error] {
	if k.file == nil {
		return pages
	}
	dumper, err := backends.As[backends.Dumper](shard)
	if err != nil {
		return ended[backends.Page](err)
	}
	return backUp(ctx, dumper, k.file, pages)
}

func (k *backup) close() error {
	if k.file == nil {
		return nil
	}
	return k.file.Close()
}

// A backupError is trouble with the backup file: it ends the run, whatever shard met it.
type backupError struct{ err error }

func (e *backupError) Error() string { return e.err.Error() }
func (e *backupError) Unwrap() error { return e.err }

// backupAhead is how many pages may be dumped and not yet passed on. One pass of the disk
// serves all that are.
const backupAhead = 16

// A backedUp is a page whose records are appended, or an error of the stream.
type backedUp struct {
	page backends.Page
	err  error
}

// backUp passes pages on when the records of all their keys are durable in the file, and
// without the keys that are gone. Pages are dumped ahead, in a goroutine of its own, so
// that the server, the disk and who comes next work side by side; what is dumped when the
// disk is free goes to it together. A key that cannot be read is left out, and told as a
// *backends.KeyError. When the file cannot be written the stream ends: nothing is passed
// on that is not recorded.
//
// A key that is written between being dumped and being changed is recorded as it was
// before; entries with a Guard do not have that gap.
func backUp(ctx context.Context, dumper backends.Dumper, file backupFile, pages iter.Seq2[backends.Page, error]) iter.Seq2[backends.Page, error] {
	return func(yield func(backends.Page, error) bool) {
		inner, cancel := context.WithCancel(ctx)
		ready, left := make(chan backedUp, backupAhead), make(chan struct{})
		go func() {
			defer close(ready)
			dumpAhead(inner, dumper, file, pages, func(b backedUp) bool {
				select {
				case ready <- b:
					return true
				case <-left:
					return false
				}
			})
		}()
		defer func() {
			close(left)
			cancel()
			for range ready { // until the source has returned
			}
		}()
		for first := range ready {
			group := []backedUp{first}
			for n := len(ready); n > 0; n-- {
				group = append(group, <-ready)
			}
			if err := file.Sync(); err != nil {
				yield(backends.Page{}, &backupError{err})
				return
			}
			for _, b := range group {
				if !yield(b.page, b.err) || backends.Ends(b.err) {
					return
				}
			}
		}
	}
}

// A dumped step is some records of a page, an error, or the page itself behind all of
// its records.
type dumped struct {
	records []backends.Record
	err     error
	page    *backends.Page
}

// dumpAhead appends the records of pages, and passes on each page with the keys that are
// recorded whole. Behind an error that ends the stream it asks for no more. The server is
// asked in a goroutine of its own, so that it is not idle while records are packed.
func dumpAhead(ctx context.Context, dumper backends.Dumper, file backupFile, pages iter.Seq2[backends.Page, error], pass func(backedUp) bool) {
	steps, left := make(chan dumped), make(chan struct{})
	go func() {
		defer close(steps)
		dumpPages(ctx, dumper, pages, func(d dumped) bool {
			select {
			case steps <- d:
				return true
			case <-left:
				return false
			}
		})
	}()
	defer func() {
		close(left)
		for range steps { // until the source has returned
		}
	}()
	recorded := make(map[string]bool)
	for step := range steps {
		err := step.err
		if len(step.records) > 0 {
			if failed := file.Append(step.records...); failed != nil {
				err = &backupError{failed}
			}
		}
		if err != nil && (!pass(backedUp{err: notBackedUp(err)}) || backends.Ends(err)) {
			return
		}
		for i := range step.records {
			if !step.records[i].More {
				recorded[step.records[i].Key] = true
			}
		}
		if step.page == nil {
			continue
		}
		step.page.Entries = slices.DeleteFunc(step.page.Entries, func(e backends.Entry) bool { return !recorded[e.Key] })
		if !pass(backedUp{page: *step.page}) {
			return
		}
		clear(recorded)
	}
}

// dumpPages brings the records of pages, each page behind its own. Another page is dumped
// while one is: else the server would be idle between them.
func dumpPages(ctx context.Context, dumper backends.Dumper, pages iter.Seq2[backends.Page, error], give func(dumped) bool) {
	var asked []backends.Page // which records are awaited of, in order
	own := func(yield func(backends.Page, error) bool) {
		for page, err := range pages {
			if err == nil {
				page = ownPage(page)
				asked = append(asked, page)
			}
			if !yield(page, err) {
				return
			}
		}
	}
	for d, err := range backends.DumpAhead(ctx, own, 2, dumper.Dump) {
		step := dumped{records: d.Records, err: err}
		if err == nil && !d.More {
			page := asked[0]
			step.page, asked = &page, asked[1:]
		}
		if !give(step) || backends.Ends(err) {
			return
		}
	}
}

// notBackedUp says of a key what its error means here.
func notBackedUp(err error) error {
	if key, ok := err.(*backends.KeyError); ok {
		return &backends.KeyError{Key: key.Key, Err: fmt.Errorf("it is kept, because it cannot be backed up: %w", key.Err)}
	}
	return err
}

// ownPage is a page that stays good when the next one is asked for.
func ownPage(page backends.Page) backends.Page {
	size := 0
	for i := range page.Entries {
		size += len(page.Entries[i].Key)
	}
	var all strings.Builder
	all.Grow(size)
	entries := make([]backends.Entry, len(page.Entries))
	for i, e := range page.Entries {
		from := all.Len()
		all.WriteString(e.Key)
		e.Key, e.Guard = all.String()[from:], strings.Clone(e.Guard)
		entries[i] = e
	}
	page.Entries = entries
	return page
}

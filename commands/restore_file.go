package commands

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/archive"
	"github.com/cachectl/cachectl/commands/render"
)

// A restoring is one run of restore: the file, and what was found in it.
type restoring struct {
	*restoreOptions
	path string
	file *archive.Reader
	now  time.Time
	did  map[backends.Verb]int64 // keys that this became of

	keys     int64 // that are selected
	bytes    int64 // of their values
	ended    int64 // of them, those whose time has passed
	older    int64 // values that a later one of the same key replaces
	examples []string
	twice    map[identity]int // keys that come more than once, and how often
	torn     *archive.TornError
	done     float64 // share of the file that is read
}

// An identity tells the values of a cache apart: a key, and the node where that matters.
// It is two hashes of 64 bits, because a file may hold more keys than memory.
type identity [2]uint64

var identitySeeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func identityOf(r *backends.Record) identity {
	name := r.Key
	if r.Shard != "" {
		name += "\x00" + r.Shard
	}
	return identity{maphash.String(identitySeeds[0], name), maphash.String(identitySeeds[1], name)}
}

// selected tells whether a record is asked for.
func (r *restoring) selected(record *backends.Record) bool {
	return r.selection.matches(record.Key) && (r.selection.kind == "" || strings.EqualFold(record.Type, r.selection.kind))
}

// expires is when a record's key is to end.
func (r *restoring) expires(record *backends.Record) time.Time {
	if r.ttl == ttlAsItWas && !record.Expires.IsZero() {
		return record.Expires.Add(r.now.Sub(r.file.Header.Created))
	}
	return record.Expires
}

func (r *restoring) over(record *backends.Record) bool {
	at := r.expires(record)
	return !at.IsZero() && !at.After(r.now)
}

// survey reads the whole file before anything is done: what it holds, what is damaged,
// and which keys it holds twice.
func (r *restoring) survey(ctx context.Context) error {
	var all []identity
	for batch, err := range r.file.Batches() {
		if errors.As(err, &r.torn) {
			break
		}
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		for i := range batch.Records {
			record := &batch.Records[i]
			if !r.selected(record) {
				continue
			}
			if r.bytes += int64(len(record.Value)); record.More {
				continue
			}
			all = append(all, identityOf(record))
			if r.over(record) {
				r.ended++
			} else if len(r.examples) < planExamples {
				r.examples = append(r.examples, record.Key)
			}
		}
	}
	r.twice = make(map[identity]int)
	slices.SortFunc(all, func(a, b identity) int { return slices.Compare(a[:], b[:]) })
	for i := 1; i < len(all); i++ {
		if all[i] == all[i-1] {
			r.twice[all[i]] = max(r.twice[all[i]], 1) + 1
			r.older++
		}
	}
	r.keys = int64(len(all)) - r.older
	return nil
}

// batches brings the selected records, of several values of one key the last.
func (r *restoring) batches(ctx context.Context) iter.Seq2[[]backends.Record, error] {
	return func(yield func([]backends.Record, error) bool) {
		still := make(map[identity]int, len(r.twice))
		for id, n := range r.twice {
			still[id] = n
		}
		for batch, err := range r.file.Batches() {
			var torn *archive.TornError
			if errors.As(err, &torn) { // known since the survey
				return
			}
			if err == nil {
				err = context.Cause(ctx)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			r.done = batch.Done
			records := batch.Records[:0]
			for _, record := range batch.Records {
				if r.newest(&record, still) {
					records = append(records, record)
				}
			}
			for some := range slices.Chunk(records, restoreBatch) {
				if !yield(some, nil) {
					return
				}
			}
		}
	}
}

// newest tells whether a record is to be loaded, and gives it its time.
func (r *restoring) newest(record *backends.Record, still map[identity]int) bool {
	if !r.selected(record) {
		return false
	}
	if len(still) > 0 {
		id := identityOf(record)
		if still[id] > 1 {
			if !record.More {
				still[id]--
			}
			return false
		}
	}
	record.Expires = r.expires(record)
	return true
}

// plan tells on stderr what would be done.
func (r *restoring) plan(env *Env, b backends.Backend, t *target) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(env.Err, "  %-9s %s\n", name, render.Visible(fmt.Sprintf(format, args...)))
	}
	where, h := b.Name(), r.file.Header
	if t.context != "" {
		where += " (context " + t.context + ")"
	}
	fmt.Fprintf(env.Err, "cachectl: plan: restore to %s\n", render.Visible(where))
	line("from", "%s, %s ago (%s)", h.Target, render.Duration(r.now.Sub(h.Created)).Text, h.Created.UTC().Format(time.RFC3339))
	if h.Selection != "" {
		line("of", "%s", h.Selection)
	}
	line("keys", "%s, %s in the backup", plural(r.keys, "key"), render.Bytes(r.bytes).Text)
	if r.ended > 0 {
		line("expired", "%s, which stay away", plural(r.ended, "key"))
	}
	if r.older > 0 {
		line("older", "%s, each followed by a later value of the same key", plural(r.older, "record"))
	}
	if len(r.examples) > 0 {
		quoted := make([]string, len(r.examples))
		for i, key := range r.examples {
			quoted[i] = render.Quote(key)
		}
		line("such as", "%s", strings.Join(quoted, "  "))
	}
	if r.replace {
		line("existing", "keys are replaced")
	} else {
		line("existing", "keys stay as they are")
	}
	line("pace", "%s", r.pace.name(&r.selection))
	if h.Target != "" && h.Target != b.Name() && meant(h.Target) != bareURL(t.url) {
		env.warn("the backup is of another cache: %s", h.Target)
	}
	if r.torn != nil {
		env.warn("%v", r.torn)
	}
}

// keyLines writes keys in the form that --key-file reads.
func keyLines(keys iter.Seq[string]) func(io.Writer) error {
	return func(w io.Writer) error {
		for key := range keys {
			if _, err := fmt.Fprintln(w, render.Quote(key)); err != nil {
				return err
			}
		}
		return nil
	}
}

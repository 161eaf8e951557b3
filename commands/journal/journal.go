// Package journal makes a bulk change survive its process. Before a page of keys is
// changed, their names are on the disk; before a result is reported, so is what
// became of them. A run that was interrupted, killed or lost its connection goes on
// from there.
//
//	pages   -> Intend -> (pace, change) -> results -> Settle -> (report)
//
// The file is JSON, a line a record, for people with grep as much as for us. The
// package knows pages and results; what is done to the keys it does not know.
package journal

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A Head says what a run is: enough to go on with it.
type Head struct {
	Version  int                 `json:"cachectl_journal"`
	ID       string              `json:"id"`
	Time     time.Time           `json:"time"`
	Command  string              `json:"command"`
	Target   string              `json:"target"`                   // without secrets
	Source   string              `json:"source,omitempty"`         // what is loaded into it, without secrets
	Size     int64               `json:"source_size,omitempty"`    // of a regular file that is loaded, in bytes
	Modified time.Time           `json:"source_modified,omitzero"` // and when it was changed last; zero: it is none, or nobody looked
	Context  string              `json:"context,omitempty"`
	Patterns []string            `json:"patterns,omitempty"`
	Flags    map[string][]string `json:"flags,omitempty"`
	Listed   bool                `json:"listed,omitempty"` // the keys are a list, which follows
}

// Version is the format that this package writes.
const Version = 1

// A record is one line behind the head.
type record struct {
	List   []name           `json:"list,omitempty"` // keys of the list, a part of it
	Ready  bool             `json:"ready,omitempty"`
	Pass   int              `json:"pass,omitempty"` // from here on it is this pass
	Will   *string          `json:"will,omitempty"` // shard whose keys are about to be changed
	Keys   []name           `json:"keys,omitempty"`
	Did    *string          `json:"did,omitempty"` // shard of a result
	After  backends.Mark    `json:"after,omitempty"`
	Count  map[string]int64 `json:"count,omitempty"`
	Failed []failure        `json:"failed,omitempty"`
	Again  bool             `json:"again,omitempty"`  // keys of the shard may be counted twice from here on
	Skip   int              `json:"skip,omitempty"`   // keys of the list that are settled
	Redo   []name           `json:"redo,omitempty"`   // keys of the list that failed with their node
	Unsaid int64            `json:"unsaid,omitempty"` // a run goes on here; so many keys may have been changed by those that were killed
	End    string           `json:"end,omitempty"`
}

type failure struct {
	Key   name   `json:"key"`
	Error string `json:"error"`
}

// A name is a key: a string where it is UTF-8, else an object with its bytes.
type name string

// MarshalJSON writes bytes that are not UTF-8 as {"b64": ...}.
func (n name) MarshalJSON() ([]byte, error) {
	if isText(string(n)) {
		return json.Marshal(string(n))
	}
	return json.Marshal(struct {
		Bytes []byte `json:"b64"`
	}{[]byte(n)})
}

// UnmarshalJSON is the inverse.
func (n *name) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, (*string)(n))
	}
	var object struct {
		Bytes []byte `json:"b64"`
	}
	err := json.Unmarshal(data, &object)
	*n = name(object.Bytes)
	return err
}

// A Journal is open for one run. The zero Journal, and nil, keep no file: everything
// passes through.
type Journal struct {
	path string

	mu    sync.Mutex
	file  *os.File
	out   *bufio.Writer
	dirty bool
	err   error // the first; nothing is durable behind it
}

// Create starts a journal. The file must not be there. A list of keys is kept whole,
// because what named it may be gone when the run goes on.
func Create(path string, h Head, list []string) (*Journal, error) {
	h.Version = Version
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{path: path, file: f, out: bufio.NewWriterSize(f, 1<<20)}
	err = errors.Join(lock(f), j.encode(h))
	for part := range slices.Chunk(list, 1000) {
		err = errors.Join(err, j.write(record{List: names(part)}))
	}
	err = errors.Join(err, j.write(record{Ready: true}), j.sync(), syncFolder(path))
	if err != nil {
		f.Close()
		os.Remove(path)
		return nil, fmt.Errorf("journal: %w", err)
	}
	return j, nil
}

// syncFolder makes the name of a new file durable.
func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func names(keys []string) []name {
	all := make([]name, len(keys))
	for i, key := range keys {
		all[i] = name(key)
	}
	return all
}

// Path is the file; "" where there is none.
func (j *Journal) Path() string {
	if j == nil {
		return ""
	}
	return j.path
}

// encode appends one line. It is not yet durable.
func (j *Journal) encode(line any) error {
	data, err := json.Marshal(line)
	if err == nil {
		_, err = j.out.Write(append(data, '\n'))
	}
	j.dirty = true
	if j.err == nil && err != nil {
		j.err = err
	}
	return j.err
}

func (j *Journal) write(r record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.encode(r)
}

// sync makes all that was written durable.
func (j *Journal) sync() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil || !j.dirty {
		return j.err
	}
	if j.err = errors.Join(j.out.Flush(), j.file.Sync()); j.err == nil {
		j.dirty = false
	}
	return j.err
}

// Pass says that pass n begins.
func (j *Journal) Pass(n int) error {
	if j == nil {
		return nil
	}
	return j.fail(errors.Join(j.write(record{Pass: n}), j.sync()))
}

// End says how the run ended: "complete", or why it may go on.
func (j *Journal) End(how string) error {
	if j == nil {
		return nil
	}
	return j.fail(errors.Join(j.write(record{End: how}), j.sync()))
}

// Close closes the file.
func (j *Journal) Close() error {
	if j == nil || j.file == nil {
		return nil
	}
	return errors.Join(j.sync(), j.file.Close())
}

// Discard closes and removes the journal of a run in which nothing was begun.
func (j *Journal) Discard() error {
	if j == nil || j.file == nil {
		return nil
	}
	return errors.Join(j.file.Close(), os.Remove(j.path))
}

func (j *Journal) fail(err error) error {
	if err == nil {
		return nil
	}
	return &Error{j.path, err}
}

// An Error says that the journal cannot be written, or read: nothing more is changed
// then.
type Error struct {
	Path string
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("journal %s: %v", e.Path, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// ahead is how many pages may wait for the disk together: they share one flush.
const ahead = 32

// Intend passes pages on when the names in them are durable. It reads ahead, so that
// a slow disk costs one flush for many pages; a page that is passed on is the reader's
// to keep.
func (j *Journal) Intend(pages iter.Seq2[backends.Page, error]) iter.Seq2[backends.Page, error] {
	if j == nil {
		return pages
	}
	type item struct {
		page backends.Page
		err  error
	}
	return func(yield func(backends.Page, error) bool) {
		queue, left := make(chan item, ahead), make(chan struct{})
		var reading sync.WaitGroup
		reading.Go(func() {
			defer close(queue)
			for page, err := range pages {
				page.Entries = slices.Clone(page.Entries)
				if err == nil && len(page.Entries) > 0 {
					err = j.fail(j.write(intention(page)))
				}
				select {
				case queue <- item{page, err}:
				case <-left:
					return
				}
				if backends.Ends(err) {
					return
				}
			}
		})
		defer func() { close(left); reading.Wait() }()
		for first := range queue {
			batch := []item{first}
			for more := true; more && len(batch) < ahead; {
				select {
				case next, open := <-queue:
					if more = open; open {
						batch = append(batch, next)
					}
				default:
					more = false
				}
			}
			if err := j.fail(j.sync()); err != nil {
				yield(backends.Page{}, err)
				return
			}
			for _, it := range batch {
				if !yield(it.page, it.err) || backends.Ends(it.err) {
					return
				}
			}
		}
	}
}

func intention(p backends.Page) record {
	keys := make([]name, len(p.Entries))
	for i := range p.Entries {
		keys[i] = name(p.Entries[i].Key)
	}
	return record{Will: &p.Shard, Keys: keys}
}

// settleEvery bounds how long a result waits for its flush.
const settleEvery = 100 * time.Millisecond

// Settle applies results to the state, and passes them on when they are durable.
func (j *Journal) Settle(results iter.Seq2[backends.Result, error], s *State) iter.Seq2[backends.Result, error] {
	return func(yield func(backends.Result, error) bool) {
		var held []backends.Result
		since := time.Now()
		flush := func() bool {
			for _, r := range s.drain(held) {
				if j != nil {
					j.write(r)
				}
			}
			if j != nil {
				if err := j.fail(j.sync()); err != nil {
					yield(backends.Result{}, err)
					return false
				}
			}
			for _, r := range held {
				if !yield(r, nil) {
					return false
				}
			}
			held, since = held[:0], time.Now()
			return true
		}
		for result, err := range results {
			if err != nil {
				if !flush() || !yield(backends.Result{}, err) || backends.Ends(err) {
					return
				}
				continue
			}
			if held = append(held, result); j == nil || time.Since(since) >= settleEvery || result.Last {
				if !flush() {
					return
				}
			}
		}
		flush()
	}
}

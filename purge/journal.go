package purge

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// A Journal keeps what became of calls. Record returns when the entries will
// outlive a crash, and is called before an outcome is reported.
type Journal interface {
	Record(entries ...Entry) error
}

// An Op says what an Entry tells.
type Op string

// The operations, in the order they have in a journal.
const (
	Begin  Op = "begin"  // the run: Key
	Queue  Op = "queue"  // what is to be sent: Call
	Done   Op = "done"   // purged: ID, Items, Receipts
	Failed Op = "failed" // given up: ID, Items, Error
)

// An Entry is one line of a journal.
type Entry struct {
	Op       Op        `json:"op"`
	At       time.Time `json:"at,omitzero"`
	Key      string    `json:"key,omitempty"`
	Call     *Call     `json:"call,omitempty"`
	ID       string    `json:"id,omitempty"`    // of the queued call
	Items    []Item    `json:"items,omitempty"` // those it is about; none: all of the call
	Receipts []Receipt `json:"receipts,omitempty"`
	Error    string    `json:"error,omitempty"`
}

// NewKey is an idempotency key that no other run has.
func NewKey() string { return rand.Text() }

// A FileJournal is a Journal in a file, one JSON object a line. It only ever
// grows, and each Record is synced. It is safe for concurrent use; two
// processes must not have one file open.
type FileJournal struct {
	// Key is the run's idempotency key. Whoever resumes the run hands it to
	// Run again, so that calls whose answer was lost are not paid twice.
	Key string

	mu       sync.Mutex
	file     *os.File
	calls    []Call
	byID     map[string]int             // place in calls
	done     map[string]map[string]bool // by ID, the keys of purged items
	receipts []Receipt
	broken   error
}

// CreateJournal starts a journal of a run that is to send calls. The file must
// not exist.
func CreateJournal(path, key string, calls []Call) (*FileJournal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, &HintError{fmt.Errorf("%w: %s exists", ErrJournal, path), "resume that run, or name another file"}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrJournal, err)
	}
	j := &FileJournal{Key: key, file: f}
	entries := []Entry{{Op: Begin, Key: key}}
	for _, c := range calls {
		entries = append(entries, Entry{Op: Queue, Call: &c})
	}
	err = j.Record(entries...)
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return j, nil
}

// syncDir makes a new file's name outlive a crash. Systems that cannot do that
// say so by an error, which means nothing.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrJournal, err)
	}
	defer d.Close()
	d.Sync()
	return nil
}

// OpenJournal opens the journal of a run that ended early. A last line that
// was cut off by a crash is taken away; anything else that is not an entry is
// an error.
func OpenJournal(path string) (*FileJournal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrJournal, err)
	}
	j := &FileJournal{file: f}
	whole, err := j.read(f)
	if err == nil {
		err = f.Truncate(whole)
	}
	if err == nil && j.Key == "" {
		err = errors.New("no run begins in it")
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%w: %s: %w", ErrJournal, path, err)
	}
	return j, nil
}

// read takes every entry in and returns the length of all whole lines.
func (j *FileJournal) read(r io.Reader) (whole int64, err error) {
	lines := bufio.NewReaderSize(r, 1<<16)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return whole, nil // what is left has no newline
		}
		if err != nil {
			return 0, err
		}
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			if _, more := lines.Peek(1); errors.Is(more, io.EOF) {
				return whole, nil
			}
			return 0, fmt.Errorf("line %d is no entry: %w", n, err)
		}
		j.take(e)
		whole += int64(len(line))
	}
}

func (j *FileJournal) take(e Entry) {
	switch e.Op {
	case Begin:
		j.Key = e.Key
	case Queue:
		if e.Call != nil {
			if j.byID == nil {
				j.byID = make(map[string]int)
			}
			j.byID[e.Call.ID] = len(j.calls)
			j.calls = append(j.calls, *e.Call)
		}
	case Done:
		if e.Items == nil {
			if at, queued := j.byID[e.ID]; queued {
				e.Items = j.calls[at].Items
			}
		}
		if j.done == nil {
			j.done = make(map[string]map[string]bool)
		}
		if j.done[e.ID] == nil {
			j.done[e.ID] = make(map[string]bool)
		}
		for _, i := range e.Items {
			j.done[e.ID][i.key()] = true
		}
		j.receipts = append(j.receipts, e.Receipts...)
	}
}

// Record appends entries. After an error every further Record fails: what the
// file's end looks like is unknown then.
func (j *FileJournal) Record(entries ...Entry) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	for _, e := range entries {
		if err := enc.Encode(e); err != nil {
			return fmt.Errorf("%w: %w", ErrJournal, err)
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return j.broken
	}
	_, err := j.file.Write(text.Bytes())
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		j.broken = fmt.Errorf("%w: %w", ErrJournal, err)
		return j.broken
	}
	for _, e := range entries {
		j.take(e)
	}
	return nil
}

// Pending are the calls with the items that are not purged, the failed ones
// included. A call of which a part is done has another ID than it was queued
// with.
func (j *FileJournal) Pending() []Call {
	j.mu.Lock()
	defer j.mu.Unlock()
	var pending []Call
	for _, c := range j.calls {
		left := slices.DeleteFunc(slices.Clone(c.Items), func(i Item) bool { return j.done[c.ID][i.key()] })
		if len(left) == len(c.Items) {
			pending = append(pending, c)
		} else if len(left) > 0 {
			part := NewCall(c.Target, left, c.Draws...)
			part.Queued = c.ID
			pending = append(pending, part)
		}
	}
	return pending
}

// Receipts are those of all purged items, in the order they came.
func (j *FileJournal) Receipts() []Receipt {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.receipts)
}

// Close closes the file and leaves it where it is.
func (j *FileJournal) Close() error { return j.file.Close() }

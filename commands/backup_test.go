package commands

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/archive"
)

// A store dumps keys that are in it.
type store map[string]error

func (s store) Dump(_ context.Context, keys []string) iter.Seq2[[]backends.Record, error] {
	return func(yield func([]backends.Record, error) bool) {
		for _, key := range keys {
			err, there := s[key]
			var records []backends.Record
			if err == nil && there {
				records = []backends.Record{{Key: key, Value: []byte("1"), More: true}, {Key: key, Value: []byte("2"), Part: 1}}
			}
			if (there || err != nil) && !yield(records, err) {
				return
			}
		}
	}
}

// A log is a file that remembers what was durable, and has room for so many records.
type log struct {
	mu             sync.Mutex
	open, synced   map[string]bool
	syncs, room    int
	failing, after error
}

func (l *log) Append(records ...backends.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range records {
		if l.room--; l.room < 0 {
			return l.after
		}
		if !r.More {
			l.open[r.Key] = true
		}
	}
	return nil
}

func (l *log) Sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.syncs++
	for key := range l.open {
		l.synced[key] = true
	}
	return l.failing
}

func (l *log) durable(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.synced[key]
}

func newLog(room int) *log {
	return &log{open: make(map[string]bool), synced: make(map[string]bool), room: room, after: errors.New("no space left on device")}
}

// reused brings pages of n keys in memory that is written over for the next.
func reused(pages, n int) iter.Seq2[backends.Page, error] {
	return func(yield func(backends.Page, error) bool) {
		entries := make([]backends.Entry, n)
		for p := range pages {
			for i := range entries {
				entries[i] = backends.Entry{Key: fmt.Sprintf("key:%d", p*n+i)}
			}
			ok := yield(backends.Page{Shard: "s", Entries: entries, After: backends.Mark(fmt.Sprint(p)), Last: p == pages-1}, nil)
			for i := range entries {
				entries[i].Key = "written over"
			}
			if !ok {
				return
			}
		}
	}
}

func TestBackUp(t *testing.T) {
	defer goleak.VerifyNone(t)
	s, l := store{}, newLog(1<<30)
	for i := range 1000 {
		if i%3 != 0 {
			s[fmt.Sprintf("key:%d", i)] = nil
		}
	}
	s["key:500"] = &backends.KeyError{Key: "key:500", Err: errors.New("unreadable")}
	pages, keys, refused := 0, 0, 0
	for page, err := range backUp(t.Context(), s, l, reused(100, 10)) {
		if err != nil {
			var key *backends.KeyError
			if !errors.As(err, &key) {
				t.Fatal(err)
			}
			refused++
			continue
		}
		if page.After != backends.Mark(fmt.Sprint(pages)) || page.Last != (pages == 99) {
			t.Errorf("page %d: %+v", pages, page)
		}
		pages++
		for _, e := range page.Entries {
			keys++
			if !l.durable(e.Key) || e.Key == "key:500" {
				t.Errorf("%q came and is not recorded", e.Key)
			}
		}
	}
	if pages != 100 || keys != len(s)-1 || refused != 1 {
		t.Errorf("%d pages, %d keys, %d refused", pages, keys, refused)
	}
	t.Logf("%d passes of the disk for %d pages", l.syncs, pages)
}

// TestBackUpFullDisk: what is not durable is not passed on.
func TestBackUpFullDisk(t *testing.T) {
	defer goleak.VerifyNone(t)
	s := store{}
	for i := range 1000 {
		s[fmt.Sprintf("key:%d", i)] = nil
	}
	for _, broken := range []string{"append", "sync"} {
		l := newLog(501)
		if broken == "sync" {
			l.room, l.failing = 1<<30, errors.New("input/output error")
		}
		var end error
		for page, err := range backUp(t.Context(), s, l, reused(100, 10)) {
			end = err
			for _, e := range page.Entries {
				if !l.durable(e.Key) || l.failing != nil {
					t.Errorf("%q came and is not recorded", e.Key)
				}
			}
		}
		var file *backupError
		if !errors.As(end, &file) || !backends.Ends(end) {
			t.Errorf("%s: the end is %v", broken, end)
		}
	}
}

// TestBackUpArchive: several shards, one file with a size limit of its own, readers that
// stop.
func TestBackUpArchive(t *testing.T) {
	defer goleak.VerifyNone(t)
	s := store{}
	for i := range 3000 {
		s[fmt.Sprintf("key:%d", i)] = nil
	}
	path := filepath.Join(t.TempDir(), "b")
	w, err := archive.Create(path, archive.Header{})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var passed []string
	var shards sync.WaitGroup
	for n := range 4 {
		shards.Go(func() {
			pages := 0
			for page, err := range backUp(t.Context(), s, w, reused(100, 10)) {
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, e := range page.Entries {
					passed = append(passed, e.Key)
				}
				mu.Unlock()
				if pages++; n == 0 && pages == 7 {
					return
				}
			}
		})
	}
	shards.Wait()
	// The process dies here: no Close.
	defer w.Close()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	torn := filepath.Join(t.TempDir(), "torn")
	os.WriteFile(torn, b, 0o600)
	r, err := archive.Open(torn)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	there := make(map[string]bool)
	for batch, err := range r.Batches() {
		var torn *archive.TornError
		if err != nil && !errors.As(err, &torn) {
			t.Fatal(err)
		}
		for _, r := range batch.Records {
			there[r.Key] = true
		}
	}
	slices.Sort(passed)
	for _, key := range slices.Compact(passed) {
		if !there[key] {
			t.Errorf("%q was passed on and is not in the file", key)
		}
	}
}

// TestBackUpErrors: what the source says goes through; a context that ends stops it.
func TestBackUpErrors(t *testing.T) {
	defer goleak.VerifyNone(t)
	notice, last := &backends.Notice{Shard: "s", Err: errors.New("x")}, errors.New("the end")
	source := func(yield func(backends.Page, error) bool) {
		_ = yield(backends.Page{}, nil) && yield(backends.Page{}, notice) && yield(backends.Page{}, last)
	}
	var got []error
	for _, err := range backUp(t.Context(), store{}, newLog(9), source) {
		got = append(got, err)
	}
	if len(got) != 3 || got[0] != nil || got[1] != notice || got[2] != last {
		t.Errorf("%v", got)
	}
}

package archive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cachectl/cachectl/backends"
)

// A disk has room for so many bytes.
type disk struct {
	*os.File
	room int
	fail bool // of Sync
}

func (d *disk) Write(b []byte) (int, error) {
	if len(b) > d.room {
		n, _ := d.File.Write(b[:d.room])
		d.room = 0
		return n, errors.New("no space left on device")
	}
	d.room -= len(b)
	return d.File.Write(b)
}

func (d *disk) Sync() error {
	if d.fail {
		return errors.New("input/output error")
	}
	return d.File.Sync()
}

func TestFullDisk(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "b"))
	if err != nil {
		t.Fatal(err)
	}
	d := &disk{File: f, room: 20_000}
	w, err := NewWriter(d, testHeader)
	if err != nil {
		t.Fatal(err)
	}
	synced, all := 0, some(15)
	for err == nil {
		if err = errors.Join(w.Append(all...), w.Sync()); err == nil {
			synced += len(all)
		}
	}
	if err2 := w.Append(all...); err2 == nil || !strings.Contains(err2.Error(), "no space left") {
		t.Errorf("trouble did not stick: %v", err2)
	}
	if err := w.Close(); err == nil {
		t.Error("Close of a full disk")
	}
	got, err := read(t, contents(t, f.Name()))
	var torn *TornError
	if len(got) != synced || synced == 0 || !errors.As(err, &torn) || torn.Bytes != 0 {
		t.Errorf("%d records synced, %d there, %v", synced, len(got), err)
	}
	f, _ = os.Create(filepath.Join(t.TempDir(), "b"))
	d = &disk{File: f, room: 1 << 20}
	w, _ = NewWriter(d, testHeader)
	d.fail = true
	if err := errors.Join(w.Append(all...), w.Sync()); err == nil {
		t.Error("Sync passed over an error of the disk")
	}
	d.fail = false
	if w.Sync() == nil { // the kernel tells of lost pages once only
		t.Error("Sync forgot")
	}
	w.Close()
}

func TestConcurrentWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b")
	w, err := Create(path, testHeader)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for i := range 50 {
				if err := w.Append(backends.Record{Key: fmt.Sprint(n, i), Value: make([]byte, 1000)}); err != nil {
					t.Error(err)
				}
				if err := w.Sync(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := read(t, contents(t, path))
	seen := make(map[string]bool)
	for _, r := range got {
		seen[r.Key] = true
	}
	if len(seen) != 400 || err != nil {
		t.Errorf("%d records, %v", len(seen), err)
	}
	if err := w.Append(backends.Record{}); !errors.Is(err, errClosed) {
		t.Errorf("Append behind Close: %v", err)
	}
}

package memcached

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// A fullDisk takes so many bytes.
type fullDisk struct {
	*os.File
	left int
}

func (d *fullDisk) WriteAt(b []byte, at int64) (int, error) {
	if len(b) > d.left {
		return 0, errors.New("no space left on device")
	}
	d.left -= len(b)
	return d.File.WriteAt(b, at)
}

// spoolThrough writes n lines, more than memory holds, before the first is read.
func spoolThrough(t *testing.T, n int, create func() (spoolFile, error)) (got int, err error) {
	t.Helper()
	s := newSpool(4 << 10)
	if create != nil {
		s.create = create
	}
	for i := range n {
		s.add(fmt.Appendf(nil, "key=k%07d exp=-1 la=1\n", i))
	}
	s.add([]byte("END\r\n"))
	s.close(nil)
	defer s.drop()
	r := lineReader{spool: s}
	for {
		line, err := r.next(t.Context())
		if err != nil {
			return got, err
		}
		if isEnd(line) {
			return got, nil
		}
		if want := fmt.Sprintf("key=k%07d exp=-1 la=1", got); string(line) != want {
			t.Fatalf("line %d is %q", got, line)
		}
		got++
	}
}

func TestSpoolKeepsOrderOverTheFile(t *testing.T) {
	if got, err := spoolThrough(t, 200_000, nil); got != 200_000 || err != nil {
		t.Errorf("%d lines, %v", got, err)
	}
}

// TestSpoolWithAFullDisk: what was kept comes, then the error; the writer never waits.
func TestSpoolWithAFullDisk(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	got, err := spoolThrough(t, 200_000, func() (spoolFile, error) { return &fullDisk{f, 1 << 20}, nil })
	if err == nil || !strings.Contains(err.Error(), "no space left") || got < 20_000 || got > 60_000 {
		t.Errorf("%d lines, %v", got, err)
	}
	none := func() (spoolFile, error) { return nil, errors.New("read-only file system") }
	if got, err := spoolThrough(t, 1000, none); err == nil || got > 200 || got < 100 {
		t.Errorf("%d lines, %v", got, err)
	}
}

// TestSpoolGoesBackToMemory: a reader that catches up empties the file.
func TestSpoolGoesBackToMemory(t *testing.T) {
	s := newSpool(1 << 10)
	line := []byte(strings.Repeat("x", 99) + "\n")
	r := lineReader{spool: s}
	for range 100 {
		for range 50 {
			s.add(line)
		}
		for range 50 {
			if got, err := r.next(t.Context()); err != nil || len(got) != 99 {
				t.Fatalf("%q, %v", got, err)
			}
		}
		if s.wrote != 0 || s.held != 0 {
			t.Fatalf("%d bytes in the file, %d in memory", s.wrote, s.held)
		}
	}
	s.drop()
}

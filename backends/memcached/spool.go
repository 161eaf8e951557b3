package memcached

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// A spool stands between a dump, which must never wait, and its reader, who may
// take as long as he likes. It is a queue of bytes: in memory up to a bound, in
// a temporary file beyond. Once the file is read out, memory serves again. Where
// the file cannot grow, the spool swallows what comes from then on and says so
// at the end of what it kept.
//
// There is one writer and one reader. Writing never blocks on the reader.
type spool struct {
	bound  int                       // bytes in memory
	create func() (spoolFile, error) // makes the file, at the first need

	mu      sync.Mutex
	chunks  [][]byte // older than what is in the file
	held    int
	spare   [][]byte
	file    spoolFile
	wrote   int64 // bytes of the file
	read    int64
	failed  error // the file could not grow; all later bytes are lost
	discard bool  // nobody wants any more
	ended   bool
	end     error // why the dump ended; nil: it is whole
	ready   chan struct{}
}

type spoolFile interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
}

// chunkSize is how much the spool hands out at once.
const chunkSize = 256 << 10

// spareChunks is how many read chunks are kept to be filled again.
const spareChunks = 8

func newSpool(bound int) *spool {
	return &spool{bound: bound, create: createFile, ready: make(chan struct{}, 1)}
}

// createFile makes a file that only its owner can read, since keys may be
// secret, and that goes away with the process where the system can do that.
func createFile() (spoolFile, error) {
	f, err := os.CreateTemp("", "cachectl-dump-*")
	if err != nil {
		return nil, err
	}
	if os.Remove(f.Name()) == nil {
		return f, nil
	}
	return &namedFile{f}, nil
}

// A namedFile is removed when it is closed.
type namedFile struct{ *os.File }

func (f *namedFile) Close() error { return errors.Join(f.File.Close(), os.Remove(f.Name())) }

// add takes a copy of b.
func (s *spool) add(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.discard || s.failed != nil || len(b) == 0 {
		return
	}
	if s.wrote > s.read || s.held+len(b) > s.bound {
		s.failed = s.spill(b)
	} else {
		s.keep(b)
	}
	s.wake()
}

func (s *spool) keep(b []byte) {
	s.held += len(b)
	for len(b) > 0 {
		last := len(s.chunks) - 1
		if last < 0 || len(s.chunks[last]) == cap(s.chunks[last]) {
			s.chunks = append(s.chunks, s.chunk())
			last++
		}
		c := s.chunks[last]
		n := min(len(b), cap(c)-len(c))
		s.chunks[last] = append(c, b[:n]...)
		b = b[n:]
	}
}

func (s *spool) chunk() []byte {
	if n := len(s.spare); n > 0 {
		c := s.spare[n-1]
		s.spare = s.spare[:n-1]
		return c[:0]
	}
	return make([]byte, 0, chunkSize)
}

func (s *spool) spill(b []byte) error {
	if s.file == nil {
		f, err := s.create()
		if err != nil {
			return err
		}
		s.file = f
	}
	n, err := s.file.WriteAt(b, s.wrote)
	s.wrote += int64(n)
	return err
}

// close says that nothing more comes, and why.
func (s *spool) close(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended, s.end = true, err
	s.wake()
}

func (s *spool) wake() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// next hands out a chunk and takes back the one before. It is io.EOF at the end
// of a whole dump. A nil chunk without an error says: wait for ready.
func (s *spool) next(before []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cap(before) == chunkSize && len(s.spare) < spareChunks {
		s.spare = append(s.spare, before)
	}
	switch {
	case len(s.chunks) > 0:
		c := s.chunks[0]
		s.chunks[0] = nil
		s.chunks = s.chunks[1:]
		s.held -= len(c)
		return c, nil
	case s.wrote > s.read:
		return s.unspill()
	case !s.ended:
		return nil, nil
	case s.end != nil:
		return nil, s.end
	case s.failed != nil:
		return nil, fmt.Errorf("keep the dump for later: %w", s.failed)
	}
	return nil, io.EOF
}

func (s *spool) unspill() ([]byte, error) {
	c := s.chunk()
	c = c[:min(int64(cap(c)), s.wrote-s.read)]
	if n, err := s.file.ReadAt(c, s.read); n < len(c) {
		return nil, fmt.Errorf("read the dump back: %w", err)
	}
	s.read += int64(len(c))
	if s.read == s.wrote && s.failed == nil && s.file.Truncate(0) == nil {
		s.read, s.wrote = 0, 0
	}
	return c, nil
}

// drop says that the reader has had enough: what is kept and what still comes
// is thrown away.
func (s *spool) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.discard = true
	s.chunks, s.spare, s.held = nil, nil, 0
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
	s.wrote, s.read = 0, 0
}

package archive

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/cachectl/cachectl/backends"
)

// blockSize is how many bytes of records make a block.
const blockSize = 1 << 20

// A File is what a Writer needs of an *os.File.
type File interface {
	io.Writer
	Sync() error
	Truncate(size int64) error
	Seek(offset int64, whence int) (int64, error)
	Close() error
}

// A Writer appends records to a file. Several goroutines may use it at once. The first
// trouble with the file sticks: from then on every call returns it, and the file is cut
// back to its last whole block where that can be done.
type Writer struct {
	mu      sync.Mutex
	file    File
	id      [idSize]byte
	pack    *zstd.Encoder
	open    []byte // records that are in no block yet
	packed  []byte // memory of the last block
	inOpen  uint32
	before  uint64 // records in blocks
	size    int64  // of the whole blocks
	err     error
	closed  bool
	syncing sync.Mutex
	synced  uint64 // records that are durable
}

var errClosed = errors.New("the backup is closed")

// Create makes a new file. One that is there already is an error: a backup is never
// overwritten.
func Create(path string, h Header) (*Writer, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	w, err := NewWriter(f, h)
	if err == nil {
		err = syncFolder(path)
	}
	if err != nil {
		f.Close()
		os.Remove(path)
		return nil, err
	}
	return w, nil
}

// NewWriter begins an empty file, and makes its header durable.
func NewWriter(f File, h Header) (*Writer, error) {
	w := newWriter(f)
	rand.Read(w.id[:])
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	if len(text) > mostHeader {
		return nil, fmt.Errorf("a header of %d bytes", len(text))
	}
	begin := head{kind: kindHeader, id: w.id, packed: uint32(len(text)), open: uint32(len(text)), sum: checksum(text)}
	w.write(append(begin.append(prefix(w.id)), text...))
	if w.err == nil {
		w.err = f.Sync()
	}
	return w, w.err
}

func newWriter(f File) *Writer {
	pack, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	if err != nil {
		panic(err) // the options are constants
	}
	return &Writer{file: f, pack: pack}
}

// Resume goes on with a file: what does not belong to a whole block at its end is cut
// off, and so is the end block. It returns the header, which says whether the file is of
// the caller's run, beside the number of records that are there.
func Resume(path string) (w *Writer, h Header, records int64, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, h, 0, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	r, err := NewReader(f)
	if err != nil {
		return nil, r.header(), 0, err
	}
	size, before, err := r.wholeBlocks()
	if err != nil {
		return nil, r.header(), 0, err
	}
	w = newWriter(f)
	w.id, w.size, w.before, w.synced = r.id, size, before, before
	if err = f.Truncate(size); err == nil {
		if _, err = f.Seek(size, io.SeekStart); err == nil {
			err = f.Sync()
		}
	}
	return w, r.Header, int64(before), err
}

// Append takes records. They are durable once Sync has returned.
func (w *Writer) Append(records ...backends.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range records {
		r := &records[i]
		if w.err != nil || w.closed {
			return w.trouble()
		}
		size := len(r.Key) + len(r.Form) + len(r.Type) + len(r.Shard) + len(r.Value) + 64
		if size > mostBlock {
			return fmt.Errorf("a record of %d bytes: %d is the most", size, mostBlock)
		}
		if len(w.open)+size > blockSize {
			w.block()
		}
		w.open = appendRecord(w.open, r)
		w.inOpen++
	}
	return w.trouble()
}

func (w *Writer) trouble() error {
	if w.err == nil && w.closed {
		return errClosed
	}
	return w.err
}

// block writes what is open.
func (w *Writer) block() {
	if w.inOpen == 0 || w.err != nil {
		return
	}
	room := append(w.packed[:0], make([]byte, headSize)...)
	w.packed = w.pack.EncodeAll(w.open, room)
	body := w.packed[headSize:]
	h := head{kind: kindRecords, id: w.id, before: w.before, records: w.inOpen, packed: uint32(len(body)), open: uint32(len(w.open)), sum: checksum(body)}
	h.append(w.packed[:0])
	if w.write(w.packed); w.err == nil {
		w.before += uint64(w.inOpen)
	}
	w.open, w.inOpen = w.open[:0], 0
	if cap(w.open) > roomyBlock { // one big value must not hold its memory for good
		w.open, w.packed = nil, nil
	}
}

// write appends whole blocks. What was written in part is cut off.
func (w *Writer) write(b []byte) {
	if _, err := w.file.Write(b); err != nil {
		w.err = fmt.Errorf("backup: %w", err)
		w.file.Truncate(w.size)
		return
	}
	w.size += int64(len(b))
}

// Sync returns when everything that was appended before the call is on the disk. Calls
// that come together share one pass.
func (w *Writer) Sync() error {
	w.mu.Lock()
	mine := w.before + uint64(w.inOpen)
	err := w.trouble()
	w.mu.Unlock()
	if err != nil {
		return err
	}
	w.syncing.Lock()
	defer w.syncing.Unlock()
	if w.synced >= mine {
		return nil
	}
	w.mu.Lock()
	w.block()
	done, err := w.before, w.err
	w.mu.Unlock()
	if err == nil {
		err = w.file.Sync() // others append meanwhile
	}
	if err != nil {
		return w.stick(err)
	}
	w.synced = done
	return nil
}

// stick keeps trouble of the file.
func (w *Writer) stick(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = fmt.Errorf("backup: %w", err)
	}
	return w.err
}

// Close writes the end and closes the file. Where there was trouble the file stays
// without an end.
func (w *Writer) Close() error {
	err := w.Sync()
	if errors.Is(err, errClosed) {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		end := head{kind: kindEnd, id: w.id, before: w.before}
		if w.write(end.append(nil)); w.err == nil {
			w.err = w.file.Sync()
		}
		err = w.err
	}
	w.closed = true
	w.pack.Close()
	return errors.Join(err, w.file.Close())
}

package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/klauspost/compress/zstd"

	"github.com/cachectl/cachectl/backends"
)

// A Source is what a Reader needs of an *os.File.
type Source interface {
	io.ReaderAt
	io.Seeker
}

// A Reader reads a backup, from its beginning as often as wanted.
type Reader struct {
	Header Header

	file   Source
	close  func() error
	id     [idSize]byte
	size   int64 // of the file
	first  int64 // where the blocks of records begin
	unpack *zstd.Decoder
}

// Open opens a file. One that is not of this package is an ErrNotBackup.
func Open(path string) (*Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := NewReader(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r.close = f.Close
	return r, nil
}

// NewReader reads the header. Without it nothing else is read: it says whose keys they
// are.
func NewReader(f Source) (*Reader, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	r := &Reader{file: f, size: size}
	begin := make([]byte, prefixSize+headSize)
	if n, err := f.ReadAt(begin, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	} else if r.id, err = parsePrefix(begin[:n]); err != nil {
		return nil, err
	}
	var h head
	if !h.parse(begin[prefixSize:], r.id) || h.kind != kindHeader {
		return nil, fmt.Errorf("%w: its header is damaged", ErrNotBackup)
	}
	text, whole, err := r.body(&h, int64(prefixSize))
	if err == nil && !whole {
		err = fmt.Errorf("%w: its header is damaged", ErrNotBackup)
	}
	if err == nil {
		r.Header, err = parseHeader(text)
	}
	if err != nil {
		return nil, err
	}
	r.first = int64(prefixSize + headSize + len(text))
	r.unpack, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(mostBlock), zstd.WithDecodeAllCapLimit(true))
	return r, err
}

func (r *Reader) header() Header {
	if r == nil {
		return Header{}
	}
	return r.Header
}

// Close closes the file.
func (r *Reader) Close() error {
	r.unpack.Close()
	if r.close == nil {
		return nil
	}
	return r.close()
}

// Size is the length of the file in bytes.
func (r *Reader) Size() int64 { return r.size }

// body reads what follows a head at a place, and tells whether it is what was written.
func (r *Reader) body(h *head, at int64) (b []byte, whole bool, err error) {
	if int64(h.packed) > r.size-at-headSize {
		return nil, false, nil
	}
	b = make([]byte, h.packed)
	if n, err := r.file.ReadAt(b, at+headSize); n < len(b) { // at the file's end an EOF may come with the last byte
		return nil, false, err
	}
	return b, checksum(b) == h.sum, nil
}

// A Batch is what one block brought. The records are the reader's to keep.
type Batch struct {
	Records []backends.Record
	Done    float64 // share of the file that is read, 0 to 1
}

// Batches reads the file from its beginning. What is not whole is skipped; the error in
// the end is then a *TornError, and there is no other but of reading the file.
func (r *Reader) Batches() iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		var torn *TornError
		at, seen, ended := r.first, uint64(0), false
		lose := func(from, bytes int64, records uint64) {
			if torn == nil {
				torn = &TornError{At: from}
			}
			torn.Bytes += bytes
			torn.Records += int64(records)
		}
		for b, err := range r.blocks() {
			if err != nil {
				yield(Batch{}, err)
				return
			}
			if b.at > at || b.before > seen {
				lose(at, b.at-at, b.before-min(seen, b.before))
			}
			at, seen, ended = b.next(), b.before+uint64(b.records), b.kind == kindEnd
			if b.kind != kindRecords {
				continue
			}
			records, err := r.records(b)
			if err != nil {
				lose(b.at, b.next()-b.at, uint64(b.records))
				continue
			}
			if !yield(Batch{records, float64(at) / float64(r.size)}, nil) {
				return
			}
		}
		if !ended || at < r.size {
			lose(at, r.size-at, r.claimed(at, seen))
			torn.Unended = !ended
		}
		if torn != nil {
			yield(Batch{}, torn)
		}
	}
}

// claimed is how many records a torn block at the end says it has.
func (r *Reader) claimed(at int64, seen uint64) uint64 {
	b := make([]byte, headSize)
	n, _ := r.file.ReadAt(b, at)
	var h head
	if h.parse(b[:n], r.id) && h.kind == kindRecords && h.before == seen {
		return uint64(h.records)
	}
	return 0
}

func (r *Reader) records(b block) ([]backends.Record, error) {
	unpacked, err := r.unpack.DecodeAll(b.body, make([]byte, 0, b.open)) // and not one byte more
	if err != nil {
		return nil, err
	}
	if len(unpacked) != int(b.open) {
		return nil, errRecord
	}
	return parseRecords(unpacked, int(b.records))
}

// A block is a whole one: head and body are what was written.
type block struct {
	head
	at   int64
	body []byte
}

func (b *block) next() int64 { return b.at + headSize + int64(b.packed) }

// blocks brings the whole blocks behind the header, and looks for the next one where
// there is none.
func (r *Reader) blocks() iter.Seq2[block, error] {
	return func(yield func(block, error) bool) {
		buf := make([]byte, headSize)
		for at := r.first; at+headSize <= r.size; {
			if _, err := r.file.ReadAt(buf, at); err != nil {
				yield(block{}, err)
				return
			}
			b := block{at: at}
			whole := b.parse(buf, r.id)
			if whole {
				var err error
				if b.body, whole, err = r.body(&b.head, at); err != nil {
					yield(block{}, err)
					return
				}
			}
			if whole {
				if !yield(b, nil) {
					return
				}
				at = b.next()
				continue
			}
			var err error
			if at, err = r.search(at + 1); err != nil {
				yield(block{}, err)
				return
			}
		}
	}
}

// search finds the next place that looks like a block's beginning.
func (r *Reader) search(at int64) (int64, error) {
	want := marker[:]
	buf := make([]byte, 256<<10)
	for at < r.size {
		n, err := r.file.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if i := bytes.Index(buf[:n], want); i >= 0 {
			return at + int64(i), nil
		}
		if n < len(want) || err != nil {
			break
		}
		at += int64(n - len(want) + 1)
	}
	return r.size, nil
}

// wholeBlocks is where the last whole block of records ends, and how many records there
// are up to it, lost ones included.
func (r *Reader) wholeBlocks() (size int64, records uint64, err error) {
	size = r.first
	for b, err := range r.blocks() {
		if err != nil {
			return 0, 0, err
		}
		if b.kind == kindRecords {
			size, records = b.next(), b.before+uint64(b.records)
		}
	}
	return size, records, nil
}

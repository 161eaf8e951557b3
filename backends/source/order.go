package source

import (
	"bufio"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/cachectl/cachectl/backends/archive"
)

// OrderOptions say how items are sorted.
type OrderOptions struct {
	From   Offset // of the sorted stream; zero: its beginning
	Memory int64  // bytes of items held in memory; 0: 256 MiB. What is more goes to a temporary file
	Dir    string // of that file; empty: the system's
}

// ByHeat brings the items of a stream hottest first, those of unknown heat last, and those
// of equal heat in their order. Bad records come first, as they are met. Where the source
// is damaged (*archive.TornError, ErrOutOfStep) that comes last. Any other error comes
// instead of the items: without all of them nobody knows which are the hottest, and an
// Offset would mean something else the next time.
//
// The temporary file is for its owner alone, and is gone when the stream ends, however it
// ends; where the system removes open files, also when the process is killed. Offsets are
// of the sorted stream, which is the same as long as its source is.
func ByHeat(items Stream, o OrderOptions) Stream {
	return func(yield func(Item, error) bool) {
		if o.Memory <= 0 {
			o.Memory = 256 << 20
		}
		s := sorter{options: o, yield: yield}
		defer s.close()
		end := s.read(items)
		var torn *archive.TornError
		if end == nil || errors.As(end, &torn) || errors.Is(end, ErrOutOfStep) {
			if err := s.bring(); err != nil {
				end = err
			}
		}
		if end != nil && !errors.Is(end, errLeft) {
			yield(Item{}, end)
		}
	}
}

var errLeft = errors.New("the reader wants no more")

// A sorter sorts a stream: runs that fit into memory, merged in the end.
type sorter struct {
	options OrderOptions
	yield   func(Item, error) bool
	n       int64 // events that came
	parts   parts

	blocks  [][]byte // packed items of the run under way
	entries []entry
	held    int64
	file    *os.File
	removed bool
	size    int64
	runs    []run
	unpacker
}

// An entry is an item of a run.
type entry struct {
	heat      float64
	block, at int32
}

// A run is a part of the file, sorted.
type run struct{ from, to int64 }

const (
	blockSize = 1 << 20
	entrySize = 16
)

// hotter orders heats: the higher first, unknown ones last.
func hotter(a, b float64) int {
	switch {
	case a > b, !math.IsNaN(a) && math.IsNaN(b):
		return -1
	case a < b, math.IsNaN(a) && !math.IsNaN(b):
		return 1
	}
	return 0
}

// read takes the stream in, and returns the error that ended it.
func (s *sorter) read(items Stream) error {
	for it, err := range items {
		if err != nil {
			if Ends(err) {
				return err
			}
			var bad *BadRecord
			if s.n++; errors.As(err, &bad) {
				bad.Offset = Offset{Skip: s.n}
			}
			if s.n > s.options.From.Skip && !s.yield(Item{}, err) {
				return errLeft
			}
			continue
		}
		if err := s.add(&it); err != nil {
			return sorting(err)
		}
	}
	return nil
}

func sorting(err error) error { return fmt.Errorf("sorting by heat: %w", err) }

// add packs an item into the run, and writes the run where it is full.
func (s *sorter) add(it *Item) error {
	need := len(it.Key) + len(it.Value) + len(it.Form) + len(it.Type) + len(it.Shard) + mostPacked
	last := len(s.blocks) - 1
	if last < 0 || cap(s.blocks[last])-len(s.blocks[last]) < need {
		s.blocks = append(s.blocks, make([]byte, 0, max(blockSize, need)))
		s.held += int64(max(blockSize, need))
		last++
	}
	at := len(s.blocks[last])
	s.blocks[last] = appendItem(s.blocks[last], it)
	s.entries = append(s.entries, entry{it.Heat, int32(last), int32(at)})
	if s.held+int64(len(s.entries))*entrySize >= s.options.Memory {
		return s.spill()
	}
	return nil
}

func (s *sorter) sort() {
	slices.SortStableFunc(s.entries, func(a, b entry) int { return hotter(a.heat, b.heat) })
}

// packed is an item of the run under way.
func (s *sorter) packed(e entry) []byte {
	b := s.blocks[e.block][e.at:]
	return b[:4+binary.LittleEndian.Uint32(b)]
}

// spill writes the run to the file.
func (s *sorter) spill() (err error) {
	if s.file == nil {
		if s.file, err = os.CreateTemp(s.options.Dir, "cachectl-order-*"); err != nil {
			return err
		}
		s.removed = os.Remove(s.file.Name()) == nil
	}
	s.sort()
	from := s.size
	w := bufio.NewWriterSize(s.file, blockSize)
	for _, e := range s.entries {
		n, err := w.Write(s.packed(e))
		if s.size += int64(n); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	s.runs = append(s.runs, run{from, s.size})
	s.blocks, s.entries, s.held = nil, s.entries[:0], 0
	return nil
}

func (s *sorter) close() {
	if s.file == nil {
		return
	}
	s.file.Close()
	if !s.removed {
		os.Remove(s.file.Name())
	}
}

// bring yields what was taken in.
func (s *sorter) bring() error {
	if len(s.runs) == 0 {
		s.sort()
		for _, e := range s.entries {
			if err := s.emit(s.packed(e)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := s.spill(); err != nil {
		return sorting(err)
	}
	s.entries = nil
	var heads merge
	for i, r := range s.runs {
		h := &head{run: i, r: bufio.NewReaderSize(io.NewSectionReader(s.file, r.from, r.to-r.from), blockSize/16)}
		if err := h.next(); err != nil {
			return sorting(err)
		}
		if h.packed != nil {
			heads = append(heads, h)
		}
	}
	for heap.Init(&heads); len(heads) > 0; {
		h := heads[0]
		if err := s.emit(h.packed); err != nil {
			return err
		}
		if err := h.next(); err != nil {
			return sorting(err)
		}
		if h.packed == nil {
			heap.Pop(&heads)
		} else {
			heap.Fix(&heads, 0)
		}
	}
	return nil
}

// emit yields a packed item.
func (s *sorter) emit(packed []byte) error {
	it, ok := s.item(packed)
	if !ok {
		return sorting(errors.New("the temporary file is not what was written"))
	}
	s.n++
	it.Offset = Offset{Skip: s.parts.behind(&it.Record, s.n)}
	if s.n > s.options.From.Skip && !s.yield(it, nil) {
		return errLeft
	}
	return nil
}

// A head is the first item of a run that is not merged yet.
type head struct {
	run    int
	r      *bufio.Reader
	packed []byte // nil: none is left
	heat   float64
}

func (h *head) next() error {
	var size [4]byte
	if _, err := io.ReadFull(h.r, size[:]); err != nil {
		h.packed = nil
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	n := int(binary.LittleEndian.Uint32(size[:]))
	h.packed = append(slices.Grow(h.packed[:0], 4+n), size[:]...)[:4+n]
	if _, err := io.ReadFull(h.r, h.packed[4:]); err != nil {
		return err
	}
	h.heat = packedHeat(h.packed)
	return nil
}

// merge is a heap of runs: the hottest first, of equals that which was read first.
type merge []*head

func (m merge) Len() int      { return len(m) }
func (m merge) Swap(i, j int) { m[i], m[j] = m[j], m[i] }
func (m *merge) Push(any)     {}
func (m merge) Less(i, j int) bool {
	if c := hotter(m[i].heat, m[j].heat); c != 0 {
		return c < 0
	}
	return m[i].run < m[j].run
}

func (m *merge) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}

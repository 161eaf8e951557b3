package loadgen

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Written remembers keys by their numbers: a bit each, in pieces that are made when they are
// needed. It is safe for concurrent use.
type Written struct {
	pieces []atomic.Pointer[piece]

	mu     sync.Mutex
	unsure map[uint64]Op // by key: writes of Fill that were sent and have no answer
}

// pieceKeys is how many keys a piece has.
const pieceKeys = 1 << 16

type piece [pieceKeys / 64]atomic.Uint64

// NewWritten has room for the keys 0 to keys-1.
func NewWritten(keys uint64) *Written {
	return &Written{pieces: make([]atomic.Pointer[piece], (keys+pieceKeys-1)/pieceKeys)}
}

// Add remembers a key. One beyond those it has room for is not remembered.
func (w *Written) Add(key uint64) {
	if key/pieceKeys >= uint64(len(w.pieces)) {
		return
	}
	at := &w.pieces[key/pieceKeys]
	p := at.Load()
	if p == nil {
		at.CompareAndSwap(nil, new(piece))
		p = at.Load()
	}
	word, bit := &p[key%pieceKeys/64], uint64(1)<<(key%64)
	if word.Load()&bit == 0 {
		word.Or(bit)
	}
}

// has tells whether a key was added.
func (w *Written) has(key uint64) bool {
	next, some := w.from(key)
	return some && next == key
}

// Count is how many keys there are.
func (w *Written) Count() (n uint64) {
	for i := range w.pieces {
		if p := w.pieces[i].Load(); p != nil {
			for j := range p {
				n += uint64(bits.OnesCount64(p[j].Load()))
			}
		}
	}
	return n
}

// from is the first key that is not less than key.
func (w *Written) from(key uint64) (uint64, bool) {
	for i := key / pieceKeys; i < uint64(len(w.pieces)); i++ {
		if p := w.pieces[i].Load(); p != nil {
			for j := key % pieceKeys / 64; j < uint64(len(p)); j++ {
				if word := p[j].Load() >> (key % 64) << (key % 64); word != 0 {
					return i*pieceKeys + j*64 + uint64(bits.TrailingZeros64(word)), true
				}
				key = 0
			}
		}
		key = 0
	}
	return 0, false
}

// doubt remembers a write of which nobody knows whether it was done.
func (w *Written) doubt(op *Op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unsure == nil {
		w.unsure = make(map[uint64]Op)
	}
	w.unsure[op.Key] = *op
}

func (w *Written) doubts(key uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, unsure := w.unsure[key]
	return unsure
}

// doubted are reads of the keys in doubt.
func (w *Written) doubted() (reads []Op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, op := range w.unsure {
		if w.has(key) {
			delete(w.unsure, key)
			continue
		}
		op.Do = Read
		reads = append(reads, op)
	}
	return reads
}

func (w *Written) settled(key uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.unsure, key)
}

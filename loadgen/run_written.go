package loadgen

import "sync/atomic"

// Written remembers keys by their numbers: a bit each, in pieces that are made when they are
// needed. It is safe for concurrent use.
type Written struct {
	pieces []atomic.Pointer[piece]
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

// Count is how many keys there are.
func (w *Written) Count() (n uint64) {
	for range w.keys() {
		n++
	}
	return n
}

// keys are all of them, in their order.
func (w *Written) keys() func(func(uint64) bool) {
	return func(yield func(uint64) bool) {
		for i := range w.pieces {
			p := w.pieces[i].Load()
			if p == nil {
				continue
			}
			for j := range p {
				word := p[j].Load()
				for bit := uint64(0); word != 0; bit, word = bit+1, word>>1 {
					if word&1 != 0 && !yield(uint64(i)*pieceKeys+uint64(j)*64+bit) {
						return
					}
				}
			}
		}
	}
}

package loadgen

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// values makes what writes bring: bytes that look random and do not compress, the same for
// the same seed and op. They are pieces of one buffer, so nothing is made while ops are due.
type values struct {
	seed uint64
	pool []byte
}

// valuePool is how many places there are for a piece to begin at. Pieces of ops that follow one
// another begin valueStep apart, which is what the processor's prefetching expects: anywhere in the pool they cost
// as much as all the rest of a request (measured). The step is odd, so that every place comes before one comes again.
const (
	valuePool = 1 << 20
	valueStep = 61
)

func newValues(seed uint64) values {
	return values{seed, randomBytes(seed, 2*valuePool)}
}

func randomBytes(seed uint64, n int) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	pool := make([]byte, n)
	rand.NewChaCha8(key).Read(pool)
	return pool
}

// of is the value of op n. One that the buffer has no room for makes a larger buffer for this copy of
// values, which begins as the other did.
func (v *values) of(n uint64, size int) []byte {
	if size > len(v.pool)-valuePool {
		v.pool = randomBytes(v.seed, 1<<bits.Len(uint(valuePool+size)))
	}
	place := (n * valueStep) & (valuePool - 1)
	return v.pool[place:][:size:size]
}

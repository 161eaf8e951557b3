package loadgen

import "math/bits"

// scramble is a bijection of [0, n) by a seed: it strews the popular keys over all key numbers, and
// unlike a hash modulo n it loses none and joins none. It is a Feistel network over the
// next power of two, walked until it is back in [0, n) (cycle walking: less than two steps on average).
type scramble struct {
	n     uint64
	right uint8 // bits of the right half
	left  uint8
	keys  [4]uint64
}

func newScramble(n, seed uint64) scramble {
	width := uint8(bits.Len64(n - 1))
	s := scramble{n: n, right: width / 2, left: width - width/2}
	d := drawsOf(seed, ofScramble)
	for i := range s.keys {
		s.keys[i] = d.at(uint64(i))
	}
	return s
}

// of is the number that x becomes; x is less than n.
func (s *scramble) of(x uint64) uint64 {
	rightMask, leftMask := uint64(1)<<s.right-1, uint64(1)<<s.left-1
	for {
		l, r := x>>s.right, x&rightMask
		for i := 0; i < len(s.keys); i += 2 {
			l ^= mixed(r+s.keys[i]) & leftMask
			r ^= mixed(l+s.keys[i+1]) & rightMask
		}
		if x = l<<s.right | r; x < s.n {
			return x
		}
	}
}

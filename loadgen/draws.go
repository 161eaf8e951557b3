package loadgen

import "math/bits"

// draws are the random numbers of one dimension of a Traffic (its keys, its sizes ...): 64 bits for every op, by
// the op's number and not in a row. So what one op draws moves no other, a law that draws again and again (rejection)
// disturbs nothing behind it, and a shard passes over the ops of others at no cost.
//
// It is SplitMix64 (Steele, Lea and Flood 2014), whose n-th number is a function of its seed and n.
type draws uint64

// The dimensions, each with numbers of its own: another law of sizes changes no arrival.
const (
	ofArrivals = iota + 1
	ofMix
	ofKeys
	ofScramble
	ofSizes
	ofTTLs
)

const goldenRatio = 0x9e3779b97f4a7c15 // 2^64 over the golden ratio

func drawsOf(seed, dimension uint64) draws {
	return draws(mixed(mixed(seed+goldenRatio) + dimension*goldenRatio))
}

// at brings the bits of op n.
func (d draws) at(n uint64) uint64 { return mixed(uint64(d) + (n+1)*goldenRatio) }

// mixed is the finalizer of SplitMix64, a bijection.
func mixed(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// again draws once more for an op whose bits were x.
func again(x uint64) uint64 { return mixed(x + goldenRatio) }

// unit makes of bits a number in [0, 1).
func unit(x uint64) float64 { return float64(x>>11) / (1 << 53) }

// below makes of bits a number in [0, n), every one exactly as likely as any other (Lemire 2019). n is not 0.
func below(x, n uint64) uint64 {
	high, low := bits.Mul64(x, n)
	if low < n {
		for odd := -n % n; low < odd; {
			x = again(x)
			high, low = bits.Mul64(x, n)
		}
	}
	return high
}

// boundOf is the bound below which that share of all numbers of 53 bits lies: see under.
func boundOf(of float64) uint64 { return uint64(of * (1 << 53)) }

// under tells whether the bits fall below a bound made by boundOf.
func under(x, bound uint64) bool { return x>>11 < bound }

// bounds cuts all numbers of 53 bits in proportion to the weights, none of which is negative and one of which is not 0.
func bounds(weights []float64) []uint64 {
	var sum, so float64
	for _, w := range weights {
		sum += w
	}
	cut := make([]uint64, len(weights))
	for i, w := range weights {
		so += w
		cut[i] = boundOf(so / sum)
	}
	return cut
}

package decode

import (
	"encoding/binary"
	"math"
)

// Sizes of Redis' HyperLogLog strings (hyperloglog.c): a header of "HYLL", the
// encoding, three unused bytes and the cached count, then 2^14 registers of 6
// bits, dense or run-length encoded.
const (
	hllHeader    = 16
	hllRegisters = 1 << 14
	hllDense     = hllHeader + hllRegisters*6/8
	hllQ         = 64 - 14 // the largest register value is hllQ+1
)

// HyperLogLog estimates how many distinct elements a Redis or Valkey
// HyperLogLog has seen, as PFCOUNT does, which cannot be asked for it: PFCOUNT
// may write to the key. ok is false when value is not a whole one.
//
// The standard error is 0.81 %. The estimator is Ertl's ("New cardinality
// estimation algorithms for HyperLogLog sketches", 2017, algorithm 6).
func HyperLogLog(value []byte) (count uint64, ok bool) {
	if len(value) < hllHeader || string(value[:4]) != "HYLL" {
		return 0, false
	}
	var histogram [64]int
	switch value[4] {
	case 0:
		ok = len(value) == hllDense && denseRegisters(value[hllHeader:], &histogram)
	case 1:
		ok = sparseRegisters(value[hllHeader:], &histogram)
	}
	if !ok {
		return 0, false
	}
	// The highest bit says that the cached count is stale.
	if cached := binary.LittleEndian.Uint64(value[8:]); cached>>63 == 0 {
		return cached, true
	}
	const m = float64(hllRegisters)
	z := m * tau((m-float64(histogram[hllQ+1]))/m)
	for k := hllQ; k >= 1; k-- {
		z = (z + float64(histogram[k])) / 2
	}
	z += m * sigma(float64(histogram[0])/m)
	const alpha = 1 / (2 * math.Ln2)
	return uint64(math.Round(alpha * m * m / z)), true
}

func denseRegisters(data []byte, histogram *[64]int) bool {
	for i := range hllRegisters {
		at, shift := i*6/8, uint(i*6%8)
		bits := uint(data[at]) >> shift
		if shift > 2 {
			bits |= uint(data[at+1]) << (8 - shift)
		}
		histogram[bits&63]++
	}
	return true
}

// sparseRegisters reads runs: 00llllll and 01llllll llllllll are zeros, 1vvvvvll
// is a value; every length and value is one less than meant.
func sparseRegisters(data []byte, histogram *[64]int) bool {
	total := 0
	for i := 0; i < len(data); i++ {
		value, length := 0, 0
		switch b := int(data[i]); {
		case b&0x80 != 0:
			value, length = b>>2&31+1, b&3+1
		case b&0x40 == 0:
			length = b&63 + 1
		case i+1 < len(data):
			i++
			length = (b&63<<8 | int(data[i])) + 1
		default:
			return false
		}
		histogram[value] += length
		total += length
	}
	return total == hllRegisters
}

func tau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	y, z := 1.0, 1-x
	for {
		x = math.Sqrt(x)
		before := z
		y /= 2
		z -= (1 - x) * (1 - x) * y
		if z == before {
			return z / 3
		}
	}
}

func sigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	y, z := 1.0, x
	for {
		x *= x
		before := z
		z += x * y
		y += y
		if z == before {
			return z
		}
	}
}

package embedded

import "math/bits"

// The sizes that MEMORY USAGE tells are a model of Redis 7 on 64 bits with
// jemalloc: the sum of what object.c would add up for the same value, each
// allocation rounded up to its size class. All elements count, so that the
// result is the same every time; SAMPLES changes nothing. What a real server
// cannot avoid (spare room of strings that have grown, tables that are being
// rehashed, encodings of the past) is not in it.
const (
	sizeObject    = 16
	sizeDictEntry = 24
	sizeDict      = 56
	sizeZSet      = 16 + 32  // zset and skip list
	sizeZSetHead  = 640      // a node of 32 levels
	sizeQuicklist = 40       // and each node of it:
	sizeListNode  = 32       //
	sizeStream    = 80 + 24  // stream and radix tree
	sizeRaxNode   = 4 + 30*8 // object.c reckons with that
	sizeHLL       = 16 + 12288
	// What an empty server uses, by INFO.
	sizeServer = 876 << 10
)

// allocated rounds up to the size class of jemalloc.
func allocated(n int) int {
	switch {
	case n <= 8:
		return 8
	case n <= 128:
		return (n + 15) &^ 15
	}
	class := 1 << (bits.Len(uint(n-1)) - 3)
	return (n + class - 1) &^ (class - 1)
}

// sds is the size of a string of its own.
func sds(n int) int {
	head := 17
	switch {
	case n > 0 && n < 1<<5:
		head = 1
	case n < 1<<8:
		head = 3
	case n < 1<<16:
		head = 5
	case n < 1<<32:
		head = 9
	}
	return allocated(head + n + 1)
}

// table is the size of a hash table of n entries, without the entries.
func tableSize(n int) int {
	slots := 4
	for slots < n {
		slots *= 2
	}
	return sizeDict + 8*slots
}

// memory is what MEMORY USAGE says of a key.
func (o object) memory(key string) int {
	return sds(len(key)) + sizeDictEntry + sizeObject + o.size()
}

// size is that of the value, without its object.
func (o object) size() int {
	switch encoding := o.encoding(); {
	case encoding == "int":
		return 0
	case encoding == "embstr":
		return allocated(sizeObject+3+len(o.string())+1) - sizeObject
	case o.kind == typeHLL:
		return sds(sizeHLL)
	case o.kind == typeString:
		return sds(len(o.string()))
	case encoding == "listpack":
		return allocated(o.packed())
	case encoding == "intset":
		return allocated(8 + o.len()*o.intWidth())
	case o.kind == typeHash, o.kind == typeSet:
		n := tableSize(o.len())
		for name, value := range o.pairs() {
			n += sds(len(name)) + sizeDictEntry
			if o.kind == typeHash {
				n += sds(len(value))
			}
		}
		return n
	case o.kind == typeZSet:
		n := tableSize(o.len()) + sizeZSet + sizeZSetHead
		for member := range o.scores() {
			n += sds(len(member)) + sizeDictEntry + allocated(24+16*level(member))
		}
		return n
	case o.kind == typeList:
		return o.quicklist()
	case o.kind == typeStream:
		n := sizeStream
		packs := 0
		for _, pack := range streamPacks(o) {
			whole := pack.whole()
			packs++
			n += allocated(whole.size()) + 16
		}
		return n + 2*packs*sizeRaxNode
	}
	return 0
}

// packed is the size of the value as one listpack.
func (o object) packed() int {
	n := listpackHead + 1
	switch o.kind {
	case typeList:
		return o.listBytes(maxListBytes)
	case typeZSet:
		for member, score := range o.scores() {
			n += entrySize(member) + entrySize(formatScore(score))
		}
	default:
		for name, value := range o.pairs() {
			n += entrySize(name)
			if o.kind == typeHash {
				n += entrySize(value)
			}
		}
	}
	return n
}

func (o object) intWidth() int {
	width := 2
	for member := range o.pairs() {
		n, _ := integer(member)
		switch {
		case n < -1<<31 || n >= 1<<31:
			return 8
		case n < -1<<15 || n >= 1<<15:
			width = 4
		}
	}
	return width
}

// quicklist is the size of a list in nodes of at most 8 KiB, or of one element.
func (o object) quicklist() int {
	n, node := sizeQuicklist, 0
	flush := func() {
		if node > 0 {
			n += sizeListNode + allocated(listpackHead+node+1)
		}
		node = 0
	}
	for e := range o.elements() {
		size := entrySize(e)
		if listpackHead+node+size+1 > maxListBytes {
			flush()
		}
		node += size
	}
	flush()
	return n
}

// level is the height of a member in the skip list: one more for every fourth,
// by a hash instead of by chance.
func level(member string) int {
	return min(32, 1+bits.TrailingZeros64(place(member)>>16|1<<62)/2)
}

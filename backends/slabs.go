package backends

import "context"

// A SlabReader reads how a cache that divides its memory into classes by item
// size (memcached) has divided it. Errors are as in StatsReader.
type SlabReader interface {
	Slabs(ctx context.Context) ([]NodeSlabs, error)
}

// A NodeSlabs is what one node tells of its classes, smallest first.
type NodeSlabs struct {
	Node  string
	Slabs []Slab
}

// A Slab is one slab class of a node: items of about one size share pages that
// are cut into chunks of ChunkSize, and each item takes a whole chunk of real
// memory, whatever its own size. Used, Fill and Wasted say how well they fit.
//
// There is no miss rate of a class: a key that is not there has no size, so the
// server cannot tell where it is missing.
type Slab struct {
	Class     int
	ChunkSize int64 // bytes; the real memory of an item of this class
	Pages     int64
	Chunks    int64
	Used      int64 // chunks with an item
	Requested int64 // bytes that the items themselves have; -1 where not told

	Hits      uint64 // get, gets and mg; like the following since the start or the last reset
	TouchHits uint64 // touch, gat and mg with T
	Sets      uint64

	Evicted          uint64
	EvictedUnfetched uint64
	Reclaimed        uint64
	OutOfMemory      uint64 // sets that failed because nothing could be evicted
	Oldest           int64  // seconds since the last use of the item that is next to go; -1 where not told
}

// Fill is the share of the class's chunks that hold an item.
func (s Slab) Fill() float64 {
	if s.Chunks == 0 {
		return 0
	}
	return float64(s.Used) / float64(s.Chunks)
}

// Wasted is what used chunks have beyond their items, in bytes; -1 where that is
// not known.
func (s Slab) Wasted() int64 {
	if s.Requested < 0 {
		return -1
	}
	return max(s.Used*s.ChunkSize-s.Requested, 0)
}

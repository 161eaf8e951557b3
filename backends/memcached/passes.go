package memcached

import (
	"context"
	"hash/maphash"
	"slices"
)

// passes make a walk by the LRU lists less incomplete. A key that moves from one
// list to another in mid-dump is missed, even in a quiet cache, where the server
// still sorts what was written a moment ago. It does not move again unless it
// is used. So while fewer keys came than the server says it has, the dump is
// taken again, and what is new in it handed on. What is in use all the time may
// still be missed.
type passes struct {
	seed  maphash.Seed
	seen  []uint64 // hashes of the keys of earlier passes, sorted
	begin []int32  // in seen, of the hashes with the same first bits, and the end
	now   []uint64 // of this pass
	count int
}

const (
	mostPasses = 3
	// mostSeen bounds the memory for this, 8 bytes a key; larger caches get one pass.
	mostSeen = 8 << 20
	// indexBits of a hash are looked up, the rest is searched for: a million keys leave 16.
	indexBits = 16
)

// fresh tells whether no earlier pass brought key.
func (p *passes) fresh(key string) bool {
	if p.count == 0 {
		p.count, p.seed = 1, maphash.MakeSeed()
	}
	hash := maphash.String(p.seed, key)
	if p.begin != nil {
		first := hash >> (64 - indexBits)
		if _, seen := slices.BinarySearch(p.seen[p.begin[first]:p.begin[first+1]], hash); seen {
			return false
		}
	}
	if len(p.seen)+len(p.now) <= mostSeen {
		p.now = append(p.now, hash)
	}
	return true
}

// another tells whether one more pass may bring something, and prepares for it.
// items is how many keys the server said it has, before or after.
func (p *passes) another(items int64) bool {
	added := len(p.now)
	p.seen = append(p.seen, p.now...)
	p.now = nil
	if p.count == mostPasses || p.count > 1 && added == 0 || int64(len(p.seen)) >= items || len(p.seen) > mostSeen {
		return false
	}
	slices.Sort(p.seen)
	p.begin = make([]int32, 1<<indexBits+1)
	for _, hash := range p.seen {
		p.begin[hash>>(64-indexBits)+1]++
	}
	for i := range 1 << indexBits {
		p.begin[i+1] += p.begin[i]
	}
	p.count = max(p.count, 1) + 1
	return true
}

// again starts one more pass if that is worth it, and tells whether it did.
func (w *walker) again(ctx context.Context) (bool, error) {
	if w.mode != byLRU {
		return false, nil
	}
	now, err := w.node.profile(ctx, true)
	if err != nil || !w.passes.another(max(now.items, w.profile.items)) {
		return false, err
	}
	w.dump.finish(w.profile.closable())
	next, err := w.node.startDump(ctx, w.mode, now, w.limits)
	if err != nil {
		return false, err
	}
	w.dump = next
	w.line = lineReader{spool: w.dump.spool}
	return true, nil
}

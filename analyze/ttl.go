package analyze

import (
	"sort"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// ttlBounds are the upper ends of a histogram's buckets, without the bound itself.
var ttlBounds = [...]time.Duration{
	time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour,
}

// ttlNames name the buckets: keys without TTL, those below each bound, and the rest.
var ttlNames = [len(ttlBounds) + 2]string{"none", "<1m", "<10m", "<1h", "<6h", "<1d", "<7d", "<30d", "more"}

// TTLs is a histogram of how long keys have to live. The zero value is empty.
type TTLs struct{ counts [len(ttlNames)]int64 }

// A TTLBucket is one bar: keys that live less than its name says, and no less than the
// bar before says.
type TTLBucket struct {
	Name string // "none", "<1m" ... "<30d", "more"
	Keys int64
}

// Add takes the TTL of a key, or NoTTL.
func (h *TTLs) Add(ttl time.Duration) {
	if ttl == backends.NoTTL {
		h.counts[0]++
		return
	}
	h.counts[1+sort.Search(len(ttlBounds), func(i int) bool { return ttl < ttlBounds[i] })]++
}

// Merge takes what other has counted.
func (h *TTLs) Merge(other *TTLs) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
}

// Buckets are all bars, the empty ones too, always in the same order.
func (h *TTLs) Buckets() []TTLBucket {
	all := make([]TTLBucket, len(ttlNames))
	for i, name := range ttlNames {
		all[i] = TTLBucket{name, h.counts[i]}
	}
	return all
}

// Keys is how many keys were counted.
func (h *TTLs) Keys() (n int64) {
	for _, keys := range h.counts {
		n += keys
	}
	return n
}

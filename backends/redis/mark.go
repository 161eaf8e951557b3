package redis

import (
	"fmt"
	"hash/fnv"
	"math/bits"
	"strconv"
	"strings"

	"github.com/cachectl/cachectl/backends"
)

// pageAt is an empty page at the place where the walk is.
func (w *walker) pageAt() backends.Page {
	page := backends.Page{Shard: w.node.addr, Last: w.over, Done: 1}
	at := end
	if !w.over {
		at = strconv.FormatUint(w.cursor, 10)
		page.Done = w.done(w.cursor)
	}
	page.After = backends.Mark(w.print + ":" + at)
	return page
}

// end is the place behind the last key.
const end = "end"

// goOn takes the walk to a mark, or to the beginning where the mark is another
// server's. A mark is "PRINT:CURSOR".
func (w *walker) goOn(from backends.Mark) error {
	print, at, ok := strings.Cut(string(from), ":")
	cursor, err := strconv.ParseUint(at, 10, 64)
	if !ok || err != nil && at != end {
		return fmt.Errorf("bad mark %q: it must come from a page", from)
	}
	if print == w.print && print != "" {
		w.cursor, w.over = cursor, at == end
	}
	return nil
}

// footprint tells a server process, and in a cluster the slots that it answers for,
// from others: where either is new, keys may be where a walk has been.
func (p profile) footprint(slots []slotRange) string {
	if p.runID == "" {
		return ""
	}
	if len(slots) == 0 {
		return p.runID
	}
	h := fnv.New64a()
	fmt.Fprint(h, slots)
	return p.runID + "-" + strconv.FormatUint(h.Sum64(), 36)
}

// done is the share of the shard that is walked when the server hands out
// cursor. It is exact: a cursor counts buckets with its bits reversed (dict.c,
// dictScan), and in a cluster its low 14 bits are the slot (Redis 7.4, Valkey
// 8; kvstore.c). It stays true while keys vanish.
func (w *walker) done(cursor uint64) float64 {
	slotted := w.profile.cluster && (w.profile.valkey && w.profile.version.atLeast(8, 0) || w.profile.version.atLeast(7, 4))
	if !slotted {
		return float64(bits.Reverse64(cursor)>>11) / (1 << 53)
	}
	slot, before, all := int(cursor&16383), 0, 0
	for _, r := range w.slots {
		all += r.to - r.from + 1
		if slot > r.from {
			before += min(slot, r.to+1) - r.from
		}
	}
	if all == 0 {
		return float64(slot) / 16384
	}
	return float64(before) / float64(all)
}

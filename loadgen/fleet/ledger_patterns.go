package fleet

import (
	"slices"
	"time"

	"github.com/cachectl/cachectl/loadgen"
)

// A Consistency is how the truth, the cache and the answers went apart. The truth of a key is its newest version: committed at the
// origin, or acknowledged to a client, whichever came first; a write that is lost was never true.
type Consistency struct {
	Versions   uint64              `json:"versions"`    // that became true
	Stale      [servedKinds]uint64 `json:"stale"`       // reads answered with a version that was not the latest, by Served
	Window     loadgen.Histogram   `json:"window"`      // of the versions after which an older one was still served: until the last time
	Fills      uint64              `json:"fills"`       // values fetched from the origin that the cache took
	StaleFills uint64              `json:"stale_fills"` // of those: older than the truth when the cache took them
	Ahead      uint64              `json:"ahead"`       // reads of what was not true: not yet committed or acknowledged, never, or lost
	Crashes    uint64              `json:"crashes"`     // of processes, whatever the cause
	LostKeys   uint64              `json:"lost_keys"`   // keys in the buffers of processes that crashed; Report.Lost counts their writes
	LostAge    loadgen.Histogram   `json:"lost_age"`    // of lost writes: since they were acknowledged
}

// StaleFillShare is the share of fills that were stale when the cache took them.
func (c *Consistency) StaleFillShare() float64 { return share(c.StaleFills, c.Fills) }

func (c *Consistency) merge(other *Consistency) {
	c.Versions += other.Versions
	for i := range c.Stale {
		c.Stale[i] += other.Stale[i]
	}
	c.Window.Merge(&other.Window)
	c.Fills += other.Fills
	c.StaleFills += other.StaleFills
	c.Ahead += other.Ahead
	c.Crashes += other.Crashes
	c.LostKeys += other.LostKeys
	c.LostAge.Merge(&other.LostAge)
}

// StaleShare is the share of reads that were answered with a version that was not the latest.
func (r *Report) StaleShare() float64 { return share(r.Stale.Reads, r.Reads) }

// LocalHits is the share of reads that a process answered by itself.
func (r *Report) LocalHits() float64 { return share(r.Served[FromLocal], r.Reads) }

// RemoteHits is the share of the reads that went past the processes' own layers which the shared cache answered.
func (r *Report) RemoteHits() float64 {
	return share(r.Served[FromCache]+r.Served[FromStale], r.Reads-min(r.Reads, r.Served[FromLocal]))
}

// Amplification is writes to the origin for one acknowledged write: less than 1 where writes of a key are joined.
func (r *Report) Amplification() float64 { return share(r.Origin.Writes, r.Served[Written]) }

// CacheAmplification is changes asked of the shared cache for one acknowledged write, fills left out.
func (r *Report) CacheAmplification() float64 {
	return share(r.Cache.Sets+r.Cache.Deletes-min(r.Cache.Sets+r.Cache.Deletes, r.Consistency.Fills), r.Served[Written])
}

// share is 0 of nothing.
func share(part, of uint64) float64 {
	if of == 0 {
		return 0
	}
	return float64(part) / float64(of)
}

// filled notes that the cache took what a read, or a refresh, brought from the origin.
func (l *Ledger) filled(e *Event, k *account) {
	if e.Now < l.terms.Warmup {
		return
	}
	c := &l.report.Consistency
	c.Fills++
	if e.Value.Version < k.latest {
		c.StaleFills++
	}
}

// Death notes that a process crashed.
func (l *Ledger) Death(now time.Duration) {
	if now >= l.terms.Warmup {
		l.report.Consistency.Crashes++
	}
}

// lose notes that an acknowledged write is gone: it was never true.
func (l *Ledger) lose(now time.Duration, a *Action) {
	if now >= l.terms.Warmup {
		l.report.Lost++
		l.report.Consistency.LostAge.Add(now - a.Value.Read)
		if a.Tag == 0 {
			l.report.Consistency.LostKeys++
		}
	}
	k := l.keys.at(a.Key)
	if h := l.written(k); a.Value.Version > h.committed.latest() {
		h.known.remove(a.Value.Version)
		k.latest = h.known.latest()
	}
}

// Orphan notes that a commit failed whose process had crashed meanwhile: nobody is left to try again. It, and what it
// had replaced, is lost if it was acknowledged. An older write that another process still holds is taken for lost, too, until it is committed.
func (l *Ledger) Orphan(now time.Duration, key Key, version uint64) {
	h := l.written(l.keys.at(key))
	var lost []step
	for _, s := range slices.Backward(h.known.steps) {
		if s.version > h.committed.latest() && s.version <= version {
			lost = append(lost, s)
		}
	}
	for i, s := range lost {
		l.lose(now, &Action{Kind: Lose, Key: key, Tag: uint8(min(i, 1)), Value: Value{Version: s.version, Read: s.at}})
	}
}

// remove forgets one version.
func (h *history) remove(version uint64) {
	i := slices.IndexFunc(h.steps, func(s step) bool { return s.version == version })
	if i < 0 {
		return
	}
	if i+1 < len(h.steps) {
		next := &h.steps[i+1]
		next.passed = max(next.passed, h.steps[i].passed)
	}
	h.steps = slices.Delete(h.steps, i, i+1)
}

// becomes notes that a version becomes the truth.
func (l *Ledger) becomes(now time.Duration, k *account, version uint64) {
	if now >= l.terms.Warmup {
		l.report.Consistency.Versions++
	}
	h := &k.truth.known
	if len(h.steps) == remembered {
		h.windows(remembered/2, l.terms.Warmup, &l.report.Consistency.Window)
	}
	h.add(version, now)
}

// windows counts the windows of all versions of a key that are still remembered.
func (l *Ledger) windows(k *account) {
	if k.truth != nil {
		k.truth.known.windows(len(k.truth.known.steps), l.terms.Warmup, &l.report.Consistency.Window)
	}
}

// windows adds, for each of the n oldest versions that became true after from and were passed over
// afterwards, how long that went on.
func (h *history) windows(n int, from time.Duration, into *loadgen.Histogram) {
	for _, s := range h.steps[:n] {
		h.passed = max(h.passed, s.passed)
		if h.passed > s.at && s.at >= from {
			into.Add(h.passed - s.at)
		}
	}
}

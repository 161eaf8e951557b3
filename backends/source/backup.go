package source

import (
	"errors"
	"hash/maphash"
	"math"
	"slices"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/archive"
)

// Backup reads a backup file, in the forms of the cache that it is of. Of several values
// of one key the last comes, and no other: the file is read twice for that, and 16 bytes a
// key are held meanwhile. Heat is the access counter, or what was idle shortest; all parts
// of a value have the same.
//
// A damaged file brings all its whole records, and a *archive.TornError in the end. An item
// that stands between the parts of a value goes on in front of that value, since parts are
// worth nothing without the others. The reader is not closed.
func Backup(r *archive.Reader, o Options) Stream {
	return func(yield func(Item, error) bool) {
		b := reading{still: make(map[identity]int), heat: make(map[string]float64)}
		if err := b.survey(r); err != nil {
			yield(Item{}, err)
			return
		}
		n := int64(0)
		for batch, err := range r.Batches() {
			if err != nil {
				yield(Item{}, err)
				return
			}
			for i := range batch.Records {
				record := &batch.Records[i]
				if !b.newest(record) {
					continue
				}
				n++
				it := Item{Record: *record, Line: n, Heat: b.heatOf(record)}
				it.Offset = Offset{Skip: b.parts.behind(record, n)}
				if n > o.From.Skip && !yield(it, nil) {
					return
				}
			}
		}
	}
}

// A reading is a backup that is read.
type reading struct {
	still map[identity]int   // keys that come more than once, and how often still
	heat  map[string]float64 // of values some parts of which have come
	parts parts
}

// An identity tells the values of a cache apart: a key, and the node where that matters.
type identity [2]uint64

// survey counts the keys that come more than once.
func (b *reading) survey(r *archive.Reader) error {
	var all []identity
	seeds := [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	b.parts.seeds = seeds
	for batch, err := range r.Batches() {
		var torn *archive.TornError
		if errors.As(err, &torn) { // told when the records are read
			break
		}
		if err != nil {
			return err
		}
		for i := range batch.Records {
			if record := &batch.Records[i]; !record.More {
				all = append(all, b.parts.identity(record))
			}
		}
	}
	slices.SortFunc(all, func(a, b identity) int { return slices.Compare(a[:], b[:]) })
	for i := 1; i < len(all); i++ {
		if all[i] == all[i-1] {
			b.still[all[i]] = max(b.still[all[i]], 1) + 1
		}
	}
	return nil
}

// newest tells whether a record is of the last value of its key.
func (b *reading) newest(r *backends.Record) bool {
	if len(b.still) == 0 {
		return true
	}
	id := b.parts.identity(r)
	if b.still[id] <= 1 {
		return true
	}
	if !r.More {
		b.still[id]--
	}
	return false
}

func (b *reading) heatOf(r *backends.Record) float64 {
	heat := math.NaN()
	switch {
	case r.Have.Has(backends.FactFreq):
		heat = float64(r.Freq)
	case r.Have.Has(backends.FactIdle):
		heat = -r.Idle.Seconds()
	}
	if r.Part == 0 && !r.More {
		return heat
	}
	if first, ok := b.heat[r.Key]; ok && r.Part > 0 {
		heat = first
	}
	if b.heat[r.Key] = heat; !r.More {
		delete(b.heat, r.Key)
	}
	return heat
}

// parts knows the values of which some parts have come.
type parts struct {
	seeds [2]maphash.Seed
	open  map[string]int64 // by key, how many items came before the first part
}

func (p *parts) identity(r *backends.Record) identity {
	name := r.Key
	if r.Shard != "" {
		name += "\x00" + r.Shard
	}
	return identity{maphash.String(p.seeds[0], name), maphash.String(p.seeds[1], name)}
}

// behind is where to go on behind the n-th item, so that no value is left in parts.
func (p *parts) behind(r *backends.Record, n int64) int64 {
	if r.Part == 0 && !r.More && len(p.open) == 0 {
		return n
	}
	if p.open == nil {
		p.open = make(map[string]int64)
	}
	if r.Part == 0 && r.More {
		p.open[r.Key] = n - 1
	} else if !r.More {
		delete(p.open, r.Key)
	}
	for _, before := range p.open {
		n = min(n, before)
	}
	return n
}

package fleet

import (
	"fmt"
	"time"
)

// Patterned are the options of patterns that are not those of every strategy.
type Patterned struct {
	Sliding   bool          `json:"sliding,omitempty"`      // a hit gives the value its TTL anew
	Again     time.Duration `json:"again_ns,omitempty"`     // cache-aside-double-delete: from the commit to the second delete
	Share     float64       `json:"share,omitempty"`        // refresh-ahead: of the TTL; a hit with less left refreshes
	Flush     time.Duration `json:"flush_ns,omitempty"`     // write-behind: how often the buffer goes to the origin
	Batch     int           `json:"batch,omitempty"`        // write-behind: keys in the buffer that do not wait for that; 0: any number waits
	LocalTTL  time.Duration `json:"local_ttl_ns,omitempty"` // two-layers: of the copies in the processes
	LocalKeys int           `json:"local_keys,omitempty"`   // two-layers: copies in each process
}

// The defaults of Patterned.
const (
	DefaultAgain     = 500 * time.Millisecond
	DefaultShare     = 0.2
	DefaultFlush     = time.Second
	DefaultLocalTTL  = time.Second
	DefaultLocalKeys = 1000
)

func patternDefaults() Patterned {
	return Patterned{Again: DefaultAgain, Share: DefaultShare, Flush: DefaultFlush, LocalTTL: DefaultLocalTTL, LocalKeys: DefaultLocalKeys}
}

// Valid tells what is wrong with the options.
func (p *Patterned) Valid() error {
	switch {
	case p.Again <= 0:
		return fmt.Errorf("a second delete after %v is none", p.Again)
	case !(p.Share > 0 && p.Share < 1):
		return fmt.Errorf("refresh ahead in the last %v of the TTL: it is a share between 0 and 1", p.Share)
	case p.Flush <= 0:
		return fmt.Errorf("writes cannot be flushed every %v", p.Flush)
	case p.Batch < 0:
		return fmt.Errorf("a batch of %d keys", p.Batch)
	case p.LocalTTL <= 0 || p.LocalKeys <= 0:
		return fmt.Errorf("a local layer of %d keys for %v holds nothing", p.LocalKeys, p.LocalTTL)
	}
	return nil
}

// pubsub is the name of the pattern whose processes listen to each other.
const pubsub = "two-layers-pubsub"

// Patterns is how applications keep cache and origin together when keys are written, in the field's names.
func Patterns() []Choice {
	return []Choice{
		{"cache-aside", "a read that misses fetches and sets; a write commits, then deletes the key", func(o Options) Maker {
			return CacheAside{Reading: o.reading()}.Maker()
		}},
		{"cache-aside-lease", "as cache-aside, but only who holds a lease may set, and a write takes the lease away: no fill brings back an older value (memcached's meta commands)", func(o Options) Maker {
			how := o.reading()
			how.Lease, how.Poll = o.Lock, o.Poll
			how.Coalesce = true // where a key is written all the time fills fail all the time, and a crowd that polls only grows
			return CacheAside{Reading: how}.Maker()
		}},
		{"cache-aside-delete-first", "as cache-aside, but a write deletes the key, then commits: the wrong way round", func(o Options) Maker {
			return CacheAside{Reading: o.reading(), Order: DeleteBefore}.Maker()
		}},
		{"cache-aside-double-delete", "as cache-aside-delete-first, and some time after the commit the key is deleted again", func(o Options) Maker {
			return CacheAside{Reading: o.reading(), Order: DeleteTwice, Again: o.Again}.Maker()
		}},
		{"write-through", "reads as cache-aside; a write commits, then sets the new value in the cache", func(o Options) Maker {
			return WriteThrough{Reading: o.reading()}.Maker()
		}},
		{"write-through-cache-first", "as write-through, but a write sets, then commits: the wrong way round", func(o Options) Maker {
			return WriteThrough{Reading: o.reading(), CacheFirst: true}.Maker()
		}},
		{"write-behind", "reads as cache-aside; a write is acknowledged when the cache has it, and goes to the origin with the next flush of its process", func(o Options) Maker {
			return WriteBehind{Reading: o.reading(), Flush: o.Flush, Batch: o.Batch}.Maker()
		}},
		{"refresh-ahead", "as cache-aside, and a hit near the end of the TTL fetches the value anew behind the scenes, once in each process", func(o Options) Maker {
			return RefreshAhead{CacheAside: CacheAside{Reading: o.reading()}, Share: o.Share}.Maker()
		}},
		{"refresh-ahead-lock", "as refresh-ahead, but once in all processes, by who gets a lock", func(o Options) Maker {
			return RefreshAhead{CacheAside: CacheAside{Reading: o.reading()}, Share: o.Share, Lock: o.Lock}.Maker()
		}},
		{"two-layers", "as cache-aside, behind a small cache in each process whose copies end with their own TTL", func(o Options) Maker {
			return o.layers(false)
		}},
		{pubsub, "as two-layers, and writers tell the processes to drop their copies, by messages that may be lost", func(o Options) Maker {
			return o.layers(true)
		}},
	}
}

func (o *Options) reading() Reading {
	return Reading{TTL: o.TTL, Jitter: o.Jitter, Sliding: o.Sliding, Coalesce: o.Coalesce}
}

func (o *Options) layers(publish bool) Maker {
	return TwoLayers{CacheAside: CacheAside{Reading: o.reading()}, LocalTTL: o.LocalTTL, Capacity: o.LocalKeys, Publish: publish}.Maker()
}

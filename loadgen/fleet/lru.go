package fleet

import (
	"container/list"
	"time"
)

// An lru is the cache inside a process: a number of keys, each until its time, the least recently used one going first.
type lru struct {
	capacity int
	entries  map[Key]*list.Element // of *copied
	order    *list.List            // most recently used in front
}

type copied struct {
	key   Key
	value Value
	until time.Duration
}

func newLRU(capacity int) *lru {
	return &lru{capacity: capacity, entries: map[Key]*list.Element{}, order: list.New()}
}

func (l *lru) get(k Key, now time.Duration) (Value, bool) {
	at := l.entries[k]
	if at == nil {
		return Value{}, false
	}
	c := at.Value.(*copied)
	if c.until <= now {
		return Value{}, false // its place is the next put's, or goes when others need it
	}
	l.order.MoveToFront(at)
	return c.value, true
}

// put keeps v until then, in place of what there was.
func (l *lru) put(k Key, v Value, until time.Duration) {
	if at := l.entries[k]; at != nil {
		*at.Value.(*copied) = copied{k, v, until}
		l.order.MoveToFront(at)
		return
	}
	if l.order.Len() < l.capacity {
		l.entries[k] = l.order.PushFront(&copied{k, v, until})
		return
	}
	last := l.order.Back()
	c := last.Value.(*copied)
	delete(l.entries, c.key)
	*c = copied{k, v, until}
	l.entries[k] = last
	l.order.MoveToFront(last)
}

// drop ends k if what it has is older than version; its place is the first to be used again.
func (l *lru) drop(k Key, version uint64) {
	if at := l.entries[k]; at != nil && at.Value.(*copied).value.Version < version {
		at.Value.(*copied).until = 0
		l.order.MoveToBack(at)
	}
}

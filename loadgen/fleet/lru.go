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
		l.remove(at)
		return Value{}, false
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
	if l.order.Len() >= l.capacity {
		l.remove(l.order.Back())
	}
	l.entries[k] = l.order.PushFront(&copied{k, v, until})
}

// drop forgets k if what it has is older than version.
func (l *lru) drop(k Key, version uint64) {
	if at := l.entries[k]; at != nil && at.Value.(*copied).value.Version < version {
		l.remove(at)
	}
}

func (l *lru) remove(at *list.Element) {
	delete(l.entries, at.Value.(*copied).key)
	l.order.Remove(at)
}

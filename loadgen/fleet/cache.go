package fleet

import "time"

// A cache is the shared cache of the virtual driver: values with TTLs, locks as SET NX PX makes them in
// Redis, and leases as memcached's meta commands give them (doc/protocol.txt: W, Z, X). It has no clock.
type cache struct {
	items    paged[item]
	cas      uint64
	capacity int // values and stubs it holds, the least recently used goes first; 0: all
	held     int
	evicted  uint64
	newest   Key // of the list of held items, by use; meaningless if held is 0
	oldest   Key
}

// An item is what the cache holds under a key.
type item struct {
	value    Value
	state    itemState
	stale    bool          // invalidated (X)
	promised bool          // somebody won and is to bring a value (Z for the others)
	stubEnds time.Duration // of a stub
	lock     uint64        // token
	lockEnds time.Duration // the lock is held until then
	newer    Key
	older    Key
}

type itemState uint8

const (
	absent itemState = iota
	stub             // a lease without a value
	present
)

// find is the item of a key, without what has expired.
func (c *cache) find(now time.Duration, key Key) *item {
	it := c.items.at(key)
	if it.state == present && it.value.Expires != 0 && it.value.Expires <= now || it.state == stub && it.stubEnds <= now {
		c.remove(key, it)
	}
	return it
}

func (c *cache) remove(key Key, it *item) {
	if it.state != absent {
		c.unlink(key, it)
	}
	it.state, it.stale, it.promised = absent, false, false
}

// do executes an action at now and fills in the answer.
func (c *cache) do(now time.Duration, a *Action, e *Event) {
	it := c.find(now, a.Key)
	switch a.Kind {
	case Get:
		if it.state != present {
			e.Answer = Miss
			return
		}
		if a.TTL > 0 {
			it.value.Expires = now + a.TTL
		}
		e.Answer, e.Value, e.Stale = Hit, it.value, it.stale
		c.touch(a.Key, it)
	case Set:
		if a.Value.CAS != 0 && (it.state == absent || it.value.CAS != a.Value.CAS) {
			e.Answer = No
			return
		}
		e.Answer, e.Value = OK, c.set(a, it)
	case Delete:
		if a.Value.CAS != 0 && (it.state == absent || it.value.CAS != a.Value.CAS) {
			e.Answer = No
			return
		}
		c.remove(a.Key, it)
	case Invalidate:
		if it.state == present {
			it.stale, it.promised = true, false
			c.cas++
			it.value.CAS = c.cas
			if a.TTL > 0 {
				it.value.Expires = now + a.TTL
			}
		}
	case Add:
		if it.lockEnds > now {
			e.Answer = No
			return
		}
		it.lock, it.lockEnds = a.Token, now+a.TTL
		if a.TTL == 0 {
			it.lockEnds = 1<<63 - 1
		}
	case Release:
		if it.lockEnds <= now || it.lock != a.Token {
			e.Answer = No
			return
		}
		it.lockEnds = 0
	case Lease:
		c.lease(now, a, it, e)
	}
}

func (c *cache) set(a *Action, it *item) Value {
	if it.state == absent {
		c.link(a.Key, it)
	} else {
		c.touch(a.Key, it)
	}
	c.cas++
	it.state, it.stale, it.promised = present, false, false
	it.value = a.Value
	it.value.CAS = c.cas
	return it.value
}

// lease is a meta get with N (a.TTL) and R (a.For).
func (c *cache) lease(now time.Duration, a *Action, it *item, e *Event) {
	if it.state == absent {
		c.link(a.Key, it)
		c.cas++
		*it = item{state: stub, promised: true, stubEnds: now + a.TTL, value: Value{CAS: c.cas},
			lock: it.lock, lockEnds: it.lockEnds, newer: it.newer, older: it.older}
		if a.TTL == 0 {
			it.stubEnds = 1<<63 - 1
		}
		e.Answer, e.Value = Won, it.value
		return
	}
	c.touch(a.Key, it)
	e.Answer, e.Value, e.Stale = Hit, it.value, it.stale
	if it.promised {
		e.Answer = Busy
	} else if it.stale || it.value.Expires != 0 && it.value.Expires-now < a.For {
		it.promised = true
		e.Answer = Won
	}
}

// flush removes every value, stub and lock.
func (c *cache) flush() {
	c.items.all(func(_ Key, it *item) { *it = item{} })
	c.held = 0
}

// expire ends every TTL: a value with a soft one goes past it, any other goes.
func (c *cache) expire(now time.Duration) {
	c.items.all(func(key Key, it *item) {
		if it.state != present || it.value.Expires == 0 && it.value.Soft == 0 {
			return
		}
		if it.value.Soft == 0 {
			c.remove(key, it)
			return
		}
		it.value.Soft = min(it.value.Soft, max(now, 1))
	})
}

// link puts a new item in front of the list, and makes room for it.
func (c *cache) link(key Key, it *item) {
	if c.capacity == 0 {
		return
	}
	if c.held >= c.capacity {
		old := c.items.at(c.oldest)
		c.remove(c.oldest, old)
		c.evicted++
	}
	if c.held == 0 {
		c.oldest = key
	} else {
		c.items.at(c.newest).newer = key
		it.older = c.newest
	}
	c.newest = key
	c.held++
}

func (c *cache) unlink(key Key, it *item) {
	if c.capacity == 0 {
		return
	}
	if key == c.newest {
		c.newest = it.older
	} else {
		c.items.at(it.newer).older = it.older
	}
	if key == c.oldest {
		c.oldest = it.newer
	} else {
		c.items.at(it.older).newer = it.newer
	}
	c.held--
}

// touch makes the item the most recently used.
func (c *cache) touch(key Key, it *item) {
	if c.capacity == 0 || key == c.newest {
		return
	}
	c.unlink(key, it)
	c.link(key, it)
}

package fleet

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What one cache answers to one command after the other, as memcached and Redis do.
func TestCacheAnswers(t *testing.T) {
	value := func(version uint64, expires time.Duration) Value { return Value{Version: version, Expires: expires} }
	type ask struct {
		at     time.Duration
		a      Action
		answer Answer
		v      uint64
		stale  bool
	}
	const lock, ahead = 2 * sec, 3 * sec
	get, lease := Action{Kind: Get}, Action{Kind: Lease, TTL: lock, For: ahead}
	set := func(v Value) Action { return Action{Kind: Set, Value: v} }
	guarded := func(kind ActionKind, version, cas uint64) Action {
		return Action{Kind: kind, Value: Value{Version: version, CAS: cas}}
	}
	for what, asks := range map[string][]ask{
		"a value until it expires": {
			{0, get, Miss, 0, false}, {0, set(value(1, sec)), OK, 1, false}, {sec - 1, get, Hit, 1, false}, {sec, get, Miss, 0, false},
			{sec, set(value(2, 0)), OK, 2, false}, {time.Hour, get, Hit, 2, false}, {time.Hour, Action{Kind: Delete}, OK, 0, false}, {time.Hour, get, Miss, 0, false}},
		"a lock is its token's": {
			{0, Action{Kind: Add, Token: 5, TTL: sec}, OK, 0, false}, {sec - 1, Action{Kind: Add, Token: 6, TTL: sec}, No, 0, false},
			{sec - 1, Action{Kind: Release, Token: 6}, No, 0, false}, {sec - 1, Action{Kind: Release, Token: 5}, OK, 0, false},
			{sec - 1, Action{Kind: Add, Token: 6, TTL: sec}, OK, 0, false}, {2 * sec, Action{Kind: Release, Token: 6}, No, 0, false},
			{2 * sec, Action{Kind: Add, Token: 7}, OK, 0, false}, {time.Hour, Action{Kind: Add, Token: 8}, No, 0, false}, {time.Hour, get, Miss, 0, false}},
		"one wins a miss, until its stub expires": {
			{0, lease, Won, 0, false}, {0, lease, Busy, 0, false}, {0, get, Miss, 0, false}, {lock - 1, lease, Busy, 0, false}, {lock, lease, Won, 0, false}},
		"the winner fills with its CAS": {
			{0, lease, Won, 0, false}, {0, guarded(Set, 1, 1), OK, 1, false}, {0, lease, Hit, 1, false}, {0, guarded(Set, 2, 1), No, 0, false}, {0, get, Hit, 1, false}},
		"who was deleted fills no more": {
			{0, lease, Won, 0, false}, {0, Action{Kind: Delete}, OK, 0, false}, {0, guarded(Set, 1, 1), No, 0, false}, {0, lease, Won, 0, false},
			{0, guarded(Delete, 0, 1), No, 0, false}, {0, guarded(Delete, 0, 2), OK, 0, false}, {0, get, Miss, 0, false}},
		"one wins when little TTL is left": {
			{0, set(value(1, 10*sec)), OK, 1, false}, {7 * sec, lease, Hit, 1, false}, {7*sec + 1, lease, Won, 1, false}, {8 * sec, lease, Busy, 1, false},
			{8 * sec, guarded(Set, 2, 1), OK, 2, false}, {8 * sec, lease, Hit, 2, false}},
		"one wins what was invalidated": {
			{0, set(value(1, 10*sec)), OK, 1, false}, {0, Action{Kind: Invalidate, TTL: 4 * sec}, OK, 0, false}, {0, lease, Won, 1, true}, {0, lease, Busy, 1, true},
			{0, get, Hit, 1, true}, {0, guarded(Set, 2, 1), No, 0, false}, {0, Action{Kind: Invalidate}, OK, 0, false}, {0, lease, Won, 1, true}, {4 * sec, get, Miss, 0, false}},
	} {
		t.Run(what, func(t *testing.T) {
			var c cache
			for i, s := range asks {
				var e Event
				s.a.Key = 3
				c.do(s.at, &s.a, &e)
				if e.Answer != s.answer || e.Value.Version != s.v || e.Stale != s.stale {
					t.Fatalf("step %d: answer %d with version %d, stale %v; want %d, %d, %v", i, e.Answer, e.Value.Version, e.Stale, s.answer, s.v, s.stale)
				}
			}
		})
	}
}

func TestFlushAndExpire(t *testing.T) {
	make := func() *cache {
		c := &cache{}
		for key, v := range []Value{{Version: 1}, {Version: 1, Expires: 10 * sec}, {Version: 1, Expires: 10 * sec, Soft: 8 * sec}} {
			c.do(0, &Action{Kind: Set, Key: Key(key), Value: v}, new(Event))
			c.do(0, &Action{Kind: Add, Key: Key(key), TTL: time.Hour}, new(Event))
		}
		return c
	}
	flushed, expired := make(), make()
	flushed.flush()
	expired.expire(sec)
	for key := range Key(3) {
		var e, l, x Event
		flushed.do(sec, &Action{Kind: Get, Key: key}, &e)
		flushed.do(sec, &Action{Kind: Add, Key: key, TTL: sec}, &l)
		expired.do(sec, &Action{Kind: Get, Key: key}, &x)
		if e.Answer != Miss || l.Answer != OK {
			t.Errorf("key %d is there after a flush, or locked", key)
		}
		if want := key != 1; (x.Answer == Hit) != want {
			t.Errorf("key %d is there after all TTLs ended: %v", key, !want)
		}
		if key == 2 && x.Value.Soft != sec {
			t.Errorf("it is fresh until %v, want %v", x.Value.Soft, sec)
		}
	}
}

// The cache keeps the keys that were used last.
func TestLeastRecentlyUsed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := cache{capacity: rapid.IntRange(1, 5).Draw(t, "capacity")}
		var keys []Key // oldest first
		now := time.Duration(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now++
			key := Key(rapid.IntRange(0, 8).Draw(t, "key"))
			kind := rapid.SampledFrom([]ActionKind{Get, Get, Set, Set, Lease, Delete}).Draw(t, "kind")
			var e Event
			c.do(now, &Action{Kind: kind, Key: key, Value: Value{Version: 1}}, &e)
			i := slices.Index(keys, key)
			if kind == Get && (e.Answer == Hit) != (i >= 0 && c.items.at(key).state == present) {
				t.Fatalf("key %d: answer %d, of keys %v", key, e.Answer, keys)
			}
			if kind == Get && e.Answer == Miss {
				continue // a stub is not used by it
			}
			if i >= 0 {
				keys = slices.Delete(keys, i, i+1)
			}
			if kind != Delete {
				keys = append(keys, key)
			}
			if len(keys) > c.capacity {
				keys = keys[1:]
			}
			var held []Key
			c.items.all(func(k Key, it *item) {
				if it.state != absent {
					held = append(held, k)
				}
			})
			if want := slices.Sorted(slices.Values(keys)); !slices.Equal(held, want) || c.held != len(want) {
				t.Fatalf("it holds %v (%d), want %v", held, c.held, want)
			}
		}
	})
}

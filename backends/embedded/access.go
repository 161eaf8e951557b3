package embedded

import (
	"math"
	"time"
)

// A use is what the server remembers about accesses to a key, as in a Redis
// object: the last one, and a logarithmic counter that loses one a minute
// (lfu-decay-time 1, lfu-log-factor 10). Both are kept whatever the policy is,
// so that switching it shows real numbers at once.
type use struct {
	at      time.Time
	counter uint8
	decayed time.Time // when counter was last brought up to date
}

// What a new key starts with (LFU_INIT_VAL).
const newCounter = 5

func fresh(now time.Time) use { return use{at: now, counter: newCounter, decayed: now} }

// frequency is the counter at that time, without an access.
func (u use) frequency(now time.Time) uint8 {
	minutes := int64(now.Sub(u.decayed) / time.Minute)
	return uint8(max(0, int64(u.counter)-max(0, minutes)))
}

func (u use) idle(now time.Time) time.Duration { return max(0, now.Sub(u.at)) }

// touched is the use after an access. random is from [0,1).
func (u use) touched(now time.Time, random float64) use {
	u.counter = u.frequency(now)
	u.at, u.decayed = now, now
	if u.counter < math.MaxUint8 && random < 1/(max(0, float64(u.counter)-newCounter)*10+1) {
		u.counter++
	}
	return u
}

// uses returns what is known about the keys of a database, to read and write
// under the lock.
func (s *Server) uses(db int) map[string]use {
	if s.access[db] == nil {
		s.access[db] = map[string]use{}
	}
	return s.access[db]
}

// use returns what is known about one key. A key that nobody but miniredis
// itself has written counts as new.
func (s *Server) use(db int, key string, now time.Time) use {
	if u, ok := s.access[db][key]; ok {
		return u
	}
	return fresh(now)
}

// account does to the counters and ages what a real server does when it runs
// the command, which must not have run yet. The lock is held.
func (s *Server) account(c *call) {
	spec, ok := lookup(c.cmd, c.args)
	if !ok {
		return
	}
	space, uses := s.keyspace(c.db), s.uses(c.db)
	if spec.keys != nil {
		for _, key := range spec.keys(c.args) {
			exists := space.kind(key) != ""
			switch {
			case exists:
				s.stats.hits += int64(spec.counts)
			default:
				s.stats.misses += int64(spec.counts)
			}
			s.visit(c, uses, key, exists, spec.manner)
		}
	}
	if spec.dest != nil {
		for _, key := range spec.dest(c.args) {
			s.visit(c, uses, key, space.kind(key) != "", writes)
		}
	}
}

func (s *Server) visit(c *call, uses map[string]use, key string, exists bool, m manner) {
	switch {
	case !m.touches:
	case !exists && m.counts == 0: // about to be written, perhaps
		uses[key] = fresh(c.now)
	case !exists:
	case c.noTouch && c.cmd != "TOUCH":
	default:
		u, ok := uses[key]
		if !ok {
			u = fresh(c.now)
		}
		uses[key] = u.touched(c.now, s.random.Float64())
	}
}

// forget drops what is known about keys that are gone, once it is the larger
// part. The lock is held.
func (s *Server) forget() {
	for db, uses := range s.access {
		space := s.keyspace(db)
		if len(uses) <= 2*space.len()+1000 {
			continue
		}
		for key := range uses {
			if space.kind(key) == "" {
				delete(uses, key)
			}
		}
	}
}

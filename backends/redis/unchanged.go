package redis

import (
	"errors"
	"strings"

	"github.com/cachectl/cachectl/backends"
)

// A guard of a value is "kind:what". How a value is told from another depends on
// what the server can compare by itself: the digest of a string (Redis 8.4), a
// string (Valkey 9), and everywhere else the hash of its DUMP, in a script. The
// hash of a big set may differ where the set does not, because the server moves
// its members about: such a key is kept.
const (
	guardDigest = "digest:"
	guardValue  = "value:"
	guardDump   = "dump:"
)

const (
	dumpScript = `local d = redis.call("dump", KEYS[1]); return d and redis.sha1hex(d)`
	// 0: it is gone; -1: it is another.
	removeScript = `local d = redis.call("dump", KEYS[1]); if not d then return 0 end
if redis.sha1hex(d) ~= ARGV[1] then return -1 end
return redis.call(ARGV[2], KEYS[1])`
)

// largestCompared bounds the strings that travel to be compared. Larger ones are hashed
// on the server.
const largestCompared = 4 << 10

// guardQuestion is the command that brings the guard of e, whose type and size
// are known where the server tells them.
func (p profile) guardQuestion(e *backends.Entry) (command []string, kind string) {
	text := e.Have.Has(backends.FactType) && e.Type == "string"
	switch {
	case text && p.hasDelex():
		return []string{"digest", e.Key}, guardDigest
	case text && p.hasDelifeq() && e.Have.Has(backends.FactSize) && e.Size <= largestCompared:
		return []string{"get", e.Key}, guardValue
	}
	return []string{"eval", dumpScript, "1", e.Key}, guardDump
}

func (p profile) hasDelex() bool   { return !p.valkey && p.version.atLeast(8, 4) }
func (p profile) hasDelifeq() bool { return p.valkey && p.version.atLeast(9, 0) }

// guardNeeds are the facts that guardQuestion asks by.
func (p profile) guardNeeds() backends.Facts {
	switch {
	case p.hasDelex():
		return backends.FactType
	case p.hasDelifeq():
		return backends.FactType | backends.FactSize
	}
	return 0
}

// guardAnswer reads the answer to guardQuestion into e, and tells whether the
// key is there.
func (b *prober) guardAnswer(e *backends.Entry, kind string, r reply) (there bool) {
	switch trouble := classify(r.err); {
	case r.err == nil && r.null, trouble == noKey:
		return false
	case r.err == nil:
		e.Guard, e.Have = kind+r.text, e.Have|backends.FactGuard
	case trouble == forbidden, trouble == missing:
		b.drop(backends.FactGuard, r.err)
	default: // another type by now, or one that cannot be dumped: it stays without a guard
		b.tell("some values cannot be compared", errors.New(words(r.err)))
	}
	b.c.lookups.Add(1)
	return true
}

// guardedCommand removes a key if it is unchanged.
func guardedCommand(verb, key, guard string) []string {
	kind, what, _ := strings.Cut(guard, ":")
	switch kind + ":" {
	case guardDigest:
		return []string{"delex", key, "ifdeq", what}
	case guardValue:
		return []string{"delifeq", key, what}
	}
	return []string{"eval", removeScript, "1", key, what, verb}
}

// verdict is what the answer to a guarded removal means. unsure says that the key
// is kept or gone, and only another look tells which.
func verdict(guard string, r reply) (did backends.Verb, unsure bool) {
	switch {
	case classify(r.err) == wrongType:
		return backends.Kept, false
	case r.err != nil:
		return backends.Failed, false
	case r.num > 0:
		return backends.Deleted, false
	case r.num < 0:
		return backends.Kept, false
	}
	return backends.Gone, !strings.HasPrefix(guard, guardDump)
}

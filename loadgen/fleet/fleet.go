// Package fleet is an application in front of a cache: processes that serve requests by a
// strategy, the cache they share, and the origin behind it. It answers what a strategy
// costs the origin and those who wait, when keys expire, are flushed, or change.
//
//	Traffic -> driver (virtual or real) <-> Strategy, one a process
//	              |
//	              v
//	           Ledger -> Report
//
// A Strategy is a pure state machine; two drivers run the same ones. The virtual driver has
// its own clock, cache and origin and is deterministic by seed; the real one speaks to a
// server over backends.Dialer, and to an origin that it simulates in real time or calls by HTTP.
package fleet

import (
	"math/rand/v2"
	"time"
)

// A Strategy is what one application process does with requests. It is told what
// happens, one Event at a time, and says what to do next. It never blocks, sleeps,
// reads a clock or touches a network; all it knows is what events told it, and all chance comes
// from the random numbers it was made with. Every request that arrives is served exactly once, also
// one whose client gave up: nobody hears that answer, but until then the request's number is not used again.
type Strategy interface {
	Next(e *Event, do *Actions)
}

// A Maker makes the strategy of one process. process counts from 0. After a crash the process gets a new one.
type Maker func(process int, random *rand.Rand) Strategy

// A Req is a request in flight: the driver's number for it within its process. Numbers are small, dense and used again after
// the request was served and everything it asked for was answered (Waits included), so a strategy may index by them. 0 is no request:
// work of the process itself, such as a flush of written values.
type Req uint32

// A Key is the number of a key.
type Key uint32

// An Event is one thing that happened. Fields that its kind does not name are zero.
type Event struct {
	Kind   EventKind
	Now    time.Duration // since the start
	Req    Req
	Key    Key
	Tag    uint8      // as in the action that this answers
	Of     ActionKind // Answered, Fetched, Committed, Woke: the kind of the action that this answers
	Write  bool       // Arrived: the request changes the key
	Stale  bool       // Answered, of a Lease: the value was invalidated (memcached's X)
	Answer Answer     // Answered, Fetched, Committed
	Value  Value      // Answered with Hit, Won or Busy (Version 0: none; Won brings the CAS to fill with all the same), or with OK of a Set (as stored); Fetched; Committed (as committed); Heard
}

// An EventKind sorts events.
type EventKind uint8

// The events.
const (
	Arrived   EventKind = iota // a request
	Answered                   // the cache answered a Get, Set, Delete, Invalidate, Add, Release or Lease
	Fetched                    // the origin answered a Fetch: OK or Failed
	Committed                  // the origin answered a Commit: OK or Failed
	Woke                       // a Wait is over
	GaveUp                     // the client's patience ended before the request was served; it is still to be served, though nobody listens
	Heard                      // a message came by pub/sub: Key, Value.Version
	Crashed                    // the process ends here; of what it does now only Lose counts
)

// An Answer is how a cache or an origin answered.
type Answer uint8

// The answers.
const (
	OK     Answer = iota // Set, Delete, Invalidate, Add, Release: done. The origin: here it is
	Hit                  // Get, Lease: Value
	Miss                 // Get
	No                   // Add: it is there already. Release: it is another's. Set or Delete with a CAS: it does not hold
	Won                  // Lease: bring a value
	Busy                 // Lease: somebody else is bringing one
	Failed               // the cache or the origin did not do it: refused, out of time, or broken
)

// A Value is what cache and origin hold of a key. The cache keeps all of it, so that XFetch
// and soft TTLs need nothing but the value.
type Value struct {
	Version uint64        // counts the key's commits at the origin, from 1
	Read    time.Duration // when the origin read it (the moment its work on the fetch ended)
	Took    time.Duration // how long the fetch took that brought it, queueing included
	Soft    time.Duration // it is fresh until then; 0: as long as it is there
	Expires time.Duration // when the cache drops it; 0: never. The driver fills it in when a Set goes out
	CAS     uint64        // of this item in the cache, where the cache tells; not part of what is kept
}

// An Action is one thing a process does. Every action but Serve and Wait that is answered is answered by one
// event with the same Req, Key and Tag.
type Action struct {
	Kind  ActionKind
	Req   Req
	Key   Key
	Tag   uint8
	Value Value
	TTL   time.Duration // Set, Add, Lease (time to bring a value), Invalidate (how long it stays as stale; 0: as long as it would have): 0 is none. Get: what it finds lives so long from now on (GETEX, gat); 0 leaves it as it is
	For   time.Duration // Wait (a microsecond at least); Lease: win early with less than this left; 0: never
	Token uint64        // Add and Release: whose lock it is
	As    Served        // Serve
}

// An ActionKind sorts actions.
type ActionKind uint8

// The actions.
const (
	Get        ActionKind = iota // a key's value from the cache
	Set                          // Value with TTL; with Value.CAS only while the item is that one
	Delete                       // the key's value, and a lease on it; with Value.CAS only while the item is that one
	Invalidate                   // the key's value goes stale: it stays, and the next Lease wins (memcached's md with I); OK if there is none
	Add                          // the key's lock, with Token and TTL
	Release                      // the key's lock if Token holds it (compare and delete)
	Lease                        // memcached's meta lease: Hit, Won (bring a value: Set with the CAS, or Delete with it) or Busy
	Fetch                        // the key's value from the origin
	Commit                       // a new version of the key to the origin; Value.Version > 0: this one (write-behind, which numbers its own), and no change if the origin has a newer one
	Wait                         // Woke after For
	Serve                        // answers the request with Value
	Publish                      // tells all processes, this one too, that the key is at Value.Version; not answered
	Lose                         // tells the ledger that a write is gone (Value.Version) that was acknowledged at Value.Read; Tag tells one that a later write, gone too, had replaced; not answered
)

// Served says from where a request was served. The ledger judges by the version whether it was stale.
type Served uint8

// How requests are served.
const (
	FromCache  Served = iota // the shared cache had it
	FromLocal                // the process had it itself
	FromOrigin               // this request fetched it
	FromOther                // it waited for another's fetch: a delayed hit
	FromStale                // served past its soft TTL, on purpose
	Written                  // a write was acknowledged
	WithError                // it could not be served
	servedKinds
)

func (s Served) String() string {
	return [...]string{"cache", "local", "origin", "other", "stale", "written", "error"}[s]
}

// Actions is what a process does next, in order. It is the driver's, and used again.
type Actions struct{ list []Action }

// Add appends an action.
func (a *Actions) Add(one Action) { a.list = append(a.list, one) }

// List is what was added since Reset. It holds until the next Add or Reset.
func (a *Actions) List() []Action { return a.list }

// Reset empties the list and keeps its memory.
func (a *Actions) Reset() { a.list = a.list[:0] }

package backends

import (
	"strings"
	"time"
)

// An Entry is a key and what is known of it. Fields whose fact is not in Have
// are meaningless: unknown is not zero.
type Entry struct {
	Key  string // the key's bytes; any byte may occur. It shares memory with its page: clone it to keep it for long
	Have Facts

	Shard string // address of the node it came from; only Entries sets it

	Type     string        // the server's word: "string", "hash", "ReJSON-RL" ...
	TTL      time.Duration // time left, or NoTTL
	Size     int64         // bytes of server memory, key and overhead included, as the server accounts for it
	Idle     time.Duration // time since the last access, in the server's resolution
	Freq     int64         // the server's access counter; logarithmic on Redis (0 to 255)
	Encoding string        // internal representation: "listpack", "embstr" ...
	Elements int64         // bytes of a string; fields, members, items or entries of anything else

	// Guard stands for the value as it was seen. Delete leaves a key alone whose
	// value is another by then; its TTL is not part of it. It means something to
	// the backend that made it only.
	Guard string
}

// With is e with the facts that late has beside.
func (e Entry) With(late Entry) Entry {
	fresh := late.Have &^ e.Have
	if e.Have |= fresh; fresh.Has(FactType) {
		e.Type = late.Type
	}
	if fresh.Has(FactTTL) {
		e.TTL = late.TTL
	}
	if fresh.Has(FactSize) {
		e.Size = late.Size
	}
	if fresh.Has(FactIdle) {
		e.Idle = late.Idle
	}
	if fresh.Has(FactFreq) {
		e.Freq = late.Freq
	}
	if fresh.Has(FactEncoding) {
		e.Encoding = late.Encoding
	}
	if fresh.Has(FactElements) {
		e.Elements = late.Elements
	}
	if fresh.Has(FactGuard) {
		e.Guard = late.Guard
	}
	return e
}

// NoTTL is the TTL of an entry that never expires.
const NoTTL time.Duration = -1

// Facts is a set of things to know about a key beside its name. Each may cost a
// command a key, so callers ask only for what they show or filter on.
type Facts uint32

// The facts, each named for the field of Entry it fills.
const (
	FactType Facts = 1 << iota
	FactTTL
	FactSize
	FactIdle
	FactFreq
	FactEncoding
	FactElements
	FactGuard // may cost the server a pass over the value

	// AllFacts are those that are told of a key; Guard is for machines.
	AllFacts = FactType | FactTTL | FactSize | FactIdle | FactFreq | FactEncoding | FactElements
)

// Has tells whether all of want are in f.
func (f Facts) Has(want Facts) bool { return f&want == want }

var factNames = []struct {
	fact Facts
	name string
}{
	{FactType, "type"}, {FactTTL, "ttl"}, {FactSize, "size"}, {FactIdle, "idle"},
	{FactFreq, "freq"}, {FactEncoding, "encoding"}, {FactElements, "elements"}, {FactGuard, "guard"},
}

// String names the facts: "type,ttl".
func (f Facts) String() string {
	var names []string
	for _, n := range factNames {
		if f.Has(n.fact) {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, ",")
}

// A Query says which keys a Scanner is to bring, and how much about each.
type Query struct {
	Match string                // glob in the server's dialect (see Match); empty: every key
	Type  string                // only keys of this type; empty: any
	Keep  func(key string) bool // further keys to leave out, before their facts are fetched; called from several goroutines; nil: none
	Want  Facts                 // facts to fetch with each page
	Count int                   // about how many keys the server visits a page; 0: DefaultCount
	From  map[string]Mark       // where to go on, by shard; a shard that is not in it starts at the beginning; read while the walk goes on
}

// DefaultCount is the page size where a Query names none. From 1,000 up a
// Redis server, not the round trips, is the limit; 10,000 makes single calls
// long enough for other clients to notice.
const DefaultCount = 1000

// A Mark is a place in one shard's walk. It is opaque, and good for the server process
// that gave it, as long as the shard has the same keys to answer for: a walk from any
// other mark starts at the shard's beginning. A walk from the mark of the last page
// brings no keys.
type Mark string

// A Page is what one round trip brought: the unit of pipelining, of progress
// and of resuming. An empty page is normal and does not mean the end; the first
// of each shard is empty, and tells that the shard is there.
type Page struct {
	Shard   string  // address of the node, as in ShardError
	Entries []Entry // the reader's until it asks for the next page
	After   Mark    // goes on behind this page when handed back in Query.From
	Last    bool    // this shard is walked to its end
	Done    float64 // share of this shard that is walked, 0 to 1
}

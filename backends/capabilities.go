package backends

import (
	"context"
	"iter"
	"time"
)

// A Scanner walks the keys without blocking the server. Every matching key that
// lives through the walk comes at least once, and may come twice. A key whose
// facts were asked for and that vanished meanwhile is left out.
//
// A *ShardError says that one shard was lost, a *Notice that a fact is not to
// be had: the walk goes on. Any other error ends it, the context's included.
// Shards are walked in parallel, and their pages come as they arrive. When the
// caller stops early, Scan has stopped too once the loop is left.
type Scanner interface {
	Scan(ctx context.Context, q Query) iter.Seq2[Page, error]
}

// An Inspector tells facts about given keys. Missing keys are skipped; the
// order of the others is kept. Errors are as in Scanner.
type Inspector interface {
	Inspect(ctx context.Context, want Facts, keys iter.Seq[string]) iter.Seq2[Entry, error]
}

// A Store gets and sets plain values. Get returns ErrMiss when the key is
// absent and ErrWrongType when it holds no plain value. A ttl of NoTTL or 0
// stores without expiry.
type Store interface {
	Get(ctx context.Context, key string) ([]byte, error)
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
}

// An Editor changes a single key. Every method returns ErrMiss when it is absent.
type Editor interface {
	Remove(ctx context.Context, key string) error
	// Touch gives the key another TTL: NoTTL or 0 for none.
	Touch(ctx context.Context, key string, ttl time.Duration) error
	// Swap replaces the value if the key's CAS number is still cas, and returns
	// ErrChanged otherwise.
	Swap(ctx context.Context, key string, value []byte, ttl time.Duration, cas uint64) error
}

// A Reader shows one key in full: every fact, and a window of the value. It
// returns ErrMiss when the key is absent. A type whose value it cannot read is
// not an error: Value.Opaque then says why.
type Reader interface {
	Read(ctx context.Context, key string, w Window) (Value, error)
}

// A Window bounds how much of a value is read. A zero field takes the
// default; All reads everything, whatever it costs.
type Window struct {
	Bytes    int64 // of a string; default DefaultWindowBytes
	Elements int64 // of a collection; default DefaultWindowElements
	All      bool
}

// The window that Reader uses where the caller names none.
const (
	DefaultWindowBytes    = 64 << 10
	DefaultWindowElements = 100
)

// A Value is a key with what was read of its value.
type Value struct {
	Entry
	Data     []byte    // of a string, from its first byte
	Elements []Element // of a collection
	Total    int64     // bytes (string) or elements there are; more than what was read when the window cut
	Opaque   string    // why the value could not be read; empty when it could
	Touched  bool      // reading it may have marked the key as used (the server cannot be told otherwise)
	Notices  []*Notice // facts that could not be had
	Details  []Detail  // what only this kind of cache knows of a key
}

// A Detail is a fact that only one kind of cache has, such as memcached's
// client flags. Name is fit for a program ("chunk_bytes"); Value is a string,
// int64, uint64 or bool.
type Detail struct {
	Name  string
	Value any
}

// Whole tells whether the value was read to its end.
func (v *Value) Whole() bool {
	return v.Opaque == "" && int64(len(v.Data))+int64(len(v.Elements)) >= v.Total
}

// An Element is one part of a collection. Which fields mean something depends
// on the type: list Index, Value; set Value; hash Name, Value, TTL; sorted set
// Value, Score; stream Name (the ID), Pairs.
type Element struct {
	Index int64
	Name  []byte
	Value []byte
	Score float64
	TTL   time.Duration // of a hash field; NoTTL where it has none or the server knows none
	Pairs [][2][]byte   // field and value, in order
}

// A StatsReader reads every node's counters, in one round trip a node. Nodes
// that could not be asked are *ShardErrors joined in the error; the others'
// Stats are returned beside it.
type StatsReader interface {
	Stats(ctx context.Context) ([]Stats, error)
}

// Stats is one node's own account of itself at one moment. Counts holds only
// what the node told: an absent counter is unknown, not zero.
type Stats struct {
	Node     string // address
	Software string // "redis", "valkey", "memcached", "embedded"
	Version  string
	Role     string        // "master", "replica", or "" where there are no roles
	RunID    string        // changes when the process restarts; "" where the server has none
	Uptime   time.Duration // seconds resolution; 0: unknown, or less than one
	At       time.Time     // when the answer came
	RTT      time.Duration // round trip of one empty command (PING), measured just before; 0: unknown
	Policy   string        // eviction policy, or ""
	Counts   map[Counter]uint64
	Notices  []*Notice // what could not be had
}

// A Counter names one number of Stats.
type Counter string

// Counters that only grow while a server process lives (unless somebody resets
// them), counted since its start.
const (
	Hits          Counter = "hits"           // lookups that found the key
	Misses        Counter = "misses"         // lookups that did not
	Expired       Counter = "expired"        // keys removed because their TTL ran out
	Evicted       Counter = "evicted"        // keys removed for want of memory
	Commands      Counter = "commands"       // commands processed
	FailedCalls   Counter = "failed_calls"   // commands that failed while they ran
	RejectedCalls Counter = "rejected_calls" // commands refused before they ran
	ErrorReplies  Counter = "error_replies"  // error replies of any kind

	// Of memcached. Lookups by touch and gat are no part of Hits and Misses.
	TouchHits     Counter = "touch_hits"   // touch and gat that found the key, and mg with T
	TouchMisses   Counter = "touch_misses" // touch and gat that did not; mg with T counts as Misses
	MissedExpired Counter = "get_expired"  // misses because the TTL had run out: a lower bound
	MissedFlushed Counter = "get_flushed"  // misses because of flush_all: a lower bound
)

// Gauge tells whether c is the value of a moment. All other counters grow.
func (c Counter) Gauge() bool {
	switch c {
	case Keys, UsedMemory, MaxMemory, Clients, LazyfreePending, ReplicaLag:
		return true
	}
	return false
}

// Gauges.
const (
	Keys       Counter = "keys"
	UsedMemory Counter = "used_memory" // bytes
	MaxMemory  Counter = "max_memory"  // bytes; 0: no limit
	Clients    Counter = "clients"

	LazyfreePending Counter = "lazyfree_pending" // values unlinked and not yet freed
	ReplicaLag      Counter = "replica_lag"      // bytes that the replica furthest behind has not confirmed
)

// A Deleter removes the keys of pages, and tells what became of each. It sends a
// page as soon as it comes and may ask for the next before the answers are in:
// pages are the unit of pipelining, and whoever paces them paces the server. The
// results of one shard come in the order of its pages.
//
// Errors of the pages are passed on, in order. Trouble with one key travels in its
// outcome. A *ShardError says that a node takes no more deletions: its keys come as
// Failed from then on. Any other error ends the stream; the results of what was
// sent before come first, also when ctx has ended, so that what was done is known.
type Deleter interface {
	Delete(ctx context.Context, pages iter.Seq2[Page, error]) iter.Seq2[Result, error]
}

// A Result is what became of one page.
type Result struct {
	Shard    string // as in the page, and so are After, Last and Done
	After    Mark
	Last     bool
	Done     float64
	Outcomes []Outcome // one for each entry, in their order
}

// An Outcome is what became of one key.
type Outcome struct {
	Key string
	Did Verb
	Err error // why, where Did is Failed
}

// A Verb says what was done to a key.
type Verb string

// What Delete may have done. A server that removes several keys at once answers
// with their number, so among neighbours the numbers of Deleted and Gone are
// exact, but not which is which.
const (
	Deleted Verb = "deleted"
	Gone    Verb = "gone"   // was not there any more
	Kept    Verb = "kept"   // it is not what it was when it was seen, see Entry.Guard
	Failed  Verb = "failed" // whether it is there is not known
)

// An Expirer changes when keys expire, page by page, and tells what became of each:
// every key is given the TTL that its entry says, whatever its Have, in the server's
// resolution, rounded up; NoTTL makes it stay. A TTL of less than a millisecond fails
// the key and changes nothing: no TTL deletes. Otherwise it is as Deleter, but for
// guards, which it does not look at; the verbs are Changed, Gone, Kept and Failed.
type Expirer interface {
	Expire(ctx context.Context, pages iter.Seq2[Page, error], only Condition) iter.Seq2[Result, error]
}

// A Condition compares the TTL that a key has when it is changed with the one it is
// given. A key without TTL lives longer than any other. Where it does not hold the key
// is Kept, and so is, as far as the server tells, one without TTL that is to have none.
// A server that cannot compare and change in one step compares just before.
type Condition string

// The conditions of Expire.
const (
	Always      Condition = ""
	OnlyMissing Condition = "missing" // the key has no TTL
	OnlyShorten Condition = "shorten" // it would live longer
	OnlyExtend  Condition = "extend"  // it would expire earlier
)

// Changed says that a key has what it was given.
const Changed Verb = "changed"

// A Staler marks values as stale, page by page. A stale value stays for so long and no
// longer, at least a second, rounded up to whole ones; clients that know of stale values
// are told that it is one, and the first of them that it is to bring a new one. Clients
// that do not know of them are served it as any other. Otherwise it is as Deleter,
// guards included; the verb is Staled in place of Deleted.
type Staler interface {
	Stale(ctx context.Context, pages iter.Seq2[Page, error], stay time.Duration) iter.Seq2[Result, error]
}

// Staled says that a value is marked as stale.
const Staled Verb = "stale"

// A Dumper reads keys so that a Loader can put them back: value, TTL, and what else the
// cache knows of a key that can be given back. Batches of records come in no order, and
// are the reader's to keep; together they hold every key that is there. One that is not
// is left out. A huge value comes as several records; see Record.Part.
//
// A *KeyError says that one key is there and cannot be read whole, a *Notice that
// something of some values is left out; any other error is the end. Values are read
// where writes go, never from a replica. Reading counts as lookups and, where the server
// cannot be told otherwise, as uses of the keys.
type Dumper interface {
	Dump(ctx context.Context, keys []string) iter.Seq2[[]Record, error]
}

// An Exporter reads keys as a Dumper does, but in forms that caches of other versions and
// kinds take: portable ones where it can, whatever it costs. What cannot be said in these
// comes in the backend's own forms.
type Exporter interface {
	Export(ctx context.Context, keys []string) iter.Seq2[[]Record, error]
}

// A Formatter tells what the records of Dump are written in, and whether Load takes what
// another cache writes. Format is "" where there is nothing to tell it by. Neither changes
// anything.
type Formatter interface {
	Format(ctx context.Context) (string, error)
	Takes(ctx context.Context, format string) (bool, error)
}

// A Loader puts records into the cache, batch by batch, and tells what became of each
// key: Loaded, Kept (it is there already, and LoadOptions do not replace), Ended or
// Failed. The outcome of a key of several records comes with its last part; one whose
// parts are not all there is Failed, and nothing of it is left behind.
//
// There is one Result a batch, in the order of the batches, and in it one outcome for each
// record that ends a value, in their order: whoever counts them knows which records are
// settled. A last Result may come for no batch. It takes several batches on before the
// result of the first is told, as far as its bounds of memory go, and a batch must stay as
// it is until then. Records of one key are loaded in their order; a command
// (FormCommand) is carried out whatever LoadOptions say, and Loaded unless the server
// refused it. Where the reader stops, those of batches that were not told are loaded or
// not. Otherwise it is as Deleter; the Result says nothing of shards.
type Loader interface {
	Load(ctx context.Context, batches iter.Seq2[[]Record, error], o LoadOptions) iter.Seq2[Result, error]
}

// LoadOptions say how keys that are there already are met.
type LoadOptions struct {
	Replace bool
}

// What Load may have done, beside Kept and Failed.
const (
	Loaded Verb = "loaded"  // the key holds the record's value
	Ended  Verb = "expired" // its time has passed, so it was left as it is
)

// A Record is a key with its value, as a Dumper gave it, or in a portable form (FormString
// and others) wherever it came from.
type Record struct {
	Key     string
	Form    string // how Value is written: a portable form, or in the words of the backend that made it: "rdb", "memcached"
	Type    string // as in Entry
	Value   []byte
	Expires time.Time // zero: never; in milliseconds. The last part of a value counts
	Flags   uint32    // client flags of memcached
	Idle    time.Duration
	Freq    int64
	Have    Facts  // which of Idle (FactIdle), Freq (FactFreq) and Expires (FactTTL) are known
	Shard   string // node it came from, where the key does not say which node it belongs to
	Part    int    // counts the records of one value, from 0. Those of other keys may stand between them
	More    bool   // the value goes on in a record with the next Part
}

// A Sampler draws keys at random.
type Sampler interface {
	// Sample draws about n keys in all and shares them out among the shards in
	// proportion to their keys. A shard's keys are equally likely, or as nearly
	// so as the server can do; a key may be drawn twice. Shards that could not be
	// asked are *ShardErrors joined in the error; the others' are returned
	// beside it.
	Sample(ctx context.Context, n int) ([]Sample, error)
}

// A Sample is what was drawn from one shard.
type Sample struct {
	Shard string
	Keys  []string
	Of    int64 // how many keys the shard has
}

// A Pulser tells how the servers that take writes are doing, cheaply enough to
// be asked ten times a second. Stats has RTT and, as far as the server tells
// them, the counters Evicted, LazyfreePending and ReplicaLag; errors are as in
// StatsReader.
type Pulser interface {
	Pulse(ctx context.Context) ([]Stats, error)
}

// A Sharder hands out the parts a cache is made of. Visiting all shards visits
// the whole once. The parent owns them: closing it closes them.
type Sharder interface {
	Shards(ctx context.Context) ([]Backend, error)
}

// A Footprinter owns up to the marks it leaves: Footprint is the number of
// lookups made so far through this connection that the server counts among
// its hits and misses.
type Footprinter interface {
	Footprint() int64
}

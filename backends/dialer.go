package backends

import (
	"context"
	"iter"
	"net"
	"time"
)

// A Dialer opens bare connections for traffic: the load generators speak on them at
// their own pace, thousands of requests in flight, with nothing between them and the
// server but a Dialect.
type Dialer interface {
	// Routes asks which nodes take writes now, and which keys are whose. Ask again
	// after an answer of Moved or a lost connection.
	Routes(ctx context.Context) (Routes, error)
	// DialNode opens a connection to one of the nodes, logged in and ready. It is the
	// caller's to close. On plain TCP and unix sockets it is a syscall.Conn.
	DialNode(ctx context.Context, node string) (net.Conn, Dialect, error)
}

// Routes say where keys live.
type Routes struct {
	Nodes []string             // addresses, in the order of their first key
	Of    func(key []byte) int // index into Nodes; safe for concurrent use. Nil where there is one node
}

// A Dialect writes requests and reads replies in a server's own protocol. It belongs to
// one connection and is not safe for concurrent use. Replies come in the order of requests.
type Dialect interface {
	// Append adds the request to dst. It fails where the server has no such request, or
	// cannot take the key; dst is as it was then.
	Append(dst []byte, a *Ask) ([]byte, error)
	// Parse reads the reply to a from the beginning of src and tells how many bytes it
	// took; 0 says that it is not all there yet. r.Value is a part of src. An error says that
	// this is no reply: the connection is of no use any more.
	Parse(src []byte, a *Ask, r *Reply) (int, error)
}

// An Ask is one request to a cache.
type Ask struct {
	Do    Asked
	Key   []byte
	Value []byte
	// TTL of what is stored; 0: none. AskGet, AskStale: what is found lives so long from now on; 0 leaves
	// it as it is. AskLease: how long the winner has to bring a value.
	TTL   time.Duration
	CAS   uint64        // AskSet: only while the item is still this one, 0: whatever it is. AskRelease: as told when it was added
	Early time.Duration // AskLease: with less than this left of its TTL one asker wins the right to bring a new value
	Once  bool          // a reply of Moved said Once: this is asked of a node that has only some keys of the slot yet
}

// Asked is what is wanted.
type Asked uint8

// The requests. All but the first three are for what applications do when they
// coordinate through a cache.
const (
	AskGet     Asked = iota // Hit or Miss
	AskSet                  // Done; NotDone where CAS does not hold
	AskDelete               // Done or NotDone (there was none)
	AskAdd                  // stores if the key is absent: Done (with CAS where the server has it) or NotDone
	AskRelease              // deletes what AskAdd stored if it is still that, by Value or CAS: Done or NotDone
	AskLease                // memcached: Hit, Won (bring a value, and set it with the CAS), or Busy (somebody else does)
	AskStale                // memcached: the value stays, is out of date, and the next AskLease wins: Done, or NotDone (there was none)
	AskPublish              // Redis: Value to the channel Key; Done
)

// A Reply is what came of an Ask.
type Reply struct {
	Answer Answer
	Value  []byte // of Hit; of Won and Busy where a stale value is there, else empty
	Stale  bool   // the server marks Value as out of date
	CAS    uint64
	Text   string // of Refused and Moved: what the server said
	Node   string // of Moved: who is to be asked, as in Routes, where the server tells
	Once   bool   // of Moved: Node is to be asked this time only, by an Ask that says Once (a slot on its way)
}

// An Answer sorts replies.
type Answer uint8

// The answers.
const (
	Refused Answer = iota // the server reports an error, see Text;
	Hit
	Miss
	Done
	NotDone
	Won
	Busy
	Moved // the key lives elsewhere or nowhere at the moment: nothing was done
)

// A Publisher sends a message to whoever listens to a channel, at most once each. It
// tells how many a node reached.
type Publisher interface {
	Publish(ctx context.Context, channel string, message []byte) (int64, error)
}

// A Subscriber listens to a channel. ready is called once it does; what is sent before is
// not heard. A lost connection is taken up again, and a *Notice says that messages may have been missed.
type Subscriber interface {
	Subscribe(ctx context.Context, channel string, ready func()) Messages
}

// Messages are what comes through a channel, in order. They end with an error, that of ctx included.
type Messages = iter.Seq2[[]byte, error]

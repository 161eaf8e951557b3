package loadgen

import (
	"context"
	"net"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A flight is an op on its way: waiting for a connection, or for its answer.
type flight struct {
	op    Op
	sent  time.Duration
	again time.Duration // of one that moved: when it is to be sent again
	tries int32         // how often the key was elsewhere
	once  bool          // Ask.Once
}

// A conn is one connection of a loop, over all times that it is dialled.
type conn struct {
	node    *node
	dialect backends.Dialect // nil while there is no connection
	out     []byte           // encoded requests, of which those before at are sent
	at      int
	in      []byte // read bytes, of which from:to are not yet parsed
	from    int
	to      int
	flights ring[flight] // in the order of their answers
	unsent  int          // how many of the last flights are in out only
	dirty   bool         // in loop.dirty
	listed  bool         // in node.free

	backoff time.Duration // before the next dial
	link
}

// A link is what a transport knows of a connection.
type link struct {
	fd      int
	place   int32
	blocked bool // the other side takes no more now
	pipe    *pipe
}

// A node is one server process, as one loop sees it.
type node struct {
	addr   string
	conns  []*conn
	free   ring[*conn]  // that may have room, the longest idle first
	queue  ring[flight] // ops that found no room. If there is one, no conn has room
	ctx    context.Context
	cancel context.CancelFunc // ends dialling
	gone   bool               // not in the routes any more
}

// pick is the connection that is longest without work; nil where none has room.
func (n *node) pick(depth int) *conn {
	for n.free.n > 0 {
		c := n.free.pop()
		c.listed = false
		if c.room(depth) {
			return c
		}
	}
	return nil
}

// offer lists c, if it has room, to be picked.
func (n *node) offer(c *conn, depth int) {
	if !c.listed && c.room(depth) {
		c.listed = true
		n.free.push(c)
	}
}

func (c *conn) room(depth int) bool { return c.dialect != nil && c.flights.n < depth }

// The sizes of a connection's read buffer: at the beginning, and up to which it is doubled
// when a read fills it. Only a longer reply makes it longer.
const (
	firstBuffer = 4 << 10
	largeBuffer = 256 << 10
)

// space is where the next bytes are read to.
func (c *conn) space() []byte {
	if c.from == c.to {
		c.from, c.to = 0, 0
	}
	if c.to == len(c.in) {
		switch {
		case c.from > len(c.in)/2:
			c.to = copy(c.in, c.in[c.from:c.to])
			c.from = 0
		default:
			c.in = append(c.in[:c.to], make([]byte, max(firstBuffer, len(c.in)))...)
		}
	}
	return c.in[c.to:]
}

// wider makes a buffer that one read filled twice as large, up to a bound.
func (c *conn) wider() {
	if c.from == 0 && c.to == len(c.in) && len(c.in) < largeBuffer {
		c.in = append(c.in, make([]byte, len(c.in))...)
	}
}

// reset forgets what was of the connection that is no more.
func (c *conn) reset() {
	c.dialect, c.out, c.at, c.from, c.to, c.unsent = nil, c.out[:0], 0, 0, 0, 0
}

// A transport moves the bytes of a loop's connections, and waits for them. All but wake is for
// the loop's goroutine.
type transport interface {
	begin()                          // of the loop's goroutine, before all but take
	end()                            // of it, before close
	take(c *conn, nc net.Conn) error // makes nc the connection of c
	write(c *conn) error             // sends c.out from c.at on, what the other side does not take now later
	drop(c *conn)                    // closes
	// wait waits until something came, it is woken or the time is over, and calls
	// loop.received and loop.broken.
	wait(l *loop, d time.Duration)
	wake()
	close()
}

// A ring is a queue that keeps its memory.
type ring[T any] struct {
	buf     []T // a power of two
	head, n int
}

func (r *ring[T]) push(v T) {
	*r.extend() = v
}

// extend adds an element to be filled in.
func (r *ring[T]) extend() *T {
	if r.n == len(r.buf) {
		larger := make([]T, max(4, 2*len(r.buf)))
		for i := range r.n {
			larger[i] = *r.get(i)
		}
		r.buf, r.head = larger, 0
	}
	r.n++
	return r.get(r.n - 1)
}

// get is the i-th element.
func (r *ring[T]) get(i int) *T { return &r.buf[(r.head+i)&(len(r.buf)-1)] }

func (r *ring[T]) pop() T {
	v := r.buf[r.head]
	r.skip()
	return v
}

func (r *ring[T]) skip() {
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
}

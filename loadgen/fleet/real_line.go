package fleet

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A line is one connection of a process to a node. Its two goroutines move bytes, so that a slow server stops
// nobody; the process alone writes requests and reads replies.
type line struct {
	node    string
	conn    net.Conn
	dialect backends.Dialect
	waits   ring[wait] // asked and not answered
	out     []byte     // not yet handed over
	have    []byte     // came and is not read
	read    int        // of have, what is read

	mu     sync.Mutex
	going  []byte
	came   []byte
	broken error
	work   chan struct{} // something is going
}

// A wait is an action that waits for its reply.
type wait struct {
	action Action
	do     backends.Asked
	epoch  uint32
	sent   time.Duration
	once   bool  // as in backends.Ask
	hops   uint8 // nodes that it was asked of and that do not have the key
}

// dialLine opens a line. wake is called when something came over it, or when it broke.
func dialLine(ctx context.Context, d backends.Dialer, node string, running *sync.WaitGroup, wake func()) (*line, error) {
	conn, dialect, err := d.DialNode(ctx, node)
	if err != nil {
		return nil, err
	}
	l := &line{node: node, conn: conn, dialect: dialect, work: make(chan struct{}, 1)}
	running.Go(func() { l.receive(wake) })
	running.Go(func() { l.transmit(wake) })
	return l, nil
}

func (l *line) receive(wake func()) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := l.conn.Read(buffer)
		l.mu.Lock()
		l.came = append(l.came, buffer[:n]...)
		l.mu.Unlock()
		if err != nil {
			l.fail(err)
			wake()
			return
		}
		wake()
	}
}

func (l *line) transmit(wake func()) {
	var out []byte
	for range l.work {
		l.mu.Lock()
		out, l.going = l.going, out[:0]
		l.mu.Unlock()
		if _, err := l.conn.Write(out); err != nil {
			l.fail(err)
			wake()
		}
	}
}

// fail ends the connection.
func (l *line) fail(err error) {
	l.mu.Lock()
	if l.broken == nil {
		l.broken = err
	}
	l.mu.Unlock()
	l.conn.Close()
}

// hangUp ends the connection and its goroutines. The process calls it, once.
func (l *line) hangUp() {
	l.fail(net.ErrClosed)
	close(l.work)
}

// flush hands over what was asked.
func (l *line) flush() {
	if len(l.out) == 0 {
		return
	}
	l.mu.Lock()
	l.going = append(l.going, l.out...)
	l.mu.Unlock()
	l.out = l.out[:0]
	select {
	case l.work <- struct{}{}:
	default:
	}
}

// take brings what came, and tells whether the connection is broken.
func (l *line) take() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.read == len(l.have) {
		l.have, l.came, l.read = l.came, l.have[:0], 0
	} else {
		l.have, l.came = append(l.have, l.came...), l.came[:0]
	}
	return l.broken
}

package memcached

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// A node is one server process, or what passes itself off as one.
type node struct {
	addr string
	*config

	mu     sync.Mutex
	idle   []*conn
	open   []*conn // idle and lent ones
	closed error   // why; nil: it is open

	knowing sync.Mutex // held while the profile is asked for
	known   *profile
	asks    atomicMode // how facts are asked for, once that is known
}

// A conn is a connection that has said hello. It is lent to one call at a time.
type conn struct {
	net.Conn
	r       *bufio.Reader
	timeout time.Duration
	version string // the server's word; "" where it does not tell
	reused  bool   // the server may have hung up since its last call

	ctx  context.Context // of the call it is lent to
	slab []byte          // room for small values
}

// Idle connections kept to one node.
const maxIdle = 4

// longestLine bounds a line that is not part of a dump. The longest that a
// server sends is a VALUE line: a key of 250 bytes and four numbers.
const longestLine = 16 << 10

var errLongLine = fmt.Errorf("%w: a line without end", errProtocol)

// do lends a connection to f. A connection that failed in any way is closed:
// after an error nobody knows how much of a command was understood (before
// 1.6.40 the payload of a refused set was carried out as commands). One that the
// server hung up while it was idle is replaced once; f must bear being run
// again.
func (n *node) do(ctx context.Context, f func(*conn) error) error {
	for {
		c, err := n.get(ctx)
		if err != nil {
			return fail(ctx, n.addr, err)
		}
		reused := c.reused
		disarm := c.arm(ctx)
		err = f(c)
		n.put(c, disarm() && err == nil && c.r.Buffered() == 0)
		if err == nil {
			return nil
		}
		if reused && hungUp(err) && ctx.Err() == nil {
			continue
		}
		return fail(ctx, n.addr, err)
	}
}

// hungUp tells a connection that was closed from one that is slow.
func hungUp(err error) bool {
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return false
	}
	return broken(err)
}

func (n *node) get(ctx context.Context) (*conn, error) {
	n.mu.Lock()
	if last := len(n.idle) - 1; last >= 0 && n.closed == nil {
		c := n.idle[last]
		n.idle = n.idle[:last]
		n.mu.Unlock()
		c.reused = true
		return c, nil
	}
	n.mu.Unlock()
	c, err := n.dial(ctx)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed != nil {
		c.Close()
		return nil, n.closed
	}
	n.open = append(n.open, c)
	return c, nil
}

func (n *node) put(c *conn, good bool) {
	c.slab = nil
	n.mu.Lock()
	defer n.mu.Unlock()
	if good && n.closed == nil && len(n.idle) < maxIdle {
		n.idle = append(n.idle, c)
		return
	}
	n.open = slices.DeleteFunc(n.open, func(o *conn) bool { return o == c })
	c.Close()
}

func (n *node) close(why error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = why
	for _, c := range n.open {
		c.Close()
	}
	n.open, n.idle = nil, nil
}

// dial makes a connection and says hello. It belongs to the caller.
func (n *node) dial(ctx context.Context) (*conn, error) {
	inner, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	var d net.Dialer
	raw, err := d.DialContext(inner, "tcp", n.addr)
	if err != nil {
		return nil, err
	}
	if n.tls != nil {
		conf := n.tls.Clone()
		conf.DynamicRecordSizingDisabled = true
		if conf.ServerName == "" {
			conf.ServerName, _, _ = net.SplitHostPort(n.addr)
		}
		secure := tls.Client(raw, conf)
		if err := secure.HandshakeContext(inner); err != nil {
			raw.Close()
			return nil, err
		}
		raw = &recordConn{Conn: secure}
	}
	c := &conn{Conn: raw, r: bufio.NewReaderSize(raw, longestLine), timeout: n.timeout}
	disarm := c.arm(ctx)
	err = c.hello(n.config)
	if !disarm() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	return c, nil
}

// arm ties the connection to ctx until the returned function is called; that
// tells whether the connection is still good, which it is not once ctx ended.
func (c *conn) arm(ctx context.Context) (disarm func() bool) {
	c.ctx = ctx
	c.extend()
	return context.AfterFunc(ctx, func() { c.Conn.SetDeadline(past) })
}

var past = time.Unix(1, 0)

// extend gives the server the full timeout again.
func (c *conn) extend() error {
	err := c.Conn.SetDeadline(time.Now().Add(c.timeout))
	if c.ctx.Err() != nil {
		return c.Conn.SetDeadline(past)
	}
	return err
}

// send writes one or more commands.
func (c *conn) send(commands []byte) error {
	c.extend()
	_, err := c.Conn.Write(commands)
	return err
}

// line reads one line and takes off its end. It is valid until the next read.
func (c *conn) line() ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, errLongLine
	case errors.Is(err, io.EOF) && len(line) > 0:
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	}
	return trimEnd(line), nil
}

func trimEnd(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
	}
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line
}

// ask sends one command and returns the first line of its answer.
func (c *conn) ask(command string) ([]byte, error) {
	if err := c.send([]byte(command + "\r\n")); err != nil {
		return nil, err
	}
	return c.line()
}

package embedded

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// Dial returns a connection to the server that stays in memory. It fits the
// Dialer of a Redis client, which may pipeline as much as it likes.
func (s *Server) Dial(ctx context.Context) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	if !s.serve(far) {
		near.Close()
		far.Close()
		return nil, errClosed
	}
	return near, nil
}

// Listen serves on a TCP address as well, until Close, and returns the address
// it got: the port behind a ":0" is in it. Whoever can reach the address can
// read and write everything.
func (s *Server) Listen(addr string) (actual string, err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("listen: %w", err)
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		l.Close()
		return "", errClosed
	}
	s.listeners = append(s.listeners, l)
	s.work.Add(1)
	s.mu.Unlock()
	if tcp, ok := l.Addr().(*net.TCPAddr); ok {
		s.port.Store(int64(tcp.Port))
	}
	go func() {
		defer s.work.Done()
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if !s.serve(conn) {
				conn.Close()
				return
			}
		}
	}()
	return l.Addr().String(), nil
}

// serve hands a connection to miniredis. It reports false when the server is closed.
func (s *Server) serve(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	o := &outbox{Conn: conn, server: s}
	o.wake.L = &o.mu
	s.connections.Add(1)
	s.live.Add(1)
	s.work.Add(1)
	go o.drain()
	s.srv.ServeConn(o)
	return true
}

// An outbox is the server's end of a connection. Writes never wait for the
// client: they gather until it reads, as in the output buffers of a real
// server. Without it a client that writes a whole pipeline before it reads, and
// a server that waits for each answer to be read, wait for each other.
type outbox struct {
	net.Conn
	server *Server

	mu     sync.Mutex
	wake   sync.Cond
	full   []byte // not yet sent
	closed bool
	err    error
	inside bool // the last Write was a part of a longer answer
}

// The size of the buffer that miniredis writes through: a Write of that size or
// more is a part of an answer, a smaller one ends it.
const peerBuffer = 4096

func (o *outbox) Read(b []byte) (int, error) {
	n, err := o.Conn.Read(b)
	o.server.received.Add(int64(n))
	return n, err
}

func (o *outbox) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return 0, o.err
	}
	if o.closed {
		return 0, net.ErrClosed
	}
	if !o.inside && len(b) > 0 && b[0] == '-' {
		o.server.errors.Add(1)
	}
	o.inside = len(b) >= peerBuffer
	o.full = append(o.full, b...)
	o.wake.Signal()
	return len(b), nil
}

// How long a client that has stopped reading can keep a closed connection.
const lastWords = 100 * time.Millisecond

// Close lets what is written go out, for a short while, and closes then.
func (o *outbox) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.closed = true
		o.Conn.SetWriteDeadline(time.Now().Add(lastWords))
		o.wake.Signal()
	}
	return nil
}

func (o *outbox) drain() {
	defer o.server.work.Done()
	defer o.server.live.Add(-1)
	defer o.Conn.Close()
	for {
		o.mu.Lock()
		for len(o.full) == 0 && !o.closed {
			o.wake.Wait()
		}
		send := o.full
		o.full = nil
		o.mu.Unlock()
		if len(send) == 0 {
			return
		}
		n, err := o.Conn.Write(send)
		o.server.sent.Add(int64(n))
		if err != nil {
			o.mu.Lock()
			o.err = err
			o.mu.Unlock()
			return
		}
	}
}

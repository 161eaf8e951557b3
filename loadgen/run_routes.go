package loadgen

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// How connections are dialled and routes asked for. A lost connection is dialled again at
// once; one that brought no answer since the last time waits, twice as long each time.
const (
	mostDialling = 64
	firstBackoff = 20 * time.Millisecond
	mostBackoff  = time.Second
	routesEvery  = 100 * time.Millisecond
)

// A letter tells a loop what others did for it.
type letter struct {
	stop    bool
	routes  *backends.Routes
	conn    *conn // has a new connection:
	net     net.Conn
	dialect backends.Dialect
}

// A mailbox is where letters wait until the loop looks.
type mailbox struct {
	mu      sync.Mutex
	letters []letter
	closed  bool
}

// put wakes the loop by the first letter since it looked. A mailbox that is closed gives back the connection.
func (m *mailbox) put(l letter, wake func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		if l.net != nil {
			l.net.Close()
		}
		return
	}
	if m.letters = append(m.letters, l); len(m.letters) == 1 {
		wake()
	}
}

func (m *mailbox) take() []letter {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.letters
	m.letters = nil
	return all
}

func (m *mailbox) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	for _, l := range m.letters {
		if l.net != nil {
			l.net.Close()
		}
	}
}

// connect makes the first connections of all loops. One that fails fails all.
func (r *runner) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	bare, gate := true, make(chan struct{}, mostDialling)
	var mu sync.Mutex
	for _, l := range r.loops {
		for _, n := range l.nodes {
			for _, c := range n.conns {
				running.Go(func() {
					gate <- struct{}{}
					defer func() { <-gate }()
					nc, dialect, err := r.Dialer.DialNode(ctx, n.addr)
					if err != nil {
						cancel(err)
						return
					}
					_, has := nc.(syscall.Conn)
					mu.Lock()
					bare = bare && has
					mu.Unlock()
					l.mail.put(letter{conn: c, net: nc, dialect: dialect}, func() {})
				})
			}
		}
	}
	running.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	for _, l := range r.loops {
		var err error
		if l.net, err = newTransport(bare && !r.portable); err != nil {
			return err
		}
		for _, letter := range l.mail.take() {
			if err := l.admit(letter); err != nil {
				return err
			}
		}
	}
	return nil
}

// redial makes the connection of c anew, as long as its node is one.
func (r *runner) redial(l *loop, c *conn) {
	ctx, addr, wait := c.node.ctx, c.node.addr, c.backoff
	r.dialing.Go(func() {
		for ; pause(ctx, wait); wait = longer(wait) {
			nc, dialect, err := r.Dialer.DialNode(ctx, addr)
			if err == nil {
				l.post(letter{conn: c, net: nc, dialect: dialect})
				return
			}
		}
	})
}

func longer(wait time.Duration) time.Duration {
	return min(max(2*wait, firstBackoff), mostBackoff)
}

// pause waits for d, a little less or more, so that not all come back at the same moment. It tells
// whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	if d > 0 {
		d = d*3/4 + rand.N(d/2+1)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// A router asks where keys live when somebody found out that something changed.
type router struct {
	runner *runner
	mu     sync.Mutex
	asking bool
	last   time.Time
}

// ask asks, and tells all loops. Questions come no closer than routesEvery; who asks meanwhile
// gets the same answer.
func (r *router) ask() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asking {
		return
	}
	r.asking = true
	wait := max(0, routesEvery-time.Since(r.last))
	ctx := r.runner.ctx
	r.runner.dialing.Go(func() {
		for ; pause(ctx, wait); wait = routesEvery {
			routes, err := r.runner.Dialer.Routes(ctx)
			if err != nil || len(routes.Nodes) == 0 {
				continue
			}
			r.mu.Lock()
			r.asking, r.last = false, time.Now()
			r.mu.Unlock()
			for _, l := range r.runner.loops {
				l.post(letter{routes: &routes})
			}
			return
		}
	})
}

// reroute takes new routes over. What waits for a node that is none any more goes to others; what is
// in flight there is still to be answered.
func (l *loop) reroute(routes backends.Routes) {
	old := make(map[string]*node)
	for _, n := range l.nodes {
		old[n.addr] = n
	}
	l.of, l.nodes = routes.Of, nil
	for _, addr := range routes.Nodes {
		n, known := old[addr]
		delete(old, addr)
		if !known {
			n = l.newNode(addr)
		}
		l.nodes = append(l.nodes, n)
	}
	for _, n := range old {
		n.gone = true
		l.left = append(l.left, n)
		n.cancel()
		for n.queue.n > 0 {
			l.waiting--
			f := n.queue.pop()
			l.place(&f)
		}
		for _, c := range n.conns {
			if c.dialect != nil && c.flights.n == 0 {
				l.leave(c)
			}
		}
	}
}

// newNode makes a node; once the loop runs its connections are dialled at once.
func (l *loop) newNode(addr string) *node {
	n := &node{addr: addr}
	n.ctx, n.cancel = context.WithCancel(l.ctx)
	for range l.share {
		c := &conn{node: n}
		n.conns = append(n.conns, c)
		if l.net != nil {
			l.redial(l, c)
		}
	}
	return n
}

// admit makes a connection that was dialled one of the loop's.
func (l *loop) admit(m letter) error {
	c := m.conn
	if c.node.gone {
		return m.net.Close()
	}
	if err := l.net.take(c, m.net); err != nil {
		return err
	}
	c.dialect = m.dialect
	l.slots += l.Depth
	l.refill(c)
	return nil
}

// leave closes a connection that owes no answer.
func (l *loop) leave(c *conn) {
	l.net.drop(c)
	c.reset()
	l.slots -= l.Depth
}

// broken counts what a connection owed as lost, and has it dialled again.
func (l *loop) broken(c *conn, err error) {
	if c.dialect == nil {
		return
	}
	why := "connection lost: " + words(err)
	for c.flights.n > 0 {
		f := c.flights.pop()
		l.inflight--
		l.acc.lost(&f.op, l.now, why)
	}
	l.leave(c)
	if c.node.gone || l.ctx.Err() != nil {
		return
	}
	l.router.ask()
	l.redial(l, c)
	c.backoff = longer(c.backoff)
}

// words is what an error says, without addresses, which would make every one another.
func words(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	return err.Error()
}

package memcached

import (
	"context"
	"fmt"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A lane is one node's side of a deletion: one connection of its own, which does
// not end with the context, and the batches that are on their way over it.
type lane struct {
	*node
	run     *deletion
	conn    *conn
	manner  manner   // how this server is told; 0: not known yet
	known   profile  // where the errand is about TTLs
	asks    int32    // how this server is asked for them
	process string   // that answers, see runID
	sent    []*batch // and not answered, in order
	open    int      // commands in them
	number  uint64   // of the next command
	buffer  []byte
	tries   int   // of connecting, since the last answer
	lost    error // why the node takes no more
	told    bool
}

// window is how many commands may be unanswered. What a server says to these fits
// into the buffers of a connection, so that it never waits for us to read while
// we wait for it to read.
const window = 2 * batchKeys

// mostTries is how often a broken connection is replaced before the node counts
// as lost; the wait before each doubles.
const (
	mostTries = 3
	firstWait = 50 * time.Millisecond
)

// ready connects, and tells whether the node can do what a sheet wants of it. A
// node that cannot be reached is no error here.
func (l *lane) ready(s *sheet) error {
	for l.conn == nil && l.lost == nil {
		if err := l.connect(); err != nil {
			l.mend(err)
		}
	}
	if what := l.run.beyond(l.manner, s.guards != nil); what != "" {
		return &opError{addr: l.addr, kind: &backends.UnsupportedError{Backend: l.run.name, Capability: l.run.capability},
			err: fmt.Errorf("the server cannot %s: that takes the meta commands of memcached 1.6.10 or newer", what)}
	}
	return nil
}

// send sends a part in batches, and reads answers where there are too many
// unanswered ones.
func (l *lane) send(p *part) {
	for from := 0; from < len(p.did); {
		b := &batch{part: p}
		from = b.fill(from, l.manner)
		l.push(b)
	}
}

func (l *lane) push(b *batch) {
	if len(b.entries) == 0 {
		return
	}
	for len(l.sent) > 0 && l.open+len(b.entries) > window {
		l.answer()
	}
	switch {
	case l.lost != nil:
		b.fail(fail(context.Background(), l.addr, l.lost))
		return
	case l.run.ctx.Err() != nil:
		b.fail(fmt.Errorf("not sent: %w", context.Cause(l.run.ctx)))
		return
	}
	b.first = l.number
	l.number += uint64(len(b.entries))
	l.sent = append(l.sent, b)
	l.open += len(b.entries)
	if err := l.write(b); err != nil {
		l.mend(err)
	}
}

func (l *lane) write(b *batch) error {
	l.buffer = b.encode(l.buffer[:0], l)
	return l.conn.send(l.buffer)
}

// answer reads the answers to the oldest batch. If the connection breaks, it
// comes back with a new one, or with no batch at all when the node is lost.
func (l *lane) answer() {
	b := l.sent[0]
	l.conn.SetDeadline(l.run.deadline())
	if err := b.read(l.conn, b.manner(l)); err != nil {
		l.mend(err)
		return
	}
	l.tries = 0
	l.sent = l.sent[1:]
	l.open -= len(b.entries)
	if next := b.commit(b.manner(l)); next != nil {
		l.push(next)
	}
}

// mend replaces the connection after err, and sends again what was not
// answered. Errands bear that: a key that the first attempt deleted is Gone at
// the second. When that does not help, the node is lost.
func (l *lane) mend(err error) {
	for {
		l.hangUp()
		if l.tries == mostTries || err != nil && !broken(err) || l.run.ctx.Err() != nil {
			l.lose(err)
			return
		}
		l.tries++
		select {
		case <-l.run.ctx.Done():
		case <-time.After(firstWait << (l.tries - 1)):
		}
		if err = l.connect(); err == nil {
			err = l.again()
		}
		if err == nil {
			return
		}
	}
}

func (l *lane) again() error {
	for _, b := range l.sent {
		b.reset()
		if err := l.write(b); err != nil {
			return err
		}
	}
	return nil
}

// connect makes a connection, and finds out what the server behind it can do.
func (l *lane) connect() error {
	c, err := l.dial(l.run.ctx)
	if err != nil {
		return err
	}
	c.ctx = context.WithoutCancel(l.run.ctx)
	c.extend()
	how, err := l.probe(c)
	if err == nil && l.manner != 0 && how != l.manner {
		err = fmt.Errorf("%w: the server has other commands than a moment ago", errProtocol)
	}
	if err == nil {
		l.process, err = c.process()
	}
	if err != nil {
		c.Close()
		return err
	}
	l.conn, l.manner = c, how
	return nil
}

// lose gives the node up.
func (l *lane) lose(err error) {
	l.lost = err
	for _, b := range l.sent {
		b.reset()
		b.fail(fail(context.Background(), l.addr, err))
	}
	l.sent, l.open = nil, 0
}

func (l *lane) hangUp() {
	if l.conn != nil {
		l.conn.Close()
		l.conn = nil
	}
}

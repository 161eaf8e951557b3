package loadgen

import (
	"errors"
	"time"
)

var (
	errUnasked = errors.New("an answer that nobody asked for")
	errLate    = errors.New("no answer when the run ended")
)

// How often an op is sent after its key, and how long it waits in between: 1, 2, 4 ... 64 ms, in all about 5 s.
const (
	mostMoves = 80
	mostRest  = 64 * time.Millisecond
)

// elsewhere has an op sent again: at once to the node that has the key, where the server told one, and every
// fourth time after a rest, to where the key lives by then. It is counted once, from when it was due.
func (l *loop) elsewhere(f *flight) {
	if f.tries++; f.tries > mostMoves {
		l.acc.refused(&f.op, l.now, l.reply.Text)
		return
	}
	f.once = l.reply.Once
	if !f.once {
		l.router.ask()
	}
	if n := l.nodeAt(l.reply.Node); n != nil && f.tries%4 != 0 {
		again := *f // whose place the next flight may take
		l.placeOn(n, &again)
		return
	}
	f.once = false
	f.again = l.now + min(time.Millisecond<<min(f.tries-1, 10), mostRest)
	if len(l.moved) == 0 || f.again < l.movedAt {
		l.movedAt = f.again
	}
	l.moved = append(l.moved, *f)
}

func (l *loop) nodeAt(addr string) *node {
	for _, n := range l.nodes {
		if n.addr == addr {
			return n
		}
	}
	return nil
}

// retry sends what was elsewhere and has waited for long enough.
func (l *loop) retry() {
	if len(l.moved) == 0 || l.now < l.movedAt {
		return
	}
	rest := l.moved[:0]
	for i := range l.moved {
		f := &l.moved[i]
		if f.again <= l.now {
			l.place(f)
			continue
		}
		if len(rest) == 0 || f.again < l.movedAt {
			l.movedAt = f.again
		}
		rest = append(rest, *f)
	}
	l.moved = rest
}

// forget counts as lost what has no answer.
func (l *loop) forget() {
	for _, n := range append(l.left, l.nodes...) {
		for _, c := range n.conns {
			for c.flights.n > 0 {
				f := c.flights.pop()
				l.inflight--
				l.acc.lost(&f.op, l.now, errLate.Error())
			}
		}
	}
}

// close closes all connections.
func (l *loop) close() {
	l.mail.close()
	for _, n := range l.nodes {
		n.cancel()
	}
	if l.net != nil {
		l.net.close()
	}
}

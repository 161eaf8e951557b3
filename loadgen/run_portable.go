package loadgen

import (
	"net"
	"sync"
	"time"
)

// Pipes are the transport over any net.Conn, TLS and in-memory ones among them: a goroutine that
// reads and one that writes for each connection.
type pipes struct {
	events  chan pipeEvent
	bell    chan struct{}
	timer   *time.Timer
	alarm   alarm
	all     map[*pipe]struct{}
	running sync.WaitGroup
}

type pipe struct {
	conn    *conn
	net     net.Conn
	goOn    chan struct{} // what was read is taken over
	out     chan []byte
	writing bool   // out holds something that is not yet reported as written
	spare   []byte // buffer for what comes meanwhile
	quit    chan struct{}
}

// A pipeEvent says that something was read, or written.
type pipeEvent struct {
	pipe  *pipe
	read  []byte
	wrote []byte
	err   error
}

func newPipes() *pipes {
	t := time.NewTimer(time.Hour)
	t.Stop()
	s := &pipes{events: make(chan pipeEvent, 128), bell: make(chan struct{}, 1), timer: t, all: make(map[*pipe]struct{})}
	s.alarm = alarm{set: make(chan time.Duration, 1), rings: make(chan struct{}, 1)}
	s.running.Go(s.alarm.run)
	return s
}

// An alarm rings after times that are too short for Go's timers, which may come a millisecond late. It cannot be
// set anew until it has rung; whoever hears it looks at the clock.
type alarm struct {
	set   chan time.Duration
	rings chan struct{}
	armed bool
}

// shortest is what Go's timers are good for (the runtime waits for network events by the millisecond).
const shortest = 2 * time.Millisecond

func (a *alarm) run() {
	for d := range a.set {
		nap(d)
		a.rings <- struct{}{}
	}
}

// arm sets the alarm, unless it is yet to ring.
func (a *alarm) arm(d time.Duration) {
	if !a.armed {
		a.armed = true
		a.set <- d
	}
}

func (*pipes) begin() {}
func (*pipes) end()   {}

func (s *pipes) take(c *conn, nc net.Conn) error {
	p := &pipe{conn: c, net: nc, goOn: make(chan struct{}, 1), out: make(chan []byte, 1), quit: make(chan struct{})}
	c.link = link{pipe: p}
	s.all[p] = struct{}{}
	s.running.Go(func() { s.reads(p) })
	s.running.Go(func() { s.writes(p) })
	return nil
}

// tell reports an event, unless the pipe is closed meanwhile.
func (s *pipes) tell(e pipeEvent) bool {
	select {
	case s.events <- e:
		return true
	case <-e.pipe.quit:
		return false
	}
}

func (s *pipes) reads(p *pipe) {
	buf := make([]byte, 16<<10)
	for {
		n, err := p.net.Read(buf)
		if !s.tell(pipeEvent{pipe: p, read: buf[:n], err: err}) || err != nil {
			return
		}
		select {
		case <-p.goOn:
		case <-p.quit:
			return
		}
	}
}

func (s *pipes) writes(p *pipe) {
	for {
		select {
		case buf := <-p.out:
			_, err := p.net.Write(buf)
			if !s.tell(pipeEvent{pipe: p, wrote: buf, err: err}) || err != nil {
				return
			}
		case <-p.quit:
			return
		}
	}
}

func (s *pipes) write(c *conn) error {
	p := c.pipe
	if p.writing || len(c.out) == 0 {
		return nil
	}
	p.writing = true
	p.out <- c.out
	c.out, p.spare = p.spare[:0], nil
	return nil
}

func (s *pipes) drop(c *conn) {
	s.shut(c.pipe)
	c.link = link{}
}

func (s *pipes) shut(p *pipe) {
	close(p.quit)
	p.net.Close()
	delete(s.all, p)
}

func (s *pipes) wait(l *loop, d time.Duration) {
	select {
	case e := <-s.events:
		s.serve(l, e)
	default:
		if d <= 0 {
			return
		}
		if d < shortest {
			s.alarm.arm(d)
		} else {
			s.timer.Reset(d - shortest/2)
			defer s.timer.Stop()
		}
		select {
		case e := <-s.events:
			s.serve(l, e)
		case <-s.bell:
		case <-s.alarm.rings:
			s.alarm.armed = false
			return
		case <-s.timer.C:
			return
		}
	}
	for range cap(s.events) {
		select {
		case e := <-s.events:
			s.serve(l, e)
		default:
			return
		}
	}
}

func (s *pipes) serve(l *loop, e pipeEvent) {
	p := e.pipe
	c := p.conn
	if c.pipe != p { // dropped meanwhile
		return
	}
	if e.wrote != nil {
		p.writing, p.spare = false, e.wrote
		s.write(c)
	}
	if len(e.read) > 0 {
		for rest := e.read; len(rest) > 0; {
			n := copy(c.space(), rest)
			c.to += n
			rest = rest[n:]
		}
		p.goOn <- struct{}{}
		l.received(c)
	}
	if e.err != nil && c.pipe == p {
		l.clock()
		l.broken(c, e.err)
	}
}

func (s *pipes) wake() {
	select {
	case s.bell <- struct{}{}:
	default:
	}
}

func (s *pipes) close() {
	for p := range s.all {
		s.shut(p)
	}
	close(s.alarm.set)
	s.running.Wait()
}

package memcached

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A loadLane takes records to one node over one connection, which is written and read at
// the same time, so that neither side waits on full buffers. Answers come in the order of
// commands. A parcel keeps its commands until all are answered.
//
//	put, hand (caller) -> queue -> write (goroutine) -> server -> serve (goroutine) -> outcomes
type loadLane struct {
	l       *loading
	node    *node
	profile profile
	draft   *parcel // not handed on
	unhook  func() bool

	mu      sync.Mutex
	changed sync.Cond // of the writer and the reader: queue, written, conn, closing
	room    sync.Cond // of the caller: bytes, dead
	queue   []*parcel // not answered whole, in order
	written int       // of them, over the connection at hand
	sent    int       // bytes of these
	bytes   int       // of all
	window  int       // the most that sent may be, but for one parcel; see mend
	spare   []*parcel
	conn    *conn
	writing bool
	fault   error // why the writer gave the connection up
	tries   int   // connections that broke since the last answer
	dead    error // why the node takes no more
	closing bool
	ended   chan struct{} // nil: nothing was handed on yet
}

// A parcel is what is written at once.
type parcel struct {
	jobs     []job
	commands []byte
	answered int // jobs that have their outcome
}

// A job is a record to be stored.
type job struct {
	*backends.Outcome
	record   *backends.Record
	shipment *backends.Shipment
}

// parcelBytes is the size of a parcel: a server answers so many commands with less than
// the buffers of a connection hold. It is also the window behind a broken connection.
const parcelBytes = 64 << 10

func newLoadLane(l *loading, to *node) *loadLane {
	n := &loadLane{l: l, node: to, window: loadBytes}
	n.changed.L, n.room.L = &n.mu, &n.mu
	n.unhook = context.AfterFunc(l.Asked, n.wake)
	var err error
	if n.profile, err = to.profile(l.ctx, false); err != nil {
		n.die(err)
	}
	return n
}

func (n *loadLane) wake() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.changed.Broadcast()
	n.room.Broadcast()
}

// put takes a record on. Its error is of the record.
func (n *loadLane) put(s *backends.Shipment, r *backends.Record, o *backends.Outcome) (err error) {
	if n.draft == nil {
		n.draft = n.parcel()
	}
	p := n.draft
	before := len(p.commands)
	if p.commands, err = n.l.command(p.commands, n.node, n.profile, r); err != nil {
		p.commands = p.commands[:before]
		return err
	}
	s.Expect()
	p.jobs = append(p.jobs, job{o, r, s})
	if len(p.commands) >= parcelBytes {
		n.hand()
	}
	return nil
}

func (n *loadLane) parcel() *parcel {
	n.mu.Lock()
	defer n.mu.Unlock()
	if last := len(n.spare) - 1; last >= 0 {
		p := n.spare[last]
		n.spare = n.spare[:last]
		return p
	}
	return &parcel{commands: make([]byte, 0, parcelBytes+parcelBytes/8)}
}

// hand gives what was put to the writer, when there is room.
func (n *loadLane) hand() {
	p := n.draft
	if p == nil || len(p.jobs) == 0 {
		return
	}
	n.draft = nil
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.dead == nil && n.l.Asked.Err() == nil && n.bytes > 0 && n.bytes+len(p.commands) > loadBytes {
		n.room.Wait()
	}
	err := n.dead
	if n.l.Asked.Err() != nil {
		err = context.Cause(n.l.Asked)
	}
	if err != nil {
		failJobs(p.jobs, err)
		return
	}
	n.queue = append(n.queue, p)
	n.bytes += len(p.commands)
	if n.ended == nil {
		n.ended = make(chan struct{})
		go n.serve()
	}
	n.changed.Broadcast()
}

func failJobs(jobs []job, err error) {
	for _, j := range jobs {
		j.Did, j.Err = backends.Failed, err
	}
	settleJobs(jobs)
}

// settleJobs tells shipments of their outcomes.
func settleJobs(jobs []job) {
	for i := 0; i < len(jobs); {
		from, of := i, jobs[i].shipment
		for i < len(jobs) && jobs[i].shipment == of {
			i++
		}
		of.Settled(i - from)
	}
}

// close waits until everything is answered.
func (n *loadLane) close() {
	n.mu.Lock()
	n.closing = true
	n.changed.Broadcast()
	ended := n.ended
	n.mu.Unlock()
	if ended != nil {
		<-ended
	}
	n.unhook()
}

// errDoubt closes a connection whose state is not known; see node.do.
var errDoubt = errors.New("the server refused a command in the middle of others")

// serve loads what comes until the lane is closed, or its node takes no more. Behind an
// answer that leaves the connection in doubt the rest goes over another.
func (n *loadLane) serve() {
	defer close(n.ended)
	for {
		err := n.node.do(n.l.ctx, n.exchange)
		if err == nil {
			return
		}
		if errors.Is(err, errDoubt) {
			continue
		}
		n.tries++
		if n.tries > mostTries || !broken(err) || n.l.Asked.Err() != nil {
			n.die(err)
			return
		}
		select {
		case <-time.After(firstWait << (n.tries - 1)):
		case <-n.l.Asked.Done():
		}
	}
}

// exchange serves one connection for as long as it is good.
func (n *loadLane) exchange(c *conn) error {
	n.mend(c)
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.write(c)
	}()
	err := n.read(c)
	n.mu.Lock()
	n.conn = nil
	n.changed.Broadcast()
	n.mu.Unlock()
	if err != nil {
		c.Close() // the writer may stand in it
	}
	<-done
	return err
}

// mend makes the commands anew that another connection has lost. From then on little is
// sent before its answer is there, and more and more again: what is sent again and was
// stored the first time counts as Kept.
func (n *loadLane) mend(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conn, n.fault = c, nil
	if n.written == 0 && (len(n.queue) == 0 || n.queue[0].answered == 0) {
		return
	}
	n.written, n.sent, n.bytes, n.window = 0, 0, 0, parcelBytes
	for _, p := range n.queue {
		p.jobs = append(p.jobs[:0], p.jobs[p.answered:]...)
		p.commands, p.answered = p.commands[:0], 0
		for _, j := range p.jobs {
			p.commands, _ = n.l.command(p.commands, n.node, n.profile, j.record) // it went well before
		}
		n.bytes += len(p.commands)
	}
	if len(n.queue) > 0 && len(n.queue[0].jobs) == 0 {
		n.queue = n.queue[1:]
	}
}

// write sends what comes until the connection is given up, or nothing more must be sent.
func (n *loadLane) write(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		for n.conn == c && !n.writable() {
			n.changed.Wait()
		}
		if n.conn != c {
			return
		}
		p := n.queue[n.written]
		n.writing = true
		n.mu.Unlock()
		err := c.send(p.commands)
		n.mu.Lock()
		n.writing = false
		n.changed.Broadcast()
		if err != nil {
			n.fault = err
			return
		}
		n.written++
		n.sent += len(p.commands)
	}
}

func (n *loadLane) writable() bool {
	return n.written < len(n.queue) && n.l.Asked.Err() == nil && (n.sent == 0 || n.sent+len(n.queue[n.written].commands) <= n.window)
}

// read gives jobs their outcomes until the lane is closed and all have theirs. Its error
// is of the connection.
func (n *loadLane) read(c *conn) error {
	for {
		p, err := n.next()
		if p == nil {
			return err
		}
		for err == nil && p.answered < len(p.jobs) {
			if err = n.answer(c, &p.jobs[p.answered]); err == nil || err == errDoubt {
				p.answered++
			}
		}
		settleJobs(p.jobs[:p.answered])
		if p.answered > 0 {
			n.tries = 0
		}
		if err != nil {
			return err
		}
		n.done(p)
	}
}

// next waits for a parcel that is written: only then nobody else looks at it. It is nil
// where the connection is given up, or nothing is left to do.
func (n *loadLane) next() (*parcel, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		switch {
		case n.written > 0:
			return n.queue[0], nil
		case n.fault != nil:
			return nil, n.fault
		case n.l.Asked.Err() != nil && !n.writing:
			n.drop(context.Cause(n.l.Asked))
			fallthrough
		case len(n.queue) == 0:
			if n.closing {
				return nil, nil
			}
		}
		n.changed.Wait()
	}
}

// answer reads one answer. errDoubt leaves the job with its outcome.
func (n *loadLane) answer(c *conn, j *job) error {
	if c.r.Buffered() >= 4 {
		if b, _ := c.r.Peek(4); string(b) == "HD\r\n" {
			j.Did = backends.Loaded
			c.r.Discard(4)
			return nil
		}
	} else {
		c.extend()
	}
	line, err := c.line()
	if err != nil {
		return err
	}
	switch string(line) {
	case "HD", "STORED":
		j.Did = backends.Loaded
	case "NS", "NOT_STORED":
		j.Did = backends.Kept
	default:
		if !isErrorLine(line) {
			return unexpected("ms", line)
		}
		j.Did, j.Err = backends.Failed, fail(n.l.ctx, n.node.addr, replyError(line))
		return errDoubt // the payload may have been taken for commands, or not
	}
	return nil
}

// done takes an answered parcel out of the queue.
func (n *loadLane) done(p *parcel) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.queue[0], n.queue = nil, n.queue[1:]
	n.written--
	n.sent -= len(p.commands)
	n.bytes -= len(p.commands)
	n.window = min(2*n.window, loadBytes)
	if cap(p.commands) <= 2*parcelBytes {
		clear(p.jobs)
		p.jobs, p.commands, p.answered = p.jobs[:0], p.commands[:0], 0
		n.spare = append(n.spare, p)
	}
	n.changed.Broadcast()
	n.room.Signal()
}

// die fails what is open: the node takes no more.
func (n *loadLane) die(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead = err
	n.l.Say(n.l.lost(n.l.ctx, n.node, err))
	n.drop(err)
}

// drop fails what has no outcome.
func (n *loadLane) drop(err error) {
	for _, p := range n.queue {
		failJobs(p.jobs[p.answered:], err)
	}
	n.queue, n.written, n.sent, n.bytes = nil, 0, 0, 0
	n.room.Broadcast()
}

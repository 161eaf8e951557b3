package redis

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A lane takes records to one node over one connection, which is written and read at the
// same time by a goroutine each. Answers come in the order of commands, so a queue of what
// is not answered says which is whose.
//
//	put, hand (caller) -> out -> write (goroutine) -> server -> serve (goroutine) -> outcomes
type lane struct {
	l    *loading
	node *node
	encoder

	draft     []byte // commands that are not handed on
	drafted   []job
	followers sync.WaitGroup

	mu        sync.Mutex
	changed   sync.Cond // of the writer: out, wire; of the reader: queue, closing
	room      sync.Cond // of the caller: bytes, dead
	out       []byte    // commands that are not written
	spare     []byte
	queue     []job // not answered, from first on
	first     int
	bytes     int // of commands in the queue
	sent      int // bytes of them that were written
	window    int // the most that sent may be, see write
	wire      *wire
	tries     int   // connections that broke since the last answer
	dead      error // why it takes no more
	strays    []job // of slots that are another node's
	following bool
	running   bool
	closing   bool
	ended     chan struct{}
}

// A job is a record to be restored by one command.
type job struct {
	*backends.Outcome
	record   *backends.Record
	shipment *backends.Shipment
	size     int
	once     bool // it must not be sent twice
}

// Sizes of lanes.
const (
	handBytes   = 64 << 10  // of commands, before they are handed on within a batch
	writeBytes  = 256 << 10 // for which a server has the time of one answer
	firstWindow = 64 << 10
	readJobs    = 512 // whose answers are read before the queue is told
)

func newLane(l *loading, to *node) *lane {
	n := &lane{l: l, node: to, window: loadBytes, ended: make(chan struct{})}
	n.changed.L, n.room.L = &n.mu, &n.mu
	n.encoder.replace = l.replace
	if p, err := to.profile(l.ctx, l.c.db, false); err == nil {
		n.encoder.absolute = p.valkey || p.version.atLeast(6, 2)
	}
	return n
}

// put takes a record on. Its error is of the record.
func (n *lane) put(s *backends.Shipment, r *backends.Record, o *backends.Outcome) error {
	before := len(n.draft)
	draft, err := n.command(n.draft, r)
	if err != nil {
		n.draft = draft[:before]
		return err
	}
	n.draft = draft
	s.Expect()
	n.drafted = append(n.drafted, job{o, r, s, len(draft) - before, r.Form == backends.FormCommand && !repeatable(r.Value)})
	if len(draft) >= handBytes {
		n.hand()
	}
	return nil
}

// hand gives the commands of put to the writer, when there is room.
func (n *lane) hand() {
	if len(n.drafted) == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.dead == nil && n.bytes > 0 && n.bytes+len(n.draft) > loadBytes {
		n.room.Wait()
	}
	err := n.dead
	if n.l.Asked.Err() != nil {
		err = context.Cause(n.l.Asked)
	}
	if err != nil {
		fails(n.drafted, err)
	} else {
		if n.bytes += len(n.draft); len(n.out) == 0 {
			n.out, n.draft = n.draft, n.out
		} else {
			n.out = append(n.out, n.draft...)
		}
		n.enqueue(n.drafted)
		if !n.running {
			n.running = true
			go n.serve()
		}
		n.changed.Broadcast()
	}
	clear(n.drafted)
	n.draft, n.drafted = n.draft[:0], n.drafted[:0]
}

func (n *lane) enqueue(jobs []job) {
	if n.first > 0 && len(n.queue)+len(jobs) > cap(n.queue) {
		n.queue, n.first = n.queue[:copy(n.queue, n.queue[n.first:])], 0
	}
	n.queue = append(n.queue, jobs...)
}

func fails(jobs []job, err error) {
	for _, j := range jobs {
		j.Did, j.Err = backends.Failed, err
		j.shipment.Settled(1)
	}
}

// close waits until everything is answered.
func (n *lane) close() {
	n.mu.Lock()
	n.closing = true
	n.changed.Broadcast()
	running := n.running
	n.mu.Unlock()
	if running {
		<-n.ended
	}
	n.followers.Wait()
}

// serve reads answers until the lane is closed, or its node takes no more.
func (n *lane) serve() {
	defer close(n.ended)
	for fresh := false; ; fresh = true {
		err := n.connection(fresh)
		if err == nil {
			return
		}
		n.mu.Lock()
		n.tries++
		lost := !broken(err) || n.tries > walkRetries || n.dead != nil || errors.Is(err, backends.ErrUnreachable)
		wait := 50 * time.Millisecond << (n.tries - 1)
		n.mu.Unlock()
		if lost || !pausing(n.l.ctx, wait) {
			n.die(err)
			return
		}
		n.rewrite()
	}
}

// connection serves one connection for as long as it is good.
func (n *lane) connection(fresh bool) error {
	w, back, err := n.l.c.borrow(n.l.ctx, n.node, fresh, true)
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.wire = w
	n.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.write(w)
	}()
	err = n.read(w)
	n.mu.Lock()
	n.wire = nil
	n.changed.Broadcast()
	n.mu.Unlock()
	if err != nil {
		w.net.Close() // the writer may stand in it
	}
	<-done
	back(err == nil)
	return err
}

// write sends what comes until the wire is another's. Behind a connection that broke,
// little is sent before its answer is there, and then more and more: answers are lost
// with their connection, and what they were about is sent again.
func (n *lane) write(w *wire) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		for len(n.out) == 0 && n.wire == w {
			n.changed.Wait()
		}
		some := n.out
		n.out, n.spare = n.spare[:0], nil
		for rest := some; len(rest) > 0 || n.wire != w; {
			size := min(writeBytes, len(rest), n.free())
			if n.wire != w {
				return
			}
			if size <= 0 {
				n.changed.Wait()
				continue
			}
			n.sent += size
			n.mu.Unlock()
			w.extend(n.l.ctx)
			_, err := w.net.Write(rest[:size])
			n.mu.Lock()
			if rest = rest[size:]; err != nil {
				w.net.Close() // the reader waits for an answer
				return
			}
		}
		if cap(some) <= 2*loadBytes {
			n.spare = some
		}
	}
}

// free is how many bytes may be written: the first command at any rate.
func (n *lane) free() int {
	most := n.window
	if n.first < len(n.queue) {
		most = max(most, n.queue[n.first].size)
	}
	return most - n.sent
}

// read gives jobs their outcomes until the lane is closed and all are answered. Its error
// is of the connection.
func (n *lane) read(w *wire) error {
	var jobs []job
	for {
		n.mu.Lock()
		for n.first == len(n.queue) && !n.closing {
			n.changed.Wait()
		}
		jobs = append(jobs[:0], n.queue[n.first:min(n.first+readJobs, len(n.queue))]...)
		n.mu.Unlock()
		if len(jobs) == 0 {
			return nil
		}
		answered, err := n.answers(w, jobs)
		n.settle(jobs[:answered])
		if err != nil {
			return err
		}
	}
}

// answers reads the answers to jobs that are there, one at least, and says how many.
func (n *lane) answers(w *wire, jobs []job) (answered int, err error) {
	for i := range jobs {
		if w.in.Buffered() == 0 {
			if i > 0 {
				return i, nil
			}
			w.extend(n.l.ctx)
		}
		j := &jobs[i]
		if w.in.Buffered() >= 5 {
			if b, _ := w.in.Peek(5); string(b) == "+OK\r\n" {
				j.Did = backends.Loaded
				w.in.Discard(5)
				continue
			}
		}
		null, refusal, err := w.ack()
		if err != nil {
			return i, err
		}
		n.judge(j, null, refusal)
	}
	return len(jobs), nil
}

// judge gives a job its outcome, but one whose slot has moved.
func (n *lane) judge(j *job, null bool, answer error) {
	own := j.record.Form != backends.FormCommand
	switch {
	case answer == nil && null && own, answer != nil && own && strings.HasPrefix(answer.Error(), "BUSYKEY"):
		j.Did = backends.Kept
	case answer == nil:
		j.Did = backends.Loaded
	case classify(answer) == moved:
	case hopeless(answer), refused(answer) && own:
		err := n.give(answer)
		j.Did, j.Err = backends.Failed, err
	default:
		j.Did, j.Err = backends.Failed, loadError(n.node, answer)
	}
}

// give gives the node up, unless that is done, and says why.
func (n *lane) give(err error) error {
	err = fail(n.l.ctx, n.node.addr, err)
	n.mu.Lock()
	if n.dead == nil {
		n.dead = err
	}
	err = n.dead
	n.room.Broadcast()
	n.mu.Unlock()
	n.l.lost(n.node, err)
	return err
}

// settle takes answered jobs out of the queue. Those without an outcome are followed to
// where their slot has moved.
func (n *lane) settle(jobs []job) {
	n.mu.Lock()
	for i := range jobs {
		n.bytes -= jobs[i].size
		n.sent -= jobs[i].size
		if jobs[i].Did == "" {
			n.strays = append(n.strays, jobs[i])
			jobs[i].Outcome = nil
		}
	}
	clear(n.queue[n.first : n.first+len(jobs)])
	if n.first += len(jobs); n.first == len(n.queue) {
		n.queue, n.first = n.queue[:0], 0
	}
	if len(jobs) > 0 {
		n.tries = 0
		n.window = min(2*n.window, loadBytes)
		n.changed.Broadcast()
	}
	if len(n.strays) > 0 && !n.following {
		n.following = true
		n.followers.Go(n.follow)
	}
	n.room.Signal()
	n.mu.Unlock()
	for i := 0; i < len(jobs); {
		from, stray, of := i, 0, jobs[i].shipment
		for ; i < len(jobs) && jobs[i].shipment == of; i++ {
			if jobs[i].Outcome == nil {
				stray++
			}
		}
		if i-from > stray {
			of.Settled(i - from - stray)
		}
	}
}

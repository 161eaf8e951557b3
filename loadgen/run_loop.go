package loadgen

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A loop is one goroutine that does everything for its connections:
//
//	what is due -> a connection with room, or the queue of its node -> written
//	what was read -> parsed, counted -> its room goes to the queue, or to the next op of a closed loop
//
// All of it but post is for that goroutine.
type loop struct {
	*runner
	net    transport
	feed   feed
	acc    account
	values values
	share  int // connections to each node
	most   int // ops that may wait

	now   time.Duration // since the start, as read last
	stale bool          // now is from before a system call

	nodes []*node
	left  []*node // that were nodes
	of    func(key []byte) int
	dirty []*conn // with requests to be written

	inflight, waiting, slots int // ops in connections, in queues; room of all connections
	moved                    []flight
	movedAt                  time.Duration // when the first of them is to be sent again

	mail   mailbox
	mailed atomic.Bool

	stopped    bool          // by the context
	ended      time.Duration // when no op was to come any more
	overflowed int           // ops dropped because too many waited
	abandoned  int           // ops left at the end

	key   []byte
	ask   backends.Ask
	reply backends.Reply
}

// batch is how many ops are sent before answers are looked for again.
const batch = 64

// run runs until the traffic is over and all is answered or given up.
func (l *loop) run() {
	l.net.begin()
	defer l.net.end()
	l.values = l.runner.values
	for {
		l.clock()
		l.letters()
		l.release()
		l.retry()
		l.flush()
		if l.over() {
			break
		}
		l.net.wait(l, l.patience())
		l.acc.turn(l.now)
		l.show()
	}
	l.acc.end()
	l.show()
}

func (l *loop) show() {
	for _, t := range l.acc.take() {
		l.live.add(t)
	}
}

func (l *loop) clock() { l.now, l.stale = time.Since(l.start), false }

// post hands the loop a letter. It is safe for concurrent use.
func (l *loop) post(m letter) {
	l.mail.put(m, func() {
		l.mailed.Store(true)
		l.net.wake()
	})
}

func (l *loop) letters() {
	if !l.mailed.Load() {
		return
	}
	l.mailed.Store(false)
	for _, m := range l.mail.take() {
		switch {
		case m.stop:
			l.stop()
		case m.routes != nil:
			l.reroute(*m.routes)
		case m.conn != nil:
			if err := l.admit(m); err != nil {
				m.conn.backoff = longer(m.conn.backoff)
				l.redial(l, m.conn)
			}
		}
	}
}

// stop ends the traffic now. What waits is not sent any more, but what follows its key is settled.
func (l *loop) stop() {
	l.stopped, l.feed.over, l.ended = true, true, l.now
	l.unqueue(func(f *flight) bool { return f.tries > 0 })
}

// unqueue ends what waits for a connection, but for what stays.
func (l *loop) unqueue(stays func(*flight) bool) {
	for _, n := range l.nodes {
		for range n.queue.n {
			f := n.queue.pop()
			if stays(&f) {
				n.queue.push(f)
				continue
			}
			l.waiting--
			l.unsent(&f)
		}
	}
}

// giveUp ends what is not in flight.
func (l *loop) giveUp() {
	l.unqueue(func(*flight) bool { return false })
	for i := range l.moved {
		l.unsent(&l.moved[i])
	}
	l.moved = l.moved[:0]
}

// unsent counts an op that is not going to be sent, or not again.
func (l *loop) unsent(f *flight) {
	if f.tries > 0 {
		l.acc.refused(&f.op, l.now, "the key was on no node")
		return
	}
	l.acc.dropped(&f.op, l.now)
}

// release sends what is due, a batch at most.
func (l *loop) release() {
	for range batch {
		op := l.feed.peek(l.now)
		if op == nil {
			return
		}
		f := flight{op: *op}
		switch {
		case op.Due > l.now:
			return
		case !l.feed.closed:
		case l.inflight+l.waiting+len(l.moved) >= l.slots:
			return
		default:
			f.op.Due = l.now
		}
		l.feed.take()
		l.acc.due(&f.op, l.now, l.feed.closed)
		if l.of == nil || len(l.nodes) == 1 {
			l.placeOn(l.nodes[0], &f)
		} else {
			l.place(&f)
		}
	}
}

// place gives an op to a connection of its key's node, or to the queue there.
func (l *loop) place(f *flight) {
	n := l.nodes[0]
	if l.of != nil {
		n = l.nodes[l.of(l.name(f.op.Key))]
	}
	l.placeOn(n, f)
}

func (l *loop) placeOn(n *node, f *flight) {
	if c := n.pick(l.Depth); c != nil {
		l.send(c, f)
		n.offer(c, l.Depth)
		return
	}
	if l.waiting >= l.most && f.tries == 0 {
		l.acc.dropped(&f.op, l.now)
		l.overflowed++
		return
	}
	n.queue.push(*f)
	l.waiting++
}

// name is the key's name, good until the next call.
func (l *loop) name(key uint64) []byte {
	l.key = append(l.key[:0], l.Prefix...)
	if l.Names != nil {
		l.key = append(l.key, l.Names[key]...)
	} else {
		l.key = strconv.AppendUint(l.key, key, 10)
	}
	return l.key
}

// asking makes ask the request of f.
func (l *loop) asking(f *flight) {
	op := &f.op
	l.ask.Do, l.ask.Key, l.ask.Once = asked[op.Do], l.name(op.Key), f.once
	l.ask.Value, l.ask.TTL = nil, 0 // reads leave TTLs as they are
	if op.Do == Write {
		l.ask.Value, l.ask.TTL = l.values.of(op.N, op.Size), op.TTL
		if l.adding {
			l.ask.Do = backends.AskAdd
		}
	}
}

var asked = [doKinds]backends.Asked{Read: backends.AskGet, Write: backends.AskSet, Remove: backends.AskDelete}

// send encodes an op into a connection that has room.
func (l *loop) send(c *conn, f *flight) {
	l.asking(f)
	out, err := c.dialect.Append(c.out, &l.ask)
	if f.tries == 0 {
		l.acc.sent(&f.op, l.now)
	}
	if err != nil {
		l.acc.refused(&f.op, l.now, err.Error())
		return
	}
	c.out = out
	*c.flights.extend() = *f
	c.unsent++
	l.inflight++
	if !c.dirty {
		c.dirty = true
		l.dirty = append(l.dirty, c)
	}
}

// flush writes what was encoded. Each request counts as sent when its write begins.
func (l *loop) flush() {
	for _, c := range l.dirty {
		c.dirty = false
		if c.dialect == nil {
			continue
		}
		if l.stale {
			l.clock()
		}
		for i := c.flights.n - c.unsent; i < c.flights.n; i++ {
			c.flights.get(i).sent = l.now
		}
		c.unsent, l.stale = 0, true
		if err := l.net.write(c); err != nil {
			l.broken(c, err)
		}
	}
	l.dirty = l.dirty[:0]
}

// received takes what was just read on c.
func (l *loop) received(c *conn) {
	l.clock()
	for c.flights.n > 0 && c.from < c.to {
		f := c.flights.get(0)
		l.asking(f)
		n, err := c.dialect.Parse(c.in[c.from:c.to], &l.ask, &l.reply)
		if err != nil {
			l.broken(c, err)
			return
		}
		if n == 0 {
			break
		}
		c.from += n
		c.flights.skip() // f stays what it is until the next push
		l.inflight--
		c.backoff = 0
		if l.reply.Answer == backends.Moved {
			l.elsewhere(f)
			continue
		}
		if l.told != nil {
			l.told(&f.op, &l.reply)
		}
		l.acc.answered(f, l.now, &l.reply)
	}
	if c.flights.n == 0 && c.from < c.to {
		l.broken(c, errUnasked)
		return
	}
	l.refill(c)
	l.flush()
}

// refill gives the room of c to what waits, or to the next ops of a closed loop.
func (l *loop) refill(c *conn) {
	if c.node.gone {
		if c.flights.n == 0 {
			l.leave(c)
		}
		return
	}
	for c.node.queue.n > 0 && c.flights.n < l.Depth {
		f := c.node.queue.pop()
		l.waiting--
		l.send(c, &f)
	}
	if c.node.queue.n == 0 {
		c.node.offer(c, l.Depth)
	}
	if l.feed.closed {
		l.release()
	}
}

// patience is how long there is nothing to do but to wait.
func (l *loop) patience() time.Duration {
	until := l.acc.edge
	if op := l.feed.peek(l.now); op == nil {
		until = min(until, l.ended+l.Settle)
	} else if l.feed.closed {
		until = min(until, max(op.Due, l.feed.ends[l.feed.at]))
		if op.Due > l.now {
			until = min(until, op.Due)
		} else if l.inflight+l.waiting+len(l.moved) < l.slots {
			return 0
		}
	} else {
		until = min(until, op.Due)
	}
	if len(l.moved) > 0 {
		until = min(until, l.movedAt)
	}
	if l.stale {
		l.clock()
	}
	return max(0, until-l.now)
}

// over tells whether the loop has come to its end.
func (l *loop) over() bool {
	if l.feed.peek(l.now) != nil {
		return false
	}
	if l.ended == 0 {
		l.ended = l.now
	}
	if l.inflight+l.waiting+len(l.moved) == 0 {
		return true
	}
	if l.now < l.ended+l.Settle {
		return false
	}
	l.abandoned = l.inflight + l.waiting + len(l.moved)
	l.giveUp()
	l.forget()
	return true
}

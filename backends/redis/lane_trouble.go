package redis

// What a lane does when its connection breaks, its node is lost, or keys have moved.

import (
	"context"
	"errors"
	"fmt"

	"github.com/cachectl/cachectl/backends"
)

var errUnsure = errors.New("the connection broke before the answer came, and to send the command twice may do it twice: it may have been carried out")

// rewrite makes the commands anew that are to be sent over another connection. One that
// was on its way, and must not be sent twice, fails.
func (n *lane) rewrite() {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := encoder{replace: n.encoder.replace, absolute: n.encoder.absolute}
	var unsure, open []job
	n.out, n.bytes = n.out[:0], 0
	begins := 0
	for _, j := range n.queue[n.first:] {
		on := begins < n.sent
		if begins += j.size; j.once && on {
			unsure = append(unsure, j)
			continue
		}
		n.out, _ = e.command(n.out, j.record)
		n.bytes += j.size
		open = append(open, j)
	}
	n.queue, n.first, n.sent, n.window = open, 0, 0, firstWindow
	fails(unsure, fmt.Errorf("%s: %w", n.node.addr, errUnsure))
	n.room.Signal()
}

// die fails what is open: the node takes no more.
func (n *lane) die(err error) {
	err = n.give(err)
	n.mu.Lock()
	defer n.mu.Unlock()
	fails(n.queue[n.first:], err)
	n.queue, n.first, n.bytes, n.out = nil, 0, 0, nil
	n.room.Broadcast()
}

// follow sends strays one by one to where their slots are, in their order.
func (n *lane) follow() {
	e := encoder{replace: n.encoder.replace, absolute: n.encoder.absolute}
	for {
		n.mu.Lock()
		if n.following = len(n.strays) > 0; !n.following {
			n.mu.Unlock()
			return
		}
		j := n.strays[0]
		n.strays = n.strays[1:]
		err := n.dead
		n.mu.Unlock()
		if n.l.Asked.Err() != nil {
			err = context.Cause(n.l.Asked)
		}
		if err != nil {
			j.Did, j.Err = backends.Failed, err
		} else {
			n.chase(&e, &j)
		}
		j.shipment.Settled(1)
	}
}

// chase gives a stray its outcome.
func (n *lane) chase(e *encoder, j *job) {
	raw, _ := e.command(nil, j.record)
	parts, err := backends.Command(raw)
	if err != nil {
		j.Did, j.Err = backends.Failed, err
		return
	}
	args := make([]string, len(parts))
	for i, part := range parts {
		args[i] = string(part)
	}
	cmds, err := n.l.c.through(n.l.ctx, n.node, true, args)
	if err != nil {
		j.Did, j.Err = backends.Failed, n.give(err)
		return
	}
	n.l.moved.Store(true)
	answer := replyOf(cmds[0])
	if n.judge(j, answer.null, answer.err); j.Did == "" {
		j.Did, j.Err = backends.Failed, &opError{addr: n.node.addr, kind: backends.ErrUnreachable, err: fmt.Errorf("%w: %w", errMoving, answer.err)}
	}
}

package redis

import (
	"context"
	"errors"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A remover carries a task out on one node's keys, over one connection. It writes
// the groups of a part at once and reads their answers when it is asked to settle.
type remover struct {
	c         *cache
	node      *node
	clustered bool
	task      *task
	verb      string
	wire      *wire
	sent      []*part // not settled yet, in order
	broke     int     // connections that broke since the last answer
	notice    *backends.Notice
	dead      error // why this node takes no more
	told      bool
}

// send writes a part. Trouble with the connection shows when it is settled.
func (r *remover) send(ctx context.Context, p *part) {
	if r.dead != nil {
		return
	}
	if r.wire == nil {
		if r.dead = r.open(ctx); r.dead != nil {
			return
		}
	}
	p.divide(r.clustered)
	r.sent = append(r.sent, p)
	r.write(p)
	r.wire.flush(ctx)
}

func (r *remover) open(ctx context.Context) error {
	known, err := r.node.profile(ctx, r.c.db, false)
	if err != nil {
		return err
	}
	r.clustered = known.cluster || r.c.whole.topology == cluster
	r.wire, err = r.c.dialWire(ctx, r.node)
	return err
}

// write puts the groups that are not answered into the next write.
func (r *remover) write(p *part) {
	for _, g := range p.groups[p.next:] {
		if g.to-g.from == 1 {
			r.wire.command(r.task.command(r.verb, p, g.from)...)
			continue
		}
		r.wire.begin(1 + g.to - g.from)
		r.wire.argument(r.verb)
		for n := g.from; n < g.to; n++ {
			r.wire.argument(p.outcome(n).Key)
		}
	}
}

// settle reads the answers to a part, which is the first of those sent. Groups
// that were refused as a whole are taken apart.
func (r *remover) settle(ctx context.Context, p *part) {
	var apart []group
	var unsure []*backends.Outcome
	for r.dead == nil && p.next < len(p.groups) {
		if r.wire.in.Buffered() == 0 { // the server has as long as it wants for the whole, if it goes on
			r.wire.extend(ctx)
		}
		answer, err := r.wire.scalar()
		if err != nil {
			r.dead = r.again(ctx, err)
			continue
		}
		g := p.groups[p.next]
		refused, ask, err := p.take(g, answer)
		if err != nil {
			r.dead = err
			continue
		}
		if refused {
			apart = append(apart, g)
		}
		if ask {
			unsure = append(unsure, p.outcome(g.from))
		}
		p.next++
		r.broke = 0
	}
	if len(r.sent) > 0 && r.sent[0] == p {
		r.sent = r.sent[1:]
	}
	if r.dead == nil && len(r.sent) == 0 && r.wire.in.Buffered() > 0 {
		r.dead = protocolError("an answer that nothing asked for")
	}
	if r.dead == nil && len(apart) > 0 {
		r.dead = r.singly(ctx, p, apart)
	}
	r.look(ctx, unsure)
	if r.dead != nil {
		p.fail(fail(ctx, r.node.addr, r.dead))
	}
}

// take reads the answer to a group into its outcomes, unless the group was refused
// as a whole. ask says that its key is kept or gone, and only another look tells
// which.
func (p *part) take(g group, answer reply) (refused, ask bool, err error) {
	what, size := p.remover.task, g.to-g.from
	if size == 1 {
		did, ask := what.read(p, g.from, answer)
		switch {
		case did != "":
			p.outcome(g.from).Did = did
			return false, ask, nil
		case answer.err != nil:
			return true, false, nil
		}
		return false, false, errNoCount
	}
	switch {
	case answer.err != nil:
		return true, false, nil
	case !counted(answer, 0, int64(size)):
		return false, false, errNoCount
	}
	for n := g.from; n < g.to; n++ {
		if p.outcome(n).Did = backends.Gone; int64(n-g.from) < answer.num {
			p.outcome(n).Did = what.did
		}
	}
	return false, false, nil
}

var errNoCount = protocolError("an answer to a change of keys that is no count of them")

// again opens a new connection in place of a broken one, and sends what was not
// answered once more. To do it twice does no harm; but what the lost answer would
// have told as deleted is told as gone, and a TTL whose condition no longer holds
// because it is there already as kept. A server that breaks every connection before
// it has answered anything is given up.
func (r *remover) again(ctx context.Context, broke error) error {
	if errors.Is(broke, backends.ErrUnreachable) { // it does not speak our protocol
		return broke
	}
	for r.broke < walkRetries {
		select {
		case <-ctx.Done():
			return broke
		case <-time.After(100 * time.Millisecond << r.broke):
		}
		r.broke++
		fresh, err := r.c.dialWire(ctx, r.node)
		if err != nil {
			broke = err
			continue
		}
		r.wire.close()
		r.wire = fresh
		for _, p := range r.sent {
			r.write(p)
		}
		if broke = r.wire.flush(ctx); broke == nil {
			return nil
		}
	}
	return broke
}

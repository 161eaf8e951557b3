package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
)

// A remover removes keys from one node, over one connection. It writes the
// groups of a part at once and reads their answers when it is asked to settle.
type remover struct {
	c         *cache
	node      *node
	clustered bool
	verb      string
	wire      *wire
	sent      []*part // not settled yet, in order
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
		if guard := p.guard(g); guard != "" {
			r.wire.command(guardedCommand(r.verb, p.outcome(g.from).Key, guard)...)
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
	if r.wire != nil {
		r.wire.extend(ctx) // the source may have taken its time
	}
	for r.dead == nil && p.next < len(p.groups) {
		answer, err := r.wire.scalar()
		if err != nil {
			r.dead = r.again(ctx, err)
			continue
		}
		g := p.groups[p.next]
		p.next++
		switch {
		case answer.err != nil && p.guard(g) == "":
			apart = append(apart, g)
		case p.guard(g) != "":
			did, ask := verdict(p.guard(g), answer)
			if did == backends.Failed {
				apart = append(apart, g)
				continue
			}
			if p.outcome(g.from).Did = did; ask {
				unsure = append(unsure, p.outcome(g.from))
			}
		default:
			for n := g.from; n < g.to; n++ {
				if p.outcome(n).Did = backends.Gone; int64(n-g.from) < answer.num {
					p.outcome(n).Did = backends.Deleted
				}
			}
		}
	}
	if len(r.sent) > 0 && r.sent[0] == p {
		r.sent = r.sent[1:]
	}
	for _, g := range apart {
		if r.dead == nil {
			r.dead = r.singly(ctx, p, g)
		}
	}
	r.c.look(ctx, unsure)
	if r.dead != nil {
		p.fail(fail(ctx, r.node.addr, r.dead))
	}
}

// again opens a new connection in place of a broken one, and sends what was not
// answered once more. Removing twice does no harm; but what the lost answer would
// have told as deleted is told as gone.
func (r *remover) again(ctx context.Context, broke error) error {
	if errors.Is(broke, backends.ErrUnreachable) { // it does not speak our protocol
		return broke
	}
	for attempt := range walkRetries {
		select {
		case <-ctx.Done():
			return broke
		case <-time.After(100 * time.Millisecond << attempt):
		}
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

// singly sends the keys of a group that was refused one by one, over another
// connection, which finds slots that have moved. It returns an error where the
// server refuses not these keys but to remove any.
func (r *remover) singly(ctx context.Context, p *part, g group) error {
	outcomes := make([]*backends.Outcome, 0, g.to-g.from)
	for n := g.from; n < g.to; n++ {
		outcomes = append(outcomes, p.outcome(n))
	}
	for {
		answers, err := r.each(ctx, outcomes, p.guard(g))
		if err != nil {
			return err
		}
		refusal := error(nil)
		for i, answer := range answers {
			o := outcomes[i]
			switch trouble := classify(answer.err); {
			case answer.err == nil && p.guard(g) != "":
				o.Did, _ = verdict(p.guard(g), answer)
			case answer.err == nil:
				if o.Did = backends.Gone; answer.num > 0 {
					o.Did = backends.Deleted
				}
			case trouble == wrongType:
				o.Did = backends.Kept
			case trouble == forbiddenKey:
				o.Did, o.Err = backends.Failed, fail(ctx, r.node.addr, answer.err)
			case trouble == moved:
				o.Did, o.Err = backends.Failed, fmt.Errorf("%w: %w", errMoving, answer.err)
			default:
				refusal = answer.err
			}
		}
		if refusal == nil {
			return nil
		}
		if r.verb == del || p.guard(g) != "" || !refused(refusal) {
			return refusal
		}
		r.verb = del
		r.notice = &backends.Notice{Shard: r.node.addr, What: "keys are removed by DEL: the server stands still while it frees a big one", Err: errors.New(words(refusal))}
	}
}

// each removes keys by a command each.
func (r *remover) each(ctx context.Context, outcomes []*backends.Outcome, guard string) ([]reply, error) {
	client := redis.UniversalClient(r.node.client)
	if r.c.whole.topology == cluster {
		client = r.c.whole.router
	}
	pipe := client.Pipeline()
	cmds := make([]*redis.Cmd, len(outcomes))
	for i, o := range outcomes {
		if guard == "" {
			cmds[i] = pipe.Do(ctx, r.verb, o.Key)
		} else {
			cmds[i] = do(ctx, pipe, guardedCommand(r.verb, o.Key, guard))
		}
	}
	if err := exec(ctx, pipe); err != nil {
		return nil, err
	}
	answers := make([]reply, len(cmds))
	for i, cmd := range cmds {
		answers[i] = replyOf(cmd)
	}
	return answers, nil
}

package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
)

// singly sends the keys of groups that were refused one by one, over another
// connection, which finds slots that have moved. It returns an error where the
// server refuses not these keys but the command.
func (r *remover) singly(ctx context.Context, p *part, apart []group) error {
	var left []int // of p.at
	for _, g := range apart {
		for n := g.from; n < g.to; n++ {
			left = append(left, n)
		}
	}
	var unsure []*backends.Outcome
	defer func() { r.look(ctx, unsure) }()
	for {
		answers, err := r.each(ctx, p, left)
		if err != nil {
			return err
		}
		var refusal error
		var once []int
		for i, n := range left {
			ask, err := r.judge(ctx, p, n, answers[i])
			if ask {
				unsure = append(unsure, p.outcome(n))
			}
			if err != nil {
				refusal, once = err, append(once, n)
			}
		}
		if refusal == nil {
			return nil
		}
		other, why := r.task.instead(r.verb, refusal)
		if other == "" {
			if r.notice = nil; why != "" { // about a way out that is none
				refusal = fmt.Errorf("%s: %w", why, refusal)
			}
			return refusal
		}
		if r.verb, left = other, once; why != "" {
			r.notice = &backends.Notice{Shard: r.node.addr, What: why, Err: errors.New(words(refusal))}
		}
	}
}

// judge reads the answer about one key into its outcome. It returns the answer where
// that is not about this key, or where the node that has taken the key over is lost. ask
// says that the key is kept or gone, and only another look tells which.
func (r *remover) judge(ctx context.Context, p *part, n int, answer reply) (ask bool, refusal error) {
	o := p.outcome(n)
	did, ask := r.task.read(p, n, answer)
	switch trouble := classify(answer.err); {
	case did != "":
		o.Did = did
	case answer.err == nil:
		return false, errNoCount
	case trouble == forbiddenKey:
		o.Did, o.Err = backends.Failed, fail(ctx, r.node.addr, answer.err)
	case trouble == moved && r.c.whole.topology != cluster:
		o.Did, o.Err = backends.Failed, fmt.Errorf("%w: for all nodes use redis+cluster://%s", errElsewhere, r.node.addr)
	case trouble == moved && strings.HasPrefix(words(answer.err), "CLUSTERDOWN "): // nobody has its slot, and other keys do well
		o.Did, o.Err = backends.Failed, fmt.Errorf("%w: %w", errMoving, answer.err)
	case trouble == moved: // to a node that is lost
		return false, &opError{addr: r.node.addr, kind: backends.ErrUnreachable, err: fmt.Errorf("%w: %w", errMoving, answer.err)}
	case broken(answer.err): // likewise
		return false, fail(ctx, r.node.addr, answer.err)
	default:
		return false, answer.err
	}
	return ask, nil
}

var (
	errMoving    = errors.New("its slot is moving and no node took the command")
	errElsewhere = errors.New("it is another node's of the cluster")
)

// each goes through keys of a part by a command each. Its error is of the connection; in
// a cluster there are several, and each command has its own.
func (r *remover) each(ctx context.Context, p *part, keys []int) ([]reply, error) {
	client := redis.UniversalClient(r.node.client)
	if r.c.whole.topology == cluster {
		client = r.c.whole.router
	}
	pipe := client.Pipeline()
	cmds := make([]*redis.Cmd, len(keys))
	for i, n := range keys {
		cmds[i] = do(ctx, pipe, r.task.command(r.verb, p, n))
	}
	failed := func(cmd *redis.Cmd) bool { return cmd.Err() != nil }
	if err := exec(ctx, pipe); err != nil && (r.c.whole.topology != cluster || !slices.ContainsFunc(cmds, failed)) {
		return nil, err
	}
	answers := make([]reply, len(cmds))
	for i, cmd := range cmds {
		answers[i] = replyOf(cmd)
	}
	return answers, nil
}

// look tells for keys that were left alone whether they are there. It asks the
// master: a replica may not have heard yet.
func (r *remover) look(ctx context.Context, outcomes []*backends.Outcome) {
	if len(outcomes) == 0 {
		return
	}
	pipe := r.node.client.Pipeline()
	cmds := make([]*redis.IntCmd, len(outcomes))
	for i, o := range outcomes {
		cmds[i] = pipe.Exists(ctx, o.Key)
	}
	pipe.Exec(ctx) // every command has its own error
	for i, o := range outcomes {
		n, err := cmds[i].Result()
		if classify(err) == moved {
			n, err = r.c.whole.router.Exists(ctx, o.Key).Result()
		}
		r.c.lookups.Add(1)
		if err != nil {
			o.Did, o.Err = backends.Failed, fmt.Errorf("it was left alone; whether it is there: %w", err)
		} else if n > 0 {
			o.Did = backends.Kept
		}
	}
}

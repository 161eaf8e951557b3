package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
)

// singly sends the keys of groups that were refused one by one, over another
// connection, which finds slots that have moved. It returns an error where the
// server refuses not these keys but to remove any.
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
		if r.verb == del || !refused(refusal) {
			r.notice = nil // about a way out that is none
			return refusal
		}
		r.verb, left = del, once
		r.notice = &backends.Notice{Shard: r.node.addr, What: "keys are removed by DEL: the server stands still while it frees a big one", Err: errors.New(words(refusal))}
	}
}

// judge reads the answer to the removal of one key into its outcome. It returns
// the answer where that is not about this key; ask says that the key is kept or
// gone, and only another look tells which.
func (r *remover) judge(ctx context.Context, p *part, n int, answer reply) (ask bool, refusal error) {
	o, guard := p.outcome(n), p.guardOf(n)
	switch trouble := classify(answer.err); {
	case answer.err == nil && !sensible(guard, answer, 1):
		return false, errNoCount
	case answer.err == nil && guard != "", trouble == wrongType && guard != "":
		o.Did, ask = verdict(guard, answer)
	case answer.err == nil:
		if o.Did = backends.Gone; answer.num > 0 {
			o.Did = backends.Deleted
		}
	case trouble == forbiddenKey:
		o.Did, o.Err = backends.Failed, fail(ctx, r.node.addr, answer.err)
	case trouble == moved && r.c.whole.topology != cluster:
		o.Did, o.Err = backends.Failed, fmt.Errorf("%w: for all nodes use redis+cluster://%s", errElsewhere, r.node.addr)
	case trouble == moved:
		o.Did, o.Err = backends.Failed, fmt.Errorf("%w: %w", errMoving, answer.err)
	case broken(answer.err): // of the node where the key is now
		o.Did, o.Err = backends.Failed, fail(ctx, r.node.addr, answer.err)
	default:
		return false, answer.err
	}
	return ask, nil
}

var (
	errMoving    = errors.New("its slot is moving and no node took the command")
	errElsewhere = errors.New("it is another node's of the cluster")
)

// each removes keys of a part by a command each. Its error is of the connection; in
// a cluster there are several, and each command has its own.
func (r *remover) each(ctx context.Context, p *part, keys []int) ([]reply, error) {
	client := redis.UniversalClient(r.node.client)
	if r.c.whole.topology == cluster {
		client = r.c.whole.router
	}
	pipe := client.Pipeline()
	cmds := make([]*redis.Cmd, len(keys))
	for i, n := range keys {
		if guard := p.guardOf(n); guard != "" {
			cmds[i] = do(ctx, pipe, guardedCommand(r.verb, p.outcome(n).Key, guard))
		} else {
			cmds[i] = pipe.Do(ctx, r.verb, p.outcome(n).Key)
		}
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

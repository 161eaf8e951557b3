package redis

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
)

// A question is one command about one key that fills one fact. The key is its
// last argument.
type question struct {
	fact    backends.Facts
	counts  bool // the server counts it as a lookup (db.c, lookupKeyReadWithFlags)
	command []string
	// take reads the answer into e and tells whether the key is there.
	take func(r reply, e *backends.Entry) bool
}

// None of these touches the LRU or LFU of the key: TYPE, PTTL and OBJECT look
// up with LOOKUP_NOTOUCH, MEMORY USAGE looks past the counters as well.
var questions = []question{
	{backends.FactType, true, []string{"type"}, func(r reply, e *backends.Entry) bool {
		e.Type = r.text
		return e.Type != "none"
	}},
	{backends.FactTTL, true, []string{"pttl"}, func(r reply, e *backends.Entry) bool {
		if e.TTL = millis(r.num); r.num == -1 {
			e.TTL = backends.NoTTL
		}
		return r.num != -2
	}},
	{backends.FactSize, false, []string{"memory", "usage"}, func(r reply, e *backends.Entry) bool {
		e.Size = r.num
		return true
	}},
	{backends.FactIdle, true, []string{"object", "idletime"}, func(r reply, e *backends.Entry) bool {
		e.Idle = 1000 * millis(r.num)
		return true
	}},
	{backends.FactFreq, true, []string{"object", "freq"}, func(r reply, e *backends.Entry) bool {
		e.Freq = r.num
		return true
	}},
	{backends.FactEncoding, true, []string{"object", "encoding"}, func(r reply, e *backends.Entry) bool {
		e.Encoding = r.text
		return true
	}},
}

// The command that tells how many elements a value of each type has, and, for
// ls and get alike, how its length is counted (see backends.Entry.Elements).
var lengthCommands = map[string]string{
	"string": "strlen", "list": "llen", "set": "scard", "zset": "zcard", "hash": "hlen", "stream": "xlen",
}

// A prober asks one server for facts about keys, and stops asking for those it
// will not tell.
type prober struct {
	c       *cache
	addr    string
	server  profile
	want    backends.Facts
	refused []*backends.Notice // not yet passed on
	told    map[string]bool    // notices about some keys, each once
}

// newProber leaves out of want what the server's policy makes unknowable: idle
// time under an LFU policy, frequency under any other.
func (c *cache) newProber(addr string, p profile, want backends.Facts) *prober {
	b := &prober{c: c, addr: addr, server: p, want: want}
	if want.Has(backends.FactElements) {
		b.want |= backends.FactType
	}
	if want.Has(backends.FactGuard) {
		b.want |= p.guardNeeds()
	}
	lfu := strings.HasSuffix(p.policy, "-lfu")
	if lfu {
		b.drop(backends.FactIdle, fmt.Errorf("maxmemory-policy is %s, which keeps frequencies instead", p.policy))
	} else if p.policy != "" {
		b.drop(backends.FactFreq, fmt.Errorf("maxmemory-policy is %s, only the LFU policies keep frequencies", p.policy))
	}
	return b
}

func (b *prober) drop(fact backends.Facts, why error) {
	if b.want.Has(fact) {
		b.want &^= fact
		b.refused = append(b.refused, &backends.Notice{Shard: b.addr, What: fact.String() + " is unknown", Facts: fact, Err: errors.New(words(why))})
	}
}

// tell passes on once what is true of some keys only.
func (b *prober) tell(what string, why error) {
	if b.told == nil {
		b.told = make(map[string]bool)
	}
	if key := what + why.Error(); !b.told[key] {
		b.told[key] = true
		b.refused = append(b.refused, &backends.Notice{Shard: b.addr, What: what, Err: why})
	}
}

// notices hands out what came up since the last call.
func (b *prober) notices() []*backends.Notice {
	n := b.refused
	b.refused = nil
	return n
}

// asks lists the questions for what is wanted, at this moment.
func (b *prober) asks() []question {
	var asked []question
	for _, q := range questions {
		if b.want.Has(q.fact) {
			asked = append(asked, q)
		}
	}
	return asked
}

// answer reads the replies about one key, in the order of asked, into e. It
// tells whether the key is there.
func (b *prober) answer(asked []question, e *backends.Entry, next func() (reply, error)) (there bool, err error) {
	there = true
	for i := range asked {
		q := &asked[i]
		r, err := next()
		if err != nil {
			return false, err
		}
		trouble := classify(r.err)
		if q.counts && trouble != forbidden && trouble != forbiddenKey && trouble != missing && trouble != moved {
			b.c.lookups.Add(1)
		}
		switch {
		case r.err == nil && !r.null:
			if q.take(r, e) {
				e.Have |= q.fact
			} else {
				there = false
			}
		case r.null, trouble == noKey:
			there = false
		case trouble == forbidden, trouble == missing:
			b.drop(q.fact, r.err)
		case trouble == forbiddenKey:
			b.tell("facts of some keys are unknown", errors.New("this user may not read them"))
		case trouble == moved:
			b.tell("facts of some keys are unknown", errors.New("their slot is moving to another node"))
		default: // this fact of this key
		}
	}
	return there, nil
}

// length reads the reply to the length command of an entry.
func (b *prober) length(e *backends.Entry, r reply) {
	if refused(r.err) {
		b.drop(backends.FactElements, r.err)
	} else if r.err == nil {
		b.c.lookups.Add(1)
		e.Elements = r.num
		e.Have |= backends.FactElements
	}
}

// late tells whether some wanted facts are asked for when the type is known.
func (b *prober) late() bool {
	return b.want&(backends.FactElements|backends.FactGuard) != 0
}

// lengthOf is the command for the number of elements of e: it depends on the
// type, and a wrong guess would count as an error on the server.
func (b *prober) lengthOf(e *backends.Entry) (command string, ok bool) {
	command, ok = lengthCommands[e.Type]
	return command, ok && b.want.Has(backends.FactElements) && e.Have.Has(backends.FactType)
}

// guardOf is the command for the guard of e, and what kind of guard it brings.
func (b *prober) guardOf(e *backends.Entry) (command []string, kind string) {
	if !b.want.Has(backends.FactGuard) {
		return nil, ""
	}
	return b.server.guardQuestion(e)
}

// replyOf reads a command that go-redis has carried out.
func replyOf(cmd *redis.Cmd) reply {
	value, err := cmd.Result()
	if errors.Is(err, redis.Nil) {
		return reply{kind: '$', null: true}
	}
	r := reply{err: err}
	switch v := value.(type) {
	case string:
		r.kind, r.text = '$', v
	case int64:
		r.kind, r.num = ':', v
	}
	return r
}

// inspectBatch is how many keys Inspect asks about at once.
const inspectBatch = 500

// Inspect asks the nodes of the keys, a batch at a time.
func (c *cache) Inspect(ctx context.Context, want backends.Facts, keys iter.Seq[string]) iter.Seq2[backends.Entry, error] {
	return func(yield func(backends.Entry, error) bool) {
		shards, err := c.shards(ctx)
		if err != nil {
			yield(backends.Entry{}, err)
			return
		}
		p, err := shards[0].master.profile(ctx, c.db, false)
		if err != nil {
			yield(backends.Entry{}, err)
			return
		}
		b := c.newProber(c.name, p, want)
		for batch := range backends.Batch(keys, inspectBatch) {
			entries, err := c.inspect(ctx, b, batch)
			if err != nil {
				yield(backends.Entry{}, err)
				return
			}
			for _, n := range b.notices() {
				if !yield(backends.Entry{}, n) {
					return
				}
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// inspect asks about keys through the router, which knows where each lives.
// Keys that are not there are left out.
func (c *cache) inspect(ctx context.Context, b *prober, keys []string) ([]backends.Entry, error) {
	if b.want == 0 {
		b.want = backends.FactType // something must tell whether the key is there
	}
	asked := b.asks()
	pipe := c.router.Pipeline()
	var cmds []*redis.Cmd
	for _, key := range keys {
		for _, q := range asked {
			cmds = append(cmds, do(ctx, pipe, append(q.command[:len(q.command):len(q.command)], key)))
		}
	}
	err := exec(ctx, pipe)
	if err != nil {
		return nil, fail(ctx, c.name, err)
	}
	var entries []backends.Entry
	for _, key := range keys {
		e := backends.Entry{Key: key}
		there, _ := b.answer(asked, &e, func() (reply, error) {
			r := replyOf(cmds[0])
			cmds = cmds[1:]
			return r, nil
		})
		if there {
			entries = append(entries, e)
		}
	}
	if b.late() {
		if entries, err = c.inspectLate(ctx, b, entries); err != nil {
			return nil, fail(ctx, c.name, err)
		}
	}
	return entries, nil
}

// inspectLate is lateFacts of a walk, through the router.
func (c *cache) inspectLate(ctx context.Context, b *prober, entries []backends.Entry) ([]backends.Entry, error) {
	pipe := c.router.Pipeline()
	lengths, guards := make([]*redis.Cmd, len(entries)), make([]*redis.Cmd, len(entries))
	kinds := make([]string, len(entries))
	for i := range entries {
		if command, ok := b.lengthOf(&entries[i]); ok {
			lengths[i] = pipe.Do(ctx, command, entries[i].Key)
		}
		if command, kind := b.guardOf(&entries[i]); command != nil {
			guards[i], kinds[i] = do(ctx, pipe, command), kind
		}
	}
	if pipe.Len() == 0 {
		return entries, nil
	}
	if err := exec(ctx, pipe); err != nil {
		return nil, err
	}
	there := entries[:0]
	for i, e := range entries {
		if lengths[i] != nil {
			b.length(&e, replyOf(lengths[i]))
		}
		if guards[i] == nil || b.guardAnswer(&e, kinds[i], replyOf(guards[i])) {
			there = append(there, e)
		}
	}
	return there, nil
}

func do(ctx context.Context, pipe redis.Pipeliner, args []string) *redis.Cmd {
	list := make([]any, len(args))
	for i, a := range args {
		list[i] = a
	}
	return pipe.Do(ctx, list...)
}

// exec runs a pipeline. Its error is of the connection: what the server
// answered stands in the commands.
func exec(ctx context.Context, pipe redis.Pipeliner) error {
	cmds, err := pipe.Exec(ctx)
	if broken(err) {
		return err
	}
	// The first error may be an answer and hide that the connection broke behind it.
	if n := len(cmds); n > 0 && broken(cmds[n-1].Err()) {
		return cmds[n-1].Err()
	}
	// And where no command has it, the connection was refused before any was sent.
	if err != nil && !slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { return cmd.Err() != nil }) {
		return err
	}
	return nil
}

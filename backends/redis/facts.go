package redis

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
)

// A question is one command about one key that fills one fact.
type question struct {
	fact   backends.Facts
	counts bool // the server counts it as a lookup (db.c, lookupKeyReadWithFlags)
	ask    func(ctx context.Context, p redis.Pipeliner, key string) redis.Cmder
	// take reads the answer into e and tells whether the key is there.
	take func(cmd redis.Cmder, e *backends.Entry) bool
}

// None of these touches the LRU or LFU of the key: TYPE, PTTL and OBJECT look
// up with LOOKUP_NOTOUCH, MEMORY USAGE looks past the counters as well.
var questions = []question{
	{
		fact: backends.FactType, counts: true,
		ask: func(ctx context.Context, p redis.Pipeliner, key string) redis.Cmder { return p.Type(ctx, key) },
		take: func(cmd redis.Cmder, e *backends.Entry) bool {
			e.Type = cmd.(*redis.StatusCmd).Val()
			return e.Type != "none"
		},
	}, {
		fact: backends.FactTTL, counts: true,
		ask: func(ctx context.Context, p redis.Pipeliner, key string) redis.Cmder { return p.PTTL(ctx, key) },
		take: func(cmd redis.Cmder, e *backends.Entry) bool {
			e.TTL = cmd.(*redis.DurationCmd).Val() // -1 ns is NoTTL, -2 ns a missing key
			return e.TTL != -2
		},
	}, {
		fact: backends.FactSize,
		ask:  func(ctx context.Context, p redis.Pipeliner, key string) redis.Cmder { return p.MemoryUsage(ctx, key) },
		take: func(cmd redis.Cmder, e *backends.Entry) bool {
			e.Size = cmd.(*redis.IntCmd).Val()
			return true
		},
	}, {
		fact: backends.FactIdle, counts: true,
		ask: func(ctx context.Context, p redis.Pipeliner, key string) redis.Cmder {
			return p.ObjectIdleTime(ctx, key)
		},
		take: func(cmd redis.Cmder, e *backends.Entry) bool {
			e.Idle = cmd.(*redis.DurationCmd).Val()
			return true
		},
	}, {
		fact: backends.FactFreq, counts: true,
		ask: func(ctx context.Context, p redis.Pipeliner, key string) redis.Cmder { return p.ObjectFreq(ctx, key) },
		take: func(cmd redis.Cmder, e *backends.Entry) bool {
			e.Freq = cmd.(*redis.IntCmd).Val()
			return true
		},
	}, {
		fact: backends.FactEncoding, counts: true,
		ask: func(ctx context.Context, p redis.Pipeliner, key string) redis.Cmder {
			return p.ObjectEncoding(ctx, key)
		},
		take: func(cmd redis.Cmder, e *backends.Entry) bool {
			e.Encoding = cmd.(*redis.StringCmd).Val()
			return true
		},
	},
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
	want    backends.Facts
	refused []*backends.Notice // not yet passed on
}

// newProber leaves out of want what the server's policy makes unknowable: idle
// time under an LFU policy, frequency under any other.
func (c *cache) newProber(addr string, p profile, want backends.Facts) *prober {
	b := &prober{c: c, addr: addr, want: want}
	if want.Has(backends.FactElements) {
		b.want |= backends.FactType
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
		b.refused = append(b.refused, &backends.Notice{Shard: b.addr, What: fact.String() + " is unknown", Err: why})
	}
}

// notices hands out what came up since the last call.
func (b *prober) notices() []*backends.Notice {
	n := b.refused
	b.refused = nil
	return n
}

// A probe is the questions asked about a batch of keys, with room for the answers.
type probe struct {
	keys  []string
	asked []question
	cmds  []redis.Cmder // len(asked) for each key
}

// ask puts the questions about keys into the pipeline.
func (b *prober) ask(ctx context.Context, p redis.Pipeliner, keys []string) probe {
	a := probe{keys: keys}
	for _, q := range questions {
		if b.want.Has(q.fact) {
			a.asked = append(a.asked, q)
		}
	}
	if len(a.asked) == 0 {
		return a
	}
	a.cmds = make([]redis.Cmder, 0, len(keys)*len(a.asked))
	for _, key := range keys {
		for _, q := range a.asked {
			a.cmds = append(a.cmds, q.ask(ctx, p, key))
			if q.counts {
				b.c.lookups.Add(1)
			}
		}
	}
	return a
}

// answers reads a probe whose pipeline has run. Keys that vanished are left out.
func (b *prober) answers(a probe) []backends.Entry {
	entries := make([]backends.Entry, 0, len(a.keys))
	for i, key := range a.keys {
		e := backends.Entry{Key: key}
		there := true
		for j, q := range a.asked {
			cmd := a.cmds[i*len(a.asked)+j]
			switch err := cmd.Err(); {
			case err == nil:
				if there = q.take(cmd, &e); there {
					e.Have |= q.fact
				}
			case errors.Is(err, redis.Nil), strings.Contains(err.Error(), "no such key"):
				there = false
			case refused(err):
				b.drop(q.fact, err)
			default: // MOVED in the middle of a walk and the like: this fact of this key
			}
			if !there {
				break
			}
		}
		if there {
			entries = append(entries, e)
		}
	}
	return entries
}

// lengths fills in the elements of entries whose type is known: a round trip
// of its own, because the command depends on the type, and a wrong guess would
// count as an error on the server.
func (b *prober) lengths(ctx context.Context, p redis.Pipeliner, entries []backends.Entry) error {
	cmds := make([]*redis.Cmd, len(entries))
	asked := false
	for i := range entries {
		if name, ok := lengthCommands[entries[i].Type]; ok && entries[i].Have.Has(backends.FactType) {
			cmds[i] = p.Do(ctx, name, entries[i].Key)
			b.c.lookups.Add(1)
			asked = true
		}
	}
	if !asked {
		return nil
	}
	if _, err := p.Exec(ctx); broken(err) {
		return err
	}
	for i, cmd := range cmds {
		if cmd == nil {
			continue
		}
		n, err := cmd.Int64()
		if refused(err) {
			b.drop(backends.FactElements, err)
		} else if err == nil {
			entries[i].Elements = n
			entries[i].Have |= backends.FactElements
		}
	}
	return nil
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

func (c *cache) inspect(ctx context.Context, b *prober, keys []string) ([]backends.Entry, error) {
	pipe := c.router.Pipeline()
	if b.want == 0 {
		b.want = backends.FactType // something must tell whether the key is there
	}
	asked := b.ask(ctx, pipe, keys)
	if _, err := pipe.Exec(ctx); broken(err) {
		return nil, fail(ctx, c.name, err)
	}
	entries := b.answers(asked)
	if b.want.Has(backends.FactElements) {
		if err := b.lengths(ctx, c.router.Pipeline(), entries); err != nil {
			return nil, fail(ctx, c.name, err)
		}
	}
	return entries, nil
}

package redis

import (
	"context"
	"errors"
	"math"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
)

// sampleBatch bounds how long a server is busy with drawing: about a third of a
// millisecond.
const sampleBatch = 100

// Sample draws keys with RANDOMKEY, which counts no lookup and marks no key as
// used. The server picks among a handful of neighbours of a random bucket
// (dict.c, dictGetFairRandomKey), so that keys are very nearly equally likely.
func (c *cache) Sample(ctx context.Context, n int) ([]backends.Sample, error) {
	shards, err := c.shards(ctx)
	if err != nil {
		return nil, err
	}
	for i := range shards {
		shards[i].master, shards[i].replicas = c.reader(ctx, shards[i]), nil
	}
	samples, lost := everyNode(ctx, shards, func(ctx context.Context, n *node) (backends.Sample, error) {
		of, err := n.client.DBSize(ctx).Result()
		return backends.Sample{Shard: n.addr, Of: of}, fail(ctx, n.addr, err)
	})
	all := 0.0
	for i := range samples {
		samples[i].Of = max(samples[i].Of, 0)
		all += float64(samples[i].Of)
	}
	if all == 0 {
		return samples, lost
	}
	// Only the nodes that told their number of keys are asked for some.
	known := make(map[string]int64)
	for _, s := range samples {
		known[s.Shard] = s.Of
	}
	var there []shard
	for _, s := range shards {
		if _, ok := known[s.master.addr]; ok {
			there = append(there, s)
		}
	}
	samples, err = everyNode(ctx, there, func(ctx context.Context, node *node) (backends.Sample, error) {
		s := backends.Sample{Shard: node.addr, Of: known[node.addr]}
		keys, err := draw(ctx, node, int(math.Ceil(float64(n)*float64(s.Of)/all)))
		s.Keys = keys
		return s, fail(ctx, node.addr, err)
	})
	return samples, errors.Join(lost, err)
}

func draw(ctx context.Context, node *node, n int) ([]string, error) {
	keys := make([]string, 0, n)
	for left := n; left > 0; left -= sampleBatch {
		drawn := make([]*redis.StringCmd, min(left, sampleBatch))
		pipe := node.client.Pipeline()
		for i := range drawn {
			drawn[i] = pipe.RandomKey(ctx)
		}
		if err := exec(ctx, pipe); err != nil {
			return nil, err
		}
		for _, cmd := range drawn {
			key, err := cmd.Result()
			if errors.Is(err, redis.Nil) { // the last key has gone meanwhile
				continue
			}
			if err != nil {
				return nil, err
			}
			keys = append(keys, key)
		}
	}
	return keys, nil
}

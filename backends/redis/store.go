package redis

import (
	"context"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// Get reads a string whole.
func (c *cache) Get(ctx context.Context, key string) ([]byte, error) {
	c.lookups.Add(1)
	value, err := c.router.Get(ctx, key).Bytes()
	return value, fail(ctx, c.name, err)
}

// Set writes a string.
func (c *cache) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return fail(ctx, c.name, c.router.Set(ctx, key, value, max(ttl, 0)).Err())
}

var (
	_ backends.Scanner     = (*cache)(nil)
	_ backends.Inspector   = (*cache)(nil)
	_ backends.Store       = (*cache)(nil)
	_ backends.Reader      = (*cache)(nil)
	_ backends.StatsReader = (*cache)(nil)
	_ backends.Deleter     = (*cache)(nil)
	_ backends.Sampler     = (*cache)(nil)
	_ backends.Pulser      = (*cache)(nil)
	_ backends.Sharder     = (*cache)(nil)
	_ backends.Footprinter = (*cache)(nil)
)

package memcached

import (
	"context"
	"iter"

	"github.com/cachectl/cachectl/backends"
)

// Format is the same for all versions.
func (c *cache) Format(context.Context) (string, error) { return form, nil }

// Takes tells whether a format is memcached's.
func (c *cache) Takes(_ context.Context, format string) (bool, error) { return format == form, nil }

// Export is Dump: a value is bytes, and who has no client flags leaves them.
func (c *cache) Export(ctx context.Context, keys []string) iter.Seq2[[]backends.Record, error] {
	return c.Dump(ctx, keys)
}

var (
	_ backends.Formatter = (*cache)(nil)
	_ backends.Exporter  = (*cache)(nil)
)

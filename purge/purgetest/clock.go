package purgetest

import (
	"context"
	"sync"
	"time"
)

// A Clock is one that nobody has to wait for: sleeping moves it on. For tests
// over a real network, where testing/synctest cannot be.
type Clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

// Now is the real time and all that was slept.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

// Sleep returns at once.
func (c *Clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += max(0, d)
	return ctx.Err()
}

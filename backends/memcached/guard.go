package memcached

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/cachectl/cachectl/backends"
)

// A guard is an item's CAS number as it was seen. Every write gives the item
// another; touch, gat and mg with T do not. Servers count from 1 or 2, each for
// itself and from the beginning when it is restarted, so a number means nothing
// without its node and its process.
type guard struct {
	cas  uint64 // 0: no guard
	addr string // of the node that told it; "" is the node of the page
}

// impossible is a number that no item has: with it a delete answers whether the
// key is there, and leaves it.
const impossible = math.MaxUint64

// guardOf is what an entry carries for Delete: the number in decimal. Where a
// target has several nodes, a key named by the user goes to all of them, so
// Inspect puts the node behind it.
func guardOf(cas uint64, addr string) string {
	text := strconv.FormatUint(cas, 10)
	if addr != "" {
		text += "@" + addr
	}
	return text
}

// parseGuard undoes guardOf. It refuses 0, by which a server that was started
// with -C deletes anything (measured), and what is no number.
func parseGuard(text string) (guard, error) {
	number, addr, _ := strings.Cut(text, "@")
	cas, err := strconv.ParseUint(number, 10, 64)
	if err != nil || cas == 0 {
		return guard{}, fmt.Errorf("bad guard %s: it must come from an entry of this cache", printable([]byte(text)))
	}
	return guard{cas, addr}, nil
}

// vouch remembers which process the guards come from that are about to be
// handed out. p was asked for just before.
func (n *node) vouch(want backends.Facts, p profile) {
	if !want.Has(backends.FactGuard) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.vouched = p.run
}

// restarted tells whether another process answers on c than the one that told
// the guards. Where servers do not tell who they are, nobody knows.
func (n *node) restarted(c *conn) (bool, error) {
	n.mu.Lock()
	before := n.vouched
	n.mu.Unlock()
	if before == "" {
		return false, nil
	}
	values, err := c.optional(general)
	if err != nil {
		return false, err
	}
	now := runID(values)
	return now != "" && now != before, nil
}

// freshProfile asks the server anew where guards are wanted, because they are
// worth nothing without its process.
func (n *node) freshProfile(ctx context.Context, want backends.Facts) error {
	if !want.Has(backends.FactGuard) {
		return nil
	}
	p, err := n.profile(ctx, true)
	n.vouch(want, p)
	return err
}

// noGuard says that items came without CAS numbers, though the server does not
// say that it has none.
func noGuard(n *node, source string) *backends.Notice {
	return &backends.Notice{Shard: n.addr, What: noGuards, Facts: backends.FactGuard,
		Err: fmt.Errorf("the server's %s does not tell CAS numbers", source)}
}

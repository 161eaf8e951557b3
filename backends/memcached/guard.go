package memcached

import (
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
	run  string // names the process that told it, see runID; "" where it does not say
}

// impossible is a number that no item has: with it a delete answers whether the
// key is there, and leaves it.
const impossible = math.MaxUint64

// guardOf is what an entry carries for Delete: "CAS@ADDR#RUN". Where a target has
// several nodes, a key named by the user goes to all of them, so Inspect puts the node
// into it.
func guardOf(cas uint64, addr, run string) string {
	text := strconv.FormatUint(cas, 10)
	if addr != "" {
		text += "@" + addr
	}
	if run != "" {
		text += "#" + run
	}
	return text
}

// parseGuard undoes guardOf. It refuses 0, by which a server that was started
// with -C deletes anything (measured), and what is no number.
func parseGuard(text string) (guard, error) {
	rest, run, _ := strings.Cut(text, "#")
	number, addr, _ := strings.Cut(rest, "@")
	cas, err := strconv.ParseUint(number, 10, 64)
	if err != nil || cas == 0 {
		return guard{}, fmt.Errorf("bad guard %s: it must come from an entry of this cache", printable([]byte(text)))
	}
	return guard{cas, addr, run}, nil
}

// process asks which process answers on c; "" where the server does not tell.
func (c *conn) process() (string, error) {
	values, err := c.optional(general)
	return runID(values), err
}

// noGuard says that items came without CAS numbers, though the server does not
// say that it has none.
func noGuard(n *node, source string) *backends.Notice {
	return &backends.Notice{Shard: n.addr, What: noGuards, Facts: backends.FactGuard,
		Err: fmt.Errorf("the server's %s does not tell CAS numbers", source)}
}

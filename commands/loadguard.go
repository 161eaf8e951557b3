package commands

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

// A loadGuard keeps generated traffic from doing harm: to servers that nobody meant to
// load, to the data of others, to a laptop. It refuses before anything is sent, and
// watches the servers while the traffic runs.
type loadGuard struct {
	meant     bool // --yes-load-this-server
	confirm   string
	unbounded bool
	evictions bool
	memory    string

	reads bool  // nothing is written, so that a replica will do
	limit int64 // bytes a node may use; 0: as its own limit says
}

// The bounds of a run where --no-bounds does not lift them.
const (
	mostRate   = 1_000_000 // requests a second
	mostKeys   = 10_000_000
	mostBytes  = 4 << 30 // of values
	mostLength = time.Hour
)

func (g *loadGuard) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&g.meant, "yes-load-this-server", false, "needed where a server is not on this machine's loopback")
	f.StringVar(&g.confirm, "confirm", "", "the `name` of a protected context, which is needed too")
	f.BoolVar(&g.unbounded, "no-bounds", false, fmt.Sprintf("lift the bounds of %s requests a second, %s keys, %s of values and %s",
		render.Int(mostRate).Text, render.Int(mostKeys).Text, render.Bytes(mostBytes).Text, mostLength))
	f.StringVar(&g.memory, "max-memory", "", "stop when a node uses more than this `size`; default 90 % of its own limit, or where it has none the room the keys take, twice")
	f.BoolVar(&g.evictions, "allow-evictions", false, "go on when a node begins to evict keys")
}

func (g *loadGuard) parse() (err error) {
	if g.memory == "" {
		return nil
	}
	if g.limit, err = parseSize(g.memory); err == nil && g.limit <= 0 {
		err = errors.New("it is more than 0")
	}
	if err != nil {
		return usagef("bad --max-memory: %w", err)
	}
	return nil
}

// A demand is what some traffic asks of the servers at most.
type demand struct {
	rate   float64 // 0: as fast as answers come
	keys   uint64
	bytes  float64 // of all keys' values
	length time.Duration
}

// bounded refuses what is beyond the bounds.
func (g *loadGuard) bounded(d demand) error {
	over := func(what, has, most string) error {
		return withHint(usagef("refused: %s of %s, and no more than %s go without being told", what, has, most), "--no-bounds says that it is meant")
	}
	switch {
	case g.unbounded:
	case d.rate > mostRate:
		return over("a rate", render.Int(int64(d.rate)).Text+"/s", render.Int(mostRate).Text+"/s")
	case d.keys > mostKeys:
		return over("a number of keys", render.Int(int64(d.keys)).Text, render.Int(mostKeys).Text)
	case d.bytes > mostBytes:
		return over("values", render.Bytes(int64(d.bytes)).Text+" in all", render.Bytes(mostBytes).Text)
	case d.length > mostLength:
		return over("a run", render.Duration(d.length).Text, render.Duration(mostLength).Text)
	}
	return nil
}

// admitted refuses servers that nobody said are meant.
func (g *loadGuard) admitted(env *Env, t *target, nodes []string) error {
	if err := t.may("load it"); err != nil {
		return err
	}
	if t.profile.Protected && g.confirm != t.context {
		return withHint(usagef("refused: context %q is protected", t.context), "--confirm %s says that it is meant", t.context)
	}
	if g.meant {
		return nil
	}
	for _, node := range nodes {
		if !onLoopback(node) {
			return withHint(usagef("refused: %s is not on this machine", node),
				"--yes-load-this-server says that it is meant to be put under load")
		}
	}
	return nil
}

// open opens a cache that is to be loaded, and makes sure that it is meant: before it is
// talked to by what the target says, and then by the nodes that it has.
func (g *loadGuard) open(ctx context.Context, env *Env, f *targetFlag) (b backends.Backend, d backends.Dialer, nodes []string, err error) {
	t, err := f.resolve(env)
	if err != nil {
		return nil, nil, nil, err
	}
	if t.url.Host != "" {
		if err := g.admitted(env, t, strings.Split(t.url.Host, ",")); err != nil {
			return nil, nil, nil, err
		}
	}
	if b, t, err = f.open(ctx, env); err != nil {
		return nil, nil, nil, err
	}
	var routes backends.Routes
	if d, err = backends.As[backends.Dialer](b); err == nil {
		routes, err = d.Routes(ctx)
	}
	if err == nil {
		err = g.admitted(env, t, routes.Nodes)
	}
	if err == nil && !g.reads {
		err = takesWrites(ctx, b, routes.Nodes)
	}
	if err != nil {
		b.Close()
		return nil, nil, nil, err
	}
	return b, d, routes.Nodes, nil
}

// takesWrites refuses replicas, which answer no write, or in time's course with what their master has.
func takesWrites(ctx context.Context, b backends.Backend, nodes []string) error {
	reader, err := backends.As[backends.StatsReader](b)
	if err != nil {
		return nil
	}
	all, _ := reader.Stats(ctx) // a node that does not answer shows in the run
	for _, s := range all {
		if s.Role == "replica" && slices.Contains(nodes, s.Node) {
			return withHint(usagef("refused: %s is a replica, and keys are written by its master", s.Node),
				"load the master; \"cachectl load --no-fill --mix 100:0\" reads from a replica")
		}
	}
	return nil
}

// onLoopback tells whether an address, as a backend names its node, is of this machine
// alone. A name is one only if it is "localhost": what others resolve to may change.
func onLoopback(node string) bool {
	if strings.HasPrefix(node, "/") || strings.HasPrefix(node, "unix:") || strings.HasPrefix(node, "mem:") || node == "embedded" {
		return true
	}
	host, _, err := net.SplitHostPort(node)
	if err != nil {
		host = node
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// watch looks at the servers once a second until ctx ends, and calls stop when one
// of them is in need: its memory passes the limit, or it evicts. bytes is what the keys
// take on a node at most. It returns when ctx has ended.
func (g *loadGuard) watch(ctx context.Context, b backends.Backend, bytes float64, stop func(error)) {
	reader, err := backends.As[backends.StatsReader](b)
	if err != nil {
		return
	}
	first := make(map[string]backends.Stats)
	for {
		all, _ := reader.Stats(ctx)
		for _, now := range all {
			if now.Role == "replica" {
				continue
			}
			was, known := first[now.Node]
			if !known || was.RunID != now.RunID {
				first[now.Node] = now
				was = now
			}
			if err := g.need(was, now, bytes); err != nil {
				stop(err)
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

// fits refuses keys that a node has no room for. bytes is what they take on it at most.
func (g *loadGuard) fits(ctx context.Context, b backends.Backend, bytes float64) error {
	reader, err := backends.As[backends.StatsReader](b)
	if err != nil {
		return nil
	}
	all, _ := reader.Stats(ctx) // a node that does not answer shows in the run
	for _, now := range all {
		used, known := now.Counts[backends.UsedMemory]
		limit := g.bound(now, now, bytes)
		if !known || now.Role == "replica" || float64(used)+bytes <= limit {
			continue
		}
		return withHint(usagef("refused: the keys take about %s on %s, which uses %s, and %s is the limit",
			render.Bytes(int64(bytes)).Text, now.Node, render.Bytes(int64(used)).Text, render.Bytes(int64(limit)).Text), "fewer or smaller keys fit; --max-memory sets another limit")
	}
	return nil
}

// bound is how much memory a node may use, in bytes.
func (g *loadGuard) bound(was, now backends.Stats, bytes float64) float64 {
	switch most := float64(now.Counts[backends.MaxMemory]); {
	case g.limit > 0:
		return float64(g.limit)
	case most > 0:
		return 0.9 * most
	}
	return float64(was.Counts[backends.UsedMemory]) + 2*bytes + 64<<20
}

// need tells what is wrong with a node, if anything is.
func (g *loadGuard) need(was, now backends.Stats, bytes float64) error {
	if was, had := was.Counts[backends.Evicted]; had && !g.evictions {
		if evicted := now.Counts[backends.Evicted]; evicted > was {
			return withHint(&loadStopped{fmt.Sprintf("%s evicted %s since the load began", now.Node, plural(int64(evicted-was), "key"))},
				"fewer or smaller keys fit; --allow-evictions goes on")
		}
	}
	limit := g.bound(was, now, bytes)
	if used, known := now.Counts[backends.UsedMemory]; known && float64(used) > limit {
		return withHint(&loadStopped{fmt.Sprintf("%s uses %s of memory, and %s is the limit", now.Node, render.Bytes(int64(used)).Text, render.Bytes(int64(limit)).Text)},
			"--max-memory sets another")
	}
	return nil
}

// A loadStopped says that a run was stopped for the server's sake: what was measured
// until then is told, and the exit status is 1.
type loadStopped struct{ why string }

func (e *loadStopped) Error() string { return "stopped: " + e.why }

package memcached

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// loadBytes bounds the commands to one node that are not answered; one may be bigger by itself.
const loadBytes = 4 << 20

// loadGrace is how long after its context has ended a Load waits for answers.
const loadGrace = 2 * time.Second

// Load puts each record on the node that it came from, and where the cache has no such
// node any more, where gomemcache would put it; on all nodes at once, see loadLane. It
// goes by "ms", which adds or sets; before 1.6.10 by "add" and "set". What is too big for
// the server is not sent: it would drop the value that the key has. Where a connection
// breaks, what was not answered is sent again: what the lost attempt loaded then counts as
// Kept.
func (c *cache) Load(ctx context.Context, batches iter.Seq2[[]backends.Record, error], o backends.LoadOptions) iter.Seq2[backends.Result, error] {
	return func(yield func(backends.Result, error) bool) {
		asked, release := c.bound(ctx)
		defer release()
		inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		stop := context.AfterFunc(asked, func() {
			select {
			case <-time.After(loadGrace):
				cancel()
			case <-inner.Done():
			}
		})
		defer stop()
		l := loading{Shipping: backends.Shipping{Asked: asked, Tell: yield}, cache: c, ctx: inner, replace: o.Replace, nodes: make(map[string]*node), lanes: make(map[*node]*loadLane), parts: make(map[string]bool)}
		for _, n := range c.nodes {
			l.nodes[n.addr] = n
		}
		if whole := l.Run(batches, l.take, l.unfinished); !whole {
			cancel() // nobody waits for what is under way
		}
		for _, n := range l.lanes {
			n.close()
		}
	}
}

// A loading is one Load under way.
type loading struct {
	backends.Shipping
	*cache
	ctx     context.Context // ends what is under way, a moment after Asked
	replace bool
	nodes   map[string]*node
	lanes   map[*node]*loadLane
	parts   map[string]bool // keys of which a part has come, and not the last
	strange bool            // records of nodes that are not there were met
}

var errPart = errors.New("its value comes in parts: it is too big for an item of memcached, or no string")

// holds says why memcached cannot hold a record.
func holds(r *backends.Record) error {
	switch {
	case r.Part > 0:
		return errPart
	case r.Form == form || r.Form == backends.FormString:
		return nil
	case r.Form == backends.FormCommand:
		return errors.New("a command of Redis, which memcached does not know")
	case backends.Portable(r.Form):
		return fmt.Errorf("a %s: memcached holds strings only", r.Form)
	}
	return fmt.Errorf("its record was made by another kind of cache (%s)", r.Form)
}

// unfinished are the keys whose last part never came.
func (l *loading) unfinished() (all []backends.Outcome) {
	for _, key := range slices.Sorted(maps.Keys(l.parts)) {
		all = append(all, backends.Outcome{Key: key, Did: backends.Failed, Err: errPart})
	}
	return all
}

// take takes a batch on.
func (l *loading) take(s *backends.Shipment, batch []backends.Record) bool {
	for i := range batch {
		r := &batch[i]
		if r.More {
			l.parts[r.Key] = true
			continue
		}
		delete(l.parts, r.Key)
		o := s.Outcome(r.Key)
		why := holds(r)
		switch {
		case why != nil:
		case !r.Expires.IsZero() && !r.Expires.After(time.Now()):
			o.Did = backends.Ended
		default:
			why = l.lane(r).put(s, r, o)
		}
		if why != nil {
			o.Did, o.Err = backends.Failed, why
		}
	}
	for _, n := range l.lanes {
		n.hand()
	}
	return true
}

// lane is that of the node where a record belongs.
func (l *loading) lane(r *backends.Record) *loadLane {
	to := l.nodes[r.Shard]
	if to == nil {
		to = l.home(r.Key)
		if !l.strange && len(l.cache.nodes) > 1 && r.Shard != "" {
			l.strange = true
			l.Say(&backends.Notice{Shard: l.name, What: "some keys go to another node than they came from", Err: errors.New("that node is no part of the cache; the application may look elsewhere")})
		}
	}
	n := l.lanes[to]
	if n == nil {
		n = newLoadLane(l, to)
		l.lanes[to] = n
	}
	return n
}

// command writes the command that stores a record, or refuses what cannot work.
func (l *loading) command(to []byte, n *node, p profile, r *backends.Record) ([]byte, error) {
	if err := addressable(r.Key); err != nil {
		return to, err
	}
	if most := p.itemMax; most > 0 && p.itemSize(r.Key, len(r.Value))+4 > most {
		return to, fmt.Errorf("a value of %d bytes is too big for an item of %s, which takes %d (-I)", len(r.Value), n.addr, most)
	}
	exp, err := expiryOf(r, p)
	if err != nil {
		return to, err
	}
	if !p.metaStore() {
		if !plain(r.Key) {
			return to, errNeedsMeta
		}
		verb := "add "
		if l.replace {
			verb = "set "
		}
		to = append(append(to, verb...), r.Key...)
		to = strconv.AppendUint(append(to, ' '), uint64(r.Flags), 10)
		to = strconv.AppendInt(append(to, ' '), int64(exp), 10)
		to = strconv.AppendInt(append(to, ' '), int64(len(r.Value)), 10)
		return append(append(append(to, "\r\n"...), r.Value...), "\r\n"...), nil
	}
	to, flag := address(append(to, "ms "...), r.Key)
	to = strconv.AppendInt(append(to, ' '), int64(len(r.Value)), 10)
	to = append(to, flag...)
	if r.Flags != 0 {
		to = strconv.AppendUint(append(to, " F"...), uint64(r.Flags), 10)
	}
	if exp != untimed {
		to = strconv.AppendInt(append(to, " T"...), int64(exp), 10)
	}
	if !l.replace {
		to = append(to, " ME"...)
	}
	return append(append(append(to, "\r\n"...), r.Value...), "\r\n"...), nil
}

var _ backends.Loader = (*cache)(nil)

package redis

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// loadBytes bounds the commands to one node that are not answered; one may be bigger by itself.
const loadBytes = 4 << 20

// Load sends each record to the node that answers for its key, to all nodes at once; see
// lane. Where a connection breaks, what was not answered is sent again: what the lost
// attempt loaded then counts as Kept. A command that would do something else the second
// time is not sent again, but Failed. A value of several records, or a huge one, is built
// under a name of its own, which expires by itself should we not come back, and renamed in
// the end.
func (c *cache) Load(ctx context.Context, batches iter.Seq2[[]backends.Record, error], o backends.LoadOptions) iter.Seq2[backends.Result, error] {
	return func(yield func(backends.Result, error) bool) {
		own, err := c.owners(ctx)
		if err != nil {
			yield(backends.Result{}, err)
			return
		}
		l := &loading{Shipping: backends.Shipping{Asked: ctx, Tell: yield}, c: c, owners: own, replace: o.Replace, builds: make(map[string]*build), dead: make(map[*node]error), lanes: make(map[*node]*lane)}
		inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
		l.ctx = inner
		stop := context.AfterFunc(ctx, func() {
			if pausing(inner, grace) {
				cancel()
			}
		})
		whole := l.Run(batches, l.take, l.unfinished)
		stop()
		l.cleanUp()
		if !whole {
			cancel() // nobody waits for what is under way
		}
		for _, n := range l.lanes {
			n.close()
		}
		cancel()
	}
}

// A loading is one Load under way.
type loading struct {
	backends.Shipping
	c       *cache
	ctx     context.Context // ends what is under way, a moment after Asked
	owners  *owners
	replace bool
	builds  map[string]*build // values of which some parts have come, by key
	lanes   map[*node]*lane

	flagged bool // client flags of memcached were met

	moved  atomic.Bool // some slot is another node's than owners say
	looked time.Time   // when owners were asked for

	mu   sync.Mutex
	dead map[*node]error // why a node takes no more
}

// lookAgain asks who owns the slots, once a second at most, when nothing is under way:
// commands about one key stay in their order.
func (l *loading) lookAgain() bool {
	if time.Since(l.looked) < time.Second {
		return true
	}
	if !l.Drain() {
		return false
	}
	l.looked = time.Now()
	own, err := l.c.owners(l.ctx)
	if err != nil {
		return true
	}
	l.owners = own
	lost := slices.ContainsFunc(own.shards, func(s shard) bool { return l.deadNode(s.master) != nil })
	l.moved.Store(lost) // until a replica takes its place
	return true
}

// take takes a batch on.
func (l *loading) take(s *backends.Shipment, batch []backends.Record) bool {
	if l.moved.Load() && !l.lookAgain() {
		return false
	}
	for i := range batch {
		l.record(s, &batch[i])
	}
	for _, n := range l.lanes {
		n.hand()
	}
	return true
}

// record takes a record on: it has an outcome at once, or a lane brings it.
func (l *loading) record(s *backends.Shipment, r *backends.Record) {
	if r.Part > 0 || r.More {
		if o := l.build(r); o.Did != "" {
			*s.Outcome(r.Key) = o
		}
		return
	}
	o := s.Outcome(r.Key)
	switch {
	case over(r):
		o.Did = backends.Ended
		return
	case r.Form == backends.FormMemcached && r.Flags != 0 && !l.flagged:
		l.flagged = true
		l.Say(&backends.Notice{Shard: l.c.name, What: "client flags of memcached are lost", Err: errors.New("no value of Redis has any: those that were compressed or serialised by a client come as they are")})
	case collection(r.Form) && int64(len(r.Value)) > l.c.whole.huge:
		*o = l.buildWhole(r)
		return
	}
	n := l.lane(l.owners.of(r.Key))
	if err := n.put(s, r, o); err != nil {
		o.Did, o.Err = backends.Failed, err
	}
}

// lane is that of a node.
func (l *loading) lane(to *node) *lane {
	n, ok := l.lanes[to]
	if !ok {
		n = newLane(l, to)
		l.lanes[to] = n
	}
	return n
}

// over tells whether the record's time has passed. RESTORE with REPLACE would delete the
// key instead.
func over(r *backends.Record) bool {
	return !r.Expires.IsZero() && !r.Expires.After(time.Now())
}

// lost takes note that a node takes no more.
func (l *loading) lost(n *node, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead[n] == nil {
		l.dead[n] = err
		l.moved.Store(true)
		if l.c.topology == cluster {
			err = &backends.ShardError{Shard: n.addr, Err: err}
		}
		l.Say(err)
	}
}

func (l *loading) deadNode(n *node) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead[n]
}

// hopeless tells whether the server would answer the same to any record.
func hopeless(answer error) bool {
	for _, sign := range []string{"OOM ", "READONLY", "MISCONF", "NOREPLICAS", "LOADING", "MASTERDOWN", "CLUSTERDOWN"} {
		if strings.HasPrefix(answer.Error(), sign) {
			return true
		}
	}
	return false
}

// loadError says what is behind the server's words.
func loadError(n *node, answer error) error {
	if strings.Contains(answer.Error(), "payload version or checksum are wrong") {
		return &opError{addr: n.addr, err: errors.New("the server does not take this value's format: it was backed up from a newer version, or another kind, of server")}
	}
	return &opError{addr: n.addr, kind: kindOf(answer), err: answer}
}

var _ backends.Loader = (*cache)(nil)

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

// Bounds of what is under way in one Load.
const (
	loadBytes   = 4 << 20 // of commands to one node that are not answered; one may be bigger by itself
	loadBatches = 64      // of which the result has not been told
)

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
		l := &loading{c: c, owners: own, asked: ctx, replace: o.Replace, builds: make(map[string]*build), dead: make(map[*node]error), lanes: make(map[*node]*lane)}
		inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
		l.ctx = inner
		stop := context.AfterFunc(ctx, func() {
			if pausing(inner, grace) {
				cancel()
			}
		})
		whole := l.run(yield, batches)
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
	c       *cache
	asked   context.Context // its end forbids to send
	ctx     context.Context // and a moment later ends what is under way
	owners  *owners
	replace bool
	builds  map[string]*build // values of which some parts have come, by key
	lanes   map[*node]*lane
	pending []*shipment // in the order of their batches; the results have not been told

	flagged bool // client flags of memcached were met
	told    bool

	moved  atomic.Bool // some slot is another node's than owners say
	looked time.Time   // when owners were asked for

	mu     sync.Mutex
	dead   map[*node]error // why a node takes no more
	untold []*node
}

// A shipment is a batch on its way. Its outcomes are written by lanes, each its own.
type shipment struct {
	outcomes []backends.Outcome
	open     atomic.Int32 // outcomes that are to come, and 1 while it is being sent
	over     chan struct{}
}

// settled takes note of n outcomes.
func (s *shipment) settled(n int) {
	if s.open.Add(int32(-n)) == 0 {
		close(s.over)
	}
}

// run tells whether everything that was taken on is settled.
func (l *loading) run(yield func(backends.Result, error) bool, batches iter.Seq2[[]backends.Record, error]) (whole bool) {
	for batch, err := range batches {
		if err == nil && l.asked.Err() != nil {
			err = context.Cause(l.asked)
		}
		if err != nil {
			if !l.settle(yield, 0) {
				return false
			}
			if yield(backends.Result{}, err) && !backends.Ends(err) {
				continue
			}
			return true
		}
		if l.moved.Load() && !l.lookAgain(yield) {
			return false
		}
		l.send(batch)
		if !l.settle(yield, loadBatches) {
			return false
		}
	}
	if !l.settle(yield, 0) {
		return false
	}
	if r := l.unfinished(); len(r.Outcomes) > 0 && !yield(r, nil) {
		return true
	}
	if l.asked.Err() != nil {
		yield(backends.Result{}, context.Cause(l.asked))
	}
	return true
}

// lookAgain asks who owns the slots, once a second at most, when nothing is under way:
// commands about one key stay in their order.
func (l *loading) lookAgain(yield func(backends.Result, error) bool) bool {
	if time.Since(l.looked) < time.Second {
		return true
	}
	if !l.settle(yield, 0) {
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

// send takes a batch on.
func (l *loading) send(batch []backends.Record) {
	s := &shipment{over: make(chan struct{}), outcomes: make([]backends.Outcome, 0, len(batch))}
	s.open.Store(1)
	for i := range batch {
		l.record(s, &batch[i])
	}
	for _, n := range l.lanes {
		n.hand()
	}
	s.settled(1)
	l.pending = append(l.pending, s)
}

// record takes a record on: it has an outcome at once, or a lane brings it.
func (l *loading) record(s *shipment, r *backends.Record) {
	if r.Part > 0 || r.More {
		if o := l.build(r); o.Did != "" {
			s.outcomes = append(s.outcomes, o)
		}
		return
	}
	s.outcomes = append(s.outcomes, backends.Outcome{Key: r.Key})
	o := &s.outcomes[len(s.outcomes)-1]
	switch {
	case over(r):
		o.Did = backends.Ended
		return
	case r.Form == backends.FormMemcached && r.Flags != 0:
		l.flagged = true
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

// settle tells the results that are there, waits for those before the last left, and says
// whether the reader wants more. A node that takes no more ends the stream outside a
// cluster, behind the results of what was under way.
func (l *loading) settle(yield func(backends.Result, error) bool, left int) bool {
	for len(l.pending) > 0 {
		s := l.pending[0]
		if s.open.Load() > 0 && len(l.pending) <= left && !l.ending() {
			break
		}
		<-s.over
		l.pending[0], l.pending = nil, l.pending[1:]
		if !yield(backends.Result{Outcomes: s.outcomes}, nil) || !l.tell(yield, len(l.pending) == 0) {
			return false
		}
	}
	return l.tell(yield, len(l.pending) == 0)
}

// ending tells whether a lost node ends the stream.
func (l *loading) ending() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.untold) > 0 && l.c.topology != cluster && l.asked.Err() == nil
}

// lost takes note that a node takes no more.
func (l *loading) lost(n *node, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead[n] == nil {
		l.dead[n] = err
		l.moved.Store(true)
		l.untold = append(l.untold, n)
	}
}

func (l *loading) deadNode(n *node) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead[n]
}

// tell passes on which nodes take no more, and whether the reader wants to go on. That of
// the only one comes last.
func (l *loading) tell(yield func(backends.Result, error) bool, last bool) bool {
	if l.asked.Err() != nil {
		return true
	}
	if l.flagged && !l.told {
		l.told = true
		notice := &backends.Notice{Shard: l.c.name, What: "client flags of memcached are lost", Err: errors.New("no value of Redis has any: those that were compressed or serialised by a client come as they are")}
		if !yield(backends.Result{}, notice) {
			return false
		}
	}
	l.mu.Lock()
	untold := l.untold
	if l.c.topology == cluster || last {
		l.untold = nil
	}
	l.mu.Unlock()
	for _, n := range untold {
		err := l.deadNode(n)
		if l.c.topology != cluster {
			if last {
				yield(backends.Result{}, err)
			}
			return !last
		}
		if !yield(backends.Result{}, &backends.ShardError{Shard: n.addr, Err: err}) {
			return false
		}
	}
	return true
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

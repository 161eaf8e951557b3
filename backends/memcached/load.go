package memcached

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
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
		l := loading{cache: c, asked: asked, ctx: inner, replace: o.Replace, nodes: make(map[string]*node), lanes: make(map[*node]*loadLane), parts: make(map[string]bool)}
		for _, n := range c.nodes {
			l.nodes[n.addr] = n
		}
		if whole := l.run(yield, batches); !whole {
			cancel() // nobody waits for what is under way
		}
		for _, n := range l.lanes {
			n.close()
		}
	}
}

// A loading is one Load under way.
type loading struct {
	*cache
	asked   context.Context // its end forbids to send
	ctx     context.Context // and a moment later ends what is under way
	replace bool
	nodes   map[string]*node
	lanes   map[*node]*loadLane
	pending []*shipment     // in the order of their batches; the results have not been told
	parts   map[string]bool // keys of which a part has come, and not the last
	strange bool            // records of nodes that are not there were met
	told    bool

	mu     sync.Mutex
	untold []*loadLane // whose nodes take no more
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

// settle tells the results that are there, waits for those before the last left, and says
// whether the reader wants more. The loss of the only node ends the stream, behind the
// results of what was under way.
func (l *loading) settle(yield func(backends.Result, error) bool, left int) bool {
	for len(l.pending) > 0 {
		s := l.pending[0]
		if s.open.Load() > 0 && len(l.pending) <= left && !l.ending() {
			break
		}
		<-s.over
		l.pending[0], l.pending = nil, l.pending[1:]
		if !yield(backends.Result{Outcomes: s.outcomes}, nil) || !l.tell(yield) {
			return false
		}
	}
	return l.tell(yield)
}

// ending tells whether a lost node ends the stream.
func (l *loading) ending() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.untold) > 0 && len(l.cache.nodes) == 1
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
func (l *loading) unfinished() (r backends.Result) {
	for _, key := range slices.Sorted(maps.Keys(l.parts)) {
		r.Outcomes = append(r.Outcomes, backends.Outcome{Key: key, Did: backends.Failed, Err: errPart})
	}
	return r
}

// send takes a batch on.
func (l *loading) send(batch []backends.Record) {
	s := &shipment{over: make(chan struct{}), outcomes: make([]backends.Outcome, 0, len(batch))}
	s.open.Store(1)
	for i := range batch {
		r := &batch[i]
		if r.More {
			l.parts[r.Key] = true
			continue
		}
		delete(l.parts, r.Key)
		s.outcomes = append(s.outcomes, backends.Outcome{Key: r.Key})
		o := &s.outcomes[len(s.outcomes)-1]
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
	s.settled(1)
	l.pending = append(l.pending, s)
}

// lane is that of the node where a record belongs.
func (l *loading) lane(r *backends.Record) *loadLane {
	to := l.nodes[r.Shard]
	if to == nil {
		to, l.strange = l.home(r.Key), l.strange || len(l.cache.nodes) > 1 && r.Shard != ""
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

// lost takes note that a node takes no more.
func (l *loading) lost(n *loadLane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.untold = append(l.untold, n)
}

// tell passes on what there is to say beside the outcomes.
func (l *loading) tell(yield func(backends.Result, error) bool) bool {
	if l.strange && !l.told {
		l.told = true
		notice := &backends.Notice{Shard: l.name, What: "some keys go to another node than they came from", Err: errors.New("that node is no part of the cache; the application may look elsewhere")}
		if !yield(backends.Result{}, notice) {
			return false
		}
	}
	if l.asked.Err() != nil || len(l.cache.nodes) == 1 && len(l.pending) > 0 {
		return true
	}
	l.mu.Lock()
	untold := l.untold
	l.untold = nil
	l.mu.Unlock()
	for _, n := range untold {
		err := l.cache.lost(l.ctx, n.node, n.why())
		if !yield(backends.Result{}, err) || backends.Ends(err) {
			return false
		}
	}
	return true
}

var _ backends.Loader = (*cache)(nil)

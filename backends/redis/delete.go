package redis

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// The commands that remove keys. UNLINK frees collections of more than 64
// elements in a thread of its own (Redis 4.0; lazyfree.c).
const (
	unlink = "unlink"
	del    = "del"
)

// Bounds of one removing command. The server does nothing else meanwhile: 64 keys
// take it a tenth of a millisecond. (bench: more keys a command save nothing.)
const (
	groupKeys  = 64
	groupBytes = 64 << 10
)

// inFlight is how many pages are sent before the answers to the first are read:
// the server removes one while the source waits for the next.
const inFlight = 1

// Delete sends every page's keys to the nodes that own them. A node is talked to
// over one connection, which outlives ctx for a moment, so that what was sent is
// also counted.
func (c *cache) Delete(ctx context.Context, pages iter.Seq2[backends.Page, error]) iter.Seq2[backends.Result, error] {
	return c.carryOut(ctx, &unlinking, pages)
}

// carryOut does with the keys of pages what the task says.
func (c *cache) carryOut(ctx context.Context, what *task, pages iter.Seq2[backends.Page, error]) iter.Seq2[backends.Result, error] {
	return func(yield func(backends.Result, error) bool) {
		d, err := c.newDeletion(ctx, what)
		if err != nil {
			yield(backends.Result{}, err)
			return
		}
		defer d.close()
		for page, err := range pages {
			if err != nil {
				if d.settle(yield, 0) && yield(backends.Result{}, err) && !backends.Ends(err) {
					continue
				}
				return
			}
			d.send(page)
			if !d.settle(yield, inFlight) {
				return
			}
		}
		d.settle(yield, 0)
	}
}

// A deletion is the state of one Delete, or of another task.
type deletion struct {
	c       *cache
	task    *task
	ctx     context.Context
	end     context.CancelFunc
	stop    func() bool
	shards  []shard
	bySlot  []*remover // in a cluster
	nodes   map[*node]*remover
	pending []*work // sent, in order
}

// grace is how long after its context has ended a deletion waits for answers.
const grace = 2 * time.Second

func (c *cache) newDeletion(ctx context.Context, what *task) (*deletion, error) {
	shards, err := c.shards(ctx)
	if err != nil {
		return nil, err
	}
	d := &deletion{c: c, task: what, shards: shards, nodes: make(map[*node]*remover)}
	d.ctx, d.end = context.WithCancel(context.WithoutCancel(ctx))
	d.stop = context.AfterFunc(ctx, func() {
		select {
		case <-time.After(grace):
			d.end()
		case <-d.ctx.Done():
		}
	})
	if c.topology == cluster {
		d.bySlot = make([]*remover, slots)
		for _, s := range shards {
			for _, r := range s.slots {
				for slot := max(r.from, 0); slot <= min(r.to, slots-1); slot++ {
					d.bySlot[slot] = d.remover(s.master)
				}
			}
		}
	}
	return d, nil
}

func (d *deletion) close() {
	d.stop()
	for _, r := range d.nodes {
		if r.wire != nil {
			r.wire.close()
		}
	}
	d.end()
}

func (d *deletion) remover(n *node) *remover {
	r, ok := d.nodes[n]
	if !ok {
		r = &remover{c: d.c, node: n, task: d.task, verb: d.task.verb}
		d.nodes[n] = r
	}
	return r
}

// A work is a page on its way: its result, and the parts that each node has.
type work struct {
	result backends.Result
	guards []string        // by entry; nil where none has one
	ttls   []time.Duration // by entry, where the task is about them
	parts  []*part
}

// send writes a page to the nodes.
func (d *deletion) send(page backends.Page) {
	w := &work{result: backends.Result{Shard: page.Shard, After: page.After, Last: page.Last, Done: page.Done, Outcomes: make([]backends.Outcome, len(page.Entries))}}
	parts := make(map[*remover]*part)
	for i := range page.Entries {
		e := &page.Entries[i]
		w.result.Outcomes[i].Key = e.Key
		if e.Have.Has(backends.FactGuard) {
			if w.guards == nil {
				w.guards = make([]string, len(page.Entries))
			}
			w.guards[i] = e.Guard
		}
		if d.task.check != nil {
			if w.ttls = append(w.ttls, e.TTL); d.refuse(&w.result.Outcomes[i], e) {
				continue
			}
		}
		r := d.owner(e.Key)
		p := parts[r]
		if p == nil {
			p = &part{work: w, remover: r}
			parts[r] = p
			w.parts = append(w.parts, p)
		}
		p.at = append(p.at, i)
	}
	for _, p := range w.parts {
		p.remover.send(d.ctx, p)
	}
	d.pending = append(d.pending, w)
}

// refuse fails an entry that the task cannot be carried out on.
func (d *deletion) refuse(o *backends.Outcome, e *backends.Entry) bool {
	if err := d.task.check(e); err != nil {
		o.Did, o.Err = backends.Failed, err
		return true
	}
	return false
}

func (d *deletion) owner(key string) *remover {
	if d.bySlot != nil {
		if r := d.bySlot[slotOf(key)]; r != nil {
			return r
		}
	}
	return d.remover(d.shards[0].master)
}

// settle reads the answers to all but the last left pages, and tells whether the
// reader wants more. A node that takes no more ends the stream outside a cluster;
// what became of the pages that were under way comes before that.
func (d *deletion) settle(yield func(backends.Result, error) bool, left int) bool {
	var end error
	for len(d.pending) > left || end != nil && len(d.pending) > 0 {
		w := d.pending[0]
		d.pending = d.pending[1:]
		for _, p := range w.parts {
			p.remover.settle(d.ctx, p)
		}
		if !yield(w.result, nil) {
			return false
		}
		for _, p := range w.parts {
			err, more := d.tell(yield, p.remover)
			if !more {
				return false
			}
			if err != nil {
				end = err
			}
		}
	}
	if end != nil {
		yield(backends.Result{}, end)
	}
	return end == nil
}

// tell passes on what a remover has to say beside its outcomes, once each. It
// returns what ends the stream, and whether the reader wants more.
func (d *deletion) tell(yield func(backends.Result, error) bool, r *remover) (end error, more bool) {
	if n := r.notice; n != nil {
		if r.notice = nil; !yield(backends.Result{}, n) {
			return nil, false
		}
	}
	if r.dead == nil || r.told {
		return nil, true
	}
	r.told = true
	err := fail(d.ctx, r.node.addr, r.dead)
	if d.c.topology == cluster {
		return nil, yield(backends.Result{}, &backends.ShardError{Shard: r.node.addr, Err: err})
	}
	return err, true
}

// A part is what one node has of a page. Its entries go in groups, each one
// command.
type part struct {
	work    *work
	remover *remover
	at      []int // of the page's entries, so ordered that groups are neighbours
	groups  []group
	next    int // the first group that is not answered
}

// A group is at[from:to].
type group struct{ from, to int }

// divide makes the groups: of one slot where the node is part of a cluster, and
// a guarded entry by itself.
func (p *part) divide(clustered bool) {
	outcomes, guards := p.work.result.Outcomes, p.work.guards
	slot := func(int) int { return 0 }
	if clustered {
		all := make(map[int]int, len(p.at))
		for _, i := range p.at {
			all[i] = slotOf(outcomes[i].Key)
		}
		slot = func(i int) int { return all[i] }
		slices.SortStableFunc(p.at, func(a, b int) int { return all[a] - all[b] })
	}
	bytes := 0
	for n, i := range p.at {
		g := len(p.groups) - 1
		size := len(outcomes[i].Key)
		join := n > 0 && p.remover.task.grouped && (guards == nil || guards[i] == "" && guards[p.at[n-1]] == "") && slot(i) == slot(p.at[n-1]) &&
			p.groups[g].to-p.groups[g].from < groupKeys && bytes+size <= groupBytes
		if join {
			p.groups[g].to++
			bytes += size
		} else {
			p.groups = append(p.groups, group{n, n + 1})
			bytes = size
		}
	}
}

func (p *part) guardOf(n int) string {
	if p.work.guards == nil {
		return ""
	}
	return p.work.guards[p.at[n]]
}

func (p *part) outcome(n int) *backends.Outcome { return &p.work.result.Outcomes[p.at[n]] }

// fail gives every outcome that is not known yet the error.
func (p *part) fail(err error) {
	for n := range p.at {
		if o := p.outcome(n); o.Did == "" {
			o.Did, o.Err = backends.Failed, err
		}
	}
}

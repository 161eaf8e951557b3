package memcached

import (
	"context"
	"errors"
	"iter"
	"strings"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// Delete removes the keys of each page from the node that is the page's shard.
// Where the keys know no shard, all nodes are asked for each: one that could not
// makes the key Failed, because it may still be there; else one that deleted it
// makes it Deleted, one that kept it Kept.
//
// Guards are CAS numbers. They hold for the process that told them: after a
// restart every value is another one, and a guarded key that is there is Kept.
//
// A page is sent before the answers to the one before it are read, so that the
// server works while the source does. Behind a source that is slow, as a paced
// one is, there is nothing to gain by that, and results come at once. Where the
// connection breaks, what was not answered is sent again: what the lost attempt
// deleted counts as Gone.
//
// Once ctx has ended nothing more is sent. What is left of a page that went out
// in part is Failed; a page that did not go out at all has no result.
func (c *cache) Delete(ctx context.Context, pages iter.Seq2[backends.Page, error]) iter.Seq2[backends.Result, error] {
	return c.carryOut(ctx, &deleting, pages)
}

// carryOut does with the keys of pages what the errand says.
func (c *cache) carryOut(ctx context.Context, what *errand, pages iter.Seq2[backends.Page, error]) iter.Seq2[backends.Result, error] {
	return func(yield func(backends.Result, error) bool) {
		ctx, release := c.bound(ctx)
		defer release()
		d := deletion{cache: c, errand: what, ctx: ctx, lanes: make(map[string]*lane)}
		for _, n := range c.nodes {
			l := &lane{node: n, run: &d}
			d.order, d.lanes[n.addr] = append(d.order, l), l
		}
		d.yield = func(r backends.Result, err error) bool {
			d.stopped = d.stopped || !yield(r, err)
			return !d.stopped
		}
		defer d.close()
		err := d.run(pages)
		if d.settle(0) {
			if err == nil && ctx.Err() != nil { // a source that this silenced must not look like the end
				err = context.Cause(ctx)
			}
			if err != nil {
				d.yield(backends.Result{}, err)
			}
		}
	}
}

// A deletion is one Delete under way, or another errand. The source and the reader are its caller's
// code, and run in the caller's goroutine in turn, never side by side.
type deletion struct {
	*cache
	*errand
	ctx     context.Context // its end forbids to send; answers are still read
	until   time.Time       // and by then they must be in
	order   []*lane
	lanes   map[string]*lane
	sheets  []*sheet // whose results are not handed on yet, in the order of their pages
	yield   func(backends.Result, error) bool
	stopped bool // the reader has had enough
}

// slowSource tells a source that is paced from one that is not, by the time that
// its last page took. A page's answers take about a tenth of this.
const slowSource = 10 * time.Millisecond

// pagesAhead is how many pages a node a fast source may be ahead of its results;
// the window bounds how many commands that are. A walk that few keys match has
// small pages, and to wait for each alone is what takes the time.
const pagesAhead = 16

// run takes the pages one by one. Its error ends the stream, behind the results.
func (d *deletion) run(pages iter.Seq2[backends.Page, error]) error {
	var asked time.Time
	for page, err := range pages {
		slow := time.Since(asked) > slowSource
		switch {
		case backends.Ends(err):
			return err
		case d.ctx.Err() != nil && err == nil:
			return context.Cause(d.ctx)
		case err != nil:
			if !d.settle(0) || !d.yield(backends.Result{}, err) {
				return nil
			}
		default:
			if err := d.take(page); err != nil {
				return err
			}
			ahead := pagesAhead * len(d.order)
			if slow {
				ahead = 0
			}
			if !d.settle(ahead) {
				return nil
			}
		}
		asked = time.Now()
	}
	return nil
}

// take sends a page to its nodes. Its error says that nothing was sent, and
// nothing more must be.
func (d *deletion) take(page backends.Page) error {
	s := newSheet(d.errand, page)
	lanes := d.order
	if page.Shard != "" {
		l := d.lanes[page.Shard]
		if l == nil {
			l = &lane{node: &node{addr: page.Shard, config: d.config}, run: d, lost: errors.New("no node of this cache")}
			d.lanes[page.Shard] = l
		}
		lanes = []*lane{l}
	}
	if s.live == 0 {
		lanes = nil
	}
	for _, l := range lanes {
		if err := l.ready(s); err != nil {
			return err
		}
	}
	if d.ctx.Err() != nil {
		return context.Cause(d.ctx)
	}
	for _, l := range lanes {
		p := &part{sheet: s, lane: l, did: make([]verdict, len(page.Entries)), open: s.live}
		s.parts = append(s.parts, p)
	}
	d.sheets = append(d.sheets, s)
	for _, p := range s.parts {
		p.lane.send(p)
	}
	return nil
}

// settle hands results on until no more than ahead pages lack theirs, and tells
// whether the reader wants more. A node that was lost is told of behind the
// first results that suffer from it.
func (d *deletion) settle(ahead int) bool {
	for !d.stopped && len(d.sheets) > 0 {
		s := d.sheets[0]
		if len(d.sheets) <= ahead && !s.settled() {
			break
		}
		for _, p := range s.parts {
			for p.open > 0 {
				p.lane.answer()
			}
		}
		d.sheets = d.sheets[1:]
		if !d.yield(s.result(), nil) {
			return false
		}
		for _, p := range s.parts {
			if !d.tell(p.lane) {
				return false
			}
		}
	}
	return !d.stopped
}

// tell passes on that a node takes no more. Without other nodes that is the end.
func (d *deletion) tell(l *lane) bool {
	if l.lost == nil || l.told || d.ctx.Err() != nil {
		return true
	}
	l.told = true
	err := d.cache.lost(d.ctx, l.node, l.lost)
	if !backends.Ends(err) {
		return d.yield(backends.Result{}, err)
	}
	if d.settle(0) {
		d.yield(backends.Result{}, err)
	}
	d.stopped = true
	return false
}

// deadline is by when answers must come: the full timeout each time, but no
// more than one once ctx has ended.
func (d *deletion) deadline() time.Time {
	at := time.Now().Add(d.timeout)
	switch {
	case d.ctx.Err() == nil:
		return at
	case d.until.IsZero():
		d.until = at
	}
	return d.until
}

func (d *deletion) close() {
	for _, l := range d.lanes {
		l.hangUp()
	}
}

// A sheet is a page on its way.
type sheet struct {
	*errand
	page    backends.Result
	guards  []guard         // by entry; nil: none has one
	ttls    []time.Duration // by entry, where the errand is about them
	refused []error         // by entry, why it cannot be sent; nil: all can
	live    int             // entries that can
	parts   []*part
}

// A part is what one node has to do for a sheet.
type part struct {
	*sheet
	lane *lane
	did  []verdict     // by entry
	errs map[int]error // of those that failed
	open int           // entries without a verdict
}

// newSheet copies the keys: the page is ours only until the next is asked for.
// What no server would take for a key is refused here, before a byte is written.
func newSheet(what *errand, page backends.Page) *sheet {
	n := len(page.Entries)
	s := &sheet{errand: what, live: n, page: backends.Result{Shard: strings.Clone(page.Shard), After: page.After, Last: page.Last, Done: page.Done}}
	if n == 0 {
		return s
	}
	size := 0
	for i := range page.Entries {
		size += len(page.Entries[i].Key)
	}
	var all strings.Builder
	all.Grow(size)
	s.page.Outcomes = make([]backends.Outcome, n)
	for i := range page.Entries {
		e := &page.Entries[i]
		from := all.Len()
		all.WriteString(e.Key)
		s.page.Outcomes[i].Key = all.String()[from:]
		err := addressable(e.Key)
		if what.expires {
			if s.ttls = append(s.ttls, e.TTL); err == nil {
				err = checkTTL(e.TTL)
			}
		} else if err == nil && e.Have.Has(backends.FactGuard) {
			if s.guards == nil {
				s.guards = make([]guard, n)
			}
			s.guards[i], err = parseGuard(e.Guard)
		}
		if err != nil {
			if s.refused == nil {
				s.refused = make([]error, n)
			}
			s.refused[i] = err
			s.live--
		}
	}
	return s
}

func (s *sheet) settled() bool {
	for _, p := range s.parts {
		if p.open > 0 {
			return false
		}
	}
	return true
}

// set is the one place where an entry of a part gets its verdict.
func (p *part) set(i int, did verdict, err error) {
	p.did[i] = did
	p.open--
	if err != nil {
		if p.errs == nil {
			p.errs = make(map[int]error)
		}
		p.errs[i] = err
	}
}

// result puts together what the nodes did.
func (s *sheet) result() backends.Result {
	for i := range s.page.Outcomes {
		o := &s.page.Outcomes[i]
		if s.refused != nil && s.refused[i] != nil {
			o.Did, o.Err = backends.Failed, s.refused[i]
			continue
		}
		var most verdict
		for _, p := range s.parts {
			if p.did[i] > most {
				most, o.Err = p.did[i], p.errs[i]
			}
		}
		if o.Did = verbs[most]; most == done {
			o.Did = s.did
		}
	}
	return s.page
}

// A verdict is a Verb in a byte. Of what several nodes did with a key, the
// greatest counts.
type verdict uint8

const (
	unknown verdict = iota
	gone
	kept
	done // what the errand says
	failed
)

var verbs = [...]backends.Verb{gone: backends.Gone, kept: backends.Kept, failed: backends.Failed}

var _ backends.Deleter = (*cache)(nil)

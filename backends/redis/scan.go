package redis

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

// Scan walks all masters in parallel (or a replica of each where the target
// prefers that). Each shard is walked over one connection: a cursor must not
// reach another server process, where it would mean other keys.
func (c *cache) Scan(ctx context.Context, q backends.Query) iter.Seq2[backends.Page, error] {
	return func(yield func(backends.Page, error) bool) {
		shards, err := c.shards(ctx)
		if err != nil {
			yield(backends.Page{}, err)
			return
		}
		q.From = maps.Clone(q.From) // the caller may keep its own up to date as pages come
		var walks []func(context.Context) iter.Seq2[backends.Page, error]
		for _, s := range shards {
			walks = append(walks, func(ctx context.Context) iter.Seq2[backends.Page, error] {
				return c.walk(ctx, s, q)
			})
		}
		pages := walks[0](ctx) // one walk has the server's reply under way as it is, and needs no goroutine
		if len(walks) > 1 {
			pages = backends.Parallel(ctx, walks...)
		}
		for page, err := range pages {
			if !yield(page, err) {
				return
			}
		}
	}
}

// walk brings one shard's pages. In a cluster its end by an error is the end of
// this shard only.
func (c *cache) walk(ctx context.Context, s shard, q backends.Query) iter.Seq2[backends.Page, error] {
	return func(yield func(backends.Page, error) bool) {
		w := walker{c: c, node: c.reader(ctx, s), slots: s.slots, q: q}
		err := fail(ctx, w.node.addr, w.run(ctx, yield))
		if err == nil || w.stopped {
			return
		}
		if c.topology == cluster && ctx.Err() == nil {
			err = &backends.ShardError{Shard: w.node.addr, Err: err}
		}
		yield(backends.Page{}, err)
	}
}

// A walker is the state of one shard's walk. The next SCAN is always on its way
// while the reader has a page, so that the server works meanwhile.
type walker struct {
	c       *cache
	node    *node
	slots   []slotRange
	q       backends.Query
	profile profile
	probe   *prober
	wire    *wire
	typed   bool // the type is compared here, because the server's own filter is missing or leaves marks
	stopped bool // the reader has had enough

	print   string // tells this process and its slots from others; "" where that is not known
	cursor  uint64 // of the next SCAN
	over    bool   // the mark to go on from was the last one
	asked   bool   // that SCAN is on its way
	page    keyPage
	entries [2][]backends.Entry // the reader has one while the other is filled
}

func (w *walker) run(ctx context.Context, yield func(backends.Page, error) bool) error {
	if err := w.start(ctx); err != nil {
		return err
	}
	defer func() {
		if w.wire != nil {
			w.wire.close()
		}
	}()
	if w.isPartOfCluster() && !w.pass(yield, w.alone()) {
		return nil
	}
	if w.profile.silent != nil && !w.pass(yield, mute(w.node, w.profile.silent)) {
		return nil
	}
	// The reader learns of every shard at once, so that it knows the whole.
	if !w.give(yield, w.pageAt()) || w.over {
		return nil
	}
	for turn := 0; ; turn = 1 - turn {
		before := w.cursor
		if err := w.retry(ctx, w.receive); err != nil {
			return err
		}
		if w.cursor == before && before != 0 {
			return protocolError("the cursor that SCAN was given")
		}
		w.over = w.cursor == 0
		page := w.pageAt()
		entries := w.entries[turn][:0]
		err := w.retry(ctx, func(ctx context.Context) (err error) {
			entries, err = w.facts(ctx, entries[:0])
			return err
		})
		if err != nil {
			return err
		}
		w.entries[turn] = entries
		page.Entries = w.keep(entries)
		if !w.pass(yield, w.probe.notices()...) || !w.give(yield, page) || w.over {
			return nil
		}
	}
}

// start learns what the server is and where the walk begins.
func (w *walker) start(ctx context.Context) (err error) {
	if w.profile, err = w.node.profile(ctx, w.c.db, true); err != nil {
		return err
	}
	want := w.q.Want
	if w.q.Type != "" && !w.profile.silentTypeFilter() {
		w.typed = true
		want |= backends.FactType
	}
	w.probe = w.c.newProber(w.node.addr, w.profile, want)
	if w.q.Type != "" && !w.typed {
		w.probe.want &^= backends.FactType // the filter has told
	}
	w.print = w.profile.footprint(w.slots)
	if from := w.q.From[w.node.addr]; from != "" {
		if err := w.goOn(from); err != nil || w.over {
			return err
		}
	}
	w.wire, err = w.c.dialWire(ctx, w.node)
	return err
}

// silentTypeFilter tells whether SCAN ... TYPE leaves the hit counters alone, as
// Valkey 8.1 does. Redis up to 8.0 looks up every key that the pattern matched,
// a number that nobody is told: asking for the type ourselves costs a command a
// key and can be owned up to.
func (p profile) silentTypeFilter() bool {
	return p.valkey && p.version.atLeast(8, 1)
}

// isPartOfCluster tells whether this is one node of a cluster that the target
// names as if it were alone.
func (w *walker) isPartOfCluster() bool {
	return w.profile.cluster && w.c.topology == single && w.c.only == nil
}

func (w *walker) alone() *backends.Notice {
	return &backends.Notice{Shard: w.node.addr, What: "only this node's keys are seen",
		Err: fmt.Errorf("it is one node of a cluster; for all of them use redis+cluster://%s", w.node.addr)}
}

// mute is the notice that a node tells nothing of itself.
func mute(n *node, why error) *backends.Notice {
	return &backends.Notice{Shard: n.addr, What: "the server's version and policy are unknown", Err: errors.New(words(why))}
}

// pass hands notices to the reader and tells whether it wants more.
func (w *walker) pass(yield func(backends.Page, error) bool, notices ...*backends.Notice) bool {
	for _, n := range notices {
		if !yield(backends.Page{}, n) {
			w.stopped = true
			return false
		}
	}
	return true
}

func (w *walker) give(yield func(backends.Page, error) bool, page backends.Page) bool {
	w.stopped = !yield(page, nil)
	return !w.stopped
}

// ask puts the SCAN for the next page into the next write, unless this was the last.
func (w *walker) ask() {
	if w.asked = w.cursor != 0; w.asked {
		w.scan()
	}
}

func (w *walker) scan() {
	count := w.q.Count
	if count <= 0 {
		count = backends.DefaultCount
	}
	args := append(make([]string, 0, 8), "scan", strconv.FormatUint(w.cursor, 10), "count", strconv.Itoa(count))
	if w.q.Match != "" {
		args = append(args, "match", w.q.Match)
	}
	if w.q.Type != "" && !w.typed {
		args = append(args, "type", w.q.Type)
	}
	w.wire.command(args...)
}

// receive reads the page that is on its way, asking for it if none is.
func (w *walker) receive(ctx context.Context) error {
	if !w.asked {
		w.scan()
		if err := w.wire.flush(ctx); err != nil {
			return err
		}
	}
	w.asked = false
	w.wire.extend(ctx) // the reader may have taken its time
	if err := w.wire.scanReply(&w.page); err != nil {
		return err
	}
	w.cursor = w.page.cursor
	if w.q.Keep != nil {
		w.page.keys = slices.DeleteFunc(w.page.keys, func(key string) bool { return !w.q.Keep(key) })
	}
	return nil
}

// facts turns the page's keys into entries, with the facts that are wanted. It
// sends the next SCAN along, so that both share a round trip.
func (w *walker) facts(ctx context.Context, entries []backends.Entry) ([]backends.Entry, error) {
	asked, late := w.probe.asks(), w.probe.late()
	for _, key := range w.page.keys {
		for i := range asked {
			w.wire.command(append(append(make([]string, 0, 3), asked[i].command...), key)...)
		}
	}
	if !late {
		w.ask()
	}
	if err := w.wire.flush(ctx); err != nil {
		return entries, err
	}
	known := backends.Entry{}
	if w.q.Type != "" && !w.typed {
		known = backends.Entry{Type: w.q.Type, Have: backends.FactType}
	}
	next := w.wire.scalar
	for _, key := range w.page.keys {
		entries = append(entries, known)
		e := &entries[len(entries)-1]
		if e.Key = key; len(asked) == 0 {
			continue
		}
		there, err := w.probe.answer(asked, e, next)
		if err != nil {
			return entries, err
		}
		if !there {
			entries = entries[:len(entries)-1]
		}
	}
	if !late {
		return entries, nil
	}
	return w.lateFacts(ctx, entries)
}

// lateFacts asks, in a round trip of its own, what depends on the type: the
// number of elements and the guard. The next SCAN goes with it.
func (w *walker) lateFacts(ctx context.Context, entries []backends.Entry) ([]backends.Entry, error) {
	for i := range entries {
		if command, ok := w.probe.lengthOf(&entries[i]); ok {
			w.wire.command(command, entries[i].Key)
		}
		if command, _ := w.probe.guardOf(&entries[i]); command != nil {
			w.wire.command(command...)
		}
	}
	w.ask()
	if err := w.wire.flush(ctx); err != nil {
		return entries, err
	}
	// What was asked depends on what was wanted then: an answer may end that.
	then, there := *w.probe, entries[:0]
	for i := range entries {
		e := entries[i]
		if _, ok := then.lengthOf(&e); ok {
			r, err := w.wire.scalar()
			if err != nil {
				return there, err
			}
			w.probe.length(&e, r)
		}
		command, kind := then.guardOf(&e)
		if command != nil {
			r, err := w.wire.scalar()
			if err != nil {
				return there, err
			}
			if !w.probe.guardAnswer(&e, kind, r) {
				continue
			}
		}
		there = append(there, e)
	}
	return there, nil
}

// keep drops entries of other types where that is for us to do.
func (w *walker) keep(entries []backends.Entry) []backends.Entry {
	if !w.typed {
		return entries
	}
	kept := entries[:0]
	for _, e := range entries {
		if e.Type == w.q.Type {
			kept = append(kept, e)
		}
	}
	return kept
}

// walkRetries is how often a broken connection is replaced before the walk
// gives up.
const walkRetries = 3

// retry runs a step, and runs it again over a new connection where the old one
// broke and the same server process is still there: another would not know the
// cursor.
func (w *walker) retry(ctx context.Context, step func(context.Context) error) error {
	for attempt := 0; ; attempt++ {
		err := step(ctx)
		if !broken(err) || ctx.Err() != nil || attempt == walkRetries || errors.Is(err, backends.ErrUnreachable) || w.profile.runID == "" {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond << attempt):
		}
		same, lost := w.node.sameProcess(ctx, w.c.db, w.profile)
		if lost != nil {
			return err
		}
		if !same {
			return fmt.Errorf("%w: %w", backends.ErrUnreachable, errRestarted)
		}
		fresh, lost := w.c.dialWire(ctx, w.node)
		if lost != nil {
			return lost
		}
		w.wire.close()
		w.wire, w.asked = fresh, false
	}
}

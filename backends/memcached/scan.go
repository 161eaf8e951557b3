package memcached

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/cachectl/cachectl/backends"
)

// Scan dumps all nodes in parallel. A node's dump cannot be resumed: its order
// changes with every key that comes and goes. So the Mark of a page stands for
// the beginning, and a walk that goes on from one brings keys again that came
// before, as it may; that of the last page stands for the end.
//
// Keys that two nodes hold come from both, on pages of their own: no client
// that knows its servers writes to two.
func (c *cache) Scan(ctx context.Context, q backends.Query) iter.Seq2[backends.Page, error] {
	return func(yield func(backends.Page, error) bool) {
		ctx, release := c.bound(ctx)
		defer release()
		var walks []func(context.Context) iter.Seq2[backends.Page, error]
		for _, n := range c.nodes {
			walks = append(walks, func(ctx context.Context) iter.Seq2[backends.Page, error] {
				return c.walk(ctx, n, q)
			})
		}
		for page, err := range backends.Parallel(ctx, walks...) {
			if err != nil && err == ctx.Err() {
				err = context.Cause(ctx)
			}
			if !yield(page, err) {
				return
			}
		}
	}
}

// The places of a walk. A Mark is "RUN:PLACE", where RUN names the process.
const (
	again = "again" // every page but the last
	end   = "end"
)

// goOn takes the walk to a mark, and tells whether that is its end. Marks of other
// processes stand for the beginning.
func (w *walker) goOn(from backends.Mark) (over bool, err error) {
	run, place, ok := strings.Cut(string(from), ":")
	if !ok || place != again && place != end {
		return false, fmt.Errorf("bad mark %q: it must come from a page", from)
	}
	return place == end && run == w.profile.run && run != "", nil
}

// walk brings one node's pages.
func (c *cache) walk(ctx context.Context, n *node, q backends.Query) iter.Seq2[backends.Page, error] {
	return func(yield func(backends.Page, error) bool) {
		w := walker{cache: c, node: n, q: q, count: q.Count}
		if w.count <= 0 {
			w.count = backends.DefaultCount
		}
		w.yield = func(p backends.Page, err error) bool {
			w.stopped = w.stopped || !yield(p, err)
			return !w.stopped
		}
		if err := w.run(ctx); err != nil && !w.stopped {
			yield(backends.Page{}, c.lost(ctx, n, err))
		}
	}
}

// A walker is the state of one node's walk.
type walker struct {
	*cache
	node    *node
	q       backends.Query
	count   int // lines a page
	yield   func(backends.Page, error) bool
	stopped bool // the reader has had enough
	profile profile
	mode    crawlMode
	dump    *dump
	passes  passes

	line    lineReader
	lines   int64
	now     int64 // the server's time
	bad     int64 // lines that made no sense
	worst   error // the first of them
	entries []backends.Entry
	scratch []byte

	unguarded bool // an item came without CAS number from a server that does not say why
	told      bool // and that was said
}

func (w *walker) run(ctx context.Context) (err error) {
	if w.profile, err = w.node.profile(ctx, true); err != nil {
		return err
	}
	over := w.q.Type != "" && w.q.Type != stringType
	if from := w.q.From[w.node.addr]; from != "" && !over {
		if over, err = w.goOn(from); err != nil {
			return err
		}
	}
	if over {
		w.give(end, 1)
		return nil
	}
	if err := w.start(ctx); err != nil {
		if refused(err) {
			err = fmt.Errorf("its keys cannot be listed: lru_crawler metadump: %w", err)
		}
		return err
	}
	defer func() { w.dump.finish(w.profile.closable()) }()
	for _, notice := range w.notices() {
		if !w.yield(backends.Page{}, notice) {
			return nil
		}
	}
	for {
		whole, err := w.read(ctx)
		if err != nil || !whole {
			return err
		}
		more, err := w.again(ctx)
		switch {
		case err != nil:
			return err
		case more:
		case w.bad > 0:
			w.give(again, 1)
			return fmt.Errorf("%d of %d lines of the dump make no sense: %w", w.bad, w.lines, w.worst)
		default:
			w.give(end, 1)
			return nil
		}
	}
}

// start begins the dump by the best way there is.
func (w *walker) start(ctx context.Context) (err error) {
	w.mode = w.profile.mode()
	w.dump, err = w.node.startDump(ctx, w.mode, w.profile, w.limits)
	if w.mode == byHash && isReply(err) && !errors.Is(err, errBusy) {
		// A fork or a proxy may have the one and not the other.
		w.mode = byLRU
		w.dump, err = w.node.startDump(ctx, w.mode, w.profile, w.limits)
	}
	if err == nil {
		w.line = lineReader{spool: w.dump.spool}
	}
	return err
}

func isReply(err error) bool {
	var reply replyError
	return errors.As(err, &reply)
}

// read turns a dump's lines into pages, and tells whether it came to its end.
// The rest of the last page is kept.
func (w *walker) read(ctx context.Context) (whole bool, err error) {
	for {
		line, err := w.line.next(ctx)
		if err != nil {
			if errors.Is(err, io.EOF) { // the spool is empty, but nobody saw END
				err = fmt.Errorf("%w: the dump has no end marker", errProtocol)
			}
			if len(w.entries) > 0 && ctx.Err() == nil {
				w.give(again, w.share())
			}
			return false, err
		}
		if isEnd(line) {
			return true, nil
		}
		w.take(line)
		if w.lines%int64(w.count) == 0 {
			if ctx.Err() != nil {
				return false, context.Cause(ctx)
			}
			if !w.give(again, w.share()) {
				return false, nil
			}
		}
	}
}

// share is an estimate: keys come and go, and expired ones that the server
// still counts are not dumped.
func (w *walker) share() float64 {
	if w.profile.items <= 0 {
		return 0
	}
	return min(float64(w.lines)/float64(w.profile.items), 0.99)
}

// take adds what a line tells to the page.
func (w *walker) take(line []byte) {
	w.lines++
	var it item
	var err error
	if w.scratch, err = parseDumpLine(line, &it, w.scratch); err != nil {
		if w.bad++; w.worst == nil {
			w.worst = fmt.Errorf("%s: %w", printable(line), err)
		}
		return
	}
	if w.mode == byLRU && !w.passes.fresh(it.key) {
		return
	}
	if w.q.Match != "" && !backends.Match(w.q.Match, it.key) || w.q.Keep != nil && !w.q.Keep(it.key) {
		return
	}
	e := backends.Entry{Key: it.key}
	if w.q.Want != 0 {
		if w.now == 0 || w.lines&63 == 0 { // the answer is in whole seconds
			w.now = w.profile.now()
		}
		it.hasExp, it.hasLa = it.hasExp && w.profile.clocked, it.hasLa && w.profile.clocked
		e = it.entry(w.q.Want, w.profile, it.exp-w.now, w.now-it.la)
		w.unguarded = w.unguarded || it.cas == 0 && w.q.Want.Has(backends.FactGuard) && !w.profile.noCAS
	}
	e.Type, e.Have = stringType, e.Have|backends.FactType
	if w.entries == nil {
		w.entries = make([]backends.Entry, 0, min(w.count, backends.DefaultCount))
	}
	w.entries = append(w.entries, e)
}

// stringType is the type of every value: memcached keeps strings of bytes.
const stringType = "string"

// give hands the page to the reader and tells whether it wants more.
func (w *walker) give(place string, done float64) bool {
	page := backends.Page{Shard: w.node.addr, Entries: w.entries, After: backends.Mark(w.profile.run + ":" + place), Last: place == end, Done: done}
	w.entries = nil
	if w.unguarded && !w.told {
		w.told = true
		if !w.yield(backends.Page{}, noGuard(w.node, "dump")) {
			return false
		}
	}
	return w.yield(page, nil)
}

// notices tell what this server's dump cannot.
func (w *walker) notices() []*backends.Notice {
	var all []*backends.Notice
	if w.mode == byLRU {
		all = append(all, &backends.Notice{Shard: w.node.addr, What: "some keys may be missing, mostly those in use right now", Err: w.whyLRU()})
	}
	for _, m := range w.profile.missing(w.q.Want, true) {
		all = append(all, &backends.Notice{Shard: w.node.addr, What: m.what, Facts: m.fact, Err: m.err})
	}
	return all
}

func (w *walker) whyLRU() error {
	switch {
	case !w.profile.version.known():
		return errors.New("the server does not tell its version, and walking the hash table stalls the clients of one before 1.6.19")
	case w.profile.version.atLeast(1, 6, 19):
		return errors.New("the server refused to walk its hash table")
	}
	return fmt.Errorf("memcached %s stalls its clients when it walks its hash table for a slow reader; 1.6.19 and newer do not", w.profile.text)
}

// A missing fact is one that nothing can tell, and why.
type missing struct {
	what string
	err  error
	fact backends.Facts // no entry has it; 0 where that is not sure
}

const (
	lengthUnknown = "value length is unknown"
	noGuards      = "whether a key is written again cannot be told"
)

// missing lists the facts of want that this server's items do not have. A dump
// tells client flags, from 1.6.24; "me" does not.
func (p profile) missing(want backends.Facts, dump bool) (all []missing) {
	if want.Has(backends.FactFreq) {
		all = append(all, missing{what: "access frequency is unknown", err: errors.New("memcached keeps no access counter")})
	}
	if want.Has(backends.FactEncoding) {
		all = append(all, missing{what: "encoding is unknown", err: errors.New("memcached stores bytes and nothing about them")})
	}
	if !p.clocked && want&(backends.FactTTL|backends.FactIdle) != 0 && dump {
		all = append(all, missing{what: "TTL and idle time are unknown", err: errors.New("the server does not tell its clock")})
	}
	if want.Has(backends.FactElements) && (!dump || !p.version.atLeast(1, 6, 24) || p.header == 0) {
		all = append(all, missing{what: lengthUnknown, err: errors.New("the server tells an item's size, but not whether 4 bytes of it are client flags")})
	}
	if want.Has(backends.FactGuard) && p.noCAS {
		all = append(all, missing{noGuards, errors.New("the server keeps no CAS numbers (-C)"), backends.FactGuard})
	}
	return all
}

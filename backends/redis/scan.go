package redis

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"math/bits"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

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
		for page, err := range backends.Parallel(ctx, walks...) {
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

// A walker is the state of one shard's walk.
type walker struct {
	c       *cache
	node    *node
	slots   []slotRange
	q       backends.Query
	profile profile
	probe   *prober
	conn    *redis.Conn
	typed   bool // the type is compared here, because the server's own filter is missing or leaves marks
	stopped bool // the reader has had enough
}

func (w *walker) run(ctx context.Context, yield func(backends.Page, error) bool) error {
	cursor, err := w.start(ctx)
	if err != nil {
		return err
	}
	w.conn = w.node.client.Conn()
	defer func() { w.conn.Close() }()
	if w.isPartOfCluster() && !w.pass(yield, w.alone()) {
		return nil
	}
	_, scan, err := w.exchange(ctx, nil, &cursor)
	for err == nil {
		var keys []string
		var next uint64
		if keys, next, err = scan.Result(); err != nil {
			return err
		}
		page := backends.Page{Shard: w.node.addr, Done: 1}
		if next != 0 {
			page.After = backends.Mark(strconv.FormatUint(next, 10))
			page.Done = w.done(next)
		}
		scan = nil
		if w.probe.want != 0 { // the page's facts and the next SCAN share a round trip
			var asked probe
			if asked, scan, err = w.exchange(ctx, keys, more(next)); err != nil {
				return err
			}
			page.Entries = w.probe.answers(asked)
		} else {
			page.Entries = bare(keys)
		}
		if err := w.finish(ctx, page.Entries); err != nil {
			return err
		}
		page.Entries = w.keep(page.Entries)
		if !w.pass(yield, w.probe.notices()...) || !w.give(yield, page) || next == 0 {
			return nil
		}
		if scan == nil {
			_, scan, err = w.exchange(ctx, nil, more(next))
		}
	}
	return err
}

// start learns what the server is and where the walk begins.
func (w *walker) start(ctx context.Context) (cursor uint64, err error) {
	if w.profile, err = w.node.profile(ctx, w.c.db, true); err != nil {
		return 0, err
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
	if mark := w.q.From[w.node.addr]; mark != "" {
		if cursor, err = strconv.ParseUint(string(mark), 10, 64); err != nil {
			return 0, fmt.Errorf("bad mark %q: it must come from a page of this shard", mark)
		}
	}
	return cursor, nil
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

func bare(keys []string) []backends.Entry {
	entries := make([]backends.Entry, len(keys))
	for i, key := range keys {
		entries[i].Key = key
	}
	return entries
}

func more(next uint64) *uint64 {
	if next == 0 {
		return nil
	}
	return &next
}

// finish adds what the pipeline could not: the type that the server's filter
// vouched for, and the lengths, which depend on the type.
func (w *walker) finish(ctx context.Context, entries []backends.Entry) error {
	if w.q.Type != "" && !w.typed {
		for i := range entries {
			entries[i].Type = w.q.Type
			entries[i].Have |= backends.FactType
		}
	}
	if w.q.Want.Has(backends.FactElements) {
		return w.probe.lengths(ctx, w.conn.Pipeline(), entries)
	}
	return nil
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

// walkRetries is how often a broken connection is replaced during one exchange.
const walkRetries = 3

// exchange is one round trip: the facts of keys, and the SCAN at cursor unless
// that is nil. A lost connection is replaced if the same server process is
// still there; another process would not know the cursor.
func (w *walker) exchange(ctx context.Context, keys []string, cursor *uint64) (probe, *redis.ScanCmd, error) {
	for attempt := 0; ; attempt++ {
		pipe := w.conn.Pipeline()
		asked := w.probe.ask(ctx, pipe, keys)
		var scan *redis.ScanCmd
		if cursor != nil {
			scan = w.scan(ctx, pipe, *cursor)
		}
		err := exec(ctx, pipe)
		if err == nil {
			return asked, scan, nil
		}
		if ctx.Err() != nil || attempt == walkRetries {
			return asked, nil, err
		}
		select {
		case <-ctx.Done():
			return asked, nil, ctx.Err()
		case <-time.After(100 * time.Millisecond << attempt):
		}
		same, lost := w.node.sameProcess(ctx, w.c.db, w.profile)
		if lost != nil {
			return asked, nil, err
		}
		if !same {
			return asked, nil, fmt.Errorf("%w: %w", backends.ErrUnreachable, errRestarted)
		}
		w.conn.Close()
		w.conn = w.node.client.Conn()
	}
}

func (w *walker) scan(ctx context.Context, pipe redis.Pipeliner, cursor uint64) *redis.ScanCmd {
	count := w.q.Count
	if count <= 0 {
		count = backends.DefaultCount
	}
	if w.q.Type != "" && !w.typed {
		return pipe.ScanType(ctx, cursor, w.q.Match, int64(count), w.q.Type)
	}
	return pipe.Scan(ctx, cursor, w.q.Match, int64(count))
}

// exec runs a pipeline. Its error is of the connection: what the server
// answered stands in the commands.
func exec(ctx context.Context, pipe redis.Pipeliner) error {
	cmds, err := pipe.Exec(ctx)
	if broken(err) {
		return err
	}
	// The first error may be an answer and hide that the connection broke behind it.
	if n := len(cmds); n > 0 && broken(cmds[n-1].Err()) {
		return cmds[n-1].Err()
	}
	// And where no command has it, the connection was refused before any was sent.
	if err != nil && !slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { return cmd.Err() != nil }) {
		return err
	}
	return nil
}

// done is the share of the shard that is walked when the server hands out
// cursor. It is exact: a cursor counts buckets with its bits reversed (dict.c,
// dictScan), and in a cluster its low 14 bits are the slot (Redis 7.4, Valkey
// 8; kvstore.c). It stays true while keys vanish.
func (w *walker) done(cursor uint64) float64 {
	slotted := w.profile.cluster && (w.profile.valkey && w.profile.version.atLeast(8, 0) || w.profile.version.atLeast(7, 4))
	if !slotted {
		return float64(bits.Reverse64(cursor)>>11) / (1 << 53)
	}
	slot, before, all := int(cursor&16383), 0, 0
	for _, r := range w.slots {
		all += r.to - r.from + 1
		if slot > r.from {
			before += min(slot, r.to+1) - r.from
		}
	}
	if all == 0 {
		return float64(slot) / 16384
	}
	return float64(before) / float64(all)
}

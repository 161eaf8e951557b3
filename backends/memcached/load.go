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

// loadBytes is how much is sent before the answers are read. Answers are short.
const loadBytes = 1 << 20

// loadGrace is how long after its context has ended a Load waits for answers.
const loadGrace = 2 * time.Second

// Load puts each record on the node that it came from, and where the cache has no such
// node any more, where gomemcache would put it. It goes by "ms", which adds or sets;
// before 1.6.10 by "add" and "set". What is too big for the server is not sent: it would
// drop the value that the key has. Where a connection breaks, what was not answered is
// sent again: what the lost attempt loaded then counts as Kept.
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
		l := loading{cache: c, asked: asked, ctx: inner, replace: o.Replace, nodes: make(map[string]*node), dead: make(map[*node]error), parts: make(map[string]bool)}
		for _, n := range c.nodes {
			l.nodes[n.addr] = n
		}
		for batch, err := range batches {
			if err == nil && asked.Err() != nil {
				err = context.Cause(asked)
			}
			if err != nil {
				if yield(backends.Result{}, err) && !backends.Ends(err) {
					continue
				}
				return
			}
			if !yield(l.load(batch), nil) || !l.tell(yield) {
				return
			}
		}
		if r := l.unfinished(); len(r.Outcomes) > 0 && !yield(r, nil) {
			return
		}
		if asked.Err() != nil {
			yield(backends.Result{}, context.Cause(asked))
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
	dead    map[*node]error // why a node takes no more
	untold  []*node
	parts   map[string]bool // keys of which a part has come, and not the last
	strange bool            // records of nodes that are not there were met
	told    bool
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

// A job is a record to be stored.
type job struct {
	backends.Outcome
	record *backends.Record
}

func (l *loading) load(batch []backends.Record) backends.Result {
	jobs := make([]*job, 0, len(batch))
	byNode := make(map[*node][]*job)
	var order []*node
	for i := range batch {
		r := &batch[i]
		if r.More {
			l.parts[r.Key] = true
			continue
		}
		delete(l.parts, r.Key)
		j := &job{Outcome: backends.Outcome{Key: r.Key}, record: r}
		jobs = append(jobs, j)
		why := holds(r)
		switch {
		case why != nil:
			j.Did, j.Err = backends.Failed, why
		case !r.Expires.IsZero() && !r.Expires.After(time.Now()):
			j.Did = backends.Ended
		default:
			n := l.nodes[r.Shard]
			if n == nil {
				n, l.strange = l.home(r.Key), l.strange || len(l.cache.nodes) > 1 && r.Shard != ""
			}
			if byNode[n] == nil {
				order = append(order, n)
			}
			byNode[n] = append(byNode[n], j)
		}
	}
	for _, n := range order {
		l.send(n, byNode[n])
	}
	result := backends.Result{Outcomes: make([]backends.Outcome, len(jobs))}
	for i, j := range jobs {
		result.Outcomes[i] = j.Outcome
	}
	return result
}

// send stores jobs on a node, a window at a time.
func (l *loading) send(n *node, jobs []*job) {
	p, err := n.profile(l.ctx, false)
	if err != nil {
		l.die(n, err)
	}
	for len(jobs) > 0 {
		some, size := 0, 0
		for some < len(jobs) && size < loadBytes {
			size += len(jobs[some].record.Value) + len(jobs[some].Key) + 50
			some++
		}
		l.window(n, p, jobs[:some])
		jobs = jobs[some:]
	}
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
	to = append(append(to, flag...), " F"...)
	to = strconv.AppendUint(to, uint64(r.Flags), 10)
	to = strconv.AppendInt(append(to, " T"...), int64(exp), 10)
	if !l.replace {
		to = append(to, " ME"...)
	}
	return append(append(append(to, "\r\n"...), r.Value...), "\r\n"...), nil
}

// window stores jobs and reads the answers. Behind an answer that leaves the connection
// in doubt the rest goes over another.
func (l *loading) window(n *node, p profile, jobs []*job) {
	for attempt := 0; ; attempt++ {
		var open []*job
		for _, j := range jobs {
			if j.Did == "" {
				open = append(open, j)
			}
		}
		if len(open) == 0 {
			return
		}
		err := l.dead[n]
		if l.asked.Err() != nil && attempt == 0 {
			err = context.Cause(l.asked)
		}
		if err == nil {
			err = n.do(l.ctx, func(c *conn) error { return l.exchange(c, n, p, open) })
		}
		if err == nil {
			continue // all are answered, or one refused the connection's trust
		}
		doubt := errors.Is(err, errDoubt)
		if !doubt && (attempt >= mostTries || !broken(err) || l.ctx.Err() != nil || l.dead[n] != nil) {
			for _, j := range open {
				if j.Did == "" {
					j.Did, j.Err = backends.Failed, err
				}
			}
			if l.asked.Err() == nil {
				l.die(n, err)
			}
			return
		}
		if !doubt {
			time.Sleep(firstWait << attempt)
		}
	}
}

// errDoubt closes a connection whose state is not known; see node.do.
var errDoubt = errors.New("the server refused a command in the middle of others")

func (l *loading) exchange(c *conn, n *node, p profile, jobs []*job) error {
	var commands []byte
	var sent []*job
	for _, j := range jobs {
		if j.Did != "" { // answered by an attempt before this
			continue
		}
		var err error
		if commands, err = l.command(commands, n, p, j.record); err != nil {
			j.Did, j.Err = backends.Failed, err
			continue
		}
		sent = append(sent, j)
	}
	if err := c.send(commands); err != nil {
		return err
	}
	for _, j := range sent {
		if c.r.Buffered() == 0 {
			c.extend()
		}
		line, err := c.line()
		if err != nil {
			return err
		}
		switch string(line) {
		case "HD", "STORED":
			j.Did = backends.Loaded
		case "NS", "NOT_STORED":
			j.Did = backends.Kept
		default:
			if !isErrorLine(line) {
				return unexpected("ms", line)
			}
			j.Did, j.Err = backends.Failed, fail(l.ctx, n.addr, replyError(line))
			return errDoubt // the payload may have been taken for commands, or not
		}
	}
	return nil
}

func (l *loading) die(n *node, err error) {
	if l.dead[n] == nil {
		l.dead[n] = err
		l.untold = append(l.untold, n)
	}
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
	for _, n := range l.untold {
		err := l.lost(l.ctx, n, l.dead[n])
		if !yield(backends.Result{}, err) || backends.Ends(err) {
			return false
		}
	}
	l.untold = nil
	return true
}

var _ backends.Loader = (*cache)(nil)

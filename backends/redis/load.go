package redis

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// loadBytes is how much is sent before the answers are read. Answers are short.
const loadBytes = 1 << 20

// Load sends each record to the node that answers for its key. Where a connection breaks,
// what was not answered is sent again: what the lost attempt loaded then counts as Kept.
// A value of several records is built under a name of its own, which expires by itself
// should we not come back, and renamed in the end.
func (c *cache) Load(ctx context.Context, batches iter.Seq2[[]backends.Record, error], o backends.LoadOptions) iter.Seq2[backends.Result, error] {
	return func(yield func(backends.Result, error) bool) {
		own, err := c.owners(ctx)
		if err != nil {
			yield(backends.Result{}, err)
			return
		}
		l := &loading{c: c, owners: own, asked: ctx, replace: o.Replace, builds: make(map[string]*build), dead: make(map[*node]error)}
		inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		stop := context.AfterFunc(ctx, func() {
			if pausing(inner, grace) {
				cancel()
			}
		})
		defer stop()
		l.ctx = inner
		defer l.cleanUp()
		for batch, err := range batches {
			if err == nil && ctx.Err() != nil {
				err = context.Cause(ctx)
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
		if ctx.Err() != nil {
			yield(backends.Result{}, context.Cause(ctx))
		}
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
	dead    map[*node]error   // why a node takes no more
	untold  []*node
}

var errForeign = errors.New("its record was made by another kind of cache")

// load restores a batch. Each node gets its records in their order.
func (l *loading) load(batch []backends.Record) backends.Result {
	result := backends.Result{Outcomes: make([]backends.Outcome, 0, len(batch))}
	byNode := make(map[*node][]*job)
	var order []*node
	var jobs []*job
	for i := range batch {
		r := &batch[i]
		if r.Part > 0 || r.More {
			if o := l.build(r); o.Did != "" {
				result.Outcomes = append(result.Outcomes, o)
			}
			continue
		}
		j := l.job(r)
		jobs = append(jobs, j)
		if j.Did != "" {
			continue
		}
		n := l.owners.of(r.Key)
		if byNode[n] == nil {
			order = append(order, n)
		}
		byNode[n] = append(byNode[n], j)
	}
	for _, n := range order {
		l.send(n, byNode[n])
	}
	for _, j := range jobs {
		result.Outcomes = append(result.Outcomes, j.Outcome)
	}
	return result
}

// A job is a record to be restored by one command.
type job struct {
	backends.Outcome
	args []string
	size int
}

func (l *loading) job(r *backends.Record) *job {
	j := &job{Outcome: backends.Outcome{Key: r.Key}}
	if over(r) {
		j.Did = backends.Ended
		return j
	}
	payload := ""
	switch r.Form {
	case formString:
		payload = string(stringPayload(r.Value))
	case formRDB:
		payload = string(r.Value)
	default:
		j.Did, j.Err = backends.Failed, fmt.Errorf("%w (%s)", errForeign, r.Form)
		return j
	}
	ttl := "0"
	if !r.Expires.IsZero() {
		ttl = text(r.Expires.UnixMilli())
	}
	j.args = []string{"restore", r.Key, ttl, payload, "absttl"}
	if l.replace {
		j.args = append(j.args, "replace")
	}
	switch {
	case r.Have.Has(backends.FactFreq):
		j.args = append(j.args, "freq", text(min(r.Freq, 255)))
	case r.Have.Has(backends.FactIdle):
		j.args = append(j.args, "idletime", text(int64(r.Idle/time.Second)))
	}
	j.size = len(payload) + len(r.Key) + 100
	return j
}

// over tells whether the record's time has passed. RESTORE with REPLACE would delete the
// key instead.
func over(r *backends.Record) bool {
	return !r.Expires.IsZero() && !r.Expires.After(time.Now())
}

// send restores jobs on a node, a window at a time.
func (l *loading) send(n *node, jobs []*job) {
	for len(jobs) > 0 {
		some, size := 0, 0
		for some < len(jobs) && (some == 0 || size+jobs[some].size <= loadBytes) {
			size += jobs[some].size
			some++
		}
		err := l.dead[n]
		if l.asked.Err() != nil {
			err = context.Cause(l.asked)
		}
		if err == nil {
			err = l.window(n, jobs[:some])
		}
		for _, j := range jobs[:some] {
			if j.Did == "" {
				j.Did, j.Err = backends.Failed, err
			}
		}
		jobs = jobs[some:]
	}
}

// window sends jobs and reads the answers. Its error is why the node takes no more.
func (l *loading) window(n *node, jobs []*job) error {
	var stray []*job
	err := l.attempt(n, jobs, &stray)
	for attempt := 0; broken(err) && attempt < walkRetries && l.ctx.Err() == nil && !errors.Is(err, backends.ErrUnreachable); attempt++ {
		if !pausing(l.ctx, 50*time.Millisecond<<attempt) {
			break
		}
		var open []*job
		for _, j := range jobs {
			if j.Did == "" {
				open = append(open, j)
			}
		}
		stray = nil // not answered for good: they are open still
		err = l.attempt(n, open, &stray)
	}
	for _, j := range stray {
		if err != nil {
			break
		}
		cmds, broke := l.c.through(l.ctx, n, true, j.args)
		if err = broke; err == nil {
			err = l.judge(n, j, replyOf(cmds[0]).err)
		}
		if classify(err) == moved {
			j.Did, j.Err, err = backends.Failed, fmt.Errorf("%w: %w", errMoving, err), nil
		}
	}
	if err != nil {
		err = fail(l.ctx, n.addr, err)
		l.dead[n] = err
		l.untold = append(l.untold, n)
	}
	return err
}

func (l *loading) attempt(n *node, jobs []*job, stray *[]*job) error {
	w, back, err := l.c.borrow(l.ctx, n, false, true)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		w.command(j.args...)
	}
	if err = w.flush(l.ctx); err != nil {
		back(false)
		return err
	}
	var refusal error
	for _, j := range jobs {
		r, err := w.scalar()
		if err != nil {
			back(false)
			return err
		}
		switch err := l.judge(n, j, r.err); {
		case classify(err) == moved:
			*stray = append(*stray, j)
		case err != nil:
			refusal = err
		}
	}
	back(true)
	return refusal
}

// judge gives a job its outcome. Its error is of a slot that has moved, or why the server
// takes nothing from us.
func (l *loading) judge(n *node, j *job, answer error) error {
	switch {
	case answer == nil:
		j.Did = backends.Loaded
		return nil
	case strings.HasPrefix(answer.Error(), "BUSYKEY"):
		j.Did = backends.Kept
		return nil
	case classify(answer) == moved, refused(answer), hopeless(answer):
		return answer
	}
	j.Did, j.Err = backends.Failed, loadError(n, answer)
	return nil
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

// tell passes on which nodes take no more, and whether the reader wants to go on.
func (l *loading) tell(yield func(backends.Result, error) bool) bool {
	for _, n := range l.untold {
		err := l.dead[n]
		if l.c.topology != cluster {
			yield(backends.Result{}, err)
			return false
		}
		if !yield(backends.Result{}, &backends.ShardError{Shard: n.addr, Err: err}) {
			return false
		}
	}
	l.untold = nil
	return true
}

var _ backends.Loader = (*cache)(nil)

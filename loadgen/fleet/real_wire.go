package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A wire is a worker's connections to the cache.
type wire struct {
	routes  backends.Routes
	lines   []*line // of node n: those from n*Lines on; nil where there is none at the moment
	turns   int
	locks   map[uint64]uint64 // CAS numbers of locks held, by token
	deaf    bool              // nobody is told of replies any more
	mending bool              // a repair is under way
	tries   int               // repairs in a row that left something to repair
	asked   backends.Ask
	encoder encoder
	reply   backends.Reply
}

// asks tells whether an action is a request to the cache.
func (a *Action) asks() bool {
	switch a.Kind {
	case Get, Set, Delete, Invalidate, Add, Release, Lease, Publish:
		return true
	}
	return false
}

// An encoder makes requests of actions. What it made holds until the next.
type encoder struct{ key, value []byte }

func (e *encoder) encode(w *wording, a *Action, to *backends.Ask) {
	e.key = w.appendKey(e.key[:0], a.Key, a.Kind == Add || a.Kind == Release)
	*to = backends.Ask{Key: e.key, TTL: a.TTL, CAS: a.Value.CAS}
	switch a.Kind {
	case Get:
		to.Do, to.CAS = backends.AskGet, 0
	case Set:
		e.value = w.appendValue(e.value[:0], &a.Value)
		to.Do, to.Value, to.TTL = backends.AskSet, e.value, w.lasting(a.TTL)
	case Delete:
		to.Do, to.TTL = backends.AskDelete, 0
		if a.Value.CAS != 0 {
			to.Do = backends.AskRelease
		}
	case Invalidate:
		to.Do = backends.AskStale
	case Add, Release:
		e.value = appendToken(e.value[:0], a.Token)
		to.Do, to.Value, to.TTL = backends.AskAdd, e.value, w.lasting(a.TTL)
		if a.Kind == Release {
			to.Do = backends.AskRelease
		}
	case Lease:
		to.Do, to.Early = backends.AskLease, a.For
	case Publish:
		e.key = append(e.key[:0], w.channel()...)
		e.value = w.appendMessage(e.value[:0], a.Key, a.Value.Version)
		*to = backends.Ask{Do: backends.AskPublish, Key: e.key, Value: e.value}
	}
}

// dial opens all lines, for the first time.
func (w *worker) dial(ctx context.Context, routes backends.Routes) error {
	w.locks = make(map[uint64]uint64)
	w.routes = routes
	w.lines = make([]*line, len(routes.Nodes)*w.Lines)
	for i := range w.lines {
		l, err := dialLine(ctx, w.Cache, routes.Nodes[i/w.Lines], &w.running, w.nudge)
		if err != nil {
			return err
		}
		w.lines[i] = l
	}
	return nil
}

// ask sends an action's request over a line to the node of its key.
func (w *worker) ask(now time.Duration, a *Action) {
	if a.Kind == Publish && w.Subscriber == nil {
		w.fault = fmt.Errorf("strategy %s publishes, and nobody can listen to this cache", w.Strategy)
		return
	}
	w.encoder.encode(&w.wording, a, &w.asked)
	if a.Kind == Release {
		w.asked.CAS = w.locks[a.Token]
		delete(w.locks, a.Token)
	}
	l := w.line(w.asked.Key)
	if l == nil {
		w.fail(&wait{action: *a, epoch: w.epoch})
		return
	}
	out, err := l.dialect.Append(l.out, &w.asked)
	if err != nil {
		w.fault = fmt.Errorf("strategy %s asks the cache what it cannot do: %w", w.Strategy, err)
		return
	}
	l.out = out
	l.waits.push(wait{action: *a, do: w.asked.Do, epoch: w.epoch, sent: now})
}

// line is one of those to the node of a key; nil: there is none now.
func (w *worker) line(key []byte) *line {
	node := 0
	if w.routes.Of != nil {
		node = w.routes.Of(key)
	}
	w.turns++
	for i := range w.Lines {
		if l := w.lines[node*w.Lines+(w.turns+i)%w.Lines]; l != nil {
			return l
		}
	}
	return nil
}

// flush hands over what was asked.
func (w *worker) flush() {
	for _, l := range w.lines {
		if l != nil {
			l.flush()
		}
	}
}

// oldest is the line that has waited longest for a reply.
func (w *worker) oldest() (oldest *line) {
	for _, l := range w.lines {
		if l != nil && l.waits.len() > 0 && (oldest == nil || l.waits.front().sent < oldest.waits.front().sent) {
			oldest = l
		}
	}
	return oldest
}

// silent gives up the line that has waited longest, if that is too long.
func (w *worker) silent() {
	if l := w.oldest(); l != nil && l.waits.front().sent+w.Timeout <= w.since() {
		l.fail(errSilent)
		w.receive()
	}
}

// receive reads all replies that are there.
func (w *worker) receive() {
	for at, l := range w.lines {
		if l == nil {
			continue
		}
		broken := l.take()
		for l.waits.len() > 0 && l.read < len(l.have) {
			first := l.waits.front()
			w.encoder.key = w.appendKey(w.encoder.key[:0], first.action.Key, first.action.Kind == Add || first.action.Kind == Release)
			w.asked = backends.Ask{Do: first.do, Key: w.encoder.key, Once: first.once}
			n, err := l.dialect.Parse(l.have[l.read:], &w.asked, &w.reply)
			if err != nil {
				broken = err
			}
			if n == 0 || err != nil {
				break
			}
			l.read += n
			reply := l.waits.pop()
			w.replied(&reply)
		}
		if l.waits.len() == 0 && l.read < len(l.have) && broken == nil {
			broken = errUnexpected
		}
		if broken != nil {
			w.lines[at] = nil
			w.lost(l)
		}
	}
}

// lost fails what a broken line leaves unanswered.
func (w *worker) lost(l *line) {
	l.hangUp()
	w.mu.Lock()
	w.counts.Broken++
	w.mu.Unlock()
	for l.waits.len() > 0 {
		first := l.waits.pop()
		w.fail(&first)
	}
	w.pass()
	w.repair()
}

// fail answers that the cache did not do it.
func (w *worker) fail(of *wait) {
	if w.deaf || of.action.Kind == Publish {
		return
	}
	a := &of.action
	w.ready.push(in{epoch: of.epoch, event: Event{Kind: Answered, Req: a.Req, Key: a.Key, Tag: a.Tag, Of: a.Kind, Answer: Failed}})
}

// pass tells what is due now, if nothing is told at the moment.
func (w *worker) pass() {
	if w.ready.len() > 0 {
		w.current = w.ready.pop()
		w.hear()
	}
}

// replied tells what came of an action.
func (w *worker) replied(of *wait) {
	if w.deaf || of.action.Kind == Publish {
		return
	}
	a, r := &of.action, &w.reply
	w.current = in{epoch: of.epoch, event: Event{Kind: Answered, Req: a.Req, Key: a.Key, Tag: a.Tag, Of: a.Kind}}
	e := &w.current.event
	switch r.Answer {
	case backends.Refused:
		e.Answer = Failed
		w.refused(r.Text)
	case backends.Moved:
		if w.follow(of, r) {
			return
		}
		e.Answer = Failed
	default:
		w.judge(a, r, e)
	}
	w.hear()
}

// refused counts an action that the cache answered by an error.
func (w *worker) refused(why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.counts.Refused++; w.counts.Refusal == "" {
		w.counts.Refusal = why
	}
}

// mostHops bounds how often an action follows its key.
const mostHops = 4

// follow asks again where a server says that the key is.
func (w *worker) follow(of *wait, r *backends.Reply) bool {
	w.mu.Lock()
	w.counts.Moved++
	w.mu.Unlock()
	if !r.Once {
		w.repair()
	}
	for _, l := range w.lines {
		if l == nil || l.node != r.Node || of.hops == mostHops {
			continue
		}
		w.encoder.encode(&w.wording, &of.action, &w.asked)
		w.asked.Once = r.Once
		out, err := l.dialect.Append(l.out, &w.asked)
		if err != nil {
			return false
		}
		l.out = out
		again := *of
		again.hops, again.once = again.hops+1, r.Once
		l.waits.push(again)
		return true
	}
	return false
}

// judge is what a reply means.
func (w *worker) judge(a *Action, r *backends.Reply, e *Event) {
	found := len(r.Value) > 0 && w.value(r.Value, &e.Value)
	if len(r.Value) > 0 && !found {
		w.mu.Lock()
		w.counts.Foreign++
		w.mu.Unlock()
	}
	e.Stale = r.Stale
	switch {
	case a.Kind == Get || a.Kind == Lease:
		e.Value.CAS = r.CAS
		switch {
		case r.Answer == backends.Won:
			e.Answer = Won
		case r.Answer == backends.Busy:
			e.Answer = Busy
		case found:
			e.Answer = Hit
		default:
			e.Answer, e.Value = Miss, Value{}
		}
		if found && a.Kind == Get && a.TTL > 0 {
			e.Value.Expires = w.since() + a.TTL
		}
	case r.Answer == backends.Done:
		if a.Kind == Set {
			e.Value = a.Value
			e.Value.CAS = 0
		}
		if a.Kind == Add && r.CAS != 0 {
			w.locks[a.Token] = r.CAS
		}
	case a.Kind == Add || a.Kind == Release || a.Value.CAS != 0:
		e.Answer = No
	}
}

var (
	errSilent     = errors.New("no reply in time")
	errUnexpected = errors.New("a reply that nobody waits for")
)

package fleet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A sweeper does to many keys what no process does: it loads, flushes, ends TTLs, and clears up. Its connections
// are its own, and each request waits for its answer, some hundreds at a time.
type sweeper struct {
	*real
	busy   sync.Mutex
	routes backends.Routes
	lines  []call
}

// A call is a connection of a sweeper.
type call struct {
	conn    net.Conn
	dialect backends.Dialect
	out, in []byte
}

// A chore is one request of a sweeper: how it is asked, and what is done with its answer.
type chore struct {
	key  Key
	lock bool
}

func (s *sweeper) dial(ctx context.Context) error {
	s.hangUp()
	var err error
	if s.routes, err = s.Cache.Routes(ctx); err != nil {
		return err
	}
	for _, node := range s.routes.Nodes {
		conn, dialect, err := s.Cache.DialNode(ctx, node)
		if err != nil {
			s.hangUp()
			return err
		}
		s.lines = append(s.lines, call{conn: conn, dialect: dialect})
	}
	return nil
}

func (s *sweeper) hangUp() {
	for _, l := range s.lines {
		l.conn.Close()
	}
	s.lines = nil
}

// Bounds of what is on its way at a time.
const (
	sweepAsks  = 256
	sweepBytes = 256 << 10
)

// Attempts at what did not succeed because of connections or of keys on their way, and the pause before each, which doubles.
const (
	sweepTries = 5
	sweepPause = 50 * time.Millisecond
)

// do does all chores. ask fills in the request, and got hears the answer. What is left when it fails is returned too.
func (s *sweeper) do(ctx context.Context, chores []chore, ask func(chore, *backends.Ask), got func(chore, *backends.Reply)) ([]chore, error) {
	s.busy.Lock()
	defer s.busy.Unlock()
	var err error
	for try := 0; len(chores) > 0 && try < sweepTries; try++ {
		if try > 0 || len(s.lines) == 0 {
			select {
			case <-ctx.Done():
				return chores, context.Cause(ctx)
			case <-time.After(sweepPause<<try - sweepPause):
			}
			if err = s.dial(ctx); err != nil {
				continue
			}
		}
		nodes := make([][]chore, len(s.lines))
		for _, c := range chores {
			node := 0
			if s.routes.Of != nil {
				node = s.routes.Of(s.appendKey(nil, c.key, c.lock))
			}
			nodes[node] = append(nodes[node], c)
		}
		chores, err = nil, nil
		for node, all := range nodes {
			left, failed := s.node(ctx, &s.lines[node], all, ask, got)
			if chores = append(chores, left...); failed != nil {
				err = failed
			}
		}
		if err != nil { // answers may be on their way that nobody waits for
			s.hangUp()
		}
	}
	if len(chores) == 0 {
		return nil, nil
	}
	return chores, err
}

// node does the chores of one node, and returns those that are still to be done.
func (s *sweeper) node(ctx context.Context, l *call, chores []chore, ask func(chore, *backends.Ask), got func(chore, *backends.Reply)) (left []chore, err error) {
	defer context.AfterFunc(ctx, func() { l.conn.SetDeadline(time.Unix(1, 0)) })()
	var a backends.Ask
	for len(chores) > 0 {
		l.out = l.out[:0]
		n := 0
		for ; n < len(chores) && n < sweepAsks && len(l.out) < sweepBytes; n++ {
			ask(chores[n], &a)
			if l.out, err = l.dialect.Append(l.out, &a); err != nil {
				return append(left, chores...), err
			}
		}
		l.conn.SetDeadline(time.Now().Add(s.Timeout))
		if ctx.Err() != nil {
			return append(left, chores...), context.Cause(ctx)
		}
		if _, err := l.conn.Write(l.out); err != nil {
			return append(left, chores...), err
		}
		for _, c := range chores[:n] {
			ask(c, &a)
			var r backends.Reply
			if err := l.reply(&a, &r); err != nil {
				return append(left, chores...), err
			}
			if r.Answer == backends.Refused || r.Answer == backends.Moved {
				left, err = append(left, c), errors.New(r.Text)
			} else {
				got(c, &r)
			}
			chores = chores[1:]
		}
	}
	return left, err
}

func (l *call) reply(a *backends.Ask, r *backends.Reply) error {
	for {
		n, err := l.dialect.Parse(l.in, a, r)
		if err != nil {
			return err
		}
		if n > 0 {
			l.in = l.in[n:]
			return nil
		}
		piece := make([]byte, 64<<10)
		if n, err = l.conn.Read(piece); err != nil {
			return err
		}
		l.in = append(l.in, piece[:n]...)
	}
}

// chores are all keys that there may be.
func (s *sweeper) chores(locks bool) (all []chore) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touched.all(func(key Key, what *uint8) {
		if *what&touchedValue != 0 {
			all = append(all, chore{key: key})
		}
		if *what&touchedLock != 0 && locks {
			all = append(all, chore{key: key, lock: true})
		}
	})
	return all
}

func (s *sweeper) flush(ctx context.Context) error {
	_, err := s.remove(ctx)
	return err
}

func (s *sweeper) remove(ctx context.Context) ([]chore, error) {
	return s.do(ctx, s.chores(true), func(c chore, a *backends.Ask) {
		*a = backends.Ask{Do: backends.AskDelete, Key: s.appendKey(nil, c.key, c.lock)}
	}, func(chore, *backends.Reply) {})
}

// clear removes everything at the end, also when ctx has ended, and tells how much is left. Where a connection broke,
// what was sent over it may be done later than what we do: so once more, a moment later.
func (s *sweeper) clear(ctx context.Context, again bool) (int, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), clearing)
	defer cancel()
	left, err := s.remove(ctx)
	if again && err == nil {
		time.Sleep(2 * sweepPause)
		left, err = s.remove(ctx)
	}
	return len(left), err
}

const clearing = 20 * time.Second

// expire ends every TTL: a value with a soft one goes past it, any other goes. A value that is set
// meanwhile is left alone where the cache has CAS numbers.
func (s *sweeper) expire(ctx context.Context) error {
	type item struct {
		Value
		drop bool
	}
	items := make(map[Key]item)
	_, err := s.do(ctx, s.chores(false), func(c chore, a *backends.Ask) {
		*a = backends.Ask{Do: backends.AskGet, Key: s.appendKey(nil, c.key, false)}
	}, func(c chore, r *backends.Reply) {
		var v Value
		if r.Answer != backends.Hit || !s.value(r.Value, &v) || v.Expires == 0 && v.Soft == 0 {
			return
		}
		v.CAS = r.CAS
		items[c.key] = item{v, v.Soft == 0}
	})
	if err != nil {
		return fmt.Errorf("expire: %w", err)
	}
	var chores []chore
	for key := range items {
		chores = append(chores, chore{key: key})
	}
	_, err = s.do(ctx, chores, func(c chore, a *backends.Ask) {
		v := items[c.key]
		*a = backends.Ask{Do: backends.AskDelete, Key: s.appendKey(nil, c.key, false), CAS: v.CAS}
		switch now := s.since(); {
		case v.drop && v.CAS != 0:
			a.Do = backends.AskRelease
		case v.drop:
		default:
			v.Soft = min(v.Soft, max(now, 1))
			a.Do, a.Value, a.TTL = backends.AskSet, s.appendValue(nil, &v.Value), s.keep
			if v.Expires != 0 {
				a.TTL = max(v.Expires-now, time.Millisecond)
			}
		}
	}, func(chore, *backends.Reply) {})
	return err
}

// load fills the cache as it is to be at the start, and says when that is: when there was time enough for it.
func (r *real) load(ctx context.Context) error {
	if r.Load == nil {
		return nil
	}
	const before, each = 100 * time.Millisecond, 20 * time.Microsecond
	r.start = time.Now().Add(before + time.Duration(r.Load.Keys)*each)
	random := rand.New(rand.NewPCG(r.Seed, streamLoad))
	values := make([]Value, r.Load.Keys)
	chores := make([]chore, r.Load.Keys)
	for key := range r.Load.Keys {
		v := &values[key]
		*v = Value{Version: 1, Took: r.Load.Took}
		v.Expires, v.Soft = r.Load.Lifetime.Draw(0, random)
		chores[key].key = key
		*r.touched.at(key) |= touchedValue
		r.ledger.Load(key, v)
	}
	_, err := r.sweeper.do(ctx, chores, func(c chore, a *backends.Ask) {
		v := &values[c.key]
		*a = backends.Ask{Do: backends.AskSet, Key: r.appendKey(nil, c.key, false), Value: r.appendValue(nil, v), TTL: r.keep}
		if v.Expires != 0 {
			a.TTL = max(v.Expires-r.since(), time.Millisecond)
		}
	}, func(chore, *backends.Reply) {})
	if err != nil {
		return fmt.Errorf("load the cache: %w", err)
	}
	return nil
}

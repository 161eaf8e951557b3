package fleet

import "math/rand/v2"

// locked lets one process at a time fetch a key: the one that holds the key's lock in the cache. Who does not
// get the lock serves the value it has in hand, if it has one, and else waits and looks again.
//
// The winner looks into the cache once more before it fetches: between its miss and its lock another may have
// brought the value. It lets go of the lock when its value is in the cache, and only of its own: a lock that ran out
// may be another's by then (redis.io/docs: SET with NX, PX and a random value; compare and delete).
type locked struct {
	reader
	fresh      freshness
	background bool // what is not fresh is served at once by the winner too, which refreshes behind that
	notes      slots[lockNote]
}

type lockNote struct {
	value  Value // in hand, though not fresh; Version 0: none
	token  uint64
	won    bool
	waited bool
	gone   bool // the client gave up
	served bool
}

func newLocked(o Options, random *rand.Rand) *locked {
	return &locked{reader: reader{o, random}, fresh: always}
}

func (s *locked) Next(e *Event, do *Actions) {
	if s.writes(e, do) {
		return
	}
	switch e.Kind {
	case Arrived:
		n := s.notes.at(e.Req)
		n.value.Version, n.won, n.waited, n.gone, n.served = 0, false, false, false, false
		do.Add(Action{Kind: Get, Req: e.Req, Key: e.Key})
	case Answered:
		s.answered(e, s.notes.at(e.Req), do)
	case Fetched:
		s.fetched(e, s.notes.at(e.Req), do)
	case Woke:
		if s.notes.at(e.Req).gone {
			do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key, As: WithError})
			return
		}
		do.Add(Action{Kind: Get, Req: e.Req, Key: e.Key})
	case GaveUp:
		s.notes.at(e.Req).gone = true
	}
}

func (s *locked) answered(e *Event, n *lockNote, do *Actions) {
	switch e.Of {
	case Get:
		if n.won {
			s.looked(e, n, do)
			return
		}
		s.got(e, n, do)
	case Add:
		switch {
		case e.Answer == OK:
			n.won = true
			if s.background && n.value.Version != 0 {
				n.served = true
				spare(e.Now, e.Req, e.Key, &n.value, do)
			}
			do.Add(Action{Kind: Get, Req: e.Req, Key: e.Key})
		case e.Answer == Failed:
			do.Add(Action{Kind: Fetch, Req: e.Req, Key: e.Key})
		case n.value.Version != 0:
			spare(e.Now, e.Req, e.Key, &n.value, do)
		case n.gone:
			do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key, As: WithError})
		default:
			n.waited = true
			do.Add(Action{Kind: Wait, Req: e.Req, Key: e.Key, For: s.Poll})
		}
	case Set:
		s.release(e, n, do)
	}
}

// got is the answer to a request that has no lock.
func (s *locked) got(e *Event, n *lockNote, do *Actions) {
	switch e.Answer {
	case Failed:
		do.Add(Action{Kind: Fetch, Req: e.Req, Key: e.Key})
		return
	case Hit:
		if s.fresh(e.Now, &e.Value, s.random) {
			as := FromCache
			if n.waited {
				as = FromOther
			}
			do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key, Value: e.Value, As: as})
			return
		}
		n.value = e.Value
	}
	n.token = s.random.Uint64() | 1
	do.Add(Action{Kind: Add, Req: e.Req, Key: e.Key, Token: n.token, TTL: s.Lock})
}

// looked is the answer to the winner's second look. What it did not see at its first is what it wanted.
func (s *locked) looked(e *Event, n *lockNote, do *Actions) {
	if e.Answer != Hit || n.value.Version != 0 && n.value.Read == e.Value.Read {
		do.Add(Action{Kind: Fetch, Req: e.Req, Key: e.Key})
		return
	}
	if !n.served {
		do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key, Value: e.Value, As: FromOther})
	}
	s.release(e, n, do)
}

func (s *locked) fetched(e *Event, n *lockNote, do *Actions) {
	if e.Answer == OK && !(n.gone && s.DropLate) {
		s.fill(e, 0, do)
	} else {
		s.release(e, n, do)
	}
	switch {
	case n.served:
	case e.Answer == OK:
		do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key, Value: e.Value, As: FromOrigin})
	case n.value.Version != 0:
		spare(e.Now, e.Req, e.Key, &n.value, do)
	default:
		do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key, As: WithError})
	}
}

func (s *locked) release(e *Event, n *lockNote, do *Actions) {
	if n.won {
		n.won = false
		do.Add(Action{Kind: Release, Req: e.Req, Key: e.Key, Token: n.token})
	}
}

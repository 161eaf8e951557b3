package fleet

import "math/rand/v2"

// leased asks the cache itself who is to bring a value: memcached's meta get with N and, with Ahead, R. The
// winner brings it with the CAS it was given, so that a value which was deleted meanwhile is not
// brought back. Who does not win serves what there is, stale or not, or waits and asks again.
type leased struct {
	reader
	notes slots[leaseNote]
}

type leaseNote struct {
	cas    uint64 // of the item that this request is to fill
	stub   bool   // which has no value yet
	waited bool
	gone   bool // the client gave up
	served bool
}

func newLeased(o Options, random *rand.Rand) *leased {
	return &leased{reader: reader{o, random}}
}

func (s *leased) Next(e *Event, do *Actions) {
	if s.writes(e, do) {
		return
	}
	switch e.Kind {
	case Arrived:
		*s.notes.at(e.Req) = leaseNote{}
		s.ask(e, do)
	case Answered:
		if e.Of == Lease {
			s.answered(e, s.notes.at(e.Req), do)
		}
	case Fetched:
		s.fetched(e, s.notes.at(e.Req), do)
	case Woke:
		if s.notes.at(e.Req).gone {
			do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key, As: WithError})
			return
		}
		s.ask(e, do)
	case GaveUp:
		s.notes.at(e.Req).gone = true
	}
}

func (s *leased) ask(e *Event, do *Actions) {
	do.Add(Action{Kind: Lease, Req: e.Req, Key: e.Key, TTL: s.Lock, For: s.Ahead})
}

func (s *leased) answered(e *Event, n *leaseNote, do *Actions) {
	switch {
	case e.Value.Version != 0:
		n.served = true
		as := FromCache
		switch {
		case e.Stale:
			as = FromStale
		case n.waited:
			as = FromOther
		}
		do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key, Value: e.Value, As: as})
	case e.Answer == Won || e.Answer == Failed:
	case n.gone:
		do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key, As: WithError})
	default:
		n.waited = true
		do.Add(Action{Kind: Wait, Req: e.Req, Key: e.Key, For: s.Poll})
	}
	if e.Answer == Won || e.Answer == Failed {
		n.cas, n.stub = e.Value.CAS, e.Answer == Won && e.Value.Version == 0
		do.Add(Action{Kind: Fetch, Req: e.Req, Key: e.Key})
	}
}

func (s *leased) fetched(e *Event, n *leaseNote, do *Actions) {
	switch {
	case e.Answer == OK && !(n.gone && s.DropLate):
		s.fill(e, n.cas, do)
	case n.stub:
		do.Add(Action{Kind: Delete, Req: e.Req, Key: e.Key, Value: Value{CAS: n.cas}})
	}
	switch {
	case n.served:
	case e.Answer == OK:
		do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key, Value: e.Value, As: FromOrigin})
	default:
		do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key, As: WithError})
	}
}

package fleet

import "math/rand/v2"

// plain gets, and fetches what is missing or not fresh: no process knows of another.
type plain struct {
	reader
	fresh      freshness
	background bool // what is not fresh is served at once, and refreshed behind that
	flights    map[Key]flight
	notes      slots[plainNote]
}

// A flight is a fetch under way, and who waits for it.
type flight struct{ first, last Req }

type plainNote struct {
	value  Value // in hand, though not fresh; Version 0: none
	gone   bool  // the client gave up
	served bool
	next   Req // behind this one in the flight
}

func newPlain(o Options, random *rand.Rand) *plain {
	return &plain{reader: reader{o, random}, fresh: always}
}

func (s *plain) Next(e *Event, do *Actions) {
	if s.writes(e, do) {
		return
	}
	switch e.Kind {
	case Arrived:
		n := s.notes.at(e.Req)
		n.value.Version, n.gone, n.served, n.next = 0, false, false, 0
		do.Add(Action{Kind: Get, Req: e.Req, Key: e.Key})
	case Answered:
		if e.Of == Get {
			s.got(e, do)
		}
	case Fetched:
		s.fetched(e, do)
	case GaveUp:
		s.notes.at(e.Req).gone = true
	}
}

func (s *plain) got(e *Event, do *Actions) {
	if e.Answer == Hit {
		if s.fresh(e.Now, &e.Value, s.random) {
			do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key, Value: e.Value, As: FromCache})
			return
		}
		n := s.notes.at(e.Req)
		n.value = e.Value
		if s.background {
			n.served = true
			spare(e.Now, e.Req, e.Key, &e.Value, do)
		}
	}
	if s.Coalesce && s.join(e, do) {
		return
	}
	do.Add(Action{Kind: Fetch, Req: e.Req, Key: e.Key})
}

// join waits for a fetch that is under way, unless there is something fresh to serve, or registers one that begins.
func (s *plain) join(e *Event, do *Actions) bool {
	f, under := s.flights[e.Key]
	if !under {
		if s.flights == nil {
			s.flights = make(map[Key]flight)
		}
		s.flights[e.Key] = flight{}
		return false
	}
	n := s.notes.at(e.Req)
	if n.served {
		return true
	}
	if n.value.Version != 0 && soft(e.Now, &n.value, nil) {
		spare(e.Now, e.Req, e.Key, &n.value, do)
		return true
	}
	if f.first == 0 {
		f.first = e.Req
	} else {
		s.notes[f.last].next = e.Req
	}
	f.last = e.Req
	s.flights[e.Key] = f
	return true
}

func (s *plain) fetched(e *Event, do *Actions) {
	if n := s.notes.at(e.Req); e.Answer == OK && !(n.gone && s.DropLate) {
		s.fill(e, 0, do)
	}
	s.serve(e, e.Req, FromOrigin, do)
	if !s.Coalesce {
		return
	}
	f := s.flights[e.Key]
	delete(s.flights, e.Key)
	for q := f.first; q != 0; q = s.notes[q].next {
		s.serve(e, q, FromOther, do)
	}
}

func (s *plain) serve(e *Event, q Req, as Served, do *Actions) {
	n := s.notes.at(q)
	switch {
	case n.served:
	case e.Answer == OK:
		do.Add(Action{Kind: Serve, Req: q, Key: e.Key, Value: e.Value, As: as})
	case n.value.Version != 0:
		spare(e.Now, q, e.Key, &n.value, do)
	default:
		do.Add(Action{Kind: Serve, Req: q, Key: e.Key, As: WithError})
	}
}

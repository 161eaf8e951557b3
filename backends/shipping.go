package backends

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"
)

// shipmentsAhead bounds the batches of a Load of which the result has not been told.
const shipmentsAhead = 64

// A Shipping is the bookkeeping that every Load needs: its results are told in the order
// of the batches, in whatever order records are settled. It knows nothing of servers.
//
//	batches -> take (of the backend) -> Outcome, Expect ... Settled (anybody) -> Tell
type Shipping struct {
	Asked context.Context          // its end forbids to send; what was sent is told first
	Tell  func(Result, error) bool // the yield of Load; nobody else calls it during Run

	pending []*Shipment // in the order of their batches

	mu     sync.Mutex
	untold []error // of Say
	end    error   // of Say, the first that is one
}

// A Shipment is a batch on its way.
type Shipment struct {
	outcomes []Outcome
	open     atomic.Int32 // outcomes that are to come, and 1 while it is being taken on
	over     chan struct{}
}

// Outcome adds the next one, for take to fill in, or, where that calls Expect, for whoever
// calls Settled. A batch has no more of them than records.
func (s *Shipment) Outcome(key string) *Outcome {
	s.outcomes = append(s.outcomes, Outcome{Key: key})
	return &s.outcomes[len(s.outcomes)-1]
}

// Expect says that the outcome which was added last is to come.
func (s *Shipment) Expect() { s.open.Add(1) }

// Settled says that n outcomes which were to come are there.
func (s *Shipment) Settled(n int) {
	if s.open.Add(int32(-n)) == 0 {
		close(s.over)
	}
}

// Run takes batches on and tells what became of them, as Loader promises it. take returns
// when the outcomes of its batch are added, false only because Drain did; unfinished are
// those of values whose last part never came. whole is false where the caller need not
// wait for what is under way: the reader has stopped, or an error of Say was the end.
func (s *Shipping) Run(batches iter.Seq2[[]Record, error], take func(*Shipment, []Record) bool, unfinished func() []Outcome) (whole bool) {
	for batch, err := range batches {
		if err == nil && s.Asked.Err() != nil {
			err = context.Cause(s.Asked)
		}
		if err != nil {
			if !s.Drain() {
				return false
			}
			if s.Tell(Result{}, err) && !Ends(err) {
				continue
			}
			return true
		}
		ship := &Shipment{outcomes: make([]Outcome, 0, len(batch)), over: make(chan struct{})}
		ship.Expect()
		more := take(ship, batch)
		ship.Settled(1)
		s.pending = append(s.pending, ship)
		if !more || !s.settle(shipmentsAhead) {
			return false
		}
	}
	if !s.Drain() {
		return false
	}
	if rest := unfinished(); len(rest) > 0 && !s.Tell(Result{Outcomes: rest}, nil) {
		return true
	}
	if s.Asked.Err() != nil {
		s.Tell(Result{}, context.Cause(s.Asked))
	}
	return true
}

// Drain waits until nothing is under way. It tells whether take may go on.
func (s *Shipping) Drain() bool { return s.settle(0) }

// settle tells the results that are there, waits for those before the last left, and says
// whether the stream goes on.
func (s *Shipping) settle(left int) bool {
	for len(s.pending) > 0 {
		first := s.pending[0]
		if first.open.Load() > 0 && len(s.pending) <= left && !s.ending() {
			break
		}
		<-first.over
		s.pending[0], s.pending = nil, s.pending[1:]
		if !s.Tell(Result{Outcomes: first.outcomes}, nil) || !s.tellErrors() {
			return false
		}
	}
	return s.tellErrors()
}

// Say has an error told behind the results that are there; one that Ends the stream comes
// behind all of what is under way. Anybody may call it.
func (s *Shipping) Say(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !Ends(err):
		s.untold = append(s.untold, err)
	case s.end == nil:
		s.end = err
	}
}

func (s *Shipping) ending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end != nil && s.Asked.Err() == nil
}

// tellErrors tells what Say was given, and whether the stream goes on. It is silent
// after the end of Asked, which explains it all.
func (s *Shipping) tellErrors() bool {
	if s.Asked.Err() != nil {
		return true
	}
	s.mu.Lock()
	untold, end := s.untold, s.end
	s.untold = nil
	s.mu.Unlock()
	for _, err := range untold {
		if !s.Tell(Result{}, err) {
			return false
		}
	}
	if end != nil && len(s.pending) == 0 {
		s.Tell(Result{}, end)
		return false
	}
	return true
}

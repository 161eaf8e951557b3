package journal

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cachectl/cachectl/backends"
)

// A State is how far a run has come: what a journal tells of it, or what has become of
// it since it began.
type State struct {
	Head
	Pass     int                                // 1 is the first
	Marks    map[string]backends.Mark           // by shard: everything before it is settled
	Counts   map[string]map[backends.Verb]int64 // by shard; "" is a list's
	PerPass  []int64                            // keys met by each pass
	Failures []backends.Outcome
	List     []string // what is left of the list
	Ended    string   // how the run ended before; "" where nobody could say
	// Again are shards whose keys may be counted twice: something of them was settled, and
	// then they were walked from before that. "" is the list.
	Again map[string]bool
	// Unsaid is how many keys at most were changed by runs that were killed before they said
	// so: of a deletion those are gone, and in no count.
	Unsaid int64

	open    int64                         // keys that were to be changed, and of which nothing is said yet
	later   bool                          // this is not the first round of the pass
	begun   map[string]bool               // shards that a page of this round has come from
	beyond  map[string]bool               // shards of which more is counted than lies before their mark
	settled int                           // keys of the list that are settled
	behind  int                           // keys of the list that follow one that failed in this round
	stuck   map[string][]backends.Outcome // failed in this round, and the shard's mark waits for its end
	waiting map[string]backends.Mark      // the mark of a shard's last page, where it is stuck
}

// NewState is the beginning of a run.
func NewState() *State {
	s := &State{Again: make(map[string]bool)}
	s.clear()
	s.Counts = make(map[string]map[backends.Verb]int64)
	return s
}

func (s *State) clear() {
	s.Marks = make(map[string]backends.Mark)
	s.stuck = make(map[string][]backends.Outcome)
	s.waiting = make(map[string]backends.Mark)
	s.begun, s.beyond, s.later = make(map[string]bool), make(map[string]bool), false
}

// Begin opens pass n: every shard is walked from its beginning.
func (s *State) Begin(n int) {
	s.Pass = n
	s.clear()
	for len(s.PerPass) < n {
		s.PerPass = append(s.PerPass, 0)
	}
}

// Sum is how many keys that became of, on all shards.
func (s *State) Sum(did backends.Verb) (n int64) {
	for _, counts := range s.Counts {
		n += counts[did]
	}
	return n
}

// Add counts keys that no page brought.
func (s *State) Add(shard string, did backends.Verb, n int64) { s.count(shard, did, n) }

func (s *State) count(shard string, did backends.Verb, n int64) {
	if s.Counts[shard] == nil {
		s.Counts[shard] = make(map[backends.Verb]int64)
	}
	s.Counts[shard][did] += n
	if s.Pass > 0 {
		s.PerPass[s.Pass-1] += n
	}
}

// A place is before or behind the mark of a shard.
type place struct {
	shard  string
	behind bool // a key before it has failed
}

// drain applies results, and returns what a journal says of them. Keys that failed are
// not settled before the round is: if their node was lost, they are tried again, and
// the shard's mark stays in front of them.
func (s *State) drain(results []backends.Result) []record {
	var all []record
	lines := make(map[place]int)
	for _, r := range results {
		at := place{strings.Clone(r.Shard), s.stays(r)}
		n, ok := lines[at]
		if !ok {
			n, lines[at] = len(all), len(all)
			all = append(all, record{Did: &at.shard, Count: make(map[string]int64)})
		}
		line := &all[n]
		line.Again = s.comesAgain(r) || line.Again
		for _, o := range r.Outcomes {
			if o.Did == backends.Failed {
				continue
			}
			line.Count[string(o.Did)]++
			s.count(r.Shard, o.Did, 1)
			s.beyond[at.shard] = at.behind
		}
		switch {
		case s.Listed && at.behind:
			s.behind += len(r.Outcomes)
		case s.Listed:
			line.Skip += len(r.Outcomes)
		case !at.behind:
			s.Marks[at.shard], line.After = r.After, r.After
		case r.Last:
			s.waiting[at.shard] = r.After
		}
	}
	return all
}

// stays takes note of the keys of a result that failed, and tells whether the mark stays
// in front of it.
func (s *State) stays(r backends.Result) bool {
	for _, o := range r.Outcomes {
		if o.Did == backends.Failed {
			o.Key = strings.Clone(o.Key)
			s.stuck[r.Shard] = append(s.stuck[r.Shard], o)
		}
	}
	return len(s.stuck[r.Shard]) > 0
}

// comesAgain tells whether a result is the first of a walk that begins elsewhere than at
// its shard's mark, although the pass has met keys: by then they may be on this shard.
// The first page of a walk says where it begins.
func (s *State) comesAgain(r backends.Result) bool {
	if s.Listed || s.begun[r.Shard] {
		return false
	}
	s.begun[r.Shard] = true
	if !s.later || s.Pass == 0 || r.After == s.Marks[r.Shard] || s.PerPass[s.Pass-1] == 0 {
		return false
	}
	s.Again[r.Shard] = true
	return true
}

// Round settles the failures of a round: those of shards that were lost are dropped,
// and of a list returned, to be tried again; the others are final.
func (s *State) Round(j *Journal, lost func(shard string) bool) (again []string, err error) {
	return s.round(j, lost, func(string) bool { return false })
}

// Stop settles the failures of a run's last round, which it did not end in good order: those
// of shards that stay open count for who tells of this run, and the run that goes on tries
// them again, for the journal has nothing of them. The others are final.
func (s *State) Stop(j *Journal, open func(shard string) bool) error {
	_, err := s.round(j, open, open)
	return err
}

func (s *State) round(j *Journal, lost, told func(shard string) bool) (again []string, err error) {
	for _, shard := range slices.Sorted(maps.Keys(s.stuck)) {
		failed := s.stuck[shard]
		if lost(shard) {
			for _, o := range failed {
				again = append(again, o.Key)
			}
			if told(shard) {
				s.fail(shard, failed)
			}
			if s.beyond[shard] && !s.Listed && !told(shard) {
				s.Again[shard] = true
				if j != nil {
					err = errors.Join(err, j.write(record{Did: &shard, Again: true}))
				}
			}
			continue
		}
		line := record{Did: &shard, Count: map[string]int64{string(backends.Failed): int64(len(failed))}}
		for _, o := range failed {
			line.Failed = append(line.Failed, failure{name(o.Key), o.Err.Error()})
		}
		s.fail(shard, failed)
		if mark, ok := s.waiting[shard]; ok {
			s.Marks[shard], line.After = mark, mark
		}
		if j != nil {
			err = errors.Join(err, j.write(line))
		}
	}
	s.stuck, s.waiting = make(map[string][]backends.Outcome), make(map[string]backends.Mark)
	s.begun, s.beyond, s.later = make(map[string]bool), make(map[string]bool), true
	if j == nil {
		return again, nil
	}
	if s.behind > 0 {
		err = errors.Join(err, j.write(record{Skip: s.behind, Redo: names(again)}))
		s.behind = 0
	}
	if err == nil {
		err = j.sync()
	}
	return again, j.fail(err)
}

func (s *State) fail(shard string, failed []backends.Outcome) {
	s.count(shard, backends.Failed, int64(len(failed)))
	s.Failures = append(s.Failures, failed...)
}

func isText(s string) bool { return utf8.ValidString(s) }

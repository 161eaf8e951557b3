package loadgen

import "time"

// A feed brings a loop its ops, phase by phase.
type feed struct {
	source Source
	phases []Phase
	ends   []time.Duration // of the phases, since the start
	at     int             // phase of op
	op     Op              // the next one, where have
	have   bool
	closed bool // op is of a closed loop: it is due whenever there is room
	over   bool

	warmup time.Duration // how long the phases are before the first that counts
	length time.Duration // of all phases
}

func newFeed(s Source, phases []Phase) feed {
	f := feed{source: s, phases: phases}
	warm := true
	for _, p := range phases {
		f.length += p.Length
		f.ends = append(f.ends, f.length)
		if warm = warm && p.Warmup; warm {
			f.warmup = f.length
		}
	}
	return f
}

// peek is the next op, nil when there will be no more. It stays the same until take, or
// until the phase of a closed loop is over. In a closed loop it is due at the phase's beginning.
func (f *feed) peek(now time.Duration) *Op {
	for !f.over {
		if f.have {
			if !f.closed || now < f.ends[f.at] {
				return &f.op
			}
			f.have = false
			e, can := f.source.(Ender)
			if !can {
				break
			}
			e.EndPhase()
		}
		if f.have = f.source.Next(&f.op); !f.have {
			break
		}
		for f.at < len(f.ends)-1 && f.op.Due >= f.ends[f.at] {
			f.at++
		}
		f.closed = len(f.phases) > 0 && f.phases[f.at].Closed()
	}
	f.over = true
	return nil
}

// take goes on behind the op that peek showed.
func (f *feed) take() { f.have = false }

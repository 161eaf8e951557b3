package fleet

import (
	"fmt"
	"slices"
	"time"
)

// A Trigger is something that happens to the whole at a time.
type Trigger struct {
	At  time.Duration `json:"at_ns"` // since the start, warm-up included
	Do  string        `json:"do"`    // Flush, Expire or Outage
	For time.Duration `json:"for_ns,omitempty"`
}

// What triggers do.
const (
	Flush  = "flush"  // all of our keys, locks and leases are removed from the cache
	Expire = "expire" // all TTLs end at once: values with a soft TTL go past it, others go, and what has no TTL stays
	Outage = "outage" // fetches and commits that end within For fail
	Crash  = "crash"  // one of the processes crashes, each as likely, with all its requests and all that is in its memory
)

// Valid tells what is wrong with the trigger.
func (t *Trigger) Valid() error {
	switch {
	case !slices.Contains([]string{Flush, Expire, Outage, Crash}, t.Do):
		return fmt.Errorf("trigger %q: there are flush, expire, outage and crash", t.Do)
	case t.At < 0 || t.For < 0:
		return fmt.Errorf("trigger %s: negative time", t.Do)
	case t.Do == Outage && t.For == 0:
		return fmt.Errorf("trigger outage: no length is given")
	}
	return nil
}

// aftermath judges the ticks from a trigger until before end.
func aftermath(t Trigger, rule RecoveryRule, ticks []Tick, end time.Duration) Aftermath {
	a := Aftermath{Trigger: t}
	first := int((t.At + time.Second - 1) / time.Second)
	last := min(int(end/time.Second), len(ticks))
	row := 0
	var start int
	var late Tick
	for i := first; i < last; i++ {
		tick := &ticks[i]
		a.GaveUp += tick.GaveUp
		a.Starts += tick.Starts
		if i == first+5 {
			a.Fifth = tick.HitRatio()
		}
		if i >= last-10 {
			late.merge(tick)
		}
		if tick.Reads == 0 || a.Recovered {
			continue
		}
		if tick.HitRatio() <= rule.Ratio {
			row = 0
			continue
		}
		if row == 0 {
			start = i
		}
		if row++; row == rule.Seconds {
			a.Recovered, a.After = true, time.Duration(start)*time.Second-t.At
		}
	}
	a.Hits = late.HitRatio()
	return a
}

// overloaded tells whether a run of end's length ended so; servers is what its origin has.
func overloaded(ticks []Tick, servers int, end time.Duration) bool {
	last := min(int(end/time.Second), len(ticks))
	if servers == 0 || last < 10 {
		return false
	}
	failed := uint64(0)
	for _, t := range ticks[last-10 : last] {
		if t.Least < servers {
			return false
		}
		failed += t.GaveUp + t.Errors
	}
	return failed > 0
}

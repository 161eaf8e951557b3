package loadgen

import "fmt"

// A sum is something that is counted in two ways.
type sum struct {
	what   string
	is     uint64
	of     string
	wanted uint64
}

func unequal(sums ...sum) error {
	for _, s := range sums {
		if s.is != s.wanted {
			return fmt.Errorf("its counts do not add up: %s are %d, and %s %d", s.what, s.is, s.of, s.wanted)
		}
	}
	return nil
}

// addsUp names what no run leaves behind: every request that was due is sent or dropped, every one that was sent is
// done, refused or lost, what is done has a latency, and seconds add up to the kinds of requests. Counts must be bounded (see valid).
// A run is saved without it, because what was measured is not to be lost.
func (r *Report) addsUp() error {
	var all Tally
	for i := range r.Tallies {
		t, of := &r.Tallies[i], Do(i).String()+"s"
		found := sum{"hits and misses of " + of, t.Hits + t.Misses, "those done", t.Done}
		if Do(i) == Write {
			found = sum{"hits and misses of writes", t.Hits + t.Misses, "there can be", 0}
		}
		if err := unequal(
			sum{of + " sent or dropped", t.Sent + t.Dropped, "those due", t.Due},
			sum{of + " done, refused or lost", t.Done + t.Refused + t.Lost, "those sent", t.Sent},
			sum{"latencies of " + of, t.Latency.Count(), "those done", t.Done},
			sum{"service times of " + of, t.Service.Count(), "those done", t.Done},
			found,
		); err != nil {
			return err
		}
		all.addCounts(t.Due, t.Sent, t.Done, t.Refused, t.Lost, t.Dropped)
	}
	all.Hits, all.Misses = r.Tallies[Read].Hits, r.Tallies[Read].Misses
	var seconds Tally
	for i := range r.Ticks {
		t := &r.Ticks[i]
		if err := unequal(sum{fmt.Sprintf("latencies of second %d", i+1), t.Latency.Count(), "the requests done in it", t.Done}); err != nil {
			return err
		}
		seconds.addCounts(t.Due, t.Sent, t.Done, t.Refused, t.Lost, t.Dropped)
		seconds.Hits, seconds.Misses = seconds.Hits+t.Hits, seconds.Misses+t.Misses
	}
	if err := unequal(
		sum{"requests due in all seconds", seconds.Due, "those of all kinds", all.Due},
		sum{"requests sent in all seconds", seconds.Sent, "those of all kinds", all.Sent},
		sum{"requests done in all seconds", seconds.Done, "those of all kinds", all.Done},
		sum{"requests refused in all seconds", seconds.Refused, "those of all kinds", all.Refused},
		sum{"requests lost in all seconds", seconds.Lost, "those of all kinds", all.Lost},
		sum{"requests dropped in all seconds", seconds.Dropped, "those of all kinds", all.Dropped},
		sum{"hits in all seconds", seconds.Hits, "those of all reads", all.Hits},
		sum{"misses in all seconds", seconds.Misses, "those of all reads", all.Misses},
	); err != nil {
		return err
	}
	left := all.Errors()
	for why, n := range r.Errors {
		if n > left {
			return fmt.Errorf("its counts do not add up: more errors are named than the %d requests that were refused or lost (%d of %q)", all.Errors(), n, why)
		}
		left -= n
	}
	if late := r.Late.Count(); late > all.Due {
		return unequal(sum{"requests that the generator came round to", late, "those due", all.Due})
	}
	return nil
}

func (t *Tally) addCounts(due, sent, done, refused, lost, dropped uint64) {
	t.Due, t.Sent, t.Done = t.Due+due, t.Sent+sent, t.Done+done
	t.Refused, t.Lost, t.Dropped = t.Refused+refused, t.Lost+lost, t.Dropped+dropped
}

package loadgen

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// apart is how far apart shards may have started and still be one run.
const apart = 500 * time.Millisecond

// Merge makes one report of those of a run's shards, which it leaves as they are. Counts and
// histograms add up exactly; seconds are put together by the clock (Started and Tick.At), so
// the shards are to start at one time. Reports of other traffic or another target,
// and a shard that comes twice, are refused. What is missing, or did not run at the
// same time, is said in the sum's Invalid.
func Merge(shards ...*Report) (*Report, error) {
	if len(shards) == 0 {
		return nil, errors.New("merge reports: there are none")
	}
	byShard := slices.Clone(shards)
	slices.SortStableFunc(byShard, func(a, b *Report) int { return cmp.Compare(a.Traffic.Shard.Index, b.Traffic.Shard.Index) })
	if err := oneRun(byShard); err != nil {
		return nil, err
	}
	first := byShard[0]
	sum := &Report{Traffic: first.Traffic, Target: first.Target, Started: first.Started}
	sum.Traffic.Shard = Shard{}
	for _, s := range byShard {
		if s.Started.Before(sum.Started) {
			sum.Started = s.Started
		}
	}
	for _, s := range byShard {
		sum.add(s)
	}
	slices.SortFunc(sum.Ticks, func(a, b Tick) int { return cmp.Compare(a.At, b.At) })
	sum.Invalid = append(missing(byShard), sum.Invalid...)
	return sum, nil
}

// oneRun tells why the reports, ordered by shard, are not of one run.
func oneRun(shards []*Report) error {
	first := shards[0]
	for i, s := range shards {
		switch of := s.Traffic.Shard; {
		case s.Target != first.Target:
			return fmt.Errorf("merge reports: one went to %s, another to %s", first.Target, s.Target)
		case of.Of != first.Traffic.Shard.Of:
			return fmt.Errorf("merge reports: shards %s and %s are not of one run", first.Traffic.Shard, of)
		case of.Of > 0 && (of.Index < 0 || of.Index >= of.Of):
			return fmt.Errorf("merge reports: there is no shard %s", of)
		case i > 0 && of.Of <= 1:
			return errors.New("merge reports: each is of a whole run, not of a shard (runs are compared, not merged)")
		case i > 0 && of.Index == shards[i-1].Traffic.Shard.Index:
			return fmt.Errorf("merge reports: shard %s comes twice", of)
		}
		if differs := unlike(first.Traffic, s.Traffic); differs != "" {
			return fmt.Errorf("merge reports: the traffic of shards %s and %s differs in its %s", first.Traffic.Shard, s.Traffic.Shard, differs)
		}
	}
	return nil
}

// unlike names what two traffics differ in, other than the shard; "" is nothing.
func unlike(a, b Traffic) string {
	var names []string
	for _, part := range []struct {
		name string
		a, b any
	}{
		{"seed", a.Seed, b.Seed}, {"phases", a.Phases, b.Phases}, {"keys", a.Keys, b.Keys},
		{"sizes", a.Sizes, b.Sizes}, {"TTLs", a.TTLs, b.TTLs}, {"mix", a.Mix, b.Mix},
	} {
		if !reflect.DeepEqual(part.a, part.b) {
			names = append(names, part.name)
		}
	}
	a.Shard, b.Shard = Shard{}, Shard{}
	if len(names) == 0 && !reflect.DeepEqual(a, b) {
		names = append(names, "description")
	}
	return strings.Join(names, ", ")
}

// add takes one shard in. r.Started is the earliest of all.
func (r *Report) add(s *Report) {
	for i := range r.Tallies {
		r.Tallies[i].Merge(&s.Tallies[i])
	}
	r.Late.Merge(&s.Late)
	r.Connections += s.Connections
	r.Depth = max(r.Depth, s.Depth)
	r.Closed = r.Closed || s.Closed
	for why, n := range s.Errors {
		if r.Errors == nil {
			r.Errors = make(map[string]uint64)
		}
		r.Errors[why] += n
	}
	shift := s.Started.Sub(r.Started)
	r.Length = max(r.Length, shift+s.Length)
	at := make(map[time.Duration]int, len(r.Ticks))
	for i := range r.Ticks {
		at[r.Ticks[i].At] = i
	}
	for i := range s.Ticks {
		second := (s.Ticks[i].At + shift).Round(time.Second)
		j, met := at[second]
		if !met {
			j = len(r.Ticks)
			at[second] = j
			r.Ticks = append(r.Ticks, Tick{At: second})
		}
		r.Ticks[j].Merge(&s.Ticks[i])
		r.Ticks[j].Latency.Coarsen()
	}
	of := "shard " + s.Traffic.Shard.String()
	if shift > apart {
		r.Invalid = append(r.Invalid, fmt.Sprintf("%s started %v after the first", of, shift.Round(100*time.Millisecond)))
	}
	for _, why := range s.Invalid {
		if s.Traffic.Shard.Of > 1 {
			why = of + ": " + why
		}
		r.Invalid = append(r.Invalid, why)
	}
}

// missing says which shards are not there.
func missing(shards []*Report) []string {
	of := shards[0].Traffic.Shard.Of
	if len(shards) == max(of, 1) {
		return nil
	}
	there := make(map[int]bool, len(shards))
	have := make([]string, len(shards))
	for i, s := range shards {
		there[s.Traffic.Shard.Index], have[i] = true, strconv.Itoa(s.Traffic.Shard.Index+1)
	}
	var lack []string
	for i := 0; i < of && len(lack) <= 20; i++ {
		if !there[i] {
			lack = append(lack, strconv.Itoa(i+1))
		}
	}
	if len(lack) > 20 {
		lack[20] = "..."
	}
	return []string{fmt.Sprintf("shards %s of %d are here, %s missing", strings.Join(have, ","), of, strings.Join(lack, ","))}
}

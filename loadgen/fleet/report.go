package fleet

import (
	"time"

	"github.com/cachectl/cachectl/loadgen"
)

// A Report is what a run cost the origin and those who waited. Totals are of requests that were due, and
// of what was done, after the warm-up; the series has the warm-up too. It is plain data.
type Report struct {
	Strategy  string        `json:"strategy"`
	Processes int           `json:"processes"`
	Runs      int           `json:"runs"`      // how many were added up
	Warmup    time.Duration `json:"warmup_ns"` // of each run
	Length    time.Duration `json:"length_ns"` // of each run, warm-up included

	Reads    uint64              `json:"reads"`  // requests that arrived
	Writes   uint64              `json:"writes"` // requests that arrived
	Served   [servedKinds]uint64 `json:"served"` // by Served; while the client listened
	GaveUp   uint64              `json:"gave_up"`
	Crashed  uint64              `json:"crashed"`  // requests whose process ended under them
	Unserved uint64              `json:"unserved"` // requests that had no answer yet when the run was broken off

	Latency loadgen.Histogram `json:"latency"`        // of reads, from the moment they were due; one that gave up counts with its patience
	Window  loadgen.Histogram `json:"window_latency"` // of those among them that came while the key was missing
	Writing loadgen.Histogram `json:"write_latency"`  // of writes

	Cycles      Cycles       `json:"cycles"`
	Origin      OriginTally  `json:"origin"`
	Cache       CacheTally   `json:"cache"`
	Locks       LockTally    `json:"locks"`
	Stale       StaleTally   `json:"stale"`
	Lost        uint64       `json:"lost"` // acknowledged writes that are gone
	Consistency Consistency  `json:"consistency"`
	Ticks       []Tick       `json:"ticks"` // one a second since the start
	After       []Aftermath  `json:"after"` // of each trigger of each run, in order
	Rule        RecoveryRule `json:"recovery_rule"`
	// Overloaded is how many runs ended with an origin that had had all its servers busy for the last ten
	// seconds without a break while requests failed: load that its clients cannot use.
	Overloaded int `json:"overloaded"`
}

// Cycles are what happened between rests. A cycle begins when the origin starts work on a key that it has
// not been working on, and ends when it is done with that key.
type Cycles struct {
	Starts     Counts            `json:"starts"`     // origin reads of a cycle
	Peak       Counts            `json:"peak"`       // most reads of the key that were under way at once in a cycle
	Missing    loadgen.Histogram `json:"missing"`    // how long the key was not there: from the first miss to the first set or hit after it
	Lead       loadgen.Histogram `json:"lead"`       // of cycles that began early: how long before the value's end
	Early      uint64            `json:"early"`      // cycles that began while the value was fresh
	Dropped    uint64            `json:"dropped"`    // not counted: of the warm-up, or a key's first
	Unfinished uint64            `json:"unfinished"` // not counted: the last requests had come before they ended
}

// Duplicated is the share of origin reads in cycles that were not the first of theirs.
func (c *Cycles) Duplicated() float64 {
	if c.Starts.Sum == 0 {
		return 0
	}
	return float64(c.Starts.Sum-c.Starts.N) / float64(c.Starts.Sum)
}

// An OriginTally is what the origin was asked.
type OriginTally struct {
	Reads      uint64 `json:"reads"`
	Refused    uint64 `json:"refused"` // reads and writes that it did not take, in no other count
	Writes     uint64 `json:"writes"`
	Failed     uint64 `json:"failed"` // refused, out of time, or broken
	Early      uint64 `json:"early"`  // reads while the value was fresh
	Late       uint64 `json:"late"`   // reads that brought a value when the client had given up
	LateStored uint64 `json:"late_stored"`
	Peak       int    `json:"peak"` // most reads and writes under way or waiting at once
}

// A CacheTally is what the shared cache was asked, and what the processes' own layers spared it.
type CacheTally struct {
	Hits    uint64 `json:"hits"`   // of gets and leases
	Misses  uint64 `json:"misses"` // of gets and leases
	Sets    uint64 `json:"sets"`
	Denied  uint64 `json:"denied"` // sets and deletes whose CAS did not hold
	Deletes uint64 `json:"deletes"`
	Failed  uint64 `json:"failed"`
	Evicted uint64 `json:"evicted"`
}

// A LockTally is what became of locks and leases.
type LockTally struct {
	Won     uint64            `json:"won"`
	Denied  uint64            `json:"denied"`
	Expired uint64            `json:"expired"` // of locks: when their holder released them they were not its own any more
	Crashes uint64            `json:"crashes"` // of winners, injected
	Waited  loadgen.Histogram `json:"waited"`  // from the first denial to the answer, of requests that had to wait
}

// A StaleTally is how old answers were.
type StaleTally struct {
	Reads uint64            `json:"reads"` // answered with a version that was not the latest
	Age   loadgen.Histogram `json:"age"`   // of those: since the next version
	Past  loadgen.Histogram `json:"past"`  // of what was served stale on purpose: since its soft TTL, or since it was read where it had none
}

// A Tick is one second of all runs.
type Tick struct {
	Reads  uint64 `json:"reads"`   // due in it
	Writes uint64 `json:"writes"`  // due in it
	Hits   uint64 `json:"hits"`    // of the reads due in it: served from cache, local or stale
	Good   uint64 `json:"good"`    // served in it, without error and in time
	GaveUp uint64 `json:"gave_up"` // in it
	Errors uint64 `json:"errors"`  // served in it
	Stale  uint64 `json:"stale"`   // served in it, with a version that was not the latest
	Starts uint64 `json:"starts"`  // of origin reads and writes
	Most   int    `json:"most"`    // reads and writes at the origin at once
	Least  int    `json:"least"`
}

// A RecoveryRule says when a run has recovered from a trigger: when Seconds consecutive seconds have
// a hit ratio above Ratio. Seconds in which nothing is read neither count nor break the row.
type RecoveryRule struct {
	Ratio   float64 `json:"ratio"`
	Seconds int     `json:"seconds"`
}

// An Aftermath is what followed a trigger.
type Aftermath struct {
	Trigger   Trigger       `json:"trigger"`
	Recovered bool          `json:"recovered"`     // before the end, or the next trigger
	After     time.Duration `json:"after_ns"`      // how long after the trigger the row of good seconds began; 0: at once, or never
	Hits      float64       `json:"hits"`          // hit ratio over the last ten seconds before the end or the next trigger
	Fifth     float64       `json:"hits_at_fifth"` // hit ratio of the fifth second after the trigger
	GaveUp    uint64        `json:"gave_up"`       // in between
	Starts    uint64        `json:"starts"`        // in between
}

// HitRatio is hits over reads.
func (t *Tick) HitRatio() float64 {
	if t.Reads == 0 {
		return 0
	}
	return float64(t.Hits) / float64(t.Reads)
}

// Hits is the share of reads that were answered without waiting for the origin.
func (r *Report) Hits() float64 {
	if r.Reads == 0 {
		return 0
	}
	return float64(r.Served[FromCache]+r.Served[FromLocal]+r.Served[FromStale]) / float64(r.Reads)
}

// Good is how many requests were answered in time and without error.
func (r *Report) Good() uint64 {
	sum := uint64(0)
	for as, n := range r.Served {
		if Served(as) != WithError {
			sum += n
		}
	}
	return sum
}

// Merge adds the runs of other: the same experiment with other seeds, or its other shards. Counts add
// up; of peaks the greatest stands, so for shards that had one origin together it is only a lower bound.
func (r *Report) Merge(other *Report) {
	if r.Runs == 0 {
		r.Strategy, r.Processes, r.Warmup, r.Length, r.Rule = other.Strategy, other.Processes, other.Warmup, other.Length, other.Rule
	}
	r.Runs += other.Runs
	r.Length = max(r.Length, other.Length)
	r.Reads += other.Reads
	r.Writes += other.Writes
	for i := range r.Served {
		r.Served[i] += other.Served[i]
	}
	r.GaveUp += other.GaveUp
	r.Crashed += other.Crashed
	r.Unserved += other.Unserved
	r.Lost += other.Lost
	r.Overloaded += other.Overloaded
	r.Latency.Merge(&other.Latency)
	r.Window.Merge(&other.Window)
	r.Writing.Merge(&other.Writing)
	r.Cycles.merge(&other.Cycles)
	r.Origin.merge(&other.Origin)
	r.Cache.merge(&other.Cache)
	r.Locks.merge(&other.Locks)
	r.Consistency.merge(&other.Consistency)
	r.Stale.Reads += other.Stale.Reads
	r.Stale.Age.Merge(&other.Stale.Age)
	r.Stale.Past.Merge(&other.Stale.Past)
	r.After = append(r.After, other.After...)
	for i := range other.Ticks {
		if i == len(r.Ticks) {
			r.Ticks = append(r.Ticks, other.Ticks[i])
			continue
		}
		r.Ticks[i].merge(&other.Ticks[i])
	}
}

func (c *Cycles) merge(other *Cycles) {
	c.Starts.Merge(&other.Starts)
	c.Peak.Merge(&other.Peak)
	c.Missing.Merge(&other.Missing)
	c.Lead.Merge(&other.Lead)
	c.Early += other.Early
	c.Dropped += other.Dropped
	c.Unfinished += other.Unfinished
}

func (o *OriginTally) merge(other *OriginTally) {
	o.Reads += other.Reads
	o.Refused += other.Refused
	o.Writes += other.Writes
	o.Failed += other.Failed
	o.Early += other.Early
	o.Late += other.Late
	o.LateStored += other.LateStored
	o.Peak = max(o.Peak, other.Peak)
}

func (c *CacheTally) merge(other *CacheTally) {
	c.Hits += other.Hits
	c.Misses += other.Misses
	c.Sets += other.Sets
	c.Denied += other.Denied
	c.Deletes += other.Deletes
	c.Failed += other.Failed
	c.Evicted += other.Evicted
}

func (l *LockTally) merge(other *LockTally) {
	l.Won += other.Won
	l.Denied += other.Denied
	l.Expired += other.Expired
	l.Crashes += other.Crashes
	l.Waited.Merge(&other.Waited)
}

func (t *Tick) merge(other *Tick) {
	t.Reads += other.Reads
	t.Writes += other.Writes
	t.Hits += other.Hits
	t.Good += other.Good
	t.GaveUp += other.GaveUp
	t.Errors += other.Errors
	t.Stale += other.Stale
	t.Starts += other.Starts
	t.Most = max(t.Most, other.Most)
	t.Least = min(t.Least, other.Least)
}

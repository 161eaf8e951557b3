package fleet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Origin describes what stands behind the cache. The zero Origin answers at once, however many ask.
type Origin struct {
	Reads   Law     `json:"reads"`             // the work of a fetch: how long it takes when nothing else is going on
	Writes  *Law    `json:"writes,omitempty"`  // the work of a commit; nil: as Reads
	Servers int     `json:"servers,omitempty"` // how many jobs it works on at a time; 0: all
	Queue   int     `json:"queue,omitempty"`   // how many may wait for a server, the rest is refused; 0: all, and negative: none
	Sharing bool    `json:"sharing,omitempty"` // no queue: all jobs share the Servers evenly, none faster than one of them (processor sharing). Queue limits how many there are beyond Servers
	Early   bool    `json:"early,omitempty"`   // a fetch sees the data as they are when its work begins; else as they are when it ends
	Fails   float64 `json:"fails,omitempty"`   // share of the jobs that end with an error
}

// Valid tells what is wrong with the origin.
func (o *Origin) Valid() error {
	if err := o.Reads.Valid(); err != nil {
		return fmt.Errorf("origin: %w", err)
	}
	if o.Writes != nil {
		if err := o.Writes.Valid(); err != nil {
			return fmt.Errorf("origin: writes: %w", err)
		}
	}
	switch {
	case o.Servers < 0:
		return fmt.Errorf("origin: %d servers", o.Servers)
	case o.Servers == 0 && (o.Sharing || o.Queue != 0):
		return fmt.Errorf("origin: it shares or queues, but the number of its servers is not given")
	case !(o.Fails >= 0 && o.Fails <= 1):
		return fmt.Errorf("origin: share of failures %v (from 0 to 1)", o.Fails)
	}
	return nil
}

// A Job is one thing for the origin to do.
type Job struct {
	ID    uint32 // the caller's
	Write bool
	Asked time.Duration // when it came
	Began time.Duration // when work on it began
	Fails bool          // it ends with an error
	ends  float64       // when it is done, in nanoseconds: of time, or of the work that each job got (sharing)
}

// A Desk does an Origin's jobs. It has no clock: it is told the time, which never goes back,
// and tells when the next job ends. It is not safe for concurrent use.
type Desk struct {
	origin  Origin
	writes  Law
	random  *rand.Rand
	ordered bool // jobs end in the order in which they came
	line    ring[Job]
	heap    heap[Job, *Job]

	free   heap[instant, *instant] // when each server is free (queueing)
	starts ring[time.Duration]

	spent float64       // sharing: the work that a job which was there all along would have got, in nanoseconds
	since time.Duration // when spent was reckoned
}

// NewDesk opens a desk. The origin must be Valid.
func NewDesk(o Origin, random *rand.Rand) *Desk {
	d := &Desk{origin: o, writes: o.Reads, random: random}
	if o.Writes != nil {
		d.writes = *o.Writes
	}
	if !o.Sharing && o.Servers > 0 {
		d.free = make([]instant, o.Servers)
	}
	same := o.Writes == nil || o.Writes.Constant() && d.writes.Mean == o.Reads.Mean
	d.ordered = !o.Sharing && same && o.Reads.Constant()
	return d
}

// Busy is how many jobs came and have not ended.
func (d *Desk) Busy() int { return d.line.len() + len(d.heap) }

// Start takes a job in at now, or refuses it.
func (d *Desk) Start(now time.Duration, id uint32, write bool) bool {
	law := &d.origin.Reads
	if write {
		law = &d.writes
	}
	job := Job{ID: id, Write: write, Asked: now, Began: now}
	switch {
	case d.origin.Sharing:
		if limit := d.limit(); d.Busy() >= limit {
			return false
		}
		d.share(now)
		job.ends = d.spent + float64(law.Draw(d.random))
	case d.origin.Servers > 0:
		for d.starts.len() > 0 && *d.starts.front() <= now {
			d.starts.pop()
		}
		wait := time.Duration(d.free[0]) > now
		if wait && d.starts.len() >= d.limit()-d.origin.Servers {
			return false
		}
		if wait {
			job.Began = time.Duration(d.free[0])
			d.starts.push(job.Began)
		}
		ends := job.Began + law.Draw(d.random)
		job.ends = float64(ends)
		d.free.sink(instant(ends))
	default:
		job.ends = float64(now + law.Draw(d.random))
	}
	job.Fails = d.origin.Fails > 0 && d.random.Float64() < d.origin.Fails
	if d.ordered {
		d.line.push(job)
	} else {
		d.heap.push(job)
	}
	return true
}

// limit is how many jobs may be there.
func (d *Desk) limit() int {
	if d.origin.Queue == 0 {
		return math.MaxInt
	}
	return d.origin.Servers + max(d.origin.Queue, 0)
}

// Next is when the next job ends if none comes before; false: there is none.
func (d *Desk) Next() (time.Duration, bool) {
	switch {
	case d.line.len() > 0:
		return time.Duration(d.line.front().ends), true
	case len(d.heap) == 0:
		return 0, false
	case d.origin.Sharing:
		left := max(d.heap[0].ends-d.spent, 0)
		return d.since + time.Duration(math.Ceil(left/d.pace())), true
	}
	return time.Duration(d.heap[0].ends), true
}

// End is the job that ends next; its time, which Next told, has come.
func (d *Desk) End(now time.Duration) Job {
	if d.line.len() > 0 {
		return d.line.pop()
	}
	if d.origin.Sharing {
		d.share(now)
	}
	return d.heap.pop()
}

// pace is how much work each job gets in a unit of time, when the origin shares.
func (d *Desk) pace() float64 {
	return min(1, float64(d.origin.Servers)/float64(max(len(d.heap), 1)))
}

// share reckons the work done until now.
func (d *Desk) share(now time.Duration) {
	d.spent += float64(now-d.since) * d.pace()
	d.since = now
}

// before orders jobs by end; of those that end together the one that came first is first.
func (j *Job) before(other *Job) bool {
	if j.ends != other.ends {
		return j.ends < other.ends
	}
	return j.Asked < other.Asked || j.Asked == other.Asked && j.ID < other.ID
}

// An instant is a time in a heap.
type instant time.Duration

func (i *instant) before(other *instant) bool { return *i < *other }

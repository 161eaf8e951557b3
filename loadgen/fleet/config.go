package fleet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/cachectl/cachectl/loadgen"
)

// A Config is an experiment of the virtual driver: who asks for what, what stands between them and the
// origin, and what happens.
type Config struct {
	Strategy  string // its name, for the report
	Maker     Maker
	Processes int            // 0: one. Each request comes to any of them, each as likely
	Seed      uint64         // of all chance but the source's
	Source    loadgen.Source // of an open loop: a closed one waits for answers, and never ends here
	Length    time.Duration  // what is due then or later does not arrive; what arrived is still served
	Warmup    time.Duration  // of Length: not in the totals
	Skip      int            // cycles of each key that are not counted; see Terms
	Load      *Load          // what is in the cache when it begins; nil: nothing

	Network  Law           // round trip between a process and the cache. The cache acts when half of it is over
	Capacity int           // keys the cache holds; the least recently used goes. 0: all
	Origin   Origin        // behind it
	Patience time.Duration // of clients; 0: endless
	Messages Law           // from a Publish to each Heard
	Missed   float64       // share of the messages that a process does not hear
	Crashes  float64       // share of the locks and leases whose winner crashes, with all its requests, when it hears that it won

	Deaths float64 // crashes a second of each process, at random, with all its requests and all that is in its memory

	Triggers []Trigger
	Rule     RecoveryRule
}

// A Load is what a cache holds at the start: keys from 0 up, as if a fetch that took Took had just brought each.
type Load struct {
	Keys     Key
	Lifetime Lifetime
	Took     time.Duration
}

// A Lifetime is how long values are kept.
type Lifetime struct {
	TTL    time.Duration `json:"ttl_ns"`             // fresh for so long; 0: for ever
	Jitter float64       `json:"jitter,omitempty"`   // TTLs are drawn evenly from TTL less this share of it to TTL more that share
	Stale  time.Duration `json:"stale_ns,omitempty"` // and kept for so long after that, for strategies that serve stale values
}

// Valid tells what is wrong with the lifetime.
func (l *Lifetime) Valid() error {
	switch {
	case l.TTL < 0 || l.Stale < 0:
		return fmt.Errorf("TTL %v, kept stale for %v: neither may be negative", l.TTL, l.Stale)
	case !(l.Jitter >= 0 && l.Jitter < 1):
		return fmt.Errorf("jitter %v is not from 0 to below 1", l.Jitter)
	case l.TTL == 0 && l.Stale > 0:
		return fmt.Errorf("what has no TTL is never stale")
	}
	return nil
}

// Draw is how long a value that comes at now is kept, and until when it is fresh (0: as long as it is kept).
func (l *Lifetime) Draw(now time.Duration, random *rand.Rand) (ttl, soft time.Duration) {
	ttl = l.TTL
	if l.Jitter > 0 {
		ttl += time.Duration(float64(ttl) * l.Jitter * (2*random.Float64() - 1))
	}
	if l.Stale > 0 {
		return ttl + l.Stale, now + ttl
	}
	return ttl, 0
}

// Valid tells what is wrong with the experiment.
func (c *Config) Valid() error {
	for _, law := range []struct {
		of string
		*Law
	}{{"network", &c.Network}, {"messages", &c.Messages}} {
		if err := law.Valid(); err != nil {
			return fmt.Errorf("%s: %w", law.of, err)
		}
	}
	if err := c.Origin.Valid(); err != nil {
		return err
	}
	last := time.Duration(0)
	for i := range c.Triggers {
		if err := c.Triggers[i].Valid(); err != nil {
			return err
		}
		if c.Triggers[i].At < last {
			return fmt.Errorf("triggers are not in the order of their time")
		}
		last = c.Triggers[i].At
	}
	if c.Load != nil {
		if err := c.Load.Lifetime.Valid(); err != nil {
			return fmt.Errorf("load: %w", err)
		}
	}
	switch {
	case c.Maker == nil || c.Source == nil:
		return fmt.Errorf("an experiment needs a strategy and a source of requests")
	case c.Processes < 0 || c.Capacity < 0 || c.Skip < 0:
		return fmt.Errorf("%d processes, room for %d keys, %d cycles not counted: none may be negative", c.Processes, c.Capacity, c.Skip)
	case c.Length <= 0 || c.Warmup < 0 || c.Warmup >= c.Length || c.Patience < 0:
		return fmt.Errorf("length %v, warm-up %v, patience %v do not make a run", c.Length, c.Warmup, c.Patience)
	case !(c.Deaths >= 0) || math.IsInf(c.Deaths, 0):
		return fmt.Errorf("%v crashes a second", c.Deaths)
	case !(c.Missed >= 0 && c.Missed <= 1) || !(c.Crashes >= 0 && c.Crashes <= 1):
		return fmt.Errorf("messages missed %v, winners crashed %v: shares are from 0 to 1", c.Missed, c.Crashes)
	}
	return nil
}

// terms are the ledger's.
func (c *Config) terms() Terms {
	return Terms{Strategy: c.Strategy, Processes: max(c.Processes, 1), Warmup: c.Warmup, Length: c.Length,
		Servers: c.Origin.Servers, Skip: c.Skip, Rule: c.Rule}
}

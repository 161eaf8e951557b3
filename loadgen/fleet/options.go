package fleet

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Options are what strategies and patterns can be told. Each takes what concerns it.
type Options struct {
	Lifetime
	Patterned
	DropLate bool          `json:"drop_late,omitempty"` // a value that comes when the client has given up is thrown away, as by who cancels its work with its request
	Coalesce bool          `json:"coalesce,omitempty"`  // without a lock: one fetch a key and process at a time, the others wait for it
	Beta     float64       `json:"beta,omitempty"`      // XFetch: above 1 it refreshes earlier
	Lock     time.Duration `json:"lock_ns,omitempty"`   // how long a lock or a lease holds
	Poll     time.Duration `json:"poll_ns,omitempty"`   // how often who waits for a lock looks again
	Ahead    time.Duration `json:"ahead_ns,omitempty"`  // lease: a value with less TTL left is refreshed; 0: none
}

// The defaults of Options.
const (
	DefaultTTL  = 10 * time.Second
	DefaultBeta = 1
	DefaultLock = 5 * time.Second
	DefaultPoll = 10 * time.Millisecond
)

// Defaults are the options of a run that says nothing.
func Defaults() Options {
	return Options{Lifetime: Lifetime{TTL: DefaultTTL, Stale: DefaultTTL}, Patterned: patternDefaults(), Beta: DefaultBeta, Lock: DefaultLock, Poll: DefaultPoll}
}

// Valid tells what is wrong with the options.
func (o *Options) Valid() error {
	if err := o.Lifetime.Valid(); err != nil {
		return err
	}
	if err := o.Patterned.Valid(); err != nil {
		return err
	}
	switch {
	case !(o.Beta >= 0):
		return fmt.Errorf("beta %v is negative", o.Beta)
	case o.Lock < 0 || o.Ahead < 0:
		return fmt.Errorf("lock for %v, refresh ahead %v: neither may be negative", o.Lock, o.Ahead)
	case o.Poll <= 0:
		return fmt.Errorf("who waits cannot look again every %v", o.Poll)
	}
	return nil
}

// A reader is what strategies of reading have in common.
type reader struct {
	Options
	random *rand.Rand
}

// tagWrite marks what a write asks for.
const tagWrite = 255

// writes takes what belongs to requests that write: commit, delete from the cache, answer.
func (r *reader) writes(e *Event, do *Actions) bool {
	switch {
	case e.Kind == Arrived && e.Write:
		do.Add(Action{Kind: Commit, Req: e.Req, Key: e.Key, Tag: tagWrite})
	case e.Tag != tagWrite:
		return false
	case e.Kind == Committed && e.Answer == OK:
		do.Add(Action{Kind: Delete, Req: e.Req, Key: e.Key, Tag: tagWrite})
	case e.Kind == Committed:
		do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key, As: WithError})
	case e.Kind == Answered:
		do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key, As: Written})
	}
	return true
}

// fill stores what was fetched.
func (r *reader) fill(e *Event, cas uint64, do *Actions) {
	a := Action{Kind: Set, Req: e.Req, Key: e.Key, Value: e.Value}
	a.TTL, a.Value.Soft = r.Draw(e.Now, r.random)
	a.Value.CAS = cas
	do.Add(a)
}

// spare serves a value that the request has in hand: past its soft TTL it is stale, and says so.
func spare(now time.Duration, req Req, key Key, v *Value, do *Actions) {
	as := FromCache
	if v.Soft != 0 && v.Soft <= now {
		as = FromStale
	}
	do.Add(Action{Kind: Serve, Req: req, Key: key, Value: *v, As: as})
}

// slots hold a strategy's notes on requests, by their numbers.
type slots[T any] []T

func (s *slots[T]) at(r Req) *T {
	for int(r) >= len(*s) {
		*s = append(*s, *new(T))
	}
	return &(*s)[r]
}

package memcached

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// An errand is what is to be done with keys. Everything else about it is the same for
// all: nodes, pages, pipelining, connections that break.
type errand struct {
	capability string        // in errors
	did        backends.Verb // of a key that it was done with
	flags      string        // what "md" has behind the key to do something else than delete
	expires    bool          // it gives TTLs
	only       backends.Condition
}

var deleting = errand{capability: "Deleter", did: backends.Deleted}

// Stale marks values as stale by "md" with I and T. Guards hold as in Delete. Marking
// gives a value another CAS number: a guarded one that a lost attempt has marked counts
// as Kept.
func (c *cache) Stale(ctx context.Context, pages iter.Seq2[backends.Page, error], stay time.Duration) iter.Seq2[backends.Result, error] {
	if stay <= 0 || stay > relativeMost {
		return func(yield func(backends.Result, error) bool) {
			yield(backends.Result{}, fmt.Errorf("a stale value stays for 1 second to 30 days, not for %v", stay))
		}
	}
	exp := strconv.FormatInt(wholeSeconds(stay), 10)
	return c.carryOut(ctx, &errand{capability: "Staler", did: backends.Staled, flags: " I T" + exp}, pages)
}

// beyond is what a server that is told in this manner cannot do of the errand.
func (e *errand) beyond(how manner, guarded bool) string {
	switch {
	case how == byDelete && e.flags != "":
		return "mark values as stale"
	case how == byDelete && guarded:
		return "leave keys alone that were written again"
	case how == byTouch && e.only != backends.Always:
		return "tell the TTL that a key has"
	}
	return ""
}

// probe finds out how a server is told. Its profile and its way to tell TTLs are
// learnt too, where the errand is about these.
func (l *lane) probe(c *conn) (manner, error) {
	how, err := c.probeDelete()
	if err != nil || !l.run.expires {
		return how, err
	}
	if l.known, err = l.profile(l.run.ctx, false); err != nil {
		return 0, err
	}
	if l.asks, err = l.node.probe(c); err != nil {
		return 0, err
	}
	switch {
	case how == byDelete, l.run.only != backends.Always && l.asks == byGets:
		return byTouch, nil
	case l.run.only == backends.Always:
		return touching, nil
	}
	return asking, nil
}

// checkTTL refuses what would delete a key.
func checkTTL(ttl time.Duration) error {
	if ttl == backends.NoTTL || ttl >= time.Millisecond {
		return nil
	}
	return fmt.Errorf("a TTL of %v would delete it", ttl)
}

// wholeSeconds rounds up.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

var errNoTTL = errors.New("the server does not tell when it expires")

var _ backends.Staler = (*cache)(nil)

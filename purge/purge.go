// Package purge says what a CDN's cache is to cachectl: a place to remove
// items from, in calls of limited size at a limited rate. It knows nothing
// about any CDN's protocol, about flags or output, and imports the standard
// library only. The pipeline built from it is always the same:
//
//	items -> Collapse -> Purger.Plan -> (people look, and agree) -> Run -> Await
//
// A purge is at least once: a call whose answer was lost is sent again, and a
// run that was cut short sends again what its journal does not tell. An empty
// list of items is never "everything": it plans no call.
package purge

import (
	"context"
	"iter"
	"net/http"
	"reflect"
	"time"
)

// A Purger removes items from one target: a distribution, a zone, a server.
// Whatever else it can do is one of the capabilities below: ask with As. A
// Purger is safe for concurrent use.
type Purger interface {
	// Name is "provider:target", without secrets, the same in every run: it
	// is part of what makes two calls the same call.
	Name() string
	// Plan is pure: no clock, no network. What the CDN cannot do is refused in
	// the plan, not by an error. An error says that nothing can be planned at
	// all. The plan of no items has no calls, and tells the limits.
	Plan(items []Item) (Plan, error)
	// Do sends one call, once: no retry and no waiting for completion. With a
	// nil error every item of the call is in a receipt. With an error the
	// items in receipts are purged nevertheless, and the others may be. What
	// the caller can do about an error is told by a *CallError in it.
	Do(ctx context.Context, c Call) ([]Receipt, error)
}

// A Waiter returns when what r is a receipt for is gone from the whole edge.
// Trouble that passes is waited out; the end of ctx is the caller's timeout.
type Waiter interface {
	Wait(ctx context.Context, r Receipt) error
}

// A Statuser tells how far an earlier purge is, by its ID. It returns
// ErrUnknown when there is none.
type Statuser interface {
	Status(ctx context.Context, id string) (Receipt, error)
}

// A Lister brings the purges that the provider remembers, newest first. Items
// is empty where the provider does not tell them.
type Lister interface {
	List(ctx context.Context) iter.Seq2[Receipt, error]
}

// As asks p for the capability C. The error is an *UnsupportedError.
func As[C any](p Purger) (C, error) {
	if c, ok := p.(C); ok {
		return c, nil
	}
	var none C
	return none, &UnsupportedError{Purger: p.Name(), Capability: reflect.TypeFor[C]().Name()}
}

// An Opener opens the targets that s names and resolves names to IDs, all in
// one pass. It returns the Purgers in the order of s.Targets.
type Opener func(ctx context.Context, s Settings) ([]Purger, error)

// Providers says which Opener serves a provider's name. It is a value that main
// hands to the commands: there is no registry.
type Providers map[string]Opener

// Settings say which targets to open, and how. Fields that mean nothing to a
// provider are ignored by it.
type Settings struct {
	Targets []string // IDs or names: distributions (ID, alias, domain), zones (ID, name), URLs of servers
	// Kinds are those that the items to come have. What only some of them
	// need of the account (a permission, an opt-in) is looked up only for them.
	Kinds     []Kind
	Endpoint  string        // base URL of the API; empty: the provider's own
	Client    *http.Client  // nil: one with the provider's defaults
	BatchSize int           // most items in a call; 0, or more than the documented limit: that limit
	Poll      time.Duration // between two questions for a status; 0: the provider's default

	Token string // Cloudflare
	Plan  string // Cloudflare: account plan ("free", "pro", "business", "enterprise"); empty: free, the lowest limits
	// Environment is a zone version's: Cloudflare then purges that one only.
	Environment string

	Profile string // AWS: of the shared configuration
	Region  string // AWS: for the sign-in services; CloudFront itself is global
	Role    string // AWS: ARN of a role to assume

	Tags TagMethod // Varnish
}

// A TagMethod says how a Varnish server purges tags.
type TagMethod string

// The methods. The zero value is XKeyPurge.
const (
	XKeyPurge     TagMethod = "xkey-purge"     // objects are gone
	XKeySoftPurge TagMethod = "xkey-softpurge" // objects are stale, and served within their grace
)

// A State is how far a purge is.
type State string

// The states.
const (
	// Accepted: the provider took it, and has no way to tell more.
	Accepted   State = "accepted"
	InProgress State = "in progress"
	Completed  State = "completed"
)

// A Receipt is a provider's word for a purge. It does not say that anything
// was in the cache.
type Receipt struct {
	Target string    `json:"target"`
	ID     string    `json:"id,omitempty"` // the provider's; empty where it gives none
	State  State     `json:"state"`
	At     time.Time `json:"at,omitzero"` // by the provider's clock; zero: not told
	Items  []Item    `json:"items,omitempty"`

	// Budgets are what the provider told about its rate limits with the answer.
	Budgets []Budget `json:"-"`
}

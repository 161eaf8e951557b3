package purge

import (
	"fmt"
	"slices"
	"time"
)

// A Plan is what a purge would do, known before anything is sent.
type Plan struct {
	Target string
	Given  int // items asked for
	Calls  []Call

	Duplicates []Item // of another item of the same run, one entry for each one too many
	Covered    []Covered
	Refused    []Refusal

	Rates    []Rate // the limits that calls draw on
	Parallel int    // calls in flight at once; 0 counts as 1
	Cost     Cost
	Notes    []string // what a person has to know, in whole sentences
}

// Items is the number of items that calls carry.
func (p *Plan) Items() int {
	n := 0
	for _, c := range p.Calls {
		n += len(c.Items)
	}
	return n
}

// Everything tells whether the plan empties the whole target.
func (p *Plan) Everything() bool {
	return slices.ContainsFunc(p.Calls, func(c Call) bool {
		return slices.ContainsFunc(c.Items, func(i Item) bool { return i.Kind == Everything })
	})
}

// A Covered item is dropped, because another of the same run purges it as well.
type Covered struct {
	Item Item
	By   Item
}

// A Refusal is an item that the CDN cannot purge, or would silently not purge.
type Refusal struct {
	Item    Item
	Why     string // "a prefix has no scheme"
	Instead string // what would work; may be empty
	// Elsewhere: the item is fine, but of another target. A run over several
	// targets fails only for what all of them refuse.
	Elsewhere bool
}

func (r *Refusal) Error() string { return fmt.Sprintf("%s %s: %s", r.Item.Kind, r.Item, r.Why) }

// A Rate is a documented limit in the form of a token bucket. Rates of the same
// name are one limit, whichever Purger tells them.
type Rate struct {
	Name      string  // "cloudflare/ACCOUNT/urls"
	Doc       string  // for people: "1500 URLs a second (account, plan pro)"
	PerSecond float64 // 0: no limit is known; it is learned from answers
	Burst     float64 // tokens that a full bucket has
}

// headroom is the share of a documented rate that is used: calls that are late
// on their way arrive closer together than they were sent.
const headroom = 0.98

// A Price is what a provider takes for items.
type Price struct {
	Currency     string
	PerItem      float64
	FreePerMonth int // items
	Assumes      []string
}

// A Cost is an estimate: what is left of a free allowance is not known here.
type Cost struct {
	Items    int // that are paid for, wildcards and tags counted once
	Free     int // items a month that cost nothing
	Currency string
	Low      float64 // if nothing of the allowance is used up
	High     float64 // if all of it is
	Assumes  []string
}

// Of is the cost of n items.
func (p Price) Of(n int) Cost {
	return Cost{Items: n, Free: p.FreePerMonth, Currency: p.Currency, Assumes: p.Assumes,
		Low: float64(max(0, n-p.FreePerMonth)) * p.PerItem, High: float64(n) * p.PerItem}
}

// Takes is the time until the last call of all plans may be sent, if each is
// answered at once and nothing else draws on the same limits.
func Takes(plans ...Plan) time.Duration {
	var start time.Time
	end := start
	l := newLimiter(start, plans...)
	for _, p := range plans {
		for _, c := range p.Calls {
			if at := l.reserve(start, c.Draws); at.After(end) {
				end = at
			}
		}
	}
	return end.Sub(start)
}

// A Planner is what providers build their Plan with: it sorts, drops and
// cuts. The functions say what only the provider knows.
type Planner struct {
	Target string
	// Normalise brings an item into the one form in which two items that purge
	// the same are equal, or says why it is refused.
	Normalise func(Item) (Item, *Refusal)
	// Covers finds, among all items of the run, one that purges more than the
	// given item and that item with it. Nil: nothing covers anything.
	Covers func(all []Item) func(Item) (by Item, ok bool)
	// Class says which items may share a call, and how many. Items of classes
	// with different names never do.
	Class func(Item) Class
	// Draws says what a call with these items takes of the limits.
	Draws func(items []Item) []Draw
}

// A Class is a set of items that may share a call.
type Class struct {
	Name string
	Size int // most items in a call
}

// Plan plans the items. Rates, Parallel, Cost and Notes are the provider's to add.
func (pl *Planner) Plan(items []Item) Plan {
	p := Plan{Target: pl.Target, Given: len(items)}
	kept := make([]Item, 0, len(items))
	for _, i := range items {
		normal, refusal := pl.Normalise(i)
		if refusal != nil {
			refusal.Item = i
			p.Refused = append(p.Refused, *refusal)
			continue
		}
		kept = append(kept, normal)
	}
	slices.SortFunc(kept, compare)
	kept = slices.CompactFunc(kept, func(a, b Item) bool {
		same := compare(a, b) == 0
		if same {
			p.Duplicates = append(p.Duplicates, b)
		}
		return same
	})
	if pl.Covers != nil {
		covers := pl.Covers(kept)
		bare := make([]Item, 0, len(kept))
		for _, i := range kept {
			if by, ok := covers(i); ok {
				p.Covered = append(p.Covered, Covered{i, by})
				continue
			}
			bare = append(bare, i)
		}
		kept = bare
	}
	p.Calls = pl.cut(kept)
	return p
}

// cut makes calls, class by class in the order of their first items.
func (pl *Planner) cut(items []Item) []Call {
	byClass := make(map[Class][]Item)
	var order []Class
	for _, i := range items {
		c := pl.Class(i)
		if byClass[c] == nil {
			order = append(order, c)
		}
		byClass[c] = append(byClass[c], i)
	}
	var calls []Call
	for _, c := range order {
		for batch := range slices.Chunk(byClass[c], max(1, c.Size)) {
			calls = append(calls, NewCall(pl.Target, batch, pl.Draws(batch)...))
		}
	}
	return calls
}

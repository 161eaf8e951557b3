package purge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// A desk is a Purger whose answers are the test's. It keeps what was asked.
type desk struct {
	name     string
	size     int // items a call
	rates    []Rate
	parallel int
	answer   func(n int, c Call) ([]Receipt, error) // of the n-th request, from 1

	mu   sync.Mutex
	sent []Call
	at   []time.Time
}

func (d *desk) Name() string { return d.name }

func (d *desk) Plan(items []Item) (Plan, error) {
	pl := Planner{
		Target:    d.name,
		Normalise: func(i Item) (Item, *Refusal) { return i, nil },
		Class:     func(i Item) Class { return Class{Size: d.size} },
		Draws: func(items []Item) []Draw {
			var draws []Draw
			for _, r := range d.rates {
				draws = append(draws, Draw{r.Name, float64(len(items))})
			}
			return draws
		},
	}
	p := pl.Plan(items)
	p.Rates, p.Parallel = d.rates, d.parallel
	return p, nil
}

func (d *desk) Do(_ context.Context, c Call) ([]Receipt, error) {
	d.mu.Lock()
	d.sent = append(d.sent, c)
	d.at = append(d.at, time.Now())
	n := len(d.sent)
	d.mu.Unlock()
	if d.answer == nil {
		return taken(c, c.Items), nil
	}
	return d.answer(n, c)
}

func taken(c Call, items []Item) []Receipt {
	return []Receipt{{Target: c.Target, ID: "r-" + c.ID, State: InProgress, Items: items}}
}

func list(n int) []Item {
	var items []Item
	for i := range n {
		items = append(items, Item{Kind: Path, Value: fmt.Sprintf("/%04d", i)})
	}
	return items
}

func planned(t *testing.T, p Purger, items []Item) []Call {
	t.Helper()
	plan, err := p.Plan(items)
	if err != nil {
		t.Fatal(err)
	}
	return plan.Calls
}

// A result is what a run said in the end.
type result struct {
	purged, failed []string // values of items, sorted
	reasons        map[string]error
	notices        []*Notice
	err            error // that ended the stream
	outcomes       []Outcome
}

// collect runs to the end, and fails the test unless every item of calls has
// exactly one outcome.
func collect(t *testing.T, ctx context.Context, purgers []Purger, calls []Call, o Options) result {
	t.Helper()
	r := result{reasons: make(map[string]error)}
	for outcome, err := range Run(ctx, purgers, calls, o) {
		var notice *Notice
		switch {
		case errors.As(err, &notice):
			r.notices = append(r.notices, notice)
			continue
		case err != nil:
			r.err = err
			continue
		}
		r.outcomes = append(r.outcomes, outcome)
		for _, i := range outcome.Items {
			if outcome.Err == nil {
				r.purged = append(r.purged, i.Value)
			} else {
				r.failed = append(r.failed, i.Value)
				r.reasons[i.Value] = outcome.Err
			}
		}
	}
	var want []string
	for _, c := range calls {
		want = append(want, values(c.Items)...)
	}
	slices.Sort(want)
	slices.Sort(r.purged)
	slices.Sort(r.failed)
	got := slices.Sorted(slices.Values(slices.Concat(r.purged, r.failed)))
	if !slices.Equal(got, want) {
		t.Fatalf("outcomes tell of %d items, %d were to be purged", len(got), len(want))
	}
	return r
}

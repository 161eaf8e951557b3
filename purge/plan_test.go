package purge

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// shopPlanner knows paths with wildcards, and tags in calls of their own.
var shopPlanner = Planner{
	Target: "shop",
	Normalise: func(i Item) (Item, *Refusal) {
		if i.Kind == Host {
			return i, &Refusal{Why: "no hosts here", Instead: "a path"}
		}
		i.Value = strings.TrimSpace(i.Value)
		return i, nil
	},
	Covers: func(all []Item) func(Item) (Item, bool) {
		var wild []string
		for _, i := range all {
			if prefix, ok := strings.CutSuffix(i.Value, "*"); ok {
				wild = append(wild, prefix)
			}
		}
		stars := NewPrefixes(wild)
		return func(i Item) (Item, bool) {
			by, ok := stars.Of(strings.TrimSuffix(i.Value, "*"))
			return Item{Kind: Path, Value: by + "*"}, ok && by+"*" != i.Value
		}
	},
	Class: func(i Item) Class {
		if i.Kind == Tag {
			return Class{"tags", 2}
		}
		return Class{"paths", 3}
	},
	Draws: func(items []Item) []Draw { return []Draw{{"r", float64(len(items))}} },
}

func TestPlanner(t *testing.T) {
	var items []Item
	for _, v := range []string{"/a", " /a", "/b/x", "/b/*", "/b/y*", "/c", "/d", "/e", "/a"} {
		items = append(items, Item{Kind: Path, Value: v})
	}
	items = append(items, Item{Kind: Host, Value: "h"}, Item{Kind: Tag, Value: "1"}, Item{Kind: Tag, Value: "2"}, Item{Kind: Tag, Value: "3"})
	p := shopPlanner.Plan(items)
	var calls []string
	for _, c := range p.Calls {
		calls = append(calls, strings.Join(values(c.Items), " "))
	}
	if want := []string{"/a /b/* /c", "/d /e", "1 2", "3"}; !slices.Equal(calls, want) {
		t.Errorf("calls %q, want %q", calls, want)
	}
	if p.Given != 13 || p.Items() != 8 || len(p.Duplicates) != 2 || len(p.Covered) != 2 || len(p.Refused) != 1 {
		t.Errorf("%d given, %d kept, duplicates %v, covered %v, refused %v", p.Given, p.Items(), p.Duplicates, p.Covered, p.Refused)
	}
	if p.Given != p.Items()+len(p.Duplicates)+len(p.Covered)+len(p.Refused) {
		t.Error("the plan lost an item")
	}
	if r := p.Refused[0]; r.Error() != "host h: no hosts here" || Hint(&r) != "a path" {
		t.Errorf("refusal %v", &r)
	}
	slices.Reverse(items)
	for n, c := range shopPlanner.Plan(items).Calls {
		if c.ID != p.Calls[n].ID {
			t.Error("the order of items makes other calls")
		}
	}
}

// TestPlanOfNothing: an empty list is never everything.
func TestPlanOfNothing(t *testing.T) {
	p := shopPlanner.Plan(nil)
	if len(p.Calls) != 0 || p.Everything() || p.Items() != 0 {
		t.Errorf("%+v", p)
	}
}

func TestCost(t *testing.T) {
	price := Price{Currency: "USD", PerItem: 0.005, FreePerMonth: 1000}
	for n, want := range map[int][2]float64{0: {0, 0}, 1000: {0, 5}, 1500: {2.5, 7.5}} {
		c := price.Of(n)
		if math.Abs(c.Low-want[0]) > 1e-9 || math.Abs(c.High-want[1]) > 1e-9 {
			t.Errorf("%d items cost %v to %v, want %v", n, c.Low, c.High, want)
		}
	}
}

func TestJoin(t *testing.T) {
	items := []Item{{Kind: Path, Value: "/a"}, {Kind: Path, Value: "/d/*"}, {Kind: Prefix, Value: "/p"},
		{Kind: Prefix, Value: "h/p"}, {Kind: Tag, Value: "t"}, {Kind: Path, Value: "bad"}}
	var got []string
	for _, i := range Join([]string{"x", "y"}, items) {
		got = append(got, fmt.Sprint(i.Kind, " ", i.Value))
	}
	want := []string{"url https://x/a", "url https://y/a", "prefix x/d/", "prefix y/d/", "prefix x/p", "prefix y/p", "prefix h/p", "tag t", "path bad"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestItemString(t *testing.T) {
	for want, i := range map[string]Item{
		"everything":              {Kind: Everything},
		"/a":                      {Kind: Path, Value: "/a"},
		"https://x/ A: 1, 2 B: 3": {Kind: URL, Value: "https://x/", Header: http.Header{"B": {"3"}, "A": {"1", "2"}}},
	} {
		if got := i.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestAs(t *testing.T) {
	_, err := As[Waiter](&desk{name: "d"})
	var unsupported *UnsupportedError
	if !errors.As(err, &unsupported) || err.Error() != "d cannot tell when a purge is complete" {
		t.Error(err)
	}
}

type patient struct {
	desk
	asked chan string
}

func (p *patient) Wait(ctx context.Context, r Receipt) error {
	p.asked <- r.ID
	select {
	case <-time.After(time.Minute):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &patient{desk{name: "p"}, make(chan string, 10)}
		receipts := []Receipt{{Target: "p", ID: "1", State: InProgress}, {Target: "p", ID: "1", State: InProgress},
			{Target: "p", ID: "2", State: Accepted}, {Target: "none", ID: "3", State: InProgress}}
		got := make(map[string]State)
		var failed []error
		for r, err := range Await(t.Context(), []Purger{p}, receipts) {
			got[r.ID] = r.State
			if err != nil {
				failed = append(failed, err)
			}
		}
		if len(p.asked) != 1 || got["1"] != Completed || got["2"] != Accepted || got["3"] != InProgress || len(failed) != 1 {
			t.Errorf("asked %d times: %v %v", len(p.asked), got, failed)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for r, err := range Await(short, []Purger{p}, receipts[:1]) {
			if r.State != InProgress || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v: %v", r.State, err)
			}
		}
	})
}

func BenchmarkPlan100k(b *testing.B) {
	items := manyPaths(100_000)
	for b.Loop() {
		if p := shopPlanner.Plan(items); p.Items() != 100_000 {
			b.Fatal(p.Items())
		}
	}
}

package cloudfront

import (
	"slices"
	"strings"

	"github.com/cachectl/cachectl/purge"
)

// price is of "Pay for file invalidation" in the developer guide.
var price = purge.Price{
	Currency:     "USD",
	PerItem:      0.005,
	FreePerMonth: 1000,
	Assumes: []string{
		"a path, a wildcard and a tag count one each",
		"the free paths are those of the account, all distributions together; how many of them this month has used is not known here",
		"pay-as-you-go prices: what flat-rate plans take is not considered",
	},
}

// The limits. A batch is bounded by the older quota of 3,000 paths in
// progress, wildcards by that of 15. The rates are those that took its place in
// 2026 by three independent accounts (AWS' own page was not seen), and the rate
// of calls is what AWS staff told in aws-sdk-js #3983. Whatever of it is wrong,
// the service says so by TooManyInvalidationsInProgress or BatchTooLarge.
const (
	maxBatch     = 3000
	maxWildcards = 15
)

var rates = []struct {
	name             string
	perSecond, burst float64
	doc              string
}{
	{"calls", 0.5, 1, "1 call in 2 seconds (account)"},
	{"items", 150, maxBatch, "150 paths and tags a second, 3000 at once (account)"},
	{"wildcards", 1, maxWildcards, "1 wildcard a second, 15 at once (account)"},
}

func wildcard(i purge.Item) bool {
	return i.Kind == purge.Everything || i.Kind == purge.Path && strings.HasSuffix(i.Value, "*")
}

// Plan plans the items in as few calls as there can be: calls are what the
// service limits most.
func (d *distribution) Plan(items []purge.Item) (purge.Plan, error) {
	size := maxBatch
	if d.batch > 0 && d.batch < size {
		size = d.batch
	}
	stars := 0
	for _, i := range items {
		if wildcard(i) || i.Kind == purge.Prefix {
			stars++
		}
	}
	planner := purge.Planner{
		Target:    d.Name(),
		Normalise: d.normalise,
		Covers:    covers,
		Class: func(i purge.Item) purge.Class {
			if stars > maxWildcards && wildcard(i) {
				return purge.Class{Name: "wildcards", Size: min(size, maxWildcards)}
			}
			return purge.Class{Size: size}
		},
		Draws: d.draws,
	}
	p := planner.Plan(items)
	for _, r := range rates {
		p.Rates = append(p.Rates, purge.Rate{Name: d.rate(r.name), PerSecond: r.perSecond, Burst: r.burst, Doc: r.doc})
	}
	p.Parallel = 1 // at half a call a second, more than one would only find it busy
	p.Cost = price.Of(p.Items())
	if d.tags == tagsUnknown && slices.ContainsFunc(items, func(i purge.Item) bool { return i.Kind == purge.Tag }) {
		p.Notes = append(p.Notes, "Whether distribution "+d.id+" reads cache tags was not checked: if it does not, tags purge nothing.")
	}
	return p, nil
}

func (d *distribution) rate(name string) string { return "cloudfront/" + d.account + "/" + name }

func (d *distribution) draws(items []purge.Item) []purge.Draw {
	stars := 0
	for _, i := range items {
		if wildcard(i) {
			stars++
		}
	}
	draws := []purge.Draw{{Rate: d.rate("calls"), Tokens: 1}, {Rate: d.rate("items"), Tokens: float64(len(items))}}
	if stars > 0 {
		draws = append(draws, purge.Draw{Rate: d.rate("wildcards"), Tokens: float64(stars)})
	}
	return draws
}

// covers: a wildcard purges all that begin with what stands before its star,
// and everything purges what tags would.
func covers(all []purge.Item) func(purge.Item) (purge.Item, bool) {
	everything := purge.Item{Kind: purge.Everything}
	if slices.ContainsFunc(all, func(i purge.Item) bool { return i.Kind == purge.Everything }) {
		return func(i purge.Item) (purge.Item, bool) { return everything, i.Kind != purge.Everything }
	}
	var prefixes []string
	for _, i := range all {
		if wildcard(i) {
			prefixes = append(prefixes, strings.TrimSuffix(i.Value, "*"))
		}
	}
	stars := purge.NewPrefixes(prefixes)
	return func(i purge.Item) (purge.Item, bool) {
		if i.Kind != purge.Path {
			return i, false
		}
		prefix, ok := stars.Of(strings.TrimSuffix(i.Value, "*"))
		by := purge.Item{Kind: purge.Path, Value: prefix + "*"}
		return by, ok && by.Value != i.Value
	}
}

package cloudflare

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/cachectl/cachectl/purge"
)

// A tier is what an account's plan allows. The figures are those of
// developers.cloudflare.com/cache/how-to/purge-cache of 29 July 2026. How many
// URLs may come at once is not told there: a second's worth is assumed.
type tier struct {
	name     string
	urls     float64 // a second
	urlsCall int     // a call
	flex     float64 // calls a second by tag, host, prefix and everything
	burst    float64 // of those calls
	doc      string
}

var tiers = []tier{
	{"free", 800, 100, 5.0 / 60, 25, "5 a minute"},
	{"pro", 1500, 100, 5, 25, "5 a second"},
	{"business", 1500, 100, 10, 50, "10 a second"},
	{"enterprise", 3000, 500, 50, 500, "50 a second"},
}

// Items a call, of every plan. Some zones were seen to refuse more than
// oldCall URLs, which was the limit for years.
const (
	flexCall = 100
	oldCall  = 30
)

// Plan plans one call for each hundred items of a kind. Nothing is paid for.
func (z *zone) Plan(items []purge.Item) (purge.Plan, error) {
	planner := purge.Planner{Target: z.Name(), Normalise: z.normalise, Covers: covers, Class: z.class, Draws: z.draws}
	p := planner.Plan(items)
	p.Rates = []purge.Rate{
		{Name: z.rate("urls"), PerSecond: z.tier.urls, Burst: z.tier.urls, Doc: fmt.Sprintf("%v URLs a second (account, plan %s)", z.tier.urls, z.tier.name)},
		{Name: z.rate("flex"), PerSecond: z.tier.flex, Burst: z.tier.burst,
			Doc: fmt.Sprintf("%s calls by tag, host, prefix and everything, %v at once (account, plan %s)", z.tier.doc, z.tier.burst, z.tier.name)},
		{Name: z.rate("api"), Doc: "calls of any kind: as the answers' Ratelimit headers tell"},
	}
	p.Parallel = 8
	p.Cost = purge.Cost{Currency: "USD", Assumes: []string{"Cloudflare takes nothing for purging"}}
	if z.guessed {
		p.Notes = append(p.Notes, "The limits are those of plan "+z.tier.name+", because no plan was named.")
	}
	if slices.ContainsFunc(p.Covered, func(c purge.Covered) bool { return c.Item.Kind == purge.URL && c.By.Kind == purge.Prefix }) {
		p.Notes = append(p.Notes, "URLs that a prefix covers were dropped. Where Transform Rules rewrite paths, a prefix means the rewritten one, and such URLs need a run of their own.")
	}
	if z.environment != "" && p.Everything() {
		p.Notes = append(p.Notes, "Purging everything of the production environment purges every environment of the zone.")
	}
	return p, nil
}

func (z *zone) rate(name string) string { return "cloudflare/" + z.account + "/" + name }

func (z *zone) class(i purge.Item) purge.Class {
	c := purge.Class{Name: string(i.Kind), Size: flexCall}
	switch i.Kind {
	case purge.URL:
		if c.Size = z.tier.urlsCall; len(i.Header) > 0 {
			c.Name = "url with headers"
		}
	case purge.Everything:
		c.Size = 1
	}
	if z.batch > 0 {
		c.Size = min(c.Size, z.batch)
	}
	return c
}

func (z *zone) draws(items []purge.Item) []purge.Draw {
	api := purge.Draw{Rate: z.rate("api"), Tokens: 1}
	if items[0].Kind == purge.URL {
		return []purge.Draw{api, {Rate: z.rate("urls"), Tokens: float64(len(items))}}
	}
	return []purge.Draw{api, {Rate: z.rate("flex"), Tokens: 1}}
}

// covers: everything covers all, a host its URLs and prefixes, a prefix what
// is it or below it. Whether "example.com/foo" purges /foobar as well is not
// documented, so it is not relied on. Tags are covered by everything only.
func covers(all []purge.Item) func(purge.Item) (purge.Item, bool) {
	var bare, slashed []string // prefixes without and with a "/" at the end
	hosts := make(map[string]bool)
	everything := false
	for _, i := range all {
		switch i.Kind {
		case purge.Everything:
			everything = true
		case purge.Host:
			hosts[i.Value] = true
		case purge.Prefix:
			if strings.HasSuffix(i.Value, "/") {
				slashed = append(slashed, i.Value)
			} else {
				bare = append(bare, i.Value+"/")
			}
		}
	}
	whole, below := purge.NewPrefixes(bare), purge.NewPrefixes(slashed)
	return func(i purge.Item) (purge.Item, bool) {
		if everything {
			return purge.Item{Kind: purge.Everything}, i.Kind != purge.Everything
		}
		place, ok := placeOf(i)
		if !ok {
			return i, false
		}
		if host, _, _ := strings.Cut(place, "/"); hosts[host] {
			return purge.Item{Kind: purge.Host, Value: host}, true
		}
		if p, ok := whole.Of(place + "/"); ok && (i.Kind == purge.URL || p != place+"/") {
			return purge.Item{Kind: purge.Prefix, Value: strings.TrimSuffix(p, "/")}, true
		}
		p, ok := below.Of(place)
		return purge.Item{Kind: purge.Prefix, Value: p}, ok && (i.Kind == purge.URL || p != place)
	}
}

// placeOf is the host and path of an item that has them: what a prefix is
// compared with.
func placeOf(i purge.Item) (string, bool) {
	switch i.Kind {
	case purge.Prefix:
		return i.Value, true
	case purge.URL:
		u, err := url.Parse(i.Value)
		if err != nil {
			return "", false
		}
		return u.Host + u.EscapedPath(), true
	}
	return "", false
}

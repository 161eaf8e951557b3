package fleet

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// A Choice is a strategy by name, for whoever compares them.
type Choice struct {
	Name string
	Help string // one sentence
	Make func(Options) Maker
}

// Listens tells whether a strategy's processes hear what others publish.
func (c *Choice) Listens() bool { return c.Name == pubsub }

// Catalogue is the strategies of reading, from the simplest on. Those that have no use for stale values do not keep them.
func Catalogue() []Choice {
	return []Choice{
		{"none", "every miss fetches", hard(func(o Options, r *rand.Rand) Strategy {
			return newPlain(o, r)
		})},
		{"singleflight", "one fetch a key and process at a time, the other misses of the process wait for it", hard(func(o Options, r *rand.Rand) Strategy {
			o.Coalesce = true
			return newPlain(o, r)
		})},
		{"lock", "one fetch a key at a time, by who gets a lock in the cache; the others poll", hard(func(o Options, r *rand.Rand) Strategy {
			return newLocked(o, r)
		})},
		{"lock-stale", "as lock, but values are kept past their TTL, and served while somebody refreshes them", kept(func(o Options, r *rand.Rand) Strategy {
			s := newLocked(o, r)
			s.fresh = soft
			return s
		})},
		{"xfetch", "a hit fetches early by chance, the likelier the nearer the end of its TTL (probabilistic early expiration)", hard(func(o Options, r *rand.Rand) Strategy {
			s := newPlain(o, r)
			s.fresh = early(o.Beta)
			return s
		})},
		{"xfetch-lock", "as xfetch, and by who gets a lock", hard(func(o Options, r *rand.Rand) Strategy {
			s := newLocked(o, r)
			s.fresh = early(o.Beta)
			return s
		})},
		{"swr", "values are kept past their TTL and served stale while who gets a lock refreshes them in the background (stale-while-revalidate)", kept(func(o Options, r *rand.Rand) Strategy {
			s := newLocked(o, r)
			s.fresh, s.background = soft, true
			return s
		})},
		{"swr-local", "as swr, but each process refreshes for itself, without a lock", kept(func(o Options, r *rand.Rand) Strategy {
			o.Coalesce = true
			s := newPlain(o, r)
			s.fresh, s.background = soft, true
			return s
		})},
		{"stale-if-error", "values are kept past their TTL and served stale if they cannot be fetched", kept(func(o Options, r *rand.Rand) Strategy {
			s := newPlain(o, r)
			s.fresh = soft
			return s
		})},
		{"lease", "the cache tells one client to bring a value and the others to wait, or gives them what it still has (memcached's meta commands)", hard(func(o Options, r *rand.Rand) Strategy {
			return newLeased(o, r)
		})},
	}
}

// kept makes a strategy with stale values.
func kept(s func(Options, *rand.Rand) Strategy) func(Options) Maker {
	return func(o Options) Maker {
		return func(_ int, random *rand.Rand) Strategy { return s(o, random) }
	}
}

// hard makes a strategy whose values are gone when their TTL is over.
func hard(s func(Options, *rand.Rand) Strategy) func(Options) Maker {
	return func(o Options) Maker {
		o.Stale = 0
		return kept(s)(o)
	}
}

// Choose is the strategy of that name.
func Choose(from []Choice, name string) (Choice, error) {
	var names []string
	for _, c := range from {
		if c.Name == name {
			return c, nil
		}
		names = append(names, c.Name)
	}
	return Choice{}, fmt.Errorf("no strategy %q (there are %s)", name, strings.Join(names, ", "))
}

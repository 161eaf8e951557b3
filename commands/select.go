package commands

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"github.com/cachectl/cachectl/backends"
)

// A selection says which keys a command is about: a pattern or a prefix for
// the server, and filters over facts. Only the facts that it filters on are
// asked for.
type selection struct {
	prefix  string
	kind    string
	ttl     string
	idle    string
	minSize string
	maxSize string
	count   int
	rate    string

	query   backends.Query
	filters []filter
	limiter *rate.Limiter
}

// A filter is one condition, and the facts it needs. An entry whose fact is
// unknown does not pass: it cannot be shown to be what was asked for.
type filter struct {
	needs backends.Facts
	holds func(*backends.Entry) bool
}

// The types that servers know without modules, for completion.
var keyTypes = []string{"string", "hash", "list", "set", "zset", "stream"}

func (s *selection) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.prefix, "prefix", "", "only keys that begin with `TEXT`, taken literally")
	f.StringVar(&s.kind, "type", "", "only keys of this `type`: "+strings.Join(keyTypes, "|")+", or a module's")
	f.StringVar(&s.ttl, "ttl", "", "only keys with this `TTL`: none, any, '<1h', '>1d'")
	f.StringVar(&s.idle, "idle", "", "only keys not used for this `time`: '>30d'")
	f.StringVar(&s.minSize, "min-size", "", "only keys of at least this `size` in memory: 1MiB")
	f.StringVar(&s.maxSize, "max-size", "", "only keys of at most this `size` in memory")
	f.IntVar(&s.count, "count", backends.DefaultCount, "keys the server visits a page")
	f.StringVar(&s.rate, "rate", "", "at most so many keys a second: `5000/s`")
	complete(cmd, "type", keyTypes...)
	complete(cmd, "ttl", "none", "any")
}

// parse reads the flags and the pattern, which may be "".
func (s *selection) parse(pattern string) error {
	if pattern != "" {
		if s.prefix != "" {
			return usagef("a pattern and --prefix do not go together")
		}
		if err := backends.CheckGlob(pattern); err != nil {
			return withHint(usagef("bad pattern: %q %w", pattern, err), `to take it literally, use --prefix, or a backslash in front of *, ?, [ and \`)
		}
	}
	if s.query.Match = pattern; s.prefix != "" {
		s.query.Match = backends.EscapeGlob(s.prefix) + "*"
	}
	if s.count < 1 {
		return usagef("bad --count %d: it is at least 1", s.count)
	}
	s.query.Count, s.query.Type = s.count, s.kind
	if slices.Contains(keyTypes, strings.ToLower(s.kind)) {
		s.query.Type = strings.ToLower(s.kind)
	}
	for _, parse := range []func() error{s.parseTTL, s.parseIdle, s.parseSizes, s.parseRate} {
		if err := parse(); err != nil {
			return err
		}
	}
	return nil
}

func (s *selection) filter(needs backends.Facts, holds func(*backends.Entry) bool) {
	s.query.Want |= needs
	s.filters = append(s.filters, filter{needs, holds})
}

func (s *selection) parseTTL() error {
	switch s.ttl {
	case "":
	case "none":
		s.filter(backends.FactTTL, func(e *backends.Entry) bool { return e.TTL == backends.NoTTL })
	case "any":
		s.filter(backends.FactTTL, func(e *backends.Entry) bool { return e.TTL != backends.NoTTL })
	default:
		c, err := parseComparison(s.ttl, parseDuration)
		if err != nil {
			return withHint(usagef("bad --ttl: %w", err), "it is none, any, '<1h' or '>1d'")
		}
		s.filter(backends.FactTTL, func(e *backends.Entry) bool { return e.TTL != backends.NoTTL && c.holds(e.TTL) })
	}
	return nil
}

func (s *selection) parseIdle() error {
	if s.idle == "" {
		return nil
	}
	c, err := parseComparison(s.idle, parseDuration)
	if err != nil {
		return usagef("bad --idle: %w", err)
	}
	s.filter(backends.FactIdle, func(e *backends.Entry) bool { return c.holds(e.Idle) })
	return nil
}

func (s *selection) parseSizes() error {
	for _, bound := range []struct{ flag, text, op string }{{"min-size", s.minSize, ">="}, {"max-size", s.maxSize, "<="}} {
		if bound.text == "" {
			continue
		}
		size, err := parseSize(bound.text)
		if err != nil {
			return usagef("bad --%s: %w", bound.flag, err)
		}
		c := comparison[int64]{bound.op, size}
		s.filter(backends.FactSize, func(e *backends.Entry) bool { return c.holds(e.Size) })
	}
	return nil
}

func (s *selection) parseRate() error {
	if s.rate == "" {
		return nil
	}
	n, err := strconv.ParseFloat(strings.TrimSuffix(s.rate, "/s"), 64)
	if err != nil || n <= 0 || math.IsNaN(n) || n > 1e9 {
		return usagef("bad --rate %q: write it as 5000/s", s.rate)
	}
	s.query.Count = min(s.count, max(1, int(n))) // pages of a second at most
	// A burst that no page exceeds, even where the server sends more than it was asked for.
	s.limiter = rate.NewLimiter(rate.Limit(n), max(1, int(n), 100*s.query.Count))
	s.limiter.AllowN(time.Now(), s.limiter.Burst()) // begin without credit
	return nil
}

// needs are the facts without which the selection cannot be judged.
func (s *selection) needs() (facts backends.Facts) {
	for _, f := range s.filters {
		facts |= f.needs
	}
	if s.kind != "" {
		facts |= backends.FactType
	}
	return facts
}

// keep tells whether an entry passes all filters.
func (s *selection) keep(e backends.Entry) bool {
	for _, f := range s.filters {
		if !e.Have.Has(f.needs) || !f.holds(&e) {
			return false
		}
	}
	return true
}

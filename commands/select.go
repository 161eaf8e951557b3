package commands

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"github.com/cachectl/cachectl/backends"
)

// A selection says which keys a command is about: patterns or prefixes, names left
// out, and filters over facts. Only the facts that it filters on are asked for.
type selection struct {
	prefixes []string
	excludes []string
	kind     string
	ttl      string
	ttlFlag  string // what the filter on the TTL is called; empty: ttl
	idle     string
	freq     string
	minSize  string
	maxSize  string
	count    int
	rate     string

	query    backends.Query
	patterns []string // a key matches one of them at least
	filters  []filter
	limiter  *rate.Limiter
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
	f.StringArrayVar(&s.prefixes, "prefix", nil, "only keys that begin with `TEXT`, taken literally; may be repeated")
	f.StringArrayVar(&s.excludes, "exclude", nil, "no keys that match this `PATTERN`; may be repeated")
	f.StringVar(&s.kind, "type", "", "only keys of this `type`: "+strings.Join(keyTypes, "|")+", or a module's")
	s.ttlFlag = cmp.Or(s.ttlFlag, "ttl")
	f.StringVar(&s.ttl, s.ttlFlag, "", "only keys with this `TTL`: none, any, '<1h', '>1d'")
	f.StringVar(&s.idle, "idle", "", "only keys not used for this `time`: '>30d'")
	f.StringVar(&s.freq, "freq", "", "only keys with this access `frequency`, under an LFU policy: '<5'")
	f.StringVar(&s.minSize, "min-size", "", "only keys of at least this `size` in memory: 1MiB")
	f.StringVar(&s.maxSize, "max-size", "", "only keys of at most this `size` in memory")
	f.IntVar(&s.count, "count", backends.DefaultCount, "keys the server visits a page")
	f.StringVar(&s.rate, "rate", "", "at most so many keys a second: `5000/s`")
	complete(cmd, "type", keyTypes...)
	complete(cmd, s.ttlFlag, "none", "any")
}

// parse reads the flags and the patterns; without any, all keys are meant.
func (s *selection) parse(patterns []string) error {
	if err := s.parseNames(patterns); err != nil {
		return err
	}
	if s.count < 1 {
		return usagef("bad --count %d: it is at least 1", s.count)
	}
	s.query.Count, s.query.Type = s.count, s.kind
	if slices.Contains(keyTypes, strings.ToLower(s.kind)) {
		s.query.Type = strings.ToLower(s.kind)
	}
	for _, parse := range []func() error{s.parseTTL, s.parseIdle, s.parseFreq, s.parseSizes, s.parseRate} {
		if err := parse(); err != nil {
			return err
		}
	}
	return nil
}

// parseNames turns patterns and prefixes into what the server is asked for, and
// what is left to be compared here. One pattern is the server's work; of several,
// the text that all begin with is.
func (s *selection) parseNames(patterns []string) error {
	if len(patterns) > 0 && len(s.prefixes) > 0 {
		return usagef("a pattern and --prefix do not go together")
	}
	for _, pattern := range slices.Concat(patterns, s.excludes) {
		if pattern == "" {
			return withHint(usagef("an empty pattern"), "a variable that is not set? All keys are meant where there is no pattern at all")
		}
		if err := backends.CheckGlob(pattern); err != nil {
			return withHint(usagef("bad pattern: %q %w", pattern, err), `to take it literally, use --prefix, or a backslash in front of *, ?, [ and \`)
		}
	}
	s.patterns = slices.Clone(patterns)
	for _, prefix := range s.prefixes {
		if prefix == "" {
			return withHint(usagef("an empty --prefix"), "a variable that is not set? All keys are meant where there is no prefix at all")
		}
		s.patterns = append(s.patterns, backends.EscapeGlob(prefix)+"*")
	}
	switch len(s.patterns) {
	case 0:
	case 1:
		s.query.Match = s.patterns[0]
	default:
		if common := commonPrefix(s.patterns); common != "" {
			s.query.Match = backends.EscapeGlob(common) + "*"
		}
		s.leaveOut(func(key string) bool { return !matchesAny(s.patterns, key) })
	}
	if len(s.excludes) > 0 {
		s.leaveOut(func(key string) bool { return matchesAny(s.excludes, key) })
	}
	return nil
}

// leaveOut drops the keys that drop says yes to, before anything is asked about
// them.
func (s *selection) leaveOut(drop func(key string) bool) {
	before := s.query.Keep
	s.query.Keep = func(key string) bool { return (before == nil || before(key)) && !drop(key) }
}

func matchesAny(patterns []string, key string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return backends.Match(p, key) })
}

// commonPrefix is the text that what any of the patterns matches begins with.
func commonPrefix(patterns []string) string {
	common, _ := backends.GlobPrefix(patterns[0])
	for _, pattern := range patterns[1:] {
		prefix, _ := backends.GlobPrefix(pattern)
		n := 0
		for n < len(common) && n < len(prefix) && common[n] == prefix[n] {
			n++
		}
		common = common[:n]
	}
	return common
}

// matches tells whether a name is selected, wherever it comes from.
func (s *selection) matches(key string) bool {
	return (len(s.patterns) == 0 || matchesAny(s.patterns, key)) && (s.query.Keep == nil || s.query.Keep(key))
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
			return withHint(usagef("bad --%s: %w", s.ttlFlag, err), "it is none, any, '<1h' or '>1d'")
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

func (s *selection) parseFreq() error {
	if s.freq == "" {
		return nil
	}
	c, err := parseComparison(s.freq, func(text string) (int64, error) { return strconv.ParseInt(text, 10, 64) })
	if err != nil {
		return withHint(usagef("bad --freq: %w", err), "it compares with the server's access counter, 0 to 255: '<5'")
	}
	s.filter(backends.FactFreq, func(e *backends.Entry) bool { return c.holds(e.Freq) })
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
	s.startClock()
	return nil
}

// startClock takes away what the rate has saved up, as while a question was answered.
func (s *selection) startClock() {
	if s.limiter != nil {
		now := time.Now()
		s.limiter.AllowN(now, int(s.limiter.TokensAt(now)))
	}
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
func (s *selection) keep(e *backends.Entry) bool {
	if s.query.Type != "" && (e.Type != s.query.Type || !e.Have.Has(backends.FactType)) {
		return false
	}
	for _, f := range s.filters {
		if !e.Have.Has(f.needs) || !f.holds(e) {
			return false
		}
	}
	return true
}

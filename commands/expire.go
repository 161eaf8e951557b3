package commands

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/analyze"
	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

type expireOptions struct {
	bulk
	ttl     string
	at      string
	spread  string
	persist bool
	missing bool
	shorten bool
	extend  bool

	span  time.Duration // of --ttl
	until time.Time     // of --at
	jitter
	only backends.Condition

	mu      sync.Mutex
	before  analyze.TTLs // of what the plan looked at
	counted bool         // that is all keys that were to be changed
	after   analyze.TTLs // of what was changed
}

func newExpire(env *Env) *cobra.Command {
	var o expireOptions
	cmd := &cobra.Command{
		Use:   "expire [PATTERN...]",
		Short: "Change when keys expire, by pattern, prefix, list and filters",
		Long: `Give keys a TTL (--ttl, or --at for a moment), or take it from them (--persist). The
keys are selected as for "rm", but for the filter on the TTL that they have: that is
--has-ttl here. Plan, limits, confirmation, pace, journal and summary are those of
"rm". --dry-run lists every key that would change, its TTL now, and then.

--jitter 10% spreads the TTLs evenly from 10 % less to 10 % more, --jitter 5m so far
around. A key's place there depends on its name and --jitter-seed alone: it has the
same TTL in every run. Without it, many keys that are given the same TTL expire
together, and all their readers come to the origin at once: there is a warning.

--only-missing changes keys without TTL, --shorten-only those that would live longer,
keys without TTL among them, --extend-only those that would expire earlier. Others
count as kept. Redis 7.0 and Valkey compare by themselves, older servers by a script.
On memcached a key is asked just before it is changed: somebody else may change it in
between. There each change counts as a touch, a key that is gone as a miss, and times
are whole seconds, rounded up. Without meta commands it is "touch", without conditions.

A short TTL deletes: what is given --ttl 1s is gone in a second. So patterns in a
context's never_delete stay as they are, and --all-keys is asked for as by "rm". A TTL of less than a
millisecond is refused; when the moment of --at has passed, the keys that are left
fail and stay as they are.

The answer has two histograms of TTLs: before, of the keys that the plan looked at
(all, or a sample: it says which), and after, of the keys that were changed, by what
they were given.`,
		Example: `  cachectl expire 'session:*' --ttl 1h --only-missing
  cachectl expire 'page:*' --ttl 1d --jitter 10% --dry-run
  cachectl expire --prefix promo: --at '2026-12-01T00:00:00Z' --jitter 5m --yes
  cachectl expire 'user:*' --ttl 7d --shorten-only --rate 5000/s --yes
  cachectl expire 'lock:*' --has-ttl none --ttl 30s --max-keys 100
  cachectl expire config:main config:flags --persist --yes`,
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, env, args) },
	}
	o.selection.ttlFlag, o.passes = "has-ttl", 1
	o.bulk.add(cmd, env)
	f := cmd.Flags()
	f.StringVar(&o.ttl, "ttl", "", "give keys this `TTL`: 90s, 15m, 1h, 7d")
	f.StringVar(&o.at, "at", "", "make keys expire at this `time`: 2026-12-01T00:00:00Z, '2026-12-01 03:00', @1796083200")
	f.StringVar(&o.spread, "jitter", "", "spread the TTLs by so much to either side: `10%`, or 5m")
	f.StringVar(&o.seed, "jitter-seed", "", "another `text` gives every key another place")
	f.BoolVar(&o.persist, "persist", false, "make keys stay for ever")
	f.BoolVar(&o.missing, "only-missing", false, "only keys without TTL")
	f.BoolVar(&o.shorten, "shorten-only", false, "only keys that would live longer")
	f.BoolVar(&o.extend, "extend-only", false, "only keys that would expire earlier")
	return describe(cmd, "change", impactDestroy, exitsFailed, exitsRefused, exitsLimit, exitsSome, exitsInterrupted)
}

func (o *expireOptions) run(cmd *cobra.Command, env *Env, patterns []string) error {
	o.words = words{command: "expire", verb: "expire", done: "changed", would: "would change", did: backends.Changed}
	o.can = can[backends.Expirer]
	o.checked = func() error { return o.check(env.Now()) }
	o.looks = backends.FactTTL
	o.look = func(e *backends.Entry) {
		if e.Have.Has(backends.FactTTL) {
			o.before.Add(e.TTL)
		}
	}
	o.planned = o.plan
	o.result = o.histograms
	o.meant = func(e *backends.Entry) bool { return o.changes(e, env.Now()) }
	then := keyColumn{render.Column{Name: "then", Field: "then_ms", Right: true}, 0, func(e *backends.Entry) render.Cell {
		return ttlCell(&backends.Entry{TTL: o.lifetime(e.Key, env.Now())})
	}}
	o.preview = []keyColumn{keyColumns[0], keyColumns[2], then}
	o.work = func(ctx context.Context, shard backends.Backend, pages iter.Seq2[backends.Page, error]) iter.Seq2[backends.Result, error] {
		expirer, err := backends.As[backends.Expirer](shard)
		if err != nil {
			return ended[backends.Result](err)
		}
		given := each(pages, func(p backends.Page) backends.Page {
			now := env.Now()
			for i := range p.Entries {
				p.Entries[i].TTL = o.lifetime(p.Entries[i].Key, now)
			}
			return p
		})
		return backends.Observe(expirer.Expire(ctx, given, o.only), func(r backends.Result) { o.count(r, env.Now()) })
	}
	return o.bulk.run(cmd, env, patterns)
}

// check reads the flags that say what keys are given.
func (o *expireOptions) check(now time.Time) (err error) {
	if ways := countTrue(o.ttl != "", o.at != "", o.persist); ways != 1 {
		err := usagef("one of --ttl, --at and --persist says what keys are given")
		return withHint(err, "the TTL that keys have is filtered on by --has-ttl")
	}
	switch countTrue(o.missing, o.shorten, o.extend) {
	case 0:
	case 1:
		o.only = map[bool]backends.Condition{o.missing: backends.OnlyMissing, o.shorten: backends.OnlyShorten, o.extend: backends.OnlyExtend}[true]
	default:
		return usagef("--only-missing, --shorten-only and --extend-only do not go together")
	}
	switch {
	case o.persist && o.only != backends.Always:
		return usagef("--persist goes without a condition: keys without TTL are left alone anyway")
	case o.persist && o.spread != "":
		return usagef("--jitter goes with --ttl or --at")
	case o.spread == "" && o.seed != "":
		return usagef("--jitter-seed goes with --jitter")
	}
	if o.spread != "" {
		seed := o.seed
		if o.jitter, err = parseJitter(o.spread); err != nil {
			return usagef("bad --jitter: %w", err)
		}
		o.seed = seed
	}
	if o.at != "" {
		return o.checkMoment(now)
	}
	if o.ttl != "" {
		return o.checkSpan()
	}
	return nil
}

func (o *expireOptions) checkSpan() (err error) {
	if strings.HasPrefix(o.ttl, "<") || strings.HasPrefix(o.ttl, ">") || o.ttl == "none" || o.ttl == "any" {
		return withHint(usagef("bad --ttl %q: it is what keys are given", o.ttl), "the TTL that they have is filtered on by --has-ttl %q; --persist takes it from them", o.ttl)
	}
	if o.span, err = parseDuration(o.ttl); err != nil {
		return usagef("bad --ttl: %w", err)
	}
	switch {
	case o.span < time.Millisecond:
		return withHint(usagef("bad --ttl %s: it would delete the keys at once", o.ttl), `"cachectl rm" deletes; --persist takes the TTL from keys`)
	case o.span+o.width(o.span) < o.span:
		return usagef("--ttl %s with --jitter %s: nothing lives longer than 292 years", o.ttl, o.spread)
	case o.span-o.width(o.span) < time.Millisecond:
		return usagef("--jitter %s is too much for --ttl %s: some keys would go at once", o.spread, o.ttl)
	}
	return nil
}

// checkMoment reads --at. A share of it would be another time in every run.
func (o *expireOptions) checkMoment(now time.Time) (err error) {
	if o.share > 0 {
		return usagef("with --at, --jitter is a time: 5m")
	}
	if o.until, err = parseMoment(o.at); err != nil {
		return usagef("bad --at: %w", err)
	}
	if left := o.until.Add(-o.jitter.span).Sub(now); left < time.Millisecond {
		return withHint(usagef("--at %s: that moment has passed, for some keys at least", o.at), `"cachectl rm" deletes`)
	}
	return nil
}

// parseMoment reads a time with its zone, a local one, or seconds since 1970 behind @.
func parseMoment(text string) (time.Time, error) {
	if seconds, ok := strings.CutPrefix(text, "@"); ok {
		if n, err := strconv.ParseInt(seconds, 10, 64); err == nil && n < 1<<33 {
			return time.Unix(n, 0), nil
		}
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q: write it as 2026-12-01T00:00:00Z, '2026-12-01 03:00' (local time) or @1796083200", text)
}

func countTrue(all ...bool) (n int) {
	for _, is := range all {
		if is {
			n++
		}
	}
	return n
}

// lifetime is the TTL that a key is given. Once --at has passed it is below 0, which
// no server is sent.
func (o *expireOptions) lifetime(key string, now time.Time) time.Duration {
	switch {
	case o.persist:
		return backends.NoTTL
	case o.at != "":
		return cmp.Or(o.until.Add(o.offset(key, 0)).Sub(now), -2) // never NoTTL by accident
	}
	return o.span + o.offset(key, o.span)
}

// changes tells whether a key that has a TTL, as far as it is known, would be given
// another.
func (o *expireOptions) changes(e *backends.Entry, now time.Time) bool {
	if !e.Have.Has(backends.FactTTL) {
		return true
	}
	never, then := e.TTL == backends.NoTTL, o.lifetime(e.Key, now)
	switch {
	case o.persist, o.only == backends.OnlyMissing:
		return never != o.persist
	case o.only == backends.OnlyShorten:
		return never || e.TTL > then
	case o.only == backends.OnlyExtend:
		return !never && e.TTL < then
	}
	return true
}

// count takes what the changed keys of a page were given.
func (o *expireOptions) count(r backends.Result, now time.Time) {
	var given analyze.TTLs
	for i := range r.Outcomes {
		if r.Outcomes[i].Did != backends.Changed {
			continue
		}
		ttl := o.lifetime(r.Outcomes[i].Key, now)
		if !o.persist { // the moment of --at may have come meanwhile
			ttl = max(ttl, 0)
		}
		given.Add(ttl)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.after.Merge(&given)
}

// stormRate is how many keys a second may expire together without a warning.
const stormRate = 1000

// plan adds what keys have and what they are given, and warns of a storm: keys with
// the same TTL expire as fast as they were given it.
func (o *expireOptions) plan(pl *plan) {
	if n := o.before.Keys(); n > 0 {
		from := "counted"
		if o.counted = pl.keys.Exact() && int64(pl.keys.Value) == n; !o.counted {
			from = "of " + plural(n, "key") + " looked at"
		}
		pl.more = append(pl.more, [2]string{"ttl now", ttlText(&o.before) + "  (" + from + ")"})
	}
	pl.more = append(pl.more, [2]string{"ttl then", o.intent()})
	rate := pl.keys.Value
	if o.at == "" {
		rate /= max(pl.takes.Seconds(), 1)
	}
	if o.jitter.none() && !o.persist && rate >= stormRate {
		pl.warnings = append(pl.warnings, fmt.Sprintf("%s may expire together, about %s a second: all who miss them come to the origin at once; --jitter 10%% spreads them",
			roughly(pl.keys), render.Int(significant(rate)).Text))
	}
}

// intent says what keys are given.
func (o *expireOptions) intent() string {
	text := "none"
	switch {
	case o.at != "":
		text = "until " + o.until.Format(time.RFC3339)
	case o.ttl != "":
		text = render.Duration(o.span).Text
	}
	if o.spread != "" {
		text += " ± " + o.spread
	}
	switch o.only {
	case backends.OnlyMissing:
		text += ", only keys without TTL"
	case backends.OnlyShorten:
		text += ", only keys that would live longer"
	case backends.OnlyExtend:
		text += ", only keys that would expire earlier"
	}
	return text
}

// histograms adds the TTLs before and after to the answer.
func (o *expireOptions) histograms(doc *render.Doc) {
	from := "counted by the plan"
	if !o.counted {
		from = "of " + plural(o.before.Keys(), "key") + " the plan looked at"
	}
	doc.Fields = append(doc.Fields,
		render.Field{Name: "ttl_before", Label: "before", Cell: ttlCellOf(&o.before, from)},
		render.Field{Name: "ttl_before_counted", Cell: render.Bool(o.counted), Machine: true},
		render.Field{Name: "ttl_after", Label: "after", Cell: ttlCellOf(&o.after, "of the keys that were changed, by what they were given")})
}

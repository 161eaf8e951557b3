package commands

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

// A copying is a filling from another cache.
type copying struct {
	filling
	from    targetFlag
	to      targetFlag
	hottest bool
}

func newCopy(env *Env) *cobra.Command {
	o := copying{from: targetFlag{named: "FROM"}, to: targetFlag{named: "TO"}}
	cmd := &cobra.Command{
		Use:   "copy FROM TO [PATTERN...]",
		Short: "Copy keys from one cache to another",
		Long: `Copy keys from one cache to another: all of them, or those that match a pattern or
pass the filters. FROM and TO are contexts or URLs, as -t takes them.

Between servers that understand each other's dumps (Redis and Valkey, not too far
apart in version) values go as they are, with the TTLs of hash fields, idle time or
frequency. Elsewhere they are read and written as values. Memcached goes to Memcached
with client flags, and to Redis as strings; of Redis, Memcached takes the strings.
What cannot be carried is counted, and why. Keys expire at the same moment in both.

Nothing is changed in FROM; reading counts as lookups there. Keys that are written or
removed meanwhile may be copied as they were before, and a key that is removed from
FROM is not removed from TO.

Keys that are there stay as they are (--if-missing, the default); --replace puts the
copy in their place, and asks first. --ttl is for keys that would never expire,
--jitter spreads all TTLs, and keys with less than --min-ttl left are skipped.
--hottest-first copies by access frequency or idle time; all keys are listed and held
in memory for that before the first is copied. With it --resume begins anew, because
the order is another by then; what was copied stays.

The memory of TO is watched: near the bound of --keep-free, or when keys are evicted,
it slows down, and then stops with exit status 4. The pace is that of rm. A run of
more than 1,000 keys keeps a journal, and --resume goes on after a stop or a kill. A
node of TO that is lost on the way is waited for, or who takes its place, for --retry-for.
--dry-run reads everything and copies nothing. --verify 1% reads that share of what
was copied in both caches and compares type, TTL and value.`,
		Example: `  cachectl copy redis://old:6379 redis+cluster://new:6379 --dry-run
  cachectl copy prod staging 'user:*' --type hash --rate 5000/s
  cachectl copy memcached://10.0.0.5,10.0.0.6 memcached://10.0.0.7 --hottest-first --keep-free 20%
  cachectl copy memcached://10.0.0.5 redis://new --prefix page: --jitter 10% --verify 1%
  cachectl copy prod standby --replace --yes --pace max -o json
  cachectl copy --resume`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && cmd.Flags().NFlag() == 0 {
				return cmd.Help()
			}
			return o.run(cmd, env, args)
		},
	}
	o.selection.ttlFlag = "has-ttl"
	o.selection.add(cmd)
	o.filling.add(cmd)
	cmd.Flags().BoolVar(&o.hottest, "hottest-first", false, "copy what is used most, or was used last, first; lists all keys before")
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		c, err := loadConfig(env)
		if err != nil || len(args) > 1 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return c.names(), cobra.ShellCompDirectiveNoFileComp
	}
	return describe(cmd, "change", impactWrite, exitsFilling...)
}

// ends reads FROM and TO, of the command line or of the journal.
func (o *copying) ends(cmd *cobra.Command, env *Env, args []string) (patterns []string, err error) {
	if o.resume != "" {
		var given []string
		if n := len(args); n == 3 && o.resume == newest { // "--resume FILE" looks to a flag parser like an argument
			given, args = args[1:], args[:1]
		} else if n >= 2 {
			given, args = args[:2], args[2:]
		}
		patterns, err = o.load(cmd, env, args)
		if err != nil || len(patterns) < 2 {
			return nil, err
		}
		args = slices.Concat(append(given, meant(patterns[0]), meant(patterns[1]))[:2], patterns[2:])
	} else if _, err := o.load(cmd, env, args); err != nil {
		return nil, err
	}
	if len(args) < 2 {
		return nil, withHint(usagef("copy wants two caches"), "cachectl copy FROM TO [PATTERN...]")
	}
	o.from.value, o.to.value = args[0], args[1]
	return args[2:], nil
}

func (o *copying) run(cmd *cobra.Command, env *Env, args []string) error {
	ctx := cmd.Context()
	patterns, err := o.ends(cmd, env, args)
	if err != nil {
		return errors.Join(err, o.journal.Close())
	}
	o.words = words{command: "copy", verb: "copy to", done: "copied", did: backends.Loaded}
	if o.lifetime.ttlFlag != "" && o.lifetime.ttlFlag[0] == '@' {
		return usagef("--ttl @FIELD is for records of a file")
	}
	if err := o.selection.parse(patterns); err != nil {
		return err
	}
	o.selection.leaveOut(func(key string) bool { return matchesAny([]string{"AmazonElastiCache:*"}, key) })
	ro, err := o.parse(cmd, env)
	if err != nil {
		return err
	}
	from, err := o.from.resolve(env)
	if err != nil {
		return err
	}
	to, err := o.to.resolve(env)
	if err != nil {
		return err
	}
	if bareURL(from.url) == bareURL(to.url) {
		return usagef("%s is both where to copy from and where to copy to", redacted(to.url))
	}
	if err := to.may("copy keys to it"); err != nil && !o.dryRun {
		return err
	}
	a, from, err := o.from.open(ctx, env)
	if err != nil {
		return err
	}
	defer a.Close()
	b, to, err := o.to.open(ctx, env)
	if err != nil {
		return err
	}
	defer b.Close()
	f := &copyFeed{filling: &o.filling, a: a, b: b, hottest: o.hottest, env: env}
	if f.carry, err = carrying(kindOf(from), kindOf(to)); err != nil {
		return err
	}
	o.recording.from, o.feed = bareURL(from.url), f
	if o.hottest && o.replace {
		o.anew = "--hottest-first: the order is that of this moment, so the copy begins anew: all keys are copied, and counted, once more"
	} else if o.hottest {
		o.anew = "--hottest-first: the order is that of this moment, so the copy begins anew: all keys are met, and counted, once more, and those that are there stay"
	}
	o.proof.other, _ = a.(backends.Reader)
	ends := []string{remembered(o.from.value), remembered(o.to.value)}
	err = o.filling.run(cmd, env, ro, b, to, append(ends, patterns...))
	tellFootprint(env, a)
	return err
}

// remembered is what a journal keeps of FROM or TO: a URL without its secrets.
func remembered(value string) string {
	if u, err := parseTarget(value); err == nil && holdsPassword(u) {
		return bareURL(u)
	}
	return value
}

// The kinds of caches that differ in what they hold.
const (
	kindRedis     = "redis"
	kindMemcached = "memcached"
)

func kindOf(t *target) string {
	if len(t.url.Scheme) >= len(kindMemcached) && t.url.Scheme[:len(kindMemcached)] == kindMemcached {
		return kindMemcached
	}
	return kindRedis
}

// carrying is how a record is made fit for the other cache. Its error is why that has
// nothing to hold it in.
func carrying(from, to string) (func(r *backends.Record) error, error) {
	switch {
	case from == kindMemcached && to == kindMemcached:
		return func(r *backends.Record) error {
			r.Shard = "" // of the other cache
			return nil
		}, nil
	case from == kindMemcached:
		return func(r *backends.Record) error {
			r.Form, r.Type, r.Shard = backends.FormString, backends.FormString, ""
			return nil
		}, nil
	case to == kindMemcached:
		return func(r *backends.Record) error {
			if r.Form == backends.FormString && r.Part == 0 && !r.More {
				return nil
			}
			if r.Type == backends.FormString {
				return errors.New("a string that is too big for memcached")
			}
			return fmt.Errorf("a %s: memcached holds strings only", render.Visible(r.Type))
		}, nil
	}
	return func(*backends.Record) error { return nil }, nil
}

// heatOf is how hot a key is, as its server tells: by access counter, or by idle time.
func heatOf(e *backends.Entry) float64 {
	switch {
	case e.Have.Has(backends.FactFreq):
		return float64(e.Freq)
	case e.Have.Has(backends.FactIdle):
		return -e.Idle.Seconds()
	}
	return noHeat
}

// noHeat is below all that is known.
const noHeat = -1e300

package commands

import (
	"context"
	"errors"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/archive"
	"github.com/cachectl/cachectl/commands/render"
)

type rmOptions struct {
	bulk
	unchanged bool
	stale     string
	backup    backup
	stay      time.Duration // of --stale; 0: delete
}

func newRm(env *Env) *cobra.Command {
	var o rmOptions
	cmd := &cobra.Command{
		Use:   "rm [PATTERN...]",
		Short: "Delete keys by pattern, prefix, list and filters",
		Long: `Delete the keys that match a pattern, begin with a prefix, or are named by a
file; with filters, only those of them that pass all. A pattern without * ? and [
is a key by its name, and needs no search.

First comes the plan: how many keys, how much memory, examples, from a random
sample of the keyspace or, where that is small or asked for, a count. Then you are
asked; without a terminal it needs --yes. --dry-run lists what would go.

Keys go by UNLINK on Redis and Valkey and by quiet meta deletes on memcached,
pipelined, every node at its own pace. The adaptive pace watches a server's
latency, its backlog of values to free, its replicas and its evictions, slows down
for them and says so. --rate and --pace max do not look.

Keys that are written while the walk goes on may survive it: --passes 2 looks again
and tells how many were there. --unchanged leaves keys that were rewritten between
being seen and being deleted (memcached: CAS; Redis 8.4 and Valkey 9: compare and
delete of strings; else a script that compares hashes of DUMP).

--stale deletes softly, on memcached with meta commands: values stay for 30 seconds, or
as long as it says, marked as stale. Meta clients are served them and told so, and the
first is told to bring a new one; so a deletion does not send all readers to the
origin at once. Classic clients (get) are served stale values like any other.

More than 1,000 keys are journaled in the state folder (--journal FILE puts it
elsewhere): their names are on the disk before they go, what became of them is before
it is told. --resume goes on after Ctrl-C, a crash, a lost connection. A node that
is lost on the way, and slots that move, are followed for --retry-for.

Patterns in a context's never_delete always stay, and AmazonElastiCache:* does. A
read_only context refuses; a protected one wants its name.`,
		Example: `  cachectl rm 'session:*' --dry-run
  cachectl rm 'session:*' --idle '>30d'
  cachectl rm --prefix 'cart[v2]:' --yes --rate 5000/s
  cachectl rm 'page:*' 'fragment:*' --exclude 'page:home*' --max-percent 5%
  cachectl rm user:1 user:2 --yes
  cachectl rm 'tmp:*' --yes --expect '12000±10%' -o json
  cachectl ls 'user:*' --ttl none -0 | cachectl rm --key-file - --key-format null --yes
  cachectl rm --all-keys --type stream --min-size 1MiB
  cachectl rm 'user:*' --idle '>90d' --plan-out users.plan
  cachectl rm --plan users.plan
  cachectl rm 'user:*' --backup users.backup --unchanged
  cachectl rm --resume
  cachectl rm 'page:*' --stale=1m -t memcached://10.0.0.5,10.0.0.6`,
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, env, args) },
	}
	o.bulk.add(cmd, env)
	o.planFile.add(cmd)
	cmd.Flags().IntVar(&o.passes, "passes", 1, "walk so often; each pass deletes what it finds, and tells how much")
	cmd.Flags().BoolVar(&o.unchanged, "unchanged", false, "leave keys that were rewritten since they were seen")
	cmd.Flags().StringVar(&o.backup.path, "backup", "", "keep value, TTL and what else is known of each key in a new `file` before it goes; \"cachectl restore\" puts them back")
	cmd.MarkFlagFilename("backup")
	cmd.Flags().StringVar(&o.stale, "stale", "", "memcached: mark values as stale, and let them stay for this `time`; without one, 30s")
	cmd.Flags().Lookup("stale").NoOptDefVal = "30s"
	return describe(cmd, "change", impactDestroy, exitsFailed, exitsRefused, exitsLimit, exitsSome, exitsInterrupted)
}

func (o *rmOptions) run(cmd *cobra.Command, env *Env, patterns []string) error {
	o.words = words{command: "rm", verb: "delete", done: "deleted", would: "would go", did: backends.Deleted}
	o.can = can[backends.Deleter]
	if o.unchanged {
		o.needs = backends.FactGuard
	}
	if o.backup.path != "" || o.resume != "" { // which may bring the flag
		o.opened, o.before, o.closed = o.open, o.backup.stage, o.backup.close
	}
	o.checked = func() error {
		if !cmd.Flags().Changed("stale") { // which a journal may have set just now
			return nil
		}
		return o.soften()
	}
	o.work = func(ctx context.Context, shard backends.Backend, pages iter.Seq2[backends.Page, error]) iter.Seq2[backends.Result, error] {
		if o.stay > 0 {
			return o.mark(ctx, shard, pages)
		}
		deleter, err := backends.As[backends.Deleter](shard)
		if err != nil {
			return ended[backends.Result](err)
		}
		return deleter.Delete(ctx, pages)
	}
	return o.bulk.run(cmd, env, patterns)
}

// open opens the backup: a new one, or that of the run that goes on.
func (o *rmOptions) open(ctx context.Context, env *Env, b backends.Backend, t *target) error {
	if o.backup.path == "" {
		return nil
	}
	if err := can[backends.Dumper](b); err != nil {
		return err
	}
	h := archive.Header{Created: env.Now().UTC(), Target: bareURL(t.url), Selection: strings.Join(o.selection.patterns, " "), Run: o.state.ID, By: "cachectl " + env.Version}
	if reader, ok := b.(backends.StatsReader); ok {
		if all, _ := reader.Stats(ctx); len(all) > 0 {
			h.Software, h.Version = all[0].Software, all[0].Version
		}
	}
	return o.backup.open(h, o.resume != "")
}

// soften makes the deletion a soft one.
func (o *rmOptions) soften() (err error) {
	if o.stay, err = parseDuration(o.stale); err == nil && (o.stay < time.Second || o.stay > 30*24*time.Hour) {
		err = errors.New("it is 1s to 30d")
	}
	if err != nil {
		return usagef("bad --stale: %w", err)
	}
	o.words.verb, o.words.done, o.words.would, o.words.did = "soft-delete", "marked as stale", "would be stale", backends.Staled
	o.can = func(b backends.Backend) error {
		err := can[backends.Staler](b)
		if err != nil {
			err = withHint(err, "memcached with meta commands can (1.6.10); without --stale, rm deletes")
		}
		return err
	}
	o.planned = func(pl *plan) {
		pl.more = append(pl.more, [2]string{"stale for", render.Duration(o.stay).Text + ", whatever TTL they have"})
		pl.warnings = append(pl.warnings, "classic clients (get, gets, gat) are still served these values, and are not told that they are stale")
	}
	return nil
}

// mark marks the values of pages as stale.
func (o *rmOptions) mark(ctx context.Context, shard backends.Backend, pages iter.Seq2[backends.Page, error]) iter.Seq2[backends.Result, error] {
	staler, err := backends.As[backends.Staler](shard)
	if err != nil {
		return ended[backends.Result](err)
	}
	return staler.Stale(ctx, pages, o.stay)
}

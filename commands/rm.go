package commands

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

type rmOptions struct {
	target    targetFlag
	output    output
	selection selection
	keyFile   keyFile
	pace      pace
	limits    limits
	confirm   confirmation
	allKeys   bool
	unchanged bool
	dryRun    bool
	nul       bool
	passes    int
	failures  string

	source source
	spared atomic.Int64 // keys that a never_delete pattern kept out
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

Patterns in a context's never_delete always stay, and AmazonElastiCache:* does. A
read_only context refuses; a protected one wants its name.`,
		Example: `  cachectl rm 'session:*' --dry-run
  cachectl rm 'session:*' --idle '>30d'
  cachectl rm --prefix 'cart[v2]:' --yes --rate 5000/s
  cachectl rm 'page:*' 'fragment:*' --exclude 'page:home*' --max-percent 5%
  cachectl rm user:1 user:2 --yes
  cachectl rm 'tmp:*' --yes --expect '12000±10%' -o json
  cachectl ls 'user:*' --ttl none -0 | cachectl rm --key-file - --key-format null --yes
  cachectl rm --all-keys --type stream --min-size 1MiB`,
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, env, args) },
	}
	o.target.add(cmd, env)
	o.selection.add(cmd)
	o.keyFile.add(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.allKeys, "all-keys", false, "needed where the pattern leaves no key out, or there is none")
	f.BoolVar(&o.dryRun, "dry-run", false, "list what would go, in any format, and change nothing")
	f.BoolVarP(&o.nul, "null", "0", false, "with --dry-run: bare keys, each ended by a NUL byte")
	o.limits.add(cmd)
	o.confirm.add(cmd)
	o.pace.add(cmd)
	f.BoolVar(&o.unchanged, "unchanged", false, "leave keys that were rewritten since they were seen")
	f.IntVar(&o.passes, "passes", 1, "walk so often; each pass deletes what it finds, and tells how much")
	f.StringVar(&o.failures, "failures", "", "write the keys that could not be deleted to a `file`, fit for --key-file")
	o.output.add(cmd)
	return describe(cmd, "change", impactDestroy, exitsFailed, exitsRefused, exitsLimit, exitsSome, exitsInterrupted)
}

func (o *rmOptions) run(cmd *cobra.Command, env *Env, patterns []string) error {
	ctx := cmd.Context()
	ro, err := o.parse(cmd, env, patterns)
	if err != nil {
		return err
	}
	t, err := o.target.resolve(env)
	if err != nil {
		return err
	}
	if err := t.may("delete keys"); err != nil && !o.dryRun {
		return err
	}
	o.spare(t)
	b, t, err := o.target.open(ctx, env)
	if err != nil {
		return err
	}
	defer b.Close()
	if _, err := backends.As[backends.Deleter](b); err != nil {
		return err
	}
	if o.dryRun {
		return o.list(ctx, env, ro, b)
	}
	if err := o.approve(ctx, env, b, t); err != nil {
		return err
	}
	return o.remove(ctx, env, ro, b)
}

// parse reads the flags.
func (o *rmOptions) parse(cmd *cobra.Command, env *Env, patterns []string) (render.Options, error) {
	ro, err := o.output.options(cmd.Context(), env)
	if err != nil {
		return ro, err
	}
	if err := errors.Join(o.keyFile.parse(), o.limits.parse(cmd)); err != nil {
		return ro, err
	}
	if err := o.choose(env, patterns); err != nil {
		return ro, err
	}
	if err := o.pace.parse(cmd, &o.selection); err != nil {
		return ro, err
	}
	switch {
	case o.passes < 1:
		return ro, usagef("bad --passes %d: it is at least 1", o.passes)
	case o.nul && !o.dryRun:
		return ro, usagef("-0 goes with --dry-run")
	case o.nul && (o.output.format != "" || o.output.jq != ""):
		return ro, usagef("-0 prints bare keys: it does not go with -o and --jq")
	}
	return ro, nil
}

// choose settles where the keys come from: a file, names, or a search.
func (o *rmOptions) choose(env *Env, patterns []string) error {
	if o.keyFile.path != "" {
		if len(patterns)+len(o.selection.prefixes) > 0 || o.allKeys {
			return usagef("--key-file does not go with a pattern, --prefix or --all-keys")
		}
		if err := o.selection.parse(nil); err != nil {
			return err
		}
		keys, err := o.keyFile.read(env)
		o.source = source{selection: &o.selection, listed: true, keys: keys}
		return err
	}
	if err := o.selection.parse(patterns); err != nil {
		return err
	}
	o.source = source{selection: &o.selection}
	if keys := exactly(o.selection.patterns); keys != nil {
		o.source.listed, o.source.keys = true, keys
		return nil
	}
	if !o.allKeys {
		if len(o.selection.patterns) == 0 {
			return withHint(usagef("no pattern"), "name the keys by a pattern, --prefix or --key-file; --all-keys means every key that passes the filters")
		}
		for _, pattern := range o.selection.patterns {
			if backends.Sweeping(pattern) {
				return withHint(usagef("%q takes every key", pattern), "--all-keys says that it is meant")
			}
		}
	}
	return nil
}

// exactly is the keys that patterns without any wildcard name; nil where one has.
func exactly(patterns []string) []string {
	var keys []string
	for _, pattern := range patterns {
		key, exact := backends.GlobPrefix(pattern)
		if !exact {
			return nil
		}
		keys = append(keys, key)
	}
	return keys
}

// spare keeps out what is never deleted, and counts it.
func (o *rmOptions) spare(t *target) {
	never := t.neverDelete()
	spared := func(key string) bool {
		if !matchesAny(never, key) {
			return false
		}
		o.spared.Add(1)
		return true
	}
	o.selection.leaveOut(spared)
	if o.source.listed {
		kept := o.source.keys[:0]
		for _, key := range o.source.keys {
			if o.selection.query.Keep(key) {
				kept = append(kept, key)
			}
		}
		o.source.keys = kept
	}
}

// list is --dry-run.
func (o *rmOptions) list(ctx context.Context, env *Env, ro render.Options, b backends.Backend) error {
	lost := newTrouble(env)
	progress := newWalkProgress(env, "keys", env.Term.Out && o.output.file == "")
	lost.before = progress.clear
	columns := plain(keyColumns)[:1]
	want := backends.Facts(0)
	if !o.nul {
		columns, want = plain(keyColumns), backends.FactSize
		if len(ro.Columns) == 0 {
			ro.Columns = []string{"key", "size"}
		}
	}
	keys, bytes, sized := int64(0), int64(0), int64(0)
	pages := backends.Observe(aside(lost, o.limits.hold(o.source.pages(ctx, b, want))), func(p backends.Page) {
		progress.page(p)
		keys += int64(len(p.Entries))
		for i := range p.Entries {
			if p.Entries[i].Have.Has(backends.FactSize) {
				bytes += p.Entries[i].Size
				sized++
			}
		}
	})
	var err error
	if o.nul {
		err = o.output.to(env, func(w io.Writer) error { return printNUL(w, pages) })
	} else {
		var chosen []int
		if chosen, err = ro.Choose(columns); err == nil {
			err = o.output.print(env, ro, render.Doc{Columns: columns, Rows: keyRows(pages, chosen)})
		}
	}
	progress.stop()
	size := ""
	if sized > 0 {
		size = ", " + render.Bytes(bytes).Text
	}
	env.note("dry run: %s%s would go; nothing was deleted", plural(keys, "key"), size)
	tellFootprint(env, b)
	return errors.Join(err, lost.err(progress.some()))
}

// approve makes the plan, holds it against the limits and asks.
func (o *rmOptions) approve(ctx context.Context, env *Env, b backends.Backend, t *target) error {
	lost := newTrouble(env)
	p := planner{source: &o.source, count: o.limits.counts(), lost: lost, progress: newWalkProgress(env, "keys counted", false)}
	lost.before = p.progress.clear
	pl, err := p.plan(ctx, b)
	p.progress.stop()
	if err == nil && len(pl.nodes) == 0 && !o.source.listed {
		err = lost.err(false)
	}
	if err != nil {
		return withHint(err, "nothing was deleted")
	}
	lost.tellLost() // their keys stay, which is told again in the end
	pl.verb, pl.where, pl.spared, pl.pace = "delete", b.Name(), t.profile.NeverDelete, o.pace.name(&o.selection)
	if t.context != "" {
		pl.where += " (context " + t.context + ")"
	}
	pl.takes = o.takes(ctx, b, pl)
	o.spared.Store(0)
	if !env.quiet || !o.confirm.yes {
		pl.print(env)
	}
	if err := o.limits.before(pl); err != nil {
		return err
	}
	return o.confirm.ask(ctx, env, t, "Delete them?", o.keyFile.path != "-")
}

// remove deletes, pass by pass, and says what became of the keys.
func (o *rmOptions) remove(ctx context.Context, env *Env, ro render.Options, b backends.Backend) error {
	done := newTally(b.Name())
	if err := done.writeFailures(o.failures); err != nil { // it must not turn out afterwards that it cannot be written
		return err
	}
	began := env.Now()
	var err error
	for pass := 0; pass < o.passes && err == nil; pass++ {
		done.begin()
		err = o.pass(ctx, env, b, done)
	}
	done.settle()
	done.spared = o.spared.Load()
	took := env.Now().Sub(began)
	if err == nil {
		err = o.limits.after(done.met())
	}
	done.tell(env, took)
	tellFootprint(env, b)
	return errors.Join(o.output.print(env, ro, done.doc(took)), done.writeFailures(o.failures), done.err(err))
}

// pass is one walk over all shards, each in a goroutine of its own.
func (o *rmOptions) pass(ctx context.Context, env *Env, b backends.Backend, done *tally) error {
	parts, err := o.source.parts(ctx, b)
	if err != nil {
		return err
	}
	lost := newTrouble(env)
	progress := newWalkProgress(env, "deleted", false)
	lost.before = progress.clear
	var work []func(context.Context) iter.Seq2[backends.Result, error]
	for _, part := range parts {
		work = append(work, func(ctx context.Context) iter.Seq2[backends.Result, error] {
			results := o.part(ctx, part, done)
			if len(parts) > 1 {
				results = lostAlone(ctx, part.Name(), results)
			}
			return results
		})
	}
	for result, failed := range aside(lost, backends.Parallel(ctx, work...)) {
		if err = failed; err == nil {
			n := done.add(result)
			progress.see(result.Shard, result.Done, n)
		}
	}
	progress.stop()
	return errors.Join(err, lost.err(progress.some()))
}

// part is the work on one shard.
func (o *rmOptions) part(ctx context.Context, part backends.Backend, done *tally) iter.Seq2[backends.Result, error] {
	deleter, err := backends.As[backends.Deleter](part)
	if err != nil {
		return func(yield func(backends.Result, error) bool) { yield(backends.Result{}, err) }
	}
	var pages iter.Seq2[backends.Page, error]
	if o.unchanged {
		pages = done.guarded(o.source.pages(ctx, part, backends.FactGuard))
	} else {
		pages = o.source.pages(ctx, part, 0)
	}
	if pages = o.limits.hold(pages); len(o.source.keys) > listPage || !o.source.listed { // a handful needs no pace
		pages = o.pace.of(ctx, part, &o.selection, pages)
	}
	return deleter.Delete(ctx, pages)
}

// lostAlone makes the end of one shard's work the loss of that shard: the others go
// on.
func lostAlone[T any](ctx context.Context, name string, seq iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for item, err := range seq {
			var limit *limitError
			if backends.Ends(err) && ctx.Err() == nil && !errors.As(err, &limit) {
				err = &backends.ShardError{Shard: name, Err: err}
			}
			if !yield(item, err) {
				return
			}
		}
	}
}

// takes guesses how long the work will take from how long a page took to walk. A
// deletion costs a server about 2.5 microseconds (measured, see bench).
func (o *rmOptions) takes(ctx context.Context, b backends.Backend, pl *plan) time.Duration {
	const deletion = 2500 * time.Nanosecond
	if o.source.listed {
		pl.walk = 0
	} else if pl.walk == 0 {
		pl.walk = o.timePage(ctx, b) * time.Duration(pl.total/int64(o.selection.query.Count)+1) / time.Duration(max(len(pl.nodes), 1))
	}
	work := pl.walk + time.Duration(pl.keys.Value)*deletion/time.Duration(max(len(pl.nodes), 1))
	switch {
	case o.selection.limiter != nil:
		return max(work, time.Duration(pl.keys.Value/float64(o.selection.limiter.Limit())*float64(time.Second)))
	case o.pace.mode == paceAdaptive:
		return time.Duration(float64(work) / mostShare)
	}
	return work
}

// timePage walks one page, the second of a shard: the first is empty.
func (o *rmOptions) timePage(ctx context.Context, b backends.Backend) time.Duration {
	var began time.Time
	for page, err := range o.source.pages(ctx, b, 0) {
		if err != nil && backends.Ends(err) {
			return 0
		}
		if !began.IsZero() {
			return time.Since(began)
		}
		if page.Shard != "" {
			began = time.Now()
		}
	}
	return 0
}

package commands

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

// A bulk is a change of many keys: what every such command has in common. The keys
// come from a search, a list or names; then plan, limits, confirmation; then, shard by
// shard, the work at its pace; then the summary. The command itself brings the words
// and the work on the pages of one shard.
type bulk struct {
	target    targetFlag
	output    output
	selection selection
	keyFile   keyFile
	planFile  planFile
	pace      pace
	limits    limits
	confirm   confirmation
	allKeys   bool
	dryRun    bool
	nul       bool
	passes    int
	failures  string
	recording

	source source
	spared atomic.Int64 // keys that a never_delete pattern kept out

	words words
	// checked reads the command's own flags, which a run that is resumed takes from its
	// journal; nil: it has none to be read.
	checked func() error
	can     func(backends.Backend) error // whether this kind of cache can do it at all
	// needs are the facts that the work wants of every key, which end the run where
	// they are not to be had.
	needs backends.Facts
	// preview is what a dry run shows of a key; nil: key and size. meant leaves out of it
	// what the work would leave alone; nil: nothing.
	preview []keyColumn
	meant   func(e *backends.Entry) bool
	// looks are facts that the plan asks for, as far as they are to be had, beside those
	// that the filters need. look sees every entry that the plan comes by.
	looks backends.Facts
	look  func(e *backends.Entry)
	// opened runs when the work may begin, and closed when it is over, however it ended;
	// before is a stage in front of the work on a shard.
	opened func(ctx context.Context, env *Env, b backends.Backend, t *target) error
	before func(ctx context.Context, shard backends.Backend, pages iter.Seq2[backends.Page, error]) iter.Seq2[backends.Page, error]
	closed func() error
	// planned adds to the plan before it is told, and result to the answer in the end.
	planned func(pl *plan)
	result  func(doc *render.Doc)
	// work changes the keys of one shard's pages.
	work func(ctx context.Context, shard backends.Backend, pages iter.Seq2[backends.Page, error]) iter.Seq2[backends.Result, error]
}

// words say what a bulk change does.
type words struct {
	command string        // "rm"
	verb    string        // "delete"
	done    string        // "deleted"
	would   string        // "would go"
	did     backends.Verb // of a key that was changed
}

func (o *bulk) add(cmd *cobra.Command, env *Env) {
	o.target.add(cmd, env)
	o.selection.add(cmd)
	o.keyFile.add(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.allKeys, "all-keys", false, "needed where the pattern leaves no key out, or there is none")
	f.BoolVar(&o.dryRun, "dry-run", false, "list the keys, in any format, and change nothing")
	f.BoolVarP(&o.nul, "null", "0", false, "with --dry-run: bare keys, each ended by a NUL byte")
	o.limits.add(cmd)
	o.confirm.add(cmd)
	o.pace.add(cmd)
	f.StringVar(&o.failures, "failures", "", "write the keys that failed to a `file`, fit for --key-file")
	o.recording.add(cmd)
	o.output.add(cmd)
}

// run is the whole of it.
func (o *bulk) run(cmd *cobra.Command, env *Env, patterns []string) error {
	ctx := cmd.Context()
	patterns, err := o.load(cmd, env, patterns)
	if err != nil {
		return err
	}
	ro, err := o.parse(cmd, env, patterns)
	if err != nil {
		return err
	}
	t, err := o.target.resolve(env)
	if err != nil {
		return err
	}
	if err := t.may(o.words.verb + " keys"); err != nil && !o.looksOnly() {
		return err
	}
	if err := o.choosePlan(t); err != nil {
		return err
	}
	o.spare(t)
	b, t, err := o.target.open(ctx, env)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := o.can(b); err != nil {
		return err
	}
	switch {
	case o.planFile.out != "":
		return o.writePlan(ctx, env, b, t)
	case o.dryRun:
		return o.list(ctx, env, ro, b)
	}
	if o.journal == nil {
		err = o.approve(cmd, env, b, t, patterns)
	} else {
		err = o.goOn(ctx, env, b, t)
	}
	if err == nil && o.opened != nil {
		err = o.opened(ctx, env, b, t)
	}
	switch {
	case err != nil && o.resume == "":
		return errors.Join(err, o.journal.Discard())
	case err != nil:
		return errors.Join(err, o.journal.Close())
	}
	return o.change(ctx, env, ro, b, func(took time.Duration, run error) { o.audit(cmd, env, t, patterns, took, run) })
}

// parse reads the flags.
func (o *bulk) parse(cmd *cobra.Command, env *Env, patterns []string) (render.Options, error) {
	ro, err := o.output.options(cmd.Context(), env)
	if err != nil {
		return ro, err
	}
	if err := errors.Join(o.keyFile.parse(), o.limits.parse(cmd)); err != nil {
		return ro, err
	}
	if o.checked != nil {
		if err := o.checked(); err != nil {
			return ro, err
		}
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
	case o.passes > 1 && o.source.listed:
		return ro, usagef("--passes goes with a search: keys that are named are not looked for again")
	case o.nul && !o.dryRun:
		return ro, usagef("-0 goes with --dry-run")
	case o.nul && (o.output.format != "" || o.output.jq != ""):
		return ro, usagef("-0 prints bare keys: it does not go with -o and --jq")
	}
	return ro, nil
}

// choose settles where the keys come from: a file, names, or a search.
func (o *bulk) choose(env *Env, patterns []string) error {
	if o.planFile.in != "" {
		if len(patterns)+len(o.selection.prefixes)+len(o.selection.excludes) > 0 || o.keyFile.path != "" || o.allKeys || o.planFile.out != "" {
			return usagef("--plan takes its keys from the plan: no pattern, list or --plan-out beside it")
		}
		err := o.selection.parse(nil)
		if err == nil && o.selection.needs() != 0 {
			err = usagef("--plan takes its keys from the plan: no filter beside it")
		}
		o.source = source{selection: &o.selection, listed: true, keys: o.state.List}
		return err
	}
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
	if o.state.Listed {
		if err := o.selection.parse(nil); err != nil {
			return err
		}
		o.source = source{selection: &o.selection, listed: true, keys: o.state.List}
		return nil
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

// looksOnly tells whether nothing is to be changed.
func (o *bulk) looksOnly() bool { return o.dryRun || o.planFile.out != "" }

// choosePlan takes the keys from a plan file, which is of one target.
func (o *bulk) choosePlan(t *target) error {
	if o.planFile.in == "" {
		return nil
	}
	all, err := o.planFile.read(bareURL(t.url))
	if err != nil {
		return err
	}
	keys, plan := byKey(all)
	if o.state.Listed { // what is left of it
		keys = o.source.keys
	}
	o.source.listed, o.source.keys, o.source.plan = true, keys, plan
	return nil
}

// exactly is the keys that patterns without any wildcard name, each once; nil where one
// has any.
func exactly(patterns []string) []string {
	var keys []string
	for _, pattern := range patterns {
		key, exact := backends.GlobPrefix(pattern)
		if !exact {
			return nil
		}
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// spare keeps out what is never deleted, and counts it.
func (o *bulk) spare(t *target) {
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

// approve makes the plan, holds it against the limits and asks.
func (o *bulk) approve(cmd *cobra.Command, env *Env, b backends.Backend, t *target, patterns []string) error {
	ctx := cmd.Context()
	lost := newTrouble(env)
	p := planner{source: &o.source, count: o.limits.counts(), looks: o.looks, look: o.look, lost: lost, progress: newWalkProgress(env, "keys counted", false)}
	lost.before = p.progress.clear
	pl, err := p.plan(ctx, b)
	p.progress.stop()
	if err == nil && len(pl.nodes) == 0 && !o.source.listed {
		err = lost.err(false)
	}
	if err != nil {
		return withHint(err, "nothing was done")
	}
	lost.tellLost() // their keys stay, which is told again in the end
	pl.verb, pl.where, pl.spared, pl.pace = o.words.verb, b.Name(), t.profile.NeverDelete, o.pace.name(&o.selection)
	if t.context != "" {
		pl.where += " (context " + t.context + ")"
	}
	pl.takes = o.takes(ctx, b, pl)
	if !o.source.listed { // the work counts anew what the plan met
		o.spared.Store(0)
	}
	if o.planned != nil {
		o.planned(pl)
	}
	if !env.quiet || !o.confirm.yes {
		pl.print(env)
	}
	if pl.keys.High == 0 && o.selection.kind != "" && !slices.Contains(keyTypes, o.selection.query.Type) {
		env.warn("no key is of type %q; types that need no module are %s", o.selection.kind, strings.Join(keyTypes, ", "))
	}
	for _, text := range pl.warnings {
		env.warn("%s", text)
	}
	if err := o.limits.before(pl); err != nil {
		return err
	}
	if err := o.confirm.ask(ctx, env, t, o.words.question(), o.keyFile.path != "-"); err != nil {
		return err
	}
	return o.begin(cmd, env, t, patterns, o.source.keys, o.source.listed, pl.keys.High)
}

// goOn asks whether a run is to go on.
func (o *bulk) goOn(ctx context.Context, env *Env, b backends.Backend, t *target) error {
	if was := meant(o.state.Target); was != bareURL(t.url) {
		return withHint(usagef("the journal is of %s, the target is %s", was, bareURL(t.url)), "-t names the target where the current one is another")
	}
	met := int64(0)
	for _, counts := range o.state.Counts {
		for _, n := range counts {
			met += n
		}
	}
	fmt.Fprintf(env.Err, "cachectl: resume: %s from %s, begun %s\n  done      %s met, %s of them %s\n", o.words.verb, render.Visible(b.Name()),
		o.state.Time.Local().Format(time.DateTime), plural(met, "key"), render.Int(o.state.Sum(o.words.did)).Text, o.words.done)
	return o.confirm.ask(ctx, env, t, "Go on?", true)
}

// takes guesses how long the work will take from how long a page took to walk. A
// deletion costs a server about 2.5 microseconds (measured, see bench).
func (o *bulk) takes(ctx context.Context, b backends.Backend, pl *plan) time.Duration {
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
func (o *bulk) timePage(ctx context.Context, b backends.Backend) time.Duration {
	var began time.Time
	for page, err := range o.source.pages(ctx, b, nil, 0) {
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

func (w words) question() string {
	return strings.ToUpper(w.verb[:1]) + w.verb[1:] + " them?"
}

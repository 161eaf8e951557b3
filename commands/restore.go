package commands

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/archive"
	"github.com/cachectl/cachectl/commands/render"
)

type restoreOptions struct {
	target    targetFlag
	output    output
	selection selection // its names, type and rate
	pace      pace
	confirm   confirmation
	ifMissing bool
	replace   bool
	ttl       string
	dryRun    bool
	failures  string
}

// What --ttl of restore may be.
const (
	ttlCounted = "counted-down"
	ttlAsItWas = "as-it-was"
)

func newRestore(env *Env) *cobra.Command {
	var o restoreOptions
	cmd := &cobra.Command{
		Use:   "restore FILE [PATTERN...]",
		Short: "Put back what rm --backup kept",
		Long: `Put keys back from a backup file: all of them, or those that match a pattern,
begin with a prefix, or have a type. Value, TTL, idle time or frequency come back,
and client flags on memcached.

Keys that are there stay as they are (--if-missing, the default); --replace puts
the backup's value in their place. A key's time goes on while it is in the backup:
one whose time has passed is not restored, and counted as expired. With --ttl
as-it-was each gets the time that it had left when the backup began.

First comes the plan: what the file holds, from which cache and when. Then you are
asked; without a terminal it needs --yes. --dry-run lists what would come back.

Only files that cachectl wrote are read, and every block of them has a checksum. Of
a file that is cut off or damaged everything that is whole is restored; the exit
status is then 4, and what was lost is told. A server may refuse values that come
from a newer version or from another kind of server; strings go everywhere.

A key that is in the file more than once, because it was written again while the
run went on, gets the last of its values.`,
		Example: `  cachectl restore sessions.backup --dry-run
  cachectl restore sessions.backup
  cachectl restore sessions.backup 'session:42*' --replace --yes
  cachectl restore sessions.backup --prefix 'cart[v2]:' --type hash --yes
  cachectl restore sessions.backup --ttl as-it-was --rate 5000/s --yes -o json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, env, args) },
	}
	o.target.add(cmd, env)
	f := cmd.Flags()
	f.BoolVar(&o.ifMissing, "if-missing", false, "leave keys alone that are there; the default")
	f.BoolVar(&o.replace, "replace", false, "put the backup's value in the place of what is there")
	f.StringVar(&o.ttl, "ttl", ttlCounted, "what becomes of TTLs: counted-down (keys expire when they would have) or as-it-was (they get the time they had left)")
	f.StringArrayVar(&o.selection.prefixes, "prefix", nil, "only keys that begin with `TEXT`, taken literally; may be repeated")
	f.StringArrayVar(&o.selection.excludes, "exclude", nil, "no keys that match this `PATTERN`; may be repeated")
	f.StringVar(&o.selection.kind, "type", "", "only keys of this `type`")
	f.StringVar(&o.selection.rate, "rate", "", "at most so many keys a second: `5000/s`")
	f.BoolVar(&o.dryRun, "dry-run", false, "list the keys, in any format, and change nothing")
	f.StringVar(&o.failures, "failures", "", "write the keys that failed to a `file`, fit for --key-file")
	complete(cmd, "ttl", ttlCounted, ttlAsItWas)
	complete(cmd, "type", keyTypes...)
	o.confirm.add(cmd)
	o.pace.add(cmd)
	o.output.add(cmd, columnNames(plain(restoreColumns()))...)
	return describe(cmd, "change", impactDestroy, exitsFailed, exitsRefused, exit{exitPartial, "partial: some keys failed, or the file is damaged; which is told"}, exitsInterrupted)
}

// restoreColumns are what a record tells.
func restoreColumns() []keyColumn { return keyColumns[:4] }

func (o *restoreOptions) run(cmd *cobra.Command, env *Env, args []string) error {
	ctx := cmd.Context()
	ro, err := o.parse(cmd, env, args[1:])
	if err != nil {
		return err
	}
	file, err := archive.Open(args[0])
	if err != nil {
		return err
	}
	defer file.Close()
	r := restoring{restoreOptions: o, path: args[0], file: file, now: env.Now(), did: make(map[backends.Verb]int64)}
	if o.dryRun {
		return r.list(ctx, env, ro)
	}
	t, err := o.target.resolve(env)
	if err != nil {
		return err
	}
	if err := t.may("restore keys"); err != nil {
		return err
	}
	b, t, err := o.target.open(ctx, env)
	if err != nil {
		return err
	}
	defer b.Close()
	loader, err := backends.As[backends.Loader](b)
	if err != nil {
		return err
	}
	if err := r.survey(ctx); err != nil {
		return err
	}
	if !env.quiet || !o.confirm.yes {
		r.plan(env, b, t)
	}
	if err := o.confirm.ask(ctx, env, t, "Restore them?", true); err != nil {
		return err
	}
	return r.load(ctx, env, ro, b, loader, func(took time.Duration, run error) { r.audit(cmd, env, t, args[1:], took, run) })
}

// audit remembers the run.
func (r *restoring) audit(cmd *cobra.Command, env *Env, t *target, patterns []string, took time.Duration, run error) {
	line := auditLine{Command: cmd.Name(), Target: redacted(t.url), Context: t.context, File: r.path, Patterns: patterns, Flags: whatFlags(cmd),
		Counts: make(map[string]int64), Seconds: took.Seconds()}
	for did, n := range r.did {
		line.Counts[string(did)] = n
	}
	line.write(env, run)
}

func (o *restoreOptions) parse(cmd *cobra.Command, env *Env, patterns []string) (render.Options, error) {
	ro, err := o.output.options(cmd.Context(), env)
	if err != nil {
		return ro, err
	}
	switch {
	case o.ifMissing && o.replace:
		return ro, usagef("--if-missing and --replace do not go together")
	case o.ttl != ttlCounted && o.ttl != ttlAsItWas:
		return ro, usagef("bad --ttl %q: it is %s or %s", o.ttl, ttlCounted, ttlAsItWas)
	case len(o.output.columns) > 0 && !o.dryRun:
		return ro, usagef("--columns goes with --dry-run")
	}
	s := &o.selection
	s.count = restoreBatch
	if err := errors.Join(s.parseNames(patterns), s.parseRate()); err != nil {
		return ro, err
	}
	return ro, o.pace.parse(cmd, s)
}

// restoreBatch is how many records are loaded and paced at a time.
const restoreBatch = 500

// load puts the records back, and says what became of them. How that ended is audited before
// the answer is printed: a pipe that nobody reads ends the process.
func (r *restoring) load(ctx context.Context, env *Env, ro render.Options, b backends.Backend, loader backends.Loader, audit func(took time.Duration, run error)) error {
	lost := newTrouble(env)
	progress := newWalkProgress(env, "restored", false)
	lost.before = progress.clear
	began := env.Now()
	var failed []backends.Outcome
	var end error
	batches := r.paced(ctx, b)
	for result, err := range aside(lost, loader.Load(ctx, batches, backends.LoadOptions{Replace: r.replace})) {
		if err != nil {
			end = err
			break
		}
		for _, outcome := range result.Outcomes {
			if r.did[outcome.Did]++; outcome.Did == backends.Failed {
				failed = append(failed, outcome)
			}
		}
		progress.see("", r.done, len(result.Outcomes))
	}
	progress.stop()
	took := env.Now().Sub(began)
	speed := ""
	if s := took.Seconds(); s > 0.1 && r.did[backends.Loaded] > 0 {
		speed = ", " + render.Int(int64(float64(r.did[backends.Loaded])/s)).Text + "/s"
	}
	run := r.verdict(end, lost.err(len(r.did) > 0), failed)
	audit(took, run)
	env.note("restored %s in %s%s", plural(r.did[backends.Loaded], "key"), render.Duration(took).Text, speed)
	return errors.Join(r.output.print(env, ro, r.doc(b, took)), writeKeys(r.failures, failed), run)
}

// verdict is what the run comes to: its end, lost nodes, failed keys, lost records.
func (r *restoring) verdict(end, lost error, failed []backends.Outcome) error {
	all := []error{end, lost}
	if end != nil { // keys that failed for it are told by it
		failed = slices.DeleteFunc(slices.Clone(failed), func(o backends.Outcome) bool { return strings.Contains(end.Error(), o.Err.Error()) })
	}
	for _, o := range failed[:min(len(failed), named)] {
		all = append(all, fmt.Errorf("%s: %w", render.Quote(o.Key), o.Err))
	}
	if more := len(failed) - named; more > 0 {
		all = append(all, fmt.Errorf("and %s more", plural(int64(more), "key")))
	}
	if r.torn != nil {
		all = append(all, r.torn)
	}
	err := errors.Join(all...)
	if err == nil || end != nil {
		return err
	}
	return &partialError{err}
}

func (r *restoring) doc(b backends.Backend, took time.Duration) render.Doc {
	doc := render.Doc{List: "targets", Columns: []render.Column{{Name: "target"}}}
	row := render.Row{render.Text(b.Name())}
	for _, verb := range []backends.Verb{backends.Loaded, backends.Kept, backends.Ended, backends.Failed} {
		doc.Columns = append(doc.Columns, render.Column{Name: string(verb), Right: true})
		doc.Fields = append(doc.Fields, render.Field{Name: string(verb), Cell: render.Int(r.did[verb]), Machine: true})
		row = append(row, tallyCell(verb, r.did[verb]))
	}
	records, bytes := int64(0), int64(0)
	if r.torn != nil {
		records, bytes = r.torn.Records, r.torn.Bytes
	}
	doc.Fields = append(doc.Fields,
		render.Field{Name: "lost_records", Cell: render.Int(records), Machine: true},
		render.Field{Name: "lost_bytes", Cell: render.Int(bytes), Machine: true},
		render.Field{Name: "seconds", Cell: render.Seconds(took), Machine: true})
	doc.Rows = rows([]render.Row{row})
	return doc
}

// paced are the batches, at the pace that was asked for. A pace slows pages down: each
// batch travels beside one that is as long.
func (r *restoring) paced(ctx context.Context, b backends.Backend) iter.Seq2[[]backends.Record, error] {
	return func(yield func([]backends.Record, error) bool) {
		var batch []backends.Record
		pages := func(yield func(backends.Page, error) bool) {
			for records, err := range r.batches(ctx) {
				if batch = records; !yield(backends.Page{Entries: make([]backends.Entry, len(records))}, err) {
					return
				}
			}
		}
		for _, err := range r.pace.of(ctx, b, &r.selection, pages) {
			some := batch
			if err != nil {
				some = nil
			}
			if !yield(some, err) {
				return
			}
		}
	}
}

// list is --dry-run.
func (r *restoring) list(ctx context.Context, env *Env, ro render.Options) error {
	if err := r.survey(ctx); err != nil {
		return err
	}
	keys := int64(0)
	pages := func(yield func(backends.Page, error) bool) {
		for records, err := range r.batches(ctx) {
			page := backends.Page{}
			for i := range records {
				if record := &records[i]; !record.More && !r.over(record) {
					page.Entries = append(page.Entries, r.entry(record))
				}
			}
			keys += int64(len(page.Entries))
			if !yield(page, err) {
				return
			}
		}
	}
	if len(ro.Columns) == 0 {
		ro.Columns = columnNames(plain(restoreColumns()))
	}
	columns := plain(restoreColumns())
	chosen, err := ro.Choose(columns)
	if err == nil {
		err = r.output.print(env, ro, render.Doc{Columns: columns, Rows: keyRows(pages, restoreColumns(), chosen)})
	}
	if err != nil {
		env.note("dry run: cut short after %s; nothing was done", plural(keys, "key"))
		return err
	}
	env.note("dry run: %s would come back, %s expired meanwhile; nothing was done", plural(keys, "key"), render.Int(r.ended).Text)
	if r.torn != nil {
		return &partialError{r.torn}
	}
	return nil
}

// entry is a record as ls shows keys. Its size is that of the value in the backup.
func (r *restoring) entry(record *backends.Record) backends.Entry {
	e := backends.Entry{Key: record.Key, Type: record.Type, Size: int64(len(record.Value)), TTL: backends.NoTTL, Have: backends.FactType | backends.FactTTL | backends.FactSize}
	if at := r.expires(record); !at.IsZero() {
		e.TTL = at.Sub(r.now)
	} else if !record.Have.Has(backends.FactTTL) {
		e.Have &^= backends.FactTTL
	}
	if record.Part > 0 {
		e.Have &^= backends.FactSize
	}
	return e
}

// writeKeys writes the keys of outcomes to a file, in the form that --key-file reads.
func writeKeys(path string, outcomes []backends.Outcome) error {
	if path == "" {
		return nil
	}
	keys := make([]string, len(outcomes))
	for i, o := range outcomes {
		keys[i] = o.Key
	}
	return replaceFile(path, 0o666, keyLines(slices.Values(keys)))
}

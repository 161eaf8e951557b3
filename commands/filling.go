package commands

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/journal"
	"github.com/cachectl/cachectl/commands/render"
)

// A filling puts records into a cache: what warm and copy have in common. The records
// come from a feed, parcel by parcel; then
//
//	parcels -> lifetime -> room -> pace -> Loader -> results -> rejects, journal -> tally
//
// A parcel is settled when each of its records is loaded, left out for a reason that is
// counted, or in the reject file. Only then the journal's mark moves behind it, so a run
// that was killed and goes on loads some records twice and misses none.
type filling struct {
	output    output
	pace      pace
	confirm   confirmation
	selection selection // its rate; of copy, the keys
	recording
	lifetime
	room    room
	rejects rejects
	proof   proof

	ifMissing bool
	replace   bool
	dryRun    bool

	words words
	feed  feed
}

// A feed brings what a cache is filled with.
type feed interface {
	// parcels brings the records from the marks on. An error that does not end the stream
	// (see backends.Ends) is told, and the stream goes on.
	parcels(ctx context.Context, from map[string]backends.Mark) iter.Seq2[*parcel, error]
	// survey looks at the source without reading all of it, as far as that can be.
	survey(ctx context.Context) (survey, error)
	// stands is where a parcel's records stood, in words: "line".
	stands() string
}

// A survey is what is known of a source before it is read.
type survey struct {
	lines    [][2]string // of the plan: name and text
	records  float64     // 0: unknown
	bytes    float64     // they will take in the cache, about; 0: unknown
	exact    bool
	examples []string
	warnings []string
}

// A parcel is some records on their way, and where the source goes on behind them.
type parcel struct {
	page    backends.Page // without entries
	records []backends.Record
	lines   []int64 // where each record stood; nil: it is named by its key alone
	bad     []reject
	others  []backends.Outcome // of records that need no cache to know what becomes of them
	bytes   int64              // that the records will take in the cache, about
}

// What may become of a record beside what a Loader says.
const (
	skipped   backends.Verb = "skipped"   // little life is left in it
	uncarried backends.Verb = "uncarried" // the target has nothing that could hold it
	rejected  backends.Verb = "rejected"  // it cannot be used, or the server refused it for good
)

// parcelRecords and parcelBytes are when a parcel is full.
const (
	parcelRecords = 500
	parcelBytes   = 1 << 20
)

func (f *filling) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.ifMissing, "if-missing", false, "leave keys alone that are there; the default")
	flags.BoolVar(&f.replace, "replace", false, "put what is loaded in the place of what is there")
	f.lifetime.add(cmd)
	f.room.add(cmd)
	f.rejects.add(cmd)
	f.proof.add(cmd)
	flags.BoolVar(&f.dryRun, "dry-run", false, "read everything, tell what would be loaded and whether there is room, and change nothing")
	f.confirm.add(cmd)
	f.pace.add(cmd)
	f.recording.add(cmd)
	f.output.add(cmd)
}

func (f *filling) parse(cmd *cobra.Command, env *Env) (render.Options, error) {
	ro, err := f.output.options(cmd.Context(), env)
	if err != nil {
		return ro, err
	}
	if f.ifMissing && f.replace {
		return ro, usagef("--if-missing and --replace do not go together")
	}
	if f.selection.count == 0 {
		f.selection.count = parcelRecords
	}
	if f.selection.limiter == nil {
		err = f.selection.parseRate()
	}
	err = errors.Join(err, f.lifetime.parse(), f.room.parse(), f.rejects.parse(), f.proof.parse())
	if err != nil {
		return ro, err
	}
	return ro, f.pace.parse(cmd, &f.selection)
}

// run fills b. patterns are what the journal and the audit line remember of the command.
func (f *filling) run(cmd *cobra.Command, env *Env, ro render.Options, b backends.Backend, t *target, patterns []string) error {
	ctx := cmd.Context()
	loader, err := backends.As[backends.Loader](b)
	if err != nil {
		return err
	}
	if f.dryRun {
		return f.look(ctx, env, ro, b)
	}
	if f.journal == nil {
		err = f.approve(cmd, env, b, t, patterns)
	} else {
		err = f.goOn(ctx, env, b, t)
	}
	switch {
	case err != nil && f.resume == "":
		return errors.Join(err, f.journal.Discard())
	case err != nil:
		return errors.Join(err, f.journal.Close())
	}
	began := env.Now()
	return f.change(ctx, env, ro, b, loader, func(run error) {
		line := auditLine{
			Command: commandName(cmd), Target: redacted(t.url), Context: t.context, Patterns: patterns, Flags: whatFlags(cmd),
			Counts: make(map[string]int64), Seconds: env.Now().Sub(began).Seconds(), Journal: f.journal.Path(), Continues: f.resume != "",
		}
		for _, counts := range f.state.Counts {
			for did, n := range counts {
				line.Counts[string(did)] += n
			}
		}
		line.write(env, run)
	})
}

// goOn tells what a run that goes on has done, and asks where a new one would.
func (f *filling) goOn(ctx context.Context, env *Env, b backends.Backend, t *target) error {
	if was := meant(f.state.Target); was != bareURL(t.url) {
		return withHint(usagef("the journal is of %s, the target is %s", was, bareURL(t.url)), "-t names the target where the current one is another")
	}
	if f.state.Source != "" && meant(f.state.Source) != f.from {
		return usagef("the journal is of what comes from %s, and not from %s", f.state.Source, f.from)
	}
	if err := f.unchanged(); err != nil {
		return err
	}
	fmt.Fprintf(env.Err, "cachectl: resume: %s from %s, begun %s\n  done      %s met, %s of them %s\n", f.words.verb, render.Visible(f.from),
		f.state.Time.Local().Format(time.DateTime), plural(f.met(), "record"), render.Int(f.state.Sum(backends.Loaded)).Text, f.words.done)
	if f.anew != "" {
		env.note("%s", f.anew)
	}
	return f.ask(ctx, env, t, "Go on?")
}

// met is how many records are settled.
func (f *filling) met() (n int64) {
	for _, counts := range f.state.Counts {
		for _, c := range counts {
			n += c
		}
	}
	return n
}

// ask wants a yes where values are replaced, and the name of what is protected always.
func (f *filling) ask(ctx context.Context, env *Env, t *target, question string) error {
	if !f.replace && !t.guard().protected {
		return nil
	}
	return f.confirm.ask(ctx, env, t, question, f.from != "-")
}

// change fills, proves, and says what became of the records. How that ended is audited
// before the answer is printed: a pipe that nobody reads ends the process.
func (f *filling) change(ctx context.Context, env *Env, ro render.Options, b backends.Backend, loader backends.Loader, audit func(run error)) error {
	err := f.rejects.open(f.resume != "", f.journal != nil)
	if err != nil {
		audit(err)
		return err
	}
	if f.state.Pass == 0 {
		f.state.Begin(1)
		err = f.journal.Pass(1)
	}
	began, before := env.Now(), f.state.Sum(backends.Loaded)
	l := &load{filling: f, env: env, backend: b, loader: loader}
	l.room = f.room.watch(b)
	f.selection.startClock()
	if err == nil {
		err = l.all(ctx)
	}
	took := env.Now().Sub(began)
	err = errors.Join(err, f.rejects.close())
	if err == nil && l.lost != nil {
		err = l.lost.err(true)
	}
	done := f.conclude(env, err)
	audit(errors.Join(err, done))
	f.tell(env, took, f.state.Sum(backends.Loaded)-before, l)
	verdict := f.verdict(err, l)
	doc := f.doc(b.Name(), took, l)
	if f.proof.percent > 0 {
		bad, failed := f.proof.check(ctx, env, b, &doc)
		verdict = errors.Join(verdict, bad, failed)
	}
	return errors.Join(f.output.print(env, ro, doc), done, verdict)
}

// verdict is what the run comes to: how it ended, and what was rejected. Either leaves it
// partial where something was loaded.
func (f *filling) verdict(end error, l *load) error {
	if n := f.state.Sum(rejected); n > 0 {
		end = errors.Join(end, withHint(&partialError{f.rejects.err(n, f.feed.stands())}, "%s", f.rejects.hint()))
	}
	var check *checkError
	if end == nil || errors.As(end, &check) || errors.Is(end, context.Canceled) {
		return end
	}
	var file *journal.Error
	if f.state.Sum(backends.Loaded) > 0 && !errors.As(end, &file) {
		var partial *partialError
		if !errors.As(end, &partial) {
			end = &partialError{end}
		}
	}
	return end
}

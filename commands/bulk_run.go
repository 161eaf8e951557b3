package commands

import (
	"context"
	"errors"
	"iter"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

// change works, pass by pass, and says what became of the keys.
func (o *bulk) change(ctx context.Context, env *Env, ro render.Options, b backends.Backend) error {
	done := newTally(b.Name(), o.words)
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
func (o *bulk) pass(ctx context.Context, env *Env, b backends.Backend, done *tally) error {
	parts, err := o.source.parts(ctx, b)
	if err != nil {
		return err
	}
	lost := newTrouble(env)
	progress := newWalkProgress(env, o.words.done, false)
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
func (o *bulk) part(ctx context.Context, part backends.Backend, done *tally) iter.Seq2[backends.Result, error] {
	pages := o.source.pages(ctx, part, o.needs)
	if o.needs != 0 {
		pages = done.known(pages, o.needs)
	}
	if pages = o.limits.hold(pages); len(o.source.keys) > listPage || !o.source.listed { // a handful needs no pace
		pages = o.pace.of(ctx, part, &o.selection, pages)
	}
	return o.work(ctx, part, pages)
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

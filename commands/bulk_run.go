package commands

import (
	"context"
	"errors"
	"iter"
	"maps"
	"strings"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/journal"
	"github.com/cachectl/cachectl/commands/render"
)

// change works, pass by pass, and says what became of the keys. How that ended is audited
// before the answer is printed: a pipe that nobody reads ends the process.
func (o *bulk) change(ctx context.Context, env *Env, ro render.Options, b backends.Backend, audit func(took time.Duration, run error)) error {
	done := newTally(b.Name(), o.words, o.state)
	if err := done.writeFailures(o.failures); err != nil { // it must not turn out afterwards that it cannot be written
		audit(0, err)
		return err
	}
	var err error
	began := env.Now()
	o.selection.startClock()
	for pass := max(o.state.Pass, 1); pass <= o.passes && err == nil; pass++ {
		if pass != o.state.Pass {
			o.state.Begin(pass)
			err = o.journal.Pass(pass)
		}
		if err == nil {
			err = o.pass(ctx, env, b, done)
		}
	}
	done.settle()
	done.spared = o.spared.Load()
	took := env.Now().Sub(began)
	if err == nil {
		err = o.limits.after(done.met())
	}
	if o.closed != nil {
		err = errors.Join(err, o.closed())
	}
	err = errors.Join(err, o.conclude(env, err))
	audit(took, err)
	done.tell(env, took)
	tellFootprint(env, b)
	doc := done.doc(took)
	if o.result != nil {
		o.result(&doc)
	}
	return errors.Join(o.output.print(env, ro, doc), done.writeFailures(o.failures), done.err(err))
}

// Between tries to reach a shard that was lost on the way.
const (
	firstWait = 250 * time.Millisecond
	mostWait  = 4 * time.Second
)

// mostRounds bounds how often a pass goes over shards that keep changing.
const mostRounds = 50

// pass walks over all shards in rounds, until each has been walked to its end by one
// server process that answered for the same slots all along. Shards that are lost on
// the way are tried again for a while: the same server may come back, or another take
// its place.
func (o *bulk) pass(ctx context.Context, env *Env, b backends.Backend, done *tally) error {
	progress := newWalkProgress(env, o.words.done, false)
	defer progress.stop()
	told := newTrouble(env)
	told.before = progress.clear
	moved, wait := env.Now(), firstWait
	for n := 0; ; n++ {
		o.limits.taken.Store(done.met())
		r := round{bulk: o, done: done, lost: make(map[string]error)}
		err := r.run(ctx, b, told, progress)
		if r.worked {
			moved, wait = env.Now(), firstWait
		}
		retry := err == nil && r.mayComeBack() && env.Now().Sub(moved) <= o.retryFor
		if err != nil || len(r.lost) > 0 && !retry {
			stopped := o.state.Stop(o.journal, func(shard string) bool { return err != nil || o.source.listed || r.lost[shard] != nil })
			if err == nil {
				err = r.loss(told)
			}
			return errors.Join(err, stopped)
		}
		again, err := o.state.Round(o.journal, func(shard string) bool { return o.source.listed || r.lost[shard] != nil })
		if err != nil {
			return err
		}
		if o.source.listed {
			o.source.keys = again
		}
		switch {
		case retry:
			if wait == firstWait {
				r.tell(env, progress)
			}
			if !pause(ctx, wait) {
				return context.Cause(ctx)
			}
			wait = min(2*wait, mostWait)
		case !r.worked || r.parts == 1:
			return told.err(true)
		case n >= mostRounds:
			env.warn("the cluster's slots keep moving: keys that moved may have been missed; --passes 2 looks again")
			return nil
		} // once more, to see that nothing has moved meanwhile
	}
}

// A round is one go over all shards, each in a goroutine of its own.
type round struct {
	*bulk
	done   *tally
	parts  int
	worked bool // some key was met, or some shard not yet at its end
	lost   map[string]error
}

func (r *round) run(ctx context.Context, b backends.Backend, told *trouble, progress *walkProgress) error {
	parts, err := r.source.parts(ctx, b)
	if err != nil {
		if ctx.Err() != nil || !errors.Is(err, backends.ErrUnreachable) || len(r.met) == 0 {
			return err
		}
		r.lost[b.Name()] = err
		return nil
	}
	r.parts = len(parts)
	marks := maps.Clone(r.state.Marks) // the state moves on while shards begin
	var work []func(context.Context) iter.Seq2[backends.Result, error]
	for _, part := range parts {
		work = append(work, func(ctx context.Context) iter.Seq2[backends.Result, error] {
			return r.alone(ctx, part.Name(), r.part(ctx, part, marks))
		})
	}
	for result, failed := range r.journal.Settle(backends.Parallel(ctx, work...), r.state) {
		var shard *backends.ShardError
		switch {
		case errors.As(failed, &shard):
			r.lost[shard.Shard] = failed
		case failed != nil && !backends.Ends(failed):
			told.add(failed)
		case failed != nil:
			err = failed
		default:
			r.worked = r.worked || len(result.Outcomes) > 0 || !result.Last
			r.met[result.Shard] = true
			progress.see(result.Shard, result.Done, r.done.changed(result))
		}
	}
	return err
}

// alone makes the end of one shard's work the loss of that shard: the others go on, and
// it may come back.
func (r *round) alone(ctx context.Context, name string, results iter.Seq2[backends.Result, error]) iter.Seq2[backends.Result, error] {
	return func(yield func(backends.Result, error) bool) {
		for result, err := range results {
			if result.Shard != "" {
				name = result.Shard
			}
			var limit *limitError
			var file *journal.Error
			var backup *backupError
			if backends.Ends(err) && ctx.Err() == nil && !errors.As(err, &limit) && !errors.As(err, &file) && !errors.As(err, &backup) &&
				(r.parts > 1 || errors.Is(err, backends.ErrUnreachable)) {
				err = &backends.ShardError{Shard: name, Err: err}
			}
			if !yield(result, err) {
				return
			}
		}
	}
}

// mayComeBack tells whether waiting makes sense: a shard was there, and is not now.
func (r *round) mayComeBack() bool {
	for shard, err := range r.lost {
		if errors.Is(err, backends.ErrUnreachable) && (r.wasThere(shard) || len(r.met) > 0 && r.parts < 2) {
			return true
		}
	}
	return false
}

// wasThere tells whether a shard, by its address or its URL, answered before.
func (r *round) wasThere(shard string) bool {
	_, addr, _ := strings.Cut(shard, "://")
	addr, _, _ = strings.Cut(addr, "/")
	return r.met[shard] || r.met[addr]
}

// loss is what the pass comes to when shards are lost: a cache of one server is lost
// with it, of several a part.
func (r *round) loss(told *trouble) error {
	for _, err := range r.lost {
		if r.parts < 2 && !r.source.listed {
			return err
		}
		told.add(err)
	}
	return told.err(true)
}

func (r *round) tell(env *Env, progress *walkProgress) {
	for _, err := range r.lost {
		progress.clear()
		env.warn("%v: trying again", err)
	}
}

// part is the work on one shard.
func (r *round) part(ctx context.Context, part backends.Backend, marks map[string]backends.Mark) iter.Seq2[backends.Result, error] {
	pages := r.source.pages(ctx, part, marks, r.needs)
	if r.needs != 0 {
		pages = r.done.known(pages, r.needs)
	}
	pages = r.journal.Intend(r.limits.hold(pages))
	if len(r.source.keys) > listPage || !r.source.listed { // a handful needs no pace
		pages = r.pace.of(ctx, part, &r.selection, pages)
	}
	if r.before != nil {
		pages = r.before(ctx, part, pages)
	}
	return r.work(ctx, part, pages)
}

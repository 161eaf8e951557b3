package commands

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
	"github.com/cachectl/cachectl/loadgen"
	"github.com/cachectl/cachectl/loadgen/fleet"
)

// A stage is where strategies are tried: a real cache, or none.
type stage struct {
	play  func(ctx context.Context, c fleet.Config) (*fleet.Report, error)
	able  func(ctx context.Context, c fleet.Config) error // else fleet.ErrUnable
	close func()
}

func (o *experiment) stage(ctx context.Context, env *Env) (stage, error) {
	if o.virtual {
		return stage{close: func() {}, play: fleet.Virtual, able: func(context.Context, fleet.Config) error { return nil }}, nil
	}
	b, dialer, _, err := o.guard.open(ctx, env, &o.target)
	if err != nil {
		return stage{}, err
	}
	real := fleet.Stage{Cache: dialer, Prefix: fmt.Sprintf("cachectl:load:%d:", o.traffic.traffic.Seed), Size: int(o.traffic.traffic.Sizes.Average()), HTTP: o.http}
	on := func(c fleet.Config) fleet.Stage { // a user may have no right to listen: only who must does
		s := real
		if choice, _ := fleet.Choose(o.catalogue, c.Strategy); choice.Listens() {
			s.Subscriber, _ = b.(backends.Subscriber)
		}
		return s
	}
	if err := o.vacant(ctx, real); err != nil {
		b.Close()
		return stage{}, err
	}
	return stage{
		close: func() { b.Close() },
		play: func(ctx context.Context, c fleet.Config) (*fleet.Report, error) {
			return o.playReal(ctx, env, b, c, on(c))
		},
		able: func(ctx context.Context, c fleet.Config) error { return able(ctx, o.catalogue, c, on(c)) },
	}, nil
}

// keepAble takes out of the choices what the cache cannot do, before anything is tried: of those that "all" means. One that
// was named is an error.
func (o *experiment) keepAble(ctx context.Context, env *Env, s stage) error {
	var able []fleet.Choice
	for _, choice := range o.choices {
		err := s.able(ctx, o.config(choice))
		switch {
		case err == nil:
			able = append(able, choice)
		case !errors.Is(err, fleet.ErrUnable) || slices.Contains(o.named, choice.Name):
			return err
		default:
			env.note("left out: %v", err)
		}
	}
	o.choices = able
	return nil
}

// able tells whether the cache has what a strategy needs: words for what it asks, and somebody to listen to.
func able(ctx context.Context, catalogue []fleet.Choice, c fleet.Config, s fleet.Stage) error {
	if choice, _ := fleet.Choose(catalogue, c.Strategy); choice.Listens() && s.Subscriber == nil {
		return fmt.Errorf("strategy %s %w: nobody can listen to it", c.Strategy, fleet.ErrUnable)
	}
	return fleet.Able(ctx, c, s)
}

// vacant refuses to run where keys are that would be the run's. Who may not look is told so by the run itself.
func (o *experiment) vacant(ctx context.Context, on fleet.Stage) error {
	c := loadgen.Config{Traffic: o.traffic.traffic, Dialer: on.Cache, Prefix: on.Prefix, Names: make([]string, o.traffic.traffic.Keys.N)}
	for i := range c.Names {
		c.Names[i] = fmt.Sprintf("{%d}", i)
	}
	switch taken, _ := loadgen.Taken(ctx, c, nil); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case taken:
		return withHint(usagef("refused: keys that begin with %q are there already, of somebody else or of another run", on.Prefix),
			"another --seed is free; %s removes what a run left", removal(o.target.value, on.Prefix))
	}
	return nil
}

// playReal tries one strategy on a real cache, while the guard watches its servers.
func (o *experiment) playReal(asked context.Context, env *Env, b backends.Backend, c fleet.Config, real fleet.Stage) (*fleet.Report, error) {
	if err := o.guard.fits(asked, b, o.traffic.demand().bytes); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancelCause(asked)
	watching := make(chan struct{})
	go func() { defer close(watching); o.guard.watch(ctx, b, o.traffic.demand().bytes, stop) }()
	shown := clockProgress(env, c.Strategy, c.Length)
	m, err := fleet.Real(ctx, c, real)
	shown()
	cause := context.Cause(ctx)
	stop(nil)
	<-watching
	if m == nil {
		return nil, err
	}
	o.invalid = append(o.invalid, m.Invalid...)
	for _, n := range []struct {
		of   uint64
		what string
	}{{m.Broken, "connections were lost"}, {m.Refused, "commands were refused by the cache, the first with: " + render.Visible(m.Refusal)}, {m.Unfetched, "fetches failed at the origin, the first with: " + render.Visible(m.Failure)}, {m.Moved, "actions failed because their key was on its way to another node"}, {m.Missed, "times a process may have missed messages"}} {
		if n.of > 0 {
			env.note("%s: %s %s", c.Strategy, render.Uint(n.of).Text, n.what)
		}
	}
	var stopped *loadStopped
	switch {
	case errors.As(cause, &stopped):
		err = cause
	case asked.Err() != nil:
		err = context.Cause(asked)
	}
	if m.Left > 0 {
		err = errors.Join(err, withHint(fmt.Errorf("%s: %s could not be removed", c.Strategy, plural(int64(m.Left), "key")), "%s removes them", removal(o.target.value, real.Prefix)))
	}
	return m.Report, err
}

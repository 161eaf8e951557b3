package commands

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/loadgen"
)

// readNames reads the key file, if there is one.
func (o *loadOptions) readNames(cmd *cobra.Command, env *Env) (err error) {
	if o.names.path == "" {
		return nil
	}
	if cmd.Flags().Changed("keys") {
		return usagef("--key-file says how many keys there are: no --keys beside it")
	}
	if err := o.names.parse(); err != nil {
		return err
	}
	if o.named, err = o.names.read(env); err == nil && len(o.named) == 0 {
		err = usagef("%s names no key", o.names.path)
	}
	o.traffic.keys = uint64(len(o.named))
	return err
}

// prepare writes the keys, where none of them is anybody's: else its error is loadgen.ErrTaken. With --no-fill, traffic
// may meet the keys of another of our runs (--keep), and those of others as long as it only reads.
func (o *loadOptions) prepare(ctx context.Context, env *Env, c loadgen.Config) error {
	switch {
	case !o.noFill:
		return o.fill(ctx, env, c)
	case o.guard.reads || strings.HasPrefix(o.prefix, "cachectl:load:"):
		return nil
	}
	taken, err := loadgen.Taken(ctx, c, nil)
	if err == nil && taken {
		err = loadgen.ErrTaken
	}
	return err
}

// refusal says in which way keys are taken.
func (o *loadOptions) refusal(given string) error {
	hint := "another --prefix or --seed is free; " + removal(given, o.prefix) + " removes what a run left"
	if o.traffic.traffic.Shard.Of > 1 && o.traffic.start.IsZero() {
		hint += "; shards that run side by side need --start-at, so that none begins before all have written their keys"
	}
	return withHint(usagef("refused: keys that begin with %q are there already, of somebody else or of another run", o.prefix), "%s", hint)
}

func (o *loadOptions) fill(ctx context.Context, env *Env, c loadgen.Config) error {
	progress := newWalkProgress(env, "keys written", false)
	defer progress.stop()
	total, last := float64(c.Traffic.Keys.N), uint64(0)
	return loadgen.Fill(ctx, c, func(done uint64) {
		progress.see("", float64(done)/total, int(done-last))
		last = done
	})
}

// removal is the command that removes what a run left on a target, as a shell reads it.
func removal(given, prefix string) string {
	return `"cachectl rm` + typedTarget(given) + " --prefix " + shellWords([]string{prefix}) + `"`
}

func (o *loadOptions) remove(ctx context.Context, env *Env, given string, c loadgen.Config) error {
	progress := newWalkProgress(env, "keys removed", false)
	defer progress.stop()
	total, last := float64(max(c.Written.Count(), 1)), uint64(0)
	err := loadgen.RemoveWritten(ctx, c, func(done uint64) {
		progress.see("", float64(done)/total, int(done-last))
		last = done
	})
	if err != nil {
		return withHint(err, "what is left expires by itself; %s removes it now", removal(given, o.prefix))
	}
	return nil
}

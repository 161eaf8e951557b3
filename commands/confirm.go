package commands

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/commands/render"
)

// A confirmation is how a command that destroys is allowed to: a person says yes
// on a terminal, or the command line did. A protected context wants its name.
type confirmation struct {
	yes  bool
	name string
}

func (c *confirmation) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVarP(&c.yes, "yes", "y", false, "do not ask")
	f.StringVar(&c.name, "confirm", "", "the `name` of a protected context, instead of being asked for it")
}

// may refuses what can be refused before anything is looked at: a context that is
// only to be read.
func (t *target) may(verb string) error {
	if t.profile.ReadOnly {
		return withHint(usagef("context %q is read-only: refused to %s", t.context, verb),
			`it is made so by read_only in the configuration; "cachectl context set %s --read-only=false" lifts that`, t.context)
	}
	return nil
}

var errDeclined = errors.New("not confirmed")

// ask returns nil where the command may go on. asking is false where standard
// input is not free for an answer.
func (c *confirmation) ask(ctx context.Context, env *Env, t *target, question string, asking bool) error {
	asking = asking && env.Term.In && env.Term.Err
	if c.name != "" && c.name != t.context {
		return usagef("--confirm %s: the target is %s", c.name, orElse(t.context, "no context"))
	}
	if !t.profile.Protected {
		switch {
		case c.yes:
			return nil
		case !asking:
			return withHint(usagef("refused: nobody to ask"), "--yes says that it is meant; --dry-run shows what would go")
		}
		answer, err := prompt(ctx, env, question+" [y/N] ")
		if err == nil && !strings.EqualFold(answer, "y") && !strings.EqualFold(answer, "yes") {
			err = &usageError{errDeclined}
		}
		return err
	}
	switch {
	case c.name == t.context:
		return nil
	case !asking:
		return withHint(usagef("refused: context %q is protected", t.context), "--confirm %s says that it is meant", t.context)
	}
	answer, err := prompt(ctx, env, question+"\nThe context is protected: type its name to go on: ")
	if err == nil && answer != t.context {
		err = &usageError{errDeclined}
	}
	return err
}

// prompt reads one line from the terminal. Ctrl-C ends the wait.
func prompt(ctx context.Context, env *Env, question string) (string, error) {
	fmt.Fprint(env.Err, render.Visible(question))
	type answer struct {
		line string
		err  error
	}
	got := make(chan answer, 1)
	go func() { // ends with the process at the latest: a read of a terminal cannot be called off
		line, err := bufio.NewReader(env.In).ReadString('\n')
		got <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(env.Err)
		return "", context.Cause(ctx)
	case a := <-got:
		if a.err != nil && a.line == "" {
			fmt.Fprintln(env.Err)
			return "", &usageError{errDeclined}
		}
		return strings.TrimSpace(a.line), nil
	}
}

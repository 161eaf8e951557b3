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
	f.StringVar(&c.name, "confirm", "", "the `name` of what is protected, instead of being asked for it")
}

// A guard is what the configuration says about changing the thing it names.
type guard struct {
	kind      string // "context"
	name      string
	readOnly  bool
	protected bool
	lift      string // what lifts readOnly
}

// guard is what the target's context says.
func (t *target) guard() guard {
	return guard{kind: "context", name: t.context, readOnly: t.profile.ReadOnly, protected: t.profile.Protected,
		lift: fmt.Sprintf("%q lifts that", "cachectl context set "+t.context+" --read-only=false")}
}

// may refuses what can be refused before anything is looked at: a context that is
// only to be read.
func (t *target) may(verb string) error { return t.guard().may(verb) }

func (g guard) may(verb string) error {
	if g.readOnly {
		return withHint(usagef("%s %q is read-only: refused to %s", g.kind, g.name, verb), "it is made so by read_only in the configuration; %s", g.lift)
	}
	return nil
}

var errDeclined = errors.New("not confirmed")

// ask returns nil where the command may go on. asking is false where standard
// input is not free for an answer.
func (c *confirmation) ask(ctx context.Context, env *Env, t *target, question string, asking bool) error {
	return c.askFor(ctx, env, t.guard(), question, asking)
}

// askFor is ask for whatever a guard names.
func (c *confirmation) askFor(ctx context.Context, env *Env, g guard, question string, asking bool) error {
	asking = asking && env.Term.In && env.Term.Err
	if c.name != "" && c.name != g.name {
		return usagef("--confirm %s: the target is %s", c.name, orElse(g.name, "no "+g.kind))
	}
	if !g.protected {
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
	case c.name == g.name:
		return nil
	case !asking:
		return withHint(usagef("refused: %s %q is protected", g.kind, g.name), "--confirm %s says that it is meant", g.name)
	}
	answer, err := prompt(ctx, env, question+"\nThe "+g.kind+" is protected: type its name to go on: ")
	if err == nil && answer != g.name {
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

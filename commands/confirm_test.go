package commands

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestConfirmation(t *testing.T) {
	plain, guarded := &target{profile: &profile{}}, &target{context: "prod", profile: &profile{Protected: true}}
	for _, c := range []struct {
		name     string
		target   *target
		given    confirmation
		terminal bool
		answer   string
		status   int
	}{
		{"said yes before", plain, confirmation{yes: true}, false, "", exitDone},
		{"nobody to ask", plain, confirmation{}, false, "y\n", exitUsage},
		{"yes", plain, confirmation{}, true, "y\n", exitDone},
		{"Yes", plain, confirmation{}, true, " Yes \n", exitDone},
		{"no", plain, confirmation{}, true, "n\n", exitUsage},
		{"nothing", plain, confirmation{}, true, "\n", exitUsage},
		{"end of input", plain, confirmation{}, true, "", exitUsage},
		{"protected, yes is not enough", guarded, confirmation{yes: true}, false, "", exitUsage},
		{"protected, named", guarded, confirmation{name: "prod"}, false, "", exitDone},
		{"protected, another named", guarded, confirmation{yes: true, name: "test"}, true, "prod\n", exitUsage},
		{"protected, typed", guarded, confirmation{}, true, "prod\n", exitDone},
		{"protected, typed yes", guarded, confirmation{yes: true}, true, "yes\n", exitUsage},
	} {
		env, _, _ := testEnv()
		env.In, env.Term = strings.NewReader(c.answer), Term{In: c.terminal, Err: c.terminal}
		if err := c.given.ask(t.Context(), env, c.target, "Delete them?", true); exitCode(err) != c.status {
			t.Errorf("%s: %v, want exit status %d", c.name, err, c.status)
		}
	}
}

// TestConfirmationEndsWithCtrlC: nobody answers, and the wait ends.
func TestConfirmationEndsWithCtrlC(t *testing.T) {
	env, _, _ := testEnv()
	silent, writer := io.Pipe()
	defer writer.Close()
	env.In, env.Term = silent, Term{In: true, Err: true}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := new(confirmation).ask(ctx, env, &target{profile: &profile{}}, "Delete them?", true); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the context's end", err)
	}
}

// Package commands is the command line: one file a command, each a struct of
// options, a constructor and a short run from stream to render. It takes the
// world from Env, never from the process: no os.Stdout, no clock, no exit.
//
// What several commands share stands in files of its own: target.go (which
// cache), config.go (contexts), output.go (formats), select.go (which keys),
// gate.go (checks for CI), trouble.go (what went wrong on the way), errors.go
// (exit status).
package commands

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
	"github.com/cachectl/cachectl/purge"
)

// An Env is everything a command takes from the outside.
type Env struct {
	In      io.Reader
	Out     io.Writer // the answer
	Err     io.Writer // everything else
	Term    Term
	Getenv  func(string) string
	Now     func() time.Time
	Schemes backends.Schemes
	CDNs    purge.Providers
	Version string
	// Serve makes the demonstration server answer on a TCP address until ctx
	// ends, and returns the address it got.
	Serve func(ctx context.Context, addr string) (string, error)

	quiet bool
}

// Term says what of the environment is a terminal. It decides decoration, never content.
type Term struct {
	In, Out, Err bool
	Width        int // of Out in cells; 0: unknown
}

// note tells the user something beside the answer. What servers say goes through
// here and warn: nothing of it may reach the terminal as a control sequence.
func (e *Env) note(format string, args ...any) {
	if !e.quiet {
		fmt.Fprintln(e.Err, "cachectl: note: "+render.Visible(fmt.Sprintf(format, args...)))
	}
}

func (e *Env) warn(format string, args ...any) {
	fmt.Fprintln(e.Err, "cachectl: warning: "+render.Visible(fmt.Sprintf(format, args...)))
}

package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
	"github.com/cachectl/cachectl/purge"
)

// The exit status, a documented interface: see "cachectl help exit-codes".
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitCheck       = 3
	exitPartial     = 4
	exitInterrupted = 130
)

// A usageError is the caller's to mend: exit 2.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// A checkError says that a gate did not hold: exit 3.
type checkError struct{ text string }

func (e *checkError) Error() string { return e.text }

// A partialError says that the answer lacks parts: exit 4.
type partialError struct{ err error }

func (e *partialError) Error() string { return e.err.Error() }
func (e *partialError) Unwrap() error { return e.err }

// A hintError is an error that says how it is mended.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

func withHint(err error, format string, args ...any) error {
	return &hintError{err, fmt.Sprintf(format, args...)}
}

// exitCode is the one place that turns an error into an exit status. A check
// outranks a partial answer: what was seen was bad enough to fail it.
func exitCode(err error) int {
	var usage *usageError
	var format *render.UsageError
	var check *checkError
	var partial *partialError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &usage), errors.As(err, &format), errors.Is(err, purge.ErrSettings):
		return exitUsage
	case errors.As(err, &check):
		return exitCheck
	case errors.As(err, &partial):
		return exitPartial
	}
	return exitFailed
}

// report prints an error with its hints. It is called once a run.
func report(w io.Writer, err error) {
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(w, "cachectl: interrupted")
		return
	}
	told := make(map[string]bool) // who writes a file meets the same full disk several times
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if told[line] {
			continue
		}
		told[line] = true
		fmt.Fprintf(w, "cachectl: error: %s\n", render.Visible(line))
	}
	for _, hint := range hints(err) {
		fmt.Fprintf(w, "cachectl: hint: %s\n", render.Visible(hint))
	}
}

// hints collects what the error itself says, and else what its kind suggests.
func hints(err error) []string {
	var own *hintError
	var unsupported *backends.UnsupportedError
	var unable *purge.UnsupportedError
	text := err.Error()
	switch {
	case errors.As(err, &own):
		return []string{own.hint}
	case purge.Hint(err) != "":
		return []string{purge.Hint(err)}
	case errors.As(err, &unable):
		return []string{`see "cachectl help cdn" for what each CDN can do`}
	case errors.Is(err, purge.ErrAuth), errors.Is(err, purge.ErrDenied):
		return []string{`see "cachectl help cdn" for the credentials and permissions that each CDN wants`}
	case errors.As(err, &unsupported):
		return []string{`see "cachectl help targets" for what each kind of cache can do`}
	case errors.Is(err, backends.ErrAuth) && strings.Contains(text, "without any password configured"):
		return []string{"this server has no password: leave it out of the target, the context and REDISCLI_AUTH"}
	case errors.Is(err, backends.ErrAuth):
		return []string{"give the password by REDISCLI_AUTH or a context's password_env, password_file or password_command; a user as redis://USER@host"}
	case errors.Is(err, backends.ErrDenied):
		return []string{`this user's ACL forbids it; "ACL DRYRUN" on the server tells what a user may do`}
	case errors.Is(err, backends.ErrUnreachable):
		return []string{unreachableHint(text)}
	}
	return nil
}

func unreachableHint(text string) string {
	switch {
	case strings.Contains(text, "connection refused"):
		return "nothing listens there: check host and port, or try it without a server: cachectl -t mem:// ping"
	case strings.Contains(text, "certificate"):
		return "name the authority with ?tls_ca=FILE, the server's name with ?tls_server_name=NAME, or, to look anyway, ?tls_skip_verify=true"
	case strings.Contains(text, "first record does not look like a TLS handshake"):
		return "the server does not speak TLS there: use redis:// instead of rediss://"
	case strings.Contains(text, "EOF"), strings.Contains(text, "reset by peer"):
		return "the server closed the connection: if it wants TLS, use rediss://"
	case strings.Contains(text, "no such host"), strings.Contains(text, "server misbehaving"):
		return "the host name does not resolve"
	case strings.Contains(text, "timeout"):
		return "no answer in time: a firewall, a wrong port, or a busy server; a longer limit is ?timeout=30s"
	}
	return "is the server up, and is this the right address?"
}

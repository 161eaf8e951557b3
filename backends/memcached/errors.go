package memcached

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cachectl/cachectl/backends"
)

// A replyError is a server's answer that something went wrong, in its own
// words: "ERROR", "CLIENT_ERROR ..." or "SERVER_ERROR ..." (protocol.txt,
// "Error strings"), and what the crawler says beside these: BUSY and BADCLASS.
type replyError string

func (e replyError) Error() string { return "the server answered " + printable([]byte(e)) }

// isErrorLine tells whether line is a replyError.
func isErrorLine(line []byte) bool {
	word, _, _ := strings.Cut(string(line), " ")
	switch word {
	case "ERROR", "CLIENT_ERROR", "SERVER_ERROR", "BUSY", "BADCLASS":
		return true
	}
	return false
}

// errProtocol says that what came is not memcached's protocol, or is the
// answer to something else. The connection cannot be used any longer.
var errProtocol = errors.New("unexpected answer")

func unexpected(command string, line []byte) error {
	if isErrorLine(line) {
		return replyError(line)
	}
	return fmt.Errorf("%w to %s: %s", errProtocol, command, printable(line))
}

// printable quotes a piece of what a server sent, short enough for a message.
func printable(b []byte) string {
	const most = 120
	if len(b) > most {
		return fmt.Sprintf("%q...", b[:most])
	}
	return fmt.Sprintf("%q", b)
}

// An opError is trouble with one node: what kind of trouble it is for the
// caller, and the words for it.
type opError struct {
	addr string
	kind error // one of the sentinels of backends, or nil
	err  error
}

func (e *opError) Error() string { return e.addr + ": " + e.err.Error() }

func (e *opError) Unwrap() []error { return []error{e.kind, e.err} }

// fail gives err, met while talking to addr, its kind. nil, a miss and the
// context's own errors stay what they are.
func fail(ctx context.Context, addr string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, backends.ErrMiss):
		return backends.ErrMiss
	}
	var done *opError
	if errors.As(err, &done) {
		return err
	}
	return &opError{addr: addr, kind: kindOf(err), err: err}
}

func kindOf(err error) error {
	var reply replyError
	switch {
	case errors.Is(err, errCredentials):
		return backends.ErrAuth
	case errors.As(err, &reply):
		if strings.Contains(string(reply), "authenticat") {
			return backends.ErrAuth
		}
		if refused(err) {
			return backends.ErrDenied
		}
	case broken(err):
		return backends.ErrUnreachable
	}
	return nil
}

// refused tells whether the server will never do this for us: it was started
// without the command (-X, -W), a managed service or a proxy lacks it, or it is
// older than the command. All of them say so in other words.
func refused(err error) bool {
	var reply replyError
	if !errors.As(err, &reply) {
		return false
	}
	if reply == "ERROR" {
		return true
	}
	for _, sign := range []string{"not allowed", "not supported", "disabled", "parsing request", "bad stats command", "unknown command"} {
		if strings.Contains(strings.ToLower(string(reply)), sign) {
			return true
		}
	}
	return false
}

// broken tells whether err is of the connection, not an answer of the server.
func broken(err error) bool { return backends.Disconnected(err) || errors.Is(err, errClosed) }

// lost makes err the loss of one node where there are others.
func (c *cache) lost(ctx context.Context, n *node, err error) error {
	err = fail(ctx, n.addr, err)
	if err == nil || ctx.Err() != nil || len(c.nodes) == 1 {
		return err
	}
	return &backends.ShardError{Shard: n.addr, Err: bare(err)}
}

// bare takes the address off an error that is going to carry it anyway.
func bare(err error) error {
	var op *opError
	if errors.As(err, &op) {
		return &kindError{op.kind, op.err}
	}
	return err
}

// A kindError is an opError whose address stands elsewhere.
type kindError struct{ kind, err error }

func (e *kindError) Error() string   { return e.err.Error() }
func (e *kindError) Unwrap() []error { return []error{e.kind, e.err} }

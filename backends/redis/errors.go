package redis

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
)

// An opError is trouble with one server: what kind of trouble it is for the
// caller, and the server's own words.
type opError struct {
	addr string
	kind error // one of the sentinels of backends, or nil
	err  error
}

func (e *opError) Error() string {
	text := words(e.err)
	if strings.HasPrefix(text, e.addr) {
		return text
	}
	return e.addr + ": " + text
}

func (e *opError) Unwrap() []error { return []error{e.kind, e.err} }

// words is what an error says, without what the server repeats of the command:
// that may be a password.
func words(err error) string {
	text, _, _ := strings.Cut(err.Error(), ", with args beginning with:")
	return text
}

// fail gives err, met while talking to addr, its kind. nil and the context's
// own errors stay what they are, and redis.Nil is a miss.
func fail(ctx context.Context, addr string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, redis.Nil), errors.Is(err, backends.ErrMiss):
		return backends.ErrMiss
	}
	var done *opError
	if errors.As(err, &done) {
		return err
	}
	return &opError{addr: addr, kind: kindOf(err), err: err}
}

// kindOf is what err means to the caller; nil for what has no name.
func kindOf(err error) error {
	switch classify(err) {
	case locked:
		return backends.ErrAuth
	case forbidden, forbiddenKey:
		return backends.ErrDenied
	case wrongType:
		return backends.ErrWrongType
	case connection, unready:
		return backends.ErrUnreachable
	}
	return nil
}

// A trouble is what kind of answer an error is.
type trouble int

const (
	none         trouble = iota
	other                // an answer of the server with no name here
	locked               // it wants other credentials
	forbidden            // this user may not use this command at all
	forbiddenKey         // this user may not see this key
	missing              // the command does not exist there: renamed, a managed service, an older version
	wrongType
	noKey
	moved      // the key is another node's, on its way there, or no node's
	unready    // it answers, but does not serve now: a master no more, loading, without its cluster
	connection // no answer at all
)

// classify is the one place that reads errors of go-redis and of servers.
func classify(err error) trouble {
	if err == nil {
		return none
	}
	text := err.Error()
	var reply redis.Error
	if !errors.As(err, &reply) {
		if backends.Disconnected(err) || errors.Is(err, redis.ErrClosed) || errors.Is(err, redis.ErrPoolTimeout) {
			return connection
		}
		return other
	}
	lower := strings.ToLower(text)
	has := func(signs ...string) bool {
		for _, sign := range signs {
			if strings.Contains(lower, sign) {
				return true
			}
		}
		return false
	}
	switch {
	case redis.IsAuthError(err), has("wrongpass", "noauth", "without any password configured", "unknown command 'auth'", "unknown command `auth`", "failed to authenticate"):
		return locked
	case has("access a key", "access one of the keys", "access at least one of the keys"):
		return forbiddenKey
	case has("noperm", "can't run this command", "no permissions to run"): // the latter two in a script
		return forbidden
	case has("unknown command", "unknown redis command", "unknown subcommand", "unknown sub-command", "not supported", "not allowed", "lfu maxmemory policy", "try object help", "try client help", "try memory help"):
		return missing
	case strings.HasPrefix(text, "WRONGTYPE"), has("key should be of string type"): // the latter says DELEX
		return wrongType
	case strings.HasPrefix(text, "MOVED "), strings.HasPrefix(text, "ASK "), strings.HasPrefix(text, "TRYAGAIN"), has("hash slot not served"):
		return moved
	case strings.HasPrefix(text, "READONLY "), strings.HasPrefix(text, "LOADING "), strings.HasPrefix(text, "MASTERDOWN "), strings.HasPrefix(text, "CLUSTERDOWN "):
		return unready
	case has("no such key"), errors.Is(err, redis.Nil):
		return noKey
	}
	return other
}

// refused tells whether the server will never carry out this command for us.
func refused(err error) bool {
	t := classify(err)
	return t == forbidden || t == missing
}

// broken tells whether err is of the connection, not an answer of the server.
func broken(err error) bool {
	var reply redis.Error
	return err != nil && !errors.As(err, &reply)
}

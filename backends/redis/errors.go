package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
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

func (e *opError) Error() string   { return e.addr + ": " + e.err.Error() }
func (e *opError) Unwrap() []error { return []error{e.kind, e.err} }

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

func kindOf(err error) error {
	text := err.Error()
	var network net.Error
	var reply redis.Error
	var certificate *tls.CertificateVerificationError
	var notTLS tls.RecordHeaderError
	var alert tls.AlertError
	switch {
	case redis.IsAuthError(err), strings.Contains(text, "WRONGPASS"), strings.Contains(text, "without any password configured"):
		return backends.ErrAuth
	case refused(err) && strings.Contains(text, "NOPERM"):
		return backends.ErrDenied
	case strings.HasPrefix(text, "WRONGTYPE"):
		return backends.ErrWrongType
	case errors.As(err, &reply):
		return nil
	case errors.As(err, &network), errors.As(err, &certificate), errors.As(err, &notTLS), errors.As(err, &alert), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, redis.ErrClosed), errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, net.ErrClosed):
		return backends.ErrUnreachable
	}
	return nil
}

// refused tells whether the server will never carry out this command for us:
// an ACL forbids it, or it does not exist there (renamed away, a managed
// service, an older version).
func refused(err error) bool {
	if err == nil {
		return false
	}
	text := strings.ToLower(err.Error())
	for _, sign := range []string{"noperm", "unknown command", "unknown subcommand", "unknown sub-command", "not supported", "not allowed", "try object help", "try client help", "try memory help"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// broken tells whether err is of the connection, not an answer of the server.
func broken(err error) bool {
	var reply redis.Error
	return err != nil && !errors.As(err, &reply)
}

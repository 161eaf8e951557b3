package backends

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// The kinds of trouble that a caller can do something about. Backends wrap
// them, whatever the server's own words were.
var (
	// ErrMiss says that the key is not there. It is an answer, not a failure.
	ErrMiss = errors.New("no such key")
	// ErrURL says that a target's URL is not one this backend understands.
	ErrURL = errors.New("bad URL")
	// ErrUnreachable says that no connection could be made, or that it broke.
	ErrUnreachable = errors.New("unreachable")
	// ErrAuth says that the server wants other credentials.
	ErrAuth = errors.New("authentication failed")
	// ErrDenied says that this user may not do that.
	ErrDenied = errors.New("permission denied")
	// ErrChanged says that the key is not what it was when it was seen.
	ErrChanged = errors.New("changed meanwhile")
	// ErrWrongType says that the key holds another type than the call is for.
	ErrWrongType = errors.New("wrong type")
)

// An UnsupportedError says that a kind of cache lacks a capability.
type UnsupportedError struct {
	Backend    string // its Name
	Capability string // name of the interface: "Scanner"
}

func (e *UnsupportedError) Error() string {
	can, ok := abilities[e.Capability]
	if !ok {
		can = "do this (" + e.Capability + ")"
	}
	return e.Backend + " cannot " + can
}

// What each capability lets a person do, for UnsupportedError.
var abilities = map[string]string{
	"Scanner":     "list keys",
	"Inspector":   "tell facts about keys",
	"Reader":      "show a value",
	"Store":       "get and set values",
	"StatsReader": "report statistics",
	"SlabReader":  "tell of slab classes",
	"Editor":      "change single keys",
	"Deleter":     "delete keys",
	"Expirer":     "change TTLs",
	"Staler":      "mark values as stale",
	"Dumper":      "back keys up",
	"Loader":      "restore keys",
	"Exporter":    "give values to other kinds of cache",
	"Formatter":   "tell what its records are written in",
	"Sampler":     "draw keys at random",
	"Pulser":      "tell how it is doing",
	"Sharder":     "be visited shard by shard",
	"Dialer":      "take traffic",
	"Publisher":   "publish messages",
	"Subscriber":  "listen to messages",
}

// A ShardError says that one shard was lost. In a stream it is not the end: the
// walk goes on with the others.
type ShardError struct {
	Shard string // address of the node
	Err   error
}

func (e *ShardError) Error() string {
	text := e.Err.Error()
	if strings.HasPrefix(text, e.Shard+": ") { // it says so itself
		return text
	}
	return e.Shard + ": " + text
}

func (e *ShardError) Unwrap() error { return e.Err }

// A Notice says that something the caller asked for is not to be had from a
// shard, mostly because a command is forbidden or missing there. Nothing is
// lost but that: the stream goes on, and each Notice comes once a shard.
type Notice struct {
	Shard string
	What  string // what is unknown or different from now on: "size is unknown"
	Facts Facts  // facts that no entry of the shard has from now on
	Err   error  // the server's answer
}

func (e *Notice) Error() string { return fmt.Sprintf("%s: %s: %v", e.Shard, e.What, e.Err) }
func (e *Notice) Unwrap() error { return e.Err }

// A KeyError is trouble with one key, where no Outcome can carry it: the stream goes on.
type KeyError struct {
	Key string
	Err error
}

func (e *KeyError) Error() string { return fmt.Sprintf("%q: %v", e.Key, e.Err) }
func (e *KeyError) Unwrap() error { return e.Err }

// Ends tells whether err, met in a stream, is the end of that stream. After a
// *ShardError, a *KeyError or a *Notice more items may follow.
func Ends(err error) bool {
	if err == nil {
		return false
	}
	var shard *ShardError
	var notice *Notice
	var key *KeyError
	return !errors.As(err, &shard) && !errors.As(err, &notice) && !errors.As(err, &key)
}

// Disconnected tells whether err is of a connection (refused, broken, timed out,
// not to be trusted) rather than an answer that came over it.
func Disconnected(err error) bool {
	var network net.Error
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var notTLS tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(err, &network) || errors.As(err, &certificate) || errors.As(err, &authority) ||
		errors.As(err, &notTLS) || errors.As(err, &alert) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, ErrUnreachable)
}

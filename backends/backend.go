// Package backends says what a cache is to cachectl: an open connection with a
// name, and a handful of capabilities that one server has and another lacks.
// It knows nothing about protocols, output or commands, and imports the
// standard library only. The pipeline built from it is always the same:
//
//	open -> As[capability] -> a stream -> Filter, Take, Pace ... -> a fold
//
// The package backendtest is the definition of these contracts in code: what
// passes it is a backend.
package backends

import (
	"context"
	"io"
	"net/url"
	"reflect"
)

// A Backend is an open connection to one cache: one server, or all nodes of a
// cluster. Whatever else it can do is one of the capabilities in this package:
// ask with As. A Backend is safe for concurrent use.
type Backend interface {
	// Name is the address without its password, fit for a table or a log.
	Name() string
	io.Closer
}

// An Opener opens the cache that u names and makes sure that it answers. u may
// hold secrets: neither the backend's Name nor an error may repeat them.
type Opener func(ctx context.Context, u *url.URL) (Backend, error)

// Schemes says which Opener serves a URL scheme. It is a value that main hands
// to the commands: there is no registry.
type Schemes map[string]Opener

// As asks b for the capability C. The error is an *UnsupportedError.
func As[C any](b Backend) (C, error) {
	if c, ok := b.(C); ok {
		return c, nil
	}
	var none C
	return none, &UnsupportedError{Backend: b.Name(), Capability: reflect.TypeFor[C]().Name()}
}

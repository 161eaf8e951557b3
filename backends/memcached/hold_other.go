//go:build !unix

package memcached

// HoldStops has nothing to hold where processes cannot be stopped by a key.
func HoldStops() (end func()) { return func() {} }

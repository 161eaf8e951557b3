//go:build !linux

package loadgen

import "time"

func nap(d time.Duration) { time.Sleep(d) }

func newTransport(bool) (transport, error) { return newPipes(), nil }

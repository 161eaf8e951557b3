package commands

import (
	"context"
	"sync"
	"time"
)

// clockProgress draws how much of a run of a known length is over, on a terminal, until
// the returned function is called.
func clockProgress(env *Env, what string, length time.Duration) (stop func()) {
	p := newCountProgress(env, what+", seconds", int(length/time.Second))
	ctx, cancel := context.WithCancel(context.Background())
	var drawing sync.WaitGroup
	drawing.Go(func() {
		for began := env.Now(); pause(ctx, 250*time.Millisecond); {
			p.set(int(min(env.Now().Sub(began), length) / time.Second))
		}
	})
	return func() { cancel(); drawing.Wait(); p.stop() }
}

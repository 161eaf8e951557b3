package commands

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/backends"
)

// A pace is how fast a bulk change goes: as the servers bear it, so many keys a
// second, or as fast as can be.
type pace struct{ mode string }

const (
	paceAdaptive = "adaptive"
	paceMax      = "max"
)

// adaptiveCount is the page of the adaptive pace: a server visits so many keys in
// a fifth of a millisecond.
const adaptiveCount = 250

func (p *pace) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.mode, "pace", paceAdaptive, "how fast: adaptive (slows down when a server suffers) or max")
	complete(cmd, "pace", paceAdaptive, paceMax)
}

// parse checks the flag against the selection's, and settles the page.
func (p *pace) parse(cmd *cobra.Command, s *selection) error {
	switch {
	case p.mode != paceAdaptive && p.mode != paceMax:
		return usagef("bad --pace %q: it is adaptive or max; so many keys a second is --rate", p.mode)
	case p.mode == paceMax && s.limiter != nil:
		return usagef("--rate and --pace max do not go together")
	}
	if p.mode == paceAdaptive && s.limiter == nil && !cmd.Flags().Changed("count") {
		s.query.Count = adaptiveCount
	}
	return nil
}

// name says the pace in words.
func (p *pace) name(s *selection) string {
	if s.limiter != nil {
		return "at " + s.rate
	}
	if p.mode == paceMax {
		return "as fast as can be"
	}
	return "at the adaptive pace"
}

// of slows the pages for one shard down. What the adaptive pace has to say comes as
// notices among them.
func (p *pace) of(ctx context.Context, shard backends.Backend, s *selection, pages iter.Seq2[backends.Page, error]) iter.Seq2[backends.Page, error] {
	if s.limiter != nil {
		return backends.Pace(ctx, pages, s.limiter.WaitN)
	}
	pulser, ok := shard.(backends.Pulser)
	if p.mode == paceMax || !ok {
		return pages
	}
	return adaptively(ctx, shard.Name(), pulser, pages)
}

// adaptively asks the shard how it is doing before the work and all along, and
// rests after every page. The time a page took, its deletions included, is taken
// for time that the server was busy: over a slow line that errs to the careful side.
func adaptively(ctx context.Context, name string, pulser backends.Pulser, pages iter.Seq2[backends.Page, error]) iter.Seq2[backends.Page, error] {
	return func(yield func(backends.Page, error) bool) {
		g := newGovernor()
		for range calmPulses {
			if pulse, ok := weakest(ctx, pulser); ok {
				g.begin(pulse)
			}
			if !pause(ctx, pulseEvery/10) {
				break
			}
		}
		var mu sync.Mutex
		news := ""
		inner, cancel := context.WithCancel(ctx)
		var watching sync.WaitGroup
		watching.Go(func() {
			for pause(inner, pulseEvery) {
				if pulse, ok := weakest(inner, pulser); ok {
					mu.Lock()
					if said := g.observe(pulse); said != "" {
						news = said
					}
					mu.Unlock()
				}
			}
		})
		defer watching.Wait()
		defer cancel()
		began := time.Now()
		for page, err := range pages {
			if !yield(page, err) {
				return
			}
			if err != nil || page.Last {
				continue
			}
			mu.Lock()
			rest, said := g.rest(time.Since(began)), news
			news = ""
			mu.Unlock()
			if said != "" && !yield(backends.Page{}, &backends.Notice{Shard: name, What: "slowing down", Err: errors.New(said)}) {
				return
			}
			pause(ctx, rest) // when ctx ends, the pages tell
			began = time.Now()
		}
	}
}

// weakest is the pulse of the server that does least well.
func weakest(ctx context.Context, pulser backends.Pulser) (backends.Stats, bool) {
	pulses, _ := pulser.Pulse(ctx) // a server that does not answer shows in the work itself
	var w backends.Stats
	for _, p := range pulses {
		if w.Node == "" || p.RTT > w.RTT {
			w = p
		}
	}
	return w, w.Node != ""
}

// pause waits, and tells whether ctx is still good.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

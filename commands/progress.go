package commands

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/cachectl/cachectl/backends"
)

// A walkProgress follows a walk over the keyspace: how much of it is walked,
// by shard, and how many entries came. On a terminal it draws a line on
// stderr, unless the answer itself goes to the same terminal.
type walkProgress struct {
	env     *Env
	start   time.Time
	bar     *progressbar.ProgressBar
	done    map[string]float64
	entries int64
}

func newWalkProgress(env *Env, answerOnTerminal bool) *walkProgress {
	p := &walkProgress{env: env, start: env.Now(), done: make(map[string]float64)}
	if env.Term.Err && !answerOnTerminal && !env.quiet {
		p.bar = progressbar.NewOptions(1000,
			progressbar.OptionSetWriter(env.Err),
			progressbar.OptionSetWidth(20),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionSetRenderBlankState(true),
		)
	}
	return p
}

// see takes note of a page.
func (p *walkProgress) see(page backends.Page) {
	p.done[page.Shard] = page.Done
	p.entries += int64(len(page.Entries))
	if p.bar != nil {
		p.bar.Describe(fmt.Sprintf("%d keys", p.entries))
		p.bar.Set(int(p.share() * 1000))
	}
}

// share is how much of the shards met so far is walked, 0 to 1.
func (p *walkProgress) share() float64 {
	if len(p.done) == 0 {
		return 0
	}
	sum := 0.0
	for _, d := range p.done {
		sum += d
	}
	return sum / float64(len(p.done))
}

// some tells whether any shard brought a page.
func (p *walkProgress) some() bool { return len(p.done) > 0 }

// clear takes the line off the terminal until the next page.
func (p *walkProgress) clear() {
	if p.bar != nil {
		p.bar.Clear()
	}
}

// stop takes the line off the terminal.
func (p *walkProgress) stop() {
	if p.bar != nil {
		p.bar.Clear()
		p.bar = nil
	}
}

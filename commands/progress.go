package commands

import (
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

// A walkProgress follows a walk over the keyspace: how much of it is walked,
// by shard, and how many entries came. On a terminal it draws a line on
// stderr, unless the answer itself goes to the same terminal.
type walkProgress struct {
	env     *Env
	what    string // "keys", "deleted"
	bar     *progressbar.ProgressBar
	done    map[string]float64
	entries int64

	mark      time.Time // when the rate was last taken
	markedAt  int64
	perSecond float64
}

func newWalkProgress(env *Env, what string, answerOnTerminal bool) *walkProgress {
	p := &walkProgress{env: env, what: what, mark: env.Now(), done: make(map[string]float64)}
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

// page takes note of a page.
func (p *walkProgress) page(page backends.Page) { p.see(page.Shard, page.Done, len(page.Entries)) }

// see takes note of n entries more of a shard, of which so much is done.
func (p *walkProgress) see(shard string, done float64, n int) {
	p.done[shard] = done
	p.entries += int64(n)
	if p.bar == nil {
		return
	}
	if now := p.env.Now(); now.Sub(p.mark) >= time.Second {
		p.perSecond = float64(p.entries-p.markedAt) / now.Sub(p.mark).Seconds()
		p.mark, p.markedAt = now, p.entries
	}
	text := render.Int(p.entries).Text + " " + p.what
	if p.perSecond > 0 {
		text += ", " + render.Int(int64(p.perSecond)).Text + "/s"
	}
	p.bar.Describe(text)
	p.bar.Set(int(p.share() * 1000))
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

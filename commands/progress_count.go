package commands

import (
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/cachectl/cachectl/commands/render"
)

// A countProgress follows a known number of things: a line on a terminal, and
// where there is none a note now and then, for the log of a CI run.
type countProgress struct {
	env   *Env
	what  string
	total int
	bar   *progressbar.ProgressBar
	noted time.Time
}

// noteEvery is how often a run without a terminal says how far it is.
const noteEvery = 15 * time.Second

func newCountProgress(env *Env, what string, total int) *countProgress {
	p := &countProgress{env: env, what: what, total: total, noted: env.Now()}
	if env.Term.Err && !env.quiet {
		p.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(env.Err), progressbar.OptionSetWidth(20), progressbar.OptionShowCount(),
			progressbar.OptionSetDescription(what), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(true), progressbar.OptionSetRenderBlankState(true))
	}
	return p
}

func (p *countProgress) set(n int) {
	if p.bar != nil {
		p.bar.Set(n)
	} else if now := p.env.Now(); now.Sub(p.noted) >= noteEvery {
		p.noted = now
		p.env.note("%s %s of %s", p.what, render.Int(int64(n)).Text, render.Int(int64(p.total)).Text)
	}
}

func (p *countProgress) clear() {
	if p.bar != nil {
		p.bar.Clear()
	}
}

func (p *countProgress) stop() {
	if p.bar != nil {
		p.bar.Clear()
		p.bar = nil
	}
}

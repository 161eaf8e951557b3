package commands

import (
	"fmt"
	"net/http"
	"time"

	"github.com/cachectl/cachectl/commands/render"
)

// A warmCare decides how many requests an origin gets at a time, and when it gets none. It
// begins with few, to learn how fast a calm origin answers, doubles while all is well, is
// halved when the origin suffers, and grows by one a round from then on. It never falls below
// one, so that the work ends. It is a pure state machine: answers go in, and it says what
// changed.
type warmCare struct {
	most  int  // --concurrency
	max   bool // --pace max: errors and latency slow nothing down; a wait that is asked for is kept
	limit float64

	calm    time.Duration   // the median of the first answers; 0: not known
	recent  []time.Duration // of what came from the origin
	turned  time.Time       // when the limit was halved last: what was sent before says nothing of it
	steady  bool            // it was halved once
	until   time.Time       // nothing is sent before
	backoff time.Duration
	said    map[string]time.Time
}

const (
	careFirst   = 2                     // requests at a time to begin with
	careOf      = 9                     // answers whose median is the latency
	carePlus    = 25 * time.Millisecond // beyond twice the calm latency: below that nobody suffers
	careBackoff = time.Second           // the first wait after a 429 that names none
	careWait    = time.Minute           // the longest wait, whatever an answer asks for
)

func newWarmCare(most int, max bool) *warmCare {
	c := &warmCare{most: most, max: max, limit: float64(min(most, careFirst)), said: make(map[string]time.Time)}
	if max {
		c.limit = float64(most)
	}
	return c
}

// A carePulse is what an answer says of the origin.
type carePulse struct {
	sent, at time.Time // at: when its head was there
	status   int       // 0: no answer
	origin   bool      // it came from there, as far as is known: its latency counts
	wait     time.Duration
}

// throttled tells whether the answer asks to be left alone.
func (p *carePulse) throttled() bool {
	return p.status == http.StatusTooManyRequests || p.status == http.StatusServiceUnavailable && p.wait > 0
}

// observe takes an answer. It returns a sentence when something turns, and "" otherwise.
func (c *warmCare) observe(p carePulse) string {
	switch {
	case p.throttled():
		return c.pause(p)
	case p.status == 0 || p.status >= 500:
		what := "a request had no answer"
		if p.status != 0 {
			what = fmt.Sprintf("HTTP %d", p.status)
		}
		return c.halve(p, what)
	}
	if !p.sent.Before(c.until) {
		c.backoff = 0
	}
	if !p.origin {
		if c.calm > 0 || len(c.recent) == 0 {
			c.grow()
		}
		return ""
	}
	if c.recent = append(c.recent, p.at.Sub(p.sent)); len(c.recent) > careOf {
		c.recent = c.recent[1:]
	}
	if c.calm == 0 {
		if !c.max {
			c.limit = min(c.limit, careFirst) // hits may have raised it
		}
		if len(c.recent) == careOf {
			c.calm = median(c.recent)
		}
		return ""
	}
	if len(c.recent) < careOf { // the new pace is not judged yet
		return ""
	}
	now := median(c.recent)
	switch slow := now > max(2*c.calm, c.calm+carePlus); {
	case !slow:
		c.grow()
	case c.limit <= 1: // alone, we are not what makes it slow
		c.calm = now
	default:
		return c.halve(p, fmt.Sprintf("an answer takes %s, %s before", render.Duration(now.Round(time.Millisecond)).Text, render.Duration(c.calm.Round(time.Millisecond)).Text))
	}
	return ""
}

func (c *warmCare) grow() {
	if c.steady {
		c.limit += 1 / c.limit
	} else {
		c.limit++
	}
	c.limit = min(c.limit, float64(c.most))
}

// halve is for the answers to what was sent since it was halved last.
func (c *warmCare) halve(p carePulse, why string) string {
	if c.max || p.sent.Before(c.turned) {
		return ""
	}
	c.turned, c.steady, c.recent = p.at, true, nil
	before := int(c.limit)
	c.limit = max(c.limit/2, 1)
	if before == int(c.limit) {
		return ""
	}
	return c.say(p.at, "slow", fmt.Sprintf("slowing down to %s at a time: %s", plural(int64(c.limit), "request"), why))
}

// pause waits as long as the answer wants, or longer each time where it does not say.
func (c *warmCare) pause(p carePulse) string {
	c.halve(p, "")
	wait := p.wait
	if wait <= 0 {
		if !p.sent.Before(c.until) { // it was sent after the last wait, and that was too short
			c.backoff = max(2*c.backoff, careBackoff)
		}
		wait = c.backoff
	}
	wait = min(wait, careWait)
	if until := p.at.Add(wait); until.After(c.until) {
		c.until = until
	}
	return c.say(p.at, "wait", fmt.Sprintf("waiting %s: HTTP %d", render.Duration(wait).Text, p.status))
}

// say is text, unless the same kind was said a moment ago.
func (c *warmCare) say(at time.Time, kind, text string) string {
	if before, ok := c.said[kind]; ok && at.Sub(before) < silence {
		return ""
	}
	c.said[kind] = at
	return text
}

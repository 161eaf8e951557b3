package commands

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A careClock plays answers to a warmCare, one behind the other.
type careClock struct {
	care *warmCare
	now  time.Time
	news []string
}

func newCareClock(most int, max bool) *careClock {
	return &careClock{care: newWarmCare(most, max), now: time.Unix(1e9, 0)}
}

// answers plays n answers that take so long.
func (c *careClock) answers(n int, took time.Duration, origin bool) {
	for range n {
		sent := c.now
		c.now = c.now.Add(took)
		c.pulse(carePulse{sent: sent, at: c.now, status: 200, origin: origin})
	}
}

func (c *careClock) pulse(p carePulse) {
	if news := c.care.observe(p); news != "" {
		c.news = append(c.news, news)
	}
}

func (c *careClock) status(status int, wait time.Duration) {
	sent := c.now
	c.now = c.now.Add(10 * time.Millisecond)
	c.pulse(carePulse{sent: sent, at: c.now, status: status, wait: wait})
}

func (c *careClock) want(t *testing.T, when string, limit int, news string) {
	t.Helper()
	if got := strings.Join(c.news, "\n"); int(c.care.limit) != limit || (got == "") != (news == "") || !strings.Contains(got, news) {
		t.Errorf("%s: limit %g, said %q; want %d, %q", when, c.care.limit, got, limit, news)
	}
	c.news = nil
}

func TestWarmCare(t *testing.T) {
	c := newCareClock(8, false)
	c.want(t, "at first", 2, "")
	c.answers(careOf, 10*time.Millisecond, true)
	c.want(t, "while calm is learnt", 2, "")
	c.answers(20, 10*time.Millisecond, true)
	c.want(t, "all is well", 8, "")
	c.answers(careOf, 30*time.Millisecond, true)
	c.want(t, "within what nobody suffers from", 8, "")
	c.answers(careOf, 60*time.Millisecond, true)
	c.want(t, "slow", 4, "slowing down to 4 requests at a time: an answer takes 60ms, 10ms before")
	c.answers(100, 10*time.Millisecond, true)
	c.want(t, "well again", 8, "")
	c.now = c.now.Add(time.Minute)
	c.answers(careOf/2+1+2*careOf, 100*time.Millisecond, true)
	c.want(t, "slow for long", 1, "4 requests")
	c.answers(30, 100*time.Millisecond, true)
	if c.care.calm != 100*time.Millisecond || c.care.limit < 2 {
		t.Errorf("alone it is as slow: calm is %v, limit %g", c.care.calm, c.care.limit)
	}
}

// TestWarmCareErrors: what was on its way when the limit was halved does not halve it again.
func TestWarmCareErrors(t *testing.T) {
	c := newCareClock(8, false)
	c.answers(40, 10*time.Millisecond, true)
	sent := c.now
	for n := range 8 {
		c.pulse(carePulse{sent: sent, at: sent.Add(time.Duration(n+1) * time.Millisecond), status: 502})
	}
	c.now = sent.Add(time.Second)
	c.want(t, "eight at once", 4, "HTTP 502")
	c.status(0, 0)
	c.want(t, "one more", 2, "")
	c.now = c.now.Add(time.Minute)
	for range 9 {
		c.status(500, 0)
	}
	c.want(t, "nothing but errors", 1, "slowing down to 1 request at a time: HTTP 500")
	c.status(404, 0)
	c.want(t, "an answer is an answer", 2, "")
}

func TestWarmCareWaits(t *testing.T) {
	for _, max := range []bool{false, true} {
		c := newCareClock(4, max)
		c.status(429, 7*time.Second)
		if got := c.care.until.Sub(c.now); got != 7*time.Second {
			t.Errorf("waits %v", got)
		}
		if got := fmt.Sprint(c.news); !strings.Contains(got, "waiting 7s: HTTP 429") {
			t.Errorf("said %s", got)
		}
		c.status(503, 1<<30*time.Second)
		if got := c.care.until.Sub(c.now); got != careWait {
			t.Errorf("waits %v", got)
		}
		if want := map[bool]int{true: 4, false: 1}[max]; int(c.care.limit) != want {
			t.Errorf("limit %g, want %d", c.care.limit, want)
		}
	}
	c := newCareClock(4, false) // without a time
	for n, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		c.status(429, 0)
		c.status(429, 0) // of before: one wait is one wait
		if got := c.care.until.Sub(c.now); got.Round(time.Second) != want*time.Second {
			t.Errorf("wait %d is %v, want %d s", n+1, got, want)
		}
		c.now = c.care.until
	}
	c.answers(1, time.Millisecond, true)
	c.status(429, 0)
	if got := c.care.until.Sub(c.now); got != careBackoff {
		t.Errorf("after an answer it waits %v", got)
	}
	c = newCareClock(4, false)
	c.status(503, 0)
	if !c.care.until.IsZero() {
		t.Error("a 503 that names no time is waited for")
	}
}

// TestWarmCareHits: the cache's answers say nothing of the origin, and what they are fast by
// is not taken for its calm.
func TestWarmCareHits(t *testing.T) {
	c := newCareClock(8, false)
	c.answers(50, time.Millisecond, false)
	c.want(t, "hits", 8, "")
	c.answers(1, 300*time.Millisecond, true)
	c.want(t, "the first miss", 2, "")
	c.answers(50, 300*time.Millisecond, true)
	c.want(t, "a slow origin is slow when it is calm", 8, "")
}

package commands

import (
	"fmt"
	"slices"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

// A governor decides how hard a server is worked: which share of the time our
// commands may keep it busy. The share grows slowly while the server is well, is
// halved when it is not, and never falls below a floor, so that the work ends. It
// is a pure state machine: pulses go in, and it says what changed.
type governor struct {
	share float64

	calm    time.Duration // of a PING before we began
	rtts    []time.Duration
	last    *backends.Stats
	evicted float64 // keys a second before we began
	seen    int     // pulses before we began
	why     string  // kind of the trouble at hand; "" when the server is well
	said    map[string]time.Time
}

const (
	firstShare = 0.25
	mostShare  = 0.60 // of the server's time: the other clients find it free more often than not
	leastShare = 0.04
	growth     = 1.05 // a pulse

	pulseEvery   = 100 * time.Millisecond
	calmPulses   = 10 // how often the server is asked before the work begins
	latencyOf    = 9  // pulses whose median is the latency
	latencyTimes = 2  // the latency that is trouble, in times the calm one
	latencyPlus  = time.Millisecond

	pendingLimit = 100_000         // values that wait to be freed
	lagLimit     = 16 << 20        // bytes that a replica is behind
	silence      = 5 * time.Second // before the same kind of trouble is told again
	evictionPlus = 100             // keys evicted a second, beyond twice what was evicted before
)

func newGovernor() *governor { return &governor{share: firstShare} }

// begin takes a pulse of the server before the work.
func (g *governor) begin(p backends.Stats) {
	g.note(p)
	if g.seen++; len(g.rtts) > 0 {
		g.calm = median(g.rtts)
	}
}

// note remembers a pulse and returns the evictions a second since the one before.
func (g *governor) note(p backends.Stats) (evictions float64) {
	if p.RTT > 0 {
		if g.rtts = append(g.rtts, p.RTT); len(g.rtts) > latencyOf {
			g.rtts = g.rtts[1:]
		}
	}
	if g.last != nil {
		now, has := p.Counts[backends.Evicted]
		before, had := g.last.Counts[backends.Evicted]
		if span := p.At.Sub(g.last.At).Seconds(); has && had && now >= before && span > 0 {
			evictions = float64(now-before) / span
			if g.seen < calmPulses {
				g.evicted = max(g.evicted, evictions)
			}
		}
	}
	g.last = &p
	return evictions
}

// observe takes a pulse of the server at work. It returns a sentence when the
// pace turns, and "" otherwise.
func (g *governor) observe(p backends.Stats) string {
	why, text := g.trouble(p, g.note(p))
	defer func() { g.why = why }()
	if why == "" {
		g.share = min(g.share*growth, mostShare)
		return ""
	}
	g.share = max(g.share/2, leastShare)
	if why == g.why {
		return ""
	}
	if g.said == nil {
		g.said = make(map[string]time.Time)
	}
	if before, ok := g.said[why]; ok && p.At.Sub(before) < silence {
		text = ""
	}
	if text != "" {
		g.said[why] = p.At
	}
	g.rtts = g.rtts[len(g.rtts)-min(len(g.rtts), latencyOf/2):] // judge the new pace, not the old
	return text
}

// trouble finds what is wrong with the server, if anything is.
func (g *governor) trouble(p backends.Stats, evictions float64) (why, text string) {
	now := time.Duration(0)
	if len(g.rtts) > latencyOf/2 {
		now = median(g.rtts)
	}
	pending, lag := p.Counts[backends.LazyfreePending], p.Counts[backends.ReplicaLag]
	switch {
	case g.calm > 0 && now > max(latencyTimes*g.calm, g.calm+latencyPlus):
		return "latency", fmt.Sprintf("a PING takes %s, %s before", render.Duration(now).Text, render.Duration(g.calm).Text)
	case pending > pendingLimit:
		return "lazyfree", fmt.Sprintf("%s unlinked values wait to be freed", render.Uint(pending).Text)
	case lag > lagLimit:
		return "replica", fmt.Sprintf("a replica is %s behind", render.Bytes(int64(lag)).Text)
	case evictions > 2*g.evicted+evictionPlus:
		return "evictions", fmt.Sprintf("%s keys a second are evicted, %s before", render.Int(int64(evictions)).Text, render.Int(int64(g.evicted)).Text)
	}
	return "", ""
}

// rest is how long to leave the server alone after it was busy for us.
func (g *governor) rest(busy time.Duration) time.Duration {
	return min(time.Duration(float64(busy)*(1/g.share-1)), longestRest)
}

const longestRest = 5 * time.Second

func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

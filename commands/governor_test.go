package commands

import (
	"strings"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// pulses feeds a governor, a tenth of a second apart.
type pulses struct {
	g    *governor
	now  time.Time
	seen backends.Stats
}

func newPulses() *pulses {
	p := &pulses{g: newGovernor(), now: time.Unix(1000, 0)}
	p.seen = backends.Stats{Node: "a", RTT: 100 * time.Microsecond, Counts: map[backends.Counter]uint64{backends.Evicted: 50}}
	for range calmPulses {
		p.g.begin(p.next())
	}
	return p
}

func (p *pulses) next() backends.Stats {
	p.now = p.now.Add(pulseEvery)
	s := p.seen
	s.At = p.now
	s.Counts = make(map[backends.Counter]uint64)
	for counter, n := range p.seen.Counts {
		s.Counts[counter] = n
	}
	return s
}

// observe feeds n pulses and returns what was said.
func (p *pulses) observe(n int) (said []string) {
	for range n {
		if text := p.g.observe(p.next()); text != "" {
			said = append(said, text)
		}
	}
	return said
}

func TestGovernorGrowsWhileAllIsWell(t *testing.T) {
	p := newPulses()
	if said := p.observe(100); said != nil || p.g.share != mostShare {
		t.Errorf("share %v, said %q; want %v and nothing", p.g.share, said, mostShare)
	}
}

// TestGovernorSlowsDown: each kind of trouble halves the share down to the floor, is
// told once, and is forgotten when it is over.
func TestGovernorSlowsDown(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*backends.Stats)
		want  string
	}{
		"latency":   {func(s *backends.Stats) { s.RTT = 5 * time.Millisecond }, "a PING takes 5ms, 100µs before"},
		"lazyfree":  {func(s *backends.Stats) { s.Counts[backends.LazyfreePending] = 200_000 }, "200,000 unlinked values wait"},
		"replica":   {func(s *backends.Stats) { s.Counts[backends.ReplicaLag] = 64 << 20 }, "a replica is 64.0 MiB behind"},
		"evictions": {func(s *backends.Stats) { s.Counts[backends.Evicted] += 500 }, "evicted, 0 before"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPulses()
			p.observe(20)
			var said []string
			for range 30 {
				c.spoil(&p.seen)
				said = append(said, p.observe(1)...)
			}
			if len(said) != 1 || !strings.Contains(said[0], c.want) {
				t.Errorf("said %q, want once %q", said, c.want)
			}
			if p.g.share != leastShare {
				t.Errorf("share %v, want the floor, %v", p.g.share, leastShare)
			}
			p.seen.RTT = 100 * time.Microsecond
			p.seen.Counts = map[backends.Counter]uint64{backends.Evicted: p.seen.Counts[backends.Evicted]}
			if p.observe(100); p.g.share != mostShare {
				t.Errorf("share %v when it is over, want %v", p.g.share, mostShare)
			}
		})
	}
}

// TestGovernorKeepsItsHead: a single slow PING, a clock of the server's own, and a
// cache that evicts all the time are no trouble.
func TestGovernorKeepsItsHead(t *testing.T) {
	p := newPulses()
	for i := range 100 {
		if p.seen.RTT = 100 * time.Microsecond; i%10 == 0 {
			p.seen.RTT = time.Second
		}
		if said := p.observe(1); said != nil {
			t.Fatalf("pulse %d: %q", i, said)
		}
	}
	busy := &pulses{g: newGovernor(), now: time.Unix(1000, 0)}
	busy.seen = backends.Stats{Node: "a", RTT: time.Millisecond, Counts: map[backends.Counter]uint64{backends.Evicted: 0}}
	for range calmPulses {
		busy.seen.Counts[backends.Evicted] += 100
		busy.g.begin(busy.next())
	}
	for range 50 {
		busy.seen.Counts[backends.Evicted] += 120
		if said := busy.observe(1); said != nil {
			t.Fatalf("evictions as before: %q", said)
		}
	}
}

func TestGovernorRests(t *testing.T) {
	g := newGovernor()
	g.share = 0.25
	if got := g.rest(10 * time.Millisecond); got != 30*time.Millisecond {
		t.Errorf("rest %v after 10 ms at a quarter, want 30 ms", got)
	}
	g.share = leastShare
	if got := g.rest(time.Minute); got != longestRest {
		t.Errorf("rest %v after a minute, want at most %v", got, longestRest)
	}
}

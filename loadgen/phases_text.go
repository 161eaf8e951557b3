package loadgen

import (
	"fmt"
	"strings"
	"time"
)

// WarmupName is the name of a phase that is not part of the report.
const WarmupName = "warmup"

// mostPhases is how many phases a text may make.
const mostPhases = 10000

// ParsePhases reads phases, one behind the other, by commas:
//
//	60s@1000/s                        a minute at 1000 requests a second
//	warmup:10s@500/s,60s@2000/s       the phase named warmup is not part of the report
//	60s@1000-5000/s                   a ramp
//	60s@1000-5000/s:steps=5           five steps of 12 seconds: 1000, 2000 ... 5000
//	60s@1000/s:even                   evenly spaced; without it arrivals are a Poisson process
//	60s@max                           as fast as answers come: a closed loop
//
// Rates may have k and M, and be a minute (/m) or an hour (/h).
func ParsePhases(text string) ([]Phase, error) {
	var all []Phase
	for part := range strings.SplitSeq(text, ",") {
		some, err := parsePhase(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		if all = append(all, some...); len(all) > mostPhases {
			return nil, fmt.Errorf("%q makes more than %d phases", text, mostPhases)
		}
	}
	return all, nil
}

func parsePhase(text string) ([]Phase, error) {
	bad := fmt.Errorf("bad phase %q: write it as 60s@1000/s, warmup:10s@500/s, 60s@1000-5000/s, 60s@1000-5000/s:steps=5, 60s@1000/s:even or 60s@max", text)
	head, tail, found := strings.Cut(text, "@")
	if !found {
		return nil, bad
	}
	var p Phase
	length := head
	if name, rest, named := strings.Cut(head, ":"); named {
		if strings.TrimSpace(name) == "" {
			return nil, bad
		}
		p.Name, length = strings.TrimSpace(name), rest
		p.Warmup = p.Name == WarmupName
	}
	var err error
	if p.Length, err = parseLength(length); err != nil {
		return nil, bad
	}
	words := strings.Split(tail, ":")
	ok := p.parseRate(words[0])
	p.Poisson = !p.Closed()
	steps := 0
	for _, w := range words[1:] {
		switch number, isSteps := strings.CutPrefix(w, "steps="); {
		case w == "even" && !p.Closed():
			p.Poisson = false
		case w == "poisson" && !p.Closed():
			p.Poisson = true
		case isSteps && p.Rate > 0 && p.End > 0 && steps == 0:
			n, whole := suffixed(number, []string{""}, []float64{1})
			steps = int(n)
			ok = ok && whole && n >= 2 && n <= mostPhases && float64(steps) == n
		default:
			ok = false
		}
	}
	if !ok || p.valid() != nil {
		return nil, bad
	}
	if steps == 0 {
		return []Phase{p}, nil
	}
	return p.steps(steps), nil
}

// parseRate reads "1000/s", "1k-5k/s", "max".
func (p *Phase) parseRate(text string) bool {
	if text == "max" {
		return true
	}
	number, unit, _ := strings.Cut(text, "/")
	per, ok := map[string]float64{"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}[unit]
	if !ok {
		return false
	}
	first, second, ramps := strings.Cut(number, "-")
	rate, ok := suffixed(first, countSuffixes, countWorth)
	if !ok {
		return false
	}
	p.Rate = rate / per
	if !ramps {
		return p.Rate > 0
	}
	end, ok := suffixed(second, countSuffixes, countWorth)
	if end != rate {
		p.End = end / per
	}
	return ok && end > 0
}

// steps makes of a ramp a staircase of n phases, from the first rate to the last.
func (p *Phase) steps(n int) []Phase {
	all := make([]Phase, n)
	var so time.Duration
	for i := range all {
		s := *p
		s.End = 0
		s.Rate = p.Rate + (p.End-p.Rate)*float64(i)/float64(n-1)
		until := time.Duration(float64(p.Length) * float64(i+1) / float64(n))
		s.Length, so = until-so, until
		all[i] = s
	}
	return all
}

func (p Phase) String() string {
	var b strings.Builder
	if p.Name != "" {
		b.WriteString(p.Name + ":")
	}
	b.WriteString(lengthText(p.Length) + "@")
	switch {
	case p.Closed():
		b.WriteString("max")
		return b.String()
	case p.End > 0 && p.End != p.Rate:
		b.WriteString(numberText(p.Rate) + "-" + numberText(p.End) + "/s")
	default:
		b.WriteString(numberText(p.Rate) + "/s")
	}
	if !p.Poisson {
		b.WriteString(":even")
	}
	return b.String()
}

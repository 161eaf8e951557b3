package loadgen

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// MostRequests is the highest rate of a phase, a second: arrivals are told to the nanosecond.
const MostRequests = 1e9

// Valid tells what is wrong with the Traffic, in words for whoever wrote it.
func (t *Traffic) Valid() error {
	if len(t.Phases) == 0 {
		return errors.New("traffic has no phase: how long, and at which rate?")
	}
	for i := range t.Phases {
		if err := t.Phases[i].valid(); err != nil {
			return fmt.Errorf("phase %d (%s): %w", i+1, t.Phases[i], err)
		}
	}
	for _, part := range []struct {
		name  string
		valid func() error
	}{{"keys", t.Keys.valid}, {"sizes", t.Sizes.valid}, {"TTLs", t.TTLs.valid}, {"mix", t.Mix.valid}, {"shard", t.Shard.valid}} {
		if err := part.valid(); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

func (p *Phase) valid() error {
	switch {
	case p.Length <= 0:
		return errors.New("a phase lasts longer than nothing")
	case !(p.Rate >= 0 && p.Rate <= MostRequests && p.End >= 0 && p.End <= MostRequests):
		return fmt.Errorf("a rate is from 0 to %g requests a second", MostRequests)
	case p.Closed() && p.Poisson:
		return errors.New("as fast as answers come is no Poisson process: leave one of them out")
	}
	return nil
}

func (k *Keys) valid() error {
	switch {
	case k.N == 0:
		return errors.New("there is at least one key")
	case k.N > 1<<53:
		return errors.New("there are at most 2^53 keys")
	case !slices.Contains(KeyLaws, k.Law):
		return fmt.Errorf("no law %q: it is one of %s", k.Law, strings.Join(KeyLaws, ", "))
	case (k.Law == Zipf || k.Law == Latest) && !(k.Theta > 0 && k.Theta <= 100):
		return fmt.Errorf("theta of %s is more than 0, and at most 100: %s:0.99", k.Law, k.Law)
	case k.Law == Hotspot && !(k.Hot > 0 && k.Hot < 1 && k.Heat >= 0 && k.Heat <= 1):
		return errors.New("a hotspot has a share of the keys and one of the requests: hotspot:20%:80%")
	}
	return nil
}

func (s *Sizes) valid() error {
	switch {
	case !slices.Contains(SizeLaws, s.Law):
		return fmt.Errorf("no law %q: it is one of %s", s.Law, strings.Join(SizeLaws, ", "))
	case s.Min < 0 || s.Max < 0 || s.Min > Biggest || s.Max > Biggest:
		return fmt.Errorf("a value has from 0 bytes to %s", bytesText(Biggest))
	case (s.Law == Range || s.Law == Lognormal && s.Max > 0) && s.Min > s.Max:
		return errors.New("the smaller comes first: 64-4KiB")
	case s.Law == Lognormal && !(s.Mean > 0 && s.Mean <= Biggest && s.Sigma >= 0 && s.Sigma <= 10):
		return errors.New("lognormal has a mean and a sigma from 0 to 10: lognormal:1KiB:1.5")
	case s.Law == Weighted:
		return s.validWeights()
	}
	return nil
}

func (s *Sizes) validWeights() error {
	if len(s.Values) == 0 || len(s.Values) != len(s.Weight) {
		return errors.New("every size has a weight: 64:0.9,4KiB:0.1")
	}
	for _, v := range s.Values {
		if v < 0 || v > Biggest {
			return fmt.Errorf("a value has from 0 bytes to %s", bytesText(Biggest))
		}
	}
	return validWeights(s.Weight)
}

func validWeights(weights []float64) error {
	var sum float64
	for _, w := range weights {
		if !(w >= 0) || math.IsInf(w, 0) {
			return errors.New("a weight is 0 or more")
		}
		sum += w
	}
	if !(sum > 0) || math.IsInf(sum, 0) {
		return errors.New("one of the weights is more than 0")
	}
	return nil
}

func (t *TTLs) valid() error {
	switch {
	case t.Min < 0 || t.Max < 0:
		return errors.New("a TTL is not negative")
	case t.Max > 0 && t.Min == 0:
		return errors.New("a TTL of 0 would mean that there is none: begin above it, as in 1s-60s")
	case t.Max > 0 && t.Max < t.Min:
		return errors.New("the shorter comes first: 30s-90s")
	}
	return nil
}

func (m *Mix) valid() error {
	return validWeights([]float64{m.Read, m.Write, m.Remove})
}

func (s *Shard) valid() error {
	if s.Of < 0 || s.Index < 0 || s.Index > 0 && s.Index >= s.Of {
		return fmt.Errorf("shard %d of %d is none: they count from 0", s.Index, s.Of)
	}
	return nil
}

package fleet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// A Law is how long something takes. The zero Law is no time at all.
type Law struct {
	Kind    string          `json:"kind,omitempty"` // "" and "fixed": Mean; "exponential"; "lognormal"; "empirical": one of Samples, each as likely
	Mean    time.Duration   `json:"mean_ns,omitempty"`
	Sigma   float64         `json:"sigma,omitempty"` // lognormal: standard deviation of the logarithm; Mean is the mean, not the median
	Samples []time.Duration `json:"samples_ns,omitempty"`
}

// Fixed is always d.
func Fixed(d time.Duration) Law { return Law{Kind: "fixed", Mean: d} }

// Exponential has the mean d and no memory.
func Exponential(d time.Duration) Law { return Law{Kind: "exponential", Mean: d} }

// Lognormal has the mean d; sigma is the standard deviation of its logarithm.
func Lognormal(d time.Duration, sigma float64) Law {
	return Law{Kind: "lognormal", Mean: d, Sigma: sigma}
}

// Empirical draws from samples.
func Empirical(samples []time.Duration) Law {
	return Law{Kind: "empirical", Samples: slices.Clone(samples)}
}

// Valid tells what is wrong with the law.
func (l *Law) Valid() error {
	if l.Mean < 0 || l.Sigma < 0 || math.IsNaN(l.Sigma) || math.IsInf(l.Sigma, 0) {
		return fmt.Errorf("latency: mean %v, sigma %v: neither may be negative", l.Mean, l.Sigma)
	}
	switch l.Kind {
	case "", "fixed", "exponential", "lognormal":
		return nil
	case "empirical":
		if len(l.Samples) == 0 {
			return fmt.Errorf("latency: no samples to draw from")
		}
		if slices.Min(l.Samples) < 0 {
			return fmt.Errorf("latency: a sample is negative: %v", slices.Min(l.Samples))
		}
		return nil
	}
	return fmt.Errorf("latency: no law %q (there are fixed, exponential, lognormal, empirical)", l.Kind)
}

// Constant tells whether the law always gives the same.
func (l *Law) Constant() bool {
	return l.Kind == "" || l.Kind == "fixed" || l.Mean == 0 && l.Kind != "empirical"
}

// Typical is the mean of the law.
func (l *Law) Typical() time.Duration {
	if l.Kind != "empirical" || len(l.Samples) == 0 {
		return l.Mean
	}
	sum := 0.0
	for _, s := range l.Samples {
		sum += float64(s)
	}
	return time.Duration(sum / float64(len(l.Samples)))
}

// Draw is how long it takes this time. A constant law leaves the random numbers alone.
func (l *Law) Draw(random *rand.Rand) time.Duration {
	switch l.Kind {
	case "exponential":
		return duration(float64(l.Mean) * random.ExpFloat64())
	case "lognormal":
		if l.Mean == 0 {
			return 0
		}
		mu := math.Log(float64(l.Mean)) - l.Sigma*l.Sigma/2
		return duration(math.Exp(mu + l.Sigma*random.NormFloat64()))
	case "empirical":
		return l.Samples[random.IntN(len(l.Samples))]
	}
	return l.Mean
}

// duration is ns nanoseconds, of at most a thousand days: sums of such times do not overflow.
func duration(ns float64) time.Duration { return time.Duration(min(ns, 8.64e16)) }

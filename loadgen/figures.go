package loadgen

import "math"

// latencyFigures are the figures of each histogram, in order.
var latencyFigures = []string{"p50", "p90", "p99", "p99.9", "p99.99", "max", "mean"}

// figurePrefixes say which histogram a latency figure is of: all requests from the moment they were
// due, those of one kind, all from the moment they were sent, and the generator's own lateness.
var figurePrefixes = []string{"", "read_", "write_", "delete_", "service_", "late_"}

// counts are the figures that are no latency.
var countFigures = []string{"rate", "due_per_second", "reached", "hit_rate", "error_rate", "drop_rate",
	"requests", "done", "hits", "misses", "errors", "refused", "lost", "dropped", "seconds", "invalid"}

// FigureNames lists what Figures tells, in an order to show.
func FigureNames() []string {
	names := append([]string(nil), countFigures...)
	for _, prefix := range figurePrefixes {
		for _, name := range latencyFigures {
			names = append(names, prefix+name)
		}
	}
	return names
}

// Figures are what a run comes to, by the names that checks use. Durations are in seconds,
// shares from 0 to 1. What is unknown, such as the latency of writes where nothing was
// written, is NaN.
func (r *Report) Figures() map[string]float64 {
	total := r.Total()
	figures := map[string]float64{
		"rate": r.Rate(), "due_per_second": r.Asked(), "reached": share(total.Done, total.Due),
		"hit_rate": r.HitRate(), "error_rate": r.ErrorRate(), "drop_rate": r.DropRate(),
		"requests": float64(total.Due), "done": float64(total.Done), "hits": float64(total.Hits), "misses": float64(total.Misses),
		"errors": float64(total.Errors()), "refused": float64(total.Refused), "lost": float64(total.Lost), "dropped": float64(total.Dropped),
		"seconds": r.Length.Seconds(), "invalid": float64(len(r.Invalid)),
	}
	for i, h := range []*Histogram{&total.Latency, &r.Tallies[Read].Latency, &r.Tallies[Write].Latency,
		&r.Tallies[Remove].Latency, &total.Service, &r.Late} {
		h.figures(figures, figurePrefixes[i])
	}
	return figures
}

func (h *Histogram) figures(into map[string]float64, prefix string) {
	for _, name := range latencyFigures {
		into[prefix+name] = math.NaN()
	}
	if h.Count() == 0 {
		return
	}
	for _, q := range Quantiles {
		into[prefix+q.Name] = h.Quantile(q.Q).Seconds()
	}
	into[prefix+"mean"] = h.Mean().Seconds()
}

package commands

import (
	"testing"
	"time"

	"github.com/cachectl/cachectl/commands/render"
	"github.com/cachectl/cachectl/loadgen/fleet"
)

// The second in which the last answers come is no second of the run: drawn, it would look like a collapse.
func TestTickChartEndsWithTheRun(t *testing.T) {
	for length, points := range map[time.Duration]int{2 * time.Second: 2, 2500 * time.Millisecond: 2, 500 * time.Millisecond: 1, time.Minute: 3} {
		r := fleet.Report{Length: length, Ticks: []fleet.Tick{{Starts: 100}, {Starts: 100}, {}}}
		c := tickChart("", render.Count, []strategyRun{{name: "none", report: &r}}, func(t *fleet.Tick) float64 { return float64(t.Starts) }, nil)
		if got := len(c.Series[0].Points); got != points {
			t.Errorf("a run of %v has %d points, want %d", length, got, points)
		}
	}
}

package commands

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cachectl/cachectl/commands/render"
	"github.com/cachectl/cachectl/loadgen"
)

const (
	liveSeconds = 60 // of the past, that are drawn
	liveWidth   = 80 // where nobody knows how wide the terminal is
)

// A liveView shows how a run goes: on a terminal a block of lines on stderr, drawn anew every
// second and taken off at the end, before the answer comes; where there is none a note now and then, for the
// log of a CI run. While the block stands nobody else may write to the terminal.
type liveView struct {
	env    *Env
	what   string // stands before every line that is not drawn over; may be empty
	length time.Duration
	warmup time.Duration
	draws  bool
	width  int

	lines int // that stand on the terminal
	rates []float64
	slow  []float64
	errs  uint64
	drops uint64
	noted time.Duration
}

// newLive makes a view of a run. what tells it from others, where there are several.
func newLive(env *Env, what string, traffic *loadgen.Traffic) *liveView {
	v := &liveView{env: env, what: what, width: env.Term.Width, draws: env.Term.Err && !env.quiet && env.Getenv("TERM") != "dumb"}
	if v.width == 0 {
		v.width = liveWidth
	}
	for _, p := range traffic.Phases {
		if p.Warmup {
			v.warmup += p.Length
		} else {
			v.length += p.Length
		}
	}
	return v
}

// tick shows a second of the run. Seconds of the warm-up are before 0.
func (v *liveView) tick(t loadgen.Tick) {
	v.errs += t.Refused + t.Lost
	v.drops += t.Dropped
	v.rates, v.slow = v.past(v.rates, float64(t.Done)), v.past(v.slow, quantileSeconds(&t.Latency, .99))
	switch {
	case v.draws:
		v.draw(&t)
	case t.At+time.Second-v.noted >= noteEvery:
		v.noted = t.At + time.Second
		v.env.note("%s", strings.Join([]string{v.when(&t), rateText(&t), latencyLine(&t), v.troubleText()}, ", "))
	}
}

// past adds a value to those of the last minute.
func (v *liveView) past(values []float64, value float64) []float64 {
	values = append(values, value)
	return values[max(len(values)-liveSeconds, 0):]
}

// stop takes the block off the terminal.
func (v *liveView) stop() {
	if v.lines > 0 {
		fmt.Fprintf(v.env.Err, "\r\x1b[%dA\x1b[J", v.lines)
		v.lines = 0
	}
}

func (v *liveView) draw(t *loadgen.Tick) {
	room := min(liveSeconds, max(v.width-30, 8))
	lines := []string{
		fmt.Sprintf("%s  %s", v.when(t), rateText(t)),
		fmt.Sprintf("%s  hit rate %s  %s", latencyLine(t), render.Ratio(float64(t.Hits)/float64(t.Hits+t.Misses)).Text, v.troubleText()),
		fmt.Sprintf("%-8s %s  %s/s at most", "rate", render.Sparkline(v.rates, room), render.Float(most(v.rates), 0).Text),
		fmt.Sprintf("%-8s %s  %s at most", "p99", render.Sparkline(v.slow, room), render.Duration(time.Duration(most(v.slow)*1e9)).Text),
	}
	var b strings.Builder
	b.WriteString("\x1b[?7l") // a terminal that was made narrower cuts a line instead of making two of it
	if v.lines > 0 {
		fmt.Fprintf(&b, "\r\x1b[%dA", v.lines)
	}
	for _, line := range lines {
		line = render.Visible(line)
		if n := utf8.RuneCountInString(line); n >= v.width { // a line that wraps would be two
			line = string([]rune(line)[:max(v.width-1, 0)])
		}
		b.WriteString(line + "\x1b[K\n")
	}
	b.WriteString("\x1b[?7h")
	v.lines = len(lines)
	fmt.Fprint(v.env.Err, b.String())
}

// when says how far the run is.
func (v *liveView) when(t *loadgen.Tick) string {
	text := ""
	if v.what != "" {
		text = v.what + "  "
	}
	at := t.At + time.Second
	if t.At < 0 {
		return text + fmt.Sprintf("warm-up, %s left", render.Duration(max(-at, 0)).Text)
	}
	return text + fmt.Sprintf("%s of %s, %s left", render.Duration(at).Text, render.Duration(v.length).Text, render.Duration(max(v.length-at, 0)).Text)
}

func rateText(t *loadgen.Tick) string {
	return fmt.Sprintf("%s/s of %s/s due", render.Uint(t.Done).Text, render.Uint(t.Due).Text)
}

func latencyLine(t *loadgen.Tick) string {
	return fmt.Sprintf("p50 %s  p99 %s  max %s", spanCell(&t.Latency, .5).Text, spanCell(&t.Latency, .99).Text, spanCell(&t.Latency, 1).Text)
}

func (v *liveView) troubleText() string {
	return fmt.Sprintf("errors %s  dropped %s", render.Uint(v.errs).Text, render.Uint(v.drops).Text)
}

func quantileSeconds(h *loadgen.Histogram, q float64) float64 {
	if h.Count() == 0 {
		return math.NaN()
	}
	return h.Quantile(q).Seconds()
}

// most is the greatest of values that are numbers.
func most(values []float64) (top float64) {
	for _, v := range values {
		if v > top {
			top = v
		}
	}
	return top
}

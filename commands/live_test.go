package commands

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cachectl/cachectl/loadgen"
)

// A screen is what a terminal shows after what was written to it. It knows the sequences that
// a live view may use, and fails at any other.
type screen struct {
	t        *testing.T
	width    int
	lines    [][]rune
	row, col int
	drawn    int  // the highest row that was ever written to
	cuts     bool // what is beyond the edge, instead of wrapping
	narrowed bool // after the view was made
}

func (s *screen) line() *[]rune {
	for len(s.lines) <= s.row {
		s.lines = append(s.lines, nil)
	}
	return &s.lines[s.row]
}

func (s *screen) Write(p []byte) (int, error) {
	for text := string(p); text != ""; {
		var n int
		switch {
		case strings.HasPrefix(text, "\x1b["):
			end := strings.IndexAny(text, "AJKhl")
			if end < 0 {
				s.t.Fatalf("an unknown sequence: %.20q", text)
			}
			s.control(text[2:end], text[end])
			text = text[end+1:]
			continue
		case text[0] == '\r':
			s.col = 0
		case text[0] == '\n':
			s.row, s.col = s.row+1, 0
		default:
			r, size := utf8.DecodeRuneInString(text)
			if r < ' ' || r == utf8.RuneError {
				s.t.Fatalf("%q on the terminal", text[0])
			}
			n = size - 1
			if s.narrowed && s.cuts && s.col >= s.width-1 {
				break
			}
			line := s.line()
			for len(*line) <= s.col {
				*line = append(*line, ' ')
			}
			(*line)[s.col] = r
			if s.col++; s.col >= s.width {
				s.t.Fatalf("a line wraps: %s", string(*line))
			}
			s.drawn = max(s.drawn, s.row)
		}
		text = text[n+1:]
	}
	return len(p), nil
}

func (s *screen) control(number string, what byte) {
	s.line()
	switch what {
	case 'h', 'l':
		if number != "?7" {
			s.t.Fatalf("an unknown mode: %q", number)
		}
		s.cuts = what == 'l'
	case 'A':
		var n int
		fmt.Sscan(number, &n)
		if s.row -= n; s.row < 0 {
			s.t.Fatalf("up to row %d", s.row)
		}
	case 'J':
		s.lines = s.lines[:s.row+1]
		fallthrough
	case 'K':
		line := s.line()
		*line = (*line)[:min(s.col, len(*line))]
	}
}

func (s *screen) String() string {
	var all []string
	for _, line := range s.lines {
		all = append(all, strings.TrimRight(string(line), " "))
	}
	return strings.TrimRight(strings.Join(all, "\n"), "\n")
}

func liveTraffic() *loadgen.Traffic {
	return &loadgen.Traffic{Phases: []loadgen.Phase{{Length: 2 * time.Second, Rate: 100, Warmup: true}, {Length: 90 * time.Second, Rate: 100}}}
}

func liveTick(at int, n uint64) loadgen.Tick {
	t := loadgen.Tick{At: time.Duration(at) * time.Second, Due: 100, Sent: n, Done: n, Hits: n / 2, Misses: n - n/2, Refused: 1, Dropped: 2}
	t.Latency.AddN(300*time.Microsecond, n)
	return t
}

// A terminal that is made narrower in the middle of a run still shows one block, and wraps again afterwards.
func TestLiveOnANarrowerTerminal(t *testing.T) {
	s := &screen{t: t, width: 80}
	env := &Env{Err: s, Term: Term{Err: true, Out: true, Width: 80}, Getenv: func(string) string { return "" }}
	v := newLive(env, "a-server-with-a-long-name", liveTraffic())
	for at := range 60 {
		if at == 30 {
			s.width, s.narrowed = 30, true
		}
		v.tick(liveTick(at, 100))
	}
	if s.drawn > 3 || s.cuts {
		t.Errorf("%d lines were drawn, of 4; cuts lines for good: %v\n%s", s.drawn+1, s.cuts, s)
	}
	v.stop()
	if s.String() != "" {
		t.Errorf("left on the terminal:\n%s", s)
	}
}

// The block is drawn over itself, never wraps, whatever the width, and is gone at the end.
func TestLiveOnATerminal(t *testing.T) {
	for _, width := range []int{0, 200, 80, 40, 12} {
		s := &screen{t: t, width: width}
		if width == 0 {
			s.width = liveWidth
		}
		env := &Env{Err: s, Term: Term{Err: true, Out: true, Width: width}, Getenv: func(string) string { return "" }}
		fmt.Fprintln(s, "above")
		v := newLive(env, "", liveTraffic())
		for at := -2; at < 90; at++ {
			n := uint64(100)
			if at == 50 {
				n = 0
			}
			v.tick(liveTick(at, n))
			if at == -2 && s.width >= 80 && !strings.Contains(s.String(), "warm-up, 1s left") {
				t.Errorf("in the warm-up:\n%s", s)
			}
		}
		if lines := strings.Split(s.String(), "\n"); len(lines) != 5 || lines[0] != "above" || s.drawn > 4 {
			t.Errorf("width %d: the terminal shows\n%s", width, s)
		}
		if s.width >= 80 {
			for _, want := range []string{"1m30s of 1m30s, 0s left  100/s of 100/s due", "p50 300µs  p99 300µs  max 300µs  hit rate 50.0%  errors 92  dropped 184",
				"rate     ████", "██████████▁██", "100/s at most", "300µs at most"} {
				if !strings.Contains(s.String(), want) {
					t.Errorf("width %d: no %q in\n%s", width, want, s)
				}
			}
		}
		v.stop()
		v.stop()
		if s.String() != "above" || s.row != 1 || s.col != 0 {
			t.Errorf("width %d: it leaves\n%s", width, s)
		}
	}
}

// Without a terminal a line comes now and then, and none where nobody wants notes.
func TestLiveWithoutATerminal(t *testing.T) {
	for _, c := range []struct {
		name  string
		term  Term
		dumb  string
		quiet bool
		want  int
	}{{"a log", Term{}, "", false, 6}, {"a dumb terminal", Term{Err: true}, "dumb", false, 6}, {"quiet", Term{Err: true}, "", true, 0}} {
		var b bytes.Buffer
		env := &Env{Err: &b, Term: c.term, Getenv: func(string) string { return c.dumb }, quiet: c.quiet}
		v := newLive(env, "redis://a", liveTraffic())
		for at := -2; at < 90; at++ {
			v.tick(liveTick(at, 100))
		}
		v.stop()
		lines := strings.SplitAfter(b.String(), "\n")
		if len(lines)-1 != c.want || strings.Contains(b.String(), "\x1b") {
			t.Errorf("%s: %q", c.name, lines)
		}
		if c.want > 0 && lines[0] != "cachectl: note: redis://a  15s of 1m30s, 1m15s left, 100/s of 100/s due, p50 300µs  p99 300µs  max 300µs, errors 17  dropped 34\n" {
			t.Errorf("%s: %q", c.name, lines[0])
		}
	}
}

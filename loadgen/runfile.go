package loadgen

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// runFormat is the version of the run file that is written. What it cannot say will have another.
const runFormat = 1

// maxRun is how large a run file may be: an hour of ticks takes a few MB.
const maxRun = 1 << 30

// The kinds of run.
const (
	LoadRun     = "load"
	StampedeRun = "stampede"
)

// A Run is what is saved of a run: one JSON document, so that it can be looked into.
type Run struct {
	Format  int       `json:"cachectl_run"` // set when it is written
	Kind    string    `json:"kind"`         // LoadRun, StampedeRun
	Program string    `json:"program"`      // and version, that made it
	Made    time.Time `json:"made"`
	Title   string    `json:"title,omitempty"` // the user's words

	Loads []*Report `json:"loads,omitempty"` // of a load: one, or one for each target

	// Strategies are the reports of a stampede, in the order in which they were asked for. What
	// is in them is the affair of whoever made them.
	Strategies []StrategyRun `json:"strategies,omitempty"`
}

// A StrategyRun is what became of one strategy.
type StrategyRun struct {
	Strategy string          `json:"strategy"`
	Report   json.RawMessage `json:"report"`
}

// Write writes the run, and packs its histograms. Whoever writes it to a file replaces that in one step.
func (r *Run) Write(w io.Writer) error {
	r.Format = runFormat
	for _, load := range r.Loads {
		load.Pack()
	}
	if err := r.valid(); err != nil {
		return fmt.Errorf("write run: %w", err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write run: %w", err)
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// ReadRun reads what Write wrote. A file that is none, is torn, is of a newer program, or holds
// counts that no run has is told from one another, and takes no more memory than its size warrants.
func ReadRun(r io.Reader) (*Run, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxRun+1))
	if err != nil {
		return nil, fmt.Errorf("read run: %w", err)
	}
	if len(text) > maxRun {
		return nil, fmt.Errorf("read run: it is larger than %d MiB", maxRun>>20)
	}
	run, err := parseRun(text)
	if err != nil {
		return nil, fmt.Errorf("read run: %w", err)
	}
	return run, nil
}

func parseRun(text []byte) (*Run, error) {
	var run Run
	start := bytes.TrimLeft(text[:min(len(text), 1024)], " \t\r\n")
	if !bytes.HasPrefix(start, []byte("{")) || !bytes.Contains(start, []byte(`"cachectl_run"`)) {
		return nil, errors.New("it is no run file: there is no \"cachectl_run\" at its beginning")
	}
	var head struct {
		Format int `json:"cachectl_run"`
	}
	var syntax *json.SyntaxError
	switch err := json.Unmarshal(text, &head); {
	case errors.As(err, &syntax) && int(syntax.Offset) >= len(bytes.TrimRight(text, "\n")):
		return nil, fmt.Errorf("it is torn: it ends in the middle, after %d bytes", len(text))
	case err != nil:
		return nil, err
	case head.Format > runFormat:
		return nil, fmt.Errorf("a newer cachectl wrote it: its format is %d, and this one knows %d", head.Format, runFormat)
	case head.Format < 1:
		return nil, fmt.Errorf("its format is %d: there is none", head.Format)
	}
	if err := json.Unmarshal(text, &run); err != nil {
		return nil, err
	}
	if err := run.valid(); err != nil {
		return nil, err
	}
	for i, load := range run.Loads {
		if err := load.addsUp(); err != nil {
			return nil, fmt.Errorf("report %d: %w", i+1, err)
		}
	}
	return &run, nil
}

// valid tells what no run leaves behind, so that figures may be computed without looking again.
func (r *Run) valid() error {
	switch {
	case r.Kind != LoadRun && r.Kind != StampedeRun:
		return fmt.Errorf("its kind is %q: %s or %s", r.Kind, LoadRun, StampedeRun)
	case r.Kind == LoadRun && len(r.Loads) == 0, r.Kind == StampedeRun && len(r.Strategies) == 0:
		return errors.New("it holds no report")
	}
	for i, load := range r.Loads {
		if load == nil {
			return fmt.Errorf("report %d is not there", i+1)
		}
		if err := load.valid(); err != nil {
			return fmt.Errorf("report %d: %w", i+1, err)
		}
	}
	for i := range r.Strategies {
		if len(r.Strategies[i].Report) == 0 {
			return fmt.Errorf("report %d (%q) is not there", i+1, r.Strategies[i].Strategy)
		}
	}
	return nil
}

func (r *Report) valid() error {
	if r.Length < 0 || r.Length > 1<<55 { // a year
		return fmt.Errorf("a run of %v", r.Length)
	}
	if s := r.Traffic.Shard; s.valid() != nil {
		return s.valid()
	}
	for i := range r.Tallies {
		t := &r.Tallies[i]
		for _, n := range []uint64{t.Due, t.Sent, t.Done, t.Hits, t.Misses, t.Refused, t.Lost, t.Dropped, t.BytesIn >> 8, t.BytesOut >> 8} {
			if n > maxCount {
				return fmt.Errorf("a count of %d of %ss", n, Do(i))
			}
		}
	}
	for i := range r.Ticks {
		t := &r.Ticks[i]
		if t.At < 0 || i > 0 && t.At <= r.Ticks[i-1].At {
			return fmt.Errorf("second %d of the run is at %v: not in order", i+1, t.At)
		}
		for _, n := range []uint64{t.Due, t.Sent, t.Done, t.Hits, t.Misses, t.Refused, t.Lost, t.Dropped, t.Latency.Count()} {
			if n > maxCount/uint64(len(r.Ticks)) {
				return fmt.Errorf("a count of %d in second %d", n, i+1)
			}
		}
	}
	return nil
}

package commands

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// parseDuration reads Go durations and, beside them, days and weeks: "1d12h".
func parseDuration(text string) (time.Duration, error) {
	var total time.Duration
	rest := text
	for _, unit := range []struct {
		name string
		is   time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		number, tail, found := strings.Cut(rest, unit.name)
		if !found {
			continue
		}
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || n < 0 || math.IsNaN(n) || n*float64(unit.is) > math.MaxInt64/2 {
			return 0, badDuration(text)
		}
		total += time.Duration(n * float64(unit.is))
		rest = tail
	}
	if rest == "" && text != "" {
		return total, nil
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || total+d < 0 {
		return 0, badDuration(text)
	}
	return total + d, nil
}

func badDuration(text string) error {
	return fmt.Errorf("bad duration %q: write it as 500ms, 90s, 15m, 2h, 1d12h or 4w", text)
}

// parseSize reads a number of bytes: "512", "10KiB", "1.5MB".
func parseSize(text string) (int64, error) {
	n, err := humanize.ParseBytes(text)
	if err != nil || n > math.MaxInt64 || strings.HasPrefix(strings.TrimSpace(text), "-") {
		return 0, fmt.Errorf("bad size %q: write it as 512, 10KiB, 1MB or 2GiB", text)
	}
	return int64(n), nil
}

// A comparison is an operator and a bound: "<1h".
type comparison[T int64 | float64 | time.Duration] struct {
	op    string
	bound T
}

// operators, the longer ones first.
var operators = []string{"<=", ">=", "==", "!=", "<", ">"}

// parseComparison reads "<1h". A bound alone is an error: it could mean either.
func parseComparison[T int64 | float64 | time.Duration](text string, parse func(string) (T, error)) (c comparison[T], err error) {
	trimmed := strings.TrimSpace(text)
	for _, op := range operators {
		if rest, ok := strings.CutPrefix(trimmed, op); ok {
			c.op = op
			c.bound, err = parse(strings.TrimSpace(rest))
			return c, err
		}
	}
	return c, fmt.Errorf("%q needs a comparison in front, such as '<%s' or '>%s'", text, trimmed, trimmed)
}

func (c comparison[T]) holds(value T) bool {
	switch c.op {
	case "<":
		return value < c.bound
	case "<=":
		return value <= c.bound
	case ">":
		return value > c.bound
	case ">=":
		return value >= c.bound
	case "==":
		return value == c.bound
	}
	return value != c.bound
}

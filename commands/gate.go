package commands

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/commands/render"
)

// gates are the checks for CI, one dialect for all commands: --fail-if
// 'FIELD OPERATOR VALUE', repeatable. They are judged over the answer's fields
// when it is complete.
type gates struct {
	texts []string
	all   []gate
}

// A gate is one check: it fails the run when it is true.
type gate struct {
	text  string
	field string
	comparison[float64]
}

func (g *gates) add(cmd *cobra.Command, example string) {
	cmd.Flags().StringArrayVar(&g.texts, "fail-if", nil, fmt.Sprintf("exit 3 if `EXPR` is true, such as '%s'; repeatable", example))
}

// parse reads the checks. fields are those the command's answer will have.
func (g *gates) parse(fields ...string) error {
	for _, text := range g.texts {
		one, err := parseGate(text, fields)
		if err != nil {
			return err
		}
		g.all = append(g.all, one)
	}
	return nil
}

func parseGate(text string, fields []string) (gate, error) {
	g := gate{text: strings.TrimSpace(text)}
	at := strings.IndexAny(g.text, "<>=!")
	if at < 0 {
		return g, withHint(usagef("bad --fail-if %q: it has no operator", text), "write it as 'FIELD < VALUE', with one of %s", strings.Join(operators, " "))
	}
	name := strings.TrimSpace(g.text[:at])
	g.field = gateField(name, fields)
	if !slices.Contains(fields, g.field) {
		err := usagef("bad --fail-if %q: there is no field %q", text, g.field)
		if near := render.Nearest(g.field, fields); near != "" {
			return g, withHint(err, "did you mean %q?", near)
		}
		return g, withHint(err, "fields are %s", strings.Join(fields, ", "))
	}
	var err error
	g.comparison, err = parseComparison(g.text[at:], gateValue(name))
	if err == nil && strings.HasSuffix(g.field, "_rate") && (g.bound < 0 || g.bound > 1) {
		err = fmt.Errorf("%s is from 0 to 1: write 0.8 or 80%%", g.field)
	}
	if err != nil {
		return g, usagef("bad --fail-if %q: %w", text, err)
	}
	return g, nil
}

// latencyField knows the fields that are durations without saying so: "p99", "read_p99.9", "max".
// Their values are in seconds.
var latencyField = regexp.MustCompile(`(^|_)(p[0-9]+(\.[0-9]+)?|min|max|mean)$`)

// gateField is the field that a check means: p99_ms, as JSON calls it, is p99.
func gateField(name string, fields []string) string {
	if short, ok := strings.CutSuffix(name, "_ms"); ok && latencyField.MatchString(short) && slices.Contains(fields, short) {
		return short
	}
	return name
}

// gateValue reads a bound in the unit of its field, which stands as the check names it: a plain
// number always, but for a latency without a unit in its name; a percentage; a
// duration for latencies and fields in _ms or _seconds; a size for _bytes.
func gateValue(field string) func(string) (float64, error) {
	if latencyField.MatchString(field) {
		return func(text string) (float64, error) {
			d, err := parseDuration(text)
			if _, plain := strconv.ParseFloat(text, 64); plain == nil {
				err = fmt.Errorf("%s is a duration: write %sms or %sus", field, text, text)
			}
			return d.Seconds(), err
		}
	}
	if short, ok := strings.CutSuffix(field, "_ms"); ok && latencyField.MatchString(short) {
		return func(text string) (float64, error) {
			if n, err := strconv.ParseFloat(text, 64); err == nil {
				return n / 1e3, nil
			}
			return gateValue(short)(text)
		}
	}
	return func(text string) (float64, error) {
		if n, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(n) {
			return n, nil
		}
		if number, ok := strings.CutSuffix(text, "%"); ok {
			if n, err := strconv.ParseFloat(strings.TrimSpace(number), 64); err == nil {
				return n / 100, nil
			}
		}
		switch {
		case strings.HasSuffix(field, "_ms"):
			d, err := parseDuration(text)
			return float64(d.Nanoseconds()) / 1e6, err
		case strings.HasSuffix(field, "_seconds"):
			d, err := parseDuration(text)
			return d.Seconds(), err
		case strings.HasSuffix(field, "_bytes"):
			n, err := parseSize(text)
			return float64(n), err
		}
		return 0, fmt.Errorf("bad number %q", text)
	}
}

// check judges all gates over values; NaN is unknown. What cannot be judged
// fails: a gate that lets the unknown through is none.
func (g *gates) check(values map[string]float64) error {
	var failed []error
	for _, one := range g.all {
		value, known := values[one.field]
		switch {
		case !known || math.IsNaN(value):
			failed = append(failed, &checkError{fmt.Sprintf("check could not be judged: %s is unknown (--fail-if '%s')", one.field, one.text)})
		case one.holds(value):
			failed = append(failed, &checkError{fmt.Sprintf("check failed: %s is %s (--fail-if '%s')", one.field, gateText(one.field, value), one.text)})
		}
	}
	return errors.Join(failed...)
}

func gateText(field string, value float64) string {
	if latencyField.MatchString(field) {
		return render.Duration(time.Duration(value * 1e9)).Text
	}
	return strconv.FormatFloat(value, 'g', 6, 64)
}

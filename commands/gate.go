package commands

import (
	"errors"
	"fmt"
	"github.com/cachectl/cachectl/commands/render"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
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
	g.field = strings.TrimSpace(g.text[:at])
	if !slices.Contains(fields, g.field) {
		err := usagef("bad --fail-if %q: there is no field %q", text, g.field)
		if near := render.Nearest(g.field, fields); near != "" {
			return g, withHint(err, "did you mean %q?", near)
		}
		return g, withHint(err, "fields are %s", strings.Join(fields, ", "))
	}
	var err error
	g.comparison, err = parseComparison(g.text[at:], gateValue(g.field))
	if err == nil && strings.HasSuffix(g.field, "_rate") && (g.bound < 0 || g.bound > 1) {
		err = fmt.Errorf("%s is from 0 to 1: write 0.8 or 80%%", g.field)
	}
	if err != nil {
		return g, usagef("bad --fail-if %q: %w", text, err)
	}
	return g, nil
}

// gateValue reads a bound in the unit of its field: a plain number always; a
// percentage; a duration for fields in _ms or _seconds; a size for _bytes.
func gateValue(field string) func(string) (float64, error) {
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
			failed = append(failed, &checkError{fmt.Sprintf("check failed: %s is %s (--fail-if '%s')", one.field, strconv.FormatFloat(value, 'g', 6, 64), one.text)})
		}
	}
	return errors.Join(failed...)
}

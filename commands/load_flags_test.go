package commands

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// What plain traffic has no use for is refused, not passed over: every flag of the origin and of the patterns.
func TestLoadRefusesFlagsOfPatterns(t *testing.T) {
	probe := &cobra.Command{}
	new(originFlags).add(probe)
	new(patternFlags).add(probe)
	names := slices.Clone(patternOnly)
	probe.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		value := newLoad(&Env{}).Flags().Lookup(name).DefValue
		if value == "" || value == "[]" {
			value = "1s"
		}
		var errs bytes.Buffer
		env := &Env{Err: &errs, Out: &errs, Getenv: func(string) string { return "" }}
		got := Main(t.Context(), env, "load", "-t", "redis://10.1.2.3", "--"+name+"="+value)
		if got != exitUsage || !strings.Contains(errs.String(), "--"+name+" goes with --pattern") {
			t.Errorf("--%s=%s: exit status %d, %s", name, value, got, errs.String())
		}
	}
}

// What patterns have no use for is refused too.
func TestPatternsRefuseFlagsOfTraffic(t *testing.T) {
	for _, name := range []string{"prefix=x:", "key-format=null", "depth=3", "keep", "start-at=23:59:59"} {
		var errs bytes.Buffer
		env := &Env{Err: &errs, Out: &errs, Getenv: func(string) string { return "" }}
		got := Main(t.Context(), env, "load", "--virtual", "--"+name)
		if flag, _, _ := strings.Cut(name, "="); got != exitUsage || !strings.Contains(errs.String(), "--"+flag+" does not go with --pattern") {
			t.Errorf("--%s: exit status %d, %s", name, got, errs.String())
		}
	}
}

package commands

import (
	"bytes"
	"context"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cachectl/cachectl/backends"
)

// testEnv is an environment with nothing in it.
func testEnv() (*Env, *bytes.Buffer, *bytes.Buffer) {
	var out, errs bytes.Buffer
	refuse := func(context.Context, *url.URL) (backends.Backend, error) { return nil, backends.ErrUnreachable }
	return &Env{
		In: strings.NewReader(""), Out: &out, Err: &errs,
		Getenv: func(string) string { return "" }, Now: time.Now, Version: "test",
		Schemes: backends.Schemes{"redis": refuse, "mem": refuse},
		Serve:   func(context.Context, string) (string, error) { return "", backends.ErrUnreachable },
	}, &out, &errs
}

// walk visits every command that does something.
func walk(cmd *cobra.Command, visit func(*cobra.Command)) {
	if !isTopic(cmd) && cmd.HasParent() {
		visit(cmd)
	}
	for _, sub := range cmd.Commands() {
		walk(sub, visit)
	}
}

// TestEveryCommandIsComplete: an impact, an example, an exit status section.
func TestEveryCommandIsComplete(t *testing.T) {
	env, _, _ := testEnv()
	root := newRoot(env)
	root.InitDefaultHelpCmd()
	n := 0
	walk(root, func(cmd *cobra.Command) {
		n++
		if impact := cmd.Annotations["impact"]; !slices.Contains([]string{impactNone, impactRead, impactWrite, impactLoad, impactDestroy}, impact) {
			t.Errorf("%s: impact %q", cmd.CommandPath(), impact)
		}
		if cmd.Example == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		if !strings.Contains(cmd.Long, "Exit status:") {
			t.Errorf("%s does not tell its exit status", cmd.CommandPath())
		}
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: short text %q", cmd.CommandPath(), cmd.Short)
		}
		if cmd.Parent() == root && cmd.GroupID == "" {
			t.Errorf("%s is in no group", cmd.CommandPath())
		}
	})
	if n < 12 {
		t.Errorf("only %d commands found", n)
	}
}

// TestExamplesParse: what help shows must be commands, flags and arguments
// that exist.
func TestExamplesParse(t *testing.T) {
	env, _, _ := testEnv()
	n := 0
	for _, path := range examplePaths(newRoot(env)) {
		for _, line := range path.lines {
			words := splitShell(t, line)
			at := slices.Index(words, "cachectl")
			if at < 0 {
				t.Errorf("%s: no cachectl in example %q", path.command, line)
				continue
			}
			n++
			root := newRoot(env) // flags keep their values
			root.InitDefaultHelpCmd()
			cmd, rest, err := root.Find(words[at+1:])
			if err != nil {
				t.Errorf("%q: %v", line, err)
				continue
			}
			if err := cmd.ParseFlags(rest); err != nil {
				t.Errorf("%q: %v", line, err)
				continue
			}
			if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
				t.Errorf("%q: %v", line, err)
			}
		}
	}
	if n < 30 {
		t.Errorf("only %d examples found", n)
	}
}

type examples struct {
	command string
	lines   []string
}

func examplePaths(root *cobra.Command) []examples {
	all := []examples{{"cachectl", exampleLines(root)}}
	walk(root, func(cmd *cobra.Command) { all = append(all, examples{cmd.CommandPath(), exampleLines(cmd)}) })
	return all
}

func exampleLines(cmd *cobra.Command) []string {
	var lines []string
	for line := range strings.SplitSeq(cmd.Example, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			before, _, _ := strings.Cut(line, "  ") // a remark behind it
			lines = append(lines, before)
		}
	}
	return lines
}

// splitShell splits a line as a shell does, up to a pipe or redirection.
func splitShell(t *testing.T, line string) []string {
	var words []string
	var word strings.Builder
	quote, in := rune(0), false
	flush := func() {
		if in {
			words = append(words, word.String())
		}
		word.Reset()
		in = false
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, in = r, true
		case r == ' ' || r == '(' || r == ')':
			flush()
		case r == '|' || r == '>':
			flush()
			return words
		default:
			word.WriteRune(r)
			in = true
		}
	}
	if quote != 0 {
		t.Errorf("open quote in %q", line)
	}
	flush()
	return words
}

// TestEnumeratedFlagsComplete: a flag whose usage lists its values offers them
// to the shell.
func TestEnumeratedFlagsComplete(t *testing.T) {
	env, _, _ := testEnv()
	root := newRoot(env)
	walk(root, func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if strings.Count(f.Usage, "|") < 2 && f.Name != "columns" && f.Name != "sort" && f.Name != "target" {
				return
			}
			if _, ok := cmd.GetFlagCompletionFunc(f.Name); !ok {
				t.Errorf("%s --%s lists values and completes none", cmd.CommandPath(), f.Name)
			}
		})
	})
}

// TestExitCodesAreDocumented: the help page names every status, and no other.
func TestExitCodesAreDocumented(t *testing.T) {
	var page string
	for _, topic := range topics {
		if topic.name == "exit-codes" {
			page = topic.text
		}
	}
	for _, code := range []string{"0  ", "1  ", "2  ", "3  ", "4  ", "130"} {
		if !strings.Contains(page, "\n  "+code+"  ") {
			t.Errorf("help exit-codes does not name %s", code)
		}
	}
}

package main

import (
	"bytes"
	"context"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/cachectl/cachectl/commands"
)

// A session is one "$ cachectl ..." of the README with the output it shows.
type session struct {
	line   int
	args   []string
	output string
}

func readmeSessions(t *testing.T) []session {
	t.Helper()
	data, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []session
	fenced := false
	for i, line := range strings.Split(string(data), "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			fenced = !fenced
		case fenced && strings.HasPrefix(line, "$ cachectl "):
			all = append(all, session{line: i + 1, args: strings.Fields(line)[2:]})
		case fenced && len(all) > 0:
			all[len(all)-1].output += line + "\n"
		}
	}
	return all
}

var (
	amounts = regexp.MustCompile(`[<>]?[0-9][0-9.,]*(ms|µs|s|m|h|d|[0-9])*`)
	spaces  = regexp.MustCompile(` +`)
)

// shape is a text without its numbers and alignment: what must not change from
// run to run.
func shape(text string) string {
	return spaces.ReplaceAllString(amounts.ReplaceAllString(text, "N"), " ")
}

// TestReadmeRuns runs every session of the README and compares what it prints: the
// answer, or what a terminal shows, notes and all. Numbers may differ, where they stand
// may not.
func TestReadmeRuns(t *testing.T) {
	sessions := readmeSessions(t)
	if len(sessions) < 5 {
		t.Fatalf("only %d sessions found", len(sessions))
	}
	for _, s := range sessions {
		shop := &shop{}
		ctx, cancel := context.WithCancel(t.Context())
		var out, errs bytes.Buffer
		env := environment(shop)
		env.Out, env.Err, env.Term, env.Getenv = &out, &errs, commands.Term{}, func(string) string { return "" }
		code := commands.Main(ctx, env, s.args...)
		cancel()
		shop.close()
		if code != 0 {
			t.Errorf("README.md:%d: exit status %d\n%s", s.line, code, errs.String())
		}
		want := shape(s.output)
		if shape(out.String()) != want && shape(errs.String()+out.String()) != want {
			t.Errorf("README.md:%d: %v prints\n%s%s\nREADME shows\n%s", s.line, s.args, errs.String(), out.String(), s.output)
		}
	}
}

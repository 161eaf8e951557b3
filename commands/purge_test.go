package commands

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cachectl/cachectl/purge"
)

// A fakeCDN has one target and takes whatever comes.
type fakeCDN struct {
	sent []purge.Call
	do   func(purge.Call) error
	at   time.Time
	wait func(context.Context) error
}

func (f *fakeCDN) Name() string { return "cloudfront:FAKE" }

func (f *fakeCDN) Plan(items []purge.Item) (purge.Plan, error) {
	planner := purge.Planner{Target: f.Name(),
		Normalise: func(i purge.Item) (purge.Item, *purge.Refusal) { return i, nil },
		Class:     func(purge.Item) purge.Class { return purge.Class{Size: 2} },
		Draws:     func([]purge.Item) []purge.Draw { return nil }}
	return planner.Plan(items), nil
}

func (f *fakeCDN) Do(_ context.Context, c purge.Call) ([]purge.Receipt, error) {
	f.sent = append(f.sent, c)
	if f.do != nil {
		if err := f.do(c); err != nil {
			return nil, err
		}
	}
	return []purge.Receipt{{Target: f.Name(), ID: "I" + c.ID[:4], State: purge.InProgress, At: f.at, Items: c.Items}}, nil
}

func (f *fakeCDN) Wait(ctx context.Context, _ purge.Receipt) error {
	if f.wait == nil {
		return nil
	}
	return f.wait(ctx)
}

// purgeEnv is an environment in which cloudfront is f.
func purgeEnv(t *testing.T, f *fakeCDN, variables map[string]string) *Env {
	env, _, _ := testEnv()
	state := t.TempDir()
	env.CDNs = purge.Providers{"cloudfront": func(context.Context, purge.Settings) ([]purge.Purger, error) { return []purge.Purger{f}, nil }}
	env.Getenv = func(name string) string {
		if name == "XDG_STATE_HOME" {
			return state
		}
		return variables[name]
	}
	return env
}

func purgeArgs(more ...string) []string {
	return append([]string{"purge", "cloudfront", "--distribution", "FAKE"}, more...)
}

// TestPurgeAsks: on a terminal the plan is followed by a question, and everything
// by a stronger one. Nothing is sent without a yes.
func TestPurgeAsks(t *testing.T) {
	for _, c := range []struct {
		args     []string
		answer   string
		question string
		status   int
	}{
		{[]string{"--path", "/a"}, "y\n", "Purge them? [y/N]", exitDone},
		{[]string{"--path", "/a"}, "n\n", "Purge them? [y/N]", exitUsage},
		{[]string{"--path", "/a"}, "", "Purge them? [y/N]", exitUsage},
		{[]string{"--everything"}, "yes\n", "This empties all of cloudfront:FAKE", exitDone},
		{[]string{"--everything"}, "\n", "Purge EVERYTHING?", exitUsage},
		{[]string{"--path", "/a", "--file", "-"}, "y\n", "nobody to ask", exitUsage},
	} {
		f := &fakeCDN{}
		env := purgeEnv(t, f, nil)
		var errs strings.Builder
		env.In, env.Err, env.Term = strings.NewReader(c.answer), &errs, Term{In: true, Err: true}
		if slices.Contains(c.args, "-") {
			env.In = strings.NewReader("/b\n")
		}
		if got := Main(t.Context(), env, purgeArgs(c.args...)...); got != c.status || !strings.Contains(errs.String(), c.question) {
			t.Errorf("%v, answered %q: exit status %d, want %d\n%s", c.args, c.answer, got, c.status, errs.String())
		}
		if (len(f.sent) > 0) != (c.status == exitDone) {
			t.Errorf("%v, answered %q: %d calls", c.args, c.answer, len(f.sent))
		}
	}
}

// TestPurgeWaits: what is not complete in time fails the check, and is named;
// Ctrl-C while waiting is no failure of the purge.
func TestPurgeWaits(t *testing.T) {
	forever := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	var errs strings.Builder
	env := purgeEnv(t, &fakeCDN{wait: forever}, nil)
	env.Err = &errs
	if got := Main(t.Context(), env, purgeArgs("--path", "/a", "--yes", "--wait", "--timeout", "20ms")...); got != exitCheck || !strings.Contains(errs.String(), "not complete after 20ms") {
		t.Errorf("exit status %d\n%s", got, errs.String())
	}
	if got := Main(t.Context(), purgeEnv(t, &fakeCDN{}, nil), purgeArgs("--path", "/a", "--yes", "--wait")...); got != exitDone {
		t.Errorf("complete at once: exit status %d", got)
	}
	gone := &fakeCDN{wait: func(context.Context) error { return errors.New("gone") }}
	if got := Main(t.Context(), purgeEnv(t, gone, nil), purgeArgs("--path", "/a", "--yes", "--wait")...); got != exitCheck {
		t.Errorf("no word: exit status %d", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	errs.Reset()
	env = purgeEnv(t, &fakeCDN{wait: func(ctx context.Context) error { cancel(); <-ctx.Done(); return ctx.Err() }}, nil)
	env.Err = &errs
	if got := Main(ctx, env, purgeArgs("--path", "/a", "--yes", "--wait")...); got != exitInterrupted || !strings.Contains(errs.String(), "all is purged") {
		t.Errorf("interrupted: exit status %d\n%s", got, errs.String())
	}
}

// TestPurgeTellsRepeats: a purge that the provider knew before this run began did
// not take place again.
func TestPurgeTellsRepeats(t *testing.T) {
	for age, told := range map[time.Duration]bool{time.Second: false, time.Hour: true} {
		f := &fakeCDN{at: time.Now().Add(-age)}
		env := purgeEnv(t, f, map[string]string{"GITHUB_RUN_ID": "1"})
		var errs strings.Builder
		env.Err = &errs
		if got := Main(t.Context(), env, purgeArgs("--path", "/a", "--yes")...); got != exitDone || strings.Contains(errs.String(), "a repeat under the same key") != told {
			t.Errorf("%v old: exit status %d\n%s", age, got, errs.String())
		}
	}
}

// TestPurgeLogLines: what an item holds begins no line of the log, where CI systems
// look for commands.
func TestPurgeLogLines(t *testing.T) {
	f := &fakeCDN{do: func(purge.Call) error { return &purge.CallError{Err: errors.New("no")} }}
	env := purgeEnv(t, f, nil)
	var text strings.Builder
	env.Out, env.Err = &text, &text
	for _, format := range []string{"table", "wide", "json", "ndjson", "yaml", "csv", "markdown"} {
		Main(t.Context(), env, purgeArgs("--path", "/a\n::error::b", "-o", format, "--dry-run")...)
		Main(t.Context(), env, purgeArgs("--path", "/a\n::error::b", "-o", format, "--yes")...)
	}
	if strings.Contains(text.String(), "\n::") || strings.Contains(text.String(), "error: ::") || strings.Count(text.String(), "::error::b") < 20 {
		t.Errorf("%s", text.String())
	}
}

// TestPurgeNamesFailures: the first of many on stderr, all of them for programs.
func TestPurgeNamesFailures(t *testing.T) {
	f := &fakeCDN{do: func(c purge.Call) error {
		if c.Items[0].Value < "/b" {
			return nil
		}
		return &purge.CallError{Err: errors.New("no")}
	}}
	env := purgeEnv(t, f, nil)
	var out, errs strings.Builder
	env.Out, env.Err = &out, &errs
	args := purgeArgs("--yes", "-o", "json", "--path", "/a", "--batch-size", "1")
	for c := 'a'; c <= 'z'; c++ {
		args = append(args, "--path", "/b"+string(c), "--path", "/c"+string(c))
	}
	if got := Main(t.Context(), env, args...); got != exitPartial && got != exitFailed {
		t.Errorf("exit status %d", got)
	}
	var answer struct {
		Failed int
		Items  []struct{ Item, Error string } `json:"failed_items"`
	}
	if err := json.Unmarshal([]byte(out.String()), &answer); err != nil || answer.Failed != len(answer.Items) || answer.Failed < 50 {
		t.Errorf("%v: %d failed, %d named", err, answer.Failed, len(answer.Items))
	}
	if n := strings.Count(errs.String(), "error: not purged: path "); n != named {
		t.Errorf("%d named on stderr\n%s", n, errs.String())
	}
}

// TestGithubOutput: a value comes out of the file as it went in, whatever is in it,
// and nothing beside it.
func TestGithubOutput(t *testing.T) {
	values := map[string]string{"plain": "a", "empty": "", "lines": "a\nb\n", "evil": "x\nEOF\nevil=1\nother<<EOF\n2\nEOF", "equals": "a=b<<c\r\n::set-output name=x::y"}
	path := filepath.Join(t.TempDir(), "output")
	if err := os.WriteFile(path, []byte("before=1"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, v := range values {
		if err := appendText(path, githubOutput(name, v)); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := readGithubFile(t, string(text))
	values["before"] = "1"
	for name, v := range values {
		if got[name] != v {
			t.Errorf("%s: %q, want %q", name, got[name], v)
		}
	}
	if len(got) != len(values) {
		t.Errorf("%d outputs, want %d: %v", len(got), len(values), got)
	}
}

// readGithubFile reads outputs as GitHub's runner does (FileCommandManager).
func readGithubFile(t *testing.T, text string) map[string]string {
	all := make(map[string]string)
	lines := strings.Split(text, "\n")
	for n := 0; n < len(lines); n++ {
		name, mark, multi := strings.Cut(lines[n], "<<")
		if at := strings.Index(lines[n], "="); at >= 0 && (!multi || at < len(name)) {
			all[lines[n][:at]] = lines[n][at+1:]
			continue
		}
		if lines[n] == "" {
			continue
		}
		end := slices.Index(lines[n+1:], mark)
		if !multi || end < 0 {
			t.Fatalf("line %d: %q", n+1, lines[n])
		}
		all[name] = strings.Join(lines[n+1:n+1+end], "\n")
		n += end + 1
	}
	return all
}

// TestMarkdownText: nothing of it is markup.
func TestMarkdownText(t *testing.T) {
	text := markdownText("a|b\n<img src=x> `c` [d](e) *f* _g_ &amp; \\ # \x1b[31m https://x")
	if rest := strings.NewReplacer("&#", "", ";", "").Replace(text); strings.ContainsAny(rest, "|<>`[]()*_\\#&\n\x1b") {
		t.Errorf("%q", text)
	}
}

// TestIdempotencyKey: the same for every attempt of a step, another for every other
// step and run, random where there is no CI.
func TestIdempotencyKey(t *testing.T) {
	key := func(variables map[string]string) string {
		k, _ := new(idempotency).key(&Env{Getenv: func(name string) string { return variables[name] }})
		return k
	}
	github := func(change ...string) map[string]string {
		v := map[string]string{"GITHUB_RUN_ID": "1", "GITHUB_RUN_ATTEMPT": "1", "GITHUB_REPOSITORY": "a/b", "GITHUB_JOB": "j", "GITHUB_ACTION": "s", "GITHUB_RUN_NUMBER": "7"}
		for n := 0; n < len(change); n += 2 {
			v[change[n]] = change[n+1]
		}
		return v
	}
	first := key(github())
	if again := key(github("GITHUB_RUN_ATTEMPT", "2")); again != first {
		t.Errorf("attempt 2 has key %q, attempt 1 %q", again, first)
	}
	for _, name := range []string{"GITHUB_RUN_ID", "GITHUB_REPOSITORY", "GITHUB_JOB", "GITHUB_ACTION"} {
		if other := key(github(name, "other")); other == first {
			t.Errorf("another %s has the same key %q", name, other)
		}
	}
	gitlab := map[string]string{"CI_PIPELINE_ID": "1", "CI_JOB_NAME": "purge", "CI_JOB_ID": "10"}
	first = key(gitlab)
	if gitlab["CI_JOB_ID"] = "11"; key(gitlab) != first {
		t.Error("a job that GitLab runs again has another key")
	}
	if gitlab["CI_JOB_NAME"] = "other"; key(gitlab) == first {
		t.Error("another job has the same key")
	}
	if one, two := key(nil), key(nil); one == two {
		t.Error("two runs outside CI have one key")
	}
	if k, _ := (&idempotency{given: "mine"}).key(&Env{}); k != "mine" {
		t.Errorf("given: %q", k)
	}
}

// TestRefusedByAll: an item that is of another target fails the run only if no
// target takes it; one that is wrong always does.
func TestRefusedByAll(t *testing.T) {
	refuse := func(value string, elsewhere bool) purge.Refusal {
		return purge.Refusal{Item: purge.Item{Kind: purge.URL, Value: value}, Why: "why", Elsewhere: elsewhere}
	}
	plans := []purge.Plan{
		{Refused: []purge.Refusal{refuse("a", true), refuse("nowhere", true), refuse("bad", false)}},
		{Refused: []purge.Refusal{refuse("b", true), refuse("nowhere", true), refuse("bad", false)}},
	}
	var got []string
	for _, r := range refusedByAll(plans) {
		got = append(got, r.Item.Value)
	}
	if strings.Join(got, " ") != "nowhere bad" {
		t.Errorf("%q", got)
	}
}

// TestJournalInUse: a journal that another run has open is not resumed.
func TestJournalInUse(t *testing.T) {
	f := &fakeCDN{}
	f.do = func(purge.Call) error { return &purge.CallError{Err: errors.New("no")} }
	env := purgeEnv(t, f, nil)
	if got := Main(t.Context(), env, purgeArgs("--path", "/a", "--yes")...); got != exitFailed {
		t.Fatalf("exit status %d", got)
	}
	dir, err := purgeFolder(env)
	if err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(left) != 1 {
		t.Fatalf("journals: %v", left)
	}
	release, err := lockFile(left[0])
	if err != nil {
		t.Fatal(err)
	}
	f.do = nil
	if got := Main(t.Context(), env, "purge", "cloudfront", "--resume", left[0], "--yes"); got != exitFailed {
		t.Errorf("in use: exit status %d", got)
	}
	release()
	if got := Main(t.Context(), env, "purge", "cloudfront", "--resume", "--yes"); got != exitDone {
		t.Errorf("free: exit status %d", got)
	}
}

// TestPlanOfManyItems: a list of 100,000 is read, planned and printed in moments.
func TestPlanOfManyItems(t *testing.T) {
	var list strings.Builder
	for n := range 100_000 {
		list.WriteString("/a/")
		list.WriteString(time.Duration(n).String())
		list.WriteString("\n")
	}
	env := purgeEnv(t, &fakeCDN{}, nil)
	env.In = strings.NewReader(list.String())
	began := time.Now()
	if got := Main(t.Context(), env, purgeArgs("--file", "-", "--dry-run", "-o", "csv")...); got != exitDone {
		t.Fatalf("exit status %d", got)
	}
	t.Logf("took %v", time.Since(began))
}

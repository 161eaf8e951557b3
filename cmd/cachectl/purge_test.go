package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cachectl/cachectl/purge/purgetest"
)

// A purging is a run of the program in a process of its own, which purges URLs of
// example.com at a Cloudflare that the test plays.
type purging struct {
	flare  *purgetest.Cloudflare
	inject atomic.Pointer[func(n int) purgetest.Fault] // what becomes of the n-th purge
	env    []string
	list   string
	urls   []string
}

func newPurging(t *testing.T, n int) *purging {
	dir := t.TempDir()
	p := &purging{flare: purgetest.NewCloudflare(), list: filepath.Join(dir, "urls.txt")}
	p.flare.Inject = func(n int) (f purgetest.Fault) {
		if inject := p.inject.Load(); inject != nil {
			f = (*inject)(n)
		}
		return f
	}
	for i := range n {
		p.urls = append(p.urls, fmt.Sprintf("https://www.example.com/%04d", i))
	}
	if err := os.WriteFile(p.list, []byte(strings.Join(p.urls, "\n")), 0o666); err != nil {
		t.Fatal(err)
	}
	p.env = append(os.Environ(), "CLOUDFLARE_BASE_URL="+p.flare.Start(t), "CLOUDFLARE_API_TOKEN="+p.flare.Token,
		"HOME="+dir, "XDG_STATE_HOME="+filepath.Join(dir, "state"), "CACHECTL_CONFIG="+filepath.Join(dir, "none"), "GITHUB_OUTPUT=", "GITHUB_STEP_SUMMARY=")
	return p
}

// command is "cachectl purge cloudflare ... ARGS".
func (p *purging) command(t *testing.T, out *bytes.Buffer, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), "cachectl", append([]string{"purge", "cloudflare", "--plan", "enterprise", "--batch-size", "5", "--yes", "-o", "json"}, args...)...)
	cmd.Env, cmd.Stdout = p.env, out
	cmd.Stderr = new(bytes.Buffer)
	return cmd
}

// An answer is what the program prints.
type purgeAnswer struct {
	Purged      int
	Failed      int
	Journal     string
	FailedItems []struct{ Item, Error string } `json:"failed_items"`
}

func run1(t *testing.T, cmd *exec.Cmd, out *bytes.Buffer) (a purgeAnswer, status int) {
	t.Helper()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		t.Fatalf("%v in %q\n%s", err, out, cmd.Stderr)
	}
	return a, cmd.ProcessState.ExitCode()
}

// check holds the answer against the log of the CDN: every item is purged, or told
// as not purged, and none is both unknown to the CDN and told as purged.
func (p *purging) check(t *testing.T, failed map[string]bool) (again int) {
	t.Helper()
	purged := p.flare.Purged()
	for _, u := range p.urls {
		if purged[u] == 0 && !failed[u] {
			t.Errorf("%s was neither purged nor reported", u)
		}
		again += max(0, purged[u]-1)
	}
	return again
}

// TestPurgeUnderFaults: whatever the CDN answers, every item is purged or
// reported. One call in four meets trouble that passes, some of them are purged
// without an answer, and a few URLs are refused, together with what is sent
// beside them.
func TestPurgeUnderFaults(t *testing.T) {
	p := newPurging(t, 300)
	for _, n := range []int{7, 8, 150, 299} {
		p.urls[n] = fmt.Sprintf("https://www.example.com/%%zz%d", n)
	}
	if err := os.WriteFile(p.list, []byte(strings.Join(p.urls, "\n")), 0o666); err != nil {
		t.Fatal(err)
	}
	inject := func(n int) purgetest.Fault {
		switch n % 20 {
		case 1:
			return purgetest.Fault{Status: 429, RetryAfter: "0.1"}
		case 5:
			return purgetest.Fault{Status: 500}
		case 9:
			return purgetest.Fault{Reset: true, Taken: true}
		case 13:
			return purgetest.Fault{Half: true}
		case 17:
			return purgetest.Fault{Reset: true}
		}
		return purgetest.Fault{}
	}
	p.inject.Store(&inject)
	var out bytes.Buffer
	a, status := run1(t, p.command(t, &out, "--zone", "example.com", "--file", p.list), &out)
	failed := make(map[string]bool)
	for _, f := range a.FailedItems {
		failed[f.Item] = true
	}
	if status != exitPartialStatus || len(failed) != 4 || a.Failed != len(failed) || a.Purged+a.Failed != len(p.urls) {
		t.Errorf("exit status %d, %d purged, %d failed, %d named", status, a.Purged, a.Failed, len(failed))
	}
	p.check(t, failed)

	// The rest goes with the journal, and nothing else does. It is refused again.
	p.inject.Store(nil)
	before := len(p.flare.Purges())
	out.Reset()
	b, status := run1(t, p.command(t, &out, "--resume"), &out)
	if status != 1 || b.Purged != 0 || b.Failed != 4 {
		t.Errorf("resumed: exit status %d, %d purged, %d failed", status, b.Purged, b.Failed)
	}
	for _, r := range p.flare.Purges()[before:] {
		for _, i := range r.Items {
			if !failed[i] {
				t.Errorf("resumed: %s was purged before", i)
			}
		}
	}
}

const exitPartialStatus, exitInterruptedStatus = 4, 130

// parallel is how many calls are under way at once. A kill makes these be sent
// again, and those whose answers were not on the disk yet.
const parallel = 8

// TestPurgeKilled: kill -9 in the middle, twice, then resume. All is purged, and
// only calls that were under way are sent again.
func TestPurgeKilled(t *testing.T) {
	p := newPurging(t, 1200)
	args := []string{"--zone", "example.com", "--file", p.list}
	for range 2 {
		p.interrupt(t, syscall.SIGKILL, args)
		args = []string{"--resume"}
	}
	calls := len(p.flare.Purges())
	var out bytes.Buffer
	a, status := run1(t, p.command(t, &out, "--resume"), &out)
	if status != 0 || a.Failed != 0 || a.Purged == 0 || a.Purged == len(p.urls) {
		t.Errorf("resumed: exit status %d, %d purged, %d failed", status, a.Purged, a.Failed)
	}
	if again := p.check(t, nil); again > 2*2*parallel*5 {
		t.Errorf("%d items were purged again", again)
	}
	if calls < 80 {
		t.Errorf("only %d calls before the last run: the kills came too early", calls)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(p.list), "state", "cachectl", "purge", "*")); len(left) > 0 {
		t.Errorf("journals are left: %v", left)
	}
}

// TestPurgeInterrupted: Ctrl-C ends in good order, with a journal that resumes.
func TestPurgeInterrupted(t *testing.T) {
	p := newPurging(t, 1200)
	cmd := p.interrupt(t, os.Interrupt, []string{"--zone", "example.com", "--file", p.list})
	if got := cmd.ProcessState.ExitCode(); got != exitInterruptedStatus {
		t.Errorf("exit status %d", got)
	}
	var a purgeAnswer
	if err := json.Unmarshal(cmd.Stdout.(*bytes.Buffer).Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	if text := cmd.Stderr.(*bytes.Buffer).String(); a.Purged == 0 || a.Purged+a.Failed != len(p.urls) || !strings.Contains(text, "--resume "+a.Journal) {
		t.Errorf("%d purged, %d failed, journal %q\n%s", a.Purged, a.Failed, a.Journal, text)
	}
	var out bytes.Buffer
	resumed := p.command(t, &out, "--resume", a.Journal)
	b, status := run1(t, resumed, &out)
	if status != 0 || b.Purged != a.Failed {
		t.Errorf("resumed: exit status %d, %d purged of %d\n%s", status, b.Purged, a.Failed, resumed.Stderr)
	}
	if again := p.check(t, nil); again > 2*parallel*5 {
		t.Errorf("%d items were purged again", again)
	}
}

// interrupt starts a run and sends it a signal in the middle of its calls.
func (p *purging) interrupt(t *testing.T, sig os.Signal, args []string) *exec.Cmd {
	t.Helper()
	var seen atomic.Int64
	reached := make(chan struct{})
	inject := func(int) purgetest.Fault {
		if seen.Add(1) == 40 {
			close(reached)
		}
		return purgetest.Fault{Slow: 100 * time.Millisecond}
	}
	p.inject.Store(&inject)
	defer p.inject.Store(nil)
	cmd := p.command(t, new(bytes.Buffer), args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-reached:
	case <-time.After(30 * time.Second):
		t.Errorf("no 40 calls within 30 seconds")
	}
	if err := cmd.Process.Signal(sig); err != nil {
		t.Error(err)
	}
	cmd.Wait()
	return cmd
}

// TestPurgeKilledIsPaidOnce: CloudFront had taken the call when the run was
// killed. The resumed run sends it again under the same CallerReference: nothing is
// purged or paid twice.
func TestPurgeKilledIsPaidOnce(t *testing.T) {
	p := newPurging(t, 0)
	front := purgetest.NewCloudFront()
	reached := make(chan struct{})
	front.Inject = func(n int) (f purgetest.Fault) {
		if n == 1 {
			close(reached)
			f.Slow = 10 * time.Second
		}
		return f
	}
	p.env = append(p.env, "AWS_ENDPOINT_URL_CLOUDFRONT="+front.Start(t), "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "AWS_EC2_METADATA_DISABLED=true")
	run := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "cachectl", append([]string{"purge", "cloudfront", "--yes"}, args...)...)
		cmd.Env = p.env
		return cmd
	}
	cmd := run("--distribution", "E2EXAMPLE1ABCD", "--path", "/a", "--path", "/b", "--tag", "c")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-reached
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if out, err := run("--resume", "--wait").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	all := front.Purges()
	if len(all) != 2 || all[0].Reference != all[1].Reference || !slices.Equal(all[0].Items, all[1].Items) {
		t.Errorf("not the same call twice: %+v", all)
	}
	if front.Paid != 3 {
		t.Errorf("%d items were paid for, want 3", front.Paid)
	}
}

package commands

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/archive"
)

func backupFor(t *testing.T, keys ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "b")
	file, err := archive.Create(path, archive.Header{Created: time.Now(), Target: "mem://"})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		err = errors.Join(err, file.Append(backends.Record{Key: key, Form: backends.FormString, Type: "string", Value: []byte("v")}))
	}
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestDryRestoreEnds: by Ctrl-C, and where nothing more can be printed; neither is told as
// if all had been listed.
func TestDryRestoreEnds(t *testing.T) {
	path := backupFor(t, "a", "b")
	env, out, errs := testEnv()
	if got := Main(t.Context(), env, "restore", path, "--dry-run"); got != exitDone || !strings.Contains(errs.String(), "2 keys would come back") {
		t.Fatalf("exit status %d\n%s%s", got, out, errs)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	env, out, errs = testEnv()
	if got := Main(ctx, env, "restore", path, "--dry-run"); got != exitInterrupted || strings.Contains(errs.String(), "would come back") {
		t.Errorf("interrupted: exit status %d\n%s%s", got, out, errs)
	}
	env, _, errs = testEnv()
	env.Out = fullDisk{}
	if got := Main(t.Context(), env, "restore", path, "--dry-run"); got != exitFailed || !strings.Contains(errs.String(), "cut short after") {
		t.Errorf("full disk: exit status %d\n%s", got, errs)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// TestRestoreTellsFailuresOnce: keys that failed for what ended the run are told by that.
func TestRestoreTellsFailuresOnce(t *testing.T) {
	var failed []backends.Outcome
	for range 2 * named {
		failed = append(failed, backends.Outcome{Key: "k", Did: backends.Failed, Err: errors.New("OOM")})
	}
	r := &restoring{}
	if err := r.verdict(errors.New("a: OOM"), nil, failed); err.Error() != "a: OOM" {
		t.Errorf("told %q", err)
	}
	if err := r.verdict(nil, nil, failed); strings.Count(err.Error(), "\n") != named || exitCode(err) != exitPartial {
		t.Errorf("told %q", err)
	}
}

// TestReportTellsOnce: the same line is not printed twice.
func TestReportTellsOnce(t *testing.T) {
	var out bytes.Buffer
	full := errors.New("journal j: no space left on device")
	report(&out, errors.Join(full, errors.Join(full, errors.New("k: failed")), full))
	if got, want := out.String(), "cachectl: error: journal j: no space left on device\ncachectl: error: k: failed\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

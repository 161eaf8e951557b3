package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// TestFullDisk: where the journal or the backup can grow no further the run stops, and
// every key that is gone by then is in the journal, and comes back from the backup.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	s := servers.Redis(t, servers.Default(t), servers.Options{Args: []string{"--enable-debug-command", "yes"}})
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer c.Close()
	for _, blocks := range []string{"40", "300"} { // of 512 or 1,024 bytes: the journal of 20,000 keys takes 500 KB
		c.FlushAll(t.Context())
		doomed := crowd(t, c, 20_000)
		decorate(t, c)
		digest, dir := c.Do(t.Context(), "debug", "digest").Val(), t.TempDir()
		journal, backup := filepath.Join(dir, "run.journal"), filepath.Join(dir, "run.backup")
		cmd, out := program(t, "rm", "doomed:*", "-t", "redis://"+s.Addr, "--yes", "--pace", "max", "--journal", journal, "--backup", backup)
		limited := exec.Command("sh", append([]string{"-c", `ulimit -f ` + blocks + `; exec "$@"`, "sh", "cachectl"}, cmd.Args[1:]...)...)
		limited.Env, limited.Stdout, limited.Stderr = cmd.Env, out, out
		if err := limited.Run(); limited.ProcessState.ExitCode() != 1 || !strings.Contains(out.String(), "file too large") {
			t.Fatalf("%v\n%s", err, out)
		}
		gone, _ := left(t, c)
		if gone = len(doomed) - gone; gone == len(doomed) {
			t.Fatalf("everything is gone\n%s", out)
		}
		announced := make(map[string]bool)
		for _, key := range intended(t, journal) {
			announced[key] = true
		}
		there := c.Exists(t.Context(), doomed...).Val()
		for chunk := range slices.Chunk(doomed, 1000) {
			pipe := c.Pipeline()
			answers := make([]*redis.IntCmd, len(chunk))
			for i, key := range chunk {
				answers[i] = pipe.Exists(t.Context(), key)
			}
			pipe.Exec(t.Context())
			for i, key := range chunk {
				if answers[i].Val() == 0 && !announced[key] {
					t.Fatalf("%q is gone and not in the journal", key)
				}
			}
		}
		if gone > 0 {
			if cmd, out := program(t, "restore", backup, "-t", "redis://"+s.Addr, "--yes", "--pace", "max"); cmd.Run() != nil && cmd.ProcessState.ExitCode() != 4 {
				t.Fatalf("restore: %s", out)
			}
		}
		if got := c.Do(t.Context(), "debug", "digest").Val(); got != digest {
			t.Errorf("%d keys were there, %d gone, and what came back is not the same", there, gone)
		}
		t.Logf("limit %s: %d keys gone, all recorded", blocks, gone)
	}
}

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cachectl/cachectl/backends/backendtest/servers"
	"github.com/redis/go-redis/v9"
)

// TestAuditedThoughNobodyReads: a run whose answer goes into a broken pipe leaves its audit
// line like any other, and a dry run that cannot print does not tell a count as if it were all.
func TestAuditedThoughNobodyReads(t *testing.T) {
	t.Parallel()
	s := servers.Redis(t, servers.Default(t), servers.Options{})
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer c.Close()
	if err := c.MSet(t.Context(), "a:1", "v", "a:2", "v").Err(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	records := filepath.Join(dir, "records.ndjson")
	backup := filepath.Join(dir, "a.backup")
	if err := os.WriteFile(records, []byte(`{"key":"b:1","value":"v"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	target := "redis://" + s.Addr
	for _, args := range [][]string{
		{"rm", "a:*", "--yes", "--backup", backup},
		{"restore", backup, "--yes"},
		{"warm", records},
	} {
		cmd, out := program(t, append(args, "-t", target)...)
		home := t.TempDir()
		cmd.Env = append(cmd.Env, "XDG_STATE_HOME="+home)
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		reader.Close()
		cmd.Stdout = writer
		if err := cmd.Run(); err == nil {
			t.Errorf("%s: the pipe is not broken", args[0])
		}
		writer.Close()
		data, err := os.ReadFile(filepath.Join(home, "cachectl", "audit.ndjson"))
		var line struct{ Command, Ended string }
		if err != nil || json.Unmarshal(data, &line) != nil || line.Command != args[0] || line.Ended != "complete" {
			t.Errorf("%s: audited is %q, %v\n%s", args[0], data, err, out)
		}
	}
	cmd, out := program(t, "rm", "a:*", "--dry-run", "-t", target)
	unwritable, err := os.Open(records)
	if err != nil {
		t.Fatal(err)
	}
	defer unwritable.Close()
	cmd.Stdout = unwritable
	if err := cmd.Run(); err == nil || strings.Contains(out.String(), "would go") || !strings.Contains(out.String(), "cut short") {
		t.Errorf("%v\n%s", err, out)
	}
}

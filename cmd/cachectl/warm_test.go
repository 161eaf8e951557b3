package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends/backendtest/servers"
	"github.com/cachectl/cachectl/commands/journal"
)

// records writes n records, of which every 100th is bad, and names the good ones.
func records(t *testing.T, n int) (path string, good map[string]string) {
	t.Helper()
	path, good = filepath.Join(t.TempDir(), "records.ndjson"), make(map[string]string)
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(file)
	for i := range n {
		key, value := "w:"+strconv.Itoa(i), fmt.Sprintf("value %d", i)
		if i%100 == 7 {
			fmt.Fprintf(w, `{"key":%q,"value":%q,"bad":1}`+"\n", key, value)
			continue
		}
		good[key] = value
		fmt.Fprintf(w, `{"key":%q,"value":%q,"ttl":3600}`+"\n", key, value)
	}
	if err := errors.Join(w.Flush(), file.Close()); err != nil {
		t.Fatal(err)
	}
	return path, good
}

// rejectedKeys reads a reject file. A run that was killed may have written a record twice.
func rejectedKeys(t *testing.T, path string) map[string]bool {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	keys := make(map[string]bool)
	for line := range bytes.Lines(data) {
		var r struct{ Key, Reason, Raw string }
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if r.Reason == "" || !strings.Contains(r.Raw, r.Key) {
			t.Fatalf("a reject says too little: %s", line)
		}
		keys[r.Key] = true
	}
	return keys
}

// whole holds a cache against what was to be loaded, and nothing else.
func whole(t *testing.T, c redis.UniversalClient, good map[string]string) {
	t.Helper()
	if n := c.DBSize(t.Context()).Val(); n != int64(len(good)) {
		t.Errorf("%d keys, want %d", n, len(good))
	}
	pipe := c.Pipeline()
	got := make(map[string]*redis.StringCmd)
	for key := range good {
		got[key] = pipe.Get(t.Context(), key)
	}
	pipe.Exec(t.Context())
	wrong := 0
	for key, want := range good {
		if v := got[key].Val(); v != want {
			if wrong++; wrong < 5 {
				t.Errorf("%s is %q, want %q", key, v, want)
			}
		}
	}
	if wrong > 0 {
		t.Fatalf("%d of %d keys are wrong", wrong, len(good))
	}
}

// TestKilledWarmsGoOn: a run that is killed at random moments and resumed loads or
// rejects every record.
func TestKilledWarmsGoOn(t *testing.T) {
	kills := 6
	if long() {
		kills = 60
	}
	s := servers.Redis(t, servers.Default(t), servers.Options{})
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer c.Close()
	const n = 30_000
	path, good := records(t, n)
	for killed := 0; killed < kills; {
		c.FlushAll(t.Context())
		dir := t.TempDir()
		file, rejects := filepath.Join(dir, "run.journal"), filepath.Join(dir, "rejects.ndjson")
		how := []string{"-t", "redis://" + s.Addr, "--rate", "100000/s"}
		args := append([]string{"warm", path, "--journal", file, "--rejects", rejects}, how...)
		for runs := 0; ; runs++ {
			if runs > 100 {
				t.Fatal("the run makes no progress")
			}
			cmd, out := program(t, args...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			timer := time.AfterFunc(time.Duration(rand.Int64N(int64(400*time.Millisecond))), func() { cmd.Process.Kill() })
			cmd.Wait()
			timer.Stop()
			if strings.Contains(out.String(), "that run is complete") {
				break
			}
			switch code := cmd.ProcessState.ExitCode(); {
			case code == 4 && strings.Contains(out.String(), "loaded"):
			case code >= 0:
				t.Fatalf("run %d: exit %d\n%s", runs, code, out)
			default:
				killed++
			}
			if cmd.ProcessState.ExitCode() == 4 {
				break
			}
			if _, err := journal.Read(file); err == nil {
				args = append([]string{"warm", "--resume", file}, how...)
			} else if os.Remove(file); !errors.Is(err, os.ErrNotExist) && !strings.Contains(err.Error(), "had not begun") && !strings.Contains(err.Error(), "no journal") {
				t.Fatal(err)
			}
		}
		whole(t, c, good)
		if got := len(rejectedKeys(t, rejects)); got != n-len(good) {
			t.Fatalf("after %d kills %d records are rejected, want %d", killed, got, n-len(good))
		}
	}
}

// TestWarmOutlivesItsServer: a server that goes away in the middle and comes back empty
// gets everything from there on, and what was under way is not lost.
func TestWarmOutlivesItsServer(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{Args: []string{"--appendonly", "yes", "--appendfsync", "always"}})
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer c.Close()
	path, good := records(t, 20_000)
	cmd, out := program(t, "warm", path, "-t", "redis://"+s.Addr, "--rate", "20000/s")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for c.DBSize(t.Context()).Val() < 3000 {
		time.Sleep(5 * time.Millisecond)
	}
	s.Restart()
	if cmd.Wait(); cmd.ProcessState.ExitCode() != 4 { // the bad records
		t.Fatalf("exit %d\n%s", cmd.ProcessState.ExitCode(), out)
	}
	whole(t, c, good)
}

// TestWarmStopsBeforeMemoryIsFull: a cache that is too small for what is loaded keeps its
// share free, evicts nothing, and the run goes on when there is room.
func TestWarmStopsBeforeMemoryIsFull(t *testing.T) {
	for _, policy := range []string{"allkeys-lru", "noeviction"} {
		t.Run(policy, func(t *testing.T) {
			const limit = 12 << 20
			s := servers.Redis(t, servers.Default(t), servers.Options{Args: []string{"--maxmemory", strconv.Itoa(limit), "--maxmemory-policy", policy}})
			c := redis.NewClient(&redis.Options{Addr: s.Addr})
			defer c.Close()
			path := filepath.Join(t.TempDir(), "big.ndjson")
			var all bytes.Buffer
			good := make(map[string]string)
			for i := range 40_000 {
				key, value := fmt.Sprintf("big:%d", i), fmt.Sprintf("%0300d", i)
				good[key] = value
				fmt.Fprintf(&all, `{"key":%q,"value":%q}`+"\n", key, value)
			}
			if err := os.WriteFile(path, all.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "run.journal")
			cmd, out := program(t, "warm", path, "-t", "redis://"+s.Addr, "--pace", "max", "--journal", file)
			cmd.Run()
			if text := out.String(); cmd.ProcessState.ExitCode() != 4 || !strings.Contains(text, "stopped for want of memory") || !strings.Contains(text, "it will stop when the room is taken") {
				t.Fatalf("exit %d\n%s", cmd.ProcessState.ExitCode(), text)
			}
			info := c.Info(t.Context(), "memory", "stats").Val()
			used, evicted := field(t, info, "used_memory"), field(t, info, "evicted_keys")
			if evicted != 0 || used > limit*93/100 || used < limit*75/100 {
				t.Fatalf("%d of %d bytes are used, %d keys were evicted\n%s", used, limit, evicted, out)
			}
			c.ConfigSet(t.Context(), "maxmemory", "200mb")
			cmd, out = program(t, "warm", "--resume", file, "-t", "redis://"+s.Addr, "--pace", "max")
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			whole(t, c, good)
		})
	}
}

func field(t *testing.T, info, name string) int64 {
	t.Helper()
	_, rest, ok := strings.Cut(info, name+":")
	n, err := strconv.ParseInt(strings.TrimSpace(strings.SplitN(rest, "\r\n", 2)[0]), 10, 64)
	if !ok || err != nil {
		t.Fatalf("no %s: %v", name, err)
	}
	return n
}

// TestWarmSQL: the rows of a query, into Redis and memcached; the password shows nowhere.
func TestWarmSQL(t *testing.T) {
	const password = "hunter2"
	pg := servers.Postgres(t, servers.Options{Password: password})
	dsn := "postgres://postgres:" + password + "@" + pg.Addr + "/postgres"
	conn, err := pgconn.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	_, err = conn.Exec(t.Context(), `CREATE TABLE users (id int, name text, age int, hits int);
		INSERT INTO users SELECT i, 'user ' || i, 600, i FROM generate_series(1, 3000) i; INSERT INTO users VALUES (NULL, 'nobody', 1, 0)`).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	s := servers.Redis(t, servers.Default(t), servers.Options{})
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer c.Close()
	home := t.TempDir()
	run := func(want int, args ...string) string {
		t.Helper()
		cmd, out := program(t, append([]string{"warm", "sql", "-t", "redis://" + s.Addr}, args...)...)
		cmd.Env = append(cmd.Env, "HOME="+home)
		cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != want {
			t.Fatalf("exit %d, want %d\n%s", code, want, out)
		}
		if strings.Contains(out.String(), password) {
			t.Fatalf("the password shows:\n%s", out)
		}
		return out.String()
	}
	out := run(4, "--dsn", dsn, "--query", "SELECT * FROM users ORDER BY id", "--key", "user:{id}", "--ttl", "@age", "--verify", "10%", "-o", "json")
	if !strings.Contains(out, `"loaded": 3000,`) || !strings.Contains(out, `"different": 0`) || !strings.Contains(out, `row 3001: field "id" is null`) {
		t.Fatal(out)
	}
	if v := c.Get(t.Context(), "user:7").Val(); v != `{"id":7,"name":"user 7","age":600,"hits":7}` {
		t.Errorf("user:7 is %s", v)
	}
	if ttl := c.TTL(t.Context(), "user:7").Val(); ttl < 500*time.Second || ttl > 600*time.Second {
		t.Errorf("user:7 lives %v", ttl)
	}
	out = run(0, "--dsn", dsn, "--query", "SELECT * FROM users WHERE id < 100", "--key", "h:{id}", "--type", "hash", "--ttl", "1h", "--jitter", "10%", "--hottest-first", "--heat", "hits")
	if v := c.HGet(t.Context(), "h:7", "name").Val(); v != "user 7" {
		t.Errorf("h:7 has %q\n%s", v, out)
	}
	if out = run(1, "--dsn", dsn, "--query", "SELECT * FROM nothing", "--key", "h:{id}"); !strings.Contains(out, `relation "nothing" does not exist`) {
		t.Error(out)
	}
	run(2, "--dsn", dsn, "--query", "SELECT 1")
	run(2, "--dsn", "postgres://x:"+password+"@[", "--query", "SELECT 1", "--key", "{id}")
	files, _ := filepath.Glob(filepath.Join(home, ".local/state/cachectl/*"))
	more, _ := filepath.Glob(filepath.Join(home, ".local/state/cachectl/journal/*"))
	for _, path := range append(files, more...) {
		if data, err := os.ReadFile(path); err == nil && bytes.Contains(data, []byte(password)) {
			t.Errorf("the password is in %s", path)
		}
	}
	if len(more) == 0 {
		t.Error("no journal was kept")
	}
}

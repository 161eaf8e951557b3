package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/archive"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
	"github.com/cachectl/cachectl/commands/journal"
)

func long() bool { return os.Getenv("CACHECTL_LONG") == "1" }

// crowd writes n doomed keys, among them odd ones, and n that stay.
func crowd(t *testing.T, c redis.UniversalClient, n int) (doomed []string) {
	t.Helper()
	pipe := c.Pipeline()
	for i := range n {
		name := fmt.Sprintf("doomed:%d", i)
		switch i % 50 {
		case 1:
			name += "\n\x00\xff"
		case 2:
			name += ` "*[{}]`
		}
		doomed = append(doomed, name)
		pipe.Set(t.Context(), name, "x", 0)
		pipe.Set(t.Context(), fmt.Sprintf("stay:%d:doomed:", i), "x", 0)
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	return doomed
}

// left counts the keys of all masters: those that should be gone, and the others.
func left(t *testing.T, masters ...*redis.Client) (doomed, stay int) {
	t.Helper()
	for _, c := range masters {
		for keys := c.Scan(t.Context(), 0, "", 1000).Iterator(); keys.Next(t.Context()); {
			if strings.HasPrefix(keys.Val(), "doomed:") {
				doomed++
			} else {
				stay++
			}
		}
	}
	return doomed, stay
}

// program is a run of the real program in a process of its own.
func program(t *testing.T, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command("cachectl", args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	cmd.Stdout, cmd.Stderr = &out, &out
	return cmd, &out
}

// TestKilledRunsGoOn: a run that is killed at random moments and resumed deletes
// exactly what matches, its journal names exactly that, and its backup brings all of it
// back.
func TestKilledRunsGoOn(t *testing.T) {
	t.Parallel()
	kills := 8
	if long() {
		kills = 50
	}
	s := servers.Redis(t, servers.Default(t), servers.Options{Args: []string{"--enable-debug-command", "yes"}})
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer c.Close()
	const n = 20_000
	for killed := 0; killed < kills; {
		c.FlushAll(t.Context())
		doomed := crowd(t, c, n)
		decorate(t, c)
		digest, expiries, dir := c.Do(t.Context(), "debug", "digest").Val(), expiries(t, c), t.TempDir()
		file, backup := filepath.Join(dir, "run.journal"), filepath.Join(dir, "run.backup")
		how := []string{"-t", "redis://" + s.Addr, "--yes", "--rate", "100000/s"}
		args := append([]string{"rm", "doomed:*", "--journal", file, "--backup", backup}, how...)
		for runs := 0; ; runs++ {
			if runs > 100 {
				t.Fatal("the run makes no progress")
			}
			cmd, out := program(t, args...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			timer := time.AfterFunc(time.Duration(rand.Int64N(int64(250+25*runs)*int64(time.Millisecond))), func() { cmd.Process.Kill() })
			err := cmd.Wait()
			if timer.Stop(); err == nil || strings.Contains(out.String(), "that run is complete") { // killed behind its last word
				break
			}
			if cmd.ProcessState.ExitCode() >= 0 {
				t.Fatalf("run %d: %v\n%s", runs, err, out)
			}
			killed++
			if _, err := journal.Read(file); err == nil {
				args = append([]string{"rm", "--resume", file}, how...)
			} else if os.Remove(file); !errors.Is(err, os.ErrNotExist) && !strings.Contains(err.Error(), "had not begun") && !strings.Contains(err.Error(), "no journal") {
				t.Fatal(err)
			}
		}
		if doomed, stay := left(t, c); doomed != 0 || stay != n {
			t.Fatalf("after %d kills %d of %d are left that match, and %d of %d that do not", killed, doomed, n, stay, n)
		}
		if told, err := journal.Read(file); err != nil || told.Sum(backends.Deleted) > n || told.Sum(backends.Deleted)+told.Unsaid < n {
			t.Fatalf("of %d keys the journal counts %d, and up to %d of killed runs; %v", n, told.Sum(backends.Deleted), told.Unsaid, err)
		}
		if got := intended(t, file); !slices.Equal(got, slices.Sorted(slices.Values(doomed))) {
			t.Fatalf("the journal names %d keys, want the %d that matched", len(got), len(doomed))
		}
		if cmd, out := program(t, "restore", backup, "-t", "redis://"+s.Addr, "--yes", "--pace", "max"); cmd.Run() != nil {
			t.Fatalf("restore: %s", out)
		}
		if got := c.Do(t.Context(), "debug", "digest").Val(); got != digest {
			t.Fatalf("after %d kills and the restore the digest is %v, it was %v", killed, got, digest)
		}
		moved(t, c, expiries, 0, 0) // the digest only tells that there is a TTL
		created := headerOf(t, backup).Created
		began := time.Now()
		if cmd, out := program(t, "restore", backup, "-t", "redis://"+s.Addr, "--yes", "--pace", "max", "--replace", "--ttl", "as-it-was"); cmd.Run() != nil {
			t.Fatalf("restore: %s", out)
		}
		moved(t, c, expiries, began.Sub(created), time.Since(created))
	}
}

// headerOf reads who a backup is of.
func headerOf(t *testing.T, path string) archive.Header {
	t.Helper()
	file, err := archive.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	return file.Header
}

// expiries are the moments when keys end, in milliseconds, of those that do.
func expiries(t *testing.T, c *redis.Client) map[string]int64 {
	t.Helper()
	var keys []string
	for all := c.Scan(t.Context(), 0, "", 1000).Iterator(); all.Next(t.Context()); {
		keys = append(keys, all.Val())
	}
	pipe := c.Pipeline()
	asked := make([]*redis.DurationCmd, len(keys))
	for i, key := range keys {
		asked[i] = pipe.PExpireTime(t.Context(), key)
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	ends := make(map[string]int64)
	for i, key := range keys {
		if at := asked[i].Val().Milliseconds(); at > 0 {
			ends[key] = at
		}
	}
	return ends
}

// moved checks that keys end as much later than they did as least to most says, and none
// that did not.
func moved(t *testing.T, c *redis.Client, were map[string]int64, least, most time.Duration) {
	t.Helper()
	are := expiries(t, c)
	if len(are) != len(were) || len(were) == 0 {
		t.Errorf("%d keys have a TTL, %d had", len(are), len(were))
	}
	for key, was := range were {
		if by := time.Duration(are[key]-was) * time.Millisecond; by < least-time.Millisecond || by > most+time.Millisecond {
			t.Fatalf("%q ends %v later than it did, want %v to %v", key, by, least, most)
		}
	}
}

// TestExpireTellsWhatCountsTwice: a server that was restarted in the middle of a run is
// walked again, and the summary says that keys may be counted twice.
func TestExpireTellsWhatCountsTwice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := servers.Redis(t, servers.Default(t), servers.Options{Args: []string{"--dir", dir, "--save", "3600 1000000"}})
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer c.Close()
	const n = 5000
	crowd(t, c, n)
	file := filepath.Join(dir, "run.journal")
	how := []string{"-t", "redis://" + s.Addr, "--yes", "-o", "json"}
	cmd, out := program(t, append([]string{"expire", "doomed:*", "--ttl", "1h", "--journal", file, "--count", "100", "--rate", "2000/s"}, how...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for some := false; !some; time.Sleep(10 * time.Millisecond) { // until the journal says that keys were changed
		if t.Context().Err() != nil {
			t.Fatal(out)
		}
		state, err := journal.Read(file)
		some = err == nil && state.Sum(backends.Changed) > 0
	}
	cmd.Process.Kill()
	cmd.Wait()
	s.Restart() // by SIGTERM, which saves where save is set
	if keys := c.DBSize(t.Context()).Val(); keys != 2*n {
		t.Fatalf("%d keys came back", keys)
	}
	cmd, out = program(t, append([]string{"expire", "--resume", file}, how...)...)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(out.String(), "some keys may be counted twice: of "+s.Addr) || !strings.Contains(out.String(), `"walked_again": [`) {
		t.Errorf("a restart is not told:\n%s", out)
	}
	if got := len(expiries(t, c)); got != n {
		t.Errorf("%d keys have a TTL, want %d", got, n)
	}
	c.Do(t.Context(), "flushall")
	crowd(t, c, 2000)
	cmd, out = program(t, append([]string{"expire", "doomed:*", "--ttl", "1h", "--journal", filepath.Join(dir, "whole")}, how...)...)
	if err := cmd.Run(); err != nil || strings.Contains(out.String(), "twice") || !strings.Contains(out.String(), `"walked_again": []`) {
		t.Errorf("a run without trouble: %v\n%s", err, out)
	}
}

// decorate makes some doomed keys hashes, lists and sorted sets, and gives some a TTL.
func decorate(t *testing.T, c *redis.Client) {
	t.Helper()
	pipe := c.Pipeline()
	for i := 10; i < 20_000; i += 100 {
		for kind, fill := range []func(key string){
			func(key string) { pipe.HSet(t.Context(), key, "a", i, "b", "\x00") },
			func(key string) { pipe.RPush(t.Context(), key, i, "b", "c") },
			func(key string) { pipe.ZAdd(t.Context(), key, redis.Z{Score: float64(i), Member: "m"}) },
			func(key string) {
				pipe.ExpireAt(t.Context(), key, time.Now().Add(time.Hour+time.Duration(i)*time.Second))
			},
		} {
			key := fmt.Sprintf("doomed:%d", i+5*kind)
			if kind < 3 {
				pipe.Del(t.Context(), key)
			}
			fill(key)
		}
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// intended reads the names that a journal announces, each once.
func intended(t *testing.T, file string) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	keys := make(map[string]bool)
	for line := range bytes.Lines(data) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // half a line counts for nothing
		}
		var r struct{ Keys []any }
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		for _, key := range r.Keys {
			text, ok := key.(string)
			if !ok {
				raw, err := base64.StdEncoding.DecodeString(key.(map[string]any)["b64"].(string))
				if err != nil {
					t.Fatal(err)
				}
				text = string(raw)
			}
			keys[text] = true
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

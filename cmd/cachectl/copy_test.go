package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// mixed fills a server with n keys of all types, half of them with a TTL, and some hashes
// with TTLs of fields.
func mixed(t *testing.T, c *redis.Client, n int, fields bool) {
	t.Helper()
	ctx := t.Context()
	pipe := c.Pipeline()
	for i := range n {
		key := fmt.Sprintf("mixed:%d\x00\xff", i)
		switch i % 10 {
		case 0:
			pipe.HSet(ctx, key, "a", i, "b", strings.Repeat("x", i%100))
			if fields && i%20 == 0 {
				pipe.HPExpireAt(ctx, key, time.UnixMilli(4_000_000_000_000+int64(i)), "a")
			}
		case 1:
			pipe.RPush(ctx, key, i, "b", "c")
		case 2:
			pipe.SAdd(ctx, key, i, "b", "c")
		case 3:
			pipe.ZAdd(ctx, key, redis.Z{Score: float64(i) / 7, Member: "m"}, redis.Z{Score: -1, Member: "n"})
		case 4:
			pipe.XAdd(ctx, &redis.XAddArgs{Stream: key, ID: "1-" + strconv.Itoa(i+1), Values: []any{"f", i}})
		default:
			pipe.Set(ctx, key, strings.Repeat("v", i%200)+strconv.Itoa(i), 0)
		}
		if i%2 == 1 || i%10 == 0 {
			pipe.PExpireAt(ctx, key, time.UnixMilli(4_000_000_000_000+int64(i)))
		}
		if pipe.Len() > 10_000 || i == n-1 {
			if _, err := pipe.Exec(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// deadlines tells when every key expires, and of hashes their fields.
func deadlines(t *testing.T, c *redis.Client, n int, fields bool) []int64 {
	t.Helper()
	var all []int64
	for from := 0; from < n; from += 10_000 {
		pipe := c.Pipeline()
		for i := from; i < min(n, from+10_000); i++ {
			key := fmt.Sprintf("mixed:%d\x00\xff", i)
			pipe.Do(t.Context(), "pexpiretime", key)
			if fields && i%20 == 0 {
				pipe.Do(t.Context(), "hpexpiretime", key, "fields", 2, "a", "b")
			}
		}
		cmds, err := pipe.Exec(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, cmd := range cmds {
			switch v := cmd.(*redis.Cmd).Val().(type) {
			case int64:
				all = append(all, v)
			case []any:
				for _, one := range v {
					all = append(all, one.(int64))
				}
			}
		}
	}
	return all
}

// TestCopyCarriesEverything: types, values, TTLs and TTLs of fields are the same in the
// copy, by dumps and, where these are refused, by value.
func TestCopyCarriesEverything(t *testing.T) {
	n := 10_000
	if long() {
		n = 1_000_000
	}
	all := servers.Redises(t)
	oldest, newest := all[0], all[0]
	for _, v := range all {
		if v.Software == "redis" && v.Number > newest.Number {
			newest = v
		}
	}
	for _, pair := range [][2]servers.Version{{oldest, oldest}, {newest, newest}, {oldest, all[len(all)-1]}, {newest, oldest}} {
		t.Run(pair[0].Name+" to "+pair[1].Name, func(t *testing.T) {
			debug := servers.Options{Args: []string{"--enable-debug-command", "yes"}}
			a, b := servers.Redis(t, pair[0], debug), servers.Redis(t, pair[1], debug)
			from, to := redis.NewClient(&redis.Options{Addr: a.Addr, ReadTimeout: time.Minute}), redis.NewClient(&redis.Options{Addr: b.Addr, ReadTimeout: time.Minute})
			defer from.Close()
			defer to.Close()
			fields := fieldTTLs(t, from) && fieldTTLs(t, to)
			mixed(t, from, n, fields)
			want, times := from.Do(t.Context(), "debug", "digest").Val(), deadlines(t, from, n, fields)
			if pair[0].Name != pair[1].Name { // a digest is of one version: that of the same keys, written there
				mixed(t, to, n, fields)
				want = to.Do(t.Context(), "debug", "digest").Val()
				to.FlushAll(t.Context())
			}
			cmd, out := program(t, "copy", "redis://"+a.Addr, "redis://"+b.Addr, "--pace", "max", "--verify", "1%")
			began := time.Now()
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%d keys in %v, fields %v\n%s", n, time.Since(began), fields, out)
			if got := to.Do(t.Context(), "debug", "digest").Val(); got != want {
				t.Errorf("the digest is %v, want %v", got, want)
			}
			for i, got := range deadlines(t, to, n, fields) {
				if got != times[i] {
					t.Fatalf("deadline %d is %d, want %d", i, got, times[i])
				}
			}
		})
	}
}

// fieldTTLs tells whether fields of hashes may expire on a server.
func fieldTTLs(t *testing.T, c *redis.Client) bool {
	t.Helper()
	err := c.Do(t.Context(), "hpexpiretime", "nothing", "fields", 1, "f").Err()
	return err == nil || !strings.Contains(err.Error(), "unknown command")
}

// TestKilledCopiesGoOn: a copy that is killed and resumed has everything in the end.
func TestKilledCopiesGoOn(t *testing.T) {
	debug := servers.Options{Args: []string{"--enable-debug-command", "yes"}}
	a, b := servers.Redis(t, servers.Default(t), debug), servers.Redis(t, servers.Default(t), debug)
	from, to := redis.NewClient(&redis.Options{Addr: a.Addr}), redis.NewClient(&redis.Options{Addr: b.Addr})
	defer from.Close()
	defer to.Close()
	mixed(t, from, 20_000, false)
	want := from.Do(t.Context(), "debug", "digest").Val()
	file := filepath.Join(t.TempDir(), "run.journal")
	args := []string{"copy", "redis://" + a.Addr, "redis://" + b.Addr, "--rate", "20000/s", "--journal", file}
	for part := int64(1); part <= 4; part++ {
		cmd, out := program(t, args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for to.DBSize(t.Context()).Val() < part*4000 {
			time.Sleep(2 * time.Millisecond)
		}
		cmd.Process.Kill()
		if cmd.Wait(); cmd.ProcessState.ExitCode() >= 0 {
			t.Fatalf("it ended before it was killed\n%s", out)
		}
		args = []string{"copy", "--resume", file, "--rate", "20000/s"}
	}
	cmd, out := program(t, "copy", "--resume", file, "--pace", "max")
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := to.Do(t.Context(), "debug", "digest").Val(); got != want {
		t.Errorf("the digest is %v, want %v\n%s", got, want, out)
	}
	if met := strings.Contains(out.String(), "resume: copy"); !met {
		t.Errorf("it does not say that it goes on:\n%s", out)
	}
}

// TestCopyStopsWhenMemcachedEvicts: evictions end a copy, also where memory is used by
// other classes of items than those that are copied.
func TestCopyStopsWhenMemcachedEvicts(t *testing.T) {
	all := servers.Memcacheds(t)
	s := servers.Redis(t, servers.Default(t), servers.Options{})
	small := servers.Memcached(t, all[len(all)-1], servers.Options{Args: []string{"-m", "8"}})
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer c.Close()
	pipe := c.Pipeline()
	for i := range 60_000 {
		pipe.Set(t.Context(), "k:"+strconv.Itoa(i), strings.Repeat("v", 200), 0)
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	cmd, out := program(t, "copy", "redis://"+s.Addr, "memcached://"+small.Addr, "--pace", "max")
	cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != 4 || !strings.Contains(out.String(), "stopped for want of memory") {
		t.Fatalf("exit %d\n%s", code, out)
	}
	if n := evictions(t, small.Addr); n > 3000 {
		t.Errorf("%d items were evicted\n%s", n, out)
	}
}

// evictions asks a memcached.
func evictions(t *testing.T, addr string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "stats\r\n")
	var text strings.Builder
	buf := make([]byte, 64<<10)
	for !strings.Contains(text.String(), "END\r\n") {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(buf[:n])
	}
	_, rest, _ := strings.Cut(text.String(), "STAT evictions ")
	n, err := strconv.Atoi(strings.TrimSpace(strings.SplitN(rest, "\r\n", 2)[0]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestKilledHottestCopiesBeginAnew: such a copy that is killed and resumed says that it begins anew, and has everything in the end.
func TestKilledHottestCopiesBeginAnew(t *testing.T) {
	t.Parallel()
	s := servers.Redis(t, servers.Default(t), servers.Options{})
	from, to := redis.NewClient(&redis.Options{Addr: s.Addr}), redis.NewClient(&redis.Options{Addr: s.Addr, DB: 1})
	defer from.Close()
	defer to.Close()
	const n = 3000
	crowd(t, from, n)
	all := from.DBSize(t.Context()).Val()
	for _, replace := range []bool{false, true} {
		to.FlushDB(t.Context())
		file := filepath.Join(t.TempDir(), "run.journal")
		args := []string{"copy", "redis://" + s.Addr, "redis://" + s.Addr + "/1", "--hottest-first", "--rate", "200/s", "--count", "50", "--journal", file}
		want := "keys are met, and counted, once more, and those that are there stay"
		if replace {
			args, want = append(args, "--replace", "--yes"), "keys are copied, and counted, once more"
		}
		cmd, out := program(t, args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for began := time.Now(); to.DBSize(t.Context()).Val() < 100; time.Sleep(2 * time.Millisecond) {
			if time.Since(began) > time.Minute {
				cmd.Process.Kill()
				t.Fatal("nothing is copied")
			}
		}
		cmd.Process.Kill()
		if cmd.Wait(); cmd.ProcessState.ExitCode() >= 0 {
			t.Fatalf("it ended before it was killed\n%s", out)
		}
		cmd, out = program(t, "copy", "--resume", file, "--pace", "max", "--yes")
		if err := cmd.Run(); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%v\n%s", err, out)
		}
		if got := to.DBSize(t.Context()).Val(); got != all {
			t.Errorf("%d keys, want %d", got, all)
		}
	}
}

package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// TestInterruptedLoadsLeaveNothing: Ctrl-C in the middle of traffic ends it, tells what was
// measured, and takes the keys away; those of others stay.
func TestInterruptedLoadsLeaveNothing(t *testing.T) {
	for name, args := range map[string][]string{
		"traffic":  {"load", "--rate", "2000/s", "--duration", "1m", "--keys", "5000", "--warmup", "0"},
		"stampede": {"stampede", "--compare", "none", "--keys", "500", "--origin", "fixed:20ms", "--warmup", "0"},
		"patterns": {"load", "--pattern", "two-layers-pubsub", "--keys", "500", "--origin", "fixed:20ms", "--warmup", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := servers.Redis(t, servers.Default(t), servers.Options{})
			c := redis.NewClient(&redis.Options{Addr: s.Addr})
			defer c.Close()
			if err := c.Set(t.Context(), "other", "x", 0).Err(); err != nil {
				t.Fatal(err)
			}
			cmd, out := program(t, append(args, "-t", "redis://"+s.Addr, "--seed", "1")...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
				calls := 0 // reads, which only traffic does
				if _, text, found := strings.Cut(c.Info(t.Context(), "commandstats").Val(), "cmdstat_get:calls="); found {
					fmt.Sscan(text, &calls)
				}
				if calls > 100 && (name == "traffic" || calls > 600) {
					break
				}
				if time.Since(began) > 30*time.Second {
					t.Fatalf("no traffic came\n%s", out)
				}
			}
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			err := cmd.Wait()
			if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 130 {
				t.Errorf("%v, want exit status 130\n%s", err, out)
			}
			if !strings.Contains(out.String(), "cut short") {
				t.Errorf("it does not say that it was cut short\n%s", out)
			}
			if keys := c.Keys(t.Context(), "*").Val(); len(keys) != 1 || keys[0] != "other" {
				t.Errorf("%d keys are left", len(keys))
			}
		})
	}
}

// TestLoadWithoutRights: who may neither write nor remove is told once, and that there is nothing to remove is not told.
func TestLoadWithoutRights(t *testing.T) {
	t.Parallel()
	s := servers.Redis(t, servers.Default(t), servers.Options{})
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer c.Close()
	if err := c.Do(t.Context(), "ACL", "SETUSER", "looker", "on", ">secret", "~*", "+@all", "-@write").Err(); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{nil, {"--mix", "0:100", "--no-fill"}} {
		cmd, out := program(t, append([]string{"load", "-t", "redis://looker@" + s.Addr, "--seed", "1", "--warmup", "0", "--duration", "100ms", "--keys", "50"}, args...)...)
		cmd.Env = append(cmd.Env, "REDISCLI_AUTH=secret")
		err := cmd.Run()
		exit, failed := err.(*exec.ExitError)
		if text := out.String(); strings.Count(text, "NOPERM") != 1 || strings.Contains(text, "remove") {
			t.Errorf("%v\n%s", args, text)
		}
		if args == nil && (!failed || exit.ExitCode() != 1) || args != nil && failed {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// TestWaitingLoadOutlastsItsWait: keys that are written long before --start-at are still there then; and when the terminal goes
// away meanwhile, they are removed.
func TestWaitingLoadOutlastsItsWait(t *testing.T) {
	t.Parallel()
	s := servers.Redis(t, servers.Default(t), servers.Options{})
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer c.Close()
	hung := make(chan os.Signal, 1) // caught here, it is not ignored there, although nohup may have it so
	signal.Notify(hung, syscall.SIGHUP)
	defer signal.Stop(hung)
	const wait = 10 * time.Hour
	cmd, out := program(t, "load", "-t", "redis://"+s.Addr, "--seed", "1", "--keys", "5", "--duration", "1s",
		"--start-at", time.Now().Add(wait).Format(time.RFC3339))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); c.DBSize(t.Context()).Val() < 5; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("the keys are not written\n%s", out)
		}
	}
	if ttl := c.TTL(t.Context(), "cachectl:load:1:0").Val(); ttl < wait {
		t.Errorf("a key lives for %v, and the run begins in %v", ttl, wait)
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if exit, ok := cmd.Wait().(*exec.ExitError); !ok || exit.ExitCode() != 130 {
		t.Errorf("%v, want exit status 130\n%s", exit, out)
	}
	if n := c.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys are left", n)
	}
}

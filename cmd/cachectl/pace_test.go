package main

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// TestPaceSlowsDown: a server that suffers makes the adaptive pace slow down, and say so.
func TestPaceSlowsDown(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{Args: []string{"--enable-debug-command", "yes"}})
	c := redis.NewClient(&redis.Options{Addr: s.Addr, PoolSize: 4})
	defer c.Close()
	crowd(t, c, 20_000)
	c.Eval(t.Context(), `for i=1,200000 do redis.call("set","doomed:more:"..i,"x") end`, nil)
	cmd, out := program(t, "rm", "doomed:*", "-t", "redis://"+s.Addr, "--yes")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	begun(t, c) // and has had its look at the calm server
	for suffers := time.Now().Add(1500 * time.Millisecond); ; {
		select {
		case err := <-ended:
			if err != nil || !strings.Contains(out.String(), "slowing down: a PING takes") {
				t.Fatalf("%v\n%s", err, out)
			}
			if doomed, stay := left(t, c); doomed != 0 || stay != 20_000 {
				t.Errorf("%d keys left that match, %d others", doomed, stay)
			}
			return
		default:
			if time.Now().Before(suffers) {
				c.Do(t.Context(), "debug", "sleep", "0.02")
			} else {
				time.Sleep(10 * time.Millisecond)
			}
		}
	}
}

package main

import (
	"bufio"
	"context"
	"io"
	"regexp"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/commands"
)

// TestDemoListen: a second terminal meets the shop at the address that is
// printed, and Ctrl-C closes it.
func TestDemoListen(t *testing.T) {
	shop := &shop{}
	defer shop.close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, in := io.Pipe()
	env := environment(shop)
	env.Out, env.Err, env.Term = in, io.Discard, commands.Term{}
	code := make(chan int, 1)
	go func() {
		code <- commands.Main(ctx, env, "demo", "--listen", "127.0.0.1:0")
		in.Close()
	}()
	first, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, out)
	m := regexp.MustCompile(`redis://(127\.0\.0\.1:[0-9]+)`).FindStringSubmatch(first)
	if m == nil {
		t.Fatalf("no address in %q", first)
	}
	c := redis.NewClient(&redis.Options{Addr: m[1]})
	defer c.Close()
	if n, err := c.DBSize(ctx).Result(); err != nil || n < 2000 {
		t.Errorf("%d keys, %v", n, err)
	}
	cancel()
	if got := <-code; got != 0 {
		t.Errorf("exit status %d", got)
	}
}

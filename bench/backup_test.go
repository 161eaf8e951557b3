package bench

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// BenchmarkBackup: values of 1 KB deleted as fast as can be, with a backup and without;
// the plain deletion is the peer. Either a quarter of the keyspace goes, or all of it.
func BenchmarkBackup(b *testing.B) {
	program := build(b)
	b.Run("a quarter", func(b *testing.B) { backups(b, program, 4) })
	b.Run("all", func(b *testing.B) { backups(b, program, 1) })
}

// backups deletes one key of so many (the others are small), 250,000 in all.
func backups(b *testing.B, program string, one int) {
	n := keys() / 8 * one
	s := servers.Redis(b, servers.Default(b), servers.Options{})
	c := redis.NewClient(&redis.Options{Addr: s.Addr, ReadTimeout: time.Minute})
	b.Cleanup(func() { c.Close() })
	const script = `for i=ARGV[1],ARGV[2] do
		if i % ARGV[3] == 0 then
			local parts = {}
			for k=1,16 do parts[k] = redis.sha1hex(i * 16 + k) .. "abcdefghijklmnopqrstuvwx" end
			redis.call("set", "doomed:"..i, table.concat(parts), "ex", 3600 + i)
		else redis.call("set", "kept:"..i, "x") end end`
	fill := func() {
		for from := 0; from < n; from += 20_000 {
			if err := c.Eval(context.Background(), script, nil, from, min(from+20_000, n)-1, one).Err(); err != nil && err != redis.Nil {
				b.Fatal(err)
			}
		}
	}
	rm := []string{"rm", "doomed:*", "-t", "redis://" + s.Addr, "--yes", "--pace", "max", "-q", "--journal", "none"}
	var backed, plain []figure
	var reading float64 // what it costs the server to bring the values alone
	for i := range b.N {
		fill()
		reading += walk(b, c, true) - walk(b, c, false)
		plain = append(plain, run(b, c, []string{program}, rm...))
		fill()
		file := filepath.Join(b.TempDir(), "run.backup")
		backed = append(backed, run(b, c, []string{program}, append(rm[:len(rm):len(rm)], "--backup", file)...))
		if left := c.DBSize(context.Background()).Val(); left != int64(n-(n+one-1)/one) {
			b.Fatalf("run %d: %d keys are left of %d", i, left, n)
		}
	}
	report(b, "plain", backed, plain)
	deleting := 0.0
	for _, f := range plain {
		deleting += f.server
	}
	b.Logf("server-cpu limit: to bring the values (MGET) and delete, and nothing else, would be %.2f times plain", (deleting+reading)/deleting)
}

// walk is what a walk over the keyspace costs the server, with the values of what it
// finds, or without.
func walk(b *testing.B, c *redis.Client, values bool) float64 {
	b.Helper()
	before := serverCPU(b, c)
	for cursor, first := uint64(0), true; cursor != 0 || first; first = false {
		var found []string
		var err error
		if found, cursor, err = c.Scan(context.Background(), cursor, "doomed:*", 500).Result(); err == nil && values && len(found) > 0 {
			err = c.MGet(context.Background(), found...).Err()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	return serverCPU(b, c) - before
}

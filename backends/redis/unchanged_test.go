package redis

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// seen walks with guards, and fails where a key has none.
func seen(t *testing.T, b backends.Backend) iter.Seq2[backends.Page, error] {
	t.Helper()
	var all []backends.Page
	for page, err := range b.(backends.Scanner).Scan(t.Context(), backends.Query{Want: backends.FactGuard}) {
		must(t, err)
		for _, e := range page.Entries {
			if !e.Have.Has(backends.FactGuard) || e.Guard == "" {
				t.Errorf("%q came without a guard", e.Key)
			}
		}
		page.Entries = slices.Clone(page.Entries)
		all = append(all, page)
	}
	return func(yield func(backends.Page, error) bool) {
		for _, page := range all {
			if !yield(page, nil) {
				return
			}
		}
	}
}

// One key of each type, and how it is changed and made as it was.
var kinds = map[string]struct {
	make   func(c *goredis.Client, key string)
	change func(c *goredis.Client, key string)
}{
	"string": {
		func(c *goredis.Client, key string) { c.Set(context.Background(), key, "value\x00\r\n", 0) },
		func(c *goredis.Client, key string) { c.Append(context.Background(), key, "x") },
	},
	"long string": {
		func(c *goredis.Client, key string) {
			c.Set(context.Background(), key, strings.Repeat("long", 5000), 0)
		},
		func(c *goredis.Client, key string) { c.SetRange(context.Background(), key, 17_000, "X") },
	},
	"number": {
		func(c *goredis.Client, key string) { c.Set(context.Background(), key, "41", 0) },
		func(c *goredis.Client, key string) { c.Incr(context.Background(), key) },
	},
	"empty": {
		func(c *goredis.Client, key string) { c.Set(context.Background(), key, "", 0) },
		func(c *goredis.Client, key string) { c.Append(context.Background(), key, "x") },
	},
	"list": {
		func(c *goredis.Client, key string) { c.RPush(context.Background(), key, "a", "b", "c") },
		func(c *goredis.Client, key string) { c.RPush(context.Background(), key, "d") },
	},
	"hash": {
		func(c *goredis.Client, key string) { c.HSet(context.Background(), key, "f", "1", "g", "2") },
		func(c *goredis.Client, key string) { c.HIncrBy(context.Background(), key, "f", 1) },
	},
	"set": {
		func(c *goredis.Client, key string) { c.SAdd(context.Background(), key, "m", "n") },
		func(c *goredis.Client, key string) { c.SRem(context.Background(), key, "m") },
	},
	"zset": {
		func(c *goredis.Client, key string) {
			c.ZAdd(context.Background(), key, goredis.Z{Score: 1, Member: "m"})
		},
		func(c *goredis.Client, key string) { c.ZIncrBy(context.Background(), key, 0.5, "m") },
	},
	"stream": {
		func(c *goredis.Client, key string) { c.Do(context.Background(), "xadd", key, "1-1", "f", "v") },
		func(c *goredis.Client, key string) { c.Do(context.Background(), "xadd", key, "2-1", "f", "v") },
	},
}

// TestGuards changes keys of all types in all ways between seeing and deleting.
func TestGuards(t *testing.T) {
	versions := servers.Redises(t)
	for _, v := range versions {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			testGuards(t, servers.Redis(t, v, servers.Options{}).Addr)
		})
	}
	if addr := os.Getenv("CACHECTL_GUARD_ADDR"); addr != "" { // an empty server of a version that is not fetched
		t.Run(addr, func(t *testing.T) { testGuards(t, addr) })
	}
}

func testGuards(t *testing.T, addr string) {
	c := goredis.NewClient(&goredis.Options{Addr: addr})
	t.Cleanup(func() { c.Close() })
	must(t, c.FlushDB(t.Context()).Err())
	ways := map[string]struct {
		do   func(c *goredis.Client, key string)
		want backends.Verb
	}{
		"left alone":         {func(*goredis.Client, string) {}, backends.Deleted},
		"given another TTL":  {func(c *goredis.Client, key string) { c.Expire(context.Background(), key, time.Hour) }, backends.Deleted},
		"deleted":            {func(c *goredis.Client, key string) { c.Del(context.Background(), key) }, backends.Gone},
		"expired":            {func(c *goredis.Client, key string) { c.PExpire(context.Background(), key, time.Millisecond) }, backends.Gone},
		"of another type":    {func(c *goredis.Client, key string) { c.Del(context.Background(), key); retype(c, key) }, backends.Kept},
		"deleted and remade": {nil, backends.Deleted},
		"changed":            {nil, backends.Kept},
	}
	for kind, of := range kinds {
		for way := range ways {
			of.make(c, kind+", "+way)
		}
	}
	b := openURL(t, "redis://"+addr)
	pages := seen(t, b)
	for kind, of := range kinds {
		for way, is := range ways {
			key := kind + ", " + way
			switch way {
			case "deleted and remade":
				c.Del(t.Context(), key)
				of.make(c, key)
			case "changed":
				of.change(c, key)
			default:
				is.do(c, key)
			}
		}
	}
	time.Sleep(5 * time.Millisecond)
	r := removed(t, b.(backends.Deleter).Delete(t.Context(), pages), nil)
	if r.end != nil || len(r.outcomes) != len(kinds)*len(ways) {
		t.Errorf("%v", r)
	}
	for kind := range kinds {
		for way, is := range ways {
			key := kind + ", " + way
			did, err := r.verb(key)
			there := c.Exists(t.Context(), key).Val() == 1
			if did != is.want || there != (is.want == backends.Kept) {
				t.Errorf("%s: %s (%v), there: %v; want %s", key, did, err, there, is.want)
			}
		}
	}
}

// retype makes a key of a type that it has not been.
func retype(c *goredis.Client, key string) {
	if strings.HasPrefix(key, "list") {
		c.Set(context.Background(), key, "v", 0)
	} else {
		c.RPush(context.Background(), key, "x")
	}
}

// TestGuardForbidden: who may not run scripts gets no guard, and is told so; a
// key that has one is never deleted without it.
func TestGuardForbidden(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{ACL: []string{"user app on >secret ~* +@all -eval", "user all on >secret ~* +@all"}})
	keys := write(t, raw(t, s), "k", 100)
	b := openURL(t, "redis://app:secret@"+s.Addr)
	guards, notices := 0, 0
	for page, err := range b.(backends.Scanner).Scan(t.Context(), backends.Query{Want: backends.FactGuard}) {
		if notice, ok := err.(*backends.Notice); ok && notice.Facts.Has(backends.FactGuard) {
			notices++
		} else {
			must(t, err)
		}
		for _, e := range page.Entries {
			if e.Have.Has(backends.FactGuard) {
				guards++
			}
		}
	}
	if guards != 0 || notices != 1 {
		t.Errorf("%d guards, %d notices; want none and one", guards, notices)
	}
	pages := seen(t, openURL(t, "redis://all:secret@"+s.Addr))
	r := removed(t, b.(backends.Deleter).Delete(t.Context(), pages), nil)
	if r.want(t, 0, 0, 0, 100); r.end == nil || left(t, raw(t, s), keys) != 100 {
		t.Errorf("%v; %d left", r, left(t, raw(t, s), keys))
	}
}

// TestGuardWithoutUnlink: the script removes by DEL where UNLINK is not to be had,
// and keys of others fail by themselves.
func TestGuardWithoutUnlink(t *testing.T) {
	for _, v := range servers.Redises(t) {
		for name, o := range map[string]servers.Options{
			"renamed":   {Args: []string{"--rename-command", "UNLINK", ""}, ACL: []string{"user app on >secret %RW~k* %R~* +@all"}},
			"forbidden": {ACL: []string{"user app on >secret %RW~k* %R~* +@all -unlink"}},
		} {
			t.Run(v.Name+"/"+name, func(t *testing.T) {
				s := servers.Redis(t, v, o)
				write(t, raw(t, s), "k", 100)
				b := openURL(t, "redis://app:secret@"+s.Addr)
				r := removed(t, b.(backends.Deleter).Delete(t.Context(), seen(t, b)), nil)
				if r.want(t, 100, 0, 0, 0); r.end != nil || len(r.notices) != 1 {
					t.Errorf("%v", r)
				}
			})
		}
	}
}

// A newerServer is one fake key by key: DIGEST and DELEX as Redis 8.4 has them
// (redis.io: 1 deleted, 0 absent or another; on other types an error that is not
// WRONGTYPE), GET and DELIFEQ as Valkey 9 has them (seen: WRONGTYPE).
type newerServer struct {
	mu     sync.Mutex
	values map[string]string // "list" stands for a list
	ran    map[string]int
}

func (n *newerServer) answer(args []string, conn net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	name := strings.ToLower(args[0])
	n.ran[name]++
	value, there := "", false
	if len(args) > 1 {
		value, there = n.values[args[1]]
	}
	digest := fmt.Sprintf("%016x", len(value)*31+7)
	answer := "-ERR unknown command '" + name + "'\r\n"
	switch {
	case name == "scan":
		answer = fmt.Sprintf("*2\r\n$1\r\n0\r\n*%d\r\n", len(n.values))
		for key := range n.values {
			answer += fmt.Sprintf("$%d\r\n%s\r\n", len(key), key)
		}
	case name == "type" && value == "list":
		answer = "+list\r\n"
	case name == "type":
		answer = "+string\r\n"
	case name == "memory":
		answer = ":60\r\n"
	case name == "exists":
		answer = ":0\r\n"
		if there {
			answer = ":1\r\n"
		}
	case value == "list" && name == "delex":
		answer = "-ERR Key should be of string type if conditions are specified\r\n"
	case value == "list" && (name == "digest" || name == "get" || name == "delifeq"):
		answer = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
	case !there && (name == "digest" || name == "get"):
		answer = "$-1\r\n"
	case name == "digest":
		answer = "$16\r\n" + digest + "\r\n"
	case name == "get":
		answer = fmt.Sprintf("$%d\r\n%s\r\n", len(value), value)
	case name == "delex" && (args[2] != "ifdeq" || len(args[3]) != 16):
		answer = "-ERR must be exactly 16 hexadecimal characters\r\n"
	case name == "delex" && there && args[3] == digest, name == "delifeq" && there && args[2] == value:
		delete(n.values, args[1])
		answer = ":1\r\n"
	case name == "delex", name == "delifeq":
		answer = ":0\r\n"
	}
	_, err := io.WriteString(conn, answer)
	return err == nil
}

// TestGuardsOfNewerServers: compare and delete where the server has it.
func TestGuardsOfNewerServers(t *testing.T) {
	for command, info := range map[string]string{
		"delex":   "redis_version:8.4.0\r\nredis_mode:standalone\r\n",
		"delifeq": "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.0.1\r\nserver_mode:standalone\r\n",
	} {
		t.Run(command, func(t *testing.T) {
			fake := &newerServer{values: make(map[string]string), ran: make(map[string]int)}
			for i := range 200 {
				fake.values[fmt.Sprintf("k%03d", i)] = "v"
			}
			b := openURL(t, "redis://"+removing(t, info, fake.answer)+"?timeout=1s")
			pages := seen(t, b)
			fake.mu.Lock()
			fake.values["k000"], fake.values["k001"] = "another", "list"
			delete(fake.values, "k002")
			fake.mu.Unlock()
			r := removed(t, b.(backends.Deleter).Delete(t.Context(), pages), nil)
			if r.want(t, 197, 1, 2, 0); r.end != nil {
				t.Errorf("%v", r)
			}
			for key, want := range map[string]backends.Verb{"k000": backends.Kept, "k001": backends.Kept, "k002": backends.Gone} {
				if did, _ := r.verb(key); did != want {
					t.Errorf("%s: %s, want %s", key, did, want)
				}
			}
			if len(fake.values) != 2 || fake.ran[command] != 200 || fake.ran["eval"]+fake.ran["unlink"] > 0 {
				t.Errorf("%d are left; ran %v", len(fake.values), fake.ran)
			}
		})
	}
}

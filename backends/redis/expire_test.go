package redis

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// give makes every key expire after ttl.
func give(t *testing.T, b backends.Backend, keys []string, ttl time.Duration, only backends.Condition, page int) removal {
	t.Helper()
	pages := backends.Where(backends.Pages(func(yield func(string) bool) {
		for _, key := range keys {
			if !yield(key) {
				return
			}
		}
	}, page), func(e *backends.Entry) bool { e.TTL = ttl; return true })
	return removed(t, b.(backends.Expirer).Expire(t.Context(), pages, only), nil)
}

// An ageing is a proxy in front of a server, which makes its PEXPIRE one of before
// Redis 7.0: what stands behind the TTL is too much. hook sees every command, and may
// end the connection.
func ageing(t *testing.T, s *servers.Server, hook func(command []string) bool) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", s.Addr)
			if err != nil {
				client.Close()
				return
			}
			go func() { io.Copy(client, server); client.Close() }()
			go func() {
				defer server.Close()
				for in := bufio.NewReader(client); ; {
					command, err := readCommand(in)
					if err != nil || hook != nil && !hook(command) {
						return
					}
					if strings.EqualFold(command[0], "pexpire") && len(command) > 3 {
						command = command[:2] // the server itself says what is wrong
					}
					fmt.Fprintf(server, "*%d\r\n", len(command))
					for _, arg := range command {
						fmt.Fprintf(server, "$%d\r\n%s\r\n", len(arg), arg)
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// TestExpireOnOldServers: before Redis 7.0 a script compares, with the same outcome.
func TestExpireOnOldServers(t *testing.T) {
	for _, v := range servers.Redises(t) {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			s := servers.Redis(t, v, servers.Options{})
			c := raw(t, s)
			b := openURL(t, "redis://"+ageing(t, s, nil))
			for only, want := range map[backends.Condition][3]backends.Verb{
				backends.Always:      {backends.Changed, backends.Changed, backends.Changed},
				backends.OnlyMissing: {backends.Changed, backends.Kept, backends.Kept},
				backends.OnlyShorten: {backends.Changed, backends.Kept, backends.Changed},
				backends.OnlyExtend:  {backends.Kept, backends.Changed, backends.Kept},
			} {
				var keys []string
				had := []time.Duration{0, 100 * time.Second, 10_000 * time.Second}
				for i, ttl := range had {
					for n := range 100 {
						keys = append(keys, fmt.Sprintf("k:%d:%d", i, n))
						must(t, c.Set(t.Context(), keys[len(keys)-1], "v", ttl).Err())
					}
				}
				r := give(t, b, append(keys, "not there"), 1000*time.Second, only, 40)
				if r.end != nil || len(r.outcomes) != 301 || r.outcomes[300].Did != backends.Gone {
					t.Errorf("%q: %v", only, r)
				}
				for n, o := range r.outcomes[:300] {
					if o.Did != want[n/100] {
						t.Errorf("%q: %s: %s (%v), want %s", only, o.Key, o.Did, o.Err, want[n/100])
						break
					}
					ttl := c.PTTL(t.Context(), o.Key).Val()
					if (o.Did == backends.Changed) != (ttl > 900*time.Second && ttl <= 1000*time.Second) {
						t.Errorf("%q: %s: %s and has %v", only, o.Key, o.Did, ttl)
					}
				}
				if scripted := len(r.notices) == 1; scripted != (only != backends.Always) {
					t.Errorf("%q: notices %v", only, r.notices)
				}
			}
		})
	}
}

// TestExpireForbidden: nothing changes, and the error says why. Where only some keys
// are forbidden, each of these fails by itself.
func TestExpireForbidden(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{ACL: []string{
		"user app on >secret ~* +@all -pexpire", "user old on >secret ~* +@all -eval", "user mine on >secret ~mine:* +@all"}})
	keys := append(write(t, raw(t, s), "k", 100), write(t, raw(t, s), "mine:", 100)...)
	r := give(t, openURL(t, "redis://app:secret@"+s.Addr), keys, time.Hour, backends.Always, 10)
	if !errors.Is(r.end, backends.ErrDenied) || r.did[backends.Failed] != len(r.outcomes) || len(r.outcomes) == 0 {
		t.Errorf("%v; want ErrDenied and all failed", r)
	}
	r = give(t, openURL(t, "redis://old:secret@"+ageing(t, s, nil)), keys, time.Hour, backends.OnlyMissing, 10)
	if !errors.Is(r.end, backends.ErrDenied) || !strings.Contains(r.end.Error(), "Redis 7.0") || len(r.notices) > 0 {
		t.Errorf("%v; want ErrDenied and what it takes", r)
	}
	for _, key := range keys {
		if ttl := raw(t, s).PTTL(t.Context(), key).Val(); ttl != -1 {
			t.Fatalf("%s has %v", key, ttl)
		}
	}
	r = give(t, openURL(t, "redis://mine:secret@"+s.Addr), keys, time.Hour, backends.OnlyMissing, 10)
	if r.did[backends.Changed] != 100 || r.did[backends.Failed] != 100 || r.end != nil {
		t.Errorf("%v; want 100 changed, 100 failed", r)
	}
}

// TestExpireOverBrokenConnections: what was not answered is sent again.
func TestExpireOverBrokenConnections(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{})
	keys := write(t, raw(t, s), "k", 2000)
	var n atomic.Int64
	b := openURL(t, "redis://"+ageing(t, s, func(command []string) bool {
		return !strings.EqualFold(command[0], "pexpire") || n.Add(1)%501 != 0
	}))
	r := give(t, b, keys, time.Hour, backends.Always, 100)
	if r.did[backends.Changed] != len(keys) || r.end != nil || n.Load() <= int64(len(keys)) {
		t.Errorf("%v after %d commands; want all changed, some of them twice", r, n.Load())
	}
	for _, key := range keys {
		if ttl := raw(t, s).PTTL(t.Context(), key).Val(); ttl < time.Minute {
			t.Fatalf("%s has %v", key, ttl)
		}
	}
}

// TestExpireWhileASlotMoves: keys on both sides of a slot in migration get their TTL.
func TestExpireWhileASlotMoves(t *testing.T) {
	t.Parallel()
	c := newCluster(t, servers.Default(t), 0)
	const tag = "{x}"
	slot := slotOf(tag)
	keys := write(t, c.whole, tag, 300)
	b := openURL(t, c.target)
	c.open(t, slot, 2, 1)
	c.carry(t, 2, 1, keys[:150]...)
	check := func(when string, ttl time.Duration, only backends.Condition, want backends.Verb) {
		t.Helper()
		r := give(t, b, keys, ttl, only, 40)
		if r.did[want] != len(keys) || r.end != nil || len(r.lost) > 0 {
			t.Errorf("%s: %v, want all %s", when, r, want)
		}
	}
	check("half moved", time.Hour, backends.OnlyMissing, backends.Changed)
	check("half moved, again", time.Minute, backends.OnlyMissing, backends.Kept)
	c.carry(t, 2, 1, keys[150:]...)
	c.settle(t, slot, 1)
	check("moved", time.Minute, backends.OnlyShorten, backends.Changed)
	check("moved", backends.NoTTL, backends.Always, backends.Changed)
	check("moved, again", backends.NoTTL, backends.Always, backends.Kept)
}

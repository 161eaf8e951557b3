package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// scanned reads a whole scan and sorts what it brought.
func scanned(t *testing.T, b backends.Backend, q backends.Query) (entries []backends.Entry, notices []string, lost []error) {
	t.Helper()
	for page, err := range b.(backends.Scanner).Scan(t.Context(), q) {
		var notice *backends.Notice
		switch {
		case errors.As(err, &notice):
			notices = append(notices, notice.What)
		case err != nil:
			lost = append(lost, err)
		}
		entries = append(entries, page.Entries...)
	}
	return entries, notices, lost
}

func TestForbiddenCommandsCostTheirFactOnly(t *testing.T) {
	for _, v := range servers.Redises(t) {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			s := servers.Redis(t, v, servers.Options{ACL: []string{
				"user app on >secret ~* +@all -memory -object -type -info -client -ping",
			}})
			c := raw(t, s)
			for i := range 50 {
				c.Set(context.Background(), fmt.Sprintf("k%d", i), "v", time.Hour)
			}
			b := openURL(t, "redis://app:secret@"+s.Addr)
			entries, notices, lost := scanned(t, b, backends.Query{Want: backends.AllFacts, Count: 10})
			if len(lost) > 0 || len(entries) != 50 {
				t.Fatalf("%d entries, errors %v; want 50 and none", len(entries), lost)
			}
			for _, e := range entries {
				if e.Have != backends.FactTTL || e.TTL < 59*time.Minute {
					t.Fatalf("%s: have %v, TTL %v; want the TTL only", e.Key, e.Have, e.TTL)
				}
			}
			slices.Sort(notices)
			want := []string{"encoding is unknown", "freq is unknown", "idle is unknown", "size is unknown", "the server's version and policy are unknown", "type is unknown"}
			if !slices.Equal(notices, want) {
				t.Errorf("notices %q, want each of %q once", notices, want)
			}
			value, err := b.(backends.Reader).Read(t.Context(), "k1", backends.Window{})
			if err != nil || value.Opaque == "" {
				t.Errorf("Read = %+v, %v; want an opaque value and no error", value, err)
			}
			stats, err := b.(backends.StatsReader).Stats(t.Context())
			if err != nil || len(stats) != 1 || len(stats[0].Counts) != 0 {
				t.Errorf("Stats = %+v, %v; want one node that tells nothing", stats, err)
			}
		})
	}
}

func TestForbiddenScanIsDenied(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{ACL: []string{"user app on >secret ~* +@all -scan"}})
	_, _, lost := scanned(t, openURL(t, "redis://app:secret@"+s.Addr), backends.Query{})
	if len(lost) != 1 || !errors.Is(lost[0], backends.ErrDenied) {
		t.Errorf("errors %v, want ErrDenied", lost)
	}
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	open := servers.Redis(t, servers.Default(t), servers.Options{})
	locked := servers.Redis(t, servers.Default(t), servers.Options{Password: "right"})
	secure := servers.Redis(t, servers.Default(t), servers.Options{TLS: true})
	mute := servers.Redis(t, servers.Default(t), servers.Options{Args: []string{"--rename-command", "AUTH", "", "--rename-command", "HELLO", ""}})
	for name, c := range map[string]struct {
		url  string
		want error
	}{
		"refused":            {"redis://127.0.0.1:1", backends.ErrUnreachable},
		"no password":        {"redis://" + locked.Addr, backends.ErrAuth},
		"wrong password":     {"redis://:secret@" + locked.Addr, backends.ErrAuth},
		"no AUTH command":    {"redis://app:secret@" + mute.Addr, backends.ErrAuth},
		"wrong user":         {"redis://nobody:secret@" + locked.Addr, backends.ErrAuth},
		"unknown authority":  {"rediss://" + secure.Addr, backends.ErrUnreachable},
		"plain to TLS":       {"redis://" + secure.Addr, backends.ErrUnreachable},
		"TLS to plain":       {"rediss://" + open.Addr, backends.ErrUnreachable},
		"not a cluster":      {"redis+cluster://" + open.Addr, nil},
		"no sentinel there":  {"redis+sentinel://mymaster@127.0.0.1:1", backends.ErrUnreachable},
		"cluster, all gone":  {"redis+cluster://127.0.0.1:1,127.0.0.1:2", backends.ErrUnreachable},
		"bad port":           {"redis://host:99999", backends.ErrURL},
		"bad database":       {"redis://host/x", backends.ErrURL},
		"unknown parameter":  {"redis://host?tls=1", backends.ErrURL},
		"tls without s":      {"redis://host?tls_ca=x", backends.ErrURL},
		"key without cert":   {"rediss://host?tls_key=x", backends.ErrURL},
		"no such authority":  {"rediss://host?tls_ca=/does/not/exist", backends.ErrURL},
		"sentinel, no name":  {"redis+sentinel://host", backends.ErrURL},
		"several for single": {"redis://a,b", backends.ErrURL},
		"database, cluster":  {"redis+cluster://a/1", backends.ErrURL},
		"bad read":           {"redis://a?read=slave", backends.ErrURL},
		"bad timeout":        {"redis://a?timeout=soon", backends.ErrURL},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // some wait for a timeout
			start := time.Now()
			b, err := Open(t.Context(), parsed(t, c.url))
			if err == nil {
				b.Close()
				t.Fatal("no error")
			}
			if c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error repeats the password: %v", err)
			}
			if d := time.Since(start); d > 30*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

func TestSkipVerify(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{TLS: true})
	openURL(t, "rediss://"+s.Addr+"?tls_skip_verify=true&tls_cert="+s.Cert+"&tls_key="+s.Key)
}

func TestIdleAndFreqFollowThePolicy(t *testing.T) {
	for policy, want := range map[string]backends.Facts{"allkeys-lru": backends.FactIdle, "allkeys-lfu": backends.FactFreq} {
		s := servers.Redis(t, servers.Default(t), servers.Options{Args: []string{"--maxmemory-policy", policy}})
		c := raw(t, s)
		c.Set(t.Context(), "k", "v", 0)
		b := openURL(t, "redis://"+s.Addr)
		entries, notices, _ := scanned(t, b, backends.Query{Want: backends.FactIdle | backends.FactFreq})
		if len(entries) != 1 || entries[0].Have != want || len(notices) != 1 {
			t.Errorf("%s: %+v, notices %q, want %v and one notice", policy, entries, notices, want)
		}
		// The fact that the policy rules out was not even asked for.
		if info := c.Info(t.Context(), "errorstats").Val(); strings.Contains(info, "errorstat_ERR:count=2") {
			t.Errorf("%s: errors on the server: %s", policy, info)
		}
	}
}

// TestLookingTouchesNothing holds every kind of look against the server's idle
// time: it must go on growing.
func TestLookingTouchesNothing(t *testing.T) {
	for _, v := range servers.Redises(t) {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			s := servers.Redis(t, v, servers.Options{})
			c := raw(t, s)
			c.Set(t.Context(), "k", strings.Repeat("v", 1000), 0)
			c.RPush(t.Context(), "l", "a", "b")
			time.Sleep(2200 * time.Millisecond) // the idle clock has whole seconds
			b := openURL(t, "redis://"+s.Addr)
			scanned(t, b, backends.Query{Want: backends.AllFacts &^ backends.FactElements})
			touched := false
			for _, key := range []string{"k", "l"} {
				value, err := b.(backends.Reader).Read(t.Context(), key, backends.Window{})
				if err != nil {
					t.Fatal(err)
				}
				touched = value.Touched
			}
			idle := c.ObjectIdleTime(t.Context(), "k").Val()
			if touched != (idle < 2*time.Second) {
				t.Errorf("idle %v after the look, and Value.Touched is %v", idle, touched)
			}
			if !touched && v.Name == "redis-7.0" || touched && v.Name != "redis-7.0" {
				t.Errorf("Touched is %v on %s", touched, v.Name)
			}
		})
	}
}

func TestReadEveryType(t *testing.T) {
	for _, v := range servers.Redises(t) {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			readEveryType(t, v)
		})
	}
}

func readEveryType(t *testing.T, v servers.Version) {
	ctx := t.Context()
	s := servers.Redis(t, v, servers.Options{})
	c := raw(t, s)
	big := make([]any, 0, 10_000)
	for i := range 5000 {
		big = append(big, fmt.Sprintf("field%05d", i), "x")
	}
	c.HSet(ctx, "hash", "a\x00b", "1\xff", "c", "2")
	c.HSet(ctx, "hash:big", big...)
	c.RPush(ctx, "list", "x", "y\n", "z")
	c.SAdd(ctx, "set", "m1", "m2")
	c.SAdd(ctx, "set:big", big...)
	c.ZAdd(ctx, "zset", goredis.Z{Score: 1.5, Member: "low"}, goredis.Z{Score: 1e300, Member: "high"})
	c.Do(ctx, "xadd", "stream", "1-1", "f", "1", "f", "2")
	c.PFAdd(ctx, "hll", "a", "b", "c")
	b := openURL(t, "redis://"+s.Addr).(backends.Reader)
	read := func(key string, w backends.Window) backends.Value {
		t.Helper()
		value, err := b.Read(ctx, key, w)
		if err != nil {
			t.Fatal(err)
		}
		if kind := strings.Split(key, ":")[0]; kind != "hll" && value.Type != kind {
			t.Errorf("%s has type %s", key, value.Type)
		}
		return value
	}
	hash := read("hash", backends.Window{})
	slices.SortFunc(hash.Elements, func(a, b backends.Element) int { return strings.Compare(string(a.Name), string(b.Name)) })
	if len(hash.Elements) != 2 || string(hash.Elements[0].Name) != "a\x00b" || string(hash.Elements[0].Value) != "1\xff" || !hash.Whole() {
		t.Errorf("hash: %+v", hash.Elements)
	}
	if e := read("list", backends.Window{Elements: 2}); len(e.Elements) != 2 || string(e.Elements[1].Value) != "y\n" || e.Total != 3 || e.Whole() {
		t.Errorf("list: %+v", e)
	}
	if e := read("zset", backends.Window{}); len(e.Elements) != 2 || e.Elements[0].Score != 1.5 || e.Elements[1].Score != 1e300 {
		t.Errorf("zset: %+v", e.Elements)
	}
	if e := read("stream", backends.Window{}); len(e.Elements) != 1 || string(e.Elements[0].Name) != "1-1" || len(e.Elements[0].Pairs) != 2 || string(e.Elements[0].Pairs[1][1]) != "2" {
		t.Errorf("stream: %+v", e.Elements)
	}
	for _, key := range []string{"hash:big", "set:big"} {
		if e := read(key, backends.Window{}); len(e.Elements) < 100 || len(e.Elements) > 300 || e.Whole() {
			t.Errorf("%s: %d of %d elements in the window, want about 100", key, len(e.Elements), e.Total)
		}
		if e := read(key, backends.Window{All: true}); int64(len(e.Elements)) != e.Total || !e.Whole() {
			t.Errorf("%s: %d of %d elements", key, len(e.Elements), e.Total)
		}
	}
	if v.Software == "redis" && v.Name != "redis-7.0" {
		c.HPExpire(ctx, "hash", time.Hour, "c")
		again := openURL(t, "redis://"+s.Addr).(backends.Reader)
		value, err := again.Read(ctx, "hash", backends.Window{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range value.Elements {
			if (e.TTL > 59*time.Minute) != (string(e.Name) == "c") {
				t.Errorf("field %q has TTL %v", e.Name, e.TTL)
			}
		}
	}
	if info := c.Info(ctx, "errorstats").Val(); strings.Contains(info, "WRONGTYPE") {
		t.Errorf("reading made errors on the server: %s", info)
	}
}

func TestGetOfAnotherType(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{})
	raw(t, s).RPush(t.Context(), "list", "x")
	if _, err := openURL(t, "redis://"+s.Addr).(backends.Store).Get(t.Context(), "list"); !errors.Is(err, backends.ErrWrongType) {
		t.Errorf("error %v, want ErrWrongType", err)
	}
}

// fill writes n keys.
func fill(t *testing.T, c goredis.UniversalClient, n int) {
	t.Helper()
	pipe := c.Pipeline()
	for i := range n {
		pipe.Set(t.Context(), fmt.Sprintf("fill:%06d", i), "v", 0)
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestTypeFilter(t *testing.T) {
	for _, v := range servers.Redises(t) {
		s := servers.Redis(t, v, servers.Options{})
		c := raw(t, s)
		fill(t, c, 100)
		c.RPush(t.Context(), "list", "x")
		entries, _, lost := scanned(t, openURL(t, "redis://"+s.Addr), backends.Query{Type: "list", Want: backends.FactType | backends.FactTTL})
		if len(entries) != 1 || entries[0].Type != "list" || !entries[0].Have.Has(backends.FactType) || len(lost) > 0 {
			t.Errorf("%s: %+v, %v", v.Name, entries, lost)
		}
	}
}

// TestProgressIsTrue: the share that is told comes near the share of keys seen.
func TestProgressIsTrue(t *testing.T) {
	for _, v := range servers.Redises(t) {
		s := servers.Redis(t, v, servers.Options{})
		fill(t, raw(t, s), 20_000)
		seen := 0
		for page, err := range openURL(t, "redis://"+s.Addr).(backends.Scanner).Scan(t.Context(), backends.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			seen += len(page.Entries)
			if share := float64(seen) / 20_000; page.Done < share-0.05 || page.Done > share+0.05 {
				t.Errorf("%s: Done is %.3f with %.3f of the keys seen", v.Name, page.Done, share)
			}
		}
	}
}

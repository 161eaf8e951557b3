package redis

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// TestSlotOf asks a server for the slots of thousands of odd keys.
func TestSlotOf(t *testing.T) {
	keys := []string{"", "{", "}", "{}", "}{", "{}{a}", "{{}", "{{a}}", "a{b}c", "a{b}c{d}", "a{}b{c}", "a{b", "a}b{c}d", "{a}{b}", "{\x00}x", "{\n}", "foo{{bar}}zap", strings.Repeat("k", 100_000)}
	random := rand.New(rand.NewPCG(3, 4))
	alphabet := "{}{}ab:\x00\xff\n é"
	for range 20_000 {
		key := make([]byte, random.IntN(12))
		for i := range key {
			if key[i] = byte(random.IntN(256)); random.IntN(3) > 0 {
				key[i] = alphabet[random.IntN(len(alphabet))]
			}
		}
		keys = append(keys, string(key))
	}
	c := raw(t, servers.Redis(t, servers.Default(t), servers.Options{Args: []string{"--cluster-enabled", "yes"}}))
	pipe := c.Pipeline()
	for _, key := range keys {
		pipe.ClusterKeySlot(t.Context(), key)
	}
	cmds, err := pipe.Exec(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, cmd := range cmds {
		if want := cmd.(*goredis.IntCmd).Val(); slotOf(keys[i]) != int(want) {
			t.Errorf("slot of %.40q: %d, the server says %d", keys[i], slotOf(keys[i]), want)
		}
	}
}

// TestUnlinkNotToBeHad: DEL takes its place, one notice says so, nothing is lost.
func TestUnlinkNotToBeHad(t *testing.T) {
	for _, v := range servers.Redises(t) {
		for name, o := range map[string]servers.Options{
			"renamed":   {Args: []string{"--rename-command", "UNLINK", ""}},
			"forbidden": {ACL: []string{"user app on >secret ~* +@all -unlink"}},
		} {
			t.Run(v.Name+"/"+name, func(t *testing.T) {
				t.Parallel()
				s := servers.Redis(t, v, o)
				keys := write(t, raw(t, s), "k", 1000)
				target := "redis://" + s.Addr
				if o.ACL != nil {
					target = "redis://app:secret@" + s.Addr
				}
				b := openURL(t, target)
				r := remove(t, b, append(keys, "not there"), 100)
				r.want(t, 1000, 1, 0, 0)
				if len(r.notices) != 1 || !strings.Contains(r.notices[0].What, "DEL") || r.end != nil {
					t.Errorf("%v %v; want one notice about DEL", r.notices, r.end)
				}
				if n := raw(t, s).DBSize(t.Context()).Val(); n != 0 {
					t.Errorf("%d keys are left", n)
				}
				// Two pages were under way when the first refusal came; the others did not try again.
				if n := calls(t, raw(t, s), "del"); n > 300 {
					t.Errorf("%d DELs for 11 pages", n)
				}
			})
		}
	}
}

// TestAllRemovingForbidden: nothing goes, nothing is told as deleted, and the error says why.
func TestAllRemovingForbidden(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{ACL: []string{"user app on >secret ~* +@all -unlink -del"}})
	keys := write(t, raw(t, s), "k", 1000)
	for _, page := range []int{1, 100, 1000} {
		r := remove(t, openURL(t, "redis://app:secret@"+s.Addr), keys, page)
		if !errors.Is(r.end, backends.ErrDenied) || r.did[backends.Failed] != len(r.outcomes) || len(r.outcomes) < page {
			t.Errorf("pages of %d: %v; want ErrDenied and all failed", page, r)
		}
		if n := left(t, raw(t, s), keys); n != len(keys) {
			t.Errorf("%d of %d keys are left", n, len(keys))
		}
		// What was asked for in vain is bounded.
		if page == 1 && len(r.outcomes) > 3 {
			t.Errorf("%d keys were tried", len(r.outcomes))
		}
	}
}

// TestKeysOfOthers: a user who may write some keys only deletes those, and each
// of the others fails by itself.
func TestKeysOfOthers(t *testing.T) {
	for _, v := range servers.Redises(t) {
		for _, rule := range []string{"~mine:* +@all", "%RW~mine:* %R~* +@all"} {
			s := servers.Redis(t, v, servers.Options{ACL: []string{"user app on >secret " + rule}})
			mine, others := write(t, raw(t, s), "mine:", 300), write(t, raw(t, s), "other:", 300)
			all := slices.Concat(mine, others)
			rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			b := openURL(t, "redis://app:secret@"+s.Addr)
			r := remove(t, b, all, 600)
			r.want(t, 300, 0, 0, 300)
			if r.end != nil || len(r.notices) > 0 {
				t.Errorf("%s: %v", v, r)
			}
			for _, o := range r.outcomes {
				if strings.HasPrefix(o.Key, "mine:") != (o.Did == backends.Deleted) || o.Did == backends.Failed && !errors.Is(o.Err, backends.ErrDenied) {
					t.Errorf("%s: %q: %s, %v", v, o.Key, o.Did, o.Err)
				}
			}
			if n := left(t, raw(t, s), others); n != 300 {
				t.Errorf("%s: %d of the others' keys are left, want all 300", v, n)
			}
		}
	}
}

// TestWritesRefused: a server that takes no writes at the moment ends the run.
func TestWritesRefused(t *testing.T) {
	for name, refuse := range map[string]func(c *goredis.Client){
		"NOREPLICAS": func(c *goredis.Client) { c.ConfigSet(context.Background(), "min-replicas-to-write", "3") },
		"READONLY":   func(c *goredis.Client) { c.Do(context.Background(), "replicaof", "127.0.0.1", "1") },
		"MISCONF": func(c *goredis.Client) {
			c.ConfigSet(context.Background(), "save", "3600 1")
			c.ConfigSet(context.Background(), "dbfilename", "no-such-folder.rdb")
			c.ConfigSet(context.Background(), "rdbcompression", "no")
			c.Do(context.Background(), "debug", "set-disable-deny-scripts", "0")
			c.ConfigSet(context.Background(), "dir", "/proc") // nothing can be saved there
			c.BgSave(context.Background())
			for range 100 {
				if strings.Contains(c.Info(context.Background(), "persistence").Val(), "rdb_last_bgsave_status:err") {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := servers.Redis(t, servers.Default(t), servers.Options{})
			keys := write(t, raw(t, s), "k", 2000)
			b := openURL(t, "redis://"+s.Addr)
			refuse(raw(t, s))
			start := time.Now()
			r := remove(t, b, keys, 100)
			if r.end == nil || !strings.Contains(r.end.Error(), name) {
				t.Errorf("ended by %v, want %s", r.end, name)
			}
			if n := len(r.outcomes); r.did[backends.Failed] != n || n != 200 { // the page that failed, and the one under way
				t.Errorf("%v, want 200 failed", r)
			}
			if d := time.Since(start); d > 30*time.Second {
				t.Errorf("took %v", d)
			}
			if n := left(t, raw(t, s), keys); n != len(keys) {
				t.Errorf("%d of %d keys are left", n, len(keys))
			}
		})
	}
}

// TestOtherDatabasesStay: only the database of the URL is touched, also by what
// goes key by key over other connections.
func TestOtherDatabasesStay(t *testing.T) {
	for _, o := range []servers.Options{{}, {Args: []string{"--rename-command", "UNLINK", ""}}} {
		s := servers.Redis(t, servers.Default(t), o)
		clients := make(map[int]*goredis.Client)
		var keys []string
		for _, db := range []int{0, 3, 4, 15} {
			clients[db] = goredis.NewClient(&goredis.Options{Addr: s.Addr, DB: db})
			t.Cleanup(func() { clients[db].Close() })
			keys = write(t, clients[db], "same:", 500)
		}
		remove(t, openURL(t, "redis://"+s.Addr+"/3"), keys, 100).want(t, 500, 0, 0, 0)
		for db, c := range clients {
			if n := c.DBSize(t.Context()).Val(); (n == 0) != (db == 3) || n%500 != 0 {
				t.Errorf("database %d: %d keys are left", db, n)
			}
		}
	}
}

// TestNamesOfAllSizes: names of 1 byte to 1 MB, odd bytes, twice the same, in one page.
func TestNamesOfAllSizes(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{})
	c := raw(t, s)
	var keys []string
	for size := 1; size <= 1<<20; size *= 2 {
		for i := range 3 {
			key := strings.Repeat(string(rune('a'+i)), size)
			keys = append(keys, key, key[:size-1]+"\r", key[:size-1]+"\x00")
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(append(keys, ""))
	for i, key := range keys {
		if err := c.Set(t.Context(), key, i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	c.Set(t.Context(), "stays", "v", 0)
	there := int(c.DBSize(t.Context()).Val()) - 1
	r := remove(t, openURL(t, "redis://"+s.Addr), slices.Concat(keys, keys), 2*len(keys))
	r.want(t, there, 2*len(keys)-there, 0, 0)
	if names := c.Keys(t.Context(), "*").Val(); !slices.Equal(names, []string{"stays"}) {
		t.Errorf("%d keys are left: %.100q", len(names), names)
	}
}

// TestWritesOfMasterReadsOfReplica: read=replica is about reading.
func TestWritesOfMasterReadsOfReplica(t *testing.T) {
	t.Parallel()
	_, sentinels, nodes := servers.Sentinel(t, servers.Default(t), servers.Options{})
	master, replica := raw(t, nodes[0]), raw(t, nodes[1])
	keys := write(t, master, "k", 500)
	b := openURL(t, "redis+sentinel://mymaster@"+strings.Join(sentinels, ",")+"?read=replica")
	trusted(t, b)
	for name, b := range map[string]backends.Backend{"whole": b, "shard": firstShard(t, b)} {
		write(t, master, "k", 500)
		inStep(t, master)
		walked := make(map[string]bool)
		pages := backends.Observe(b.(backends.Scanner).Scan(t.Context(), backends.Query{Count: 50}), func(p backends.Page) { walked[p.Shard] = true })
		r := removed(t, b.(backends.Deleter).Delete(t.Context(), pages), nil)
		if r.want(t, 500, 0, 0, 0); r.end != nil {
			t.Errorf("%s: %v", name, r)
		}
		if len(walked) != 1 || !walked[nodes[1].Addr] {
			t.Errorf("%s: walked %v, want the replica %s", name, walked, nodes[1].Addr)
		}
		if n := left(t, master, keys); n != 0 {
			t.Errorf("%s: %d keys are left on the master", name, n)
		}
	}
	if calls(t, replica, "scan") == 0 {
		t.Error("the replica was not walked")
	}
}

func firstShard(t *testing.T, b backends.Backend) backends.Backend {
	t.Helper()
	shards, err := b.(backends.Sharder).Shards(t.Context())
	if err != nil || len(shards) == 0 {
		t.Fatalf("%d shards, %v", len(shards), err)
	}
	return shards[0]
}

// TestCancelledAtAnyMoment: what was told as deleted is what has gone.
func TestCancelledAtAnyMoment(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{})
	c := raw(t, s)
	b := openURL(t, "redis://"+s.Addr)
	keys := write(t, c, "k", 20_000)
	remove(t, b, keys[:1], 1) // opens what stays open
	for round := range 50 {
		write(t, c, "k", 20_000)
		before := runtime.NumGoroutine()
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			time.Sleep(time.Duration(rand.IntN(60_000)) * time.Microsecond)
			cancel()
		}()
		var pages iter.Seq2[backends.Page, error]
		if round%2 == 0 {
			pages = b.(backends.Scanner).Scan(ctx, backends.Query{Count: 100})
		} else {
			pages = untilDone(ctx, backends.Pages(slices.Values(keys), 100))
		}
		start := time.Now()
		r := removed(t, b.(backends.Deleter).Delete(ctx, pages), nil)
		cancel()
		if d := time.Since(start); d > grace+10*time.Second {
			t.Errorf("round %d: returned after %v", round, d)
		}
		if r.end != nil && !errors.Is(r.end, context.Canceled) || r.did[backends.Failed] > 0 {
			t.Errorf("round %d: %v", round, r)
		}
		if n := int(c.DBSize(t.Context()).Val()); n+r.did[backends.Deleted] != len(keys) {
			t.Errorf("round %d: %d told as deleted, %d left, of %d", round, r.did[backends.Deleted], n, len(keys))
		}
		for range 100 {
			if runtime.NumGoroutine() <= before {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := runtime.NumGoroutine(); n > before {
			t.Fatalf("round %d: %d goroutines, %d before", round, n, before)
		}
	}
}

// untilDone ends pages with the context's error, as a well-behaved source does.
func untilDone(ctx context.Context, pages iter.Seq2[backends.Page, error]) iter.Seq2[backends.Page, error] {
	return func(yield func(backends.Page, error) bool) {
		for page, err := range pages {
			if ctx.Err() != nil {
				yield(backends.Page{}, ctx.Err())
				return
			}
			if !yield(page, err) {
				return
			}
		}
	}
}

// TestCancelledBesideASilentServer: a server that has stopped answering does not
// hold the user for longer than grace, and its keys are not told as deleted.
func TestCancelledBesideASilentServer(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{})
	keys := write(t, raw(t, s), "k", 1000)
	b := openURL(t, "redis://"+s.Addr+"?timeout=1m")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	start := time.Now()
	r := removed(t, b.(backends.Deleter).Delete(ctx, untilDone(ctx, backends.Pages(slices.Values(keys), 100))), func(results int) {
		if results == 2 {
			s.Pause()
			time.AfterFunc(200*time.Millisecond, cancel)
		}
	})
	took := time.Since(start)
	s.Resume()
	if !errors.Is(r.end, context.Canceled) || took > grace+20*time.Second {
		t.Errorf("%v after %v; want context.Canceled within %v", r.end, took, grace)
	}
	if r.did[backends.Deleted] < 200 || r.did[backends.Failed] == 0 || r.did[backends.Gone] > 0 {
		t.Errorf("%v", r)
	}
}

package redis

import (
	"fmt"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

func exportAll(t *testing.T, b backends.Backend, keys []string) (records []backends.Record) {
	t.Helper()
	for some, err := range b.(backends.Exporter).Export(t.Context(), keys) {
		must(t, err)
		records = append(records, some...)
	}
	return records
}

// contents are digests, but of a sorted set its members: the digest has scores as text,
// which versions write differently.
func contents(t *testing.T, c *goredis.Client, keys []string) map[string]string {
	t.Helper()
	all := digests(t, c, keys)
	members, err := c.ZRangeWithScores(t.Context(), "t:zset", 0, -1).Result()
	must(t, err)
	all["t:zset"] = fmt.Sprint(members)
	return all
}

// TestExportToEveryVersion: values of all types, small and huge, come to servers of all
// versions as they are, by Export; by Dump exactly where Takes says so.
func TestExportToEveryVersion(t *testing.T) {
	all := servers.Redises(t)
	o := servers.Options{Args: []string{"--enable-debug-command", "yes"}}
	var running []*servers.Server
	for _, v := range all {
		running = append(running, servers.Redis(t, v, o))
	}
	expires := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	refused := 0
	for i, from := range running {
		for _, huge := range []int64{hugeValue, 20_000} {
			a, c := openURL(t, "redis://"+from.Addr), raw(t, from)
			a.(*cache).huge = huge
			must(t, c.FlushAll(t.Context()).Err())
			keys := everyType(t, c, 1500)
			for _, key := range keys[:6] {
				c.PExpireAt(t.Context(), key, expires)
			}
			before := contents(t, c, keys)
			format, err := a.(backends.Formatter).Format(t.Context())
			must(t, err)
			records, dumped := exportAll(t, a, keys), dumpAll(t, a, keys)
			for k, to := range running {
				if i == k {
					continue
				}
				name := fmt.Sprintf("%s to %s, huge %d", all[i], all[k], huge)
				b, d := openURL(t, "redis://"+to.Addr), raw(t, to)
				must(t, d.FlushAll(t.Context()).Err())
				exported(t, name, b, d, records, keys, before, expires)
				must(t, d.FlushAll(t.Context()).Err())
				takes, err := b.(backends.Formatter).Takes(t.Context(), format)
				must(t, err)
				if n := d.DBSize(t.Context()).Val(); n > 0 {
					t.Errorf("%s: Takes left %d keys", name, n)
				}
				did := loadAll(t, b, dumped, backends.LoadOptions{})
				if got := did["t:intset"].Did == backends.Loaded; got != takes && huge == hugeValue {
					t.Errorf("%s: %s is taken: %v, and it was told: %v (%+v)", name, format, got, takes, did["t:intset"])
				}
				if !takes {
					refused++
				}
				must(t, d.FlushAll(t.Context()).Err())
			}
		}
	}
	if refused == 0 {
		t.Error("every version takes every other's records: nothing was tested")
	}
}

func exported(t *testing.T, name string, b backends.Backend, c *goredis.Client, records []backends.Record, keys []string, before map[string]string, expires time.Time) {
	t.Helper()
	did := loadAll(t, b, records, backends.LoadOptions{})
	for i, key := range keys {
		if did[key].Did != backends.Loaded {
			t.Fatalf("%s: %s: %+v", name, key, did[key])
		}
		if ttl := c.PTTL(t.Context(), key).Val(); i < 6 && (ttl-time.Until(expires)).Abs() > time.Second || i >= 6 && ttl != -1 {
			t.Errorf("%s: %s: TTL %v", name, key, ttl)
		}
	}
	for key, digest := range contents(t, c, keys) {
		if digest != before[key] {
			t.Errorf("%s: %s is another value", name, key)
		}
	}
	for _, r := range records {
		if small := r.Part == 0 && !r.More; small && !backends.Portable(r.Form) {
			t.Errorf("%s: %s comes as %s", name, r.Key, r.Form)
		}
	}
}

// TestExportManySmall: thousands of keys of all types, of which many hashes have fields
// with TTLs where servers have these, come back so that the server's digest is the same.
func TestExportManySmall(t *testing.T) {
	const fill = `for i=1,3000 do
		local k, kind = "k:"..i, i % 6
		if kind == 0 then redis.call("set", k, i)
		elseif kind == 1 then redis.call("hset", k, "a", i, "b", "x")
			if ARGV[1] == "1" and i % 4 == 1 then redis.call("hpexpireat", k, 4000000000000 + i, "fields", 1, "b") end
		elseif kind == 2 then redis.call("rpush", k, i, "b")
		elseif kind == 3 then redis.call("sadd", k, i, "b")
		elseif kind == 4 then redis.call("zadd", k, i, "a", i / 4, "b")
		else redis.call("xadd", k, "1-1", "f", i) redis.call("xadd", k, "2-1", "f", "v") redis.call("xdel", k, "1-1")
			if i % 9 == 2 then redis.call("xgroup", "create", k, "g", "1-1") end end
		if i % 5 == 0 then redis.call("pexpireat", k, 4000000000000 + i) end end`
	for _, v := range servers.Redises(t) {
		s := servers.Redis(t, v, servers.Options{Args: []string{"--enable-debug-command", "yes"}})
		c, b, ctx := raw(t, s), openURL(t, "redis://"+s.Addr), t.Context()
		has := "0"
		if err := c.Do(ctx, "hpexpire", "none", 1000, "fields", 1, "f").Err(); !refused(err) {
			has = "1"
		}
		must(t, ignoreNil(c.Eval(ctx, fill, nil, has).Err()))
		keys := c.Keys(ctx, "*").Val()
		digest := c.Do(ctx, "debug", "digest").Val()
		records := exportAll(t, b, keys)
		must(t, c.FlushAll(ctx).Err())
		for key, o := range loadAll(t, b, records, backends.LoadOptions{}) {
			if o.Did != backends.Loaded {
				t.Fatalf("%s: %s: %+v", v, key, o)
			}
		}
		if got := c.Do(ctx, "debug", "digest").Val(); got != digest || len(keys) != 3000 {
			t.Errorf("%s: %d keys, digest %v, want %v", v, len(keys), got, digest)
		}
		if at := c.Do(ctx, "hpexpiretime", "k:13", "fields", 1, "b").Val(); has == "1" && fmt.Sprint(at) != "[4000000000013]" {
			t.Errorf("%s: a field expires at %v", v, at)
		}
		if n := c.XInfoStream(ctx, "k:5").Val(); n.EntriesAdded != 2 || n.MaxDeletedEntryID != "1-1" || n.Length != 1 {
			t.Errorf("%s: %+v", v, n)
		}
	}
}

func ignoreNil(err error) error {
	if err == goredis.Nil {
		return nil
	}
	return err
}

// TestExportInCluster: from a cluster, of which slots have moved, into one server.
func TestExportInCluster(t *testing.T) {
	c := newCluster(t, servers.Default(t), 0)
	b := openURL(t, c.target)
	keys := everyType(t, c.whole, 200)
	from := 0
	for slotOf("t:hash") >= slots*(from+1)/3 {
		from++
	}
	_, err := b.(*cache).owners(t.Context())
	must(t, err)
	c.move(t, slotOf("t:hash"), from, (from+1)%3)
	to := servers.Redis(t, servers.Default(t), servers.Options{})
	target := openURL(t, "redis://"+to.Addr)
	for key, o := range loadAll(t, target, exportAll(t, b, append(keys, "none")), backends.LoadOptions{}) {
		if o.Did != backends.Loaded {
			t.Errorf("%s: %+v", key, o)
		}
	}
	if n := raw(t, to).DBSize(t.Context()).Val(); n != int64(len(keys)) || raw(t, to).HLen(t.Context(), "t:hash").Val() != 200 {
		t.Errorf("%d keys", n)
	}
	format, err := b.(backends.Formatter).Format(t.Context())
	must(t, err)
	for _, takes := range []backends.Backend{b, target} {
		if ok, err := takes.(backends.Formatter).Takes(t.Context(), format); err != nil || !ok {
			t.Errorf("%s: %v, %v", format, ok, err)
		}
	}
	for _, strange := range []string{"", "memcached", "rdb/", "rdb/x", "rdb/99"} {
		if ok, err := target.(backends.Formatter).Takes(t.Context(), strange); err != nil || ok {
			t.Errorf("%q: %v, %v", strange, ok, err)
		}
	}
}

// TestLoadOfMemcachedRecords: they are strings, and lost flags are told once.
func TestLoadOfMemcachedRecords(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{})
	b, c := openURL(t, "redis://"+s.Addr), raw(t, s)
	records := make([]backends.Record, 2000)
	for i := range records {
		records[i] = backends.Record{Key: fmt.Sprint("k", i), Form: backends.FormMemcached, Value: []byte("a\r\n"), Flags: uint32(i % 2), Expires: time.Now().Add(time.Hour)}
	}
	for flags, want := range []int{0, 1} {
		notices, loaded := 0, 0
		var some []backends.Record
		for _, r := range records {
			if r.Flags <= uint32(flags) {
				some = append(some, r)
			}
		}
		for r, err := range b.(backends.Loader).Load(t.Context(), inBatches(some, 100), backends.LoadOptions{Replace: true}) {
			if err != nil {
				if notices++; backends.Ends(err) || !strings.Contains(err.Error(), "flags") {
					t.Fatal(err)
				}
			}
			for _, o := range r.Outcomes {
				if o.Did == backends.Loaded {
					loaded++
				}
			}
		}
		if notices != want || loaded != len(some) || c.Get(t.Context(), "k0").Val() != "a\r\n" || c.TTL(t.Context(), "k0").Val() < 3500*time.Second {
			t.Errorf("%d notices, %d loaded of %d", notices, loaded, len(some))
		}
	}
}

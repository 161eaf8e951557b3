package redis

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// everyType writes values of each type: small, and of many elements.
func everyType(t *testing.T, c goredis.UniversalClient, n int) []string {
	t.Helper()
	ctx := context.Background()
	pipe := c.Pipeline()
	bin := func(i int) string { return fmt.Sprintf("\x00\xff%d\r\n{}%s", i, strings.Repeat("v", i%90)) }
	pipe.Set(ctx, "t:string", strings.Repeat("binary\x00\r\n", n), 0)
	pipe.Set(ctx, "t:int", 12345, 0)
	pipe.Set(ctx, "t:empty", "", 0)
	pipe.PFAdd(ctx, "t:hll", "a", "b")
	for i := range n {
		pipe.RPush(ctx, "t:list", bin(i))
		pipe.SAdd(ctx, "t:set", bin(i))
		pipe.SAdd(ctx, "t:intset", i)
		pipe.ZAdd(ctx, "t:zset", goredis.Z{Score: float64(i) / 3, Member: bin(i)})
		pipe.HSet(ctx, "t:hash", bin(i), bin(i+1))
		pipe.XAdd(ctx, &goredis.XAddArgs{Stream: "t:stream", ID: fmt.Sprintf("%d-1", i+1), Values: []string{"f", bin(i), "f", "twice"}})
	}
	pipe.ZAdd(ctx, "t:zset", goredis.Z{Score: 1e300, Member: "huge"}, goredis.Z{Score: -1.5e-7, Member: "tiny"})
	pipe.XDel(ctx, "t:stream", fmt.Sprintf("%d-1", n))
	pipe.XGroupCreate(ctx, "t:stream", "g1", "2-1")
	pipe.XReadGroup(ctx, &goredis.XReadGroupArgs{Group: "g1", Consumer: "c1", Streams: []string{"t:stream", ">"}, Count: 3})
	pipe.XGroupCreateConsumer(ctx, "t:stream", "g1", "c2")
	if _, err := pipe.Exec(ctx); err != nil {
		t.Fatal(err)
	}
	return []string{"t:string", "t:int", "t:empty", "t:hll", "t:list", "t:set", "t:intset", "t:zset", "t:hash", "t:stream"}
}

// digests are the server's own, type-aware.
func digests(t *testing.T, c goredis.UniversalClient, keys []string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, key := range keys {
		var cmd *goredis.Cmd
		if cc, ok := c.(*goredis.ClusterClient); ok {
			node, err := cc.MasterForKey(context.Background(), key)
			if err != nil {
				t.Fatal(err)
			}
			cmd = node.Do(context.Background(), "debug", "digest-value", key)
		} else {
			cmd = c.Do(context.Background(), "debug", "digest-value", key)
		}
		list, err := cmd.StringSlice()
		if err != nil || len(list) != 1 {
			t.Fatal(err)
		}
		all[key] = list[0]
	}
	return all
}

func dumpAll(t *testing.T, b backends.Backend, keys []string) (records []backends.Record) {
	t.Helper()
	for some, err := range b.(backends.Dumper).Dump(t.Context(), keys) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, some...)
	}
	return records
}

func loadAll(t *testing.T, b backends.Backend, records []backends.Record, o backends.LoadOptions) map[string]backends.Outcome {
	t.Helper()
	did := make(map[string]backends.Outcome)
	var source iter.Seq2[[]backends.Record, error] = func(yield func([]backends.Record, error) bool) {
		for batch := range slices.Chunk(records, 5) {
			if !yield(batch, nil) {
				return
			}
		}
	}
	for result, err := range b.(backends.Loader).Load(t.Context(), source, o) {
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range result.Outcomes {
			did[o.Key] = o
		}
	}
	return did
}

// TestDumpEveryType: dump, delete, load; in one piece and in windows; on all versions,
// alone and in a cluster.
func TestDumpEveryType(t *testing.T) {
	for _, v := range servers.Redises(t) {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			o := servers.Options{Args: []string{"--enable-debug-command", "yes"}}
			s := servers.Redis(t, v, o)
			nodes := servers.Cluster(t, v, 3, 0, o)
			cc := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{nodes[0].Addr}})
			t.Cleanup(func() { cc.Close() })
			for _, huge := range []int64{hugeValue, 20_000} {
				dumpEveryType(t, openURL(t, "redis://"+s.Addr), raw(t, s), huge)
				dumpEveryType(t, openURL(t, "redis+cluster://"+nodes[0].Addr), cc, huge)
			}
		})
	}
}

func dumpEveryType(t *testing.T, b backends.Backend, c goredis.UniversalClient, huge int64) {
	t.Helper()
	ctx := context.Background()
	b.(*cache).huge = huge
	keys := everyType(t, c, 3000)
	fieldTTL := c.Do(ctx, "hpexpire", "t:hash", 3_600_000, "fields", 1, "\x00\xff0\r\n{}").Err() == nil
	if fieldTTL {
		for _, n := range b.(*cache).nodes {
			n.known = nil // subexpiry is new
		}
	}
	expires := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	for _, key := range keys[:5] {
		c.PExpireAt(ctx, key, expires)
	}
	before := digests(t, c, keys)
	groups, pending := c.XInfoGroups(ctx, "t:stream").Val(), c.XPending(ctx, "t:stream", "g1").Val()
	about := c.XInfoStream(ctx, "t:stream").Val()
	records := dumpAll(t, b, keys)
	if many := len(records) > len(keys); many != (huge != hugeValue) {
		t.Errorf("%d records of %d keys", len(records), len(keys))
	}
	for _, key := range keys {
		c.Del(ctx, key)
	}
	did := loadAll(t, b, records, backends.LoadOptions{})
	for i, key := range keys {
		if did[key].Did != backends.Loaded {
			t.Fatalf("huge %d: %s: %+v", huge, key, did[key])
		}
		ttl := c.PTTL(ctx, key).Val()
		if want := time.Until(expires); i < 5 && (ttl-want).Abs() > time.Second || i >= 5 && ttl != -1 {
			t.Errorf("%s: TTL %v", key, ttl)
		}
	}
	after := digests(t, c, keys)
	for _, key := range keys {
		if before[key] != after[key] {
			t.Errorf("huge %d: %s is another value", huge, key)
		}
	}
	if got := c.XInfoGroups(ctx, "t:stream").Val(); fmt.Sprint(got) != fmt.Sprint(groups) {
		t.Errorf("groups: %+v, want %+v", got, groups)
	}
	if got := c.XPending(ctx, "t:stream", "g1").Val(); fmt.Sprint(got) != fmt.Sprint(pending) || pending.Count != 3 {
		t.Errorf("pending: %+v, want %+v", got, pending)
	}
	got := c.XInfoStream(ctx, "t:stream").Val()
	if got.LastGeneratedID != about.LastGeneratedID || got.EntriesAdded != about.EntriesAdded || got.MaxDeletedEntryID != about.MaxDeletedEntryID {
		t.Errorf("stream: %+v, want %+v", got, about)
	}
	if left := c.HPTTL(ctx, "t:hash", "\x00\xff0\r\n{}").Val(); fieldTTL && (len(left) != 1 || left[0] < 3_500_000) {
		t.Errorf("TTL of a field: %v", left)
	}
	// Another value is kept, and replaced where asked.
	c.Del(ctx, "t:list")
	c.Set(ctx, "t:list", "other", 0)
	if did := loadAll(t, b, records, backends.LoadOptions{}); did["t:list"].Did != backends.Kept || c.Get(ctx, "t:list").Val() != "other" {
		t.Errorf("huge %d: %+v", huge, did["t:list"])
	}
	if did := loadAll(t, b, records, backends.LoadOptions{Replace: true}); did["t:list"].Did != backends.Loaded || digests(t, c, keys)["t:list"] != before["t:list"] {
		t.Errorf("huge %d: %+v", huge, did["t:list"])
	}
	for _, key := range keys {
		c.Del(ctx, key)
	}
	if cc, ok := c.(*goredis.ClusterClient); ok {
		cc.ForEachMaster(ctx, func(ctx context.Context, c *goredis.Client) error { return nothingLeft(t, c) })
	} else {
		nothingLeft(t, c.(*goredis.Client))
	}
}

func nothingLeft(t *testing.T, c *goredis.Client) error {
	if left := c.Keys(context.Background(), "*").Val(); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	return nil
}

// TestDumpKeepsHeat: idle time and frequency come back.
func TestDumpKeepsHeat(t *testing.T) {
	for _, policy := range []string{"allkeys-lru", "allkeys-lfu"} {
		s := servers.Redis(t, servers.Default(t), servers.Options{Args: []string{"--maxmemory-policy", policy, "--lfu-decay-time", "0"}})
		c, b := raw(t, s), openURL(t, "redis://"+s.Addr)
		ctx := context.Background()
		payload := string(stringPayload([]byte("v")))
		if err := c.Do(ctx, "restore", "old", 0, payload, "idletime", 5000).Err(); err != nil {
			t.Fatal(err)
		}
		c.Do(ctx, "restore", "hot", 0, payload, "freq", 77)
		records := dumpAll(t, b, []string{"old", "hot"})
		c.FlushAll(ctx)
		loadAll(t, b, records, backends.LoadOptions{})
		if idle := c.ObjectIdleTime(ctx, "old").Val(); policy == "allkeys-lru" && (idle < 5000*time.Second || idle > 5010*time.Second) {
			t.Errorf("idle %v", idle)
		}
		if freq := c.Do(ctx, "object", "freq", "hot").Val(); policy == "allkeys-lfu" && freq != int64(77) {
			t.Errorf("frequency %v", freq)
		}
	}
}

// TestStringPayload: what is made here, servers of all versions take, of any length.
func TestStringPayload(t *testing.T) {
	for _, v := range servers.Redises(t) {
		c := raw(t, servers.Redis(t, v, servers.Options{}))
		for _, n := range []int{0, 1, 63, 64, 16383, 16384, 1 << 20} {
			value := make([]byte, n)
			for i := range value {
				value[i] = byte(rand.Uint32())
			}
			if err := c.RestoreReplace(t.Context(), "k", 0, string(stringPayload(value))).Err(); err != nil {
				t.Fatalf("%s: %d bytes: %v", v, n, err)
			}
			if got, err := c.Get(t.Context(), "k").Bytes(); err != nil || !bytes.Equal(got, value) {
				t.Errorf("%s: %d bytes came back as %d, %v", v, n, len(got), err)
			}
		}
	}
}

// TestLoadOfNewerVersion: the format of a newer server is refused with a word about it.
func TestLoadOfNewerVersion(t *testing.T) {
	all := servers.Redises(t)
	newest := all[len(all)-1]
	for _, v := range all {
		if v.Software == "redis" {
			newest = v
		}
	}
	from, to := servers.Redis(t, newest, servers.Options{}), servers.Redis(t, servers.Default(t), servers.Options{})
	raw(t, from).SAdd(t.Context(), "set", "a")
	raw(t, from).Set(t.Context(), "string", "a", 0)
	did := loadAll(t, openURL(t, "redis://"+to.Addr), dumpAll(t, openURL(t, "redis://"+from.Addr), []string{"set", "string"}), backends.LoadOptions{})
	if o := did["set"]; newest.Number != servers.Default(t).Number && (o.Did != backends.Failed || !strings.Contains(o.Err.Error(), "newer version")) {
		t.Errorf("%+v", o)
	}
	if o := did["string"]; o.Did != backends.Loaded {
		t.Errorf("%+v", o)
	}
}

// TestBuildersOnly: a record may not carry any other command.
func TestBuildersOnly(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{})
	b, c := openURL(t, "redis://"+s.Addr), raw(t, s)
	c.Set(t.Context(), "there", "1", 0)
	for _, args := range [][]string{{"flushall"}, {"del", "there"}, {"xgroup", "destroy", "g"}, {"eval", "return redis.call('flushall')", "0"}} {
		var good commands
		good.add(args...)
		r := backends.Record{Key: "k", Form: formCommands, Value: good, More: true}
		end := backends.Record{Key: "k", Form: formCommands, Part: 1}
		if did := loadAll(t, b, []backends.Record{r, end}, backends.LoadOptions{}); did["k"].Did != backends.Failed {
			t.Errorf("%q: %+v", args, did["k"])
		}
	}
	if n := c.DBSize(t.Context()).Val(); n != 1 {
		t.Errorf("%d keys", n)
	}
}

func FuzzCommands(f *testing.F) {
	var c commands
	c.add("rpush", "a", "b")
	c.add("xgroup", "create", "g", "0")
	f.Add([]byte(c))
	f.Fuzz(func(t *testing.T, b []byte) {
		commands(b).each("k", func(args []string) {
			if at := builders[args[0]]; at == 0 || args[at] != "k" {
				t.Fatalf("%q", args)
			}
		})
	})
}

// TestDumpFollowsSlots: keys whose slot moved since the topology was read, or is moving.
func TestDumpFollowsSlots(t *testing.T) {
	t.Parallel()
	nodes := servers.Cluster(t, servers.Default(t), 2, 0, servers.Options{})
	b := openURL(t, "redis+cluster://"+nodes[0].Addr)
	ctx := t.Context()
	key := "moving"
	slot := slotOf(key)
	one, two := raw(t, nodes[0]), raw(t, nodes[1])
	if one.Set(ctx, key, "v", time.Hour).Err() != nil {
		one, two = two, one
		if err := one.Set(ctx, key, "v", time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
	}
	id := func(c *goredis.Client) string { return c.Do(ctx, "cluster", "myid").String()[len("cluster myid: "):] }
	for _, err := range []error{
		two.Do(ctx, "cluster", "setslot", slot, "importing", id(one)).Err(),
		one.Do(ctx, "cluster", "setslot", slot, "migrating", id(two)).Err(),
		one.Migrate(ctx, "127.0.0.1", portOf(two.Options().Addr), key, 0, 5*time.Second).Err(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	records := dumpAll(t, b, []string{key}) // ASK
	if len(records) != 1 || records[0].Expires.IsZero() || string(records[0].Value) != "v" {
		t.Fatalf("%+v", records)
	}
	if did := loadAll(t, b, records, backends.LoadOptions{Replace: true}); did[key].Did != backends.Loaded {
		t.Errorf("%+v", did)
	}
	if did := loadAll(t, b, records, backends.LoadOptions{}); did[key].Did != backends.Kept {
		t.Errorf("%+v", did)
	}
}

func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

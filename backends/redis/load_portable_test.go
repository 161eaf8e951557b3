package redis

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// portables are values of each portable form, of n elements, and write puts the same
// values under names of their own: "x:" before the key.
func portables(n int) (records []backends.Record, write func(t *testing.T, c goredis.UniversalClient)) {
	bin := func(i int) string { return fmt.Sprintf("\x00\xff%d\r\n%s", i, strings.Repeat("v", i%90)) }
	var list, set, ints, hash, zset []byte
	for i := range n {
		list = backends.AppendElement(list, bin(i))
		set = backends.AppendElement(set, bin(i))
		ints = backends.AppendElement(ints, fmt.Sprint(i*1000-50))
		hash = backends.AppendPair(hash, bin(i), bin(i+1))
		zset = backends.AppendScored(zset, bin(i), float64(i)/3)
	}
	zset = backends.AppendScored(zset, "top", math.Inf(1))
	zset = backends.AppendScored(zset, "tiny", -1.5e-7)
	for form, value := range map[string][]byte{"list": list, "set": set, "hash": hash, "zset": zset, "string": []byte(strings.Repeat("\r\n\x00", n))} {
		records = append(records, backends.Record{Key: form, Form: form, Value: value})
	}
	records = append(records, backends.Record{Key: "ints", Form: backends.FormSet, Value: ints})
	return records, func(t *testing.T, c goredis.UniversalClient) {
		t.Helper()
		ctx := context.Background()
		pipe := c.Pipeline()
		pipe.Set(ctx, "x:string", strings.Repeat("\r\n\x00", n), 0)
		for i := range n {
			pipe.RPush(ctx, "x:list", bin(i))
			pipe.SAdd(ctx, "x:set", bin(i))
			pipe.SAdd(ctx, "x:ints", i*1000-50)
			pipe.HSet(ctx, "x:hash", bin(i), bin(i+1))
			pipe.ZAdd(ctx, "x:zset", goredis.Z{Score: float64(i) / 3, Member: bin(i)})
		}
		pipe.ZAdd(ctx, "x:zset", goredis.Z{Score: math.Inf(1), Member: "top"}, goredis.Z{Score: -1.5e-7, Member: "tiny"})
		if _, err := pipe.Exec(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLoadPortable: values of every portable form are what the server makes of commands,
// on all versions, in one piece and in many, alone and in a cluster.
func TestLoadPortable(t *testing.T) {
	for _, v := range servers.Redises(t) {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			o := servers.Options{Args: []string{"--enable-debug-command", "yes"}}
			s := servers.Redis(t, v, o)
			nodes := servers.Cluster(t, v, 3, 0, o)
			cc := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{nodes[0].Addr}})
			t.Cleanup(func() { cc.Close() })
			for _, n := range []int{1, 100, 3000} {
				for _, huge := range []int64{hugeValue, 20_000} {
					loadPortable(t, openURL(t, "redis://"+s.Addr), raw(t, s), n, huge)
					loadPortable(t, openURL(t, "redis+cluster://"+nodes[0].Addr), cc, n, huge)
				}
			}
		})
	}
}

func loadPortable(t *testing.T, b backends.Backend, c goredis.UniversalClient, n int, huge int64) {
	t.Helper()
	ctx := context.Background()
	b.(*cache).huge = huge
	records, write := portables(n)
	write(t, c)
	var keys, twins []string
	expires := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	for i := range records {
		if i%2 == 0 {
			records[i].Expires = expires
			c.PExpireAt(ctx, "x:"+records[i].Key, expires) // it counts in the digest
		}
		keys, twins = append(keys, records[i].Key), append(twins, "x:"+records[i].Key)
	}
	for _, replace := range []bool{false, true} {
		if did := loadAll(t, b, records, backends.LoadOptions{Replace: replace}); len(did) != len(keys) {
			t.Fatalf("%+v", did)
		} else {
			for _, key := range keys {
				if did[key].Did != backends.Loaded {
					t.Fatalf("%d, huge %d, replace %v: %+v", n, huge, replace, did[key])
				}
			}
		}
		got, want := digests(t, c, keys), digests(t, c, twins)
		for i, key := range keys {
			if got[key] != want["x:"+key] {
				t.Errorf("%d, huge %d: %s is another value", n, huge, key)
			}
			if ttl := c.PTTL(ctx, key).Val(); i%2 == 0 && (ttl-time.Until(expires)).Abs() > time.Second || i%2 == 1 && ttl != -1 {
				t.Errorf("%s: TTL %v", key, ttl)
			}
			if form, kind := records[i].Form, c.Type(ctx, key).Val(); form != kind {
				t.Errorf("%s is a %s", form, kind)
			}
		}
		if did := loadAll(t, b, records, backends.LoadOptions{}); did["string"].Did != backends.Kept || did["zset"].Did != backends.Kept || did["hash"].Did != backends.Kept {
			t.Errorf("%+v", did)
		}
	}
	for _, key := range append(keys, twins...) {
		must(t, c.Del(ctx, key).Err())
	}
	if one, ok := c.(*goredis.Client); ok {
		nothingLeft(t, one)
	}
}

// TestLoadPortableOdd: what comes twice counts once, and the last time; what is not of its
// form fails.
func TestLoadPortableOdd(t *testing.T) {
	for _, v := range servers.Redises(t) {
		s := servers.Redis(t, v, servers.Options{})
		b, c, ctx := openURL(t, "redis://"+s.Addr), raw(t, s), t.Context()
		var hash, set, zset, list []byte
		for i := range 500 { // each twice, far from each other
			hash = backends.AppendPair(hash, fmt.Sprint(i%250), fmt.Sprint(i))
			set = backends.AppendElement(set, fmt.Sprint("m", i%250))
			zset = backends.AppendScored(zset, fmt.Sprint(i%250), float64(i))
			list = backends.AppendElement(list, fmt.Sprint(i%250))
		}
		nan := backends.AppendScored(nil, "a", math.NaN())
		records := []backends.Record{
			{Key: "hash", Form: "hash", Value: hash}, {Key: "set", Form: "set", Value: set},
			{Key: "zset", Form: "zset", Value: zset}, {Key: "list", Form: "list", Value: list},
			{Key: "empty", Form: "hash"}, {Key: "nan", Form: "zset", Value: nan}, {Key: "torn", Form: "list", Value: list[:len(list)-1]},
			{Key: "odd", Form: "hash", Value: backends.AppendElement(nil, "a")},
			{Key: "command", Form: "command", Value: []byte("*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n")},
		}
		did := loadAll(t, b, records, backends.LoadOptions{})
		for _, r := range records {
			bad := r.Key == "empty" || r.Key == "nan" || r.Key == "torn" || r.Key == "odd" || r.Key == "command"
			if o := did[r.Key]; bad != (o.Did == backends.Failed) || bad != errors.Is(o.Err, backends.ErrForm) {
				t.Errorf("%s: %+v", v, o)
			}
		}
		if n := c.HLen(ctx, "hash").Val(); n != 250 || c.HGet(ctx, "hash", "7").Val() != "257" {
			t.Errorf("%s: %d fields, %s", v, n, c.HGet(ctx, "hash", "7").Val())
		}
		if n := c.SCard(ctx, "set").Val(); n != 250 || c.LLen(ctx, "list").Val() != 500 {
			t.Errorf("%s: %d members", v, n)
		}
		if n := c.ZCard(ctx, "zset").Val(); n != 250 || c.ZScore(ctx, "zset", "7").Val() != 257 {
			t.Errorf("%s: %d members, %v", v, n, c.ZScore(ctx, "zset", "7").Val())
		}
	}
}

// TestLoadCommands: commands of all kinds of answers are carried out in their order, and
// none that would put those behind it out of step.
func TestLoadCommands(t *testing.T) {
	for _, v := range servers.Redises(t) {
		s := servers.Redis(t, v, servers.Options{})
		b, c, ctx := openURL(t, "redis://"+s.Addr), raw(t, s), t.Context()
		var records []backends.Record
		var want []backends.Verb
		add := func(did backends.Verb, args ...string) {
			records = append(records, backends.Record{Key: args[1], Form: backends.FormCommand, Value: backends.AppendCommand(nil, args...)})
			want = append(want, did)
		}
		for range 300 {
			add(backends.Loaded, "rpush", "l", "a", "b", "c")
			add(backends.Failed, "INCR", "l")
			add(backends.Loaded, "LPOP", "l", "2")
			add(backends.Loaded, "XADD", "s", "*", "f", "v")
			add(backends.Loaded, "XRANGE", "s", "-", "+")
			add(backends.Loaded, "SET", "k", "v", "NX", "GET")
			add(backends.Loaded, "GET", "none")
			add(backends.Failed, "nosuchcommand", "k")
			for _, name := range []string{"SUBSCRIBE", "monitor", "QUIT", "Select", "client", "multi", "BLPOP"} {
				add(backends.Failed, name, "k")
			}
		}
		l := loadInOrder(t, b, records, 100, backends.LoadOptions{}, nil)
		if l.end != nil || len(l.outcomes) != len(records) {
			t.Fatalf("%s: %d outcomes, %v", v, len(l.outcomes), l.end)
		}
		for i, o := range l.outcomes {
			if o.Did != want[i] {
				t.Fatalf("%s: %s: %+v, want %s", v, records[i].Value, o, want[i])
			}
		}
		if n := c.LLen(ctx, "l").Val(); n != 300 || c.XLen(ctx, "s").Val() != 300 || c.Get(ctx, "k").Val() != "v" {
			t.Errorf("%s: %d elements, %d entries", v, n, c.XLen(ctx, "s").Val())
		}
		must(t, c.FlushAll(ctx).Err())
	}
}

// TestEncodeWithoutAllocation: the commands of strings cost no memory but the buffer.
func TestEncodeWithoutAllocation(t *testing.T) {
	buffer := make([]byte, 0, 64<<10)
	for _, r := range []backends.Record{
		{Key: "key", Form: backends.FormString, Value: []byte("value"), Expires: time.Now()},
		{Key: "key", Form: backends.FormString, Value: []byte("value"), Have: backends.FactIdle, Idle: time.Hour},
		{Key: "key", Form: formRDB, Value: []byte("value")},
		{Key: "key", Form: backends.FormCommand, Value: backends.AppendCommand(nil, "SET", "key", "value")},
		{Key: "key", Form: backends.FormHash, Value: backends.AppendPair(nil, "field", "value")},
	} {
		e := encoder{payload: make([]byte, 0, 1024)}
		e.command(buffer, &r)
		if n := testing.AllocsPerRun(100, func() {
			if _, err := e.command(buffer, &r); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations", r.Form, n)
		}
	}
}

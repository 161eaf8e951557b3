package memcached

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

func dumpRecords(t *testing.T, c *cache, keys ...string) (records []backends.Record, notices int) {
	t.Helper()
	for some, err := range c.Dump(t.Context(), keys) {
		var notice *backends.Notice
		if errors.As(err, &notice) {
			notices++
		} else if err != nil {
			t.Fatal(err)
		}
		records = append(records, some...)
	}
	return records, notices
}

func loadRecords(t *testing.T, c *cache, o backends.LoadOptions, records ...backends.Record) map[string]backends.Outcome {
	t.Helper()
	did := make(map[string]backends.Outcome)
	source := func(yield func([]backends.Record, error) bool) { yield(records, nil) }
	for result, err := range c.Load(t.Context(), source, o) {
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range result.Outcomes {
			did[o.Key] = o
		}
	}
	return did
}

// TestLoadFlagsAndLimits: client flags and long TTLs come back, and a value that is too
// big costs the key nothing. The same by the classic commands of servers before 1.6.10,
// which tell no TTL.
func TestLoadFlagsAndLimits(t *testing.T) {
	for _, v := range servers.Memcacheds(t) {
		for _, old := range []bool{false, true} {
			s := servers.Memcached(t, v, servers.Options{})
			c, raw := openURL(t, "memcached://"+s.Addr), dialRaw(t, s)
			raw.want("STORED", "set a 4294967295 %d 5\r\na\x00\r\nb", time.Now().Add(60*24*time.Hour).Unix())
			raw.want("STORED", "set b 0 100 1\r\nb")
			raw.want("STORED", "set big 0 0 3\r\nold")
			if old {
				p, err := c.nodes[0].profile(t.Context(), false)
				if err != nil {
					t.Fatal(err)
				}
				p.version = version{1, 5, 0}
				c.nodes[0].known = &p
			}
			records, notices := dumpRecords(t, c, "a", "b", "none", "big")
			if len(records) != 3 || records[0].Flags != 4294967295 || string(records[0].Value) != "a\x00\r\nb" || (notices > 0) != old || records[0].Have.Has(backends.FactTTL) == old {
				t.Fatalf("old %v: %+v, %d notices", old, records, notices)
			}
			raw.want("DELETED", "delete a")
			records[2].Value = bytes.Repeat([]byte("x"), 1<<20)
			did := loadRecords(t, c, backends.LoadOptions{}, records[:2]...)
			if did["a"].Did != backends.Loaded || did["b"].Did != backends.Kept {
				t.Errorf("old %v: %+v", old, did)
			}
			again, _ := dumpRecords(t, c, "a")
			if len(again) != 1 || again[0].Flags != 4294967295 || again[0].Expires.Sub(records[0].Expires).Abs() > 2*time.Second && !old {
				t.Errorf("old %v: %+v, was %+v", old, again, records[0])
			}
			did = loadRecords(t, c, backends.LoadOptions{Replace: true}, records...)
			if o := did["big"]; o.Did != backends.Failed || !strings.Contains(o.Err.Error(), "too big") || did["b"].Did != backends.Loaded {
				t.Errorf("old %v: %+v", old, did)
			}
			if got := raw.do("get big"); got != "VALUE big 0 3" {
				t.Errorf("the old value is gone: %q", got)
			}
		}
	}
}

// TestLoadPortable: strings become items without flags, with TTLs beyond 30 days too; what
// memcached cannot hold fails with a word about it, and once a value.
func TestLoadPortable(t *testing.T) {
	for _, v := range servers.Memcacheds(t) {
		s := servers.Memcached(t, v, servers.Options{})
		c, raw := openURL(t, "memcached://"+s.Addr), dialRaw(t, s)
		day := 24 * time.Hour
		in := func(d time.Duration) time.Time { return time.Now().Add(d) }
		records := []backends.Record{
			{Key: "plain", Form: backends.FormString, Value: []byte("a\x00\r\nb")},
			{Key: "hour", Form: backends.FormString, Value: []byte("h"), Expires: in(time.Hour), Have: backends.FactTTL | backends.FactIdle, Idle: time.Minute},
			{Key: "month", Form: backends.FormString, Value: []byte("m"), Expires: in(30*day + time.Minute)},
			{Key: "year", Form: backends.FormString, Value: []byte("y"), Expires: in(365 * day)},
			{Key: "blink", Form: backends.FormString, Value: []byte("b"), Expires: in(100 * time.Millisecond)},
			{Key: "over", Form: backends.FormString, Value: []byte("o"), Expires: in(-time.Second)},
			{Key: "hash", Form: backends.FormHash, Value: backends.AppendPair(nil, "f", "v")},
			{Key: "command", Form: backends.FormCommand, Value: backends.AppendCommand(nil, "SET", "command", "v")},
			{Key: "rdb", Form: "rdb", Value: []byte("x")},
			{Key: "huge", Form: "commands", More: true}, {Key: "huge", Form: "commands", Part: 1, More: true}, {Key: "huge", Form: "commands", Part: 2},
			{Key: "torn", Form: "commands", More: true},
			{Key: strings.Repeat("k", 251), Form: backends.FormString},
		}
		did := loadRecords(t, c, backends.LoadOptions{}, records...)
		if len(did) != len(records)-2 {
			t.Errorf("%s: %d outcomes", v, len(did))
		}
		for key, want := range map[string]string{"hash": "strings only", "command": "a command of Redis", "rdb": "another kind of cache", "huge": "in parts", "torn": "in parts", records[13].Key: "250"} {
			if o := did[key]; o.Did != backends.Failed || !strings.Contains(o.Err.Error(), want) {
				t.Errorf("%s: %+v", v, o)
			}
		}
		if did["over"].Did != backends.Ended || raw.do("get over") != "END" {
			t.Errorf("%s: %+v", v, did["over"])
		}
		again, _ := dumpRecords(t, c, "plain", "hour", "month", "year")
		if len(again) != 4 {
			t.Fatalf("%s: %+v", v, again)
		}
		for i, r := range again {
			if want := records[i]; did[r.Key].Did != backends.Loaded || string(r.Value) != string(want.Value) || r.Flags != 0 || r.Have.Has(backends.FactTTL) && r.Expires.Sub(want.Expires).Abs() > 3*time.Second {
				t.Errorf("%s: %+v, was %+v; %+v", v, r, want, did[r.Key])
			}
		}
	}
}

package redis

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// inBatches makes batches of n records.
func inBatches(records []backends.Record, n int) iter.Seq2[[]backends.Record, error] {
	return func(yield func([]backends.Record, error) bool) {
		for batch := range slices.Chunk(records, n) {
			if !yield(batch, nil) {
				return
			}
		}
	}
}

// A loaded is what a Load came to.
type loaded struct {
	outcomes []backends.Outcome
	did      map[backends.Verb]int
	shards   int
	end      error
}

// loadInOrder loads records in batches of n, and holds that each has one outcome, in
// order. see is called with each result's number.
func loadInOrder(t *testing.T, b backends.Backend, records []backends.Record, n int, o backends.LoadOptions, see func(int)) (l loaded) {
	t.Helper()
	l.did = make(map[backends.Verb]int)
	results := 0
	for r, err := range b.(backends.Loader).Load(t.Context(), inBatches(records, n), o) {
		var shard *backends.ShardError
		if errors.As(err, &shard) {
			l.shards++
			continue
		}
		if err != nil {
			l.end = err
			continue
		}
		for i, outcome := range r.Outcomes {
			at := results*n + i
			if at >= len(records) || outcome.Key != records[at].Key {
				t.Fatalf("outcome %d of result %d is of %q", i, results, outcome.Key)
			}
			if (outcome.Did == backends.Failed) != (outcome.Err != nil) || outcome.Did == "" {
				t.Fatalf("%+v", outcome)
			}
			l.did[outcome.Did]++
		}
		l.outcomes = append(l.outcomes, r.Outcomes...)
		if results++; see != nil {
			see(results)
		}
	}
	return l
}

func stringRecords(n int) []backends.Record {
	records := make([]backends.Record, n)
	for i := range records {
		records[i] = backends.Record{Key: fmt.Sprintf("k:%d", i), Form: backends.FormString, Value: fmt.Appendf(nil, "value of %d", i)}
	}
	return records
}

// TestLoadOverBrokenConnections: every record has one outcome, in order, and is there. A
// command that must not be sent twice is carried out no more than once.
func TestLoadOverBrokenConnections(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{})
	c := raw(t, s)
	var lossy atomic.Bool
	p := newProxy(t, s.Addr, func() int64 {
		if !lossy.Load() {
			return -1
		}
		return 500_000 + rand.Int64N(2_000_000)
	})
	b := openURL(t, "redis://"+p.addr)
	lossy.Store(true)
	records := stringRecords(100_000)
	for i := range records {
		records[i].Value = append(records[i].Value, strings.Repeat("v", 100)...)
		if i%5 == 0 {
			records[i] = backends.Record{Key: fmt.Sprintf("n:%d", i), Form: backends.FormCommand}
			records[i].Value = backends.AppendCommand(nil, "INCR", records[i].Key)
		}
	}
	l := loadInOrder(t, b, records, 500, backends.LoadOptions{Replace: true}, nil)
	if l.end != nil || len(l.outcomes) != len(records) || p.cuts.Load() < 3 || l.did[backends.Failed] == 0 {
		t.Fatalf("%d outcomes, %v, %v; %d connections were cut", len(l.outcomes), l.did, l.end, p.cuts.Load())
	}
	for i, o := range l.outcomes {
		got := c.Get(t.Context(), o.Key).Val()
		switch command := i%5 == 0; {
		case !command && (o.Did != backends.Loaded || got != string(records[i].Value)):
			t.Fatalf("%+v, value %q", o, got)
		case command && o.Did == backends.Loaded && got != "1", command && o.Did == backends.Failed && (!errors.Is(o.Err, errUnsure) || got != "" && got != "1"):
			t.Fatalf("%+v, value %q", o, got)
		}
	}
}

// TestServerKilledInMidLoad: what was given to the loader has its outcomes, and what is
// told as loaded is there.
func TestServerKilledInMidLoad(t *testing.T) {
	for _, back := range []bool{false, true} {
		s := servers.Redis(t, servers.Default(t), servers.Options{Args: []string{"--appendonly", "yes", "--appendfsync", "always"}})
		b := openURL(t, "redis://"+s.Addr+"?timeout=1s")
		records := stringRecords(30_000)
		l := loadInOrder(t, b, records, 50, backends.LoadOptions{}, func(n int) {
			if n == 20 {
				if s.Kill(); back {
					s.Restart()
				}
			}
		})
		switch {
		case back && (l.end != nil || len(l.outcomes) != len(records) || l.did[backends.Failed] > 0):
			t.Errorf("%d outcomes, %v, %v; want the same server to be gone on with", len(l.outcomes), l.did, l.end)
		case !back && (!errors.Is(l.end, backends.ErrUnreachable) || l.did[backends.Loaded] < 1000 || len(l.outcomes)%50 != 0 || len(l.outcomes) == len(records)):
			t.Errorf("%d outcomes, %v, %v; want the end", len(l.outcomes), l.did, l.end)
		case !back:
			s.Restart()
		}
		c := raw(t, s)
		for _, o := range l.outcomes {
			if o.Did != backends.Failed && c.Exists(context.Background(), o.Key).Val() != 1 {
				t.Fatalf("%+v, and it is not there", o)
			}
		}
	}
}

// TestLoadWhileSlotsMove: commands about one key come to it in their order, wherever its
// slot goes meanwhile, and a master that dies costs its own keys only.
func TestLoadWhileSlotsMove(t *testing.T) {
	c := newCluster(t, servers.Default(t), 0)
	b := openURL(t, c.target)
	const list = "list{a}"
	slot, from := slotOf(list), 0
	for slot >= slots*(from+1)/3 {
		from++
	}
	records := stringRecords(60_000)
	for i := range records {
		if i%20 == 0 {
			records[i] = backends.Record{Key: list, Form: backends.FormCommand, Value: backends.AppendCommand(nil, "RPUSH", list, strconv.Itoa(i))}
		}
	}
	at := from
	l := loadInOrder(t, b, records, 100, backends.LoadOptions{}, func(n int) {
		if n == 50 || n == 250 {
			to := (at + 1) % 3
			c.move(t, slot, at, to)
			at = to
		}
	})
	if l.end != nil || l.shards > 0 || l.did[backends.Loaded] != len(records) {
		t.Fatalf("%v, %d shards, %v", l.did, l.shards, l.end)
	}
	items := c.whole.LRange(t.Context(), list, 0, -1).Val()
	for i, item := range items {
		if item != strconv.Itoa(20*i) {
			t.Fatalf("element %d is %s", i, item)
		}
	}
	if len(items) != len(records)/20 {
		t.Errorf("%d elements", len(items))
	}
	killed := (at + 1) % 3
	l = loadInOrder(t, b, records, 100, backends.LoadOptions{Replace: true}, func(n int) {
		if n == 20 {
			c.nodes[killed].Kill()
		}
	})
	failed := 0
	for _, o := range l.outcomes {
		if o.Did != backends.Failed {
			continue
		}
		if failed++; slotOf(o.Key) < slots*killed/3 || slotOf(o.Key) >= slots*(killed+1)/3 {
			t.Fatalf("%+v", o)
		}
	}
	if l.end != nil || l.shards != 1 || len(l.outcomes) != len(records) || failed == 0 || failed == len(records) {
		t.Errorf("%v, %d shards, %v", l.did, l.shards, l.end)
	}
}

// TestLoadOnFullServer: a server without memory refuses, and is told of once.
func TestLoadOnFullServer(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{Args: []string{"--maxmemory", "4mb", "--maxmemory-policy", "noeviction"}})
	records := stringRecords(100_000)
	l := loadInOrder(t, openURL(t, "redis://"+s.Addr), records, 100, backends.LoadOptions{}, nil)
	there := raw(t, s).DBSize(t.Context()).Val()
	if l.end == nil || !strings.Contains(l.end.Error(), "OOM") || int64(l.did[backends.Loaded]) != there || l.did[backends.Failed] == 0 || there == 0 {
		t.Errorf("%d outcomes, %v, %d there, %v", len(l.outcomes), l.did, there, l.end)
	}
}

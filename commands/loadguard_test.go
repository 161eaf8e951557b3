package commands

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
)

func TestLoadGuardKnowsLoopback(t *testing.T) {
	for node, own := range map[string]bool{
		"127.0.0.1:6379": true, "[::1]:6379": true, "localhost:6379": true, "/run/redis.sock": true, "127.9.9.9:1": true,
		"10.0.0.1:6379": false, "redis.internal:6379": false, "0.0.0.0:6379": false, "localhost.evil.example:6379": false, "[fe80::1]:6379": false, "": false,
	} {
		if onLoopback(node) != own {
			t.Errorf("%q on loopback: %v", node, !own)
		}
	}
}

func TestLoadGuardRefuses(t *testing.T) {
	env, _, _ := testEnv()
	open := &target{profile: &profile{}}
	far, near := []string{"127.0.0.1:1", "10.0.0.1:6379"}, []string{"127.0.0.1:1"}
	for name, c := range map[string]struct {
		guard loadGuard
		t     *target
		nodes []string
		fails string
	}{
		"far":                 {loadGuard{}, open, far, "10.0.0.1:6379 is not on this machine"},
		"far and meant":       {loadGuard{meant: true}, open, far, ""},
		"near":                {loadGuard{}, open, near, ""},
		"read-only":           {loadGuard{meant: true}, &target{context: "prod", profile: &profile{ReadOnly: true}}, near, "read-only"},
		"protected":           {loadGuard{meant: true}, &target{context: "prod", profile: &profile{Protected: true}}, far, "protected"},
		"protected and named": {loadGuard{meant: true, confirm: "prod"}, &target{context: "prod", profile: &profile{Protected: true}}, far, ""},
	} {
		err := c.guard.admitted(env, c.t, c.nodes)
		if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, d := range []demand{{rate: 2e6}, {keys: 1e8}, {bytes: 1e12}, {length: 2 * time.Hour}} {
		if (&loadGuard{}).bounded(d) == nil || (&loadGuard{unbounded: true}).bounded(d) != nil {
			t.Errorf("%+v", d)
		}
	}
	if err := (&loadGuard{}).bounded(demand{rate: mostRate, keys: mostKeys, bytes: mostBytes, length: mostLength}); err != nil {
		t.Error(err)
	}
}

func TestLoadGuardStops(t *testing.T) {
	stats := func(used, limit, evicted uint64) backends.Stats {
		return backends.Stats{Node: "n", Counts: map[backends.Counter]uint64{backends.UsedMemory: used, backends.MaxMemory: limit, backends.Evicted: evicted}}
	}
	for name, c := range map[string]struct {
		guard    loadGuard
		was, now backends.Stats
		stops    bool
	}{
		"well":                   {loadGuard{}, stats(10, 100, 5), stats(89, 100, 5), false},
		"near its limit":         {loadGuard{}, stats(10, 100, 5), stats(91, 100, 5), true},
		"evicts":                 {loadGuard{}, stats(10, 100, 5), stats(10, 100, 6), true},
		"evicts and may":         {loadGuard{evictions: true}, stats(10, 100, 5), stats(10, 100, 6), false},
		"no limit, as foreseen":  {loadGuard{}, stats(1<<30, 0, 0), stats(1<<30+2<<20, 0, 0), false},
		"no limit, out of hand":  {loadGuard{}, stats(1<<30, 0, 0), stats(1<<30+100<<20, 0, 0), true},
		"a limit of the user's":  {loadGuard{limit: 50}, stats(10, 1000, 0), stats(51, 1000, 0), true},
		"nothing known, nothing": {loadGuard{}, backends.Stats{}, backends.Stats{}, false},
	} {
		err := c.guard.need(c.was, c.now, 1<<20)
		var stopped *loadStopped
		if (err != nil) != c.stops || err != nil && !errors.As(err, &stopped) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package commands

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cachectl/cachectl/backends"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"500ms": 500 * time.Millisecond, "1h": time.Hour, "1d": 24 * time.Hour, "1d12h": 36 * time.Hour,
		"2w": 14 * 24 * time.Hour, "1w1d1s": 8*24*time.Hour + time.Second, "0.5d": 12 * time.Hour, "0": 0,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("parseDuration(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "1", "d", "-1h", "1d-2h", "1x", "1e30d", "1d1d", "NaNd", "9999999999999h"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("parseDuration(%q) = %v, want an error", text, got)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"512": 512, "1KiB": 1024, "1MB": 1e6, "1.5MiB": 3 << 19, "2 GiB": 2 << 30} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("parseSize(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "1QB", "lots", "99999999999999999999"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %v, want an error", text, got)
		}
	}
}

func TestGates(t *testing.T) {
	values := map[string]float64{"hit_rate": 0.75, "rtt_ms": 12, "memory_bytes": 2 << 20, "unknown": math.NaN(),
		"p99": 0.012, "service_p99.9": 0.0005, "max": 2, "origin_calls_per_expiry": 2.7}
	fields := []string{"hit_rate", "rtt_ms", "memory_bytes", "unknown", "absent", "p99", "service_p99.9", "max", "origin_calls_per_expiry"}
	for text, fails := range map[string]bool{
		"hit_rate < 0.8": true, "hit_rate<0.8": true, "hit_rate < 80%": true, "hit_rate < 0.7": false, "hit_rate >= 75%": true,
		"hit_rate == 0.75": true, "hit_rate != 0.75": false, "rtt_ms > 10ms": true, "rtt_ms > 10": true, "rtt_ms > 1s": false,
		"memory_bytes > 1MiB": true, "memory_bytes <= 1MiB": false, "unknown > 0": true, "absent < 5": true,
		"p99 > 10ms": true, "p99>12.5ms": false, "p99_ms > 10": true, "p99_ms > 10ms": true, "p99_ms > 20": false, "p99 < 1s": true,
		"service_p99.9 > 400us": true, "service_p99.9 >= 1ms": false, "max > 1m": false, "max > 1500ms": true,
		"origin_calls_per_expiry > 3": false, "origin_calls_per_expiry > 2": true,
	} {
		g := gates{texts: []string{text}}
		if err := g.parse(fields...); err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		err := g.check(values)
		var check *checkError
		if errors.As(err, &check) != fails {
			t.Errorf("%q: %v, want failure %v", text, err, fails)
		}
	}
	for _, text := range []string{"", "hit_rate", "hit_rate < ", "hit_rate < x", "hitrate < 1", "< 1", "rtt_ms > 1MiB", "hit_rate =< 1",
		"p99 > 10", "p99 > 1MiB", "p99 > 10%", "p99_ms > x", "p98 > 10ms", "max > -1ms"} {
		g := gates{texts: []string{text}}
		var usage *usageError
		if err := g.parse(fields...); !errors.As(err, &usage) {
			t.Errorf("%q: %v, want a usage error", text, err)
		}
	}
}

// A failed check tells a latency as people read it.
func TestGateTellsDurations(t *testing.T) {
	g := gates{texts: []string{"p99 > 10ms"}}
	if err := g.parse("p99"); err != nil {
		t.Fatal(err)
	}
	if err := g.check(map[string]float64{"p99": 0.0123}); err == nil || err.Error() != "check failed: p99 is 12.3ms (--fail-if 'p99 > 10ms')" {
		t.Error(err)
	}
}

func TestParseTargetNeverRepeatsThePassword(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		password := "tiger" + rapid.StringOf(rapid.RuneFrom([]rune("abc%/?#@:[] ,&"))).Draw(t, "password")
		_, err := parseTarget("redis://app:" + password + "@host:6379/0?timeout=5s")
		if err != nil && strings.Contains(err.Error(), "tiger") {
			t.Fatalf("%q: %v", password, err)
		}
	})
}

func TestParseTarget(t *testing.T) {
	u, err := parseTarget("redis+sentinel://mymaster@a:1,b:2,[::1]:3/4?user=x")
	if err != nil || u.Host != "a:1,b:2,[::1]:3" || u.User.Username() != "mymaster" || u.Path != "/4" || u.Query().Get("user") != "x" {
		t.Errorf("%+v, %v", u, err)
	}
	for _, bad := range []string{"redis://a:b", "redis://a,,b", "redis://a:1:2", "redis://%zz", "redis://a?x=%zz", "redis://a/%zz"} {
		if u, err := parseTarget(bad); err == nil {
			t.Errorf("parseTarget(%q) = %v, want an error", bad, u)
		}
	}
}

func TestExitCode(t *testing.T) {
	for want, errs := range map[int][]error{
		exitDone:        {nil},
		exitFailed:      {errors.New("x"), backends.ErrUnreachable},
		exitUsage:       {usagef("x"), withHint(usagef("x"), "y")},
		exitCheck:       {&checkError{"x"}, errors.Join(&checkError{"x"}, &partialError{errors.New("y")})},
		exitPartial:     {&partialError{errors.New("x")}, errors.Join(nil, &partialError{errors.New("x")})},
		exitInterrupted: {context.Canceled, fmt.Errorf("scan: %w", context.Canceled), errors.Join(context.Canceled, &partialError{errors.New("x")})},
	} {
		for _, err := range errs {
			if got := exitCode(err); got != want {
				t.Errorf("exitCode(%v) = %d, want %d", err, got, want)
			}
		}
	}
}

func TestTroubleTellsANoticeOnce(t *testing.T) {
	env, _, errs := testEnv()
	lost := newTrouble(env)
	for _, shard := range []string{"a", "b", "a"} {
		lost.add(&backends.Notice{Shard: shard, What: "size is unknown", Err: errors.New("NOPERM")})
	}
	if n := strings.Count(errs.String(), "size is unknown"); n != 1 {
		t.Errorf("told %d times:\n%s", n, errs)
	}
	if err := lost.err(true); err != nil {
		t.Errorf("a notice is no failure: %v", err)
	}
	lost.add(&backends.ShardError{Shard: "a", Err: errors.New("gone")})
	if code := exitCode(lost.err(true)); code != exitPartial {
		t.Errorf("exit %d with some results, want %d", code, exitPartial)
	}
	if code := exitCode(lost.err(false)); code != exitFailed {
		t.Errorf("exit %d with no results, want %d", code, exitFailed)
	}
}

// FuzzConfig: no configuration makes the reader panic, and what it takes is whole.
func FuzzConfig(f *testing.F) {
	for _, seed := range []string{"", "current: a\ncontexts:\n  a:\n    url: redis://x\n", "contexts: [", "contexts:\n  a: {url: x, password_env: Y}", "a: &a [*a]", "? {a: b}\n: c", "contexts: null", "[]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseConfig(data)
		if err == nil {
			for name, p := range c.Contexts {
				if p == nil || p.URL == "" {
					t.Errorf("context %q without url was taken", name)
				}
			}
		}
	})
}

// FuzzGate: no expression makes the reader panic.
func FuzzGate(f *testing.F) {
	f.Add("hit_rate < 0.8")
	f.Add("rtt_ms>=1e-3")
	f.Fuzz(func(t *testing.T, text string) { parseGate(text, []string{"hit_rate", "rtt_ms", "memory_bytes"}) })
}

package backends

import (
	"strings"
	"testing"
)

func TestGlobPrefix(t *testing.T) {
	for pattern, want := range map[string]struct {
		prefix string
		exact  bool
	}{
		"user:*":     {"user:", false},
		"user:1":     {"user:1", true},
		`user\*:1`:   {"user*:1", true},
		`user\*:?`:   {"user*:", false},
		"*":          {"", false},
		"[ab]c":      {"", false},
		`a\`:         {`a\`, true},
		"a\x00b\n*":  {"a\x00b\n", false},
		"{tag}:x[1]": {"{tag}:x", false},
	} {
		if prefix, exact := GlobPrefix(pattern); prefix != want.prefix || exact != want.exact {
			t.Errorf("GlobPrefix(%q) = %q, %v, want %q, %v", pattern, prefix, exact, want.prefix, want.exact)
		}
	}
}

func TestSweeping(t *testing.T) {
	for _, pattern := range []string{"*", "**", "?", "?*", "*?*", "[^a]*", "*[^\\]x]", "[^"} {
		if !Sweeping(pattern) {
			t.Errorf("%q takes nearly everything", pattern)
		}
	}
	for _, pattern := range []string{"", "a*", "*a", "?:*", "[ab]*", `\**`, "[^a]b"} {
		if Sweeping(pattern) {
			t.Errorf("%q asks for something", pattern)
		}
	}
}

// FuzzGlobPrefix: what a pattern matches begins with its prefix, and an exact
// pattern matches its text alone.
func FuzzGlobPrefix(f *testing.F) {
	f.Add("user:*", "user:1")
	f.Add(`a\*b`, "a*b")
	f.Add("[ab]c", "ac")
	f.Fuzz(func(t *testing.T, pattern, key string) {
		prefix, exact := GlobPrefix(pattern)
		matches := Match(pattern, key)
		if matches && !strings.HasPrefix(key, prefix) {
			t.Errorf("%q matches %q, which does not begin with %q", pattern, key, prefix)
		}
		if exact && matches && key != prefix || exact && prefix != "" && !Match(pattern, prefix) {
			t.Errorf("%q is said to match %q alone", pattern, prefix)
		}
	})
}

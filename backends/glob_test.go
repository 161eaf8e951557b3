package backends

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, key string
		want         bool
	}{
		{"*", "", true}, {"**", "", false}, {"", "", true}, {"", "a", false},
		{"user:*", "user:1", true}, {"user:*", "users", false},
		{"user[*]:1", "user*:1", true}, {`user\*:1`, "user*:1", true}, {`user\*:1`, "userx:1", false},
		{"h?llo", "hello", true}, {"h?llo", "hllo", false},
		{"h[ae]llo", "hallo", true}, {"h[^e]llo", "hello", false}, {"h[^e]llo", "hallo", true},
		{"[c-a]", "b", true}, {"[", "[", false}, {"[a", "a", true}, {"[^", "x", true}, {`a\`, `a\`, true},
		{`[\]]`, "]", true}, {"[]a]", "a", false}, {"a*b*c", "aXbYc", true}, {"a*b*c", "aXcYb", false},
		{"[\x80-\xff]", "\x90", true}, {"[a-\xff]", "5", true}, {"[a-\xff]", "z", false},
		{"*\x00*", "a\x00b", true}, {"a\nb*", "a\nbc", true}, {"a*", "a", true}, {"a***", "a", true},
	} {
		if got := Match(c.pattern, c.key); got != c.want {
			t.Errorf("Match(%q, %q) = %v, want %v", c.pattern, c.key, got, c.want)
		}
	}
}

func TestMatchIsNotExponential(t *testing.T) {
	Match(strings.Repeat("a*", 500)+"b", strings.Repeat("a", 5000)) // a hang is the failure
}

func TestEscapeGlobMatchesItselfOnly(t *testing.T) {
	bytes := rapid.StringOf(rapid.RuneFrom([]rune{'a', 'b', '*', '?', '[', ']', '\\', '^', '-', '\n', 0}))
	rapid.Check(t, func(t *rapid.T) {
		literal, other := bytes.Draw(t, "literal"), bytes.Draw(t, "other")
		pattern := EscapeGlob(literal)
		if err := CheckGlob(pattern); err != nil {
			t.Fatalf("CheckGlob(%q): %v", pattern, err)
		}
		if !Match(pattern, literal) {
			t.Fatalf("%q does not match %q", pattern, literal)
		}
		if other != literal && Match(pattern, other) {
			t.Fatalf("%q matches %q", pattern, other)
		}
		if !Match(pattern+"*", literal+other) {
			t.Fatalf("%q does not match %q", pattern+"*", literal+other)
		}
	})
}

func TestCheckGlob(t *testing.T) {
	for pattern, bad := range map[string]string{
		"user:*": "", "[a-c]x": "", `\*`: "", `[\]]`: "", "": "",
		"user:[1": `has a "[" without "]"`, `a\`: "ends in a backslash that escapes nothing", `[\]`: `has a "[" without "]"`,
	} {
		err := CheckGlob(pattern)
		if (err == nil) != (bad == "") || err != nil && err.Error() != bad {
			t.Errorf("CheckGlob(%q) = %v, want %q", pattern, err, bad)
		}
	}
}

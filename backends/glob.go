package backends

import (
	"errors"
	"strings"
)

// Match tells whether key matches the glob pattern exactly as a Redis or Valkey
// server on x86-64 decides it (util.c, stringmatchlen): '*' and '?' match any
// byte, '[a-c]' and '[^a-c]' sets of bytes, '\' takes the next byte literally.
// Both are bytes, not runes. Oddities are kept, because a matcher that
// disagrees with the server deletes the wrong keys:
//
//   - an unclosed '[' ends with the pattern, a '\' at the end is literal;
//   - ranges compare signed bytes, and a reversed range is turned round;
//   - the empty key matches no pattern but the empty one, and "*" alone.
//
// It works in place, in time quadratic in the lengths at worst.
func Match(pattern, key string) bool {
	if pattern == "*" { // SCAN and KEYS do not ask the matcher then
		return true
	}
	var m matcher
	return m.match(pattern, key)
}

// CheckGlob refuses patterns that a server takes, but that hardly ever mean
// what was written: an unclosed '[' and a '\' at the end.
func CheckGlob(pattern string) error {
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '\\':
			if i++; i == len(pattern) {
				return errors.New(`ends in a backslash that escapes nothing`)
			}
		case '[':
			end, err := closeSet(pattern, i+1)
			if err != nil {
				return err
			}
			i = end
		}
	}
	return nil
}

// closeSet finds the ']' of the set whose first byte is at i.
func closeSet(pattern string, i int) (int, error) {
	for ; i < len(pattern); i++ {
		switch pattern[i] {
		case '\\':
			i++
		case ']':
			return i, nil
		}
	}
	return 0, errors.New(`has a "[" without "]"`)
}

// GlobPrefix is the text that every key a pattern matches begins with. exact says
// that the pattern matches this one key and nothing else.
func GlobPrefix(pattern string) (prefix string, exact bool) {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '*', '?', '[':
			return b.String(), false
		case '\\':
			if i+1 < len(pattern) {
				i++
			}
		}
		b.WriteByte(pattern[i])
	}
	return b.String(), true
}

// Sweeping tells whether a pattern asks for no byte that a key must have: "*",
// "?*", "[^x]*". It matches everything, or nearly.
func Sweeping(pattern string) bool {
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '*', '?':
		case '[':
			if at(pattern, i+1) != '^' {
				return false
			}
			end, err := closeSet(pattern, i+1)
			if err != nil {
				return true
			}
			i = end
		default:
			return false
		}
	}
	return len(pattern) > 0
}

// EscapeGlob returns a pattern that matches literal and nothing else.
func EscapeGlob(literal string) string {
	var b strings.Builder
	b.Grow(len(literal) + 8)
	for i := 0; i < len(literal); i++ {
		switch literal[i] {
		case '*', '?', '[', ']', '\\', '^', '-':
			b.WriteByte('\\')
		}
		b.WriteByte(literal[i])
	}
	return b.String()
}

// The server gives up (no match) beyond this depth of stars, since 7.2.6 and
// 7.0.16 (CVE-2024-31228).
const maxGlobNesting = 1000

type matcher struct {
	depth int
	// hopeless is set when the part behind a '*' was tried at every place of
	// the key in vain: an earlier '*' can then do no better.
	hopeless bool
}

// at reads like C does: behind the end of a string lies a NUL.
func at(s string, i int) byte {
	if i < len(s) {
		return s[i]
	}
	return 0
}

func (m *matcher) match(p, k string) bool {
	if m.depth > maxGlobNesting {
		return false
	}
	for len(p) > 0 && len(k) > 0 {
		switch p[0] {
		case '*':
			return m.star(p, k)
		case '?':
		case '[':
			var ok bool
			if p, ok = matchSet(p[1:], k[0]); !ok {
				return false
			}
		default:
			if p[0] == '\\' && len(p) >= 2 {
				p = p[1:]
			}
			if p[0] != k[0] {
				return false
			}
		}
		p, k = p[1:], k[1:]
		if len(k) == 0 {
			p = strings.TrimLeft(p, "*")
			break
		}
	}
	return len(p) == 0 && len(k) == 0
}

func (m *matcher) star(p, k string) bool {
	for at(p, 1) == '*' {
		p = p[1:]
	}
	if len(p) == 1 {
		return true
	}
	m.depth++
	defer func() { m.depth-- }()
	for ; len(k) > 0; k = k[1:] {
		if m.match(p[1:], k) {
			return true
		}
		if m.hopeless {
			return false
		}
	}
	m.hopeless = true
	return false
}

// matchSet matches c against the set that p is in, behind its '['. It returns
// p with the set's last byte, a ']' unless the set is not closed, in front.
func matchSet(p string, c byte) (rest string, ok bool) {
	not := at(p, 0) == '^'
	if not {
		p = p[1:]
	}
	ok = false
	last := "]" // stands in for the last byte where the pattern ends in the set
	for {
		switch {
		case len(p) >= 2 && p[0] == '\\':
			p = p[1:]
			ok = ok || p[0] == c
		case at(p, 0) == ']':
			return p, ok != not
		case len(p) == 0:
			return last, ok != not
		case len(p) >= 3 && p[1] == '-':
			from, to := int8(p[0]), int8(p[2])
			if from > to {
				from, to = to, from
			}
			ok = ok || from <= int8(c) && int8(c) <= to
			p = p[2:]
		default:
			ok = ok || p[0] == c
		}
		p = p[1:]
	}
}

package embedded

import "strings"

// glob tells whether a key matches a pattern as Redis decides it (util.c,
// stringmatchlen): on bytes, '[' sets with ranges and '^', '\' for the next
// byte. An unclosed set ends with the pattern. The matcher of miniredis goes
// through regular expressions: it takes runes for bytes, and panics on "[z-a]".
func glob(pattern, key string) bool {
	if pattern == "*" { // the server does not ask its matcher then
		return true
	}
	if key == "" { // nor does its loop begin: stars stay unmatched
		return pattern == ""
	}
	var hopeless bool
	return globMatch(pattern, key, &hopeless, 0)
}

// The depth of stars at which a server gives up (CVE-2024-31228).
const maxStars = 1000

// hopeless is set once the rest behind a '*' has failed at every place: no
// earlier '*' can do better then.
func globMatch(p, k string, hopeless *bool, stars int) bool {
	if stars > maxStars {
		return false
	}
	for p != "" && k != "" {
		switch p[0] {
		case '*':
			for len(p) > 1 && p[1] == '*' {
				p = p[1:]
			}
			if len(p) == 1 {
				return true
			}
			for ; k != ""; k = k[1:] {
				if globMatch(p[1:], k, hopeless, stars+1) {
					return true
				}
				if *hopeless {
					return false
				}
			}
			*hopeless = true
			return false
		case '?':
			p = p[1:]
		case '[':
			var in bool
			if p, in = globSet(p[1:], k[0]); !in {
				return false
			}
		default:
			if p[0] == '\\' && len(p) > 1 {
				p = p[1:]
			}
			if p[0] != k[0] {
				return false
			}
			p = p[1:]
		}
		k = k[1:]
	}
	return k == "" && strings.TrimLeft(p, "*") == ""
}

// globSet tells whether c is in the set that p begins behind its '[', and
// returns what follows the set.
func globSet(p string, c byte) (rest string, in bool) {
	not := p != "" && p[0] == '^'
	if not {
		p = p[1:]
	}
	for {
		switch {
		case p == "":
			return "", in != not
		case p[0] == '\\' && len(p) > 1:
			in = in || p[1] == c
			p = p[2:]
		case p[0] == ']':
			return p[1:], in != not
		case len(p) > 2 && p[1] == '-':
			from, to := int8(p[0]), int8(p[2]) // C's char is signed on x86-64
			in = in || min(from, to) <= int8(c) && int8(c) <= max(from, to)
			p = p[3:]
		default:
			in = in || p[0] == c
			p = p[1:]
		}
	}
}

package render

import (
	"strings"
	"unicode/utf8"

	"github.com/clipperhouse/displaywidth"
)

// Visible makes s, whoever wrote it, fit for one line of a terminal outside a
// document, as Text does inside one: what would steer the terminal, newlines
// and tabs among it, and bytes that are not UTF-8 show escaped.
func Visible(s string) string { return visible(s, false) }

// visible returns s with everything escaped that would do something to a
// terminal instead of showing: C0 and C1 controls, DEL, line and paragraph
// separators, marks that reorder text (bidi), and bytes that are not UTF-8.
// With lines, newlines and tabs stay. It is idempotent, but no encoding: a
// backslash in s stays one. What must be told apart is quoted with Quote.
func visible(s string, lines bool) string {
	start := hidden(s, lines)
	if start < 0 {
		return s
	}
	b := append(make([]byte, 0, len(s)+16), s[:start]...)
	for i := start; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b = append(b, '\\', 'x', hexDigits[s[i]>>4], hexDigits[s[i]&15])
		case lines && (r == '\n' || r == '\t'), !isHidden(r):
			b = append(b, s[i:i+n]...)
		case r < utf8.RuneSelf:
			b = appendRepr(b, byte(r))
		default:
			b = appendU(b, r)
		}
		i += n
	}
	return string(b)
}

// hidden is the place of the first byte of s that visible escapes, or -1.
func hidden(s string, lines bool) int {
	for i := 0; i < len(s); {
		if c := s[i]; c >= ' ' && c <= '~' || lines && (c == '\n' || c == '\t') {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || isHidden(r) {
			return i
		}
		i += n
	}
	return -1
}

func isHidden(r rune) bool {
	switch {
	case r < ' ', r >= 0x7f && r <= 0x9f: // C0, DEL, C1
		return true
	case r == 0x200e, r == 0x200f, r == 0x61c, r >= 0x2028 && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
		return true
	}
	return false
}

// appendU writes a rune of the first plane as \uHHHH.
func appendU(b []byte, r rune) []byte {
	return append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// isPlain tells whether s is printable ASCII: safe as it is, a terminal cell a byte.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i]-' ' > '~'-' ' {
			return false
		}
	}
	return true
}

// measure makes s fit for one line of a terminal, and tells how many cells wide
// it is there: graphemes, not runes, and two cells for wide ones.
func measure(s string) (string, int) {
	if isPlain(s) {
		return s, len(s)
	}
	s = visible(s, false)
	return s, displaywidth.String(s)
}

// cut shortens s, which measure returned, to at most width cells, the last of
// them an ellipsis. It never cuts through a grapheme.
func cut(s string, width int) (string, int) {
	if width < 1 {
		return "", 0
	}
	s = displaywidth.TruncateString(s, width, "…")
	return s, displaywidth.String(s)
}

// sgr holds the escape sequence that turns each Style on.
var sgr = [...]string{Good: "\x1b[32m", Warn: "\x1b[33m", Bad: "\x1b[31m", Dim: "\x1b[2m"}

// paint puts colour round text, and leaves blank text alone.
func paint(text string, s Style, color bool) string {
	if !color || s == Plain || int(s) >= len(sgr) || strings.TrimSpace(text) == "" {
		return text
	}
	return sgr[s] + text + "\x1b[0m"
}

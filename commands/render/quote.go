package render

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// bareByte tells which ASCII characters a bare key may hold: those that print,
// but for space, quotes and backslash.
var bareByte = func() (t [256]bool) {
	for c := '!'; c <= '~'; c++ {
		t[c] = c != '"' && c != '\'' && c != '\\'
	}
	return t
}()

// Quote writes bytes so that they can be read, and given back to Unquote, to
// redis-cli and to a shell's eye without guessing. A key of printable runes
// (unicode.IsPrint) without space, quotes and backslash prints as it is. All
// else prints as the server's own repr (sds.c, sdscatrepr): in double quotes,
// with \n \r \t \a \b \" \\, and \xHH for every byte that is not printable
// ASCII. The empty key is "".
//
// Unquote(Quote(s)) is s for every s, so different keys never print alike.
func Quote(s string) string {
	if isBare(s) {
		return s
	}
	b := make([]byte, 0, len(s)+len(s)/4+2)
	b = append(b, '"')
	for i := range len(s) {
		b = appendRepr(b, s[i])
	}
	return string(append(b, '"'))
}

func isBare(s string) bool {
	for i := range len(s) {
		if bareByte[s[i]] {
			continue
		}
		if s[i] < utf8.RuneSelf {
			return false
		}
		return utf8.ValidString(s) && strings.IndexFunc(s[i:], notBare) < 0
	}
	return s != ""
}

func notBare(r rune) bool {
	if r < utf8.RuneSelf {
		return !bareByte[r]
	}
	return !unicode.IsPrint(r)
}

func appendRepr(b []byte, c byte) []byte {
	switch c {
	case '\\', '"':
		return append(b, '\\', c)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	case '\a':
		return append(b, `\a`...)
	case '\b':
		return append(b, `\b`...)
	}
	if c >= ' ' && c <= '~' {
		return append(b, c)
	}
	return append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
}

// Unquote reads one word as the server reads its command line (sds.c,
// sdssplitargs): bare, where a backslash is itself; in double quotes, where \n
// \r \t \a \b and \xHH mean what they say and any other escaped byte itself; or
// in single quotes, where only \' is an escape. What the server would read as
// no word, or as two, is an error.
func Unquote(s string) (string, error) {
	if isBare(s) {
		return s, nil
	}
	if s == "" {
		return "", errors.New(`empty: write "" for the empty key`)
	}
	for i := range len(s) { // bare up to the first quote
		switch c := s[i]; c {
		case '"', '\'':
			word, end, err := unquoteTail(s[:i], s[i+1:], c)
			if err == nil && end != "" {
				err = errors.New("text behind the closing quote")
			}
			if err != nil {
				return "", fmt.Errorf("unquote %s: %w", Quote(s), err)
			}
			return word, nil
		case ' ', '\t', '\n', '\v', '\f', '\r', 0:
			return "", fmt.Errorf("unquote %s: a space or NUL outside quotes", Quote(s))
		}
	}
	return s, nil
}

// unquoteTail appends to word what s holds up to the closing quote, and returns
// what is behind that.
func unquoteTail(word, s string, quote byte) (string, string, error) {
	b := append(make([]byte, 0, len(word)+len(s)), word...)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == quote:
			return string(b), s[i+1:], nil
		case c == 0: // the server's strings end here
			return "", "", errors.New("a NUL that is not escaped")
		case c == '\\' && quote == '"' && i+1 < len(s):
			n := 0
			b, n = unescape(b, s[i+1:])
			i += n
		case c == '\\' && quote == '\'' && i+1 < len(s) && s[i+1] == '\'':
			b = append(b, '\'')
			i++
		default:
			b = append(b, c)
		}
	}
	return "", "", errors.New("the quote is not closed")
}

// unescape appends what the text behind a backslash stands for, and returns how
// many bytes of it that took.
func unescape(b []byte, s string) ([]byte, int) {
	switch s[0] {
	case 'n':
		return append(b, '\n'), 1
	case 'r':
		return append(b, '\r'), 1
	case 't':
		return append(b, '\t'), 1
	case 'a':
		return append(b, '\a'), 1
	case 'b':
		return append(b, '\b'), 1
	case 'x':
		if len(s) >= 3 && unhex(s[1]) >= 0 && unhex(s[2]) >= 0 {
			return append(b, byte(unhex(s[1])<<4|unhex(s[2]))), 3
		}
	}
	return append(b, s[0]), 1
}

// unhex is the value of a hex digit in either case, or -1.
func unhex(c byte) int {
	if c >= 'A' && c <= 'F' {
		c += 'a' - 'A'
	}
	return strings.IndexByte(hexDigits, c)
}

package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// What follows takes a line of JSON apart without building anything: encoding/json costs
// five times as much. What it takes for JSON is what encoding/json does (FuzzJSON).

// mostNested is how deep arrays and objects may stand in one another, as in encoding/json.
const mostNested = 10000

// plain are the bytes of a JSON string that mean themselves.
var plain = func() (t [256]bool) {
	for b := 0x20; b < 256; b++ {
		t[b] = b != '"' && b != '\\'
	}
	return t
}()

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// skipValue goes behind the value at b[i]; -1: there is none.
func skipValue(b []byte, i, depth int) int {
	if i >= len(b) {
		return -1
	}
	switch c := b[i]; {
	case c == '"':
		return skipString(b, i)
	case c == '{', c == '[':
		return skipNested(b, i, depth)
	case c == '-', c >= '0' && c <= '9':
		return skipNumber(b, i)
	case c == 't':
		return skipWord(b, i, "true")
	case c == 'f':
		return skipWord(b, i, "false")
	case c == 'n':
		return skipWord(b, i, "null")
	}
	return -1
}

func skipWord(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

// skipString goes behind the string at b[i], which is a quote.
func skipString(b []byte, i int) int {
	for i++; ; {
		for i < len(b) && plain[b[i]] {
			i++
		}
		if i >= len(b) || b[i] < 0x20 {
			return -1
		}
		if b[i] == '"' {
			return i + 1
		}
		if i++; i >= len(b) {
			return -1
		}
		switch b[i] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			i++
		case 'u':
			if _, ok := hex4(b[i+1:]); !ok {
				return -1
			}
			i += 5
		default:
			return -1
		}
	}
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}

func skipNumber(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	first := i
	switch i = skipDigits(b, i); {
	case i == first, i-first > 1 && b[first] == '0':
		return -1
	}
	if i < len(b) && b[i] == '.' {
		dot := i
		if i = skipDigits(b, i+1); i == dot+1 {
			return -1
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		digits := i
		if i = skipDigits(b, i); i == digits {
			return -1
		}
	}
	return i
}

// skipNested goes behind the object or array at b[i].
func skipNested(b []byte, i, depth int) int {
	if depth++; depth > mostNested {
		return -1
	}
	object, end := b[i] == '{', byte(']')
	if object {
		end = '}'
	}
	if i = skipSpace(b, i+1); i < len(b) && b[i] == end {
		return i + 1
	}
	for {
		if object {
			if i >= len(b) || b[i] != '"' {
				return -1
			}
			if i = skipString(b, i); i < 0 {
				return -1
			}
			if i = skipSpace(b, i); i >= len(b) || b[i] != ':' {
				return -1
			}
			i = skipSpace(b, i+1)
		}
		if i = skipValue(b, i, depth); i < 0 {
			return -1
		}
		if i = skipSpace(b, i); i >= len(b) {
			return -1
		}
		if b[i] == end {
			return i + 1
		}
		if b[i] != ',' {
			return -1
		}
		i = skipSpace(b, i+1)
	}
}

// eachMember visits the members of the object that is all of b, but for space around it.
// name stands between its quotes as it is written. It tells whether b is one; members in
// front of what makes no sense are visited, and visit returning false ends it.
func eachMember(b []byte, visit func(name, value []byte) bool) bool {
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return false
	}
	if i = skipSpace(b, i+1); i < len(b) && b[i] == '}' {
		return skipSpace(b, i+1) == len(b)
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return false
		}
		name := i + 1
		if i = skipString(b, i); i < 0 {
			return false
		}
		nameEnd := i - 1
		if i = skipSpace(b, i); i >= len(b) || b[i] != ':' {
			return false
		}
		value := skipSpace(b, i+1)
		if i = skipValue(b, value, 1); i < 0 {
			return false
		}
		if !visit(b[name:nameEnd:nameEnd], b[value:i:i]) {
			return true
		}
		if i = skipSpace(b, i); i >= len(b) {
			return false
		}
		if b[i] == '}' {
			return skipSpace(b, i+1) == len(b)
		}
		if b[i] != ',' {
			return false
		}
		i = skipSpace(b, i+1)
	}
}

// eachElement is to an array what eachMember is to an object.
func eachElement(b []byte, visit func(value []byte) bool) bool {
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '[' {
		return false
	}
	if i = skipSpace(b, i+1); i < len(b) && b[i] == ']' {
		return skipSpace(b, i+1) == len(b)
	}
	for {
		value := i
		if i = skipValue(b, i, 1); i < 0 {
			return false
		}
		if !visit(b[value:i:i]) {
			return true
		}
		if i = skipSpace(b, i); i >= len(b) {
			return false
		}
		if b[i] == ']' {
			return skipSpace(b, i+1) == len(b)
		}
		if b[i] != ',' {
			return false
		}
		i = skipSpace(b, i+1)
	}
}

var errSurrogate = errors.New(`half a character (a surrogate without its other half) in a string`)

// unescape reads what stands between the quotes of a string. Bytes that are no UTF-8 stay
// as they are. Without escapes it is the same memory.
func unescape(s []byte) ([]byte, error) {
	i := bytes.IndexByte(s, '\\')
	if i < 0 {
		return s, nil
	}
	out := append(make([]byte, 0, len(s)), s[:i]...)
	for ; i < len(s); i++ {
		if s[i] != '\\' {
			out = append(out, s[i])
			continue
		}
		i++
		if at := strings.IndexByte(`"\/bfnrt`, s[i]); at >= 0 {
			out = append(out, "\"\\/\b\f\n\r\t"[at])
			continue
		}
		r, _ := hex4(s[i+1:])
		i += 4
		if utf16.IsSurrogate(r) {
			low := rune(-1)
			if len(s)-i > 6 && s[i+1] == '\\' && s[i+2] == 'u' {
				low, _ = hex4(s[i+3:])
			}
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				return nil, errSurrogate
			}
			i += 6
		}
		out = utf8.AppendRune(out, r)
	}
	return out, nil
}

// named tells whether a name as it is written is this one.
func named(written []byte, name string) bool {
	if string(written) == name {
		return true
	}
	if bytes.IndexByte(written, '\\') < 0 {
		return false
	}
	s, err := unescape(written)
	return err == nil && string(s) == name
}

// textOf is a scalar as the bytes that a cache holds of it: a string's contents, anything
// else as it is written.
func textOf(value []byte) ([]byte, error) {
	if value[0] == '"' {
		return unescape(value[1 : len(value)-1])
	}
	return value, nil
}

// whyNotJSON says what is wrong with a line. It is slow.
func whyNotJSON(line []byte) string {
	var any map[string]json.RawMessage
	err := json.Unmarshal(line, &any)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("no JSON: %v (byte %d)", err, syntax.Offset)
	case errors.As(err, &kind), err == nil:
		return `a JSON object is wanted: {"key": ...}`
	}
	return "no JSON: " + err.Error()
}

// appendJSONString writes text as a JSON string, also where it is no UTF-8: then as
// encoding/json does, with U+FFFD for each bad byte.
func appendJSONString(b, text []byte) []byte {
	clean := true
	for _, c := range text {
		if !plain[c] || c >= utf8.RuneSelf {
			clean = false
			break
		}
	}
	if clean {
		return append(append(append(b, '"'), text...), '"')
	}
	b = append(b, '"')
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			switch {
			case plain[c]:
				b = append(b, c)
			case c == '"', c == '\\':
				b = append(b, '\\', c)
			case c == '\n':
				b = append(b, '\\', 'n')
			case c == '\r':
				b = append(b, '\\', 'r')
			case c == '\t':
				b = append(b, '\\', 't')
			default:
				b = append(b, '\\', 'u', '0', '0', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		b = utf8.AppendRune(b, r)
		i += size
	}
	return append(b, '"')
}

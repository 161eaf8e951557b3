package render

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"unicode/utf8"
)

// A member is the two names that a value may go by in an object, with quotes
// and colon.
type member struct{ plain, b64 []byte }

func newMember(name string) member {
	return member{
		append(appendString(nil, name), ':'),
		append(appendString(nil, name+"_b64"), ':'),
	}
}

// append writes name and value of v as JSON.
func (m *member) append(b []byte, v any) []byte {
	if p, ok := v.(*Binary); ok {
		v = *p
	}
	if s, ok := v.(Binary); ok && !utf8.ValidString(string(s)) {
		return appendBase64(append(b, m.b64...), s)
	}
	return appendJSON(append(b, m.plain...), v)
}

func members(columns []Column) []member {
	m := make([]member, len(columns))
	for i := range columns {
		m[i] = newMember(columns[i].field())
	}
	return m
}

// appendRow writes a row as one compact object, its members in the order of the
// columns.
func appendRow(b []byte, names []member, at []int, r Row) []byte {
	b = append(b, '{')
	for i, j := range at {
		if i > 0 {
			b = append(b, ',')
		}
		var v any
		if j < len(r) {
			v = r[j].Value
		}
		b = names[i].append(b, v)
	}
	return append(b, '}')
}

// appendJSON writes a Cell's value as compact JSON. Whatever v is, what comes
// out is valid JSON, valid UTF-8 and on one line.
func appendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case uint64:
		return strconv.AppendUint(b, v, 10)
	case float64:
		return appendFloat(b, v)
	case string:
		return appendString(b, v)
	case *Binary:
		return appendJSON(b, *v)
	case Binary:
		if !utf8.ValidString(string(v)) {
			return append(appendBase64(append(b, `{"b64":`...), v), '}')
		}
		return appendString(b, string(v))
	case json.RawMessage:
		return appendRaw(b, v)
	case []any:
		b = append(b, '[')
		for i, item := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, item)
		}
		return append(b, ']')
	case map[string]any:
		return appendMap(b, v)
	}
	return appendOther(b, v)
}

// appendMap writes an object with its members in the order of their names.
func appendMap(b []byte, v map[string]any) []byte {
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(v)) {
		if i > 0 {
			b = append(b, ',')
		}
		m := newMember(name)
		b = m.append(b, v[name])
	}
	return append(b, '}')
}

// appendOther writes what a jq expression yields beside the above, and anything
// else that encoding/json can write.
func appendOther(b []byte, v any) []byte {
	switch v := v.(type) {
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case *big.Int:
		return v.Append(b, 10)
	case json.Number:
		return append(b, v...)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return append(b, "null"...)
	}
	return appendRaw(b, raw)
}

// appendRaw writes what is JSON already. What is not, after all, becomes a string.
func appendRaw(b []byte, raw []byte) []byte {
	if len(raw) == 0 {
		return append(b, "null"...)
	}
	if !utf8.Valid(raw) {
		raw = bytes.ToValidUTF8(raw, []byte("\ufffd"))
	}
	var out bytes.Buffer
	if err := json.Compact(&out, raw); err != nil {
		return appendString(b, string(raw))
	}
	for _, r := range out.String() {
		if isHidden(r) { // in a string: there is no other place for it
			b = appendU(b, r)
		} else {
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}

// appendFloat writes f as ECMAScript does, as encoding/json does too; null
// where JSON has no word for it.
func appendFloat(b []byte, f float64) []byte {
	if !finite(f) {
		return append(b, "null"...)
	}
	abs := math.Abs(f)
	if abs == 0 || abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(b, f, 'f', -1, 64)
	}
	b = strconv.AppendFloat(b, f, 'e', -1, 64)
	if n := len(b); n >= 4 && b[n-4] == 'e' && b[n-3] == '-' && b[n-2] == '0' { // e-09 to e-9
		b[n-2] = b[n-1]
		b = b[:n-1]
	}
	return b
}

func appendBase64(b []byte, s Binary) []byte {
	b = append(b, '"')
	b = base64.StdEncoding.AppendEncode(b, []byte(s))
	return append(b, '"')
}

// appendString writes s as a JSON string. Beyond what JSON asks for it escapes
// what would do something to a terminal (see visible); the string that a
// program reads is the same. Bytes that are not UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		if c := s[i]; jsonByte[c] {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r >= utf8.RuneSelf && !isHidden(r) && (r != utf8.RuneError || n > 1) {
			i += n
			continue
		}
		b = append(b, s[start:i]...)
		b = appendEscape(b, r)
		i += n
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// jsonByte tells which bytes stand for themselves in a JSON string.
var jsonByte = func() (t [256]bool) {
	for c := ' '; c <= '~'; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

func appendEscape(b []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(b, '\\', byte(r))
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	case utf8.RuneError:
		return append(b, "\ufffd"...)
	}
	return appendU(b, r)
}

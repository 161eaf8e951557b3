package decode

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

// showJSON takes a whole object or array, and where the value is not whole, the
// beginning of one. A bare number or string is text: that is how it was stored.
func showJSON(value []byte, limit int, whole bool) (Decoded, bool) {
	body := bytes.Trim(value, " \t\r\n")
	if len(body) == 0 || body[0] != '{' && body[0] != '[' {
		return Decoded{}, false
	}
	if whole {
		if !json.Valid(body) || !utf8.Valid(body) {
			return Decoded{}, false
		}
		var flat bytes.Buffer
		if err := json.Compact(&flat, body); err != nil {
			return Decoded{}, false
		}
		return Decoded{Text: indent(body, limit), JSON: flat.Bytes(), Steps: []string{"json"}}, true
	}
	body = trimRune(body)
	if !utf8.Valid(body) || !beginsJSON(body) {
		return Decoded{}, false
	}
	return Decoded{Text: indent(body, limit), Steps: []string{"json"}, Cut: true}, true
}

// maxNesting is where encoding/json gives up on a whole value; it holds for
// the beginning of one too.
const maxNesting = 10_000

// beginsJSON tells whether body, an object or array by its first byte, is valid
// up to its end.
func beginsJSON(body []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	for depth := 0; ; {
		token, err := dec.Token()
		if err != nil {
			return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		}
		if delim, ok := token.(json.Delim); ok && (delim == '{' || delim == '[') {
			depth++
		} else if ok {
			depth--
		}
		if depth > maxNesting {
			return false
		}
		if depth == 0 {
			return len(bytes.TrimLeft(body[dec.InputOffset():], " \t\r\n")) == 0
		}
	}
}

// indent spreads JSON over lines just as json.Indent does with two spaces, but
// takes the beginning of a text too, and gives up where the result would be
// longer than limit: deep nesting makes indentation quadratic. Then src comes
// back as it is.
func indent(src []byte, limit int) string {
	out := make([]byte, 0, min(limit, len(src)+len(src)/2))
	depth, opened := 0, false // opened: the last thing written is a bracket, its line not yet ended
	for i := 0; i < len(src) && len(out) <= limit; i++ {
		c := src[i]
		closing := c == '}' || c == ']'
		switch {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			continue
		case closing:
			if depth--; !opened {
				out = newline(out, depth)
			}
		case opened:
			out = newline(out, depth)
		}
		opened = false
		switch c {
		case '"':
			end := stringEnd(src, i)
			out = append(out, src[i:end]...)
			i = end - 1
		case '{', '[':
			out = append(out, c)
			depth++
			opened = true
		case ',':
			out = newline(append(out, c), depth)
		case ':':
			out = append(out, ':', ' ')
		default:
			out = append(out, c)
		}
	}
	if len(out) > limit {
		return string(src)
	}
	return string(out)
}

func newline(out []byte, depth int) []byte {
	out = append(out, '\n')
	for range depth {
		out = append(out, ' ', ' ')
	}
	return out
}

// stringEnd is the place behind the string that begins at i, or the end of src.
func stringEnd(src []byte, i int) int {
	for i++; i < len(src); i++ {
		switch src[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(src)
}

package decode

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// asText takes UTF-8 without control characters but newline, carriage return
// and tab. Where value is not whole, a rune that was cut in two is left out.
func asText(value []byte, whole bool) (string, bool) {
	text := value
	if !whole {
		text = trimRune(text)
	}
	if !utf8.Valid(text) || !printable(text) || len(text) == 0 && len(value) > 0 {
		return "", false
	}
	return string(text), true
}

// printable asks for no more than that nothing in text steers a terminal:
// spaces, joiners and runes that this program's tables do not know are fine.
func printable(text []byte) bool {
	return bytes.IndexFunc(text, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t'
	}) < 0
}

// trimRune leaves out the beginning of a rune at the end of text.
func trimRune(text []byte) []byte {
	for i := len(text) - 1; i >= 0 && i >= len(text)-utf8.UTFMax; i-- {
		if utf8.RuneStart(text[i]) {
			if !utf8.FullRune(text[i:]) {
				return text[:i]
			}
			break
		}
	}
	return text
}

// dump shows the first HexBytes of value, and says how much there is beyond.
func dump(value []byte, whole bool, names ...string) Decoded {
	d := Decoded{Steps: append(names, "hex"), Cut: !whole}
	shown := value[:min(len(value), HexBytes)]
	text := bytes.TrimSuffix([]byte(hex.Dump(shown)), []byte("\n"))
	if more := len(value) - len(shown); more > 0 {
		text = fmt.Appendf(text, "\n... %d more bytes", more)
		d.Cut = true
	}
	d.Text = string(text)
	return d
}

// isHyperLogLog checks the header that PFADD writes (Redis, hyperloglog.c):
// magic, encoding dense or sparse, three unused bytes, the cached count.
func isHyperLogLog(value []byte) bool {
	return len(value) >= 16 && string(value[:4]) == "HYLL" && value[4] <= 1 && string(value[5:8]) == "\x00\x00\x00"
}

// foreign names the serialisation of another language that value is in, as far
// as its signature tells. None is decoded: to read them is to know the classes
// they were written from.
func foreign(value []byte, whole bool) []string {
	switch {
	case bytes.HasPrefix(value, []byte("\xac\xed\x00\x05")):
		return []string{"java serialized"}
	case isPickle(value, whole):
		return []string{"pickle"}
	case isRubyMarshal(value):
		return []string{"ruby marshalled"}
	case isPHP(value, whole):
		return []string{"php serialized"}
	}
	return nil
}

// isPickle knows Python's protocols 2 to 5: PROTO, the number, an opcode that
// can come next, and STOP at the end. Older ones have no signature.
func isPickle(value []byte, whole bool) bool {
	return len(value) >= 4 && value[0] == 0x80 && value[1] >= 2 && value[1] <= 5 &&
		bytes.IndexByte([]byte("(])}NIJKMGLFSTUVXcC\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x95\x96"), value[2]) >= 0 &&
		(!whole || value[len(value)-1] == '.')
}

// isRubyMarshal knows format 4.8, which Ruby writes since 1.8, by its version
// and the type that follows.
func isRubyMarshal(value []byte) bool {
	return len(value) >= 4 && value[0] == 4 && value[1] == 8 &&
		bytes.IndexByte([]byte(`{}["I:oifluUCSecme/`), value[2]) >= 0
}

var (
	phpNested = regexp.MustCompile(`^(?:a:\d+:\{|[OC]:\d+:"[^"]{1,200}":\d+:\{)`)
	phpString = regexp.MustCompile(`^s:(\d+):"`)
	phpScalar = regexp.MustCompile(`^(?:i:[+-]?\d{1,20}|b:[01]|d:(?:-?[0-9.]{1,30}(?:E[+-]?\d+)?|-?INF|NAN));$`)
)

// isPHP knows what PHP's serialize writes, by its beginning and its end.
func isPHP(value []byte, whole bool) bool {
	switch {
	case len(value) < 4:
		return false
	case phpNested.Match(value):
		return !whole || value[len(value)-1] == '}'
	case whole && len(value) < 64 && phpScalar.Match(value):
		return true
	}
	m := phpString.FindSubmatch(value)
	if m == nil {
		return false
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return false
	}
	return !whole || len(value) == len(m[0])+n+len(`";`) && bytes.HasSuffix(value, []byte(`";`))
}

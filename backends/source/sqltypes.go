package source

import (
	"bytes"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
)

// A pgForm says how PostgreSQL's text of a type becomes JSON, as to_json does it.
type pgForm byte

const (
	pgText   pgForm = iota // a string
	pgNumber               // a number, where it is finite
	pgBool
	pgBytes
	pgJSON
	pgTimestamp // with a T in the middle
	pgTimestamptz
	pgArray
)

// A pgKind is a type: its form, and of an array that of its elements.
type pgKind struct {
	form, element pgForm
}

// pgArrays are the array types whose elements are not written as strings, or need care.
var pgArrays = map[uint32]uint32{
	pgtype.BoolArrayOID: pgtype.BoolOID, pgtype.ByteaArrayOID: pgtype.ByteaOID, pgtype.Int2ArrayOID: pgtype.Int2OID,
	pgtype.Int4ArrayOID: pgtype.Int4OID, pgtype.Int8ArrayOID: pgtype.Int8OID, pgtype.Float4ArrayOID: pgtype.Float4OID,
	pgtype.Float8ArrayOID: pgtype.Float8OID, pgtype.NumericArrayOID: pgtype.NumericOID, pgtype.JSONArrayOID: pgtype.JSONOID,
	pgtype.JSONBArrayOID: pgtype.JSONBOID, pgtype.TimestampArrayOID: pgtype.TimestampOID, pgtype.TimestamptzArrayOID: pgtype.TimestamptzOID,
	pgtype.TextArrayOID: pgtype.TextOID, pgtype.VarcharArrayOID: pgtype.VarcharOID, pgtype.BPCharArrayOID: pgtype.BPCharOID,
	pgtype.NameArrayOID: pgtype.NameOID, pgtype.UUIDArrayOID: pgtype.UUIDOID, pgtype.DateArrayOID: pgtype.DateOID,
	pgtype.InetArrayOID: pgtype.InetOID,
}

func kindOf(oid uint32) pgKind {
	if element, ok := pgArrays[oid]; ok {
		return pgKind{form: pgArray, element: kindOf(element).form}
	}
	switch oid {
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.Float4OID, pgtype.Float8OID, pgtype.NumericOID:
		return pgKind{form: pgNumber}
	case pgtype.BoolOID:
		return pgKind{form: pgBool}
	case pgtype.ByteaOID:
		return pgKind{form: pgBytes}
	case pgtype.JSONOID, pgtype.JSONBOID:
		return pgKind{form: pgJSON}
	case pgtype.TimestampOID:
		return pgKind{form: pgTimestamp}
	case pgtype.TimestamptzOID:
		return pgKind{form: pgTimestamptz}
	}
	return pgKind{}
}

// cell makes a cell of what the server sent, which is not null.
func (k pgKind) cell(text []byte) Cell {
	switch k.form {
	case pgNumber:
		if finite(text) {
			return Cell{Scalar, text}
		}
	case pgBool:
		return Cell{Scalar, truth(text)}
	case pgBytes:
		return Cell{Bytes, text}
	case pgJSON:
		return jsonCell(text)
	case pgTimestamp, pgTimestamptz:
		return Cell{Text, k.form.moment(text)}
	case pgArray:
		if array, ok := k.element.array(text); ok {
			return Cell{JSON, array}
		}
	}
	return Cell{Text, text}
}

// jsonCell is a column that is JSON by itself: a string there is its contents.
func jsonCell(text []byte) Cell {
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 {
		if c, err := cellOf(trimmed); err == nil {
			return c
		}
	}
	return Cell{JSON, text}
}

func finite(text []byte) bool {
	c := text[len(text)-1] // NaN, Infinity
	return c >= '0' && c <= '9' || c == '.'
}

func truth(text []byte) []byte {
	if string(text) == "t" {
		return []byte("true")
	}
	return []byte("false")
}

// moment writes "2026-01-02 03:04:05+00" as to_json does: "2026-01-02T03:04:05+00:00".
func (f pgForm) moment(text []byte) []byte {
	space := bytes.IndexByte(text, ' ')
	if space < 0 || len(text) < 3 { // infinity
		return text
	}
	out := append(make([]byte, 0, len(text)+3), text...)
	out[space] = 'T'
	if sign := bytes.LastIndexAny(out, "+-"); f == pgTimestamptz && sign == len(out)-3 {
		out = append(out, ":00"...)
	}
	return out
}

// array writes the text of an array, "{1,NULL,\"a b\"}", as JSON. ok is false where it is
// none that to_json would write as its elements stand.
func (f pgForm) array(text []byte) (out []byte, ok bool) {
	if bytes.HasPrefix(text, []byte{'['}) { // "[0:1]={...}": its bounds are not those of JSON
		_, text, _ = bytes.Cut(text, []byte{'='})
	}
	i := 0
	for i < len(text) {
		switch c := text[i]; c {
		case '{':
			out = append(out, '[')
			i++
		case '}':
			out = append(out, ']')
			i++
		case ',':
			out = append(out, ',')
			i++
		default:
			var element []byte
			quoted := c == '"'
			if element, i, ok = arrayElement(text, i); !ok {
				return nil, false
			}
			out = f.appendElement(out, element, quoted)
		}
	}
	return out, len(out) > 0 && skipValue(out, 0, 0) == len(out)
}

// arrayElement reads an element from its first byte to behind its last.
func arrayElement(text []byte, i int) (element []byte, end int, ok bool) {
	if text[i] != '"' {
		end = bytes.IndexAny(text[i:], ",}")
		if end < 0 {
			return nil, 0, false
		}
		return text[i : i+end], i + end, true
	}
	for i++; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return element, i + 1, true
		case c == '\\' && i+1 < len(text):
			i++
			element = append(element, text[i])
		default:
			element = append(element, c)
		}
	}
	return nil, 0, false
}

func (f pgForm) appendElement(out, element []byte, quoted bool) []byte {
	if !quoted && strings.EqualFold(string(element), "null") {
		return append(out, "null"...)
	}
	switch {
	case f == pgJSON:
		return append(out, element...)
	case f == pgBool:
		return append(out, truth(element)...)
	case f == pgNumber && finite(element):
		return append(out, element...)
	case f == pgTimestamp, f == pgTimestamptz:
		element = f.moment(element)
	}
	return appendJSONString(out, element)
}

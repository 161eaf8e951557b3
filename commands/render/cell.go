package render

import (
	"math"
	"strconv"
	"time"
)

// A Cell is one value in two forms. The zero Cell is blank for people and null
// for programs. Cells may be written by hand: what Text holds is made safe for
// a terminal when it is printed.
type Cell struct {
	Text string // for people

	// Value is for programs: nil (unknown), bool, int64, uint64, float64,
	// string, Binary, *Binary, json.RawMessage, []any or map[string]any, nested at will.
	// Floats that JSON cannot say are null. A string is words, and loses bytes
	// that are not UTF-8; what may be any bytes is a Binary.
	Value any

	Style Style
}

// A Style is colour and nothing but: it never carries content.
type Style uint8

// The styles. What is Good is green, Warn yellow, Bad red, Dim faint.
const (
	Plain Style = iota
	Good
	Warn
	Bad
	Dim
)

// Binary is bytes for programs: a key or a value. In JSON and YAML a member
// "key" holds it where it is valid UTF-8; otherwise the member is called
// "key_b64" and holds the standard base64. As an item of a list, bytes that
// are not UTF-8 are an object with the one member "b64". In CSV it is quoted as
// by Quote, and so never ambiguous.
type Binary string

// Unknown is what nobody knows: "-", null, and left out of prom.
func Unknown() Cell { return Cell{Text: "-"} }

// Text is plain words, ours or the server's. Control characters show escaped in
// what people read, and programs get s.
func Text(s string) Cell { return Cell{Text: visible(s, false), Value: s} }

// Key is a key or any other bytes on one line: quoted by Quote for people,
// Binary for programs.
func Key(s string) Cell { return Cell{Text: Quote(s), Value: Binary(s)} }

// KeyOf is Key without an allocation, for lists of millions: programs read *s
// when the row prints, so it must stay what it is until then.
func KeyOf(s *string) Cell { return Cell{Text: Quote(*s), Value: (*Binary)(s)} }

// Block is bytes to be read as text of many lines, for Doc.Body: newlines and
// tabs stay what they are, other control characters show escaped. Programs get
// a Binary.
func Block(s string) Cell { return Cell{Text: visible(s, true), Value: Binary(s)} }

// Int is a count: "1,234" and the number.
func Int(n int64) Cell {
	if n < 0 {
		return Cell{Text: "-" + thousands(strconv.FormatUint(-uint64(n), 10)), Value: n}
	}
	return Cell{Text: thousands(strconv.FormatUint(uint64(n), 10)), Value: n}
}

// Uint is a count: "1,234" and the number.
func Uint(n uint64) Cell {
	return Cell{Text: thousands(strconv.FormatUint(n, 10)), Value: n}
}

// Float is a number with so many digits behind the point for people:
// "1,234.5". Programs get all of it. What is not finite is Unknown.
func Float(f float64, digits int) Cell {
	if !finite(f) {
		return Unknown()
	}
	return Cell{Text: decimal(f, digits), Value: f}
}

// Rate is how many there are a second: whole from 10 up, below that two digits that
// count, so that a little never shows as nothing.
func Rate(perSecond float64) Cell {
	digits := 0
	if size := math.Abs(perSecond); size > 0 && size < 10 {
		digits = min(1-int(math.Floor(math.Log10(size))), 9)
	}
	return Float(perSecond, digits)
}

// Bytes is an amount of memory: "1.2 MiB" (IEC, so MiB is 1,048,576), and the
// number of bytes.
func Bytes(n int64) Cell { return Cell{Text: bytesText(n), Value: n} }

// Duration is a time span in two units at most: "850µs" "12.3ms" "45s" "29m59s"
// "12d4h". From a minute up it is whole units that have passed, below it is
// rounded. Programs get milliseconds, rounded towards zero: Seconds is for
// spans below one.
func Duration(d time.Duration) Cell {
	return Cell{Text: durationText(d), Value: d.Milliseconds()}
}

// Seconds is Duration, with seconds as a float64 for programs.
func Seconds(d time.Duration) Cell {
	return Cell{Text: durationText(d), Value: d.Seconds()}
}

// Ratio is a share: "83.2%", and 0.832 with six digits at most. A share short
// of the whole never shows as all of it, nor one above nothing as nothing:
// those are ">99.9%" and "<0.1%". What is not finite (no requests, no rate) is
// Unknown.
func Ratio(f float64) Cell {
	if !finite(f) {
		return Unknown()
	}
	return Cell{Text: ratioText(f), Value: math.Round(f*1e6) / 1e6}
}

// Bool is "yes" or "no", and the boolean.
func Bool(b bool) Cell {
	if b {
		return Cell{Text: "yes", Value: true}
	}
	return Cell{Text: "no", Value: false}
}

// As returns the cell in another style.
func (c Cell) As(s Style) Cell {
	c.Style = s
	return c
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// Package decode makes a cached value readable: it undoes compression, turns
// JSON and msgpack into indented JSON, leaves text as it is and dumps the rest.
// It knows nothing about caches, keys or terminals. The pipeline is:
//
//	value -> gzip, zstd, zlib (three layers at most) -> JSON, text, msgpack, or hex
//
// It would rather show bytes than guess: a format is named only where all of
// the value fits it.
package decode

import (
	"encoding/json"
	"math"
)

// Decoded is what Decode made of a value. Nothing in it shares memory with the
// value.
type Decoded struct {
	// Text is for people: JSON indented, text as it was, or a hex dump (offset,
	// 16 bytes, ASCII). It is valid UTF-8. What a terminal could take for a
	// command is the renderer's to guard against: text may hold tabs, carriage
	// returns and marks of direction, and strings in JSON any control character
	// from U+007F up.
	Text string
	// JSON is the value on one line where it is JSON or msgpack and all of it
	// was there, else nil. Numbers and the order of keys are the value's own.
	JSON json.RawMessage
	// Steps names what was undone and what was found in the end: "gzip",
	// "json". "damaged" follows a compression whose data is broken from some
	// place on, or fails its checksum. The last one is "json", "msgpack",
	// "text" or "hex"; one that was named only, like "pickle", stands before it.
	Steps []string
	// Cut says that Text is not the whole value: it was cut at a limit, the
	// compressed data ended early, or the input was not whole.
	Cut bool
}

// Limits bounds what Decode does.
type Limits struct {
	// Bytes is how much of a value is looked at once it is decompressed;
	// 0 means DefaultBytes. Text has at most as many, or as many as a hex dump
	// of HexBytes, and JSON has at most as many.
	Bytes int64
	// Whole says that the input is the whole value. Without it an input that
	// ends in the middle is no surprise: what is there is decoded.
	Whole bool
}

const (
	// DefaultBytes is the limit where the caller names none.
	DefaultBytes = 16 << 20
	// HexBytes is how much of a value a hex dump shows.
	HexBytes = 4 << 10

	maxLayers = 3 // of compression; a value compressed more often is an attack or an accident
)

// Decode never fails and never panics, whatever the bytes. Memory and time are
// bounded by the length of value and l.Bytes.
func Decode(value []byte, l Limits) Decoded {
	limit := l.Bytes
	if limit <= 0 {
		limit = DefaultBytes
	}
	limit = min(limit, math.MaxInt64-1) // one more must be countable
	whole := l.Whole
	var steps []string
	for range maxLayers {
		u, ok := decompress(value, limit, whole)
		if !ok {
			break
		}
		value, whole = u.data, whole && u.whole
		steps = append(steps, u.steps...)
	}
	if int64(len(value)) > limit {
		value, whole = value[:limit], false
	}
	d := show(value, int(min(limit, math.MaxInt)), whole)
	d.Steps = append(steps, d.Steps...)
	return d
}

// show finds out what value is. The order decides where several would do: what
// has a signature of its own first, then what is most readable.
func show(value []byte, limit int, whole bool) Decoded {
	if isHyperLogLog(value) {
		return dump(value, whole, "hyperloglog")
	}
	if d, ok := showJSON(value, limit, whole); ok {
		return d
	}
	if text, ok := asText(value, whole); ok {
		d := Decoded{Text: text, Steps: []string{"text"}, Cut: !whole}
		if isPHP(value, whole) {
			d.Steps = []string{"php serialized", "text"}
		}
		return d
	}
	if whole {
		if flat, ok := fromMsgpack(value, limit); ok {
			return Decoded{Text: indent(flat, limit), JSON: flat, Steps: []string{"msgpack"}}
		}
	}
	return dump(value, whole, foreign(value, whole)...)
}

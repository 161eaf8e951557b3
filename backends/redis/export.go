package redis

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"strconv"

	"github.com/cachectl/cachectl/backends"
)

// Export reads keys as Dump does, but asks for values as applications do, so that servers
// of any version take them. A stream, and a hash with fields that have TTLs, comes as the
// commands that build it, in parts, as a huge value does. A type of a module comes as Dump
// has it.
func (c *cache) Export(ctx context.Context, keys []string) iter.Seq2[[]backends.Record, error] {
	return c.dump(ctx, keys, true)
}

// inOne tells whether one command reads a value of a type whole.
func (d *dump) inOne(kind string) bool {
	return kind == backends.FormString || collection(kind)
}

func wholeCommand(k wanted) []string {
	switch k.kind {
	case backends.FormList:
		return []string{"lrange", k.key, "0", "-1"}
	case backends.FormSet:
		return []string{"smembers", k.key}
	case backends.FormHash:
		return []string{"hgetall", k.key}
	case backends.FormZSet:
		return []string{"zrange", k.key, "0", "-1", "withscores"}
	}
	return []string{"get", k.key}
}

// whole reads the answer to wholeCommand: the body is the value in its portable form. An
// empty collection is null.
func (w *wire) whole(kind string) (reply, error) {
	if kind == backends.FormString {
		return w.blob()
	}
	first, text, err := w.header()
	switch {
	case err != nil:
		return reply{}, err
	case first == '-':
		return reply{kind: first, err: replyError(text)}, nil
	case first != '*':
		return reply{}, protocolError(fmt.Sprintf("a collection that begins with %q", first))
	}
	n, err := number(text, maxArray)
	if err != nil || n <= 0 {
		return reply{kind: '$', null: true}, err
	}
	value := make([]byte, 0, 16*min(n, 1<<16))
	for i := range n {
		if value, err = w.element(value, kind == backends.FormZSet && i%2 == 1); err != nil {
			return reply{}, err
		}
	}
	return reply{kind: '$', body: value}, nil
}

// element appends a string of an array to a portable value, or the score that it is.
func (w *wire) element(value []byte, score bool) ([]byte, error) {
	kind, text, err := w.header()
	if err != nil {
		return nil, err
	}
	size, err := number(text, maxBulk)
	if err != nil || kind != '$' || size < 0 {
		return nil, protocolError("an element that is no string")
	}
	if !score {
		return w.bulk(binary.AppendUvarint(value, uint64(size)), int(size))
	}
	at := len(value)
	if value, err = w.bulk(value, int(size)); err != nil {
		return nil, err
	}
	number, err := strconv.ParseFloat(string(value[at:]), 64)
	if err != nil {
		return nil, protocolError("a score that is no number")
	}
	return binary.LittleEndian.AppendUint64(value[:at], math.Float64bits(number)), nil
}

var _ backends.Exporter = (*cache)(nil)

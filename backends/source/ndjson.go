package source

import (
	"bytes"
	"io"
	"math"
	"strings"
)

// NDJSON reads a JSON object a line; empty lines are none. With a mapping every object is
// a row. Without, it is a record:
//
//	{"key": "user:1", "type": "hash", "value": {"name": "Ann"}, "ttl": 3600}
//
// key or key_b64 (base64); type as in Mapping, a string where it is left out; value, as
// Mapping takes it, or of a string value_b64; ttl in seconds (or "1h"), ttl_ms or
// expires_at; heat; flags, those of memcached. Any other member makes a record bad, since
// a TTL that is called otherwise would be lost.
//
// The input may be packed by gzip or zstd. r is at its beginning, and is not closed.
func NDJSON(r io.Reader, m *Mapping, o Options) Stream {
	o.complete()
	return func(yield func(Item, error) bool) {
		n := ndjson{options: o}
		if m != nil {
			b, err := m.bind(nil)
			if err != nil {
				yield(Item{}, err)
				return
			}
			n.binding, n.cells = b, make([]Cell, len(b.fields))
		}
		f, err := newFeed(r)
		if err == nil {
			defer f.close()
			err = f.resume(o.From)
		}
		if err != nil {
			yield(Item{}, err)
			return
		}
		for {
			line, long, ok := f.line(o.MaxRecord)
			if !ok {
				break
			}
			if len(line) == 0 || skipSpace(line, 0) == len(line) {
				continue
			}
			it := &n.item
			*it = Item{Line: f.count, Offset: f.offset(), Heat: math.NaN()}
			err := error(nil)
			if long {
				err = because("a line of more than %d bytes", o.MaxRecord)
			} else {
				err = n.read(it, line)
			}
			if !pass(yield, it, err, line) {
				return
			}
		}
		if err := f.trouble(); err != nil {
			yield(Item{}, err)
		}
	}
}

// An ndjson reads lines.
type ndjson struct {
	options Options
	keys    keyring
	binding *binding // nil: records
	cells   []Cell
	item    Item // under way; one for all, since a new one each would be half the work
}

func (n *ndjson) read(it *Item, line []byte) error {
	if n.binding == nil {
		return n.record(it, line)
	}
	clear(n.cells)
	var err error
	whole := eachMember(line, func(name, value []byte) bool {
		for i, field := range n.binding.fields {
			switch {
			case named(name, field):
				n.cells[i], err = cellOf(value)
			case value[0] == '{' && n.cells[i].Kind == Missing && strings.IndexByte(field, '.') > 0:
				n.cells[i], err = inside(name, value, field)
			}
			if err != nil {
				err = because("field %q: %v", field, err)
				return false
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	if !whole {
		return reason(whyNotJSON(line))
	}
	return n.binding.item(it, n.cells, jsonRow(line), &n.keys, n.options.Now)
}

// inside looks for the field "a.b.c" in a member that may be called "a".
func inside(name, value []byte, field string) (c Cell, err error) {
	for at, b := range []byte(field) {
		if b != '.' || !named(name, field[:at]) {
			continue
		}
		rest := field[at+1:]
		eachMember(value, func(name, value []byte) bool {
			switch {
			case named(name, rest):
				c, err = cellOf(value)
			case value[0] == '{' && c.Kind == Missing && strings.IndexByte(rest, '.') > 0:
				c, err = inside(name, value, rest)
			}
			return err == nil
		})
	}
	return c, err
}

func cellOf(value []byte) (c Cell, err error) {
	switch value[0] {
	case '"':
		c.Kind = Text
		c.Text, err = textOf(value)
	case '{', '[':
		c = Cell{JSON, value}
	case 'n':
		c = Cell{Null, nil}
	default:
		c = Cell{Scalar, value}
	}
	return c, err
}

// A jsonRow is a line that is a JSON object.
type jsonRow []byte

func (r jsonRow) object() []byte { return bytes.TrimSpace(r) }

func (r jsonRow) each(visit func(name []byte, c Cell) error) (err error) {
	eachMember(r, func(written, value []byte) bool {
		var name []byte
		var c Cell
		if name, err = unescape(written); err == nil {
			c, err = cellOf(value)
		}
		if err == nil {
			err = visit(name, c)
		}
		return err == nil
	})
	return err
}

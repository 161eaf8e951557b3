package source

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A Mapping says how a row becomes a record. Fields are named as the source names them:
// members of a JSON object ("a.b" for the member b of the object a), columns of a table.
type Mapping struct {
	Key     string // a Template
	Value   string // the field that is the value; empty: the whole row
	Type    string // backends.FormString and so on; empty: a string
	TTL     string // the field that says how long the key lives: seconds, or "1h30m"; empty: none
	Expires string // the field that says when it expires, see readMoment; empty: none
	Heat    string // the field that says how hot it is: a number or a moment, the higher the hotter; empty: none
}

// Validate tells what is wrong with a mapping before a source is read.
func (m Mapping) Validate() error {
	_, err := m.bind(nil)
	return err
}

// A CellKind says what a Cell holds.
type CellKind byte

// The kinds of cells.
const (
	Missing CellKind = iota // the row has no such field
	Null
	Text   // a string
	Scalar // a number, true or false, as JSON writes it
	JSON   // an object or array
	Bytes  // a string of bytes that JSON writes as "\\x6869", as PostgreSQL does
)

// A Cell is one field of a row.
type Cell struct {
	Kind CellKind
	Text []byte
}

// A row is what a binding is applied to, where it needs more than single fields.
type row interface {
	object() []byte                                         // all of it as a JSON object
	each(visit func(name []byte, c Cell) error) (err error) // every field, in order
}

// A binding is a Mapping with its fields numbered.
type binding struct {
	key                       []boundPart
	fields                    []string // the names of the cells that are wanted
	value, ttl, expires, heat int      // numbers of cells; -1: none
	form                      string
}

type boundPart struct {
	text string
	cell int // -1: literal
}

// bind numbers the fields. With columns, each field is one of them, and cells are numbered
// as these are; without, the cells are binding.fields.
func (m Mapping) bind(columns []string) (*binding, error) {
	t, err := ParseTemplate(m.Key)
	if err != nil {
		return nil, err
	}
	b := &binding{form: m.Type, fields: columns}
	if b.form == "" {
		b.form = backends.FormString
	}
	if !backends.Portable(b.form) || b.form == backends.FormCommand {
		return nil, fmt.Errorf("type %q: write string, hash, list, set or zset", m.Type)
	}
	if m.Value == "" && b.form != backends.FormString && b.form != backends.FormHash {
		return nil, fmt.Errorf("a %s needs the field that is its value: a whole row is a string (JSON) or a hash", b.form)
	}
	if m.TTL != "" && m.Expires != "" {
		return nil, errors.New("the TTL comes from one field: how long the key lives, or when it expires")
	}
	number := func(name string) int {
		if name == "" {
			return -1
		}
		at := slices.Index(b.fields, name)
		switch {
		case at < 0 && columns != nil:
			err = errors.Join(err, fmt.Errorf("no column %q: there are %s", name, strings.Join(columns, ", ")))
		case at < 0:
			b.fields = append(b.fields, name)
			at = len(b.fields) - 1
		case columns != nil && slices.Contains(columns[at+1:], name):
			err = errors.Join(err, fmt.Errorf("two columns are called %q: give one of them another name", name))
		}
		return at
	}
	for _, p := range t.parts {
		b.key = append(b.key, boundPart{p.text, number(p.field)})
	}
	b.value, b.ttl, b.expires, b.heat = number(m.Value), number(m.TTL), number(m.Expires), number(m.Heat)
	return b, err
}

// A reason is why a row cannot be used.
type reason string

func (r reason) Error() string { return string(r) }

func because(format string, args ...any) error { return reason(fmt.Sprintf(format, args...)) }

// item makes the record of a row. The error is a reason; the key is there if it is known.
func (b *binding) item(it *Item, cells []Cell, r row, keys *keyring, now func() time.Time) error {
	it.Heat = math.NaN()
	if err := b.name(it, cells, keys); err != nil {
		return err
	}
	it.Form, it.Type = b.form, b.form
	if err := b.fill(it, cells, r); err != nil {
		return err
	}
	if b.ttl >= 0 {
		if err := relative(it, cells[b.ttl], now); err != nil {
			return because("field %q: %v", b.fields[b.ttl], err)
		}
	}
	if b.expires >= 0 {
		if err := absolute(it, cells[b.expires]); err != nil {
			return because("field %q: %v", b.fields[b.expires], err)
		}
	}
	if b.heat >= 0 {
		it.Heat = heatOf(cells[b.heat])
	}
	return nil
}

// name makes the key.
func (b *binding) name(it *Item, cells []Cell, keys *keyring) error {
	n := 0
	for _, p := range b.key {
		n += len(p.text)
		if p.cell < 0 {
			continue
		}
		c := &cells[p.cell]
		field := b.fields[p.cell]
		switch {
		case c.Kind == Missing:
			return because("no field %q, which the key needs", field)
		case c.Kind == Null:
			return because("field %q is null, and the key needs it", field)
		case c.Kind == JSON:
			return because("field %q is an object or an array, and the key needs a text or a number", field)
		case len(c.Text) == 0:
			return because("field %q is empty, and the key needs it", field)
		}
		n += len(c.Text)
	}
	keys.begin(n)
	for _, p := range b.key {
		if p.cell < 0 {
			keys.b.WriteString(p.text)
		} else {
			keys.b.Write(cells[p.cell].Text)
		}
	}
	it.Key = keys.end()
	return nil
}

// fill makes the value.
func (b *binding) fill(it *Item, cells []Cell, r row) error {
	if b.value < 0 {
		if b.form == backends.FormString {
			it.Value = r.object()
			return nil
		}
		err := r.each(func(name []byte, c Cell) error {
			if c.Kind != Null {
				it.Value = backends.AppendPair(it.Value, name, c.Text)
			}
			return nil
		})
		if err == nil && len(it.Value) == 0 {
			err = reason("a hash without fields, which no cache can hold")
		}
		return err
	}
	c := &cells[b.value]
	switch {
	case c.Kind == Missing:
		return because("no field %q, which is the value", b.fields[b.value])
	case c.Kind == Null:
		return because("field %q is null, and is the value", b.fields[b.value])
	case b.form == backends.FormString:
		it.Value = c.Text
		return nil
	}
	var err error
	if it.Value, err = collection(b.form, c.Text); err != nil {
		return because("field %q: %v", b.fields[b.value], err)
	}
	return nil
}

// A tableRow is a row whose cells are columns.
type tableRow struct {
	columns []string
	cells   []Cell
}

func (r *tableRow) each(visit func(name []byte, c Cell) error) error {
	for i, c := range r.cells {
		if err := visit([]byte(r.columns[i]), c); err != nil {
			return err
		}
	}
	return nil
}

func (r *tableRow) object() []byte {
	n := 2
	for i := range r.cells {
		n += len(r.columns[i]) + len(r.cells[i].Text) + 8
	}
	b := append(make([]byte, 0, n+n/8), '{')
	for i, c := range r.cells {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendJSONString(b, []byte(r.columns[i])), ':')
		switch c.Kind {
		case Text:
			b = appendJSONString(b, c.Text)
		case Bytes:
			b = append(hex.AppendEncode(append(b, `"\\x`...), c.Text), '"')
		case Null, Missing:
			b = append(b, "null"...)
		default:
			b = append(b, c.Text...)
		}
	}
	return append(b, '}')
}

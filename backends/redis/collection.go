package redis

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"iter"
	"math"

	"github.com/cachectl/cachectl/backends"
)

// Types of RDB in the oldest form that holds them (rdb.h): every server reads these still,
// and makes its own encoding of them.
const (
	typeString = 0
	typeList   = 1
	typeSet    = 2
	typeHash   = 4
	typeZSet   = 5 // scores as binary doubles
)

// collection tells whether a form has elements.
func collection(form string) bool {
	switch form {
	case backends.FormHash, backends.FormList, backends.FormSet, backends.FormZSet:
		return true
	}
	return false
}

var errEmpty = fmt.Errorf("%w: a collection without elements is none", backends.ErrForm)

// twins find elements that come twice. Servers take a payload with such for damaged, or
// take them in and answer with one or the other.
type twins struct {
	seed maphash.Seed
	seen map[uint64]struct{}
}

// again tells whether an element may have come before.
func (t *twins) again(element []byte) bool {
	h := maphash.Bytes(t.seed, element)
	_, twice := t.seen[h]
	t.seen[h] = struct{}{}
	return twice
}

// mostSeen is how many elements a map is kept for.
const mostSeen = 4096

// payload appends type and value of a portable collection, as in RDB.
func (t *twins) payload(dst []byte, form string, value []byte) ([]byte, error) {
	n, err := backends.Elements(form, value)
	if err == nil && n == 0 {
		err = errEmpty
	}
	if err != nil {
		return dst, err
	}
	if t.seen == nil || len(t.seen) > mostSeen {
		t.seed, t.seen = maphash.MakeSeed(), make(map[uint64]struct{})
	}
	clear(t.seen)
	before, twice := len(dst), false
	switch form {
	case backends.FormList:
		dst = appendLength(append(dst, typeList), n)
		backends.EachElement(value, func(e []byte) { dst = appendString(dst, e) })
	case backends.FormSet:
		dst = appendLength(append(dst, typeSet), n)
		backends.EachElement(value, func(e []byte) {
			twice = twice || t.again(e)
			dst = appendString(dst, e)
		})
	case backends.FormHash:
		dst = appendLength(append(dst, typeHash), n)
		backends.EachPair(value, func(f, v []byte) {
			twice = twice || t.again(f)
			dst = appendString(appendString(dst, f), v)
		})
	case backends.FormZSet:
		dst = appendLength(append(dst, typeZSet), n)
		backends.EachScored(value, func(m []byte, score float64) {
			twice = twice || t.again(m)
			dst = binary.LittleEndian.AppendUint64(appendString(dst, m), math.Float64bits(score))
		})
	}
	if twice {
		return t.payload(dst[:before], form, withoutTwins(form, value))
	}
	return dst, nil
}

// withoutTwins is a collection of which each field or member comes once: the last of them.
func withoutTwins(form string, value []byte) (once []byte) {
	last := make(map[string]int)
	each(form, value, func(i int, name, _ []byte) { last[string(name)] = i })
	each(form, value, func(i int, name, whole []byte) {
		if last[string(name)] == i {
			once = append(once, whole...)
		}
	})
	return once
}

// each visits the elements of a collection: their number, what makes them one, and how
// they stand in the value.
func each(form string, value []byte, visit func(i int, name, whole []byte)) {
	i, scratch := 0, []byte(nil)
	give := func(name []byte) {
		visit(i, name, scratch)
		i++
	}
	switch form {
	case backends.FormList, backends.FormSet:
		backends.EachElement(value, func(e []byte) {
			scratch = backends.AppendElement(scratch[:0], e)
			give(e)
		})
	case backends.FormHash:
		backends.EachPair(value, func(f, v []byte) {
			scratch = backends.AppendPair(scratch[:0], f, v)
			give(f)
		})
	case backends.FormZSet:
		backends.EachScored(value, func(m []byte, score float64) {
			scratch = backends.AppendScored(scratch[:0], m, score)
			give(m)
		})
	}
}

// inParts are the commands that build a huge collection, as the parts of a value.
func inParts(r *backends.Record) (iter.Seq[backends.Record], error) {
	n, err := backends.Elements(r.Form, r.Value)
	if err == nil && n == 0 {
		err = errEmpty
	}
	if err != nil {
		return nil, err
	}
	return func(yield func(backends.Record) bool) {
		part := 0
		var args []string
		size := 0
		give := func() {
			var c commands
			c.add(args...)
			yield(backends.Record{Key: r.Key, Form: formCommands, Value: c, Part: part, More: true}) // the reader takes all
			part, args, size = part+1, args[:0], 0
		}
		add := func(verb string, some ...string) {
			if len(args) == 0 {
				args = append(args, verb)
			}
			args = append(args, some...)
			for _, s := range some {
				size += len(s)
			}
			if size >= windowBytes || len(args) > 2*windowElements {
				give()
			}
		}
		switch r.Form {
		case backends.FormList:
			backends.EachElement(r.Value, func(e []byte) { add("rpush", string(e)) })
		case backends.FormSet:
			backends.EachElement(r.Value, func(e []byte) { add("sadd", string(e)) })
		case backends.FormHash:
			backends.EachPair(r.Value, func(f, v []byte) { add("hset", string(f), string(v)) })
		case backends.FormZSet:
			backends.EachScored(r.Value, func(m []byte, score float64) { add("zadd", scoreText(score), string(m)) })
		}
		if len(args) > 0 {
			give()
		}
		yield(backends.Record{Key: r.Key, Form: formCommands, Expires: r.Expires, Have: r.Have, Part: part})
	}, nil
}

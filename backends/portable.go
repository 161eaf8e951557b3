package backends

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// The portable forms: what a Record's Value holds that no cache made, such as one read
// from a file. Every Loader takes those that its cache can hold, and fails the others.
// No value comes in parts. A collection without elements is none: Loaders fail it.
const (
	FormString = "string" // Value is the bytes
	FormHash   = "hash"   // fields and values, see AppendPair; of a field that comes twice the last counts
	FormList   = "list"   // elements in their order, see AppendElement
	FormSet    = "set"    // members, see AppendElement
	FormZSet   = "zset"   // members and scores, see AppendScored; of a member that comes twice the last counts

	// FormCommand is one command of Redis as it goes over the wire, see AppendCommand.
	// It changes the key that Record.Key names, and no other. Several records of one
	// key are commands to run in their order.
	FormCommand = "command"
)

// FormMemcached is the form of memcached's records: the bytes of a string, and Record.Flags.
// It is not portable for the flags; a Loader of another kind may take it for a FormString,
// and tells by a *Notice that flags are lost.
const FormMemcached = "memcached"

// Portable tells whether a form is one of the first ones above.
func Portable(form string) bool {
	switch form {
	case FormString, FormHash, FormList, FormSet, FormZSet, FormCommand:
		return true
	}
	return false
}

// ErrForm says that a Value is not what its Form says.
var ErrForm = errors.New("a value that is not of its form")

// AppendElement adds an element of a list or a set to a Value: its length as a uvarint,
// then its bytes.
func AppendElement[T ~string | ~[]byte](value []byte, element T) []byte {
	return append(binary.AppendUvarint(value, uint64(len(element))), element...)
}

// AppendPair adds a field of a hash to a Value: two elements.
func AppendPair[T ~string | ~[]byte](value []byte, field, content T) []byte {
	return AppendElement(AppendElement(value, field), content)
}

// AppendScored adds a member of a sorted set to a Value: an element, and the bits of its
// score, little-endian. The score may be infinite; NaN is not of the form.
func AppendScored[T ~string | ~[]byte](value []byte, member T, score float64) []byte {
	return binary.LittleEndian.AppendUint64(AppendElement(value, member), math.Float64bits(score))
}

// EachElement visits the elements of a list or a set. They share the Value's memory. The
// error is an ErrForm, and nothing else is visited then.
func EachElement(value []byte, visit func(element []byte)) error {
	for _, see := range []func([]byte){nil, visit} { // whole before the first visit
		for rest := value; len(rest) > 0; {
			element, after, ok := cutElement(rest)
			if !ok {
				return fmt.Errorf("%w: an element without its end", ErrForm)
			}
			if rest = after; see != nil {
				see(element)
			}
		}
	}
	return nil
}

// EachPair visits the fields of a hash, as EachElement does.
func EachPair(value []byte, visit func(field, content []byte)) error {
	for _, see := range []func(_, _ []byte){nil, visit} {
		for rest := value; len(rest) > 0; {
			field, after, ok := cutElement(rest)
			if !ok {
				return fmt.Errorf("%w: a field without its end", ErrForm)
			}
			content, after, ok := cutElement(after)
			if !ok {
				return fmt.Errorf("%w: a field without its value", ErrForm)
			}
			if rest = after; see != nil {
				see(field, content)
			}
		}
	}
	return nil
}

// EachScored visits the members of a sorted set, as EachElement does.
func EachScored(value []byte, visit func(member []byte, score float64)) error {
	for _, see := range []func([]byte, float64){nil, visit} {
		for rest := value; len(rest) > 0; {
			member, after, ok := cutElement(rest)
			if !ok || len(after) < 8 {
				return fmt.Errorf("%w: a member without its score", ErrForm)
			}
			score := math.Float64frombits(binary.LittleEndian.Uint64(after))
			if math.IsNaN(score) {
				return fmt.Errorf("%w: a score that is not a number", ErrForm)
			}
			if rest = after[8:]; see != nil {
				see(member, score)
			}
		}
	}
	return nil
}

func cutElement(b []byte) (element, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, nil, false
	}
	end := size + int(n)
	return b[size:end:end], b[end:], true
}

// Elements counts the elements of a collection's Value, and is 1 for other forms.
func Elements(form string, value []byte) (n int, err error) {
	switch form {
	case FormList, FormSet:
		err = EachElement(value, func([]byte) { n++ })
	case FormHash:
		err = EachPair(value, func(_, _ []byte) { n++ })
	case FormZSet:
		err = EachScored(value, func([]byte, float64) { n++ })
	default:
		n = 1
	}
	return n, err
}

// AppendCommand adds a command to a Value in the form of the wire: an array of bulk
// strings (RESP 2).
func AppendCommand[T ~string | ~[]byte](value []byte, args ...T) []byte {
	value = strconv.AppendInt(append(value, '*'), int64(len(args)), 10)
	for _, arg := range args {
		value = strconv.AppendInt(append(value, "\r\n$"...), int64(len(arg)), 10)
		value = append(append(value, "\r\n"...), arg...)
	}
	return append(value, "\r\n"...)
}

// Command takes the Value of a FormCommand apart. The arguments, at least one, share its
// memory. The error is an ErrForm.
func Command(value []byte) (args [][]byte, err error) {
	if err := CheckCommand(value); err != nil {
		return nil, err
	}
	n, rest, _ := cutNumber(value, '*')
	args = make([][]byte, n)
	for i := range args {
		var size int
		size, rest, _ = cutNumber(rest, '$')
		args[i], rest = rest[:size:size], rest[size+2:]
	}
	return args, nil
}

// CheckCommand tells whether a Value is one command, without taking it apart.
func CheckCommand(value []byte) error {
	n, rest, ok := cutNumber(value, '*')
	if !ok || n < 1 {
		return fmt.Errorf("%w: no command", ErrForm)
	}
	for i := range n {
		var size int
		if size, rest, ok = cutNumber(rest, '$'); !ok || size > len(rest)-2 || rest[size] != '\r' || rest[size+1] != '\n' {
			return fmt.Errorf("%w: a command whose argument %d has no end", ErrForm, i+1)
		}
		rest = rest[size+2:]
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: something behind a command", ErrForm)
	}
	return nil
}

// cutNumber reads "*12\r\n".
func cutNumber(b []byte, kind byte) (n int, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != kind {
		return 0, nil, false
	}
	i := 1
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9' && i < 12; i++ {
		n = n*10 + int(b[i]-'0')
	}
	if i == 1 || i+1 >= len(b) || b[i] != '\r' || b[i+1] != '\n' {
		return 0, nil, false
	}
	return n, b[i+2:], true
}

package embedded

import "reflect"

// Thresholds of Redis 7.2 with its default configuration.
const (
	maxEmbedded     = 44   // bytes of an embstr
	maxHashFields   = 512  // hash-max-listpack-entries
	maxZSetMembers  = 128  // zset-max-listpack-entries
	maxSetMembers   = 128  // set-max-listpack-entries
	maxSetIntegers  = 512  // set-max-intset-entries
	maxCompactValue = 64   // *-max-listpack-value, bytes
	maxListBytes    = 8192 // list-max-listpack-size -2
)

// encoding is what OBJECT ENCODING says. It follows from what the value holds
// now: on a real server a value that has shrunk keeps the encoding of its past.
func (o object) encoding() string {
	switch o.kind {
	case typeString:
		s := o.string()
		if _, ok := integer(s); ok {
			return "int"
		}
		if len(s) <= maxEmbedded {
			return "embstr"
		}
		return "raw"
	case typeHLL:
		return "raw"
	case typeHash:
		if o.len() <= maxHashFields && o.compact() {
			return "listpack"
		}
		return "hashtable"
	case typeSet:
		if o.len() <= maxSetIntegers && o.integers() {
			return "intset"
		}
		if o.len() <= maxSetMembers && o.compact() {
			return "listpack"
		}
		return "hashtable"
	case typeZSet:
		if o.len() <= maxZSetMembers && o.compact() {
			return "listpack"
		}
		return "skiplist"
	case typeList:
		if o.listBytes(maxListBytes) <= maxListBytes {
			return "listpack"
		}
		return "quicklist"
	}
	return o.kind
}

// compact tells whether no name or value is too long for a listpack.
func (o object) compact() bool {
	for each := o.v.MapRange(); each.Next(); {
		if len(each.Key().String()) > maxCompactValue {
			return false
		}
		if v := each.Value(); v.Kind() == reflect.String && len(v.String()) > maxCompactValue {
			return false
		}
	}
	return true
}

func (o object) integers() bool {
	for member := range o.pairs() {
		if _, ok := integer(member); !ok {
			return false
		}
	}
	return true
}

// listBytes is the size of a list as a listpack. It stops counting beyond limit.
func (o object) listBytes(limit int) int {
	n := listpackHead + 1
	for e := range o.elements() {
		n += entrySize(e)
		if n > limit {
			break
		}
	}
	return n
}

// entrySize is the size of an entry in a listpack.
func entrySize(s string) int {
	if len(s) >= 64 {
		length := len(s) + 2
		if len(s) >= 4096 {
			length += 3
		}
		return length + backWidth(length)
	}
	var one listpack
	one.add(s)
	return len(one.body)
}

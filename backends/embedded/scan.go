package embedded

import (
	"cmp"
	"hash/fnv"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// The order of a walk is that of a fixed hash of the names. A cursor is the
// place to go on at, with its bits reversed: so bits.Reverse64(cursor)/2^64 is
// the share that is walked, as on a real server. Every name that lives through
// a walk comes exactly once, whatever comes and goes meanwhile.
func place(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	// FNV alone leaves similar names close together (this is MurmurHash3's finish).
	x := h.Sum64()
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return (x ^ x>>33) &^ (placeUnit - 1)
}

// Places are multiples of this, so that cursors have 48 bits and pass unharmed
// through whatever holds numbers in floats. Names of one place share a page.
const placeUnit = 1 << 16

// An item is a name in a walk, with what is known about it.
type item[V any] struct {
	at    uint64
	name  string
	value V
}

// page cuts the page that begins at the cursor out of items: count names, more
// only where names share a place. next is 0 at the end.
func page[V any](items []item[V], cursor uint64, count int) (_ []item[V], next uint64) {
	from := bits.Reverse64(cursor)
	items = slices.DeleteFunc(items, func(it item[V]) bool { return it.at < from })
	slices.SortFunc(items, func(a, b item[V]) int {
		return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.name, b.name))
	})
	if len(items) <= count {
		return items, 0
	}
	last := items[count-1].at
	for count < len(items) && items[count].at == last {
		count++
	}
	if count == len(items) {
		return items, 0
	}
	return items[:count], bits.Reverse64(last + placeUnit)
}

type scanOptions struct {
	cursor   uint64
	count    int
	match    string
	kind     string // "" is every type
	noValues bool
}

// parseScan reads what follows the key, or the command's name. problem is the
// error to answer with.
func parseScan(cmd string, args []string) (o scanOptions, problem string) {
	o = scanOptions{count: 10, match: "*"}
	var err error
	if o.cursor, err = strconv.ParseUint(args[0], 10, 64); err != nil {
		return o, errCursor
	}
	for args = args[1:]; len(args) > 0; args = args[2:] {
		option := strings.ToUpper(args[0])
		if option == "NOVALUES" && cmd == "HSCAN" {
			o.noValues = true
			args = append([]string{""}, args...) // one word, not two
			continue
		}
		if len(args) < 2 {
			return o, errSyntax
		}
		switch {
		case option == "COUNT":
			n, ok := count(args[1])
			if !ok {
				return o, errInteger
			}
			if n < 1 {
				return o, errSyntax
			}
			o.count = n
		case option == "MATCH":
			o.match = args[1]
		case option == "TYPE" && cmd == "SCAN":
			o.kind = strings.ToLower(args[1])
		default:
			return o, errSyntax
		}
	}
	return o, ""
}

// scan answers SCAN. As on a real server COUNT is the number of keys looked at,
// before MATCH and TYPE choose among them, so a page may be empty.
func (c *call) scan() bool {
	if len(c.args) == 0 {
		return c.arity("scan")
	}
	o, problem := parseScan(c.cmd, c.args)
	if problem != "" {
		return c.fail(problem)
	}
	var items []item[string]
	c.locked(func() {
		space := c.s.keyspace(c.db)
		items = make([]item[string], 0, space.len())
		for key, kind := range space.all() {
			items = append(items, item[string]{place(key), key, kind})
		}
	})
	items, next := page(items, o.cursor, o.count)
	var found []string
	for _, it := range items {
		if (o.kind == "" || o.kind == typeName(it.value)) && glob(o.match, it.name) {
			found = append(found, it.name)
		}
	}
	c.writePage(next, found)
	return true
}

func (c *call) writePage(next uint64, found []string) {
	c.WriteLen(2)
	c.WriteBulk(strconv.FormatUint(next, 10))
	c.WriteStrings(found)
}

func (c *call) keys() bool {
	if len(c.args) != 1 {
		return c.arity("keys")
	}
	var found []string
	c.locked(func() {
		for key := range c.s.keyspace(c.db).all() {
			if glob(c.args[0], key) {
				found = append(found, key)
			}
		}
	})
	slices.Sort(found)
	c.WriteStrings(found)
	return true
}

// scanElements answers HSCAN, SSCAN and ZSCAN. Values in a compact encoding
// come whole, as on a real server.
func (c *call) scanElements() bool {
	if len(c.args) < 2 {
		return c.arity(strings.ToLower(c.cmd))
	}
	o, problem := parseScan(c.cmd, c.args[1:])
	if problem != "" {
		return c.fail(problem)
	}
	var items []item[string]
	var wrong bool
	c.locked(func() {
		value := c.s.keyspace(c.db).value(c.args[0])
		wrong = value.exists() && value.kind != map[string]string{"HSCAN": typeHash, "SSCAN": typeSet, "ZSCAN": typeZSet}[c.cmd]
		if wrong || !value.exists() {
			return
		}
		items = elements(value)
		if e := value.encoding(); e != "hashtable" && e != "skiplist" {
			o.cursor, o.count = 0, len(items)
		}
	})
	if wrong {
		return c.fail(errWrongType)
	}
	items, next := page(items, o.cursor, o.count)
	var found []string
	for _, it := range items {
		if !glob(o.match, it.name) {
			continue
		}
		found = append(found, it.name)
		if c.cmd != "SSCAN" && !o.noValues {
			found = append(found, it.value)
		}
	}
	c.writePage(next, found)
	return true
}

func elements(value object) []item[string] {
	items := make([]item[string], 0, value.len())
	if value.kind == typeZSet {
		for member, score := range value.scores() {
			items = append(items, item[string]{place(member), member, formatScore(score)})
		}
		return items
	}
	for name, v := range value.pairs() {
		items = append(items, item[string]{place(name), name, v})
	}
	return items
}

// formatScore writes a score as Redis does: the shortest digits that read back
// as the same number.
func formatScore(score float64) string {
	text := strconv.FormatFloat(score, 'g', -1, 64)
	if score == float64(int64(score)) && score < 1e17 && score > -1e17 {
		return strconv.FormatInt(int64(score), 10)
	}
	return strings.ToLower(strings.Replace(text, "+Inf", "inf", 1))
}

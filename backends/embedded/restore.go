package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
)

const (
	errBadDump = "ERR DUMP payload version or checksum are wrong"
	errBadData = "ERR Bad data format"
)

var errDump = errors.New("bad data format")

// restore answers RESTORE: what DUMP here wrote, and what a real server wrote
// but for modules, ziplists (Redis before 7) and hashes with TTLs of fields.
func (c *call) restore() bool {
	if len(c.args) < 3 {
		return c.arity("restore")
	}
	if c.nested {
		return c.fail("ERR RESTORE in a script is beyond the embedded server")
	}
	o, problem := parseRestore(c.args[3:])
	if problem != "" {
		return c.fail(problem)
	}
	key, payload := c.args[0], c.args[2]
	ttl, ok := count(c.args[1])
	if !ok || ttl < 0 {
		return c.fail("ERR Invalid TTL value, must be >= 0")
	}
	left := time.Duration(ttl) * time.Millisecond
	if o.absolute && ttl > 0 {
		left = time.UnixMilli(int64(ttl)).Sub(c.now)
	}
	db := c.s.db.DB(c.db)
	if !o.replace && db.Exists(key) {
		return c.fail("BUSYKEY Target key name already exists.")
	}
	body := len(payload) - 10
	if body < 1 || binary.LittleEndian.Uint16([]byte(payload[body:])) > rdbNewestVersion ||
		binary.LittleEndian.Uint64([]byte(payload[body+2:])) != checksum([]byte(payload[:body+2])) {
		return c.fail(errBadDump)
	}
	put, err := readDump(payload[:body])
	if err != nil {
		return c.fail(errBadData)
	}
	db.Del(key)
	if ttl > 0 && left <= 0 {
		return c.ok()
	}
	if err := put(db, key); err != nil {
		return c.fail(errBadData)
	}
	if ttl > 0 {
		db.SetTTL(key, left)
	}
	c.locked(func() {
		u := fresh(c.now)
		u.at = u.at.Add(-o.idle)
		if o.frequency >= 0 {
			u.counter = uint8(o.frequency)
		}
		c.s.uses(c.db)[key] = u
	})
	return c.ok()
}

type restoreOptions struct {
	replace, absolute bool
	idle              time.Duration
	frequency         int // negative: not given
}

func parseRestore(args []string) (o restoreOptions, problem string) {
	o.frequency = -1
	for ; len(args) > 0; args = args[1:] {
		option := strings.ToUpper(args[0])
		switch {
		case option == "REPLACE":
			o.replace = true
		case option == "ABSTTL":
			o.absolute = true
		case option == "IDLETIME" && len(args) > 1:
			seconds, ok := count(args[1])
			if !ok || seconds < 0 {
				return o, "ERR Invalid IDLETIME value, must be >= 0"
			}
			o.idle, args = time.Duration(seconds)*time.Second, args[1:]
		case option == "FREQ" && len(args) > 1:
			n, ok := count(args[1])
			if !ok || n < 0 || n > 255 {
				return o, "ERR Invalid FREQ value, must be >= 0 and <= 255"
			}
			o.frequency, args = n, args[1:]
		default:
			return o, errSyntax
		}
	}
	return o, ""
}

// A reader takes a dump apart. The first error sticks.
type reader struct {
	rest string
	err  error
}

func (r *reader) take(n int) string {
	if r.err == nil && (n < 0 || n > len(r.rest)) {
		r.err = errDump
	}
	if r.err != nil {
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

func (r *reader) byte() byte {
	if s := r.take(1); s != "" {
		return s[0]
	}
	return 0
}

// length reads a length, or the kind of a special string.
func (r *reader) length() (n int, special bool) {
	first := r.byte()
	switch first >> 6 {
	case 0:
		return int(first), false
	case 1:
		return int(first&0x3F)<<8 | int(r.byte()), false
	case 3:
		return int(first & 0x3F), true
	}
	width := 4
	if first == 0x81 {
		width = 8
	}
	for _, b := range []byte(r.take(width)) {
		n = n<<8 | int(b)
	}
	return n, false
}

// count reads the number of elements to come.
func (r *reader) count() int {
	n, special := r.length()
	if special || n > len(r.rest) {
		r.fail()
		return 0
	}
	return n
}

func (r *reader) fail() {
	if r.err == nil {
		r.err = errDump
	}
}

func (r *reader) string() string {
	n, special := r.length()
	if !special {
		return r.take(n)
	}
	switch n {
	case 0, 1, 2:
		return strconv.FormatInt(signed([]byte(r.take(1<<n))), 10)
	case 3:
		packed, _ := r.length()
		size, _ := r.length()
		s, err := lzf(r.take(packed), size)
		if err != nil {
			r.fail()
		}
		return s
	}
	r.fail()
	return ""
}

// strings reads n strings.
func (r *reader) strings(n int) (list []string) {
	for ; n > 0 && r.err == nil; n-- {
		list = append(list, r.string())
	}
	return list
}

func (r *reader) listpack() []string {
	entries, err := readListpack([]byte(r.string()))
	if err != nil {
		r.fail()
	}
	return entries
}

// readDump reads a value and returns what writes it to a key that is not there.
func readDump(payload string) (put func(db *miniredis.RedisDB, key string) error, err error) {
	r := &reader{rest: payload}
	var list []string
	var entries []streamEntry
	kind := r.byte()
	switch kind {
	case rdbString:
		s := r.string()
		return func(db *miniredis.RedisDB, key string) error { return db.Set(key, s) }, r.err
	case rdbList, rdbSet:
		list = r.strings(r.count())
	case rdbHash:
		list = r.strings(2 * r.count())
	case rdbZSet:
		for n := r.count(); n > 0 && r.err == nil; n-- {
			list = append(list, r.string())
			if b := r.take(8); b != "" {
				list = append(list, formatScore(math.Float64frombits(binary.LittleEndian.Uint64([]byte(b)))))
			}
		}
	case rdbIntset:
		list = readIntset(r)
	case rdbQuicklist:
		list = r.quicklist()
	case rdbHashListpack, rdbZSetListpack, rdbSetListpack:
		list = r.listpack()
	case rdbStream, rdbStream2, rdbStream3:
		entries = r.stream()
	default:
		return nil, fmt.Errorf("type %d: %w", kind, errDump)
	}
	if r.err != nil || len(list)+len(entries) == 0 {
		return nil, errDump
	}
	return func(db *miniredis.RedisDB, key string) error { return write(db, key, kind, list, entries) }, nil
}

func write(db *miniredis.RedisDB, key string, kind byte, list []string, entries []streamEntry) (err error) {
	switch kind {
	case rdbList, rdbQuicklist:
		_, err = db.Push(key, list...)
	case rdbSet, rdbIntset, rdbSetListpack:
		_, err = db.SetAdd(key, list...)
	case rdbHash, rdbHashListpack:
		if len(list)%2 != 0 {
			return errDump
		}
		db.HSet(key, list...)
	case rdbZSet, rdbZSetListpack:
		for i := 0; i+1 < len(list) && err == nil; i += 2 {
			var score float64
			if score, err = strconv.ParseFloat(list[i+1], 64); err == nil {
				_, err = db.ZAdd(key, score, list[i])
			}
		}
	default:
		for _, e := range entries {
			if _, err = db.XAdd(key, e.id.String(), e.values); err != nil {
				return err
			}
		}
	}
	return err
}

func readIntset(r *reader) (list []string) {
	b := []byte(r.string())
	if len(b) < 8 {
		r.fail()
		return nil
	}
	width := int(binary.LittleEndian.Uint32(b))
	if width != 2 && width != 4 && width != 8 {
		r.fail()
		return nil
	}
	for b = b[8:]; len(b) >= width; b = b[width:] {
		list = append(list, strconv.FormatInt(signed(b[:width]), 10))
	}
	return list
}

func (r *reader) quicklist() (list []string) {
	for n := r.count(); n > 0 && r.err == nil; n-- {
		if container, _ := r.length(); container == 1 {
			list = append(list, r.string())
		} else {
			list = append(list, r.listpack()...)
		}
	}
	return list
}

// stream reads the entries and leaves the rest, IDs and groups, unread.
func (r *reader) stream() (entries []streamEntry) {
	for n := r.count(); n > 0 && r.err == nil; n-- {
		id := []byte(r.string())
		if len(id) != 16 {
			r.fail()
			return nil
		}
		first := streamID{binary.BigEndian.Uint64(id), binary.BigEndian.Uint64(id[8:])}
		some, err := readPack(first, r.listpack())
		if err != nil {
			r.fail()
		}
		entries = append(entries, some...)
	}
	return entries
}

// lzf unpacks what LZF packed (lzf_d.c of liblzf).
func lzf(in string, size int) (string, error) {
	if size < 0 || size > 512<<20 {
		return "", errDump
	}
	var out []byte
	for i := 0; i < len(in); {
		ctrl := int(in[i])
		i++
		if ctrl < 32 {
			if i+ctrl+1 > len(in) {
				return "", errDump
			}
			out = append(out, in[i:i+ctrl+1]...)
			i += ctrl + 1
			continue
		}
		length := ctrl >> 5
		if length == 7 && i < len(in) {
			length += int(in[i])
			i++
		}
		if i >= len(in) {
			return "", errDump
		}
		from := len(out) - (ctrl&0x1F)<<8 - int(in[i]) - 1
		i++
		if from < 0 {
			return "", errDump
		}
		for range length + 2 {
			out = append(out, out[from])
			from++
		}
	}
	if len(out) != size {
		return "", errDump
	}
	return string(out), nil
}

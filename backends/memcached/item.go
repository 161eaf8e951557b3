package memcached

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// An item is what a server tells of a key beside its value. Times are as the
// source gives them: absolute in a dump, relative in "me".
type item struct {
	key      string
	exp, la  int64
	cas      uint64
	fetched  bool
	class    int
	size     int64 // of the whole item
	value    int64 // bytes of its value, where the source tells these
	hasValue bool
	hasSize  bool
	flags    uint32
	hasExp   bool
	hasLa    bool
	hasFlags bool // from 1.6.24, in dumps only
}

// maxKey is the longest key in bytes, in every version and protocol.
const maxKey = 250

// checkKey refuses what cannot be a key, before anything is written.
func checkKey[K string | []byte](key K) error {
	switch {
	case len(key) == 0:
		return errors.New("a key of memcached has at least 1 byte")
	case len(key) > maxKey:
		return fmt.Errorf("the key has %d bytes: memcached takes %d", len(key), maxKey)
	}
	return nil
}

// plain tells whether the text protocol can carry key as it is. gomemcache
// draws the line at the same place.
func plain[K string | []byte](key K) bool {
	for i := range len(key) {
		if key[i] <= ' ' || key[i] == 0x7f {
			return false
		}
	}
	return true
}

// address writes key as the meta commands take it: as it is, or as base64 with
// the flag b behind it (protocol.txt, "Meta Commands"; from 1.6.10). Both name
// the same item, whatever protocol stored it.
func address[K string | []byte](to []byte, key K) (out []byte, flag string) {
	if plain(key) {
		return append(to, key...), ""
	}
	return base64.StdEncoding.AppendEncode(to, []byte(key)), " b"
}

var errTooLongForBase64 = fmt.Errorf("the key has bytes that only base64 can carry, and is too long for that (%d bytes at most)", maxKey/4*3)

// addressable refuses keys that no text command reaches: as base64 they exceed
// what the server takes for a key (measured on 1.6.18 and 1.6.38). Such keys
// come from the binary protocol; dumps list them.
func addressable[K string | []byte](key K) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if !plain(key) && base64.StdEncoding.EncodedLen(len(key)) > maxKey {
		return errTooLongForBase64
	}
	return nil
}

// setField reads one "name=value" of a dump line or of the answer to "me".
// Names that it does not know are skipped: newer servers have more.
func (it *item) setField(name, value []byte) (err error) {
	switch string(name) {
	case "exp":
		it.exp, err = number(value)
		it.hasExp = err == nil
	case "la":
		it.la, err = number(value)
		it.hasLa = err == nil
	case "cas":
		it.cas, err = strconv.ParseUint(string(value), 10, 64)
	case "fetch":
		it.fetched = string(value) == "yes"
	case "cls":
		var n int64
		n, err = number(value)
		it.class = int(n)
	case "size":
		it.size, err = number(value)
		if it.hasSize = err == nil; it.size < 0 {
			err = strconv.ErrRange
		}
	case "flags":
		var n uint64
		n, err = strconv.ParseUint(string(value), 10, 32)
		it.flags, it.hasFlags = uint32(n), err == nil
	}
	return err
}

// number reads a decimal of at most 18 digits: no time and no size has more,
// and sums of such numbers do not overflow.
func number(b []byte) (int64, error) {
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 18 {
		return 0, strconv.ErrRange
	}
	var n int64
	for _, digit := range b {
		if digit < '0' || digit > '9' {
			return 0, strconv.ErrSyntax
		}
		n = n*10 + int64(digit-'0')
	}
	if negative {
		n = -n
	}
	return n, nil
}

// setFields cuts line at its blanks, of which there may be too many (1.6.39 puts
// one at the end), and hands on what has the form name=value.
func (it *item) setFields(line []byte) error {
	for len(line) > 0 {
		var field []byte
		field, line, _ = bytes.Cut(line, []byte{' '})
		name, value, ok := bytes.Cut(field, []byte{'='})
		if !ok {
			continue
		}
		if err := it.setField(name, value); err != nil {
			return fmt.Errorf("%s: %w", printable(field), err)
		}
	}
	return nil
}

// entry tells of an item what want asks for and the source told. ttl and idle
// are seconds from now.
func (it *item) entry(want backends.Facts, p profile, ttl, idle int64) backends.Entry {
	e := backends.Entry{Key: it.key, Type: stringType, Have: backends.FactType, Size: it.size}
	if it.hasSize {
		e.Have |= want & backends.FactSize
	}
	if want.Has(backends.FactTTL) && it.hasExp {
		e.TTL = ttlOf(it.exp, ttl)
		e.Have |= backends.FactTTL
	}
	if want.Has(backends.FactIdle) && it.hasLa {
		e.Idle = seconds(max(idle, 0))
		e.Have |= backends.FactIdle
	}
	if want.Has(backends.FactGuard) && it.cas != 0 {
		e.Guard = guardOf(it.cas, "", p.run)
		e.Have |= backends.FactGuard
	}
	if want.Has(backends.FactElements) {
		if n, ok := p.valueSize(it); ok {
			e.Elements = n
			e.Have |= backends.FactElements
		}
	}
	return e
}

// ttlOf is the time left, where exp says that there is an end at all.
func ttlOf(exp, left int64) time.Duration {
	if exp == 0 || exp == -1 {
		return backends.NoTTL
	}
	return seconds(max(left, 0))
}

// seconds keeps within what a Duration holds: 292 years.
func seconds(n int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Second)
	return time.Duration(min(n, most)) * time.Second
}

package redis

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// An encoder writes the command that loads a record. It is one goroutine's.
type encoder struct {
	replace  bool
	absolute bool // SET takes PXAT (Redis 6.2)
	twins    twins
	payload  []byte
}

var (
	errForeign    = errors.New("its record was made by another kind of cache")
	errConnection = errors.New("a command that changes the connection, or answers when it likes, and not one key")
)

// The beginnings of commands, up to the key.
var (
	headSetKeep = head(4, "SET") // NX behind the value
	headSetPXNX = head(6, "SET")
)

// command appends the command that loads r. A string goes by SET, unless its idle time or
// frequency is known: that costs the server less than RESTORE, which it is for the rest.
func (e *encoder) command(dst []byte, r *backends.Record) ([]byte, error) {
	if len(r.Value) > maxBulk {
		return dst, fmt.Errorf("a value of %d bytes: a server takes %d (proto-max-bulk-len)", len(r.Value), maxBulk)
	}
	switch {
	case r.Form == formString && !r.Have.Has(backends.FactIdle) && !r.Have.Has(backends.FactFreq), r.Form == backends.FormMemcached:
		return e.set(dst, r), nil
	case r.Form == formRDB:
		return e.restore(dst, r, r.Value), nil
	case r.Form == formString:
		e.payload = appendString(append(e.payload[:0], typeString), r.Value)
	case collection(r.Form):
		var err error
		if e.payload, err = e.twins.payload(e.payload[:0], r.Form, r.Value); err != nil {
			return dst, err
		}
	case r.Form == backends.FormCommand:
		return appendRaw(dst, r.Value)
	default:
		return dst, fmt.Errorf("%w (%s)", errForeign, r.Form)
	}
	e.payload = appendFooter(e.payload)
	dst = e.restore(dst, r, e.payload)
	if cap(e.payload) > loadBytes {
		e.payload = nil
	}
	return dst, nil
}

func (e *encoder) set(dst []byte, r *backends.Record) []byte {
	first := headSet
	switch timed := !r.Expires.IsZero(); {
	case timed && e.replace:
		first = headSetPX
	case timed:
		first = headSetPXNX
	case !e.replace:
		first = headSetKeep
	}
	dst = bulk(appendBulk(append(dst, first...), r.Key), r.Value)
	if !r.Expires.IsZero() {
		at := r.Expires.UnixMilli()
		if e.absolute {
			dst = append(dst, "$4\r\nPXAT\r\n"...)
		} else {
			dst = append(dst, "$2\r\nPX\r\n"...)
			at = max(1, at-time.Now().UnixMilli())
		}
		dst = bulkNumber(dst, at)
	}
	if !e.replace {
		dst = append(dst, "$2\r\nNX\r\n"...)
	}
	return dst
}

func (e *encoder) restore(dst []byte, r *backends.Record, payload []byte) []byte {
	n := 5
	if e.replace {
		n++
	}
	freq := r.Have.Has(backends.FactFreq)
	heat := freq || r.Have.Has(backends.FactIdle)
	if heat {
		n += 2
	}
	dst = strconv.AppendInt(append(dst, '*'), int64(n), 10)
	dst = appendBulk(append(dst, "\r\n$7\r\nRESTORE\r\n"...), r.Key)
	ttl := int64(0)
	if !r.Expires.IsZero() {
		ttl = r.Expires.UnixMilli()
	}
	dst = append(bulk(bulkNumber(dst, ttl), payload), "$6\r\nABSTTL\r\n"...)
	if e.replace {
		dst = append(dst, "$7\r\nREPLACE\r\n"...)
	}
	switch {
	case freq:
		dst = bulkNumber(append(dst, "$4\r\nFREQ\r\n"...), min(r.Freq, 255))
	case heat:
		dst = bulkNumber(append(dst, "$8\r\nIDLETIME\r\n"...), int64(r.Idle/time.Second))
	}
	return dst
}

func appendBulk(dst []byte, arg string) []byte {
	dst = strconv.AppendInt(append(dst, '$'), int64(len(arg)), 10)
	return append(append(append(dst, "\r\n"...), arg...), "\r\n"...)
}

func bulkNumber(dst []byte, n int64) []byte {
	var digits [20]byte
	return bulk(dst, strconv.AppendInt(digits[:0], n, 10))
}

// appendRaw appends a command as it stands, if it is one, and one that gets one answer at
// once and leaves the connection as it is: others would put all that follow out of step.
func appendRaw(dst, value []byte) ([]byte, error) {
	if err := backends.CheckCommand(value); err != nil {
		return dst, err
	}
	if unfit(value) {
		return dst, errConnection
	}
	return append(dst, value...), nil
}

// longestName is more than the name of any command has.
const longestName = 24

// commandName is the first argument of a command that is one, in small letters; nothing
// where that is too long.
func commandName(name *[longestName]byte, value []byte) []byte {
	_, rest, _ := bytes.Cut(value, []byte("\r\n$"))
	size, rest, _ := bytes.Cut(rest, []byte("\r\n"))
	n, err := number(size, maxBulk)
	if err != nil || n > longestName || n > int64(len(rest)) {
		return nil
	}
	for i, c := range rest[:n] {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		name[i] = c
	}
	return name[:n]
}

func unfit(value []byte) bool {
	var name [longestName]byte
	switch string(commandName(&name, value)) {
	case "", "subscribe", "psubscribe", "ssubscribe", "unsubscribe", "punsubscribe", "sunsubscribe", "monitor", "sync", "psync",
		"client", "quit", "reset", "hello", "auth", "select", "multi", "exec", "discard", "watch", "unwatch", "asking",
		"readonly", "readwrite", "replconf", "shutdown", "debug", "wait", "waitaof",
		"blpop", "brpop", "blmove", "brpoplpush", "blmpop", "bzpopmin", "bzpopmax", "bzmpop", "xread", "xreadgroup":
		return true
	}
	return false
}

// repeatable tells whether a command does nothing else when it is carried out twice.
func repeatable(value []byte) bool {
	var name [longestName]byte
	switch string(commandName(&name, value)) {
	case "set", "setex", "psetex", "mset", "setrange", "setbit", "hset", "hmset", "sadd", "pfadd", "geoadd", "del", "unlink",
		"expireat", "pexpireat", "hexpireat", "hpexpireat", "persist", "hdel", "srem", "zrem":
		return true
	}
	return false
}

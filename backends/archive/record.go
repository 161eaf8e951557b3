package archive

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// The flags of a record say which fields it has.
const (
	hasMore = 1 << iota
	hasPart
	hasExpiry
	hasIdle
	hasFreq
	hasFlags
	knowsTTL
	hasShard
)

// leastRecord is the length of the shortest record: an empty key without anything.
const leastRecord = 5

// appendRecord writes flags, key, form, type, the fields that the flags name, value.
func appendRecord(b []byte, r *backends.Record) []byte {
	var flags byte
	set := func(bit byte, on bool) {
		if on {
			flags |= bit
		}
	}
	set(hasMore, r.More)
	set(hasPart, r.Part != 0)
	set(hasExpiry, !r.Expires.IsZero())
	set(hasIdle, r.Have.Has(backends.FactIdle))
	set(hasFreq, r.Have.Has(backends.FactFreq))
	set(hasFlags, r.Flags != 0)
	set(knowsTTL, r.Have.Has(backends.FactTTL))
	set(hasShard, r.Shard != "")
	b = append(b, flags)
	b = appendString(b, r.Key)
	b = appendString(b, r.Form)
	b = appendString(b, r.Type)
	if flags&hasPart != 0 {
		b = binary.AppendUvarint(b, uint64(r.Part))
	}
	if flags&hasExpiry != 0 {
		b = binary.AppendVarint(b, r.Expires.UnixMilli())
	}
	if flags&hasIdle != 0 {
		b = binary.AppendUvarint(b, uint64(max(r.Idle, 0)/time.Millisecond))
	}
	if flags&hasFreq != 0 {
		b = binary.AppendUvarint(b, uint64(max(r.Freq, 0)))
	}
	if flags&hasFlags != 0 {
		b = binary.AppendUvarint(b, uint64(r.Flags))
	}
	if flags&hasShard != 0 {
		b = appendString(b, r.Shard)
	}
	b = binary.AppendUvarint(b, uint64(len(r.Value)))
	return append(b, r.Value...)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

var errRecord = errors.New("a record that makes no sense")

// A cursor takes records apart. After the first error everything is zero.
type cursor struct {
	rest []byte
	bad  bool
}

func (c *cursor) uvarint(most uint64) uint64 {
	n, size := binary.Uvarint(c.rest)
	if size <= 0 || n > most || c.bad {
		c.bad = true
		return 0
	}
	c.rest = c.rest[size:]
	return n
}

func (c *cursor) bytes() []byte {
	n := c.uvarint(mostKey)
	if n > uint64(len(c.rest)) {
		c.bad = true
		return nil
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

// parseRecords reads the n records of a block, to its last byte. Their values share its
// memory.
func parseRecords(block []byte, n int) ([]backends.Record, error) {
	records := make([]backends.Record, 0, n)
	c := cursor{rest: block}
	for range n {
		r := c.record()
		if c.bad {
			return nil, errRecord
		}
		records = append(records, r)
	}
	if len(c.rest) != 0 {
		return nil, errRecord
	}
	return records, nil
}

func (c *cursor) record() (r backends.Record) {
	if len(c.rest) == 0 {
		c.bad = true
		return r
	}
	flags := c.rest[0]
	c.rest = c.rest[1:]
	r.Key, r.Form, r.Type = string(c.bytes()), string(c.bytes()), string(c.bytes())
	r.More = flags&hasMore != 0
	if flags&hasPart != 0 {
		r.Part = int(c.uvarint(math.MaxInt32))
	}
	if flags&hasExpiry != 0 {
		ms, size := binary.Varint(c.rest)
		if size <= 0 || ms > 1<<52 || ms < -1<<52 {
			c.bad = true
			return r
		}
		c.rest = c.rest[size:]
		r.Expires = time.UnixMilli(ms)
	}
	if flags&hasIdle != 0 {
		r.Idle = time.Duration(c.uvarint(math.MaxInt64/uint64(time.Millisecond))) * time.Millisecond
		r.Have |= backends.FactIdle
	}
	if flags&hasFreq != 0 {
		r.Freq = int64(c.uvarint(math.MaxInt64))
		r.Have |= backends.FactFreq
	}
	if flags&hasFlags != 0 {
		r.Flags = uint32(c.uvarint(math.MaxUint32))
	}
	if flags&knowsTTL != 0 {
		r.Have |= backends.FactTTL
	}
	if flags&hasShard != 0 {
		r.Shard = string(c.bytes())
	}
	r.Value = c.bytes()
	return r
}

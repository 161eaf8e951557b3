package embedded

import (
	"encoding/binary"
	"hash/crc64"
	"math"
)

// Types of values in a dump (rdb.h of Redis 7.2).
const (
	rdbString        = 0
	rdbList          = 1
	rdbSet           = 2
	rdbHash          = 4
	rdbZSet          = 5 // scores in binary
	rdbIntset        = 11
	rdbHashListpack  = 16
	rdbZSetListpack  = 17
	rdbQuicklist     = 18 // of listpacks
	rdbSetListpack   = 20
	rdbStream        = 15 // of listpacks
	rdbStream2       = 19 // with first ID and entries added
	rdbStream3       = 21 // with a second time for consumers
	rdbVersion       = 9  // of what is written: any server since Redis 5 takes it
	rdbNewestVersion = 11 // of what is read
)

// Redis computes CRC-64/Jones with neither an initial value nor a final one.
var jones = crc64.MakeTable(0x95ac9329ac4bc9b5)

func checksum(b []byte) uint64 { return ^crc64.Update(^uint64(0), jones, b) }

// dump answers DUMP with what a real server can RESTORE. A HyperLogLog comes
// without its registers, a stream without its groups, a hash without the TTLs
// of its fields.
func (c *call) dump() bool {
	if len(c.args) != 1 {
		return c.arity("dump")
	}
	var b []byte
	c.locked(func() {
		value := c.s.keyspace(c.db).value(c.args[0])
		if value.exists() && value.kind != typeHLL {
			b = value.dump()
		}
		if value.kind == typeHLL {
			b = dumpBytes([]byte{rdbString}, emptyHLL(-1))
		}
	})
	if b == nil {
		return c.null()
	}
	b = binary.LittleEndian.AppendUint16(b, rdbVersion)
	b = binary.LittleEndian.AppendUint64(b, checksum(b))
	return c.bulk(string(b))
}

func dumpLen(b []byte, n int) []byte {
	switch {
	case n < 1<<6:
		return append(b, byte(n))
	case n < 1<<14:
		return append(b, 0x40|byte(n>>8), byte(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, 0x80), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 0x81), uint64(n))
}

func dumpBytes[T ~string | ~[]byte](b []byte, s T) []byte { return append(dumpLen(b, len(s)), s...) }

func (o object) dump() []byte {
	switch o.kind {
	case typeString:
		return dumpBytes([]byte{rdbString}, o.string())
	case typeList:
		b := dumpLen([]byte{rdbList}, o.len())
		for e := range o.elements() {
			b = dumpBytes(b, e)
		}
		return b
	case typeSet:
		b := dumpLen([]byte{rdbSet}, o.len())
		for member := range o.pairs() {
			b = dumpBytes(b, member)
		}
		return b
	case typeHash:
		b := dumpLen([]byte{rdbHash}, o.len())
		for field, value := range o.pairs() {
			b = dumpBytes(dumpBytes(b, field), value)
		}
		return b
	case typeZSet:
		b := dumpLen([]byte{rdbZSet}, o.len())
		for member, score := range o.scores() {
			b = binary.LittleEndian.AppendUint64(dumpBytes(b, member), math.Float64bits(score))
		}
		return b
	case typeStream:
		return o.dumpStream()
	}
	return nil
}

func (o object) dumpStream() []byte {
	packs := streamPacks(o)
	b := dumpLen([]byte{rdbStream}, len(packs))
	for _, p := range packs {
		b = dumpBytes(dumpBytes(b, p.first.bytes()), p.whole().bytes())
	}
	var last streamID
	for id := range o.entries() {
		last = parseID(id)
	}
	b = dumpLen(b, o.len())
	b = dumpLen(dumpLen(b, int(last.ms)), int(last.seq))
	return dumpLen(b, 0) // groups
}

// emptyHLL is a HyperLogLog as a string, dense, with its estimate but without
// its registers, which miniredis does not tell. A negative estimate is unknown.
func emptyHLL(estimate int) []byte {
	b := make([]byte, sizeHLL)
	copy(b, "HYLL")
	if estimate < 0 {
		b[15] = 0x80 // the estimate is stale
	} else {
		binary.LittleEndian.PutUint64(b[8:], uint64(estimate))
	}
	return b
}

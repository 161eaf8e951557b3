package redis

import (
	"encoding/binary"
	"hash/crc64"
	"strconv"

	"github.com/cachectl/cachectl/backends"
)

// The forms of records.
const (
	formString   = backends.FormString
	formRDB      = "rdb"      // what DUMP gives
	formCommands = "commands" // commands that build the value, see commands
)

// rdbVersion is that of the payload made here: every server since Redis 2.6 takes it.
const rdbVersion = 6

// Redis computes CRC-64/Jones with neither an initial value nor a final one (crc64.c).
var jones = crc64.MakeTable(0x95ac9329ac4bc9b5)

// stringPayload is what DUMP would give of a string: type 0, length, bytes, version,
// checksum (rdb.c, createDumpPayload). To make it here costs the server a third of what
// its own DUMP costs, which compresses (measured on values of 1 KB).
func stringPayload(value []byte) []byte {
	return appendFooter(appendString([]byte{typeString}, value))
}

// appendFooter ends a payload.
func appendFooter(b []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, rdbVersion)
	return binary.LittleEndian.AppendUint64(b, ^crc64.Update(^uint64(0), jones, b))
}

// appendLength is rdbSaveLen.
func appendLength(b []byte, n int) []byte {
	switch {
	case n < 1<<6:
		return append(b, byte(n))
	case n < 1<<14:
		return append(b, 0x40|byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint32(append(b, 0x80), uint32(n))
}

func appendString(b, s []byte) []byte { return append(appendLength(b, len(s)), s...) }

// scoreText is a score as ZADD reads it, exactly.
func scoreText(score float64) string { return strconv.FormatFloat(score, 'g', 17, 64) }

// commands is a piece of a value as the commands that build it: each the number of its
// arguments and these, without the key; numbers as uvarints, arguments behind their
// length.
type commands []byte

func (c *commands) add(args ...string) {
	b := binary.AppendUvarint(*c, uint64(len(args)))
	for _, arg := range args {
		b = binary.AppendUvarint(b, uint64(len(arg)))
		b = append(b, arg...)
	}
	*c = b
}

// builders are the commands that may build a value, and where their key stands. No other
// is ever sent, whatever a file says.
var builders = map[string]int{
	"append": 1, "rpush": 1, "sadd": 1, "hset": 1, "hpexpireat": 1, "zadd": 1,
	"xadd": 1, "xsetid": 1, "xgroup": 2, "xclaim": 1,
}

// each reads the commands, with the key put in. ok is false where they make no sense.
func (c commands) each(key string, visit func(args []string)) (ok bool) {
	rest := []byte(c)
	number := func() (int, bool) {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > uint64(len(rest)) {
			return 0, false
		}
		rest = rest[size:]
		return int(n), true
	}
	for len(rest) > 0 {
		n, ok := number()
		if !ok || n == 0 {
			return false
		}
		args := make([]string, 0, n+1)
		for range n {
			length, ok := number()
			if !ok || length > len(rest) {
				return false
			}
			args = append(args, string(rest[:length]))
			rest = rest[length:]
		}
		at, known := builders[args[0]]
		if !known || at > len(args) || args[0] == "xgroup" && args[1] != "create" && args[1] != "createconsumer" {
			return false
		}
		args = append(args[:at], append([]string{key}, args[at:]...)...)
		visit(args)
	}
	return true
}

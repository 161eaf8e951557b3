package source

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// mostPacked is what a packed item takes at most, beside the bytes of its strings.
const mostPacked = 4 + 8 + 8 + 12*binary.MaxVarintLen64

// Bits that say what a packed item has.
const (
	packedExpires = 1 << iota
	packedMore
)

// appendItem packs an item without its offset: length of what follows, heat, and then the
// fields. It never leaves the process.
func appendItem(b []byte, it *Item) []byte {
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(it.Heat))
	var bits uint64
	if !it.Expires.IsZero() {
		bits |= packedExpires
	}
	if it.More {
		bits |= packedMore
	}
	for _, n := range []uint64{bits, uint64(it.Flags), uint64(it.Idle), uint64(it.Freq), uint64(it.Have), uint64(it.Part), uint64(it.Line)} {
		b = binary.AppendUvarint(b, n)
	}
	if bits&packedExpires != 0 {
		b = binary.AppendVarint(b, it.Expires.UnixMilli())
	}
	for _, s := range []string{it.Key, it.Form, it.Type, it.Shard} {
		b = backends.AppendElement(b, s)
	}
	b = backends.AppendElement(b, it.Value)
	binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}

func packedHeat(packed []byte) float64 {
	return math.Float64frombits(binary.LittleEndian.Uint64(packed[4:]))
}

// An unpacker makes items of packed ones, in memory of its own.
type unpacker struct {
	memory []byte
	keys   keyring
	words  map[string]string // forms, types and nodes, which are few
	rest   []byte
	bad    bool
}

func (u *unpacker) item(packed []byte) (it Item, ok bool) {
	if cap(u.memory)-len(u.memory) < len(packed) {
		u.memory = make([]byte, 0, max(chunkSize, len(packed)))
	}
	at := len(u.memory)
	u.memory = append(u.memory, packed...)
	u.rest, u.bad = u.memory[at:len(u.memory):len(u.memory)][4:], false
	it.Heat = packedHeat(packed)
	u.rest = u.rest[8:]
	bits := u.uvarint()
	it.Flags, it.Idle, it.Freq = uint32(u.uvarint()), time.Duration(u.uvarint()), int64(u.uvarint())
	it.Have, it.Part, it.Line = backends.Facts(u.uvarint()), int(u.uvarint()), int64(u.uvarint())
	it.More = bits&packedMore != 0
	if bits&packedExpires != 0 {
		ms, size := binary.Varint(u.rest)
		if size <= 0 {
			return it, false
		}
		it.Expires, u.rest = time.UnixMilli(ms), u.rest[size:]
	}
	it.Key = u.keys.of(u.bytes())
	it.Form, it.Type, it.Shard = u.word(u.bytes()), u.word(u.bytes()), u.word(u.bytes())
	it.Value = u.bytes()
	return it, !u.bad && len(u.rest) == 0
}

func (u *unpacker) uvarint() uint64 {
	n, size := binary.Uvarint(u.rest)
	if size <= 0 {
		u.bad = true
		return 0
	}
	u.rest = u.rest[size:]
	return n
}

func (u *unpacker) bytes() []byte {
	n := u.uvarint()
	if n > uint64(len(u.rest)) {
		u.bad = true
		return nil
	}
	b := u.rest[:n:n]
	u.rest = u.rest[n:]
	return b
}

func (u *unpacker) word(b []byte) string {
	if w, ok := u.words[string(b)]; ok {
		return w
	}
	if u.words == nil || len(u.words) > 1000 {
		u.words = make(map[string]string)
	}
	w := string(b)
	u.words[w] = w
	return w
}

package fleet

import (
	"encoding/binary"
	"strconv"
	"time"
)

// A kept value is a header of headSize bytes and what pads it to the size that is wanted: magic, the run's own
// number, then version, read, took, soft and expires, eight bytes each, little-endian. Times are since the start of
// the run, so what another run left is foreign.
const (
	magic    = "cachectl"
	headSize = len(magic) + 6*8
)

// A wording is how one run names and writes what it keeps in the cache.
type wording struct {
	prefix string
	run    uint64
	size   int           // bytes of a value
	keep   time.Duration // TTL of what has none, so that nothing stays should nobody come back to remove it
}

// appendKey appends the name of a key: its number is the hash tag, which its lock shares.
func (w *wording) appendKey(to []byte, key Key, lock bool) []byte {
	to = append(append(to, w.prefix...), '{')
	to = append(strconv.AppendUint(to, uint64(key), 10), '}')
	if lock {
		to = append(to, ":lock"...)
	}
	return to
}

// appendValue appends v as it is kept.
func (w *wording) appendValue(to []byte, v *Value) []byte {
	to = append(to, magic...)
	for _, n := range [...]uint64{w.run, v.Version, uint64(v.Read), uint64(v.Took), uint64(v.Soft), uint64(v.Expires)} {
		to = binary.LittleEndian.AppendUint64(to, n)
	}
	for more := w.size - headSize; more > 0; {
		n := min(more, len(padding))
		to = append(to, padding[:n]...)
		more -= n
	}
	return to
}

var padding [1024]byte

// value reads what was kept. false: it is not of this run.
func (w *wording) value(b []byte, v *Value) bool {
	if len(b) < headSize || string(b[:len(magic)]) != magic {
		return false
	}
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(b[len(magic)+8*i:]) }
	if word(0) != w.run || word(1) == 0 {
		return false
	}
	*v = Value{Version: word(1), Read: time.Duration(word(2)), Took: time.Duration(word(3)), Soft: time.Duration(word(4)), Expires: time.Duration(word(5))}
	return true
}

// lasting is the TTL that the server is given for one of ours, which is 0 for none.
func (w *wording) lasting(ttl time.Duration) time.Duration {
	if ttl == 0 {
		return w.keep
	}
	return ttl
}

func appendToken(to []byte, token uint64) []byte { return strconv.AppendUint(to, token, 16) }

// Messages are the run's number, the key's and the version, eight bytes each.
const messageSize = 3 * 8

func (w *wording) appendMessage(to []byte, key Key, version uint64) []byte {
	for _, n := range [...]uint64{w.run, uint64(key), version} {
		to = binary.LittleEndian.AppendUint64(to, n)
	}
	return to
}

func (w *wording) message(b []byte) (key Key, version uint64, ours bool) {
	if len(b) != messageSize || binary.LittleEndian.Uint64(b) != w.run {
		return 0, 0, false
	}
	return Key(binary.LittleEndian.Uint64(b[8:])), binary.LittleEndian.Uint64(b[16:]), true
}

func (w *wording) channel() string { return w.prefix + "changes" }

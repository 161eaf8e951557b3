package embedded

import (
	"encoding/binary"
	"errors"
	"strconv"
)

// A listpack is the compact encoding of small values (listpack.c of Redis 7):
// what DUMP of a stream is made of, and what sizes are reckoned from.
type listpack struct {
	body []byte // entries, without header and end
	n    int
}

// The header, total bytes and number of entries, and the end byte.
const (
	listpackHead = 6
	listpackEnd  = 0xFF
)

func (l *listpack) size() int { return listpackHead + len(l.body) + 1 }

func (l *listpack) bytes() []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(l.size()))
	b = binary.LittleEndian.AppendUint16(b, uint16(min(l.n, 65535)))
	return append(append(b, l.body...), listpackEnd)
}

func (l *listpack) add(entries ...string) {
	for _, e := range entries {
		if n, ok := integer(e); ok {
			l.addInt(n)
			continue
		}
		start := len(l.body)
		switch {
		case len(e) < 64:
			l.body = append(l.body, 0x80|byte(len(e)))
		case len(e) < 4096:
			l.body = append(l.body, 0xE0|byte(len(e)>>8), byte(len(e)))
		default:
			l.body = binary.LittleEndian.AppendUint32(append(l.body, 0xF0), uint32(len(e)))
		}
		l.body = append(l.body, e...)
		l.back(start)
	}
}

func (l *listpack) addInt(v int64) {
	start := len(l.body)
	le := binary.LittleEndian.AppendUint64(nil, uint64(v))
	switch {
	case v >= 0 && v < 128:
		l.body = append(l.body, byte(v))
	case v >= -4096 && v < 4096:
		l.body = append(l.body, 0xC0|byte(v>>8)&0x1F, byte(v))
	case v >= -1<<15 && v < 1<<15:
		l.body = append(append(l.body, 0xF1), le[:2]...)
	case v >= -1<<23 && v < 1<<23:
		l.body = append(append(l.body, 0xF2), le[:3]...)
	case v >= -1<<31 && v < 1<<31:
		l.body = append(append(l.body, 0xF3), le[:4]...)
	default:
		l.body = append(append(l.body, 0xF4), le...)
	}
	l.back(start)
}

// back ends an entry with its length, to be read backwards.
func (l *listpack) back(start int) {
	length := len(l.body) - start
	width := backWidth(length)
	for i := width - 1; i >= 0; i-- {
		b := byte(length>>(7*i)) & 0x7F
		if i < width-1 {
			b |= 0x80
		}
		l.body = append(l.body, b)
	}
	l.n++
}

func backWidth(length int) int {
	switch {
	case length <= 127:
		return 1
	case length < 1<<14-1:
		return 2
	case length < 1<<21-1:
		return 3
	case length < 1<<28-1:
		return 4
	}
	return 5
}

var errListpack = errors.New("broken listpack")

// readListpack returns the entries of a listpack, integers in decimal.
func readListpack(b []byte) (entries []string, err error) {
	if len(b) < listpackHead+1 || b[len(b)-1] != listpackEnd {
		return nil, errListpack
	}
	b = b[listpackHead : len(b)-1]
	for len(b) > 0 {
		entry, length, err := readEntry(b)
		if err != nil {
			return nil, err
		}
		length += backWidth(length)
		if length > len(b) {
			return nil, errListpack
		}
		entries, b = append(entries, entry), b[length:]
	}
	return entries, nil
}

// readEntry returns the first entry of b and its length without the back length.
func readEntry(b []byte) (entry string, length int, err error) {
	head, size := 1, 0 // of the encoding, and of the string or integer
	first := b[0]
	isInt := false
	switch {
	case first < 0x80:
		return strconv.Itoa(int(first)), 1, nil
	case first < 0xC0:
		size = int(first & 0x3F)
	case first < 0xE0:
		if len(b) < 2 {
			return "", 0, errListpack
		}
		v := int(first&0x1F)<<8 | int(b[1])
		if v >= 1<<12 {
			v -= 1 << 13
		}
		return strconv.Itoa(v), 2, nil
	case first < 0xF0:
		if len(b) < 2 {
			return "", 0, errListpack
		}
		head, size = 2, int(first&0x0F)<<8|int(b[1])
	case first == 0xF0:
		if len(b) < 5 {
			return "", 0, errListpack
		}
		head, size = 5, int(binary.LittleEndian.Uint32(b[1:]))
	case first <= 0xF4:
		isInt, size = true, []int{2, 3, 4, 8}[first-0xF1]
	default:
		return "", 0, errListpack
	}
	if len(b)-head < size {
		return "", 0, errListpack
	}
	data := b[head : head+size]
	if isInt {
		return strconv.FormatInt(signed(data), 10), head + size, nil
	}
	return string(data), head + size, nil
}

// signed reads a little-endian integer of one to eight bytes.
func signed(b []byte) (v int64) {
	for i, c := range b {
		v |= int64(c) << (8 * i)
	}
	unused := 64 - 8*len(b)
	return v << unused >> unused
}

// integer reads s as a number if a server would keep it as one: decimal, within
// 64 bits, and written in the one canonical way.
func integer(s string) (int64, bool) {
	if s == "" || len(s) > 20 {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && strconv.FormatInt(n, 10) == s
}

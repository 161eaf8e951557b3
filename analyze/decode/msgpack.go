package decode

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// maxDepth is how deep msgpack may nest. Real values stay far below.
const maxDepth = 100

var errNotMsgpack = errors.New("not msgpack")

// fromMsgpack turns a map or an array into JSON on one line, at most limit
// bytes of it. It says no where something is left over or missing, and where
// the bytes could be anything: nearly every byte is a small integer to msgpack,
// so some text, or two values that carry their type, must be among them.
//
// What JSON has no form for becomes a string: bytes (and strings that are not
// UTF-8) in base64, timestamps as in RFC 3339, map keys of other types as their
// JSON, floats that are no numbers by name. Other extensions become
// {"ext":type,"data":base64}.
func fromMsgpack(value []byte, limit int) (json.RawMessage, bool) {
	if len(value) == 0 || !isContainer(value[0]) {
		return nil, false
	}
	in := bytes.NewReader(value)
	m := &transcoder{in: in, dec: msgpack.NewDecoder(in), limit: limit}
	m.str = json.NewEncoder(&m.out)
	m.str.SetEscapeHTML(false)
	if err := m.value(0); err != nil || in.Len() > 0 || m.evidence < 2 {
		return nil, false
	}
	return m.out.Bytes(), true
}

func isContainer(c byte) bool { return isMap(c) || isArray(c) }

func isMap(c byte) bool {
	return msgpcode.IsFixedMap(c) || c == msgpcode.Map16 || c == msgpcode.Map32
}

func isArray(c byte) bool {
	return msgpcode.IsFixedArray(c) || c == msgpcode.Array16 || c == msgpcode.Array32
}

// A transcoder writes JSON while it reads msgpack. in is the decoder's own
// reader: what is left in it bounds what a length may claim.
type transcoder struct {
	in       *bytes.Reader
	dec      *msgpack.Decoder
	out      bytes.Buffer
	str      *json.Encoder // writes to out
	limit    int
	evidence int // that this is msgpack: 2 for text, 1 for a type byte that could not be a small integer
}

func (m *transcoder) value(depth int) error {
	code, err := m.dec.PeekCode()
	if err != nil {
		return err
	}
	if depth > maxDepth || m.out.Len() > m.limit {
		return errNotMsgpack
	}
	switch {
	case isMap(code):
		err = m.mapping(depth)
	case isArray(code):
		err = m.array(depth)
	case msgpcode.IsString(code) || msgpcode.IsBin(code):
		err = m.bytes(msgpcode.IsString(code))
	case msgpcode.IsExt(code):
		err = m.ext()
	default:
		err = m.scalar(code)
	}
	if err == nil && m.out.Len() > m.limit {
		err = errNotMsgpack
	}
	return err
}

func (m *transcoder) mapping(depth int) error {
	n, err := m.dec.DecodeMapLen()
	if err != nil || n > m.in.Len()/2 {
		return errNotMsgpack
	}
	m.out.WriteByte('{')
	for i := range n {
		if i > 0 {
			m.out.WriteByte(',')
		}
		if err := m.key(depth + 1); err != nil {
			return err
		}
		m.out.WriteByte(':')
		if err := m.value(depth + 1); err != nil {
			return err
		}
	}
	m.out.WriteByte('}')
	return nil
}

// key writes a key, and quotes what did not come out as a string.
func (m *transcoder) key(depth int) error {
	start := m.out.Len()
	if err := m.value(depth); err != nil {
		return err
	}
	if written := m.out.Bytes()[start:]; written[0] != '"' {
		text := string(written)
		m.out.Truncate(start)
		m.string(text)
	}
	return nil
}

func (m *transcoder) array(depth int) error {
	n, err := m.dec.DecodeArrayLen()
	if err != nil || n > m.in.Len() {
		return errNotMsgpack
	}
	m.out.WriteByte('[')
	for i := range n {
		if i > 0 {
			m.out.WriteByte(',')
		}
		if err := m.value(depth + 1); err != nil {
			return err
		}
	}
	m.out.WriteByte(']')
	return nil
}

func (m *transcoder) bytes(isText bool) error {
	n, err := m.dec.DecodeBytesLen()
	if err != nil {
		return err
	}
	data, err := m.take(n)
	if err != nil {
		return err
	}
	if !isText || !utf8.Valid(data) {
		if !isText {
			m.evidence++
		}
		m.string(base64.StdEncoding.EncodeToString(data))
		return nil
	}
	if n > 0 && printable(data) {
		m.evidence += 2
	}
	m.string(string(data))
	return nil
}

// take reads n bytes, which must be there.
func (m *transcoder) take(n int) ([]byte, error) {
	if n < 0 || n > m.in.Len() {
		return nil, errNotMsgpack
	}
	data := make([]byte, n)
	return data, m.dec.ReadFull(data)
}

func (m *transcoder) ext() error {
	kind, n, err := m.dec.DecodeExtHeader()
	if err != nil {
		return err
	}
	data, err := m.take(n)
	if err != nil {
		return err
	}
	m.evidence++
	if at, ok := timestamp(kind, data); ok {
		m.string(at.Format(time.RFC3339Nano))
		return nil
	}
	m.out.WriteString(`{"ext":` + strconv.Itoa(int(kind)) + `,"data":`)
	m.string(base64.StdEncoding.EncodeToString(data))
	m.out.WriteByte('}')
	return nil
}

// timestamp reads the extension type -1 in its three forms: seconds in 32 bits;
// nanoseconds in 30 and seconds in 34; nanoseconds in 32 and seconds in 64.
func timestamp(kind int8, data []byte) (time.Time, bool) {
	if kind != -1 {
		return time.Time{}, false
	}
	var sec int64
	var nsec uint32
	switch len(data) {
	case 4:
		sec = int64(binary.BigEndian.Uint32(data))
	case 8:
		both := binary.BigEndian.Uint64(data)
		sec, nsec = int64(both&(1<<34-1)), uint32(both>>34)
	case 12:
		sec, nsec = int64(binary.BigEndian.Uint64(data[4:])), binary.BigEndian.Uint32(data)
	default:
		return time.Time{}, false
	}
	// RFC 3339 knows the years 0 to 9999.
	if nsec > 999_999_999 || sec < -62_167_219_200 || sec > 253_402_300_799 {
		return time.Time{}, false
	}
	return time.Unix(sec, int64(nsec)).UTC(), true
}

func (m *transcoder) scalar(code byte) error {
	if !msgpcode.IsFixedNum(code) {
		m.evidence++
	}
	switch code {
	case msgpcode.Nil:
		m.out.WriteString("null")
		return m.dec.DecodeNil()
	case msgpcode.True, msgpcode.False:
		b, err := m.dec.DecodeBool()
		m.out.WriteString(strconv.FormatBool(b))
		return err
	case msgpcode.Float:
		f, err := m.dec.DecodeFloat32()
		m.float(float64(f), 32)
		return err
	case msgpcode.Double:
		f, err := m.dec.DecodeFloat64()
		m.float(f, 64)
		return err
	case msgpcode.Uint8, msgpcode.Uint16, msgpcode.Uint32, msgpcode.Uint64:
		n, err := m.dec.DecodeUint64()
		m.out.WriteString(strconv.FormatUint(n, 10))
		return err
	}
	n, err := m.dec.DecodeInt64()
	m.out.WriteString(strconv.FormatInt(n, 10))
	return err
}

// float writes the shortest number that reads back as f, and never one that
// looks like an integer.
func (m *transcoder) float(f float64, bits int) {
	switch {
	case math.IsNaN(f):
		m.string("NaN")
		return
	case math.IsInf(f, 0):
		m.string(strconv.FormatFloat(f, 'g', -1, bits))
		return
	}
	digits := strconv.AppendFloat(nil, f, 'g', -1, bits)
	if !bytes.ContainsAny(digits, ".e") {
		digits = append(digits, ".0"...)
	}
	m.out.Write(digits)
}

func (m *transcoder) string(s string) {
	// A bytes.Buffer takes everything, and a string always has a JSON form.
	if err := m.str.Encode(s); err == nil {
		m.out.Truncate(m.out.Len() - 1) // the newline
	}
}

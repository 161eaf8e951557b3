// Package archive is the file that a backup goes to: records of keys in blocks, each
// compressed and checksummed for itself. It knows what a record is, and nothing about
// the caches that records come from and go to.
//
//	records -> Writer: block by block, durable at Sync -> file
//	file -> Reader: whole blocks -> records, and a *TornError for what is missing
//
// It keeps to two rules. What was synced can be read again, whatever happened to the
// process or the end of the file. Only what a Writer wrote is handed out: every byte
// stands under a checksum, and every block bears the number of its file, so that a
// backup inside a value is not taken for a part of this one. docs/backup-format.md
// describes the file byte by byte.
package archive

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// The file's beginning: magic, version of the format, number of the file.
const (
	magic      = "\x89cachectl backup\r\n\x1a\n\x00\x00\x00\x00" // 24 bytes
	version    = 1
	prefixSize = len(magic) + 4 + idSize + 4
	idSize     = 8
)

// The kinds of blocks.
const (
	kindHeader  = 'H' // JSON of a Header, the first block
	kindRecords = 'R'
	kindEnd     = 'E' // the last: nothing but the count
)

// headSize is the length of what stands before a block's bytes.
const headSize = 48

var marker = [4]byte{0x89, 'B', 'L', 'K'}

// Bounds of what a file may claim. A value has 512 MiB at most (proto-max-bulk-len), and
// a block of more than roomyBlock holds one record alone.
const (
	mostHeader = 1 << 20
	mostBlock  = 513 << 20
	roomyBlock = 16 << 20
	mostKey    = 512 << 20
)

// A Header says what a backup is of.
type Header struct {
	Created   time.Time `json:"created"`
	Target    string    `json:"target"` // the target's name, without its password
	Software  string    `json:"software,omitempty"`
	Version   string    `json:"version,omitempty"`
	Selection string    `json:"selection,omitempty"` // which keys, in words
	Run       string    `json:"run,omitempty"`       // the run that the file belongs to: who appends compares it
	By        string    `json:"by,omitempty"`        // the program that wrote it
}

// ErrNotBackup says that a file is not of this package.
var ErrNotBackup = errors.New("not a backup file of cachectl")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// A head stands before a block.
type head struct {
	kind    byte
	id      [idSize]byte
	before  uint64 // records in the blocks before it
	records uint32
	packed  uint32 // bytes that follow
	open    uint32 // bytes that they unpack to
	sum     uint32 // of the packed bytes
}

func (h *head) append(b []byte) []byte {
	at := len(b)
	b = append(b, marker[:]...)
	b = append(b, h.kind, 0, 0, 0)
	b = append(b, h.id[:]...)
	b = binary.LittleEndian.AppendUint64(b, h.before)
	for _, n := range []uint32{h.records, h.packed, h.open, h.sum, 0} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return binary.LittleEndian.AppendUint32(b, checksum(b[at:]))
}

// parse reads a head and tells whether it is one of the file with this number.
func (h *head) parse(b []byte, id [idSize]byte) bool {
	if len(b) < headSize || [4]byte(b) != marker || [idSize]byte(b[8:]) != id ||
		binary.LittleEndian.Uint32(b[headSize-4:]) != checksum(b[:headSize-4]) {
		return false
	}
	h.kind, h.id, h.before = b[4], id, binary.LittleEndian.Uint64(b[16:])
	for i, field := range []*uint32{&h.records, &h.packed, &h.open, &h.sum} {
		*field = binary.LittleEndian.Uint32(b[24+4*i:])
	}
	return h.sane()
}

// sane tells whether the head claims what a Writer may write.
func (h *head) sane() bool {
	switch h.kind {
	case kindHeader:
		return h.packed <= mostHeader && h.open == h.packed && h.records == 0
	case kindEnd:
		return h.packed == 0 && h.open == 0 && h.records == 0
	case kindRecords:
		return h.records > 0 && h.open <= mostBlock && h.packed <= mostBlock+mostBlock/128 && h.packed > 0 &&
			(h.open <= roomyBlock || h.records == 1) && h.records <= h.open/leastRecord
	}
	return false
}

func prefix(id [idSize]byte) []byte {
	b := append([]byte(magic), 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(b[len(magic):], version)
	b = append(b, id[:]...)
	return binary.LittleEndian.AppendUint32(b, checksum(b))
}

func parsePrefix(b []byte) (id [idSize]byte, err error) {
	if len(b) < prefixSize || string(b[:len(magic)]) != magic {
		return id, ErrNotBackup
	}
	if v := binary.LittleEndian.Uint32(b[len(magic):]); v != version {
		return id, fmt.Errorf("%w: version %d of the format, this program reads %d", ErrNotBackup, v, version)
	}
	if binary.LittleEndian.Uint32(b[prefixSize-4:]) != checksum(b[:prefixSize-4]) {
		return id, fmt.Errorf("%w: its first bytes are damaged", ErrNotBackup)
	}
	return [idSize]byte(b[len(magic)+4:]), nil
}

func parseHeader(b []byte) (h Header, err error) {
	if err := json.Unmarshal(b, &h); err != nil {
		return h, fmt.Errorf("%w: its header: %w", ErrNotBackup, err)
	}
	return h, nil
}

// A TornError says that records are missing from a file. What was read is whole.
type TornError struct {
	Records int64 // lost records; with Unended at least so many
	Bytes   int64 // bytes of the file that make no sense
	At      int64 // the first of them
	Unended bool  // the file has no end: what the last Sync did not reach was never written
}

func (e *TornError) Error() string {
	text := fmt.Sprintf("the file is damaged from byte %d on", e.At)
	if e.Unended && e.Bytes == 0 {
		text = fmt.Sprintf("the file has no end: it was not closed, or is cut off at byte %d", e.At)
	}
	if e.Bytes > 0 {
		text += fmt.Sprintf(", %d bytes in all", e.Bytes)
	}
	switch {
	case e.Unended && e.Records == 0:
		return text + "; how many records are lost, if any, is not known"
	case e.Unended:
		return text + fmt.Sprintf("; at least %d records are lost", e.Records)
	}
	return text + fmt.Sprintf("; %d records are lost", e.Records)
}

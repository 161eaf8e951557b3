package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// chunkSize is how much is read into one piece of memory, which records then share.
const chunkSize = 256 << 10

// mostWindow is the largest window of zstd that is unpacked: that of "zstd --long".
const mostWindow = 128 << 20

// rawBytes is how much of a record above the bound a BadRecord shows.
const rawBytes = 1 << 10

// A feed reads an input into chunks. What it hands out stays as it is: memory is never
// written twice.
type feed struct {
	r     io.Reader
	buf   []byte
	pos   int   // buf[pos:] is read, and not taken
	at    int64 // of buf[pos] in the unpacked input
	count int64 // lines that were taken
	err   error // why nothing more comes, io.EOF included
	close func()
}

// newFeed recognises gzip and zstd by their first bytes, and drops the byte order mark of
// UTF-8. The input stands at its beginning.
func newFeed(r io.Reader) (*feed, error) {
	f := &feed{r: r, close: func() {}}
	for len(f.buf) < 4 && f.more() {
	}
	head := f.buf
	var packed io.Reader
	var err error
	switch {
	case len(head) >= 2 && head[0] == 0x1f && head[1] == 0x8b:
		packed, err = gzip.NewReader(f.rest())
	case len(head) >= 4 && isZstd(head):
		var z *zstd.Decoder
		if z, err = zstd.NewReader(f.rest(), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(mostWindow)); err == nil {
			packed, f.close = z, z.Close
		}
	}
	if err != nil {
		return nil, err
	}
	if packed != nil {
		*f = feed{r: packed, close: f.close}
		for len(f.buf) < 3 && f.more() {
		}
	}
	if bytes.HasPrefix(f.buf, []byte("\xef\xbb\xbf")) {
		f.take(3)
	}
	return f, nil
}

// isZstd: a frame, or one of those to be skipped that pzstd begins with.
func isZstd(b []byte) bool {
	return bytes.HasPrefix(b, []byte{0x28, 0xb5, 0x2f, 0xfd}) || b[0]&0xf0 == 0x50 && b[1] == 0x2a && b[2] == 0x4d && b[3] == 0x18
}

// rest is the input from its beginning, while nothing was taken. What of it is read comes
// before an error that is known already.
func (f *feed) rest() io.Reader {
	more := f.r
	if f.err != nil {
		more = errReader{f.err}
	}
	return io.MultiReader(bytes.NewReader(f.buf), more)
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// resume goes to an offset that is not behind us: by Seek where the input can do that.
func (f *feed) resume(to Offset) error {
	if to.Byte < f.at {
		if to.Byte > 0 { // inside what was taken already
			return fmt.Errorf("the input cannot be resumed at byte %d", to.Byte)
		}
		return nil
	}
	ahead := to.Byte - f.at
	if have := int64(len(f.buf) - f.pos); ahead > have && f.err == nil {
		if s, ok := f.r.(io.Seeker); ok {
			if end, err := s.Seek(0, io.SeekEnd); err == nil && end >= to.Byte {
				if _, err := s.Seek(to.Byte, io.SeekStart); err != nil {
					return err
				}
				f.buf, f.pos, f.at, f.count = nil, 0, to.Byte, to.Line
				return nil
			} else if err == nil {
				return shorter(to)
			}
		}
	}
	for f.at < to.Byte {
		if f.pos == len(f.buf) && !f.more() {
			if !errors.Is(f.err, io.EOF) {
				return f.err
			}
			return shorter(to)
		}
		f.take(int(min(int64(len(f.buf)-f.pos), to.Byte-f.at)))
	}
	f.count = to.Line
	return nil
}

func shorter(to Offset) error {
	return fmt.Errorf("the input ends before byte %d, where it was to go on: it is not what it was", to.Byte)
}

// more reads on, and tells whether anything came. What was not taken stays, perhaps in
// other memory.
func (f *feed) more() bool {
	if cap(f.buf)-len(f.buf) < chunkSize/8 {
		rest := f.buf[f.pos:]
		next := make([]byte, len(rest), max(chunkSize, 2*len(rest)))
		copy(next, rest)
		f.buf, f.pos = next, 0
	}
	for tries := 0; f.err == nil && tries < 100; tries++ {
		n, err := f.r.Read(f.buf[len(f.buf):cap(f.buf)])
		f.buf, f.err = f.buf[:len(f.buf)+n], err
		if n > 0 {
			return true
		}
	}
	if f.err == nil {
		f.err = io.ErrNoProgress
	}
	return false
}

// take takes n bytes that are read.
func (f *feed) take(n int) []byte {
	b := f.buf[f.pos : f.pos+n : f.pos+n]
	f.pos += n
	f.at += int64(n)
	return b
}

// Read takes what is read, for whoever wants a reader.
func (f *feed) Read(b []byte) (int, error) {
	if f.pos == len(f.buf) && !f.more() {
		return 0, f.err
	}
	return copy(b, f.take(min(len(b), len(f.buf)-f.pos))), nil
}

// want tells whether n bytes are read and not taken, and reads them where it can.
func (f *feed) want(n int) bool {
	for len(f.buf)-f.pos < n {
		if !f.more() {
			return false
		}
	}
	return true
}

// skip takes n bytes without keeping them.
func (f *feed) skip(n int64) bool {
	for n > 0 {
		if f.pos == len(f.buf) && !f.more() {
			return false
		}
		n -= int64(len(f.take(int(min(n, int64(len(f.buf)-f.pos))))))
	}
	return true
}

// line takes a line, and hands it out without its end: LF or CRLF. The last one needs
// none. Of a line above most bytes long is true and only the beginning comes. ok is false
// at the end, and where reading failed: see trouble.
func (f *feed) line(most int) (line []byte, long, ok bool) {
	for seen := 0; ; {
		if i := bytes.IndexByte(f.buf[f.pos+seen:], '\n'); i >= 0 && seen+i <= most+1 {
			f.count++
			return trimCR(f.take(seen + i + 1)[:seen+i]), false, true
		} else if i >= 0 || len(f.buf)-f.pos > most+1 {
			line = bytes.Clone(f.buf[f.pos : f.pos+min(rawBytes, most)])
			f.skipLine()
			return line, true, true
		}
		if seen = len(f.buf) - f.pos; f.more() {
			continue
		}
		if !errors.Is(f.err, io.EOF) || seen == 0 {
			return nil, false, false
		}
		f.count++
		return trimCR(f.take(seen)), false, true
	}
}

func (f *feed) skipLine() {
	f.count++
	for {
		if i := bytes.IndexByte(f.buf[f.pos:], '\n'); i >= 0 {
			f.take(i + 1)
			return
		}
		f.take(len(f.buf) - f.pos)
		if !f.more() {
			return
		}
	}
}

func trimCR(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[: n-1 : n-1]
	}
	return line
}

// offset is behind what was taken.
func (f *feed) offset() Offset { return Offset{Byte: f.at, Line: f.count} }

// trouble is why the input ended, if it did not simply end.
func (f *feed) trouble() error {
	if f.err == nil || errors.Is(f.err, io.EOF) {
		return nil
	}
	return fmt.Errorf("reading behind line %d (byte %d): %w", f.count, f.at, f.err)
}

// A keyring makes strings that share pieces of memory.
type keyring struct {
	b     *strings.Builder
	start int
}

// begin makes room for a string of n bytes. Writing more is a mistake.
func (k *keyring) begin(n int) {
	if k.b == nil || k.b.Cap()-k.b.Len() < n {
		k.b = new(strings.Builder)
		k.b.Grow(max(n, chunkSize/16))
	}
	k.start = k.b.Len()
}

func (k *keyring) end() string { return k.b.String()[k.start:] }

func (k *keyring) of(b []byte) string {
	k.begin(len(b))
	k.b.Write(b)
	return k.end()
}

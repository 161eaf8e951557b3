package decode

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
)

// maxWindow is how much memory a zstd frame may ask for. Frames at usual levels
// ask for 8 MiB at most; what was packed with --long or --ultra can ask for more.
const maxWindow = 32 << 20

// A compression is one format that decompress knows.
type compression struct {
	name   string
	magic  func(value []byte) bool
	open   func(r io.Reader) (io.Reader, error)
	strict bool // the magic is weak: only data that is right to its checksum counts
}

var compressions = []compression{
	{"gzip", hasPrefix("\x1f\x8b\x08"), func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }, false},
	{"zstd", hasPrefix("\x28\xb5\x2f\xfd"), openZstd, false},
	{"zlib", isZlib, func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) }, true},
}

func hasPrefix(prefix string) func([]byte) bool {
	return func(value []byte) bool { return bytes.HasPrefix(value, []byte(prefix)) }
}

// isZlib checks the header as RFC 1950 has it: deflate, a window of 32 KiB at
// most, the header's own checksum, no preset dictionary.
func isZlib(value []byte) bool {
	return len(value) >= 8 && value[0]&0x0f == 8 && value[0]>>4 <= 7 &&
		(int(value[0])<<8|int(value[1]))%31 == 0 && value[1]&0x20 == 0
}

// openZstd works in the caller's goroutine and block by block, so that a small
// frame that claims a huge content costs no more than its window.
func openZstd(r io.Reader) (io.Reader, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecodeBuffersBelow(0))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

// A layer is one compression undone.
type layer struct {
	data  []byte
	steps []string
	whole bool // data is all there was
}

// decompress undoes one compression, up to limit bytes of output. It says no
// where value is not compressed, and where nothing could be got out of it.
func decompress(value []byte, limit int64, whole bool) (layer, bool) {
	for _, c := range compressions {
		if !c.magic(value) {
			continue
		}
		in := bytes.NewReader(value)
		data, err := inflate(c, in, limit)
		cut := int64(len(data)) > limit
		if cut {
			data, err = data[:limit], nil
		}
		switch {
		case c.strict && (err != nil || !cut && in.Len() > 0):
			continue
		case err != nil && len(data) == 0:
			continue
		case err == nil:
			return layer{data, []string{c.name}, !cut}, true
		case errors.Is(err, io.ErrUnexpectedEOF) || !whole:
			return layer{data, []string{c.name}, false}, true
		default:
			return layer{data, []string{c.name, "damaged"}, false}, true
		}
	}
	return layer{}, false
}

// inflate reads one byte more than limit where there is one. What it could
// read comes beside the error.
func inflate(c compression, in io.Reader, limit int64) ([]byte, error) {
	r, err := c.open(in)
	if err != nil {
		return nil, err
	}
	if closer, ok := r.(io.Closer); ok {
		defer closer.Close()
	}
	return io.ReadAll(io.LimitReader(r, limit+1))
}

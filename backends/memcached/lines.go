package memcached

import (
	"bytes"
	"context"
)

// A lineReader cuts what a spool hands out into lines.
type lineReader struct {
	spool *spool
	chunk []byte // not read yet
	whole []byte // the chunk it is a part of
	part  []byte // begin of a line that goes on in the next chunk
}

// next is the next line, without its end; valid until the following call.
// io.EOF comes behind the end marker only.
func (r *lineReader) next(ctx context.Context) ([]byte, error) {
	r.part = r.part[:0]
	for {
		if i := bytes.IndexByte(r.chunk, '\n'); i >= 0 {
			line := r.chunk[:i]
			r.chunk = r.chunk[i+1:]
			if len(r.part) > 0 {
				r.part = append(r.part, line...)
				line = r.part
			}
			return trimEnd(line), nil
		}
		r.part = append(r.part, r.chunk...)
		if err := r.refill(ctx); err != nil {
			return nil, err
		}
	}
}

func (r *lineReader) refill(ctx context.Context) error {
	for {
		chunk, err := r.spool.next(r.whole)
		r.whole, r.chunk = chunk, chunk
		if err != nil || len(chunk) > 0 {
			return err
		}
		select {
		case <-r.spool.ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// isEnd tells the end marker from keys: their lines begin with "key=".
func isEnd(line []byte) bool { return string(line) == "END" }

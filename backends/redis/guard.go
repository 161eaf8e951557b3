package redis

import (
	"bytes"
	"context"
	"net"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// A guard reads along on a connection that go-redis uses and ends it when the
// other side claims what no server sends: a string or an array beyond all
// bounds, for which the client would make room at once, or a line without an
// end. Whatever listens on a mistyped port must not cost us our memory.
type guard struct {
	net.Conn
	skip   int64  // bytes left of a string's body
	line   int    // bytes so far of the line at hand
	header []byte // its beginning
}

const maxLine = 64 << 10

func (g *guard) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if bad := g.check(p[:n]); bad != nil {
		return 0, bad
	}
	return n, err
}

func (g *guard) check(b []byte) error {
	for len(b) > 0 {
		if g.skip > 0 {
			n := min(g.skip, int64(len(b)))
			g.skip -= n
			b = b[n:]
			continue
		}
		line, rest, ended := bytes.Cut(b, []byte{'\n'})
		if g.line += len(line); g.line > maxLine {
			return protocolError("a line of more than 64 KiB")
		}
		g.header = append(g.header, line[:min(len(line), 32-min(32, len(g.header)))]...)
		if b = rest; ended {
			if err := g.claim(); err != nil {
				return err
			}
			g.line, g.header = 0, g.header[:0]
		}
	}
	return nil
}

// claim looks at a line that is complete: how much does it say will follow?
func (g *guard) claim() error {
	if len(g.header) == 0 {
		return nil
	}
	kind, text := g.header[0], string(bytes.TrimRight(g.header[1:], "\r"))
	most := int64(maxArray)
	switch kind {
	case '$', '=', '!':
		most = maxBulk
	case '*', '%', '~', '>', '|':
	default:
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > most {
		return protocolError("a length of " + text)
	}
	if most == maxBulk && n >= 0 {
		g.skip = n + 2
	}
	return nil
}

// guarded is the Dialer of connections that go-redis reads.
func guarded(o *redis.Options) func(ctx context.Context, network, addr string) (net.Conn, error) {
	dial := o.Dialer
	if dial == nil {
		dial = redis.NewDialer(o)
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &guard{Conn: conn}, nil
	}
}

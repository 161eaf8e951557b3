package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
)

// A wire is one connection on which a walk speaks RESP2 itself. go-redis dials
// it, over TLS where the target says so, and logs in; from then on the walk
// writes the next page's SCAN before it reads this page's facts, and reads a
// thousand keys into one piece of memory. (bench: a walk through the client
// library costs 4 times the client CPU of redis-cli, this one less than half
// of that.)
type wire struct {
	net     net.Conn
	in      *bufio.Reader
	out     []byte // commands not yet sent
	word    []byte // memory of the last string that scalar read
	shelf   []byte // memory for the next values that blob reads
	timeout time.Duration
	release func()
}

// Limits on what a server may claim. RESP has none below 2^63; a real server
// refuses values above 512 MiB (proto-max-bulk-len) by default.
const (
	maxBulk  = 512 << 20
	maxArray = 16 << 20
	maxPage  = 256 << 20 // bytes of all keys of one page
)

// A replyError is what the server answered instead of doing it.
type replyError string

func (e replyError) Error() string { return string(e) }

// RedisError makes it a redis.Error, like the answers that go-redis reads.
func (replyError) RedisError() {}

// dialWire opens a connection to n. Cancelling ctx ends what is under way on it.
func (c *cache) dialWire(ctx context.Context, n *node) (*wire, error) {
	return c.dialWireAs(ctx, n, false)
}

// dialWireAs is dialWire, and for filling keys where that is said; see onConnect.
func (c *cache) dialWireAs(ctx context.Context, n *node, filling bool) (*wire, error) {
	o := c.options(n.addr, n.replica)
	o.OnConnect = c.onConnect(n.replica, filling)
	dial := o.Dialer
	if dial == nil {
		dial = redis.NewDialer(o)
	}
	w := &wire{timeout: o.ReadTimeout}
	o.Protocol, o.PoolSize = 2, 1
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		w.net = conn
		return conn, err
	}
	client := redis.NewClient(o)
	held := client.Conn() // stays ours until released
	if err := held.Ping(ctx).Err(); err != nil && !refused(err) {
		client.Close()
		return nil, err
	}
	w.in = bufio.NewReaderSize(w.net, 64<<10)
	abort := context.AfterFunc(ctx, func() { w.net.SetDeadline(time.Unix(1, 0)) })
	w.release = func() {
		abort()
		w.net.Close()
		held.Close()
		client.Close()
	}
	return w, nil
}

func (w *wire) close() { w.release() }

// command puts one command into the next write.
func (w *wire) command(args ...string) {
	w.begin(len(args))
	for _, arg := range args {
		w.argument(arg)
	}
}

// begin opens a command of n arguments, its name among them. They follow.
func (w *wire) begin(n int) {
	w.out = append(w.out, '*')
	w.out = strconv.AppendInt(w.out, int64(n), 10)
	w.out = append(w.out, "\r\n"...)
}

func (w *wire) argument(arg string) {
	w.out = append(w.out, '$')
	w.out = strconv.AppendInt(w.out, int64(len(arg)), 10)
	w.out = append(w.out, "\r\n"...)
	w.out = append(w.out, arg...)
	w.out = append(w.out, "\r\n"...)
}

// flush sends the commands and starts the clock for their replies.
func (w *wire) flush(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.extend(ctx)
	_, err := w.net.Write(w.out)
	w.out = w.out[:0]
	return err
}

// extend starts the clock anew.
func (w *wire) extend(ctx context.Context) {
	w.net.SetDeadline(time.Now().Add(w.timeout))
	if ctx.Err() != nil { // cancelled between the two: the deadline of the past came first
		w.net.SetDeadline(time.Unix(1, 0))
	}
}

// header reads "<kind><number or text>\r\n". The text is good until the next read.
func (w *wire) header() (kind byte, text []byte, err error) {
	line, err := w.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return 0, nil, protocolError("a line of more than 64 KiB")
	}
	if err != nil {
		return 0, nil, err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return 0, nil, protocolError("a line without CRLF")
	}
	return line[0], line[1 : len(line)-2], nil
}

func protocolError(what string) error {
	return fmt.Errorf("%w: not the Redis protocol: %s", backends.ErrUnreachable, what)
}

// number reads the number of a header, within bounds. -1 means null for the
// kinds that have a length.
func number(text []byte, most int64) (int64, error) {
	if len(text) == 0 || len(text) > 20 {
		return 0, protocolError("a bad number")
	}
	n, neg := int64(0), text[0] == '-'
	if neg {
		text = text[1:]
	}
	if len(text) == 0 {
		return 0, protocolError("a bad number")
	}
	for _, c := range text {
		if c < '0' || c > '9' || n > (1<<63-1-9)/10 {
			return 0, protocolError("a bad number")
		}
		n = n*10 + int64(c-'0')
	}
	if neg {
		n = -n
	}
	if n > most || most < 1<<62 && n < -1 {
		return 0, protocolError("a length of " + strconv.FormatInt(n, 10))
	}
	return n, nil
}

// A reply is one answer that is no array.
type reply struct {
	kind byte // of RESP2: '+', '-', ':', '$'
	null bool
	num  int64
	text string
	body []byte // of a string that blob read, instead of text
	err  error
}

// bytes are those of a string, whoever read it.
func (r *reply) bytes() []byte {
	if r.body == nil {
		return []byte(r.text)
	}
	return r.body
}

// answer reads one answer up to the bytes of a string, of which n follow; n is -1 where
// nothing follows. Its error is of the connection; the server's own is in the reply.
func (w *wire) answer() (r reply, n int, err error) {
	kind, text, err := w.header()
	if err != nil {
		return reply{}, -1, err
	}
	switch kind {
	case '+':
		return reply{kind: kind, text: string(text)}, -1, nil
	case '-':
		return reply{kind: kind, err: replyError(text)}, -1, nil
	case ':':
		num, err := number(text, 1<<62)
		return reply{kind: kind, num: num}, -1, err
	case '$':
		length, err := number(text, maxBulk)
		return reply{kind: kind, null: err != nil || length < 0}, int(length), err
	}
	return reply{}, -1, protocolError(fmt.Sprintf("an answer that begins with %q", kind))
}

// scalar reads one answer, a string's bytes as text.
func (w *wire) scalar() (reply, error) {
	r, n, err := w.answer()
	if err != nil || n < 0 {
		return r, err
	}
	body, err := w.bulk(w.word[:0], n)
	if r.text = string(body); cap(body) <= shelfMost {
		w.word = body
	}
	return r, err
}

// Values of up to shelfMost bytes share pieces of shelfSize: few allocations for many
// values, and one that is kept holds no more than its piece.
const (
	shelfSize = 256 << 10
	shelfMost = 32 << 10
)

// blob is scalar, but leaves the bytes of a string in body. They are the caller's to keep.
func (w *wire) blob() (r reply, err error) {
	r, n, err := w.answer()
	if err != nil || n < 0 {
		return r, err
	}
	if n > shelfMost {
		r.body, err = w.bulk(nil, n)
		return r, err
	}
	if len(w.shelf) < n {
		w.shelf = make([]byte, shelfSize)
	}
	r.body, err = w.bulk(w.shelf[:0:n], n)
	w.shelf = w.shelf[n:]
	return r, err
}

// bulk appends the n bytes of a bulk string to buf. Memory grows with what
// really arrives, not with what was announced.
func (w *wire) bulk(buf []byte, n int) ([]byte, error) {
	if n+2 <= w.in.Buffered() { // it is here already, as most keys are
		body, _ := w.in.Peek(n + 2)
		if body[n] != '\r' || body[n+1] != '\n' {
			return buf, protocolError("a string without its end")
		}
		buf = append(buf, body[:n]...)
		w.in.Discard(n + 2)
		return buf, nil
	}
	for n > 0 {
		chunk := min(n, 1<<20)
		at := len(buf)
		if cap(buf)-at >= chunk {
			buf = buf[:at+chunk]
		} else {
			buf = append(buf, make([]byte, chunk)...)
		}
		if _, err := io.ReadFull(w.in, buf[at:]); err != nil {
			return buf[:at], err
		}
		n -= chunk
	}
	end, err := w.in.Peek(2)
	if err != nil {
		return buf, err
	}
	if end[0] != '\r' || end[1] != '\n' {
		return buf, protocolError("a string without its end")
	}
	w.in.Discard(2)
	return buf, nil
}

// A keyPage is the answer to SCAN, in memory that is used again for the next.
type keyPage struct {
	cursor uint64
	bytes  []byte
	ends   []int // of each key in bytes
	keys   []string
}

// scanReply reads the answer to SCAN. A reply error of the server is returned
// as replyError.
func (w *wire) scanReply(p *keyPage) error {
	kind, text, err := w.header()
	switch {
	case err != nil:
		return err
	case kind == '-':
		return replyError(text)
	case kind != '*' || string(text) != "2":
		return protocolError("an answer to SCAN that is no pair")
	}
	cursor, err := w.scalar()
	if err != nil {
		return err
	}
	// A cursor uses all 64 bits: no signed number holds it.
	if p.cursor, err = strconv.ParseUint(cursor.text, 10, 64); err != nil {
		return protocolError("a bad cursor")
	}
	if kind, text, err = w.header(); err != nil {
		return err
	}
	n, err := number(text, maxArray)
	if err != nil || kind != '*' {
		return protocolError("an answer to SCAN without keys")
	}
	p.bytes, p.ends, p.keys = p.bytes[:0], p.ends[:0], p.keys[:0]
	for range n {
		kind, text, err := w.header()
		if err != nil {
			return err
		}
		length, err := number(text, maxBulk)
		if err != nil || kind != '$' || length < 0 {
			return protocolError("a key that is no string")
		}
		if int64(len(p.bytes))+length > maxPage {
			return fmt.Errorf("%w: a page of more than %d MiB: a smaller --count may help", backends.ErrUnreachable, maxPage>>20)
		}
		if p.bytes, err = w.bulk(p.bytes, int(length)); err != nil {
			return err
		}
		p.ends = append(p.ends, len(p.bytes))
	}
	all, from := string(p.bytes), 0
	for _, end := range p.ends {
		p.keys = append(p.keys, all[from:end])
		from = end
	}
	return nil
}

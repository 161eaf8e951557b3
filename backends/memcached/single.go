package memcached

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/cachectl/cachectl/backends"
)

// single lets gomemcache make one call on one of our connections, so that
// authentication, TLS, timeouts and contexts are what they are everywhere else.
// gomemcache knows none of them; it is given a client for this one call.
func (n *node) single(ctx context.Context, call func(*memcache.Client) error) error {
	return n.do(ctx, func(c *conn) error {
		lent := &loan{conn: c}
		client := memcache.NewFromSelector(lent)
		client.DialContext = func(context.Context, string, string) (net.Conn, error) { return lent, nil }
		err := call(client)
		switch {
		case err == nil || errors.Is(err, memcache.ErrCacheMiss):
			return err
		case lent.err != nil:
			return lent.err
		}
		return inServersWords(err)
	})
}

// inServersWords finds the answer in gomemcache's error for any answer that it
// has no name for: `memcache: unexpected response line from "set": "SERVER_ERROR ...\r\n"`.
func inServersWords(err error) error {
	text := err.Error()
	for _, word := range []string{"SERVER_ERROR", "CLIENT_ERROR", "ERROR"} {
		if i := strings.LastIndex(text, `"`+word); i >= 0 {
			return replyError(strings.TrimSuffix(strings.TrimSuffix(text[i+1:], `"`), `\r\n`))
		}
	}
	return err
}

// A loan is a connection in gomemcache's hands. It serves no more bytes than
// the answer has by its own first line: gomemcache allocates whatever a server
// announces, and takes any number of values for one key.
type loan struct {
	*conn
	head []byte // of the answer's first line, what is not read yet
	left int    // bytes of the answer behind it
	seen bool
	err  error // what went wrong underneath
}

// PickServer and Each make a loan the whole of gomemcache's world.
func (l *loan) PickServer(string) (net.Addr, error) { return l.RemoteAddr(), nil }
func (l *loan) Each(f func(net.Addr) error) error   { return f(l.RemoteAddr()) }
func (l *loan) Close() error                        { return nil }
func (l *loan) SetDeadline(time.Time) error         { return l.extend() }

func (l *loan) Write(b []byte) (int, error) {
	n, err := l.Conn.Write(b)
	l.err = err
	return n, err
}

func (l *loan) Read(b []byte) (int, error) {
	if !l.seen {
		if l.err = l.begin(); l.err != nil {
			return 0, l.err
		}
	}
	var n int
	switch {
	case len(l.head) > 0:
		n = copy(b, l.head)
		l.head = l.head[n:]
	case l.left == 0:
		l.err = fmt.Errorf("%w: it does not end where it should", errProtocol)
	default:
		n, l.err = l.r.Read(b[:min(len(b), l.left)])
		l.left -= n
	}
	return n, l.err
}

// begin reads the first line and finds out how much follows.
func (l *loan) begin() error {
	line, err := l.line()
	if err != nil {
		return err
	}
	l.seen = true
	l.head = append(bytes.Clone(line), "\r\n"...)
	if rest, ok := bytes.CutPrefix(line, []byte("VALUE ")); ok {
		words := bytes.Fields(rest)
		if len(words) < 3 {
			return unexpected("gets", line)
		}
		size, err := number(words[2])
		if err != nil || size < 0 || size > biggestValue {
			return unexpected("gets", line)
		}
		l.left = int(size) + len("\r\nEND\r\n")
	}
	return nil
}

// getOne reads a key's value.
func (n *node) getOne(ctx context.Context, key string) ([]byte, error) {
	var value []byte
	miss := false
	err := n.single(ctx, func(client *memcache.Client) error {
		got, err := client.Get(key)
		if miss = errors.Is(err, memcache.ErrCacheMiss); miss {
			return nil
		}
		if err == nil && got.Key != key {
			err = fmt.Errorf("%w to gets: it is about another key: %s", errProtocol, printable([]byte(got.Key)))
		}
		if err == nil {
			value = got.Value
		}
		return err
	})
	if err == nil && miss {
		err = backends.ErrMiss
	}
	return value, err
}

// setOne writes a key's value. exp is as the protocol takes it.
func (n *node) setOne(ctx context.Context, key string, value []byte, exp int32) error {
	return n.single(ctx, func(client *memcache.Client) error {
		return client.Set(&memcache.Item{Key: key, Value: value, Expiration: exp})
	})
}

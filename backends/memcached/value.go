package memcached

import (
	"bytes"
	"fmt"
	"io"
)

// A gotten is the answer to gets or mg.
type gotten struct {
	item
	data  []byte // no more than the window
	total int64
	won   bool // the item is stale, and we were given the token to recompute it
	stale bool
}

// biggestValue is what a server can be configured to take for an item (-I, 1 GiB).
const biggestValue = 1 << 30

// value reads the answer to "gets key", whose first line is line, up to END. Of
// the value it keeps no more than window bytes; below 0 keeps all.
func (c *conn) value(line []byte, key string, window int64) (gotten, error) {
	if string(line) == "END" {
		return gotten{}, errMiss
	}
	rest, ok := bytes.CutPrefix(line, []byte("VALUE "))
	words := bytes.Fields(rest)
	if !ok || len(words) != 4 {
		return gotten{}, unexpected("gets", line)
	}
	if string(words[0]) != key {
		return gotten{}, fmt.Errorf("%w to gets: it is about another key: %s", errProtocol, printable(line))
	}
	g := gotten{item: item{key: key}}
	err := g.setField([]byte("flags"), words[1])
	size, err2 := number(words[2])
	err3 := g.setField([]byte("cas"), words[3])
	if err != nil || err2 != nil || err3 != nil || size < 0 || size > biggestValue {
		return gotten{}, unexpected("gets", line)
	}
	if err := c.body(&g, size, window); err != nil {
		return gotten{}, err
	}
	if line, err = c.line(); err == nil && string(line) != "END" {
		err = unexpected("gets", line)
	}
	return g, err
}

// metaValue reads the answer to "mg key b u v f c": VA size, flags, the value.
func (c *conn) metaValue(line []byte, key string, window int64) (gotten, error) {
	if string(line) == "EN" {
		return gotten{}, errMiss
	}
	rest, ok := bytes.CutPrefix(line, []byte("VA "))
	word, rest, _ := bytes.Cut(bytes.TrimLeft(rest, " "), []byte{' '})
	size, err := number(word)
	if !ok || err != nil || size < 0 || size > biggestValue {
		return gotten{}, unexpected("mg", line)
	}
	g := gotten{item: item{key: key}}
	for len(rest) > 0 {
		if word, rest, _ = bytes.Cut(rest, []byte{' '}); len(word) == 0 {
			continue
		}
		switch word[0] {
		case 'f':
			err = g.setField([]byte("flags"), word[1:])
		case 'c':
			err = g.setField([]byte("cas"), word[1:])
		case 't':
			g.exp, err = number(word[1:])
			g.hasExp = err == nil
		case 'X':
			g.stale = true
		case 'W':
			g.won = true
		}
		if err != nil {
			return gotten{}, unexpected("mg", line)
		}
	}
	return g, c.body(&g, size, window)
}

// body reads a value and the line end behind it. Memory grows with what comes,
// not with what was announced.
func (c *conn) body(g *gotten, size, window int64) error {
	keep := size
	if window >= 0 {
		keep = min(window, size)
	}
	g.total, g.item.value, g.item.hasValue = size, size, true
	source := patient{c}
	if keep == size && size <= atOnce {
		return c.smallBody(g, int(size), source)
	}
	var data bytes.Buffer
	if _, err := io.CopyN(&data, source, keep); err != nil {
		return cutShort(err)
	}
	if _, err := io.CopyN(io.Discard, source, size-keep); err != nil {
		return cutShort(err)
	}
	g.data = data.Bytes()
	var end [2]byte
	if _, err := io.ReadFull(source, end[:]); err != nil {
		return cutShort(err)
	}
	if string(end[:]) != "\r\n" {
		return fmt.Errorf("%w: a value is longer than announced", errProtocol)
	}
	return nil
}

// atOnce is the biggest value for which room is made before it is there.
const atOnce = 64 << 10

func (c *conn) smallBody(g *gotten, size int, source patient) error {
	data := c.room(size + len("\r\n"))
	if _, err := io.ReadFull(source, data); err != nil {
		return cutShort(err)
	}
	if string(data[size:]) != "\r\n" {
		return fmt.Errorf("%w: a value is longer than announced", errProtocol)
	}
	g.data = data[:size:size]
	return nil
}

// room is memory for n bytes. Small values share a piece of it: they come by the thousand,
// and go together.
func (c *conn) room(n int) []byte {
	const piece, small = 64 << 10, 2 << 10
	if n > small {
		return make([]byte, n)
	}
	if len(c.slab) < n {
		c.slab = make([]byte, piece)
	}
	b := c.slab[:n:n]
	c.slab = c.slab[n:]
	return b
}

func cutShort(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// patient gives the server the full timeout for each piece.
type patient struct{ c *conn }

func (p patient) Read(b []byte) (int, error) {
	if p.c.r.Buffered() == 0 {
		p.c.extend()
	}
	return p.c.r.Read(b)
}

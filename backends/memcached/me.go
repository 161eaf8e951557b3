package memcached

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/cachectl/cachectl/backends"
)

// How a key's facts are asked for, best first. Which one a server has shows by
// its answer.
const (
	unasked int32 = iota
	// byMe is "me": no hit is counted, no LRU moved, no recache token taken.
	byMe
	// byMg is "mg" where "me" is missing (managed services): no LRU moved,
	// but a lookup counted; and it takes the recache token of a stale item.
	byMg
	// byGets is all that servers before 1.5.19 have: the key is there, and
	// how long its value is.
	byGets
)

type atomicMode = atomic.Int32

// lookup writes the command that asks for the facts of key, which is addressable.
func lookup(to []byte, mode int32, key string) []byte {
	switch mode {
	case byMg:
		to = append(to, "mg "...)
		to, flag := address(to, key)
		return append(append(to, flag...), " s t l c f u\r\n"...)
	case byGets:
		return append(append(append(to, "gets "...), key...), "\r\n"...)
	}
	to = append(to, "me "...)
	to, flag := address(to, key)
	if flag != "" {
		// 1.6.40 to 1.6.45 overlook the flag when it is the last word; no
		// version minds a word that it does not know.
		flag += " x"
	}
	return append(append(to, flag...), "\r\n"...)
}

// answer reads the answer to lookup. Its error is backends.ErrMiss where the
// key is not there.
func (c *conn) answer(mode int32, key string, v version) (item, error) {
	line, err := c.line()
	if err != nil {
		return item{}, err
	}
	switch mode {
	case byMg:
		return parseMg(line, key)
	case byGets:
		return c.skipValue(line, key)
	}
	return parseMe(line, key, v)
}

// parseMe reads "ME key exp=-1 la=3 cas=2 fetch=no cls=1 size=63", or EN. exp
// and la are seconds from and to now; before 1.6.24 exp has the wrong sign. A
// key with a second left looks there like one that never expires.
func parseMe(line []byte, key string, v version) (item, error) {
	if string(line) == "EN" {
		return item{}, backends.ErrMiss
	}
	rest, ok := bytes.CutPrefix(line, []byte("ME "))
	if !ok {
		return item{}, unexpected("me", line)
	}
	name, rest, _ := bytes.Cut(rest, []byte{' '})
	if plain(key) && string(name) != key {
		return item{}, fmt.Errorf("%w to me: it is about another key: %s", errProtocol, printable(line))
	}
	it := item{key: key}
	if err := it.setFields(rest); err != nil {
		return item{}, fmt.Errorf("%w to me: %w", errProtocol, err)
	}
	if it.exp < -1 && !v.atLeast(1, 6, 24) {
		it.exp = -it.exp
	}
	return it, nil
}

// parseMg reads "HD s3 t-1 l0 c10 f0", or EN.
func parseMg(line []byte, key string) (item, error) {
	if string(line) == "EN" {
		return item{}, backends.ErrMiss
	}
	rest, ok := bytes.CutPrefix(line, []byte("HD"))
	if !ok {
		return item{}, unexpected("mg", line)
	}
	it := item{key: key}
	for field := range bytes.FieldsSeq(rest) {
		var err error
		switch name, value := field[0], field[1:]; name {
		case 't':
			it.exp, err = number(value)
			it.hasExp = err == nil
		case 'l':
			it.la, err = number(value)
			it.hasLa = err == nil
		case 'c':
			err = it.setField([]byte("cas"), value)
		case 'f':
			err = it.setField([]byte("flags"), value)
		case 's':
			it.value, err = number(value)
			it.hasValue = err == nil && it.value >= 0
		}
		if err != nil {
			return item{}, fmt.Errorf("%w to mg: %s: %w", errProtocol, printable(field), err)
		}
	}
	return it, nil
}

// skipValue reads the answer to gets and keeps nothing of the value.
func (c *conn) skipValue(line []byte, key string) (item, error) {
	got, err := c.value(line, key, 0)
	return got.item, err
}

// probe finds out how a node's facts are asked for.
func (n *node) probe(c *conn) (int32, error) {
	if mode := n.asks.Load(); mode != unasked {
		return mode, nil
	}
	for _, try := range []struct {
		mode    int32
		command string
	}{{byMe, "me cachectl"}, {byMg, "mg cachectl s u"}} {
		line, err := c.ask(try.command)
		if err != nil {
			return 0, err
		}
		if !isErrorLine(line) {
			n.asks.Store(try.mode)
			return try.mode, nil
		}
		if !refused(replyError(line)) {
			return 0, replyError(line)
		}
	}
	n.asks.Store(byGets)
	return byGets, nil
}

// asked counts the lookups of keys that a server counts too.
func (c *cache) asked(mode int32, keys int) {
	if mode != byMe {
		c.lookups.Add(int64(keys))
	}
}

// degraded tells what is lost where there is no "me".
func degraded(mode int32, addr string) *backends.Notice {
	if mode == byMe {
		return nil
	}
	what := "size is unknown, and looking counts as a lookup"
	if mode == byGets {
		what = "TTL, size and idle time are unknown, and looking counts as a use"
	}
	return &backends.Notice{Shard: addr, What: what, Err: errors.New(`the server has no "me" command`)}
}

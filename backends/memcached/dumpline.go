package memcached

import (
	"bytes"
	"errors"
)

var (
	errNoKey  = errors.New("no key")
	errEscape = errors.New("broken escape")
)

// parseDumpLine reads a line of "lru_crawler metadump" (items.c and crawler.c,
// crawler_metadump_eval), without its end, into it. scratch is for the key.
//
//	1.4.31  key=a%20b exp=1795383519 la=1795383459 cas=2 fetch=no cls=1 size=68
//	1.6.24  ... size=76 flags=0
//	1.6.39  ... flags=0 ext_page=0 ext_offset=3098343      and a blank at the end
//
// The key stands first. Fields may be missing; those that are there must make
// sense.
func parseDumpLine(line []byte, it *item, scratch []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(line, []byte("key="))
	if !ok {
		return scratch, errNoKey
	}
	escaped, rest, _ := bytes.Cut(rest, []byte{' '})
	scratch, err := unescape(scratch[:0], escaped)
	if err != nil {
		return scratch, err
	}
	if len(scratch) == 0 || len(scratch) > maxKey {
		return scratch, errNoKey
	}
	*it = item{key: string(scratch)}
	return scratch, it.setFields(rest)
}

// unescape undoes the server's URI encoding (util.c, uriencode): %XX for every
// byte but letters, digits and "-._~". A '+' is a plus.
func unescape(to, escaped []byte) ([]byte, error) {
	for {
		i := bytes.IndexByte(escaped, '%')
		if i < 0 {
			return append(to, escaped...), nil
		}
		if i+2 >= len(escaped) {
			return to, errEscape
		}
		high, low := hex[escaped[i+1]], hex[escaped[i+2]]
		if high < 0 || low < 0 {
			return to, errEscape
		}
		to = append(append(to, escaped[:i]...), byte(high<<4|low))
		escaped = escaped[i+3:]
	}
}

var hex = func() (table [256]int8) {
	for i := range table {
		table[i] = -1
	}
	for i := range int8(10) {
		table['0'+i] = i
	}
	for i := range int8(6) {
		table['a'+i], table['A'+i] = 10+i, 10+i
	}
	return table
}()

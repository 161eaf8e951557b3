package memcached

import (
	"bytes"
	"crypto/tls"
)

// A recordConn writes whole commands into each TLS record. A server that reads the end of a
// value in one record and more commands behind it in the same forgets these in OpenSSL's buffer
// until the client sends something else (seen on 1.6.18 and 1.6.38: 25 pipelined sets of
// 150 bytes, of which 22 are answered). So a value that does not fit into a record
// ends its last one.
type recordConn struct {
	*tls.Conn
	head  []byte // of a command whose first line is not all written
	left  int    // bytes of a command whose first line is
	begun bool   // the command at hand has a part in an earlier record
}

// fullRecord is less than the server reads at once (READ_BUFFER_SIZE, 16 KiB).
const fullRecord = 8 << 10

func (c *recordConn) Write(b []byte) (int, error) {
	done, take := 0, 0 // b[done:take] waits to be written
	flush := func(to int) error {
		n, err := c.Conn.Write(b[done:to])
		done += n
		return err
	}
	for take < len(b) {
		alone := c.begun
		n, whole := c.command(b[take:])
		alone = alone || n > fullRecord
		if (alone || take+n-done > fullRecord) && take > done {
			if err := flush(take); err != nil {
				return done, err
			}
		}
		take += n
		c.begun = !whole
		if alone && whole {
			if err := flush(take); err != nil {
				return done, err
			}
		}
	}
	var err error
	if take > done {
		err = flush(take)
	}
	return done, err
}

// command tells how many bytes of b belong to the command at hand, and whether it ends there.
func (c *recordConn) command(b []byte) (n int, whole bool) {
	if c.left == 0 {
		line, _, ended := bytes.Cut(b, []byte{'\n'})
		n = len(line)
		if len(c.head) < longestLine {
			c.head = append(c.head, line...)
		}
		if !ended {
			return n, false
		}
		n++
		c.left = announced(c.head)
		c.head = c.head[:0]
	}
	more := min(c.left, len(b)-n)
	c.left -= more
	return n + more, c.left == 0
}

// announced is how many bytes follow the first line of a command: a value with its CRLF.
func announced(line []byte) int {
	place := 0 // of the word that says so
	switch word, _, _ := bytes.Cut(line, []byte{' '}); string(word) {
	case "ms":
		place = 2
	case "set", "add", "replace", "cas", "append", "prepend":
		place = 4
	default:
		return 0
	}
	for range place {
		_, line, _ = bytes.Cut(line, []byte{' '})
	}
	word, _, _ := bytes.Cut(trimEnd(line), []byte{' '})
	size, ok := unsigned(word)
	if !ok || size > biggestValue {
		return 0
	}
	return int(size) + len("\r\n")
}

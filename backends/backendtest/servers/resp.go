package servers

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// A conn speaks just enough of the protocol to set servers up.
type conn struct {
	net.Conn
	r *bufio.Reader
}

// replyError is an error that the server sent: "ERR ...".
type replyError string

func (e replyError) Error() string { return string(e) }

// dial connects to s within a second, without logging in.
func (s *Server) dial() (*conn, error) {
	raw, err := net.DialTimeout("tcp4", s.Addr, time.Second)
	if err != nil {
		return nil, err
	}
	if s.tls != nil {
		config := s.tls.Clone()
		config.ServerName = "localhost"
		raw = tls.Client(raw, config)
	}
	return &conn{raw, bufio.NewReader(raw)}, nil
}

// login connects as the default user.
func (s *Server) login() (*conn, error) {
	c, err := s.dial()
	if err != nil || s.password == "" {
		return c, err
	}
	if _, err := c.do("AUTH", s.password); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// do sends one command and reads its reply: nil, int64, string or []any.
func (c *conn) do(args ...string) (any, error) {
	c.SetDeadline(time.Now().Add(5 * time.Second))
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(arg), arg)
	}
	if _, err := io.WriteString(c, b.String()); err != nil {
		return nil, err
	}
	return c.reply()
}

// text is do for replies that are one string.
func (c *conn) text(args ...string) (string, error) {
	reply, err := c.do(args...)
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	text, ok := reply.(string)
	if !ok {
		return "", fmt.Errorf("%s: unexpected reply %v", strings.Join(args, " "), reply)
	}
	return text, nil
}

func (c *conn) reply() (any, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return nil, errors.New("empty reply")
	}
	kind, rest := line[0], line[1:]
	switch kind {
	case '+':
		return rest, nil
	case '-':
		return nil, replyError(rest)
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	switch {
	case err != nil:
		return nil, fmt.Errorf("unexpected reply %q", line)
	case kind == ':':
		return n, nil
	case n < 0:
		return nil, nil
	case kind == '$':
		bulk := make([]byte, n+2)
		_, err := io.ReadFull(c.r, bulk)
		return string(bulk[:n]), err
	case kind == '*':
		items := make([]any, n)
		for i := range items {
			if items[i], err = c.reply(); err != nil {
				return nil, err
			}
		}
		return items, nil
	}
	return nil, fmt.Errorf("unexpected reply %q", line)
}

// answers tells whether s answers a PING, even if only to ask for a password.
func (s *Server) answers() bool {
	c, err := s.dial()
	if err != nil {
		return false
	}
	defer c.Close()
	reply, err := c.do("PING")
	var refused replyError
	return reply == "PONG" || errors.As(err, &refused) && strings.HasPrefix(string(refused), "NOAUTH")
}

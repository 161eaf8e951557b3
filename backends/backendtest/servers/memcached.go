package servers

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Memcached starts a memcached and returns when it answers. Of the options it
// takes TLS and Args.
func Memcached(t testing.TB, v Version, o Options) *Server {
	t.Helper()
	s := newServer(t, v, Options{TLS: o.TLS})
	s.command = func(s *Server) ([]string, error) {
		args := []string{"-l", "127.0.0.1", "-p", strconv.Itoa(s.port), "-U", "0"}
		if os.Geteuid() == 0 { // it wants to be told that this is meant
			args = append(args, "-u", "root")
		}
		if o.TLS {
			args = append(args, "-Z", "-o", fmt.Sprintf("ssl_chain_cert=%s,ssl_key=%s,ssl_ca_cert=%s,ssl_verify_mode=2", s.Cert, s.Key, s.CA))
		}
		return append(args, o.Args...), nil
	}
	s.ready = func(s *Server, _ []byte) bool { return s.ownsPort() }
	startAll(t, []*Server{s})
	return s
}

// ownsPort: whoever answers on the port of this memcached is its process.
func (s *Server) ownsPort() bool {
	c, err := s.dial()
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	if _, err := io.WriteString(c, "stats\r\n"); err != nil {
		return false
	}
	line, err := c.r.ReadString('\n')
	return err == nil && strings.TrimSpace(line) == fmt.Sprint("STAT pid ", s.Pid)
}

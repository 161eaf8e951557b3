package servers

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Memcached starts a memcached and returns when it answers. Of the options it
// takes TLS, Args, and ACL, whose lines are "user:password" here: with any, the
// text protocol wants one of them (-Y).
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
		if len(o.ACL) > 0 {
			file := filepath.Join(s.dir, "users")
			if err := os.WriteFile(file, []byte(strings.Join(o.ACL, "\n")+"\n"), 0o600); err != nil {
				return nil, err
			}
			args = append(args, "-Y", file)
		}
		return append(args, o.Args...), nil
	}
	s.ready = func(s *Server, _ []byte) bool { return s.ownsPort(o.ACL...) }
	startAll(t, []*Server{s})
	return s
}

// ownsPort: whoever answers on the port of this memcached is its process.
func (s *Server) ownsPort(users ...string) bool {
	c, err := s.dial()
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	if len(users) > 0 {
		login := strings.Replace(users[0], ":", " ", 1)
		fmt.Fprintf(c, "set auth 0 -1 %d\r\n%s\r\n", len(login), login)
		if line, err := c.r.ReadString('\n'); err != nil || strings.TrimSpace(line) != "STORED" {
			return false
		}
	}
	if _, err := io.WriteString(c, "stats\r\n"); err != nil {
		return false
	}
	line, err := c.r.ReadString('\n')
	return err == nil && strings.TrimSpace(line) == fmt.Sprint("STAT pid ", s.Pid)
}

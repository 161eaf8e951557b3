package servers

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Redis starts a server that saves nothing to disk and allows DEBUG, and
// returns when it answers. The test's end stops it.
func Redis(t testing.TB, v Version, o Options) *Server {
	t.Helper()
	s := newRedis(t, v, o)
	startAll(t, []*Server{s})
	return s
}

// newRedis prepares a server with more lines of configuration.
func newRedis(t testing.TB, v Version, o Options, more ...string) *Server {
	t.Helper()
	s := newServer(t, v, o)
	s.command = func(s *Server) ([]string, error) {
		lines := s.listen(o)
		lines = append(lines,
			`save ""`,
			"enable-debug-command local",
			"enable-protected-configs local",
			"repl-diskless-sync-delay 0", // a replica is served at once, not after five seconds
			"shutdown-timeout 0",         // and a master does not wait for one that is down
		)
		if o.Password != "" {
			lines = append(lines, "requirepass "+quote(o.Password), "masterauth "+quote(o.Password))
		}
		lines = append(append(lines, o.ACL...), more...)
		return append([]string{"redis.conf"}, o.Args...), s.configure(lines)
	}
	// The log is this process's own. A PING alone could be answered by another
	// server, which got the port between our look and the start.
	s.ready = func(s *Server, log []byte) bool {
		return bytes.Contains(log, []byte("Ready to accept connections")) && s.answers()
	}
	return s
}

// listen says where to listen, and how.
func (s *Server) listen(o Options) []string {
	lines := []string{"bind 127.0.0.1", "daemonize no", "dir " + quote(s.dir)}
	if s.Socket != "" {
		lines = append(lines, "unixsocket "+quote(s.Socket))
	}
	if !o.TLS {
		return append(lines, fmt.Sprint("port ", s.port))
	}
	return append(lines,
		"port 0", fmt.Sprint("tls-port ", s.port),
		"tls-ca-cert-file "+quote(s.CA), "tls-cert-file "+quote(s.Cert), "tls-key-file "+quote(s.Key),
		"tls-auth-clients yes", "tls-replication yes", "tls-cluster yes",
	)
}

func (s *Server) configure(lines []string) error {
	return os.WriteFile(filepath.Join(s.dir, "redis.conf"), []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}

var quoter = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`)

// quote writes text as an argument in a configuration file.
func quote(text string) string { return `"` + quoter.Replace(text) + `"` }

// Package servers starts real servers for tests: Redis and Valkey in several
// versions (single, as a cluster, under sentinels), memcached, Varnish, nginx
// and PostgreSQL. They listen on 127.0.0.1 only, keep their data in the test's own
// folder, and are gone when the test is over; on Linux also when the test is
// killed.
//
// fetch.sh (make servers) brings the programs. A missing one fails the test
// and never skips it: what was not tried is not known to work. The package
// knows nothing about backends and imports the standard library only.
package servers

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Options say how a server is set up. The zero value is a plain one without
// password.
type Options struct {
	// TLS makes TLS the only way in, with the client's certificate required.
	// Server's CA, Cert and Key serve for both sides; the nodes of one Cluster
	// or Sentinel share them.
	TLS bool
	// ACL holds lines of an ACL file: "user app on >secret ~* +@all". The user
	// "default" stays as it is unless a line says otherwise; Cluster and
	// Sentinel need it.
	ACL []string
	// Password is the default user's.
	Password string
	// Unix opens a socket beside the port.
	Unix bool
	// Args are more of the program's own command line: "--maxmemory", "10mb".
	Args []string

	ca, cert, key string // shared by servers that talk to one another
}

// certified gives o certificates, if it needs any and has none.
func (o Options) certified(t testing.TB) Options {
	t.Helper()
	if o.TLS && o.ca == "" {
		o.ca, o.cert, o.key = Certificates(t)
	}
	return o
}

// A Server is a running process. Its methods, but for Log, are for the test's
// own goroutine; Stop, Kill, Pause and Resume of a server that is down do
// nothing.
type Server struct {
	Addr    string // 127.0.0.1:port; stays the same over a Restart
	Socket  string // path, with Options.Unix
	CA      string // PEM files, with Options.TLS
	Cert    string
	Key     string
	Pid     int // of the running or the last process
	Version Version

	t        testing.TB
	dir      string
	port     int
	bus      int // of a cluster node
	password string
	tls      *tls.Config
	command  func(s *Server) ([]string, error) // writes what the server needs for its port, and returns its arguments
	ready    func(s *Server, log []byte) bool  // of this process, not of another one on the same port
	prepare  func(cmd *exec.Cmd)               // changes how the process is started; nil: nothing
	stop     syscall.Signal                    // what asks the process to end
	process  *os.Process
}

// How long a server may take to answer. A machine with more tests than
// processors needs some of it.
const startTimeout = time.Minute

var errTaken = errors.New("port is taken")

// newServer prepares a server without starting it.
func newServer(t testing.TB, v Version, o Options) *Server {
	t.Helper()
	s := &Server{t: t, Version: v, dir: t.TempDir(), password: o.Password, stop: syscall.SIGTERM}
	if o.TLS {
		o = o.certified(t)
		s.CA, s.Cert, s.Key = o.ca, o.cert, o.key
		s.tls = clientTLS(t, s.CA, s.Cert, s.Key)
	}
	if o.Unix {
		// Not in the test's folder: a socket's path has 107 bytes, and a test's name may be long.
		dir, err := os.MkdirTemp("", "sock")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		s.Socket = filepath.Join(dir, "s")
	}
	t.Cleanup(s.Kill)
	return s
}

// start takes a free port. Somebody else may take it first: then another.
func (s *Server) start() error {
	var err error
	for range 10 {
		if s.port, err = freePort(); err != nil {
			return err
		}
		s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
		if err = s.launch(); !errors.Is(err, errTaken) {
			return err
		}
	}
	return err
}

// startAll starts servers side by side.
func startAll(t testing.TB, all []*Server) {
	t.Helper()
	errs := make([]error, len(all))
	var running sync.WaitGroup
	for i, s := range all {
		running.Go(func() { errs[i] = s.start() })
	}
	running.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// launch starts the process on s.port and returns when it answers.
func (s *Server) launch() error {
	args, err := s.command(s)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	before, err := out.Seek(0, 2)
	if err != nil {
		return err
	}
	program := s.Version.command
	cmd := exec.Command(program[0], append(program[1:len(program):len(program)], args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, out, out
	dieWithParent(cmd)
	if s.prepare != nil {
		s.prepare(cmd)
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.process, s.Pid = cmd.Process, cmd.Process.Pid
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(3 * time.Millisecond) {
		gone := s.gone()
		log, err := os.ReadFile(s.logFile())
		if err != nil {
			return err
		}
		log = log[min(int(before), len(log)):]
		switch {
		case gone && bytes.Contains(bytes.ToLower(log), []byte("address already in use")):
			return fmt.Errorf("%s on %s: %w", s.Version, s.Addr, errTaken)
		case gone:
			return fmt.Errorf("%s ended at once:\n%s", s.Version, log)
		case s.ready(s, log):
			return nil
		}
	}
	s.Kill()
	return fmt.Errorf("%s did not answer within %v:\n%s", s.Version, startTimeout, s.Log())
}

// gone tells whether the process ended by itself.
func (s *Server) gone() bool {
	if s.process != nil && reap(s.Pid) {
		s.process.Release()
		s.process = nil
	}
	return s.process == nil
}

// Stop asks the server to end, as an operator would, and waits for it. One
// that takes more than three seconds is killed.
func (s *Server) Stop() {
	if s.gone() {
		return
	}
	s.process.Signal(s.stop)
	s.Resume()
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); time.Sleep(3 * time.Millisecond) {
		if s.gone() {
			return
		}
	}
	s.Kill()
}

// Kill ends the server without giving it time for anything.
func (s *Server) Kill() {
	if s.gone() {
		return
	}
	s.process.Kill()
	s.process.Wait()
	s.process = nil
}

// Pause freezes the process: connections stay open, new ones are accepted by
// the kernel, and nothing answers.
func (s *Server) Pause() {
	if !s.gone() {
		suspend(s.process)
	}
}

// Resume lets a paused server go on.
func (s *Server) Resume() {
	if !s.gone() {
		proceed(s.process)
	}
}

// Restart stops the server if it runs, and starts it on the same address with
// the same options. Its keys are gone unless Options.Args made it keep them; a
// cluster's node keeps its identity and its slots.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	err := s.launch()
	for deadline := time.Now().Add(startTimeout); errors.Is(err, errTaken) && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
		err = s.launch()
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// Log is what the server has written so far, over all restarts.
func (s *Server) Log() string {
	log, _ := os.ReadFile(s.logFile()) // nothing yet is an empty log
	return string(log)
}

func (s *Server) logFile() string { return filepath.Join(s.dir, "server.log") }

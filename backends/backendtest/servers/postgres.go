package servers

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Postgres starts the system's PostgreSQL with an empty database cluster of its own, which
// survives a Restart, and returns when it takes connections. The superuser and his database
// are called postgres. Of the options it takes Password, without which nobody is asked for
// one, and Args. Nothing is ever flushed to the disk.
//
// PostgreSQL refuses to run as root: then it runs as the user postgres, or as nobody.
func Postgres(t testing.TB, o Options) *Server {
	t.Helper()
	bin, err := postgresPrograms()
	if err != nil {
		t.Fatalf("%v\nhint: run: make servers", err)
	}
	s := newServer(t, Version{Name: "postgres", Software: "postgres", command: []string{filepath.Join(bin, "postgres")}}, Options{Password: o.Password})
	// The test's own folder is closed to other users.
	if s.dir, err = os.MkdirTemp("", "postgres"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(s.dir) })
	if s.prepare, err = unprivileged(s.dir); err != nil {
		t.Fatal(err)
	}
	s.stop = syscall.SIGINT // what waits for no client
	t.Cleanup(s.Stop)       // killed, it would leave shared memory behind
	if err := s.initdb(filepath.Join(bin, "initdb")); err != nil {
		t.Fatal(err)
	}
	s.command = func(s *Server) ([]string, error) {
		args := []string{"-D", s.data(), "-p", strconv.Itoa(s.port)}
		for _, setting := range []string{
			"listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "synchronous_commit=off", "full_page_writes=off",
			"shared_buffers=16MB", "max_connections=20", "autovacuum=off", "max_wal_senders=0", "wal_level=minimal",
		} {
			args = append(args, "-c", setting)
		}
		return append(args, o.Args...), nil
	}
	s.ready = func(s *Server, log []byte) bool {
		return strings.Contains(string(log), "database system is ready to accept connections")
	}
	startAll(t, []*Server{s})
	return s
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// initdb makes the database cluster.
func (s *Server) initdb(program string) error {
	args := []string{"-D", s.data(), "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions", "-A", "trust"}
	if s.password != "" {
		file := filepath.Join(s.dir, "password")
		if err := os.WriteFile(file, []byte(s.password+"\n"), 0o644); err != nil {
			return err
		}
		args = append(args[:len(args)-1], "scram-sha-256", "--pwfile", file)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = s.dir
	dieWithParent(cmd)
	s.prepare(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

// postgresPrograms is the folder of the newest PostgreSQL: Debian keeps it out of the PATH.
func postgresPrograms() (string, error) {
	best, folder := 0.0, ""
	all, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	for _, path := range all {
		dir := filepath.Dir(path)
		if v, err := strconv.ParseFloat(filepath.Base(filepath.Dir(dir)), 64); err == nil && v > best {
			best, folder = v, dir
		}
	}
	if folder != "" {
		return folder, nil
	}
	path, err := exec.LookPath("initdb")
	return filepath.Dir(path), err
}

// unprivileged gives dir to a user who is not root, if we are, and says how a program is
// run as that user.
func unprivileged(dir string) (func(*exec.Cmd), error) {
	if os.Geteuid() != 0 {
		return func(*exec.Cmd) {}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err := errors.Join(err1, err2, os.Chown(dir, uid, gid)); err != nil {
			return nil, err
		}
		return func(cmd *exec.Cmd) { runAs(cmd, uid, gid) }, nil
	}
	return nil, errors.New("neither a user postgres nor a user nobody to run PostgreSQL as")
}

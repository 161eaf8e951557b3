package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Version is one program that can be started.
type Version struct {
	Name     string // "redis-7.0", "valkey-8.1"; of memcached, whose second part hardly moves, "memcached-1.6.18"
	Software string // "redis", "valkey" or "memcached"
	Number   string // "7.0.15"

	command []string // the program, behind its own loader where it needs one
}

// String is the Name, fit for the name of a subtest.
func (v Version) String() string { return v.Name }

// Redises are all versions that a backend for Redis has to work with, the
// system's first. A missing one fails the test. Chosen may leave some out.
func Redises(t testing.TB) []Version {
	t.Helper()
	return Chosen(need(t, "redis-server", "redis-server", "valkey-server"))
}

// Chosen is all versions, or the last with CACHECTL_VERSIONS=newest in the environment:
// for the race detector, which looks at the client, whose goroutines are the same whatever
// the server.
func Chosen(all []Version) []Version {
	if os.Getenv("CACHECTL_VERSIONS") == "newest" {
		return all[len(all)-1:]
	}
	return all
}

// Default is the system's redis-server: what to test with where the version
// does not matter.
func Default(t testing.TB) Version {
	t.Helper()
	return need(t, "redis-server")[0]
}

// Memcacheds are all versions of memcached, the system's first, and no choice of them.
func Memcacheds(t testing.TB) []Version {
	t.Helper()
	return need(t, "memcached", "memcached")
}

func need(t testing.TB, system string, fetched ...string) []Version {
	t.Helper()
	versions, err := find(system, fetched...)
	if err != nil {
		t.Fatalf("%v\nhint: run: make servers", err)
	}
	return versions
}

// find brings the system's program and the fetched ones. One that has the name
// of an earlier one is left out: on Debian 13 the system's are the fetched.
func find(system string, fetched ...string) ([]Version, error) {
	path, err := exec.LookPath(system)
	if err != nil {
		return nil, err
	}
	first, err := identify(path)
	if err != nil {
		return nil, err
	}
	if major, _, _ := strings.Cut(first.Number, "."); first.Software == "redis" && len(major) == 1 && major < "7" {
		return nil, fmt.Errorf("%s is version %s: redis-server 7.0 or newer is needed", path, first.Number)
	}
	versions := []Version{first}
	for _, program := range fetched {
		v, err := identifyFetched(program)
		if err != nil {
			return nil, err
		}
		if v.Name != first.Name {
			versions = append(versions, v)
		}
	}
	return versions, nil
}

// Tool is the command line of a fetched program that is no server, such as
// redis-cli: peers to measure against. A missing one fails the test.
func Tool(t testing.TB, program string) []string {
	t.Helper()
	command, err := fetchedCommand(program)
	if err != nil {
		t.Fatalf("%v\nhint: run: make servers", err)
	}
	return command
}

func identifyFetched(program string) (Version, error) {
	command, err := fetchedCommand(program)
	if err != nil {
		return Version{}, err
	}
	return identify(command...)
}

// fetchedCommand looks into the folder that fetch.sh fills. Its programs are
// built for another libc than the system's, so their own loader runs them.
func fetchedCommand(program string) ([]string, error) {
	root, err := fetchedRoot()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(root, "usr/bin", program)
	loaders, _ := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu*/ld-linux*.so.*"))
	_, stamped := os.Stat(filepath.Join(root, ".stamp"))
	if _, err := os.Stat(path); err != nil || stamped != nil || len(loaders) == 0 {
		return nil, fmt.Errorf("no %s in %s", program, root)
	}
	lib := filepath.Dir(loaders[0])
	return []string{loaders[0], "--library-path", lib + ":" + filepath.Join(lib, "systemd"), path}, nil
}

func fetchedRoot() (string, error) {
	if dir := os.Getenv("CACHECTL_SERVERS"); dir != "" {
		return filepath.Join(dir, "trixie"), nil
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "cachectl/servers/trixie"), nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".cache/cachectl/servers/trixie"), err
}

// "Redis server v=7.0.15 sha=...", "Valkey server v=8.1.1 ...", "memcached 1.6.18"
var versionLine = regexp.MustCompile(`^(?i:(redis|valkey) server v=|(memcached) )(\d+)\.(\d+)\.(\d+)`)

// identified remembers what programs said, by command: it takes a process each.
var identified sync.Map

func identify(command ...string) (Version, error) {
	key := strings.Join(command, "\x00")
	if v, ok := identified.Load(key); ok {
		return v.(Version), nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, command[0], append(command[1:len(command):len(command)], "--version")...).Output()
	m := versionLine.FindStringSubmatch(string(out))
	if err == nil && m == nil {
		err = errors.New("unknown version " + strconv.Quote(string(out)))
	}
	if err != nil {
		return Version{}, fmt.Errorf("%s --version: %w", command[len(command)-1], err)
	}
	software := strings.ToLower(m[1] + m[2])
	v := Version{
		Name:     software + "-" + m[3] + "." + m[4],
		Software: software,
		Number:   m[3] + "." + m[4] + "." + m[5],
		command:  command,
	}
	if software == "memcached" {
		v.Name = software + "-" + v.Number
	}
	identified.Store(key, v)
	return v, nil
}

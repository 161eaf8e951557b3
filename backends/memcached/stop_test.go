//go:build unix

package memcached

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// A listener is a child process that lists keys.
type listener struct {
	*exec.Cmd
	out *bufio.Scanner
}

func startListener(t *testing.T, s *servers.Server) *listener {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childTarget+"=memcached://"+s.Addr)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return &listener{cmd, bufio.NewScanner(out)}
}

func (l *listener) expect(t *testing.T, want string) {
	t.Helper()
	if !l.out.Scan() || l.out.Text() != want {
		t.Fatalf("the listing process says %q, want %q", l.out.Text(), want)
	}
}

// state is the process's state: 'T' when it is stopped.
func (l *listener) state(t *testing.T) byte {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", l.Process.Pid))
	if err != nil {
		t.Skip("no /proc here")
	}
	return text[strings.LastIndexByte(string(text), ')')+2]
}

// TestSuspendedInMidDump: while our process is stopped (SIGSTOP, which nothing
// can hold back), other clients go on; when it goes on, all keys come.
//
// Before 1.6.44 a server writes behind its buffer when a reader stands still for
// long, so the pause is short.
func TestSuspendedInMidDump(t *testing.T) {
	keys, pause := 200_000, 2*time.Second
	if long() {
		keys, pause = 1_000_000, 5*time.Second
	}
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v, "-m", "1024", "-t", "4")
		dialRaw(t, s).fill("k", keys, 10)
		quiet := startProbe(t, s, 4, 1000)
		time.Sleep(time.Second)
		p99before, _, _ := quiet.end()

		l := startListener(t, s)
		l.expect(t, "begun")
		l.Process.Signal(syscall.SIGSTOP)
		busy := startProbe(t, s, 4, 1000)
		time.Sleep(pause)
		if l.state(t) != 'T' {
			t.Fatal("the process is not stopped")
		}
		p99, worst, n := busy.end()
		l.Process.Signal(syscall.SIGCONT)
		t.Logf("p99 %v before, %v while stopped (worst %v, %d lookups)", p99before, p99, worst, n)
		if n < 1000 {
			t.Errorf("%d lookups while the reader stood still", n)
		}
		if v.Number != "1.6.18" { // whose LRU walk may miss those that the clients read
			l.expect(t, fmt.Sprintf("keys %d", keys))
		}
	})
}

// TestCtrlZWaitsForTheDump: a stop that can be held comes after the last line.
func TestCtrlZWaitsForTheDump(t *testing.T) {
	v := servers.Memcacheds(t)[1]
	s := start(t, v, "-m", "1024")
	dialRaw(t, s).fill("k", 300_000, 10)
	l := startListener(t, s)
	l.expect(t, "begun")
	l.Process.Signal(syscall.SIGTSTP)
	for deadline := time.Now().Add(20 * time.Second); l.state(t) != 'T'; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the process does not stop")
		}
	}
	// Stopped, and the crawler is free: nobody waits for us.
	r := dialRaw(t, s)
	if line := r.do("lru_crawler metadump 63"); line != "END" && line != "OK" {
		t.Errorf("while we are stopped the crawler says %q", line)
	}
	l.Process.Signal(syscall.SIGCONT)
	l.expect(t, "keys 300000")
}

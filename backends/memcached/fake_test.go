package memcached

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
)

// A fake answers as it is told: what real servers that we cannot have say, and
// what no server should.
type fake struct {
	Addr    string
	version string
	// answer answers a command that the fake does not answer itself. It may
	// read on from r, and ends the connection by false.
	answer func(command string, r *bufio.Reader, w *bufio.Writer) bool

	mu       sync.Mutex
	commands []string
}

// startFake starts one. Like a real server it answers version and stats, unless
// its version is "".
func startFake(t testing.TB, version string, answer func(string, *bufio.Reader, *bufio.Writer) bool) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{Addr: l.Addr().String(), version: version, answer: answer}
	var open sync.Map
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Store(c, nil)
			running.Go(func() {
				defer open.Delete(c)
				defer c.Close()
				f.serve(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
		running.Wait()
	})
	return f
}

func (f *fake) serve(c net.Conn) {
	r, w := bufio.NewReader(c), bufio.NewWriter(c)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		command := strings.TrimRight(line, "\r\n")
		f.mu.Lock()
		f.commands = append(f.commands, command)
		f.mu.Unlock()
		if !f.standard(command, w) && !f.answer(command, r, w) {
			w.Flush()
			return
		}
		if w.Flush() != nil {
			return
		}
	}
}

func (f *fake) standard(command string, w *bufio.Writer) bool {
	switch {
	case f.version == "":
		return false
	case command == "version":
		fmt.Fprintf(w, "VERSION %s\r\n", f.version)
	case command == "stats":
		fmt.Fprintf(w, "STAT pid 7\r\nSTAT uptime 100\r\nSTAT time 1795383500\r\nSTAT version %s\r\nSTAT pointer_size 64\r\nSTAT curr_items 3\r\nEND\r\n", f.version)
	case command == "stats settings":
		fmt.Fprint(w, "STAT item_size_max 1048576\r\nSTAT cas_enabled yes\r\nEND\r\n")
	default:
		return false
	}
	return true
}

// heard are the commands so far that hold a word.
func (f *fake) heard(word string) (all []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, command := range f.commands {
		if strings.Contains(command, word) {
			all = append(all, command)
		}
	}
	return all
}

// says makes an answer function from commands and what they are answered;
// anything else is an unknown command.
func says(answers map[string]string) func(string, *bufio.Reader, *bufio.Writer) bool {
	return func(command string, _ *bufio.Reader, w *bufio.Writer) bool {
		text, ok := answers[command]
		if !ok {
			text = "ERROR\r\n"
		}
		w.WriteString(text)
		return true
	}
}

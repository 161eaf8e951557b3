package redis

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
)

func wireOn(text string) *wire {
	return &wire{in: bufio.NewReaderSize(strings.NewReader(text), 64<<10)}
}

func TestScanReply(t *testing.T) {
	var p keyPage
	w := wireOn("*2\r\n$20\r\n18446744073709551615\r\n*3\r\n$1\r\na\r\n$0\r\n\r\n$4\r\n\r\n\x00\xff\r\n*2\r\n$1\r\n0\r\n*0\r\n")
	if err := w.scanReply(&p); err != nil || p.cursor != 1<<64-1 || fmt.Sprintf("%q", p.keys) != `["a" "" "\r\n\x00\xff"]` {
		t.Errorf("%d %q, %v", p.cursor, p.keys, err)
	}
	if err := w.scanReply(&p); err != nil || p.cursor != 0 || len(p.keys) != 0 {
		t.Errorf("%d %q, %v", p.cursor, p.keys, err)
	}
}

// TestBadReplies: whatever a server sends, the walk ends with an error, and an
// answer that is an error stays one.
func TestBadReplies(t *testing.T) {
	for text, want := range map[string]string{
		"":                                         "EOF",
		"-NOPERM no\r\n":                           "NOPERM no",
		"+OK\r\n":                                  "no pair",
		"*2\r\n:1\r\n":                             "bad cursor",
		"*2\r\n$-1\r\n":                            "bad cursor",
		"*2\r\n$1\r\nx\r\n":                        "bad cursor",
		"*2\r\n$2\r\n-1\r\n":                       "bad cursor",
		"*2\r\n$21\r\n118446744073709551615\r\n":   "bad cursor",
		"*2\r\n$1\r\n0\r\n$1\r\n":                  "without keys",
		"*2\r\n$1\r\n0\r\n*-2\r\n":                 "without keys",
		"*2\r\n$1\r\n0\r\n*99999999999\r\n":        "without keys",
		"*2\r\n$1\r\n0\r\n*1\r\n:1\r\n":            "no string",
		"*2\r\n$1\r\n0\r\n*1\r\n$-1\r\n":           "no string",
		"*2\r\n$1\r\n0\r\n*1\r\n$999999999999\r\n": "no string",
		"*2\r\n$1\r\n0\r\n*1\r\n$2\r\nabc\r\n":     "without its end",
		"*2\r\n$1\r\n0\r\n*1\r\n$5\r\nab":          "EOF",
		"*2\n":                                     "without CRLF",
		"HTTP/1.1 400 Bad Request\r\n":             "no pair",
		strings.Repeat("x", 100_000):               "more than 64 KiB",
	} {
		err := wireOn(text).scanReply(new(keyPage))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

// FuzzWire reads any bytes as answers to SCAN and to facts.
func FuzzWire(f *testing.F) {
	for _, seed := range []string{
		"*2\r\n$1\r\n7\r\n*2\r\n$1\r\na\r\n$2\r\nbc\r\n", "+string\r\n:-1\r\n$-1\r\n$5\r\nhello\r\n-ERR x\r\n", "*2\r\n$1\r\n0\r\n*9999999\r\n", "_\r\n", ":9223372036854775807\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		w := wireOn(string(data))
		var p keyPage
		for w.scanReply(&p) == nil {
			if len(p.bytes) > len(data) {
				t.Fatal("more keys than bytes")
			}
		}
		w = wireOn(string(data))
		for {
			r, err := w.scalar()
			if err != nil {
				break
			}
			if len(r.text) > len(data) {
				t.Fatal("more text than bytes")
			}
		}
		kept(t, wireOn(string(data)))
	})
}

// kept reads strings to the end and tells how many there were: what was read stays as it
// is, whatever is read or appended behind it.
func kept(t *testing.T, w *wire) (n int) {
	var bodies [][]byte
	var as []string
	for {
		r, err := w.blob()
		if err != nil {
			break
		}
		bodies, as = append(bodies, r.body), append(as, string(r.body))
		_ = append(r.body, "behind"...)
	}
	for i := range bodies {
		if string(bodies[i]) != as[i] {
			t.Fatalf("string %d was %.40q and is %.40q", i, as[i], bodies[i])
		}
	}
	return len(bodies)
}

// TestBlobsAreKept: values of all sizes around what shares memory and what does not.
func TestBlobsAreKept(t *testing.T) {
	var all strings.Builder
	sizes := []int{0, 1, 1000, shelfMost - 1, shelfMost, shelfMost + 1, 64 << 10, shelfSize + 1, 3 << 20}
	for i := range 200 {
		n := sizes[i%len(sizes)]
		fmt.Fprintf(&all, "$%d\r\n%s\r\n", n, strings.Repeat(string(rune('a'+i%26)), n))
	}
	if n := kept(t, wireOn(all.String())); n != 200 {
		t.Errorf("%d strings of 200", n)
	}
	w := wireOn("$-1\r\n$0\r\n\r\n+OK\r\n-ERR no\r\n$3\r\nab")
	if r, err := w.blob(); err != nil || !r.null || r.body != nil {
		t.Errorf("null: %+v, %v", r, err)
	}
	if r, err := w.blob(); err != nil || r.null || len(r.bytes()) != 0 {
		t.Errorf("empty: %+v, %v", r, err)
	}
	if r, err := w.blob(); err != nil || r.text != "OK" || string(r.bytes()) != "OK" {
		t.Errorf("a word: %+v, %v", r, err)
	}
	if r, err := w.blob(); err != nil || r.err == nil {
		t.Errorf("an error: %+v, %v", r, err)
	}
	if _, err := w.blob(); !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		t.Errorf("cut off: %v", err)
	}
}

// hostile answers PING as a server does, and SCAN with what it is given.
func hostile(t *testing.T, scan func(io.Writer)) string {
	t.Helper()
	return listen(t, func(args []string, conn net.Conn) bool {
		switch strings.ToLower(args[0]) {
		case "ping":
			io.WriteString(conn, "+PONG\r\n")
		case "scan":
			scan(conn)
			return false
		default:
			io.WriteString(conn, "-ERR unknown command\r\n")
		}
		return true
	})
}

// listen is a fake server: answer is called for each command, until it says no.
func listen(t *testing.T, answer func(args []string, conn net.Conn) bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for {
					args, err := readCommand(in)
					if err != nil || !answer(args, conn) {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

func readCommand(in *bufio.Reader) ([]string, error) {
	var n int
	if _, err := fmt.Fscanf(in, "*%d\r\n", &n); err != nil {
		return nil, err
	}
	args := make([]string, n)
	for i := range args {
		var length int
		if _, err := fmt.Fscanf(in, "$%d\r\n", &length); err != nil {
			return nil, err
		}
		buf := make([]byte, length+2)
		if _, err := io.ReadFull(in, buf); err != nil {
			return nil, err
		}
		args[i] = string(buf[:length])
	}
	return args, nil
}

// TestHostileServer: garbage, silence and endless answers end in an error, in
// bounded time and memory.
func TestHostileServer(t *testing.T) {
	endless := func(chunk string) func(io.Writer) {
		return func(w io.Writer) {
			for {
				if _, err := io.WriteString(w, chunk); err != nil {
					return
				}
			}
		}
	}
	for name, scan := range map[string]func(io.Writer){
		"garbage":      func(w io.Writer) { io.WriteString(w, "\x00\x01\x02 what?\r\n") },
		"hangs up":     func(io.Writer) {},
		"half a page":  func(w io.Writer) { io.WriteString(w, "*2\r\n$1\r\n0\r\n*5\r\n$1\r\na\r\n") },
		"endless line": endless(strings.Repeat("x", 4096)),
		"silence":      func(io.Writer) { time.Sleep(3 * time.Second) },
		"huge promise": func(w io.Writer) { io.WriteString(w, "*2\r\n$1\r\n0\r\n*1\r\n$500000000\r\nabc") },
		"endless page": func(w io.Writer) {
			io.WriteString(w, "*2\r\n$1\r\n0\r\n*16000000\r\n")
			endless("$1000\r\n" + strings.Repeat("k", 1000) + "\r\n")(w)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := openURL(t, "redis://"+hostile(t, scan)+"?timeout=500ms")
			start, last := time.Now(), error(nil)
			for _, err := range b.(backends.Scanner).Scan(t.Context(), backends.Query{}) {
				last = err
			}
			if !errors.Is(last, backends.ErrUnreachable) {
				t.Errorf("error %v, want ErrUnreachable", last)
			}
			if d := time.Since(start); d > 40*time.Second {
				t.Errorf("took %v", d)
			}
			var m runtime.MemStats
			if runtime.ReadMemStats(&m); m.Sys > 2<<30 {
				t.Errorf("%d MiB of memory", m.Sys>>20)
			}
		})
	}
}

// TestPausedServerAndCtrlC: a server that stops answering does not hold the
// user: cancelling ends the walk at once.
func TestPausedServerAndCtrlC(t *testing.T) {
	addr := hostile(t, func(io.Writer) { time.Sleep(time.Minute) })
	b := openURL(t, "redis://"+addr+"?timeout=1m")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	start, last := time.Now(), error(nil)
	for _, err := range b.(backends.Scanner).Scan(ctx, backends.Query{}) {
		last = err
	}
	if d := time.Since(start); !errors.Is(last, context.Canceled) || d > 20*time.Second {
		t.Errorf("%v after %v, want context.Canceled at once", last, d)
	}
}

func TestCommandIsRESP(t *testing.T) {
	var w wire
	w.command("get", "a\r\nb\x00")
	if want := "*2\r\n$3\r\nget\r\n$5\r\na\r\nb\x00\r\n"; !bytes.Equal(w.out, []byte(want)) {
		t.Errorf("%q, want %q", w.out, want)
	}
}

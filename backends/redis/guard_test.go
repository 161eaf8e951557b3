package redis

import (
	"net"
	"strings"
	"testing"
)

func TestGuardPassesWhatServersSend(t *testing.T) {
	for _, text := range []string{
		"+PONG\r\n$5\r\na\nb\nc\r\n*2\r\n$0\r\n\r\n:1\r\n$-1\r\n*-1\r\n-ERR x\r\n%1\r\n$1\r\na\r\n_\r\n,1.5\r\n",
		"$100000\r\n" + strings.Repeat("\n$999999999999\r\n", 6250) + "\r\n+OK\r\n",
	} {
		for size := range 9 { // however the bytes arrive
			g := &guard{}
			for rest := text; rest != ""; {
				n := min(size*size*100+1, len(rest))
				if err := g.check([]byte(rest[:n])); err != nil {
					t.Fatalf("%.40q: %v", text, err)
				}
				rest = rest[n:]
			}
			if g.skip != 0 || g.line != 0 {
				t.Errorf("%.40q: %d bytes and a line of %d left over", text, g.skip, g.line)
			}
		}
	}
}

func TestGuardRefusesAbsurdClaims(t *testing.T) {
	for _, text := range []string{
		"$9223372036854775000\r\n", "$400000000000\r\n", "*100000000000\r\n", "%99999999\r\n", "$x\r\n", "*99999999999999999999999999999999999999\r\n",
		"+" + strings.Repeat("x", 100_000), strings.Repeat("\x00", 100_000),
	} {
		if err := new(guard).check([]byte(text)); err == nil {
			t.Errorf("%.40q passed", text)
		}
	}
}

// TestAbsurdGreeting: a target that answers nonsense costs an error, no memory.
func TestAbsurdGreeting(t *testing.T) {
	for _, answer := range []string{"$9223372036854775000\r\n", "*100000000000\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n"} {
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
				conn.Write([]byte(answer))
				conn.Close()
			}
		}()
		if b, err := Open(t.Context(), parsed(t, "redis://"+l.Addr().String()+"?timeout=1s")); err == nil {
			b.Close()
			t.Errorf("%q: no error", answer)
		}
	}
}

// FuzzGuard: whatever comes, in whatever pieces, the guard keeps little of it.
func FuzzGuard(f *testing.F) {
	f.Add([]byte("*2\r\n$1\r\n0\r\n*0\r\n"), 3)
	f.Add([]byte("$-1\r\n%1\r\n+a\r\n"), 1)
	f.Fuzz(func(t *testing.T, data []byte, piece int) {
		g := &guard{}
		for piece = max(1, piece); len(data) > 0; {
			n := min(piece, len(data))
			if g.check(data[:n]) != nil {
				return
			}
			if data = data[n:]; len(g.header) > 32 || g.skip > maxBulk+2 || g.line > maxLine {
				t.Fatalf("%d bytes of header, %d to skip, a line of %d", len(g.header), g.skip, g.line)
			}
		}
	})
}

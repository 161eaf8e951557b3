package backendtest

import (
	"bytes"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A line is a connection of a Dialer, with what came over it and was not read yet.
type line struct {
	node    string
	conn    net.Conn
	dialect backends.Dialect
	in      []byte
	piece   int // read at most so many bytes at a time; 0: what comes
}

// dialNode opens a line that ends with the test.
func dialNode(t *testing.T, b backends.Backend, node string) *line {
	t.Helper()
	conn, dialect, err := must[backends.Dialer](t, b).DialNode(testContext(t), node)
	if err != nil {
		t.Fatalf("DialNode(%s): %v", node, err)
	}
	t.Cleanup(func() { conn.Close() })
	return &line{node: node, conn: conn, dialect: dialect}
}

// dialAll opens a line to each node.
func dialAll(t *testing.T, b backends.Backend) []*line {
	t.Helper()
	var lines []*line
	for _, node := range routes(t, b).Nodes {
		lines = append(lines, dialNode(t, b, node))
	}
	return lines
}

// routes are checked before they are used.
func routes(t *testing.T, b backends.Backend) backends.Routes {
	t.Helper()
	r, err := must[backends.Dialer](t, b).Routes(testContext(t))
	if err != nil {
		t.Fatalf("Routes: %v", err)
	}
	if len(r.Nodes) == 0 || len(r.Nodes) > 1 && r.Of == nil {
		t.Fatalf("Routes = %d nodes, and Of is nil: %t", len(r.Nodes), r.Of == nil)
	}
	if r.Of == nil {
		r.Of = func([]byte) int { return 0 }
	}
	return r
}

// lines are those to all nodes, and which of them a key belongs to.
type lines struct {
	all []*line
	of  func([]byte) int
}

func dialLines(t *testing.T, b backends.Backend) lines {
	t.Helper()
	return lines{dialAll(t, b), routes(t, b).Of}
}

// ask sends one ask to the node of its key, and reads the reply.
func (l lines) ask(t *testing.T, a *backends.Ask) backends.Reply {
	t.Helper()
	return l.all[l.of(a.Key)].ask(t, a)
}

func (l *line) ask(t *testing.T, a *backends.Ask) backends.Reply {
	t.Helper()
	out, err := l.dialect.Append([]byte("kept"), a)
	if err != nil || !bytes.HasPrefix(out, []byte("kept")) {
		t.Fatalf("Append to %q (%d, key %q): %v", out[:min(4, len(out))], a.Do, a.Key, err)
	}
	l.conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := l.conn.Write(out[len("kept"):]); err != nil {
		t.Fatalf("write to %s: %v", l.node, err)
	}
	return l.read(t, a)
}

// read reads one reply. Its value is the test's to keep.
func (l *line) read(t *testing.T, a *backends.Ask) backends.Reply {
	t.Helper()
	var r backends.Reply
	for {
		n, err := l.dialect.Parse(l.in, a, &r)
		if err != nil {
			t.Fatalf("Parse %q (%d, key %q): %v", l.in[:min(len(l.in), 100)], a.Do, a.Key, err)
		}
		if n > 0 {
			r.Value = bytes.Clone(r.Value)
			l.in = l.in[n:]
			return r
		}
		piece := make([]byte, 64<<10)
		if l.piece > 0 {
			piece = piece[:l.piece]
		}
		if n, err = l.conn.Read(piece); err != nil {
			t.Fatalf("read from %s: %v", l.node, err)
		}
		l.in = append(l.in, piece[:n]...)
	}
}

// told is a reply in words.
func told(r backends.Reply) string {
	name := [...]string{"Refused", "Hit", "Miss", "Done", "NotDone", "Won", "Busy", "Moved"}[r.Answer]
	return fmt.Sprintf("%s %q of %d bytes, stale %t, CAS %d, %s", name, r.Value[:min(len(r.Value), 40)], len(r.Value), r.Stale, r.CAS, r.Text)
}

// expect fails the test where the answer is another.
func expect(t *testing.T, what string, r backends.Reply, want backends.Answer) backends.Reply {
	t.Helper()
	if r.Answer != want {
		t.Errorf("%s: %s; want answer %d", what, told(r), want)
	}
	return r
}

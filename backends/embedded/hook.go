package embedded

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2/server"
)

// A client is a connection as CLIENT LIST shows it. Only its own goroutine
// touches it, but for the fields that Server.mu guards.
type client struct {
	id      int64
	peer    *server.Peer
	since   time.Time
	noTouch bool
	noEvict bool
	lib     [2]string // name and version
	queued  []call    // between MULTI and EXEC

	// guarded by Server.mu
	monitors bool
	name     string
	last     string // command
	db       int
}

// A call is one command on its way through the hook.
type call struct {
	*server.Peer
	state
	s       *Server
	client  *client // nil in a script
	noTouch bool
	now     time.Time
	cmd     string
	args    []string
}

// own are the commands that the hook answers itself. They return false to leave
// the answer to miniredis.
func own(cmd string) func(*call) bool {
	switch cmd {
	case "SCAN":
		return (*call).scan
	case "HSCAN", "SSCAN", "ZSCAN":
		return (*call).scanElements
	case "KEYS":
		return (*call).keys
	case "TYPE":
		return (*call).typeOf
	case "OBJECT":
		return (*call).object
	case "MEMORY":
		return (*call).memory
	case "DUMP":
		return (*call).dump
	case "RESTORE":
		return (*call).restore
	case "GET", "STRLEN", "GETRANGE":
		return (*call).hyperLogLog
	case "INFO":
		return (*call).info
	case "CONFIG":
		return (*call).configure
	case "CLIENT":
		return (*call).clientCommand
	case "HELLO":
		return (*call).hello
	case "SELECT":
		return (*call).selectDB
	case "MONITOR":
		return (*call).monitor
	case "COMMAND":
		return (*call).command
	case "PSUBSCRIBE", "PUBSUB":
		return (*call).channels
	case "ACL", "LATENCY", "SLOWLOG", "MODULE", "ROLE", "LASTSAVE", "CLUSTER", "READONLY", "READWRITE", "ASKING":
		return (*call).minor
	}
	return nil
}

// hook runs before every command, in the goroutine of its connection, and
// within a script for each command of the script.
func (s *Server) hook(p *server.Peer, cmd string, args ...string) (done bool) {
	c := call{Peer: p, state: s.shape.state(p.Ctx), s: s, cmd: cmd, args: args}
	s.commands.Add(1)
	if c.nested { // the script's command has moved the clock
		c.now = *s.clock.at.Load()
		s.account(&c)
	} else {
		c.now = s.clock.tick(s.expire)
		c.client = s.clientOf(&c)
		c.noTouch = c.client.noTouch
		if !s.transact(&c) {
			return false
		}
	}
	if answer := own(cmd); answer != nil {
		return answer(&c)
	}
	return false
}

// transact does the accounting, which has to wait for EXEC between MULTI and
// EXEC. It reports whether the command runs now.
func (s *Server) transact(c *call) (now bool) {
	mine := c.client
	switch {
	case c.queues && c.cmd == "EXEC":
		c.locked(func() {
			for i := range mine.queued {
				queued := &mine.queued[i]
				queued.now = c.now
				s.account(queued)
			}
		})
		mine.queued = nil
	case c.queues && c.cmd == "DISCARD":
		mine.queued = nil
	case c.queues:
		mine.queued = append(mine.queued, *c)
		return false
	default:
		c.locked(func() { s.account(c) })
	}
	return true
}

// locked runs f under the lock of miniredis, which a script holds already.
func (c *call) locked(f func()) {
	if !c.nested {
		c.s.db.Lock()
		defer c.s.db.Unlock()
	}
	f()
}

// expire counts the keys that the next step of the clock deletes. A key that
// another connection writes at that very moment may be counted wrongly. It also
// takes samples for the rate of commands.
func (s *Server) expire(elapsed time.Duration) {
	s.db.Lock()
	defer s.db.Unlock()
	if now := s.clock.at.Load().Add(elapsed); now.Sub(s.rate[1].at) >= time.Second {
		s.rate = [2]sample{s.rate[1], {now, s.commands.Load()}}
	}
	for _, space := range s.keyspaces() {
		for _, left := range space.ttls() {
			if left <= elapsed {
				s.stats.expired++
			}
		}
	}
	s.forget()
}

// clientOf returns the client of a connection, a new one at its first command,
// and shows the command to whoever monitors.
func (s *Server) clientOf(c *call) *client {
	s.mu.Lock()
	mine, ok := s.clients[c.Peer]
	if !ok {
		s.lastID++
		mine = &client{id: s.lastID, peer: c.Peer, since: c.now}
		s.clients[c.Peer] = mine
		c.OnDisconnect(func() {
			s.mu.Lock()
			delete(s.clients, c.Peer)
			s.mu.Unlock()
		})
	}
	mine.last, mine.db, mine.name = strings.ToLower(c.cmd), c.db, c.ClientName
	var watchers []*server.Peer
	for _, other := range s.clients {
		if other.monitors {
			watchers = append(watchers, other.peer)
		}
	}
	s.mu.Unlock()
	if len(watchers) > 0 && c.cmd != "AUTH" && c.cmd != "HELLO" {
		line := monitorLine(c, mine)
		for _, w := range watchers {
			w.WriteInline(line)
			w.Flush()
		}
	}
	return mine
}

// monitorLine is a command as MONITOR shows it. The address is made up: a
// connection in memory has none.
func monitorLine(c *call, mine *client) string {
	var b strings.Builder
	micros := c.s.clock.now().UnixMicro()
	fmt.Fprintf(&b, "%d.%06d [%d 127.0.0.1:%d] %s", micros/1e6, micros%1e6, c.db, 40000+mine.id%20000, quote(strings.ToLower(c.cmd)))
	for _, arg := range c.args {
		b.WriteByte(' ')
		b.WriteString(quote(arg))
	}
	return b.String()
}

// quote writes bytes as Redis does (sdscatrepr).
func quote(s string) string {
	b := []byte{'"'}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c == '\a':
			b = append(b, `\a`...)
		case c == '\b':
			b = append(b, `\b`...)
		case c < ' ' || c > '~':
			b = append(b, `\x`...)
			b = append(b, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		default:
			b = append(b, c)
		}
	}
	return string(append(b, '"'))
}

const (
	errSyntax    = "ERR syntax error"
	errInteger   = "ERR value is not an integer or out of range"
	errCursor    = "ERR invalid cursor"
	errWrongType = "WRONGTYPE Operation against a key holding the wrong kind of value"
)

// fail answers with an error. It returns true, as a handler that is done does.
func (c *call) fail(message string) bool {
	c.WriteError(message)
	return true
}

// arity answers with the error for a wrong number of arguments.
func (c *call) arity(name string) bool {
	return c.fail("ERR wrong number of arguments for '" + name + "' command")
}

// sub is the subcommand, in upper case, or "".
func (c *call) sub() string {
	if len(c.args) == 0 {
		return ""
	}
	return strings.ToUpper(c.args[0])
}

// unknown answers to a subcommand that the server does not know.
func (c *call) unknown() bool {
	if len(c.args) == 0 {
		return c.arity(strings.ToLower(c.cmd))
	}
	return c.fail(fmt.Sprintf("ERR unknown subcommand '%s'. Try %s HELP.", c.args[0], c.cmd))
}

func (c *call) ok() bool {
	c.WriteOK()
	return true
}

func (c *call) integer(n int) bool {
	c.WriteInt(n)
	return true
}

func (c *call) bulk(s string) bool {
	c.WriteBulk(s)
	return true
}

func (c *call) null() bool {
	c.WriteNull()
	return true
}

func count(arg string) (int, bool) {
	n, err := strconv.Atoi(arg)
	return n, err == nil
}

package memcached

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

func TestMain(m *testing.M) {
	if target := os.Getenv(childTarget); target != "" {
		child(target)
		return
	}
	goleak.VerifyTestMain(m)
}

// openURL opens a target as a user would name it.
func openURL(t testing.TB, raw string) *cache {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	b, err := Open(ctx, parsed(t, raw))
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { b.Close() })
	return b.(*cache)
}

// parsed makes a URL of the form the commands hand over: hosts may be several.
func parsed(t testing.TB, raw string) *url.URL {
	t.Helper()
	scheme, rest, _ := strings.Cut(raw, "://")
	user := ""
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, rest = rest[:at+1], rest[at+1:]
	}
	host, tail := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		host, tail = rest[:i], rest[i:]
	}
	u, err := url.Parse(scheme + "://" + user + "h" + tail)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = host
	return u
}

// A rawConn is a client without opinions, to prepare and to compare.
type rawConn struct {
	net.Conn
	r *bufio.Reader
	t testing.TB
}

func dialRaw(t testing.TB, s *servers.Server) *rawConn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &rawConn{c, bufio.NewReaderSize(c, 1<<20), t}
}

// do sends a command and returns the first line of its answer.
func (c *rawConn) do(format string, args ...any) string {
	c.t.Helper()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(c, format+"\r\n", args...)
	return c.readLine()
}

func (c *rawConn) readLine() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimRight(line, "\r\n")
}

func (c *rawConn) want(answer, format string, args ...any) {
	c.t.Helper()
	if got := c.do(format, args...); got != answer {
		c.t.Fatalf("%s: %q, want %q", fmt.Sprintf(format, args...), got, answer)
	}
}

// fill writes n keys "name:0000000" with values of size bytes.
func (c *rawConn) fill(name string, n, size int) {
	c.t.Helper()
	value := strings.Repeat("x", size)
	var batch bytes.Buffer
	for i := range n {
		fmt.Fprintf(&batch, "set %s:%07d 0 0 %d noreply\r\n%s\r\n", name, i, size, value)
		if batch.Len() > 1<<18 || i == n-1 {
			c.SetDeadline(time.Now().Add(20 * time.Second))
			if _, err := batch.WriteTo(c); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	if got := c.do("version"); !strings.HasPrefix(got, "VERSION") {
		c.t.Fatalf("after filling: %q", got)
	}
}

// stat reads one number of the general statistics.
func (c *rawConn) stat(name string) string {
	c.t.Helper()
	value := ""
	for line := c.do("stats"); line != "END"; line = c.readLine() {
		if rest, ok := strings.CutPrefix(line, "STAT "+name+" "); ok {
			value = rest
		}
	}
	return value
}

func flush(t testing.TB, all ...*servers.Server) {
	t.Helper()
	for _, s := range all {
		c := dialRaw(t, s)
		c.want("OK", "flush_all")
		c.Close()
	}
}

// eachVersion runs test against every real server there is.
func eachVersion(t *testing.T, test func(t *testing.T, v servers.Version)) {
	for _, v := range servers.Chosen(servers.Memcacheds(t)) {
		t.Run(v.Name, func(t *testing.T) { test(t, v) })
	}
}

// start runs one server.
func start(t testing.TB, v servers.Version, args ...string) *servers.Server {
	t.Helper()
	return servers.Memcached(t, v, servers.Options{Args: args})
}

func target(all ...*servers.Server) string {
	var addrs []string
	for _, s := range all {
		addrs = append(addrs, s.Addr)
	}
	return "memcached://" + strings.Join(addrs, ",")
}

// hostileKeys try the limits: the last ones need base64.
func hostileKeys() []string {
	keys := []string{
		"plain", "caf\u00e9", "caf\xe9", "\u65e5\u672c", "\xff\xfe", "star*", "question?", "set[a-c]", `back\slash`, "caret^", `quote"`, "a+b", "a%2Bb",
		"%", "%41", "key=x", "END", "{tag}x", "user:1", "user/1?x=y", "-", "--flag", "%s%n", "$(true)", strings.Repeat("k", 250), strings.Repeat("\xff", 250),
		"with space", " ", "tab\there", "line\nbreak", "x\r\nflush_all\r\n", "nul\x00inside", "\x00", "\x7f", "key b", strings.Repeat("\x01", 186),
	}
	var low, high strings.Builder
	for b := range 128 {
		low.WriteByte(byte(b))
		high.WriteByte(byte(128 + b))
	}
	return append(keys, low.String(), high.String())
}

// incomplete is the notice that belongs to every scan of servers before 1.6.19.
func incomplete(v servers.Version) func(*backends.Notice) bool {
	return func(n *backends.Notice) bool {
		return !parseVersion(v.Number).atLeast(1, 6, 19) && strings.Contains(n.What, "some keys may be missing")
	}
}

// TestConformance runs the suite over every server that a target can be.
func TestConformance(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		suite := func(target string, clear func()) backendtest.Suite {
			return backendtest.Suite{
				Keys:    hostileKeys(),
				Lacks:   []string{"Sampler", "Publisher", "Subscriber"},
				Leases:  true,
				Refused: tooBig,
				Expects: incomplete(v),
				Open: func(t *testing.T) backends.Backend {
					clear()
					return openURL(t, target)
				},
			}
		}
		t.Run("single", func(t *testing.T) {
			t.Parallel()
			s := start(t, v)
			suite(target(s), func() { flush(t, s) }).Run(t)
		})
		t.Run("nodes", func(t *testing.T) {
			t.Parallel()
			all := []*servers.Server{start(t, v), start(t, v), start(t, v)}
			suite(target(all...), func() { flush(t, all...) }).Run(t)
		})
		t.Run("tls", func(t *testing.T) {
			t.Parallel()
			s := servers.Memcached(t, v, servers.Options{TLS: true})
			url := strings.Replace(target(s), "memcached:", "memcacheds:", 1) + "?tls_ca=" + s.CA + "&tls_cert=" + s.Cert + "&tls_key=" + s.Key
			suite(url, func() { through(t, url, "flush_all") }).Run(t)
		})
		t.Run("auth", func(t *testing.T) {
			t.Parallel()
			s := startAuth(t, v)
			url := strings.Replace(target(s), "//", "//app:secret@", 1)
			suite(url, func() { through(t, url, "flush_all") }).Run(t)
		})
	})
}

// tooBig is beyond the server's -I.
func tooBig(*testing.T) backends.Ask {
	return backends.Ask{Do: backends.AskSet, Key: []byte("too big"), Value: make([]byte, 2<<20)}
}

// startAuth runs a server that wants app:secret.
func startAuth(t testing.TB, v servers.Version) *servers.Server {
	t.Helper()
	return servers.Memcached(t, v, servers.Options{ACL: []string{"app:secret", "other:pass-word"}})
}

// through sends a command that answers OK by the backend's own connection.
func through(t testing.TB, url, command string) {
	t.Helper()
	c := openURL(t, url)
	defer c.Close()
	err := c.nodes[0].do(context.Background(), func(conn *conn) error {
		line, err := conn.ask(command)
		if err == nil && string(line) != "OK" {
			err = unexpected(command, line)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

package memcached

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// TestRoutesAreGomemcaches compares where keys go with where gomemcache sends them.
func TestRoutesAreGomemcaches(t *testing.T) {
	for nodes := 1; nodes <= 5; nodes++ {
		var c cache
		var addrs []string
		for i := range nodes {
			addrs = append(addrs, fmt.Sprintf("127.0.0.1:%d", 11211+i))
			c.nodes = append(c.nodes, &node{addr: addrs[i]})
		}
		var selector memcache.ServerList
		if err := selector.SetServers(addrs...); err != nil {
			t.Fatal(err)
		}
		routes, err := c.Routes(context.Background())
		if err != nil || len(routes.Nodes) != nodes || (routes.Of == nil) != (nodes == 1) {
			t.Fatalf("%d nodes: %+v, %v", nodes, routes, err)
		}
		for _, key := range append(hostileKeys(), "a", "b", "user:1", "user:2") {
			addr, err := selector.PickServer(key)
			if err != nil {
				t.Fatal(err)
			}
			at := 0
			if routes.Of != nil {
				at = routes.Of([]byte(key))
			}
			if routes.Nodes[at] != addr.String() {
				t.Errorf("%q of %d nodes: %s, and gomemcache has it on %s", key, nodes, routes.Nodes[at], addr)
			}
		}
	}
}

func dialects() map[string]backends.Dialect {
	words := wording{profile: profile{clocked: true}, name: "memcached://h"}
	return map[string]backends.Dialect{"meta": &metaDialect{words}, "classic": &classicDialect{words}}
}

// TestParse feeds captured replies in every number of pieces.
func TestParse(t *testing.T) {
	for _, c := range []struct {
		dialect string
		do      backends.Asked
		reply   string
		want    backends.Reply
	}{
		{"meta", backends.AskGet, "VA 3 c2\r\nabc\r\n", backends.Reply{Answer: backends.Hit, Value: []byte("abc"), CAS: 2}},
		{"meta", backends.AskGet, "VA 5 c18446744073709551615\r\nEN\r\nx\r\n", backends.Reply{Answer: backends.Hit, Value: []byte("EN\r\nx"), CAS: 1<<64 - 1}},
		{"meta", backends.AskGet, "VA 0\r\n\r\n", backends.Reply{Answer: backends.Hit, Value: []byte{}}},
		{"meta", backends.AskGet, "VA 0 c1 Z\r\n\r\n", backends.Reply{Answer: backends.Miss, CAS: 1}},
		{"meta", backends.AskGet, "VA 3 c5 X W\r\nabc\r\n", backends.Reply{Answer: backends.Hit, Value: []byte("abc"), CAS: 5, Stale: true}},
		{"meta", backends.AskGet, "EN\r\n", backends.Reply{Answer: backends.Miss}},
		{"meta", backends.AskGet, "ERROR\r\n", backends.Reply{Text: "ERROR"}},
		{"meta", backends.AskGet, "CLIENT_ERROR bad command line format\r\n", backends.Reply{Text: "CLIENT_ERROR bad command line format"}},
		{"meta", backends.AskSet, "HD \r\n", backends.Reply{Answer: backends.Done}},
		{"meta", backends.AskSet, "EX c0\r\n", backends.Reply{Answer: backends.NotDone}},
		{"meta", backends.AskSet, "NF\r\n", backends.Reply{Answer: backends.NotDone}},
		{"meta", backends.AskSet, "SERVER_ERROR object too large for cache\r\n", backends.Reply{Text: "SERVER_ERROR object too large for cache"}},
		{"meta", backends.AskAdd, "HD c6\r\n", backends.Reply{Answer: backends.Done, CAS: 6}},
		{"meta", backends.AskAdd, "NS c0\r\n", backends.Reply{Answer: backends.NotDone}},
		{"meta", backends.AskDelete, "HD\r\n", backends.Reply{Answer: backends.Done}},
		{"meta", backends.AskRelease, "EX\r\n", backends.Reply{Answer: backends.NotDone}},
		{"meta", backends.AskLease, "VA 0 c1 W\r\n\r\n", backends.Reply{Answer: backends.Won, Value: []byte{}, CAS: 1}},
		{"meta", backends.AskLease, "VA 0 c1 Z\r\n\r\n", backends.Reply{Answer: backends.Busy, Value: []byte{}, CAS: 1}},
		{"meta", backends.AskLease, "VA 0 c3\r\n\r\n", backends.Reply{Answer: backends.Hit, Value: []byte{}, CAS: 3}},
		{"meta", backends.AskLease, "VA 3 c2 Z\r\nabc\r\n", backends.Reply{Answer: backends.Hit, Value: []byte("abc"), CAS: 2}},
		{"meta", backends.AskLease, "VA 3 c5 Z X\r\nabc\r\n", backends.Reply{Answer: backends.Busy, Value: []byte("abc"), CAS: 5, Stale: true}},
		{"classic", backends.AskGet, "VALUE k 0 3 7\r\nabc\r\nEND\r\n", backends.Reply{Answer: backends.Hit, Value: []byte("abc"), CAS: 7}},
		{"classic", backends.AskGet, "END\r\n", backends.Reply{Answer: backends.Miss}},
		{"classic", backends.AskSet, "STORED\r\n", backends.Reply{Answer: backends.Done}},
		{"classic", backends.AskSet, "EXISTS\r\n", backends.Reply{Answer: backends.NotDone}},
		{"classic", backends.AskAdd, "NOT_STORED\r\n", backends.Reply{Answer: backends.NotDone}},
		{"classic", backends.AskDelete, "NOT_FOUND\r\n", backends.Reply{Answer: backends.NotDone}},
		{"classic", backends.AskDelete, "DELETED\r\n", backends.Reply{Answer: backends.Done}},
		{"classic", backends.AskSet, "SERVER_ERROR out of memory storing object\r\n", backends.Reply{Text: "SERVER_ERROR out of memory storing object"}},
	} {
		d, a := dialects()[c.dialect], &backends.Ask{Do: c.do, Key: []byte("k")}
		for part := range len(c.reply) {
			r := backends.Reply{Answer: backends.Moved}
			if n, err := d.Parse([]byte(c.reply[:part]), a, &r); n != 0 || err != nil {
				t.Errorf("%d bytes of %q: %d, %v", part, c.reply, n, err)
			}
		}
		got := backends.Reply{Stale: true, CAS: 99, Text: "of before", Value: []byte("of before")}
		n, err := d.Parse([]byte(c.reply+"VA 1"), a, &got)
		if n != len(c.reply) || err != nil || !bytes.Equal(got.Value, c.want.Value) || got.Answer != c.want.Answer || got.CAS != c.want.CAS || got.Stale != c.want.Stale || got.Text != c.want.Text {
			t.Errorf("%d %q: %d, %+v, %v; want %d, %+v", c.do, c.reply, n, got, err, len(c.reply), c.want)
		}
	}
}

// TestParseRefuses what no server answers to that, and what leaves the connection in doubt.
func TestParseRefuses(t *testing.T) {
	long := strings.Repeat("x", longestLine)
	for dialect, replies := range map[string]map[backends.Asked][]string{
		"meta": {
			backends.AskGet:   {"HD\r\n", "NF\r\n", "VA\r\n", "VA x\r\n", "VA -1\r\n\r\n", "VA 3\r\nabcd\r\n", "VA 9999999999\r\n", "VA 1 cx\r\na\r\n", "\n", "\r\n", "EN\n", "HTTP/1.1 400\r\n", long},
			backends.AskLease: {"EN\r\n"},
			backends.AskSet:   {"EN\r\n", "VA 0\r\n\r\n", "ERROR\r\n", "CLIENT_ERROR bad data chunk\r\n", "STORED\r\n"},
			backends.AskAdd:   {"CLIENT_ERROR invalid flag\r\n"},
		},
		"classic": {
			backends.AskGet:    {"VALUE other 0 1 1\r\nx\r\nEND\r\n", "VALUE k 0 1 1\r\nx\r\nVALUE k 0 1 1\r\nx\r\nEND\r\n", "VALUE k 0 1 1\r\nxyz\r\n", "STORED\r\n", "VALUE k 0\r\n"},
			backends.AskSet:    {"END\r\n", "ERROR\r\n"},
			backends.AskDelete: {"END\r\n"},
		},
	} {
		for do, all := range replies {
			for _, reply := range all {
				var r backends.Reply
				if n, err := dialects()[dialect].Parse([]byte(reply), &backends.Ask{Do: do, Key: []byte("k")}, &r); err == nil {
					t.Errorf("%s: %d answered by %.40q: %d, %+v", dialect, do, reply, n, r)
				}
			}
		}
	}
}

// TestAppendRefuses what a server would take for something else, or does not have.
func TestAppendRefuses(t *testing.T) {
	key := []byte("k")
	var unsupported *backends.UnsupportedError
	for _, c := range []struct {
		dialect     string
		ask         backends.Ask
		unsupported bool
	}{
		{"meta", backends.Ask{Do: backends.AskGet}, false},
		{"meta", backends.Ask{Do: backends.AskGet, Key: bytes.Repeat(key, 251)}, false},
		{"meta", backends.Ask{Do: backends.AskSet, Key: bytes.Repeat([]byte(" "), 188)}, false},
		{"meta", backends.Ask{Do: backends.AskSet, Key: key, TTL: -1}, false},
		{"meta", backends.Ask{Do: backends.AskSet, Key: key, TTL: 100 * 365 * 24 * time.Hour}, false},
		{"meta", backends.Ask{Do: backends.AskRelease, Key: key, Value: key}, false},
		{"meta", backends.Ask{Do: backends.AskLease, Key: key, Early: 31 * 24 * time.Hour}, false},
		{"meta", backends.Ask{Do: backends.AskPublish, Key: key}, true},
		{"classic", backends.Ask{Do: backends.AskPublish, Key: key}, true},
		{"classic", backends.Ask{Do: backends.AskLease, Key: key}, true},
		{"classic", backends.Ask{Do: backends.AskRelease, Key: key, CAS: 7}, true},
		{"classic", backends.Ask{Do: backends.AskStale, Key: key}, true},
		{"classic", backends.Ask{Do: backends.AskGet, Key: []byte("with space")}, false},
	} {
		out, err := dialects()[c.dialect].Append([]byte("kept"), &c.ask)
		if err == nil || string(out) != "kept" || errors.As(err, &unsupported) != c.unsupported {
			t.Errorf("%s: %+v: %q, %v", c.dialect, c.ask, out, err)
		}
	}
}

// TestDialectAllocatesNothing: neither requests nor replies cost memory.
func TestDialectAllocatesNothing(t *testing.T) {
	d := dialects()["meta"]
	for _, c := range []struct {
		ask   backends.Ask
		reply string
	}{
		{backends.Ask{Do: backends.AskGet, Key: []byte("user:1")}, "VA 3 c2\r\nabc\r\n"},
		{backends.Ask{Do: backends.AskGet, Key: bytes.Repeat([]byte(" "), 100)}, "EN\r\n"},
		{backends.Ask{Do: backends.AskSet, Key: []byte("user:1"), Value: []byte("abc"), TTL: 40 * 24 * time.Hour}, "HD\r\n"},
		{backends.Ask{Do: backends.AskAdd, Key: []byte("user:1"), Value: []byte("abc"), TTL: time.Second}, "HD c8\r\n"},
		{backends.Ask{Do: backends.AskRelease, Key: []byte("user:1"), CAS: 8}, "NF\r\n"},
		{backends.Ask{Do: backends.AskLease, Key: []byte("user:1"), TTL: time.Second, Early: time.Second}, "VA 3 c5 X W\r\nabc\r\n"},
	} {
		to, reply := make([]byte, 0, 1024), []byte(c.reply)
		var r backends.Reply
		if n := testing.AllocsPerRun(100, func() {
			if _, err := d.Append(to, &c.ask); err != nil {
				t.Fatal(err)
			}
			if n, err := d.Parse(reply, &c.ask, &r); n != len(reply) || err != nil {
				t.Fatal(n, err)
			}
		}); n != 0 {
			t.Errorf("%+v and %q: %v allocations", c.ask, c.reply, n)
		}
	}
}

// FuzzDialect: a reply in two pieces is the reply in one, nothing is read that is not there, and
// a request is one line of our words, with its value behind it.
func FuzzDialect(f *testing.F) {
	for _, reply := range []string{"VA 3 c2 W\r\nabc\r\n", "VA 0 Z\r\n\r\n", "EN\r\n", "HD c1\r\n", "VALUE k 0 3 7\r\nabc\r\nEND\r\n", "STORED\r\n", "SERVER_ERROR x\r\n", "VA 1073741824\r\n"} {
		f.Add([]byte(reply), []byte("k"), uint8(0), 3)
	}
	f.Add([]byte("NS\r\n"), []byte("x\r\nflush_all\r\n"), uint8(3), 1)
	f.Fuzz(func(t *testing.T, reply, key []byte, do uint8, cut int) {
		a := &backends.Ask{Do: backends.Asked(do % 8), Key: key, Value: []byte("v\r\n"), TTL: time.Minute, CAS: 7}
		for name, d := range dialects() {
			if out, err := d.Append(nil, a); err == nil {
				line, _, _ := bytes.Cut(out, []byte("\r\n"))
				words := strings.Split(string(line), " ")
				coded := words[1] == base64.StdEncoding.EncodeToString(key)
				if len(words) > 8 || words[0] != "gats" && words[1] != string(key) && !coded || bytes.ContainsAny(line, "\r\n\t\x00") {
					t.Fatalf("%s: %q", name, out)
				}
				if rest := out[len(line)+2:]; len(rest) > 0 && string(rest) != "v\r\n\r\n" {
					t.Fatalf("%s: %q", name, out)
				}
			}
			var whole, part backends.Reply
			n, err := d.Parse(reply, a, &whole)
			if n < 0 || n > len(reply) || len(whole.Value) > n && err == nil {
				t.Fatalf("%s: %d of %q: %+v", name, n, reply, whole)
			}
			if cut < 0 || cut >= len(reply) {
				continue
			}
			m, early := d.Parse(reply[:cut:cut], a, &part)
			if err == nil && (early != nil || m != 0 && m != n) {
				t.Fatalf("%s: %q: %d of %d, %v", name, reply, m, n, early)
			}
		}
	})
}

// TestClassicServer: where there are no meta commands the classic ones do.
func TestClassicServer(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := start(t, v)
		conn, err := net.Dial("tcp", s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		d := dialects()["classic"]
		buffer := make([]byte, 1<<16)
		ask := func(a backends.Ask) (r backends.Reply) {
			out, err := d.Append(nil, &a)
			if err != nil {
				t.Fatal(err)
			}
			conn.Write(out)
			for have := 0; ; {
				n, err := conn.Read(buffer[have:])
				if err != nil {
					t.Fatal(err)
				}
				have += n
				if n, err := d.Parse(buffer[:have], &a, &r); n != 0 || err != nil {
					if n != have || err != nil {
						t.Fatalf("%q: %d, %v", buffer[:have], n, err)
					}
					return r
				}
			}
		}
		key := []byte("caf\xe9")
		for i, c := range []struct {
			ask  backends.Ask
			want backends.Answer
		}{
			{backends.Ask{Do: backends.AskGet}, backends.Miss},
			{backends.Ask{Do: backends.AskAdd, Value: []byte("one"), TTL: time.Hour}, backends.Done},
			{backends.Ask{Do: backends.AskAdd, Value: []byte("two")}, backends.NotDone},
			{backends.Ask{Do: backends.AskGet}, backends.Hit},
			{backends.Ask{Do: backends.AskSet, Value: []byte("END\r\n"), TTL: 40 * 24 * time.Hour}, backends.Done},
			{backends.Ask{Do: backends.AskGet}, backends.Hit},
			{backends.Ask{Do: backends.AskGet, TTL: time.Hour}, backends.Hit},
			{backends.Ask{Do: backends.AskSet, CAS: 1 << 60}, backends.NotDone},
			{backends.Ask{Do: backends.AskSet, Value: make([]byte, 2<<20)}, backends.Refused},
			{backends.Ask{Do: backends.AskSet}, backends.Done},
			{backends.Ask{Do: backends.AskDelete}, backends.Done},
			{backends.Ask{Do: backends.AskDelete}, backends.NotDone},
			{backends.Ask{Do: backends.AskSet, CAS: 7}, backends.NotDone},
		} {
			c.ask.Key = key
			if r := ask(c.ask); r.Answer != c.want {
				t.Errorf("%d: %d: %+v, want %d", i, c.ask.Do, r, c.want)
			} else if c.want == backends.Hit && r.CAS == 0 {
				t.Errorf("%d: a hit without its CAS number: %+v", i, r)
			}
		}
	})
}

// TestDialOldServer: the dialect is found out by asking, whatever version there is.
func TestDialOldServer(t *testing.T) {
	f := startFake(t, "1.4.31", says(nil))
	b := openURL(t, "memcached://"+f.Addr)
	conn, d, err := b.DialNode(t.Context(), f.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, ok := d.(*classicDialect); !ok {
		t.Errorf("a server that knows no meta commands is spoken to in %T", d)
	}
}

package memcached

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
)

func FuzzDumpLine(f *testing.F) {
	for _, line := range []string{
		"key=caf%E9%2F%FC exp=1795383519 la=1795383459 cas=2 fetch=no cls=1 size=68",
		"key=a%25b%3Ac exp=-1 la=1795383468 cas=2 fetch=yes cls=1 size=65 flags=0 ",
		"key=big%3A1554 exp=0 la=1 size=4067 flags=0 ext_page=0 ext_offset=3098343 ",
		"key=+ exp=99999999999999999999", "key=%", "key=%4", "key=%zz", "key=", "END", "OK", "",
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var it item
		if _, err := parseDumpLine(line, &it, nil); err != nil {
			return
		}
		if it.key == "" || len(it.key) > maxKey || it.size < 0 {
			t.Fatalf("%+v", it)
		}
		it.entry(backends.AllFacts, profile{header: 56, clocked: true}, it.exp-1, 1-it.la)
	})
}

// FuzzUnescape holds the decoder against the server's encoder.
func FuzzUnescape(f *testing.F) {
	f.Add([]byte("a+b%41\x00\xff"))
	f.Fuzz(func(t *testing.T, key []byte) {
		var escaped []byte
		for _, c := range key { // util.c, uriencode
			if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("-._~", c) >= 0 {
				escaped = append(escaped, c)
			} else {
				escaped = append(escaped, '%', "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15])
			}
		}
		if got, err := unescape(nil, escaped); err != nil || !bytes.Equal(got, key) {
			t.Fatalf("%q: %q, %v", escaped, got, err)
		}
	})
}

func FuzzMe(f *testing.F) {
	for _, line := range []string{
		"ME k exp=-100 la=0 cas=1 fetch=no cls=1 size=67", "ME k exp=100 la=3 cas=2 fetch=yes cls=1 size=67", "ME other exp=-1", "EN", "ME", "ERROR",
		"HD s3 t30 l0 c10 f0 X W", "HD", "HD s t",
	} {
		f.Add([]byte(line), "k")
	}
	f.Add([]byte("ME YmluIGtleQ0K exp=-1 la=0 cas=4 fetch=no cls=1 size=71"), "bin key\r\n")
	f.Fuzz(func(t *testing.T, line []byte, key string) {
		for _, parse := range []func() (item, error){
			func() (item, error) { return parseMe(line, key, version{1, 6, 18}) },
			func() (item, error) { return parseMg(line, key) },
		} {
			if it, err := parse(); err == nil && (it.key != key || it.size < 0 || it.hasValue && it.value < 0) {
				t.Fatalf("%+v", it)
			}
		}
	})
}

// FuzzLookup: whatever the key is, what is sent is one line, and its words are
// the command, the key, and flags of ours.
func FuzzLookup(f *testing.F) {
	for _, key := range hostileKeys() {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if addressable(key) != nil {
			return
		}
		for _, mode := range []int32{byMe, byMg} {
			line := string(lookup(nil, mode, key))
			words := strings.Split(strings.TrimSuffix(line, "\r\n"), " ")
			if strings.Count(line, "\n") != 1 || strings.Count(line, "\r") != 1 || len(words) > 9 || len(words[1]) > maxKey {
				t.Fatalf("%q", line)
			}
			if len(words) > 2 && words[2] == "b" {
				if decoded, err := base64.StdEncoding.DecodeString(words[1]); err != nil || string(decoded) != key || len(words) < 4 {
					t.Fatalf("%q", line)
				}
			} else if words[1] != key {
				t.Fatalf("%q", line)
			}
		}
	})
}

// heard makes a connection on which a server says text and hangs up.
func heard(text []byte) *conn {
	ours, theirs := net.Pipe()
	theirs.Close()
	return &conn{Conn: ours, r: bufio.NewReaderSize(bytes.NewReader(text), longestLine), timeout: time.Second, ctx: neverEnds{}}
}

type neverEnds struct{}

func (neverEnds) Deadline() (time.Time, bool) { return time.Time{}, false }
func (neverEnds) Done() <-chan struct{}       { return nil }
func (neverEnds) Err() error                  { return nil }
func (neverEnds) Value(any) any               { return nil }

func FuzzValue(f *testing.F) {
	for _, text := range []string{
		"VALUE k 0 3 14\r\nxyz\r\nEND\r\n", "END\r\n", "VALUE k 0 3 14\r\nxyz", "VALUE k 0 99999999999 1\r\n", "VALUE other 0 1 1\r\nx\r\nEND\r\n",
		"VALUE k 0 3 14\r\nxyzzy\r\nEND\r\n", "VA 3 f0 c4 X W\r\nxyz\r\n", "EN\r\n", "VA -1\r\n", "VA 3\r\nxy\r\n\r\n",
	} {
		f.Add([]byte(text), int64(2))
	}
	f.Fuzz(func(t *testing.T, text []byte, window int64) {
		for _, read := range []func(c *conn, line []byte) (gotten, error){
			func(c *conn, line []byte) (gotten, error) { return c.value(line, "k", window) },
			func(c *conn, line []byte) (gotten, error) { return c.metaValue(line, "k", window) },
		} {
			c := heard(text)
			line, err := c.line()
			if err != nil {
				return
			}
			got, err := read(c, bytes.Clone(line))
			if err == nil && (int64(len(got.data)) > got.total || len(got.data) > len(text) || window >= 0 && int64(len(got.data)) > window) {
				t.Fatalf("%+v", got)
			}
		}
	})
}

func FuzzStats(f *testing.F) {
	f.Add([]byte("STAT pid 7\r\nSTAT uptime 100\r\nSTAT time 1795383500\r\nSTAT get_hits 18446744073709551615\r\nSTAT libevent 2.1.12-stable\r\nEND\r\n"))
	f.Add([]byte("STAT 1:chunk_size 96\r\nSTAT 1:used_chunks 6\r\nSTAT items:1:evicted 4\r\nSTAT active_slabs 1\r\nEND\r\n"))
	f.Add([]byte("STAT time -9223372036854775808\r\nSTAT uptime 9\r\nSTAT -1:chunk_size 1\r\nSTAT 999999999999:x 1\r\nSTAT\r\nEND\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c := heard(append([]byte("\r\n"), text...))
		c.Conn = deaf{c.Conn}
		c.line()
		values, err := c.stats(general)
		if err != nil {
			return
		}
		var s backends.Stats
		fillStats(&s, values, values)
		(&node{}).learn(c, values, values, time.Unix(1795383500, 0))
		for _, slab := range parseSlabs(values, values) {
			if slab.ChunkSize <= 0 {
				t.Fatalf("%+v", slab)
			}
		}
	})
}

// deaf takes what is written and gives it to nobody.
type deaf struct{ net.Conn }

func (deaf) Write(b []byte) (int, error) { return len(b), nil }

func FuzzClusterConfig(f *testing.F) {
	f.Add([]byte("12\nhost1|10.0.0.1|11211 host2||11212\n"))
	f.Add([]byte("1\r\n|10.0.0.1|11211\r\n"))
	f.Add([]byte("1\na|b|0\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		addrs, err := parseClusterConfig(text)
		if err == nil && len(addrs) == 0 {
			t.Fatal("no nodes and no error")
		}
	})
}

// FuzzDrain feeds a whole connection's bytes: it ends, and with END or an error.
func FuzzDrain(f *testing.F) {
	f.Add([]byte("key=a exp=-1\nkey=b exp=-1\nEND\r\n"), 7)
	f.Add([]byte("key=a exp=-1\nEND\nEND\r\n"), 1)
	f.Add([]byte("key=a"), 3)
	f.Fuzz(func(t *testing.T, text []byte, piece int) {
		if piece < 1 {
			piece = 1
		}
		c := heard(nil)
		c.r = bufio.NewReader(&pieces{text, piece})
		d := &dump{conn: c, spool: newSpool(1 << 20), limits: defaultLimits, most: 1 << 30}
		err := d.drain([]byte("key=first"))
		if whole := bytes.HasSuffix(text, []byte("\nEND\r\n")) || string(text) == "END\r\n"; err != nil && whole && !errors.Is(err, errLongLine) {
			t.Fatalf("%q: %v", text, err)
		} else if err == nil && !bytes.Contains(append([]byte("\n"), text...), endMarker) {
			t.Fatalf("%q passes for whole", text)
		}
		d.spool.drop()
	})
}

// pieces hands out a few bytes at a time.
type pieces struct {
	left []byte
	n    int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.left[:min(p.n, len(p.left))])
	p.left = p.left[n:]
	return n, nil
}

func FuzzURL(f *testing.F) {
	f.Add("memcached", "a,b:11212,[::1]:1", "timeout=5s&discover=elasticache", "user", "secret")
	f.Fuzz(func(t *testing.T, scheme, host, query, user, password string) {
		u := &url.URL{Scheme: scheme, Host: host, RawQuery: query, User: url.UserPassword(user, "pass-"+password)}
		c, err := parseURL(u)
		if err == nil && (len(c.addrs) == 0 || strings.Contains(c.name, "pass-") && !strings.Contains(user+host, "pass-")) {
			t.Fatalf("%+v", c)
		}
	})
}

func FuzzVersion(f *testing.F) {
	f.Add("1.6.18-1~bpo")
	f.Add("99999999999.9.9")
	f.Fuzz(func(t *testing.T, text string) {
		v := parseVersion(text)
		if v.atLeast(1, 6, 19) && !v.atLeast(1, 6, 18) {
			t.Fatal(v)
		}
	})
}

// FuzzDeleteCommands: whatever keys and guards are, each command is one line
// whose words are md, a key, and flags of ours.
func FuzzDeleteCommands(f *testing.F) {
	for _, key := range hostileKeys() {
		f.Add(key, "17@h:1")
	}
	f.Fuzz(func(t *testing.T, key, guard string) {
		s := newSheet(&deleting, backends.Page{Entries: []backends.Entry{{Key: key}, {Key: key, Have: backends.FactGuard, Guard: guard}}})
		for _, how := range []manner{quietly, aloud, byDelete} {
			l := &lane{node: &node{addr: "h:1"}, manner: how}
			p := &part{sheet: s, lane: l, did: make([]verdict, 2), open: s.live}
			b := &batch{part: p, first: 7}
			if b.fill(0, how) != 2 {
				t.Fatal("not all entries taken")
			}
			lines := strings.SplitAfter(string(b.encode(nil, l)), "\r\n")
			if how == quietly && lines[len(b.entries)] != "mn\r\n" {
				t.Fatalf("%q", lines)
			}
			for _, line := range lines[:len(b.entries)] {
				words := strings.Split(strings.TrimSuffix(line, "\r\n"), " ")
				if strings.ContainsAny(strings.TrimSuffix(line, "\r\n"), "\r\n\x00") || len(words) > 6 || words[0] != map[bool]string{true: "delete", false: "md"}[how == byDelete] || len(words[1]) > maxKey {
					t.Fatalf("%q", line)
				}
				if decoded, err := base64.StdEncoding.DecodeString(words[1]); words[1] != key && (err != nil || string(decoded) != key || words[2] != "b") {
					t.Fatalf("%q", line)
				}
				for _, word := range words[2:] {
					if word != "b" && word != "q" && strings.Trim(word[1:], "0123456789") != "" {
						t.Fatalf("%q", line)
					}
				}
			}
		}
	})
}

// FuzzDeleteAnswers: whatever a server says, no key has two verdicts, and in a
// batch that was not answered to its end none.
func FuzzDeleteAnswers(f *testing.F) {
	for _, text := range []string{
		"MN\r\n", "NF O7\r\nEX O8\r\nMN\r\n", "NF O9 \r\nMN\r\n", "SERVER_ERROR x\r\nMN\r\n", "NF O7\r\nNF O7\r\nMN\r\n", "HD O7\r\nNF O8\r\nEX O9\r\n",
		"DELETED\r\nNOT_FOUND\r\nERROR\r\n", "NF O10\r\nMN\r\n", "NF", "",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, how := range []manner{quietly, aloud, byDelete} {
			s := newSheet(&deleting, backends.Page{Entries: []backends.Entry{{Key: "a"}, {Key: "b"}, {Key: "c"}}})
			p := &part{sheet: s, did: make([]verdict, 3), open: 3}
			b := &batch{part: p, first: 7}
			b.fill(0, how)
			if err := b.read(heard(text), how); err != nil {
				if p.open != 3 || p.did[0]+p.did[1]+p.did[2] != 0 {
					t.Fatalf("%v, %v", p.did, err)
				}
				continue
			}
			left := 0
			if again := b.commit(how); again != nil {
				left = len(again.entries)
			}
			if p.open != left {
				t.Fatalf("%d open, %d to ask again", p.open, left)
			}
		}
	})
}

package memcached

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A listing is what a scan brought.
type listing struct {
	entries []backends.Entry
	notices []*backends.Notice
	err     error // the last one that is no notice
}

func list(c *cache, q backends.Query) (l listing) {
	for page, err := range c.Scan(context.Background(), q) {
		var notice *backends.Notice
		switch {
		case errors.As(err, &notice):
			l.notices = append(l.notices, notice)
		case err != nil:
			l.err = err
		}
		l.entries = append(l.entries, page.Entries...)
	}
	return l
}

func (l listing) keys() (keys []string) {
	for _, e := range l.entries {
		keys = append(keys, e.Key)
	}
	slices.Sort(keys)
	return keys
}

const dumpHash, dumpAll = "lru_crawler metadump hash", "lru_crawler metadump all"

// quick makes a backend on fakes that does not wait long.
func quick(t testing.TB, all ...*fake) *cache {
	t.Helper()
	var addrs []string
	for _, f := range all {
		addrs = append(addrs, f.Addr)
	}
	c := openURL(t, "memcached://"+strings.Join(addrs, ",")+"?timeout=250ms")
	c.limits.backoff = time.Millisecond
	c.limits.grace = 50 * time.Millisecond
	return c
}

// TestEveryDumpFormat reads lines captured from servers (1.6.18, 1.6.24,
// 1.6.38, 1.6.45) and, for 1.4.31, from its release notes.
func TestEveryDumpFormat(t *testing.T) {
	for _, test := range []struct {
		version, command, dump string
		have                   backends.Facts
		elements               int64
	}{
		{"1.4.31", dumpAll, "key=caf%E9%2F%FC exp=1795383519 la=1795383459\nEND\r\n", backends.FactTTL | backends.FactIdle, 0},
		{"1.6.18", dumpAll, "key=caf%E9%2F%FC exp=1795383519 la=1795383459 cas=2 fetch=no cls=1 size=68\nEND\r\n",
			backends.FactTTL | backends.FactIdle | backends.FactSize, 0},
		{"1.6.24", dumpHash, "key=caf%E9%2F%FC exp=1795383519 la=1795383459 cas=2 fetch=no cls=1 size=76 flags=0\nEND\r\n",
			backends.FactTTL | backends.FactIdle | backends.FactSize | backends.FactElements, 76 - 56 - 7 - 2},
		{"1.6.39", dumpHash, "key=caf%E9%2F%FC exp=1795383519 la=1795383459 cas=2 fetch=no cls=1 size=76 flags=5 ext_page=0 ext_offset=3098343 \nEND\r\n",
			backends.FactTTL | backends.FactIdle | backends.FactSize | backends.FactElements, 76 - 56 - 7 - 2 - 4},
		{"1.6.45", dumpHash, "OK\r\nkey=caf%e9%2f%fc exp=1795383519 la=1795383459 cas=2 fetch=no cls=1 size=76 flags=0 new=thing \nEND\r\n",
			backends.FactTTL | backends.FactIdle | backends.FactSize | backends.FactElements, 76 - 56 - 7 - 2},
		{"1.6.45-aws", dumpHash, "OK\r\nkey=caf%E9%2F%FC exp=1795383519 la=1795383459 cas=2 fetch=no cls=1 size=76 flags=0 \nEND\r\n",
			backends.FactTTL | backends.FactIdle | backends.FactSize | backends.FactElements, 76 - 56 - 7 - 2},
	} {
		t.Run(test.version, func(t *testing.T) {
			c := quick(t, startFake(t, test.version, says(map[string]string{test.command: test.dump})))
			l := list(c, backends.Query{Want: backends.AllFacts})
			if l.err != nil || len(l.entries) != 1 {
				t.Fatalf("%d entries, %v", len(l.entries), l.err)
			}
			e := l.entries[0]
			if e.Key != "caf\xe9/\xfc" || e.Type != "string" || e.Have != test.have|backends.FactType {
				t.Errorf("key %q, have %v, want %v", e.Key, e.Have, test.have)
			}
			if e.TTL > 19*time.Second || e.TTL < 15*time.Second || e.Idle < 41*time.Second || e.Idle > 45*time.Second {
				t.Errorf("TTL %v, idle %v, want about 19s and 41s", e.TTL, e.Idle)
			}
			if e.Have.Has(backends.FactElements) && e.Elements != test.elements {
				t.Errorf("value of %d bytes, want %d", e.Elements, test.elements)
			}
			if warned := slices.ContainsFunc(l.notices, incompleteNotice); warned != (test.command == dumpAll) {
				t.Errorf("incompleteness told: %v", warned)
			}
		})
	}
}

func incompleteNotice(n *backends.Notice) bool {
	return strings.Contains(n.What, "some keys may be missing")
}

func TestEmptyDump(t *testing.T) {
	for version, dump := range map[string]string{"1.6.38": "END\r\n", "1.6.43": "OK\r\nEND\r\n"} {
		if l := list(quick(t, startFake(t, version, says(map[string]string{dumpHash: dump}))), backends.Query{}); l.err != nil || len(l.entries) != 0 {
			t.Errorf("%s: %d entries, %v", version, len(l.entries), l.err)
		}
	}
}

// TestModeByVersion: hash mode only where a slow reader does not stall the
// server's clients, and never on a server that does not tell its version.
func TestModeByVersion(t *testing.T) {
	for text, want := range map[string]crawlMode{
		"1.4.31": byLRU, "1.5.7": byLRU, "1.6.9": byLRU, "1.6.18": byLRU, "1.6.18-1~bpo": byLRU, "": byLRU, "unknown": byLRU, "6": byLRU,
		"1.6.19": byHash, "1.6.38": byHash, "1.6.45": byHash, "1.7.0": byHash, "2.0": byHash, "1.10.0-rc1": byHash,
	} {
		if got := (profile{version: parseVersion(text)}).mode(); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// TestCrawlerAnswers: everything that comes instead of a dump.
func TestCrawlerAnswers(t *testing.T) {
	for answer, kind := range map[string]error{
		"CLIENT_ERROR lru crawler disabled\r\n":                        backends.ErrDenied,
		"ERROR metadump not allowed\r\n":                               backends.ErrDenied,
		"ERROR\r\n":                                                    backends.ErrDenied,
		"CLIENT_ERROR parsing request\r\n":                             backends.ErrDenied,
		"CLIENT_ERROR bad stats command\r\n":                           backends.ErrDenied,
		"BADCLASS invalid class id\r\n":                                nil,
		"BUSY currently processing crawler request\r\n":                errBusy,
		"OK\r\nERROR locked try again later\r\n":                       errBusy,
		"ERROR locked try again later\r\n":                             errBusy,
		"ERROR cannot pipeline other commands before metadump\r\n":     nil,
		"SERVER_ERROR out of memory\r\n":                               nil,
		"-ERR unknown command\r\n":                                     errProtocol,
		"mg key\r\n":                                                   errProtocol,
		"\r\n":                                                         errProtocol,
		"OK\r\nOK\r\n":                                                 errProtocol,
		"HTTP/1.1 400 Bad Request\r\n":                                 errProtocol,
		"CLIENT_ERROR unauthenticated\r\n":                             backends.ErrAuth,
		"OK\r\nBUSY currently processing crawler request and more\r\n": errBusy,
	} {
		f := startFake(t, "1.6.44", says(map[string]string{dumpHash: answer, dumpAll: answer}))
		l := list(quick(t, f), backends.Query{})
		if l.err == nil || kind != nil && !errors.Is(l.err, kind) || len(l.entries) > 0 {
			t.Errorf("%q: %v (%d entries), want %v", answer, l.err, len(l.entries), kind)
		}
		if asked := len(f.heard(dumpHash)); errors.Is(l.err, errBusy) != (asked == defaultLimits.retries+1) {
			t.Errorf("%q: asked %d times", answer, asked)
		}
	}
}

// TestBusyCrawlerIsAskedAgain: after a while, not at once.
func TestBusyCrawlerIsAskedAgain(t *testing.T) {
	busy := 3
	c := quick(t, startFake(t, "1.6.38", func(command string, _ *bufio.Reader, w *bufio.Writer) bool {
		switch {
		case command != dumpHash:
			w.WriteString("ERROR\r\n")
		case busy > 0:
			busy--
			w.WriteString("BUSY currently processing crawler request\r\n")
		default:
			w.WriteString("key=a exp=-1 la=1 cas=1 fetch=no cls=1 size=60 flags=0\nEND\r\n")
		}
		return true
	}))
	c.limits.backoff = 20 * time.Millisecond
	began := time.Now()
	l := list(c, backends.Query{})
	if took := time.Since(began); l.err != nil || len(l.entries) != 1 || took < 140*time.Millisecond {
		t.Errorf("%d entries after %v, %v", len(l.entries), took, l.err)
	}
}

// TestFallsBackToLRU: a fork that knows metadump, but not its hash mode.
func TestFallsBackToLRU(t *testing.T) {
	c := quick(t, startFake(t, "1.6.99", says(map[string]string{
		dumpHash: "BADCLASS invalid class id\r\n", dumpAll: "key=a exp=-1 la=1\nkey=b exp=-1 la=1\nkey=c exp=-1 la=1\nEND\r\n"})))
	l := list(c, backends.Query{})
	if l.err != nil || len(l.entries) != 3 || !slices.ContainsFunc(l.notices, incompleteNotice) {
		t.Errorf("%q, %v, notices %v", l.keys(), l.err, l.notices)
	}
}

// TestHostileDumps: clear errors, bounded time and memory; what was good comes.
func TestHostileDumps(t *testing.T) {
	good := "key=good exp=-1 la=1 cas=1 fetch=no cls=1 size=60 flags=0\n"
	for name, test := range map[string]struct {
		dump  func(w *bufio.Writer)
		want  string
		is    error
		brief bool // the server ends the connection
	}{
		"no end":        {func(w *bufio.Writer) { w.WriteString(good) }, "broke off after 1 lines", backends.ErrUnreachable, true},
		"silence":       {func(w *bufio.Writer) { w.WriteString(good) }, "broke off after 1 lines", backends.ErrUnreachable, false},
		"half a line":   {func(w *bufio.Writer) { w.WriteString(good + "key=ha") }, "broke off", backends.ErrUnreachable, true},
		"half an end":   {func(w *bufio.Writer) { w.WriteString(good + "END") }, "broke off", backends.ErrUnreachable, true},
		"end in a line": {func(w *bufio.Writer) { w.WriteString(good + "key=a END\r\n") }, "broke off", backends.ErrUnreachable, true},
		"endless line": {func(w *bufio.Writer) {
			w.WriteString(good + "key=")
			for range 1 << 12 {
				w.WriteString(strings.Repeat("a", 1<<12))
			}
		}, "line without end", errProtocol, false},
		"endless first line": {func(w *bufio.Writer) { w.WriteString("key=" + strings.Repeat("a", 1<<20)) }, "line without end", errProtocol, false},
		"endless lines": {func(w *bufio.Writer) {
			for range 1 << 20 {
				if _, err := w.WriteString(good); err != nil {
					return
				}
			}
		}, "does not end", errProtocol, false},
		"broken escape":   {func(w *bufio.Writer) { w.WriteString(good + "key=a%4 exp=-1\nEND\r\n") }, "broken escape", nil, false},
		"not hexadecimal": {func(w *bufio.Writer) { w.WriteString(good + "key=a%zz exp=-1\nEND\r\n") }, "broken escape", nil, false},
		"empty key":       {func(w *bufio.Writer) { w.WriteString(good + "key= exp=-1\nEND\r\n") }, "no key", nil, false},
		"long key":        {func(w *bufio.Writer) { w.WriteString(good + "key=" + strings.Repeat("k", 251) + "\nEND\r\n") }, "no key", nil, false},
		"huge number":     {func(w *bufio.Writer) { w.WriteString(good + "key=a exp=99999999999999999999\nEND\r\n") }, "1 of 2 lines", nil, false},
		"negative size":   {func(w *bufio.Writer) { w.WriteString(good + "key=a size=-5\nEND\r\n") }, "1 of 2 lines", nil, false},
		"error midway":    {func(w *bufio.Writer) { w.WriteString(good + "SERVER_ERROR out of memory\r\nEND\r\n") }, "no key", nil, false},
		"nul bytes":       {func(w *bufio.Writer) { w.WriteString(good + "\x00\x00\nEND\r\n") }, "no key", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := quick(t, startFake(t, "1.6.38", func(command string, _ *bufio.Reader, w *bufio.Writer) bool {
				if command != dumpHash {
					w.WriteString("ERROR\r\n")
					return true
				}
				test.dump(w)
				return !test.brief
			}))
			c.limits.surplus = 1000
			l := list(c, backends.Query{Want: backends.AllFacts})
			if l.err == nil || !strings.Contains(l.err.Error(), test.want) || test.is != nil && !errors.Is(l.err, test.is) {
				t.Errorf("%v, want %q", l.err, test.want)
			}
			if name != "endless first line" && (len(l.entries) == 0 || l.entries[0].Key != "good") {
				t.Errorf("the good line did not come: %q", l.keys())
			}
			if len(l.err.Error()) > 500 {
				t.Errorf("an error of %d bytes", len(l.err.Error()))
			}
		})
	}
}

// TestLostNode: the others' keys come, and a *ShardError for this one.
func TestLostNode(t *testing.T) {
	one := startFake(t, "1.6.38", says(map[string]string{dumpHash: "key=a exp=-1 la=1\nEND\r\n"}))
	two := startFake(t, "1.6.38", says(map[string]string{dumpHash: "SERVER_ERROR no\r\n", dumpAll: "SERVER_ERROR no\r\n"}))
	l := list(quick(t, one, two), backends.Query{})
	var shard *backends.ShardError
	if !errors.As(l.err, &shard) || shard.Shard != two.Addr || !slices.Equal(l.keys(), []string{"a"}) {
		t.Errorf("%q, %v", l.keys(), l.err)
	}
	if strings.Count(l.err.Error(), two.Addr) != 1 {
		t.Errorf("%v names the node more than once", l.err)
	}
}

// TestTypeFilter: every value is a string where somebody asks.
func TestTypeFilter(t *testing.T) {
	f := startFake(t, "1.6.38", says(map[string]string{dumpHash: "key=a exp=-1 la=1\nEND\r\n"}))
	c := quick(t, f)
	if l := list(c, backends.Query{Type: "hash"}); l.err != nil || len(l.entries) != 0 || len(f.heard("metadump")) != 0 {
		t.Errorf("hash: %q, %v", l.keys(), l.err)
	}
	if l := list(c, backends.Query{Type: "string"}); len(l.entries) != 1 || l.entries[0].Type != "string" || l.entries[0].Have != backends.FactType {
		t.Errorf("string: %+v, %v", l.entries, l.err)
	}
	if l := list(c, backends.Query{From: map[string]backends.Mark{f.Addr: "17"}}); l.err == nil {
		t.Error("a foreign mark was taken")
	}
}

// TestStoppingEarlyDrains: a server older than 1.6.26 must see its dump read to
// the end, whatever the reader wants; a newer one is hung up after a grace.
func TestStoppingEarlyDrains(t *testing.T) {
	for _, test := range []struct {
		version string
		whole   bool
	}{{"1.6.18", true}, {"1.6.25", true}, {"1.6.26", false}, {"1.6.45", false}} {
		t.Run(test.version, func(t *testing.T) {
			whole := make(chan bool, 1)
			c := quick(t, startFake(t, test.version, func(command string, _ *bufio.Reader, w *bufio.Writer) bool {
				if command != dumpHash && command != dumpAll {
					return true
				}
				for i := range 20 {
					fmt.Fprintf(w, "key=k%d exp=-1 la=1\n", i)
					if w.Flush() != nil {
						break
					}
					time.Sleep(20 * time.Millisecond)
				}
				w.WriteString("END\r\n")
				whole <- w.Flush() == nil
				return true
			}))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			for range c.Scan(ctx, backends.Query{Count: 1, Match: "k*"}) {
				cancel()
			}
			if got := <-whole; got != test.whole {
				t.Errorf("the dump was read to its end: %v, want %v", got, test.whole)
			}
		})
	}
}

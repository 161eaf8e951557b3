package memcached

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

func TestURLs(t *testing.T) {
	for raw, want := range map[string]string{
		"memcached://":                              "memcached://localhost:11211",
		"memcached://h":                             "memcached://h:11211",
		"memcached://h1,h2:1,[::1],[::2]:3/":        "memcached://h1:11211,h2:1,[::1]:11211,[::2]:3",
		"memcached://app:secret@h?timeout=2s":       "memcached://app@h:11211",
		"memcacheds://h?tls_skip_verify=true":       "memcacheds://h:11211",
		"memcached://cfg?discover=elasticache":      "memcached://cfg:11211",
		"memcached://app:a%20b@h":                   "memcached://app@h:11211",
		"memcacheds://h?tls_server_name=other.host": "memcacheds://h:11211",
	} {
		c, err := parseURL(parsed(t, raw))
		if err != nil || c.name != want {
			t.Errorf("%s: %q, %v, want %q", raw, c.name, err, want)
		}
	}
	for _, raw := range []string{
		"redis://h", "memcached://h?secret=secret-value", "memcached://h/3", "memcached://h,h", "memcached://h:0", "memcached://h:x", "memcached://secret@h",
		"memcached://:secret@h", "memcached://a%20b:secret@h", "memcached://a:secret%0D%0Aflush_all@h", "memcached://h?timeout=0", "memcached://h?timeout=-1s",
		"memcached://h?discover=yes", "memcached://h?tls_ca=x", "memcacheds://h?tls_ca=/none", "memcacheds://h?tls_cert=x", "memcacheds://h?tls_skip_verify=perhaps",
	} {
		if _, err := Open(t.Context(), parsed(t, raw)); !errors.Is(err, backends.ErrURL) || strings.Contains(err.Error(), "secret-value") || strings.Contains(err.Error(), "flush_all") {
			t.Errorf("%s: %v, want ErrURL without secrets", raw, err)
		}
	}
	if !slices.Equal(Schemes(), []string{"memcached", "memcacheds"}) {
		t.Error(Schemes())
	}
}

func TestNobodyThere(t *testing.T) {
	alive := startFake(t, "1.6.38", says(nil))
	for _, raw := range []string{"memcached://127.0.0.1:1?timeout=1s", "memcached://no-such-host.invalid?timeout=1s"} {
		if _, err := Open(t.Context(), parsed(t, raw)); !errors.Is(err, backends.ErrUnreachable) {
			t.Errorf("%s: %v", raw, err)
		}
	}
	c := openURL(t, "memcached://"+alive.Addr+",127.0.0.1:1?timeout=1s")
	all, err := c.Stats(t.Context())
	var shard *backends.ShardError
	if len(all) != 1 || !errors.As(err, &shard) || shard.Shard != "127.0.0.1:1" || !errors.Is(err, backends.ErrUnreachable) {
		t.Errorf("%d nodes, %v", len(all), err)
	}
}

// TestPausedServer: no call outlives its context or its timeout.
func TestPausedServer(t *testing.T) {
	v := servers.Memcacheds(t)[1]
	s := start(t, v)
	c := openURL(t, target(s)+"?timeout=300ms")
	if err := c.Set(t.Context(), "k", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	s.Pause()
	defer s.Resume()
	calls := map[string]func(ctx context.Context) error{
		"Get":   func(ctx context.Context) error { _, err := c.Get(ctx, "k"); return err },
		"Get b": func(ctx context.Context) error { _, err := c.Get(ctx, "a b"); return err },
		"Set":   func(ctx context.Context) error { return c.Set(ctx, "k", []byte("v"), 0) },
		"Read":  func(ctx context.Context) error { _, err := c.Read(ctx, "k", backends.Window{}); return err },
		"Stats": func(ctx context.Context) error { _, err := c.Stats(ctx); return err },
		"Slabs": func(ctx context.Context) error { _, err := c.Slabs(ctx); return err },
		"Inspect": func(ctx context.Context) error {
			for _, err := range c.Inspect(ctx, backends.AllFacts, one("k")) {
				if backends.Ends(err) {
					return err
				}
			}
			return nil
		},
		"Scan": func(ctx context.Context) error {
			for _, err := range c.Scan(ctx, backends.Query{}) {
				if backends.Ends(err) {
					return err
				}
			}
			return nil
		},
	}
	for name, call := range calls {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		began := time.Now()
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 10*time.Second {
			t.Errorf("%s: %v after %v, want the context's end", name, err, time.Since(began))
		}
		cancel()
		began = time.Now()
		if err := call(t.Context()); !errors.Is(err, backends.ErrUnreachable) || time.Since(began) > 20*time.Second {
			t.Errorf("%s: %v after %v, want ErrUnreachable", name, err, time.Since(began))
		}
	}
	s.Resume()
	if got, err := c.Get(t.Context(), "k"); err != nil || string(got) != "v" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

// TestLifeOfTheBackend: its context's end fails what is under way.
func TestLifeOfTheBackend(t *testing.T) {
	f := startFake(t, "1.6.38", func(command string, _ *bufio.Reader, w *bufio.Writer) bool { return true }) // says nothing
	ctx, cancel := context.WithCancel(t.Context())
	b, err := Open(ctx, parsed(t, "memcached://"+f.Addr))
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, cancel)
	began := time.Now()
	if _, err := b.(*cache).Get(t.Context(), "k"); !errors.Is(err, context.Canceled) || time.Since(began) > 20*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	b.Close()
	b.Close()
	if _, err := b.(*cache).Stats(t.Context()); err == nil {
		t.Error("Stats of a closed backend works")
	}
}

// TestManagedService: ElastiCache Serverless has no me, no crawler, and no
// arguments to stats. What is left works, with a word about the rest.
func TestManagedService(t *testing.T) {
	f := startFake(t, "", func(command string, _ *bufio.Reader, w *bufio.Writer) bool {
		switch command {
		case "version":
			w.WriteString("VERSION 1.6.22\r\n")
		case "stats":
			w.WriteString("STAT get_hits 5\r\nSTAT get_misses 6\r\nSTAT curr_items 1\r\nEND\r\n")
		case "mg cachectl s u":
			w.WriteString("EN\r\n")
		case "mg k s t l c f u":
			w.WriteString("HD s3 t60 l7 c9 f2\r\n")
		case "mg no s t l c f u":
			w.WriteString("EN\r\n")
		case "gets k":
			w.WriteString("VALUE k 2 3 9\r\nabc\r\nEND\r\n")
		default:
			w.WriteString("ERROR\r\n")
		}
		return true
	})
	c := quick(t, f)
	var entries []backends.Entry
	var notices []string
	for e, err := range c.Inspect(t.Context(), backends.AllFacts, one("k", "no")) {
		if err != nil {
			notices = append(notices, err.Error())
		} else {
			entries = append(entries, e)
		}
	}
	want := backends.Entry{Key: "k", Type: stringType, Have: backends.FactType | backends.FactTTL | backends.FactIdle | backends.FactElements, TTL: time.Minute, Idle: 7 * time.Second, Elements: 3}
	if len(entries) != 1 || entries[0] != want || len(notices) != 3 || c.Footprint() != 2 {
		t.Errorf("%+v\n%q, footprint %d", entries, notices, c.Footprint())
	}
	got, err := c.Read(t.Context(), "k", backends.Window{})
	if err != nil || string(got.Data) != "abc" || len(got.Notices) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if all, err := c.Stats(t.Context()); err != nil || all[0].Counts[backends.Hits] != 5 || all[0].Version != "1.6.22" || all[0].RunID != "" {
		t.Errorf("%+v, %v", all, err)
	}
	if l := list(c, backends.Query{}); !errors.Is(l.err, backends.ErrDenied) {
		t.Errorf("%v", l.err)
	}
	if _, err := c.Slabs(t.Context()); !errors.Is(err, backends.ErrDenied) {
		t.Errorf("%v", err)
	}
}

// TestBeforeMeta: servers before 1.5.19 have gets and nothing else.
func TestBeforeMeta(t *testing.T) {
	c := quick(t, startFake(t, "1.4.39", says(map[string]string{"gets k": "VALUE k 2 3 9\r\nabc\r\nEND\r\n", "gets no": "END\r\n"})))
	var keys []string
	for e, err := range c.Inspect(t.Context(), backends.FactElements, one("no", "k", "a b")) {
		if err == nil {
			keys = append(keys, fmt.Sprint(e.Key, e.Elements))
		}
	}
	if !slices.Equal(keys, []string{"k3"}) {
		t.Errorf("%q", keys)
	}
}

// TestMeOverlooksItsFlag: 1.6.40 to 1.6.45 do so when b is the last word
// (captured: "me YSBi b" is answered EN there).
func TestMeOverlooksItsFlag(t *testing.T) {
	c := quick(t, startFake(t, "1.6.45", says(map[string]string{
		"me cachectl": "EN\r\n", "me YSBi b": "EN\r\n", "me YSBi b x": "ME YSBi exp=-1 la=0 cas=4 fetch=no cls=1 size=71\r\n"})))
	for e, err := range c.Inspect(t.Context(), backends.FactSize, one("a b")) {
		if err != nil || e.Size != 71 {
			t.Errorf("%+v, %v", e, err)
		}
		return
	}
	t.Error("not found")
}

// TestSignOfMe: before 1.6.24 the expiry has the wrong sign (captured, 1.6.18).
func TestSignOfMe(t *testing.T) {
	for line, v := range map[string]version{
		"ME a exp=-100 la=7 cas=1 fetch=no cls=1 size=67": {1, 6, 18},
		"ME a exp=100 la=7 cas=1 fetch=no cls=1 size=67":  {1, 6, 38},
	} {
		it, err := parseMe([]byte(line), "a", v)
		if e := it.entry(backends.AllFacts, profile{}, it.exp, it.la); err != nil || e.TTL != 100*time.Second || e.Idle != 7*time.Second {
			t.Errorf("%s: %+v, %v", line, e, err)
		}
	}
}

// TestHostileAnswers: each is an error, and none hangs or eats memory.
func TestHostileAnswers(t *testing.T) {
	endless := strings.Repeat("a", 1<<20)
	for name, test := range map[string]struct {
		answers map[string]string
		call    func(c *cache) error
	}{
		"huge value":        {map[string]string{"gets k": "VALUE k 0 4294967295 1\r\n"}, getK},
		"huge number":       {map[string]string{"gets k": "VALUE k 0 99999999999999999999999 1\r\n"}, getK},
		"negative":          {map[string]string{"gets k": "VALUE k 0 -1 1\r\n\r\nEND\r\n"}, getK},
		"another key":       {map[string]string{"gets k": "VALUE other 0 1 1\r\nx\r\nEND\r\n"}, getK},
		"two values":        {map[string]string{"gets k": "VALUE k 0 1 1\r\nx\r\nVALUE k 0 1 1\r\nx\r\nEND\r\n"}, getK},
		"longer than said":  {map[string]string{"gets k": "VALUE k 0 1 1\r\nxyz\r\nEND\r\n"}, getK},
		"shorter than said": {map[string]string{"gets k": "VALUE k 0 9 1\r\nxyz\r\nEND\r\n"}, getK},
		"no end":            {map[string]string{"gets k": "VALUE k 0 1 1\r\nx\r\n"}, getK},
		"endless line":      {map[string]string{"gets k": "VALUE " + endless}, getK},
		"silence":           {map[string]string{"gets k": ""}, getK},
		"answer to another": {map[string]string{"gets k": "STORED\r\n"}, getK},
		"error":             {map[string]string{"gets k": "SERVER_ERROR out of memory\r\n"}, getK},
		"set: garbage":      {map[string]string{"set k 0 0 1": "VALUE\r\n"}, setK},
		"set: refused":      {map[string]string{"set k 0 0 1": "SERVER_ERROR out of memory storing object\r\n"}, setK},
		"set: endless":      {map[string]string{"set k 0 0 1": endless}, setK},
		"read: huge":        {map[string]string{"me k": "ME k exp=-1 size=9\r\n", "gets k": "VALUE k 0 1073741825 1\r\n"}, readK},
		"read: me garbage":  {map[string]string{"me k": "ME k exp=x\r\n"}, readK},
		"read: me other":    {map[string]string{"me k": "ME other exp=-1\r\n"}, readK},
		"read: me endless":  {map[string]string{"me k": endless}, readK},
		"read: cut":         {map[string]string{"me k": "ME k exp=-1 size=9\r\n", "gets k": "VALUE k 0 1000000 1\r\nabc"}, readK},
		"slabs: endless":    {map[string]string{"stats slabs": strings.Repeat("STAT 1:chunk_size 96\r\nSTAT a b\r\n", 10) + endless}, slabsOf},
		"slabs: too many":   {map[string]string{"stats slabs": manyStats()}, slabsOf},
		"slabs: garbage":    {map[string]string{"stats slabs": "VALUE k 0 1 1\r\nx\r\nEND\r\n"}, slabsOf},
	} {
		t.Run(name, func(t *testing.T) {
			answer := says(test.answers)
			c := quick(t, startFake(t, "1.6.38", func(command string, r *bufio.Reader, w *bufio.Writer) bool {
				if strings.HasPrefix(command, "set ") {
					r.ReadString('\n')
				}
				if command == "me cachectl" {
					w.WriteString("EN\r\n")
					return true
				}
				return answer(command, r, w)
			}))
			began := time.Now()
			err := test.call(c)
			if err == nil || errors.Is(err, backends.ErrMiss) || len(err.Error()) > 400 || time.Since(began) > 20*time.Second {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		})
	}
}

func getK(c *cache) error { _, err := c.Get(context.Background(), "k"); return err }
func setK(c *cache) error { return c.Set(context.Background(), "k", []byte("v"), 0) }
func readK(c *cache) error {
	_, err := c.Read(context.Background(), "k", backends.Window{})
	return err
}
func slabsOf(c *cache) error { _, err := c.Slabs(context.Background()); return err }

func manyStats() string {
	var b strings.Builder
	for i := range mostStats + 2 {
		fmt.Fprintf(&b, "STAT %d:x 1\r\n", i)
	}
	return b.String() + "END\r\n"
}

// TestOutOfStep: a server that says more than it was asked answers the next
// question with it; such a connection is not used again.
func TestOutOfStep(t *testing.T) {
	f := startFake(t, "1.6.38", says(map[string]string{"me cachectl": "EN\r\nME k exp=-1 size=1\r\n", "me k": "EN\r\n", "gets k": "VALUE k 0 1 1\r\nx\r\nEND\r\nVALUE k 0 1 1\r\ny\r\nEND\r\n"}))
	c := quick(t, f)
	for range 3 {
		if got, err := c.Get(t.Context(), "k"); err != nil || string(got) != "x" {
			t.Errorf("%q, %v", got, err)
		}
	}
}

// TestDiscovery: ElastiCache and Memorystore, by today's command and by the old key.
func TestDiscovery(t *testing.T) {
	one, two := startFake(t, "1.6.38", says(nil)), startFake(t, "1.6.38", says(nil))
	port := func(f *fake) string { return f.Addr[strings.LastIndexByte(f.Addr, ':')+1:] }
	list := fmt.Sprintf("12\nlocalhost|127.0.0.1|%s |127.0.0.1|%s\n", port(one), port(two))
	for name, answers := range map[string]map[string]string{
		"now":    {"config get cluster": fmt.Sprintf("CONFIG cluster 0 %d\r\n%s\r\nEND\r\n", len(list), list)},
		"before": {"gets AmazonElastiCache:cluster": fmt.Sprintf("VALUE AmazonElastiCache:cluster 0 %d 7\r\n%s\r\nEND\r\n", len(list), list)},
	} {
		endpoint := startFake(t, "1.6.12", says(answers))
		c := openURL(t, "memcached://"+endpoint.Addr+"?discover=elasticache")
		shards, err := c.Shards(t.Context())
		if err != nil || len(shards) != 2 || shards[0].Name() != "memcached://localhost:"+port(one) || shards[1].Name() != "memcached://127.0.0.1:"+port(two) {
			t.Errorf("%s: %v, %v", name, shards, err)
		}
		if c.Name() != "memcached://"+endpoint.Addr {
			t.Error(c.Name())
		}
	}
	for _, answer := range []string{"ERROR\r\n", "CONFIG cluster 0 99999999\r\n", "CONFIG cluster 0 3\r\n1\n\n\r\nEND\r\n", "CONFIG cluster 0 8\r\n1\na|b|c\n\r\nEND\r\n", "VERSION 1\r\n"} {
		endpoint := startFake(t, "1.6.12", says(map[string]string{"config get cluster": answer, "gets AmazonElastiCache:cluster": "END\r\n"}))
		if _, err := Open(t.Context(), parsed(t, "memcached://"+endpoint.Addr+"?discover=elasticache")); err == nil {
			t.Errorf("%q was taken", answer)
		}
	}
}

// TestIdleConnectionsDie: a server that hangs up on idle clients is asked again.
func TestIdleConnectionsDie(t *testing.T) {
	f := startFake(t, "1.6.38", func(command string, _ *bufio.Reader, w *bufio.Writer) bool {
		io.WriteString(w, "VALUE k 0 1 1\r\nx\r\nEND\r\n")
		return false // answers, and hangs up
	})
	c := quick(t, f)
	for range 4 {
		if got, err := c.Get(t.Context(), "k"); err != nil || string(got) != "x" {
			t.Errorf("%q, %v", got, err)
		}
	}
}

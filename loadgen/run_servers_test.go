package loadgen

import (
	"context"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
	"github.com/cachectl/cachectl/backends/memcached"
)

// TestConnectionsCut: what was in flight is lost, and the run goes on over new connections.
func TestConnectionsCut(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, c Config) {
		s, d := single(t)
		k := client(t, s)
		c.Dialer, c.Connections, c.Depth = d, 3, 4
		c.Traffic = uniform(100, Mix{Read: 1}, Phase{Length: time.Hour, Rate: 2000})
		r := sendWhile(t, c, func() {
			waitForGets(t, k, 300)
			// In one go, so that the connections owe answers when they are cut.
			if _, err := k.TxPipelined(context.Background(), func(p goredis.Pipeliner) error {
				p.Do(context.Background(), "debug", "sleep", 0.4)
				p.Do(context.Background(), "client", "kill", "type", "normal", "skipme", "yes")
				return nil
			}); err != nil {
				t.Error(err)
			}
			waitForGets(t, k, commandCalls(t, k)["get"]+500)
		})
		reads := r.Tallies[Read]
		if reads.Lost == 0 || reads.Lost > 12 || reads.Done < 800 || len(r.Errors) == 0 {
			t.Errorf("%d lost of %d, errors %v, %v", reads.Lost, reads.Due, r.Errors, r.Invalid)
		}
	})
}

// TestServerGone: while there is nobody, ops wait.
func TestServerGone(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, c Config) {
		s, d := single(t)
		c.Dialer, c.Connections = d, 3
		c.Traffic = uniform(100, Mix{Write: 1}, Phase{Length: time.Hour, Rate: 1000})
		k := client(t, s)
		written := func() { // counted from the server's start
			eventually(t, "100 keys are written", func() bool { return commandCalls(t, k)["set"] >= 100 })
		}
		r := sendWhile(t, c, func() {
			written()
			s.Restart()
			written()
		})
		if writes := r.Tallies[Write]; writes.Refused > 0 || writes.Lost > 3 || writes.Done < 200-3 {
			t.Errorf("%d refused, %d lost, %d done: %v", writes.Refused, writes.Lost, writes.Done, r.Invalid)
		}
		s.Stop()
		if _, err := Send(t.Context(), c); err == nil {
			t.Error("a run that could not begin")
		}
	})
}

// TestRefused: errors are counted, with their words.
func TestRefused(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, c Config) {
		s, d := single(t)
		client(t, s).ConfigSet(t.Context(), "maxmemory", "1")
		c.Dialer, c.Connections = d, 3
		c.Traffic = uniform(100, Mix{Write: 1, Read: 1}, Phase{Length: 200 * time.Millisecond, Rate: 1000})
		r := send(t, c)
		if w := r.Tallies[Write]; w.Refused != w.Due || w.Due == 0 || !strings.HasPrefix(r.commonest(), "OOM ") || r.Tallies[Read].Refused > 0 {
			t.Errorf("%+v, %v", w, r.Errors)
		}
	})
}

// A wireless dialer makes connections that are not of the kernel.
type wireless struct{ backends.Dialer }

func (w wireless) DialNode(ctx context.Context, node string) (net.Conn, backends.Dialect, error) {
	conn, d, err := w.Dialer.DialNode(ctx, node)
	return struct{ net.Conn }{conn}, d, err
}

// TestLargeValues: values longer than buffers, in and out, over connections without descriptors too.
func TestLargeValues(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, c Config) {
		s, d := single(t)
		c.Dialer, c.Connections, c.Depth = d, 2, 3
		if c.portable {
			c.Dialer, c.portable = wireless{d}, false
		}
		c.Traffic = uniform(3, Mix{Write: 1, Read: 2}, Phase{Length: 200 * time.Millisecond, Rate: 200})
		c.Traffic.Sizes = Sizes{Law: Fixed, Min: 3 << 20}
		r := send(t, c)
		if all := r.Total(); all.Done != 40 || all.BytesIn != all.Hits*3<<20 || all.Hits == 0 {
			t.Errorf("%+v", all)
		}
		if n := client(t, s).StrLen(t.Context(), "key:1").Val(); n != 3<<20 {
			t.Errorf("a value of %d bytes", n)
		}
	})
}

// TestOtherServers: over TLS, and in memcached's words.
func TestOtherServers(t *testing.T) {
	t.Parallel()
	secure := servers.Redis(t, servers.Default(t), servers.Options{TLS: true})
	query := "tls_ca=" + secure.CA + "&tls_cert=" + secure.Cert + "&tls_key=" + secure.Key + "&tls_server_name=localhost"
	mc := servers.Memcached(t, servers.Memcacheds(t)[0], servers.Options{})
	b, err := memcached.Open(t.Context(), &url.URL{Scheme: "memcached", Host: mc.Addr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	for name, d := range map[string]backends.Dialer{
		"tls": dialer(t, &url.URL{Scheme: "rediss", Host: secure.Addr, RawQuery: query}), "memcached": b.(backends.Dialer),
	} {
		for _, portable := range []bool{false, true} {
			c := Config{Dialer: d, Connections: 3, Depth: 4, Prefix: "key:", Settle: time.Minute, portable: portable, Written: NewWritten(500)}
			c.Traffic = uniform(500, Mix{6, 3, 1}, Phase{Length: 400 * time.Millisecond, Rate: 2000})
			c.Traffic.TTLs = TTLs{Min: time.Hour}
			if err := Fill(t.Context(), c, nil); err != nil {
				t.Fatal(err)
			}
			r := send(t, c)
			if all := r.Total(); all.Done != 800 || r.HitRate() < 0.5 || r.HitRate() == 1 {
				t.Errorf("%s: %d done, hit rate %v, %v", name, all.Done, r.HitRate(), r.Errors)
			}
			if err := RemoveWritten(t.Context(), c, nil); err != nil {
				t.Error(err)
			}
			c.Traffic.Mix, c.Written = Mix{Read: 1}, nil
			if r := send(t, c); r.HitRate() != 0 {
				t.Errorf("%s: a hit rate of %v when all is removed", name, r.HitRate())
			}
		}
	}
}

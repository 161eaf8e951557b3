package redis

import (
	"context"
	"net/url"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// openURL opens a target as a user would name it.
func openURL(t *testing.T, raw string) backends.Backend {
	t.Helper()
	b, err := Open(t.Context(), parsed(t, raw))
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// parsed makes a URL of the form the commands hand over: hosts may be several.
func parsed(t *testing.T, raw string) *url.URL {
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

// raw is a plain client, to prepare and to compare.
func raw(t *testing.T, s *servers.Server) *goredis.Client {
	t.Helper()
	c := goredis.NewClient(&goredis.Options{Addr: s.Addr})
	t.Cleanup(func() { c.Close() })
	return c
}

// flush empties servers. Replicas refuse, which go-redis would try again for a while.
func flush(t *testing.T, nodes ...*servers.Server) {
	t.Helper()
	for _, s := range nodes {
		c := goredis.NewClient(&goredis.Options{Addr: s.Addr, MaxRetries: -1})
		defer c.Close()
		if err := c.FlushAll(context.Background()).Err(); err != nil && !strings.Contains(err.Error(), "READONLY") {
			t.Fatal(err)
		}
	}
}

// TestConformance runs the suite over every server that a target can be.
func TestConformance(t *testing.T) {
	for _, v := range servers.Redises(t) {
		t.Run(v.Name, func(t *testing.T) {
			for name, conform := range map[string]func(*testing.T, servers.Version){
				"single": conformSingle, "cluster": conformCluster, "sentinel": conformSentinel, "tls": conformTLS, "acl": conformACL, "unix": conformUnix,
			} {
				t.Run(name, func(t *testing.T) { t.Parallel(); conform(t, v) })
			}
		})
	}
}

func suite(url string, clear func(t *testing.T)) backendtest.Suite {
	return backendtest.Suite{
		Keys:  backendtest.HostileKeys(),
		Lacks: []string{"Editor"},
		Refused: func(t *testing.T) backends.Ask {
			b := openURL(t, url)
			if err := b.(*cache).router.RPush(t.Context(), "a list", "x").Err(); err != nil {
				t.Fatal(err)
			}
			return backends.Ask{Do: backends.AskGet, Key: []byte("a list")}
		},
		Open: func(t *testing.T) backends.Backend {
			clear(t)
			return openURL(t, url)
		},
	}
}

func conformSingle(t *testing.T, v servers.Version) {
	s := servers.Redis(t, v, servers.Options{})
	suite("redis://"+s.Addr+"/3", func(t *testing.T) { flush(t, s) }).Run(t)
}

func conformCluster(t *testing.T, v servers.Version) {
	nodes := servers.Cluster(t, v, 3, 1, servers.Options{})
	suite("redis+cluster://"+nodes[0].Addr+","+nodes[1].Addr, func(t *testing.T) { flush(t, nodes...) }).Run(t)
}

func conformSentinel(t *testing.T, v servers.Version) {
	_, sentinels, _ := servers.Sentinel(t, v, servers.Options{})
	target := "redis+sentinel://mymaster@" + strings.Join(sentinels, ",")
	suite(target, func(t *testing.T) { wipe(t, target) }).Run(t)
}

func conformTLS(t *testing.T, v servers.Version) {
	s := servers.Redis(t, v, servers.Options{TLS: true})
	target := "rediss://" + s.Addr + "?tls_ca=" + s.CA + "&tls_cert=" + s.Cert + "&tls_key=" + s.Key + "&tls_server_name=localhost"
	suite(target, func(t *testing.T) { wipe(t, target) }).Run(t)
}

func conformACL(t *testing.T, v servers.Version) {
	s := servers.Redis(t, v, servers.Options{ACL: []string{"user default off", "user app on >secret ~* &* +@all"}})
	target := "redis://app:secret@" + s.Addr
	suite(target, func(t *testing.T) { wipe(t, target) }).Run(t)
}

func conformUnix(t *testing.T, v servers.Version) {
	s := servers.Redis(t, v, servers.Options{Unix: true})
	target := "unix://" + s.Socket + "?db=2"
	b, err := Open(t.Context(), &url.URL{Scheme: "unix", Path: s.Socket, RawQuery: "db=2"})
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	st := suite(target, nil)
	st.Open = func(t *testing.T) backends.Backend {
		b, err := Open(t.Context(), &url.URL{Scheme: "unix", Path: s.Socket, RawQuery: "db=2"})
		if err != nil {
			t.Fatal(err)
		}
		b.(*cache).router.FlushAll(t.Context())
		return b
	}
	st.Run(t)
}

// wipe empties a server that only its own credentials get into.
func wipe(t *testing.T, target string) {
	t.Helper()
	b := openURL(t, target)
	if err := b.(*cache).router.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

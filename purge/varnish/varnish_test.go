package varnish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/cachectl/cachectl/backends/backendtest/servers"
	"github.com/cachectl/cachectl/purge"
)

// A site is an origin with a real Varnish before it.
type site struct {
	t      *testing.T
	server *servers.Server
	purger purge.Purger
}

// start serves objects that live long, each with the tags that its query names.
func start(t *testing.T, s purge.Settings) *site {
	t.Helper()
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("xkey", r.URL.Query().Get("tags"))
		if r.Method != http.MethodGet {
			w.Header().Set("Cache-Control", "no-store")
		}
		io.WriteString(w, "hello")
	}))
	t.Cleanup(origin.Close)
	host, port, err := net.SplitHostPort(origin.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	vcl := fmt.Sprintf("vcl 4.1;\nbackend default { .host = %q; .port = %q; }\n", host, port)
	if s.Endpoint != "without" {
		vcl += VCL
	}
	vcl += "sub vcl_backend_response { set beresp.grace = 1h; }\nsub vcl_deliver { if (obj.hits > 0) { set resp.http.x-cache = \"HIT\"; } else { set resp.http.x-cache = \"MISS\"; } }\n"
	server := servers.Varnish(t, vcl)
	s.Targets = []string{"http://" + server.Addr}
	opened, err := Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return &site{t, server, opened[0]}
}

// get tells whether the object came from the cache.
func (s *site) get(at string) (hit bool) {
	s.t.Helper()
	host, path, _ := strings.Cut(at, "/")
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.server.Addr+"/"+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Host = host
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || string(text) != "hello" {
		s.t.Fatalf("%s: %q %v", at, text, err)
	}
	return res.Header.Get("X-Cache") == "HIT"
}

// purge runs items through, and returns the reasons of those that failed.
func (s *site) purge(items ...purge.Item) (failed []error) {
	s.t.Helper()
	plan, err := s.purger.Plan(items)
	if err != nil {
		s.t.Fatal(err)
	}
	for n := range plan.Refused {
		failed = append(failed, &plan.Refused[n])
	}
	for o, err := range purge.Run(s.t.Context(), []purge.Purger{s.purger}, plan.Calls, purge.Options{Tries: 2}) {
		if purge.Ends(err) {
			s.t.Fatal(err)
		}
		if err == nil && o.Err != nil {
			failed = append(failed, o.Err)
		}
	}
	return failed
}

// TestVarnish: on a real server each item purges what it should, and nothing
// but that.
func TestVarnish(t *testing.T) {
	s := start(t, purge.Settings{})
	all := []string{"a.example/x.jpg", "b.example/x.jpg", "a.example/xxjpg", "a.example/dir/1?q=a+b", "a.example/dir/2", "b.example/dir/1",
		"a.example/directory", "a.example/t?tags=red", "a.example/u?tags=red+green", "b.example/v?tags=green", "a.example:8080/p"}
	for _, test := range []struct {
		items []purge.Item
		gone  []string
	}{
		{[]purge.Item{{Kind: purge.URL, Value: "https://A.example/x.jpg"}}, []string{"a.example/x.jpg"}},
		{[]purge.Item{{Kind: purge.URL, Value: "http://a.example/dir/1?q=a+b"}}, []string{"a.example/dir/1?q=a+b"}},
		{[]purge.Item{{Kind: purge.URL, Value: "http://a.example/dir/1"}}, nil},
		{[]purge.Item{{Kind: purge.Path, Value: "/x.jpg"}}, []string{"a.example/x.jpg", "b.example/x.jpg"}},
		{[]purge.Item{{Kind: purge.Path, Value: "/dir/1?q=a+b"}}, []string{"a.example/dir/1?q=a+b"}},
		{[]purge.Item{{Kind: purge.Path, Value: "/dir/*"}}, []string{"a.example/dir/1?q=a+b", "a.example/dir/2", "b.example/dir/1"}},
		{[]purge.Item{{Kind: purge.Prefix, Value: "a.example/dir/"}}, []string{"a.example/dir/1?q=a+b", "a.example/dir/2"}},
		{[]purge.Item{{Kind: purge.Prefix, Value: "/dir"}}, []string{"a.example/dir/1?q=a+b", "a.example/dir/2", "b.example/dir/1", "a.example/directory"}},
		{[]purge.Item{{Kind: purge.Host, Value: "b.example"}}, []string{"b.example/x.jpg", "b.example/dir/1", "b.example/v?tags=green"}},
		{[]purge.Item{{Kind: purge.Prefix, Value: "a.example/p"}}, []string{"a.example:8080/p"}},
		{[]purge.Item{{Kind: purge.Tag, Value: "red"}}, []string{"a.example/t?tags=red", "a.example/u?tags=red+green"}},
		{[]purge.Item{{Kind: purge.Tag, Value: "red"}, {Kind: purge.Tag, Value: "green"}, {Kind: purge.Tag, Value: "none"}},
			[]string{"a.example/t?tags=red", "a.example/u?tags=red+green", "b.example/v?tags=green"}},
		{[]purge.Item{{Kind: purge.Tag, Value: "re"}}, nil},
		{nil, nil},
		{[]purge.Item{{Kind: purge.Everything}}, all},
	} {
		for _, at := range all {
			s.get(at)
			if !s.get(at) {
				t.Fatalf("%s is not cached", at)
			}
		}
		if failed := s.purge(test.items...); len(failed) > 0 {
			t.Errorf("%v: %v", test.items, failed)
		}
		for _, at := range all {
			if hit := s.get(at); hit == slices.Contains(test.gone, at) {
				t.Errorf("%v: hit of %s is %v", test.items, at, hit)
			}
		}
	}
}

// TestSoftPurge: the object stays for its grace.
func TestSoftPurge(t *testing.T) {
	s := start(t, purge.Settings{Tags: purge.XKeySoftPurge})
	s.get("a.example/?tags=red")
	if failed := s.purge(purge.Item{Kind: purge.Tag, Value: "red"}); len(failed) > 0 {
		t.Fatal(failed)
	}
	if !s.get("a.example/?tags=red") {
		t.Error("a soft purge took the object away at once")
	}
}

// TestUnknownMethods: a server whose VCL knows no PURGE hands it to the origin,
// which answers 200. That is not taken for a purge.
func TestUnknownMethods(t *testing.T) {
	s := start(t, purge.Settings{Endpoint: "without"})
	for _, item := range []purge.Item{{Kind: purge.URL, Value: "http://a.example/x"}, {Kind: purge.Path, Value: "/x"}, {Kind: purge.Tag, Value: "x"}} {
		failed := s.purge(item)
		if len(failed) != 1 || !errors.Is(failed[0], purge.ErrDenied) || purge.Hint(failed[0]) == "" {
			t.Errorf("%v: %v", item, failed)
		}
	}
}

// TestDown: a server that is gone is tried again, and told.
func TestDown(t *testing.T) {
	s := start(t, purge.Settings{})
	s.server.Stop()
	failed := s.purge(purge.Item{Kind: purge.Path, Value: "/x"})
	if len(failed) != 1 || !strings.Contains(failed[0].Error(), "connection refused") {
		t.Errorf("%v", failed)
	}
}

func TestRefusals(t *testing.T) {
	for _, i := range []purge.Item{{Kind: purge.URL, Value: "/x"}, {Kind: purge.URL, Value: "http://a.example/*"}, {Kind: purge.Path, Value: "x"},
		{Kind: purge.Path, Value: "/a*b"}, {Kind: purge.Path, Value: "/a b"}, {Kind: purge.Path, Value: `/"`}, {Kind: purge.Prefix, Value: "http://a/x"},
		{Kind: purge.Host, Value: "a.example/x"}, {Kind: purge.Tag, Value: "a b"}, {Kind: purge.Tag}, {Kind: purge.Tag, Value: strings.Repeat("x", 151)}} {
		if got, refusal := normalise(i); refusal == nil {
			t.Errorf("%s %.40q is taken as %.40q", i.Kind, i.Value, got.Value)
		}
	}
	for _, target := range []string{"", "localhost:80", "ftp://x", "http://x/path"} {
		if _, err := Open(context.Background(), purge.Settings{Targets: []string{target}}); !errors.Is(err, purge.ErrSettings) {
			t.Errorf("%q: %v", target, err)
		}
	}
}

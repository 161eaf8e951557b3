package commands

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
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cachectl/cachectl/analyze/httpcache"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
	"github.com/cachectl/cachectl/purge"
	"github.com/cachectl/cachectl/purge/varnish"
)

// An edge is a cache that goes on serving what it has for some answers after a purge.
type edge struct {
	*httptest.Server
	mu     sync.Mutex
	purged bool
	lag    int // answers to a URL, after the purge, that are old still
	after  map[string]int
	asked  []*http.Request
}

func newEdge(t *testing.T, lag int) *edge {
	e := &edge{lag: lag, after: make(map[string]int)}
	e.Server = httptest.NewServer(e)
	t.Cleanup(e.Close)
	return e
}

func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = append(e.asked, r)
	old := true
	if e.purged {
		e.after[r.URL.Path]++
		old = e.after[r.URL.Path] <= e.lag
	}
	w.Header().Set("Set-Cookie", "a=b")
	if old {
		w.Header().Set("CF-Cache-Status", "HIT")
		w.Header().Set("Age", "86400")
	} else {
		w.Header().Set("CF-Cache-Status", "MISS")
	}
	if r.URL.Path == "/moved" {
		http.Redirect(w, r, "/target", http.StatusMovedPermanently)
	}
	io.WriteString(w, "hello")
}

func (e *edge) purge() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.purged = true
	return time.Now()
}

func newTestVerification(t *testing.T, timeout time.Duration, headers ...string) *verification {
	t.Helper()
	header, err := parseVerifyHeaders(headers)
	if err != nil {
		t.Fatal(err)
	}
	env, _, _ := testEnv()
	v := newVerification(env, header, timeout)
	t.Cleanup(v.close)
	return v
}

func TestVerify(t *testing.T) {
	e := newEdge(t, 2)
	v := newTestVerification(t, time.Minute, "X-Variant: b", "Host: www.example.com")
	urls := []string{e.URL + "/a#top", e.URL + "/moved", e.URL + "/a"}
	for n := range 30 { // more than are asked at once
		urls = append(urls, fmt.Sprintf("%s/%d", e.URL, n))
	}
	shots, err := v.snapshot(t.Context(), urls)
	if err != nil || len(shots) != 32 {
		t.Fatalf("%d snapshots, %v", len(shots), err)
	}
	rows, err := v.check(t.Context(), shots, e.purge())
	if err != nil || len(rows) != 32 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for n, u := range rows {
		if u.url != shots[n].url || u.finding.Verdict != httpcache.Fresh || u.tries != 3 || !strings.Contains(u.before, "Age 86400") || !strings.Contains(u.after, "CF-Cache-Status MISS") {
			t.Errorf("%+v", u)
		}
		if cells := u.row(); len(cells) != len(verifiedColumns) {
			t.Errorf("%d cells", len(cells))
		}
	}
	for _, r := range e.asked {
		if r.Method != http.MethodGet || r.URL.Path == "/target" || r.Header.Get("Cookie") != "" || r.Header.Get("Cache-Control") != "" ||
			r.Header.Get("X-Variant") != "b" || r.Host != "www.example.com" || r.Header.Get("User-Agent") != "cachectl/test" {
			t.Errorf("asked %s %s %v", r.Method, r.URL, r.Header)
		}
	}
}

// TestVerifyStale: what stays old ends at the timeout, with exit 3, and keeps no
// other URL from being asked.
func TestVerifyStale(t *testing.T) {
	stale, fresh := newEdge(t, 1<<30), newEdge(t, 0)
	v := newTestVerification(t, 4*time.Second)
	var urls []string
	for n := range 2 * verifyParallel {
		urls = append(urls, fmt.Sprintf("%s/%d", stale.URL, n))
	}
	shots, err := v.snapshot(t.Context(), append(urls, fresh.URL+"/a"))
	if err != nil {
		t.Fatal(err)
	}
	stale.purge()
	rows, err := v.check(t.Context(), shots, fresh.purge())
	if exitCode(err) != exitCheck || !strings.Contains(err.Error(), "of 17 URLs, 16 served from before the purge and 0 without evidence") {
		t.Errorf("%v, exit %d", err, exitCode(err))
	}
	if rows[0].finding.Verdict != httpcache.Stale || rows[0].tries < 2 || rows[16].finding.Verdict != httpcache.Fresh {
		t.Errorf("%+v\n%+v", rows[0], rows[16])
	}
}

// TestVerifyOddServers: whatever the server does, a check ends in time, and
// nothing passes.
func TestVerifyOddServers(t *testing.T) {
	mux := http.NewServeMux()
	hang := make(chan struct{})
	mux.HandleFunc("/hang", func(http.ResponseWriter, *http.Request) { <-hang })
	mux.HandleFunc("/reset", func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/torn", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Write([]byte("x"))
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/heads", func(w http.ResponseWriter, _ *http.Request) {
		for n := range 600 {
			w.Header().Set(fmt.Sprintf("X-%d", n), strings.Repeat("x", 1000))
		}
	})
	mux.HandleFunc("/escape", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("CF-Cache-Status", "HIT\x1b[31m") })
	mux.HandleFunc("/down", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(hang) })
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	var urls []string
	for _, path := range []string{"hang", "reset", "endless", "torn", "heads", "escape", "down"} {
		urls = append(urls, server.URL+"/"+path)
	}
	urls = append(urls, "http://"+nobody.Addr().String()+"/")
	v := newTestVerification(t, time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // a snapshot has no timeout but that of each question
	defer cancel()
	shots, err := v.snapshot(ctx, urls)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("snapshot: %v", err)
	}
	begin := time.Now()
	rows, err := v.check(t.Context(), shots, begin)
	if took := time.Since(begin); exitCode(err) != exitCheck || took > 30*time.Second {
		t.Errorf("%v after %v", err, took)
	}
	for _, u := range rows {
		if u.finding.Verdict != httpcache.Unknown || len(u.finding.Evidence) == 0 {
			t.Errorf("%+v", u)
		}
	}
}

func TestVerifyInterrupted(t *testing.T) {
	e := newEdge(t, 1<<30)
	v := newTestVerification(t, time.Minute)
	shots, err := v.snapshot(t.Context(), []string{e.URL})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	rows, err := v.check(ctx, shots, e.purge())
	if exitCode(err) != exitInterrupted || len(rows) != 1 || rows[0].finding.Verdict != httpcache.Stale {
		t.Errorf("%+v, %v", rows, err)
	}
	if _, err := v.snapshot(ctx, []string{e.URL}); exitCode(err) != exitInterrupted {
		t.Errorf("snapshot: %v", err)
	}
	if rows, err := v.check(t.Context(), nil, time.Now()); len(rows) != 0 || err != nil {
		t.Errorf("nothing to check: %v, %v", rows, err)
	}
}

// TestVerifyCutOff: an answer that the timeout cuts off does not hide the one
// before it.
func TestVerifyCutOff(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 1 {
			<-r.Context().Done()
			return
		}
		w.Header().Set("Age", "5000")
	}))
	t.Cleanup(server.Close)
	v := newTestVerification(t, 600*time.Millisecond)
	rows, err := v.check(t.Context(), []purgeSnapshot{{url: server.URL}}, time.Now())
	if exitCode(err) != exitCheck || rows[0].finding.Verdict != httpcache.Stale || rows[0].tries != 1 {
		t.Errorf("%+v, %v", rows, err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	v := newTestVerification(t, time.Second)
	for _, bad := range []string{"", "/a", "www.example.com/a", "ftp://example.com/", "https:///a", "https://me:secret@example.com/", "http://a b/", "http://[::1"} {
		if _, err := v.snapshot(t.Context(), []string{bad}); exitCode(err) != exitUsage || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, bad := range []string{"", "x", ": x", "a b: c", "A: b\r\nC: d", "Range: bytes=0-1", "cache-control: no-cache", "If-None-Match: *"} {
		if _, err := parseVerifyHeaders([]string{bad}); exitCode(err) != exitUsage {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if h, err := parseVerifyHeaders([]string{"Origin: https://a.example", "x-a:", "X-A: b"}); err != nil || !slices.Equal(h["X-A"], []string{"", "b"}) || h.Get("Origin") != "https://a.example" {
		t.Errorf("%v, %v", h, err)
	}
}

// TestVerifyVarnish: on a real cache, a purge that took effect passes, at once
// and also when somebody else fetched the object since; and none does not.
func TestVerifyVarnish(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		io.WriteString(w, "hello")
	}))
	t.Cleanup(origin.Close)
	host, port, _ := net.SplitHostPort(origin.Listener.Addr().String())
	server := servers.Varnish(t, fmt.Sprintf("vcl 4.1;\nbackend default { .host = %q; .port = %q; }\n", host, port)+varnish.VCL)
	opened, err := varnish.Open(t.Context(), purge.Settings{Targets: []string{"http://" + server.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	urls := []string{"http://" + server.Addr + "/a", "http://" + server.Addr + "/b"}
	for _, test := range []struct {
		name    string
		purge   []purge.Item
		visitor bool // asks after the purge, before us
		want    [2]httpcache.Verdict
	}{
		{"nothing purged", nil, false, [2]httpcache.Verdict{httpcache.Stale, httpcache.Stale}},
		{"one purged", []purge.Item{{Kind: purge.Path, Value: "/a"}}, false, [2]httpcache.Verdict{httpcache.Fresh, httpcache.Stale}},
		{"all purged", []purge.Item{{Kind: purge.Everything}}, false, [2]httpcache.Verdict{httpcache.Fresh, httpcache.Fresh}},
		{"somebody was first", []purge.Item{{Kind: purge.Everything}}, true, [2]httpcache.Verdict{httpcache.Fresh, httpcache.Fresh}},
	} {
		v := newTestVerification(t, 1500*time.Millisecond)
		for _, u := range urls { // so that the snapshot meets stored objects
			if _, err := v.get(t.Context(), u); err != nil {
				t.Fatal(err)
			}
		}
		shots, err := v.snapshot(t.Context(), urls)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := opened[0].Plan(test.purge)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range plan.Calls {
			if _, err := opened[0].Do(t.Context(), call); err != nil {
				t.Fatal(err)
			}
		}
		purged := time.Now()
		if test.visitor {
			for _, u := range urls {
				v.get(t.Context(), u)
			}
		}
		rows, err := v.check(t.Context(), shots, purged)
		if want := test.want[0] == httpcache.Fresh && test.want[1] == httpcache.Fresh; (err == nil) != want {
			t.Errorf("%s: %v", test.name, err)
		}
		for n, u := range rows {
			if u.finding.Verdict != test.want[n] {
				t.Errorf("%s: %s: %v (before %s, after %s)", test.name, u.url, u.finding, u.before, u.after)
			}
		}
	}
}

package commands

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// A site is an origin that remembers what it was asked for.
type testSite struct {
	*httptest.Server
	mu    sync.Mutex
	asked []*http.Request
	busy  int
	most  int // that were under way together
}

func newTestSite(t *testing.T, serve http.HandlerFunc) *testSite {
	s := &testSite{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, r)
		s.busy++
		s.most = max(s.most, s.busy)
		s.mu.Unlock()
		defer func() { s.mu.Lock(); s.busy--; s.mu.Unlock() }()
		serve(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// count is how often each path was asked for, in all.
func (s *testSite) count() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]int)
	for _, r := range s.asked {
		all[r.URL.Path]++
	}
	return all
}

func (s *testSite) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = nil
}

// A warmAnswered is what a run says.
type warmAnswered struct {
	HitRate    *float64 `json:"hit_rate"`
	Before     *float64 `json:"hit_rate_before"`
	URLs       int      `json:"urls"`
	Hits       int      `json:"hits"`
	Filled     int      `json:"filled"`
	NotCached  int      `json:"not_cached"`
	Unknown    int      `json:"unknown"`
	Asked      int      `json:"asked"`
	Redirected int      `json:"redirected"`
	Failed     int      `json:"failed"`
	Refused    int      `json:"refused"`
	Requests   int      `json:"requests"`
	Reasons    []struct {
		State  string `json:"state"`
		Reason string `json:"reason"`
		URLs   int    `json:"urls"`
	} `json:"reasons"`
}

// reasons are "state: reason" with their counts.
func (a *warmAnswered) reasons() map[string]int {
	all := make(map[string]int)
	for _, r := range a.Reasons {
		all[strings.TrimSuffix(r.State+": "+r.Reason, ": ")] = r.URLs
	}
	return all
}

// A warmer runs "warm urls" in a home of its own.
type warmer struct {
	t    *testing.T
	ctx  context.Context
	home string
	in   string
	errs string
	out  string
}

func newWarmer(t *testing.T) *warmer {
	return &warmer{t: t, ctx: t.Context(), home: t.TempDir()}
}

func (w *warmer) run(want int, args ...string) (a warmAnswered) {
	w.t.Helper()
	env, out, errs := testEnv()
	env.In = strings.NewReader(w.in)
	env.Getenv = func(name string) string { return map[string]string{"HOME": w.home}[name] }
	if got := Main(w.ctx, env, append([]string{"warm", "urls", "-o", "json"}, args...)...); got != want {
		w.t.Errorf("%q: exit %d, want %d\n%s%s", args, got, want, out, errs)
	}
	w.out, w.errs = out.String(), errs.String()
	if strings.ContainsAny(w.out+w.errs, "\x1b\x00\u202e\u009b\u009d") {
		w.t.Errorf("%q: a control character: %q", args, w.out+w.errs)
	}
	json.Unmarshal(out.Bytes(), &a)
	return a
}

func (w *warmer) file(name string, lines ...string) string {
	w.t.Helper()
	path := filepath.Join(w.home, name)
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func paths(prefix string, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("%s%d", prefix, i))
	}
	return all
}

// shop is what a site may answer.
func shop(w http.ResponseWriter, r *http.Request) {
	switch first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/"); first {
	case "account":
		w.Header().Set("Cache-Control", "private, max-age=60")
	case "cart":
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Set-Cookie", "a=b")
	case "welcome":
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Set-Cookie", "a=b")
	case "any":
		w.Header().Set("Vary", "*")
	case "zipped":
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Vary", "Accept-Encoding, Accept-Language")
	case "old":
		w.Header().Set("Location", "/product/0")
		w.WriteHeader(http.StatusFound)
	case "gone":
		w.WriteHeader(http.StatusGone)
	default:
		w.Header().Set("Cache-Control", "max-age=60")
	}
	fmt.Fprint(w, r.URL.Path, strings.Repeat(" hello", 1000))
}

// TestWarmNginx: on a real nginx, what can be cached is asked of the origin once, and is a
// hit then; of what cannot the reason is told.
func TestWarmNginx(t *testing.T) {
	origin := newTestSite(t, shop)
	front := servers.Nginx(t, origin.URL)
	origin.forget()
	w := newWarmer(t)
	list := w.file("list", slices.Concat(paths("/product/", 40), paths("/account/", 3), paths("/cart/", 2), paths("/any/", 2), paths("/gone/", 2), []string{"/old", "/welcome", "/product/1#top", "https://evil.example/"})...)
	a := w.run(exitPartial, list, "--host", front, "--failures", filepath.Join(w.home, "failed"))
	want := map[string]int{"filled": 40, "not_cached: Cache-Control: private": 3, "not_cached: Cache-Control: no-store; Set-Cookie": 2, "not_cached: Set-Cookie": 1,
		"not_cached: Vary: *": 2, "failed: HTTP 410 Gone": 2, "redirected: to a URL of the same site, which is asked for too": 1}
	if got := a.reasons(); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if a.URLs != 51 || a.Refused != 1 || a.Hits != 0 || *a.Before != 0 || *a.HitRate != 0.8 {
		t.Errorf("%+v", a)
	}
	for path, n := range origin.count() {
		if strings.HasPrefix(path, "/product/") && n != 1 {
			t.Errorf("%s was asked of the origin %d times", path, n)
		}
	}
	failed, _ := os.ReadFile(filepath.Join(w.home, "failed"))
	if lines := strings.Fields(string(failed)); len(lines) != 2 || !strings.HasPrefix(lines[0], front+"/gone/") {
		t.Errorf("failures %q", failed)
	}
	if !strings.Contains(w.errs, "1 URL of evil.example left alone") || !strings.Contains(w.errs, "1 named twice") {
		t.Errorf("%s", w.errs)
	}
	origin.forget()
	a = w.run(exitCheck, list, "--host", front, "--fail-if", "hit_rate < 0.9")
	if a.Hits != 40 || a.Filled != 0 || origin.count()["/product/1"] != 0 {
		t.Errorf("warm already: %+v", a)
	}
	a = w.run(exitDone, list, "--host", front, "--match", "/product/*", "--exclude", "*1", "--fail-if", "hit_rate < 1")
	if a.URLs != 36 || a.Hits != 36 {
		t.Errorf("by pattern: %+v", a)
	}
}

// TestWarmVariants: each variant is an object of its own, and is warm for those who ask so.
func TestWarmVariants(t *testing.T) {
	origin := newTestSite(t, shop)
	front := servers.Nginx(t, origin.URL)
	origin.forget()
	w := newWarmer(t)
	w.in = strings.Join(paths("/zipped/", 5), "\n")
	args := []string{"-", "--host", front, "--variant", "Accept-Encoding: br", "--variant", "Accept-Encoding: gzip"}
	if a := w.run(exitDone, args...); a.URLs != 10 || a.Filled != 10 || a.Requests != 20 || origin.count()["/zipped/3"] != 2 {
		t.Errorf("%+v, of the origin %v", a, origin.count())
	}
	if !strings.Contains(w.errs, "10 URLs with Vary: Accept-Language") || strings.Contains(w.errs, "Vary: Accept-Encoding") {
		t.Errorf("%s", w.errs)
	}
	if a := w.run(exitDone, args...); a.Hits != 10 || a.Requests != 10 {
		t.Errorf("again: %+v", a)
	}
	if a := w.run(exitDone, "-", "--host", front, "--header", "Accept-Language: de", "--urls"); a.Filled != 5 || strings.Contains(w.errs, "Vary") ||
		strings.Count(w.out, `"first_ms"`) != 5 {
		t.Errorf("browsers: %+v\n%s%s", a, w.errs, w.out)
	}
}

// TestWarmVarnish: on a real Varnish, which says nothing but X-Varnish and Age.
func TestWarmVarnish(t *testing.T) {
	origin := newTestSite(t, shop)
	host, port, _ := net.SplitHostPort(origin.Listener.Addr().String())
	server := servers.Varnish(t, fmt.Sprintf("vcl 4.1;\nbackend default { .host = %q; .port = %q; }\n", host, port))
	origin.forget()
	w := newWarmer(t)
	list := w.file("list", slices.Concat(paths("/product/", 20), paths("/account/", 3), []string{"/cart", "/welcome"})...)
	a := w.run(exitDone, list, "--host", "http://"+server.Addr)
	want := map[string]int{"filled": 20, "not_cached: Cache-Control: private": 3, "not_cached: Cache-Control: no-store; Set-Cookie": 1, "not_cached: Set-Cookie": 1}
	if got := a.reasons(); !maps.Equal(got, want) && !(got["filled"] == 23 && got["not_cached: Set-Cookie"] == 1) { // Varnish caches "private" unless it is told otherwise
		t.Errorf("%v, want %v", got, want)
	}
	if a = w.run(exitDone, list, "--host", "http://"+server.Addr, "--match", "/product/*"); a.Hits != 20 || origin.count()["/product/7"] != 1 {
		t.Errorf("again: %+v, of the origin %v", a, origin.count())
	}
}

// TestWarmVisitor: the requests are those of a visitor, and of one who says who he is.
func TestWarmVisitor(t *testing.T) {
	s := newTestSite(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Set("X-Cache", "HIT")
	})
	w := newWarmer(t)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	w.in = "/a?b=%2F&c\n/a b\nhttp://www.example.com:" + port + "/c"
	a := w.run(exitDone, "-", "--host", "http://www.example.com:"+port, "--resolve", "www.example.com:"+port+":127.0.0.1", "--header", "X-A: b", "--method", "HEAD")
	if a.Hits != 3 || len(s.asked) != 3 || !strings.Contains(w.errs, "store nothing for HEAD") {
		t.Errorf("%+v %d\n%s", a, len(s.asked), w.errs)
	}
	seen := make(map[string]bool)
	for _, r := range s.asked {
		seen[r.RequestURI] = true
		if r.Method != http.MethodHead || r.Host != "www.example.com:"+port || r.Header.Get("User-Agent") != "cachectl/test" || r.Header.Get("X-A") != "b" ||
			r.Header.Get("Accept-Encoding") != browsers || r.Header.Get("Cookie") != "" || r.Header.Get("Cache-Control") != "" {
			t.Errorf("asked %s %s %v", r.Method, r.Host, r.Header)
		}
	}
	if !seen["/a?b=%2F&c"] || !seen["/a%20b"] || !seen["/c"] {
		t.Errorf("%v", seen)
	}
}

// TestWarmConcurrency: never more at a time than is permitted, and all of them.
func TestWarmConcurrency(t *testing.T) {
	s := newTestSite(t, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Millisecond)
		w.Header().Set("X-Cache", "HIT")
	})
	w := newWarmer(t)
	list := w.file("list", paths("/", 300)...)
	for _, most := range []int{1, 5} {
		s.forget()
		s.most = 0
		if a := w.run(exitDone, list, "--host", s.URL, "--concurrency", fmt.Sprint(most)); a.Hits != 300 || s.most > most || len(s.count()) != 300 {
			t.Errorf("%d at a time of %d: %+v", s.most, most, a)
		}
	}
}

// TestWarmLooksAgain: caches that store at the second request, or that say nothing but an
// age, which is 0 at first.
func TestWarmLooksAgain(t *testing.T) {
	var mu sync.Mutex
	seen := make(map[string]int)
	stored := make(map[string]time.Time)
	s := newTestSite(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[r.URL.Path]++
		w.Header().Set("Cache-Control", "max-age=60")
		switch {
		case strings.HasPrefix(r.URL.Path, "/second"):
			w.Header().Set("X-Cache", map[bool]string{true: "HIT", false: "MISS"}[seen[r.URL.Path] > 2])
		case strings.HasPrefix(r.URL.Path, "/age"):
			if stored[r.URL.Path].IsZero() {
				stored[r.URL.Path] = time.Now()
			}
			w.Header().Set("Age", fmt.Sprint(int(time.Since(stored[r.URL.Path]).Seconds())))
		case strings.HasPrefix(r.URL.Path, "/zero"):
			w.Header().Set("Age", "0")
		case strings.HasPrefix(r.URL.Path, "/never"):
			w.Header().Set("X-Cache", "MISS")
		}
	})
	w := newWarmer(t)
	w.in = strings.Join(slices.Concat(paths("/second", 3), paths("/age", 3), paths("/zero", 3), paths("/never", 3), paths("/silent", 3)), "\n")
	a := w.run(exitDone, "-", "--host", s.URL)
	want := map[string]int{"filled": 6, "unknown: " + warmSilent: 6, "not_cached: " + warmByCache: 3}
	if got := a.reasons(); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if n := s.count(); n["/second1"] != 3 || n["/never1"] != 3 || n["/silent1"] != 2 {
		t.Errorf("%v", n)
	}
	// Where it helps none of the first it is not tried for all.
	s.forget()
	w.in = strings.Join(paths("/never/", 3*lookInVain), "\n")
	if a := w.run(exitDone, "-", "--host", s.URL); a.NotCached != 3*lookInVain || a.Requests != 7*lookInVain {
		t.Errorf("in vain: %+v", a)
	}
}

// TestWarmWithoutLooking: one request a URL, and no rate that nobody knows.
func TestWarmWithoutLooking(t *testing.T) {
	s := newTestSite(t, shop)
	w := newWarmer(t)
	w.in = strings.Join(paths("/product/", 5), "\n")
	for _, flag := range []string{"--no-verify", "--verify=false"} {
		if a := w.run(exitDone, "-", "--host", s.URL, flag, "--fail-if", "failed > 0"); a.Asked != 5 || a.Requests != 5 || a.HitRate != nil {
			t.Errorf("%s: %+v", flag, a)
		}
	}
	w.run(exitUsage, "-", "--host", s.URL, "--no-verify", "--fail-if", "hit_rate < 0.9")
}

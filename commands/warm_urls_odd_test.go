package commands

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestWarmOddServers: whatever a server does, it ends, others are asked, and each failure has
// a reason that many can share.
func TestWarmOddServers(t *testing.T) {
	hang := make(chan struct{})
	s := newTestSite(t, func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case path == "/hang":
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		case path == "/reset":
			panic(http.ErrAbortHandler)
		case path == "/torn":
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "x")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case path == "/endless":
			for {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		case path == "/slow":
			for {
				if _, err := w.Write([]byte("x")); err != nil || pause(r.Context(), 50*time.Millisecond) == false {
					return
				}
				w.(http.Flusher).Flush()
			}
		case path == "/heads":
			for n := range 600 {
				w.Header().Set(fmt.Sprintf("X-%d", n), strings.Repeat("x", 1000))
			}
		case path == "/escape":
			w.Header().Set("X-Cache", "HIT\u009b31m")
			w.Header().Set("Vary", "\u009b31m, X-\u202e")
			w.Header().Set("Age", "-1e9")
			w.Header().Set("Cache-Control", "\u009d0;a, max-age=\u202e")
		case path == "/down":
			w.WriteHeader(http.StatusBadGateway)
		case path == "/self":
			http.Redirect(w, r, "/self", http.StatusFound)
		case path == "/a":
			http.Redirect(w, r, "/b", http.StatusFound)
		case path == "/b":
			http.Redirect(w, r, "/c", http.StatusFound)
		case path == "/c":
			http.Redirect(w, r, "/a", http.StatusFound)
		case strings.HasPrefix(path, "/on"):
			http.Redirect(w, r, path+"n", http.StatusMovedPermanently)
		case path == "/away":
			http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusFound)
		case path == "/file":
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(http.StatusFound)
		case path == "/nowhere":
			w.Header().Set("Location", "http://[::1")
			w.WriteHeader(http.StatusFound)
		default:
			w.Header().Set("X-Cache", "HIT")
		}
	})
	t.Cleanup(func() { close(hang) })
	w := newWarmer(t)
	list := w.file("list", "/hang", "/reset", "/torn", "/endless", "/slow", "/heads", "/escape", "/down", "/self", "/a", "/on", "/away", "/file", "/nowhere", "/fine")
	a := w.run(exitPartial, list, "--host", s.URL, "--timeout", "1s", "--max-body", "8MiB", "--pace", "max")
	want := map[string]int{"hit": 1, "unknown: " + warmSilent + ": Cache-Control: a max-age that is no number of seconds": 1,
		"failed: none in time": 1, "failed: the connection was closed without an answer": 1, "failed: its body broke off": 1, "failed: its body is larger than --max-body": 1,
		"failed: its body did not end in time": 1, "failed: its head is larger than 256 KiB": 1, "failed: HTTP 502 Bad Gateway": 1,
		"failed: redirects in a circle": 2, "failed: redirects without end": 1, "failed: a redirect to what is no URL": 1,
		"redirected: to another site, not followed": 2, "redirected: to a URL of the same site, which is asked for too": 2 + warmHops}
	if got := a.reasons(); !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	a = w.run(exitFailed, list, "--host", "http://"+nobody.Addr().String(), "--pace", "max")
	if got := a.reasons(); len(got) != 1 || got["failed: connect: connection refused"] != 15 {
		t.Errorf("%v\n%s", got, w.errs)
	}
}

// TestWarmWaits: who asks to be left alone is left alone, and asked again then.
func TestWarmWaits(t *testing.T) {
	var mu sync.Mutex
	var until time.Time
	early := 0
	s := newTestSite(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		switch {
		case until.IsZero() && r.URL.Path == "/20":
			until = now.Add(time.Second)
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		case now.Before(until):
			early++
		}
		w.Header().Set("X-Cache", "HIT")
	})
	w := newWarmer(t)
	w.in = strings.Join(paths("/", 60), "\n")
	a := w.run(exitDone, "-", "--host", s.URL, "--concurrency", "4")
	if a.Hits != 60 || a.Requests != 61 || !strings.Contains(w.errs, "waiting 1s: HTTP 429") {
		t.Errorf("%+v\n%s", a, w.errs)
	}
	if early > 12 { // what was sent before the answer was seen
		t.Errorf("%d requests came while it was to be left alone", early)
	}
}

// TestWarmStops: an origin that is down is not asked for the whole list.
func TestWarmStops(t *testing.T) {
	s := newTestSite(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/good") {
			w.WriteHeader(map[bool]int{true: http.StatusNotFound, false: http.StatusInternalServerError}[strings.HasPrefix(r.URL.Path, "/gone")])
		}
		w.Header().Set("X-Cache", "HIT")
	})
	w := newWarmer(t)
	w.in = strings.Join(slices.Concat(paths("/good/", 10), paths("/gone/", 50), paths("/bad/", 500)), "\n")
	a := w.run(exitFailed, "-", "--host", s.URL, "--max-errors", "20", "--fail-if", "hit_rate < 0.9")
	if a.Hits > 10 || a.Hits+a.Failed < 80-7 || a.Failed > 90 || // seven others may be under way when it stops
		!strings.Contains(w.errs, "(--max-errors 20)") {
		t.Errorf("%+v\n%s", a, w.errs)
	}
	if a = w.run(exitPartial, "-", "--host", s.URL, "--max-errors", "0"); a.Failed != 550 {
		t.Errorf("%+v", a)
	}
}

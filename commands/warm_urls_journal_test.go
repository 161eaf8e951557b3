package commands

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// left are the journals in the home of a warmer.
func (w *warmer) left() []string {
	all, _ := filepath.Glob(filepath.Join(w.home, ".local/state/cachectl/warm/*"))
	return all
}

// A stoppingSite is a cache in front of a shop that ends a run after so many requests.
type stoppingSite struct {
	*testSite
	mu     sync.Mutex
	stored map[string]bool
	after  int
	stop   func()
}

func newStoppingSite(t *testing.T) *stoppingSite {
	s := &stoppingSite{stored: make(map[string]bool), after: -1}
	s.testSite = newTestSite(t, func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.after--; s.after == 0 {
			s.stop()
		}
		if target, ok := strings.CutPrefix(r.URL.Path, "/old"); ok {
			http.Redirect(w, r, "/new"+target, http.StatusMovedPermanently)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/down") && s.after > 0 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		key := r.URL.Path + r.Header.Get("Accept-Encoding")
		w.Header().Set("X-Cache", map[bool]string{true: "HIT", false: "MISS"}[s.stored[key]])
		s.stored[key] = true
	})
	return s
}

// TestWarmResume: a run that was interrupted goes on with what it has not done, whatever
// became of its source, and the answer is about the whole.
func TestWarmResume(t *testing.T) {
	s := newStoppingSite(t)
	w := newWarmer(t)
	w.in = strings.Join(slices.Concat(paths("/old/", 20), paths("/", 1400)), "\n")
	ctx, cancel := context.WithCancel(t.Context())
	s.after, s.stop, w.ctx = 900, cancel, ctx
	first := w.run(exitInterrupted, "-", "--host", s.URL, "--header", "X-Token: secret")
	if !strings.Contains(w.errs, "goes on with what is left") || first.Filled < 400 || first.Filled > 450 || first.Redirected != 20 || len(w.left()) != 1 {
		t.Fatalf("%+v, %v\n%s", first, w.left(), w.errs)
	}
	journal, _ := os.ReadFile(w.left()[0])
	if strings.Contains(string(journal), "secret") {
		t.Error("the value of a header is in the journal")
	}
	w.ctx, w.in = t.Context(), ""
	w.run(exitUsage, "--resume")
	if !strings.Contains(w.errs, "X-Token") {
		t.Errorf("%s", w.errs)
	}
	w.run(exitUsage, "--resume", "--top", "5", "--header", "X-Token: secret")
	s.forget()
	a := w.run(exitDone, "--resume", "--header", "X-Token: secret", "--fail-if", "hit_rate < 1")
	if a.URLs != 1440 || a.Filled+a.Hits != 1420 || a.Redirected != 20 || a.Requests >= 2100 || len(w.left()) != 0 {
		t.Errorf("%+v, left %v", a, w.left())
	}
	if n := s.count(); n["/old/3"] != 0 || n["/0"] != 0 || n["/1399"] == 0 {
		t.Errorf("asked for what was done: %d requests", len(n))
	}
	w.run(exitUsage, "--resume")
	if !strings.Contains(w.errs, "left unfinished") {
		t.Errorf("%s", w.errs)
	}
}

// TestWarmResumeKilled: whatever part of a journal has reached the disk, what it does not
// tell is asked for, and nothing else.
func TestWarmResumeKilled(t *testing.T) {
	s := newStoppingSite(t)
	w := newWarmer(t)
	w.in = strings.Join(slices.Concat(paths("/old/", 5), paths("/", 20)), "\n")
	path := filepath.Join(w.home, "j")
	variants := []string{"--variant", "Accept-Encoding: br", "--variant", "Accept-Encoding: gzip"}
	w.run(exitDone, append([]string{"-", "--host", s.URL, "--journal", path}, variants...)...)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w.run(exitFailed, append([]string{"-", "--host", s.URL, "--journal", path}, variants...)...) // it is there already
	ready := strings.Index(string(whole), "\n.\n") + 3
	for cut := ready; cut <= len(whole); cut += 7 {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		done := strings.Count(string(whole[ready:cut]), "\n") - strings.Count(string(whole[ready:cut]), "+ ")
		if strings.Contains(string(whole[ready:cut][strings.LastIndexByte(string(whole[ready:cut]), '\n')+1:]), "+ ") {
			done++ // the line that was cut short is of a redirect
		}
		a := w.run(exitDone, "--resume="+path)
		if a.URLs != 60 || a.Redirected != 10 || a.Filled+a.Hits != 50 {
			t.Fatalf("cut at %d: %+v\n%s", cut, a, whole[:cut])
		}
		if a.Requests > 60-done || a.Requests < 50-done {
			t.Errorf("cut at %d, %d done: %d requests", cut, done, a.Requests)
		}
	}
	for _, bad := range []string{"", "{}\n", string(whole[:ready-2]), string(whole[:ready]) + "x\n", string(whole[:ready]) + "1 nothing\n", string(whole[:ready]) + "+ 1 7 1 http://h/\n"} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if w.run(exitFailed, "--resume="+path); w.errs == "" {
			t.Errorf("%q is taken for a journal", bad)
		}
	}
}

// TestWarmResumeFailures: what failed for the server's sake is asked for again, what is gone
// is not.
func TestWarmResumeFailures(t *testing.T) {
	s := newStoppingSite(t)
	w := newWarmer(t)
	w.in = strings.Join(slices.Concat(paths("/", 1100), paths("/down/", 5)), "\n")
	s.after, s.stop = 1<<30, func() {}
	if a := w.run(exitPartial, "-", "--host", s.URL, "--failures", filepath.Join(w.home, "failed")); a.Failed != 5 || a.Filled != 1100 || len(w.left()) != 1 {
		t.Fatalf("%+v, %v", a, w.left())
	}
	if data, _ := os.ReadFile(filepath.Join(w.home, "failed")); strings.Count(string(data), "/down/") != 5 {
		t.Errorf("%q", data)
	}
	s.after = -1
	if a := w.run(exitDone, "--resume"); a.Failed != 0 || a.Filled != 1105 || a.Requests != 10 || len(w.left()) != 0 {
		t.Errorf("%+v, %v", a, w.left())
	}
}

// TestWarmJournalNone: a small run leaves none, and without a place for it there is a warning.
func TestWarmJournalNone(t *testing.T) {
	s := newStoppingSite(t)
	w := newWarmer(t)
	w.in = strings.Join(paths("/", 1001), "\n")
	ctx, cancel := context.WithCancel(t.Context())
	s.after, s.stop, w.ctx = 100, cancel, ctx
	w.run(exitInterrupted, "-", "--host", s.URL, "--journal", "none")
	if len(w.left()) != 0 {
		t.Errorf("%v", w.left())
	}
	w.ctx, w.home = t.Context(), w.file("file") // a home that is no folder
	if a := w.run(exitDone, "-", "--host", s.URL, "--no-verify"); a.Asked != 1001 || !strings.Contains(w.errs, "no journal, so this run cannot be resumed") {
		t.Errorf("%+v\n%s", a, w.errs)
	}
	audit, _ := os.ReadFile(filepath.Join(newWarmerHome(t, s.URL), ".local/state/cachectl/audit.ndjson"))
	if !strings.Contains(string(audit), `"command":"warm urls"`) || strings.Contains(string(audit), "secret") || !strings.Contains(string(audit), `"hit":3`) {
		t.Errorf("%s", audit)
	}
}

// newWarmerHome is the home of a small run that said a secret.
func newWarmerHome(t *testing.T, url string) string {
	w := newWarmer(t)
	w.in = fmt.Sprintf("%s/0\n%s/1\n%s/2", url, url, url)
	w.run(exitDone, "-", "--host", url, "--header", "Authorization: secret", "--header", "Accept-Encoding: gzip")
	w.run(exitDone, "-", "--host", url, "--header", "Authorization: secret", "--header", "Accept-Encoding: gzip")
	if !strings.Contains(w.errs, "meant for you") {
		t.Errorf("%s", w.errs)
	}
	return w.home
}

// Package purgetest plays the APIs of CDNs for tests: servers that enforce the
// documented limits and refuse what the real services refuse, keep a log of
// every request, and fail on command. The log is the proof of a run: what was
// purged stands in it, whatever the answer that came back.
//
// A server is reached over the network by Start, or, without one, by Client:
// that one works in the virtual time of testing/synctest. It knows nothing
// about Purgers, and imports the standard library only.
package purgetest

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"
)

// A Fault is what a server does instead of answering well. The zero value is
// no fault.
type Fault struct {
	Status     int           // answers so, in the API's form
	Code       string        // the API's error code beside it; empty: the usual one
	RetryAfter string        // the header's value
	Reset      bool          // resets the connection without an answer
	Half       bool          // sends half of the answer
	Slow       time.Duration // answers after that time
	// Taken carries the request out first. Without it, Reset and Status leave
	// no trace but in the log.
	Taken bool
}

// A Request is what the log keeps.
type Request struct {
	At        time.Time
	Method    string
	Path      string
	Status    int      // of the answer as it was meant; 0: none
	Target    string   // distribution or zone
	Items     []string // of a purge, in the API's words
	Reference string   // CallerReference
	Headers   []http.Header
	Taken     bool // it purged its items
}

// A server is what all have in common.
type server struct {
	// Inject is asked before the n-th purge, from 1. Nil: no faults.
	Inject func(n int) Fault

	mu     sync.Mutex
	log    []Request
	purges int
	handle func(w http.ResponseWriter, r *http.Request, entry *Request) // with mu held
	refuse func(w http.ResponseWriter, f Fault)                         // answers f.Status
	purge  func(r *http.Request) bool                                   // is it a purge?
	read   func(r *http.Request, body []byte, entry *Request)           // what a purge is to purge
}

// Log is what was asked so far.
func (s *server) Log() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.log...)
}

// Purges are the requests of the log that purge, taken or refused.
func (s *server) Purges() []Request {
	var all []Request
	for _, r := range s.Log() {
		if r.Items != nil {
			all = append(all, r)
		}
	}
	return all
}

// Purged counts how often each item was purged.
func (s *server) Purged() map[string]int {
	counts := make(map[string]int)
	for _, r := range s.Log() {
		if r.Taken {
			for _, i := range r.Items {
				counts[i]++
			}
		}
	}
	return counts
}

// Start listens on a port of 127.0.0.1 and returns the base URL.
func (s *server) Start(t testing.TB) string {
	t.Helper()
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	return web.URL
}

// Client reaches the server whatever the host of a URL, without a network.
func (s *server) Client() *http.Client { return &http.Client{Transport: direct{s}} }

// ServeHTTP answers one request, or does what Inject says.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer := httptest.NewRecorder()
	fault := s.serve(answer, r, body)
	if fault.Slow > 0 {
		select {
		case <-time.After(fault.Slow):
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	if fault.Reset {
		reset(w)
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	text := answer.Body.Bytes()
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(answer.Code)
	if fault.Half {
		w.Write(text[:len(text)/2])
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		panic(http.ErrAbortHandler)
	}
	w.Write(text)
}

// serve writes the whole answer, and keeps the log.
func (s *server) serve(w *httptest.ResponseRecorder, r *http.Request, body []byte) (fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry := Request{At: time.Now(), Method: r.Method, Path: r.URL.Path}
	if s.purge(r) {
		s.read(r, body, &entry)
		if s.purges++; s.Inject != nil {
			fault = s.Inject(s.purges)
		}
	}
	lost := fault.Status > 0 || fault.Reset
	if !lost || fault.Taken {
		s.handle(w, r, &entry)
	}
	if lost {
		*w = *httptest.NewRecorder()
		if fault.RetryAfter != "" {
			w.Header().Set("Retry-After", fault.RetryAfter)
		}
		if fault.Status > 0 {
			s.refuse(w, fault)
		}
	}
	if entry.Status = w.Code; fault.Reset {
		entry.Status = 0
	}
	s.log = append(s.log, entry)
	return fault
}

func reset(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if conn, _, err := h.Hijack(); err == nil {
			if tcp, ok := conn.(*net.TCPConn); ok {
				tcp.SetLinger(0)
			}
			conn.Close()
		}
	}
	panic(http.ErrAbortHandler)
}

// direct is a transport without a network.
type direct struct{ s *server }

func (d direct) RoundTrip(r *http.Request) (res *http.Response, err error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	answer := httptest.NewRecorder()
	defer func() {
		if gone := recover(); gone == http.ErrAbortHandler {
			if res, err = nil, io.ErrUnexpectedEOF; r.Context().Err() != nil {
				err = r.Context().Err()
			}
		} else if gone != nil {
			panic(gone)
		}
	}()
	d.s.ServeHTTP(answer, r)
	return answer.Result(), nil
}

// A meter is a token bucket, as the services keep them. The zero value has no limit.
type meter struct {
	rate, burst float64
	tokens      float64
	at          time.Time
}

func newMeter(rate, burst float64) meter {
	return meter{rate: rate, burst: burst, tokens: burst, at: time.Now()}
}

// take takes n tokens if they are there.
func (m *meter) take(n float64) bool {
	if m.rate == 0 {
		return true
	}
	now := time.Now()
	m.tokens = min(m.burst, m.tokens+now.Sub(m.at).Seconds()*m.rate)
	m.at = now
	if m.tokens+1e-6 < n {
		return false
	}
	m.tokens -= n
	return true
}

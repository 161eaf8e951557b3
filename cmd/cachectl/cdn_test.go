package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cachectl/cachectl/purge/purgetest"
)

// A cdn is a CDN of a script: its log, and the faults that are still to come.
type cdn struct {
	log   func() []purgetest.Request
	mu    sync.Mutex
	queue []purgetest.Fault
}

// next is the fault of one more purge.
func (c *cdn) next(int) (f purgetest.Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) > 0 {
		f, c.queue = c.queue[0], c.queue[1:]
	}
	return f
}

type cdnsKey struct{}

// startCDNs plays CloudFront with two distributions, Cloudflare with the zones
// example.com and example.org, and, as EDGE, what CloudFront serves: old things
// until it is purged, and below /stale always.
func startCDNs(t *testing.T, e *testscript.Env) {
	front, flare := purgetest.NewCloudFront(), purgetest.NewCloudflare()
	front.Distributions = append(front.Distributions, purgetest.Distribution{ID: "E2NOTAGS000001", Domain: "d222222abcdef8.cloudfront.net", Aliases: []string{"shop.example.com"}})
	flare.Zones = append(flare.Zones, purgetest.Zone{ID: strings.Repeat("b", 32), Name: "example.org", Account: flare.Zones[0].Account, AccountName: "Shop", Plan: "pro"})
	cdns := map[string]*cdn{"cloudfront": {log: front.Purges}, "cloudflare": {log: flare.Purges}}
	front.Inject, flare.Inject = cdns["cloudfront"].next, cdns["cloudflare"].next
	e.Values[cdnsKey{}] = cdns
	e.Setenv("AWS_ENDPOINT_URL_CLOUDFRONT", front.Start(t))
	e.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	e.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	e.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	e.Setenv("CLOUDFLARE_BASE_URL", flare.Start(t))
	e.Setenv("CLOUDFLARE_API_TOKEN", flare.Token)
	e.Setenv("ZONE", purgetest.ZoneID)
	edge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(front.Purged()) == 0 || strings.HasPrefix(r.URL.Path, "/stale") {
			w.Header().Set("Age", "1000")
			w.Header().Set("X-Cache", "Hit from cloudfront")
		} else {
			w.Header().Set("X-Cache", "Miss from cloudfront")
		}
		io.WriteString(w, "hello")
	}))
	t.Cleanup(edge.Close)
	// Varnish itself is in the tests of its package; this knows the words only.
	varnish := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "PURGE" || r.Method == "BAN" {
			io.WriteString(w, map[string]string{"PURGE": "Purged", "BAN": "Banned"}[r.Method])
			return
		}
		w.WriteHeader(http.StatusMethodNotAllowed)
	}))
	t.Cleanup(varnish.Close)
	e.Setenv("VARNISH", varnish.URL)
	e.Setenv("EDGE", edge.URL)
}

// purges writes a line for each request to purge: "201 E2EXAMPLE1ABCD /a /b".
func purges(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: purges cdn file")
	}
	var b strings.Builder
	for _, r := range ts.Value(cdnsKey{}).(map[string]*cdn)[args[0]].log() {
		fmt.Fprintf(&b, "%d %s %s", r.Status, r.Target, strings.Join(r.Items, " "))
		for _, h := range r.Headers {
			fmt.Fprintf(&b, " %v", h)
		}
		b.WriteString("\n")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(b.String()), 0o666))
}

// faults are words for what the next purges meet: a status, reset, half (of an
// answer), or ok.
func faults(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: faults cdn fault...")
	}
	c := ts.Value(cdnsKey{}).(map[string]*cdn)[args[0]]
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, word := range args[1:] {
		var f purgetest.Fault
		switch word {
		case "ok":
		case "reset":
			f.Reset, f.Taken = true, true
		case "half":
			f.Half = true
		default:
			status, err := strconv.Atoi(word)
			ts.Check(err)
			f.Status = status
			if status == 429 {
				f.RetryAfter = "1"
			}
		}
		c.queue = append(c.queue, f)
	}
}

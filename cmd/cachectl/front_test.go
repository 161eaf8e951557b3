package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// startFront starts a real nginx as a cache in front of a small shop, and returns its URL.
// Pages may be kept for a minute, below /account only by one visitor, /cart sets a cookie,
// /old moved to /new, /gone is gone, /sitemap.xml names two pages and one of another site.
func startFront(t *testing.T) string {
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		switch first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/"); first {
		case "account":
			w.Header().Set("Cache-Control", "private")
		case "cart":
			w.Header().Set("Set-Cookie", "cart=1")
		case "old":
			http.Redirect(w, r, "/new", http.StatusMovedPermanently)
		case "gone":
			w.WriteHeader(http.StatusGone)
		case "sitemap.xml":
			fmt.Fprintf(w, "<urlset><url><loc>http://%[1]s/map/1</loc></url><url><loc>http://%[1]s/map/2</loc><priority>0.9</priority></url><url><loc>http://evil.example/</loc></url></urlset>", r.Host)
		default:
			fmt.Fprintf(w, "hello from %s", r.URL.Path)
		}
	}))
	t.Cleanup(shop.Close)
	return servers.Nginx(t, shop.URL)
}

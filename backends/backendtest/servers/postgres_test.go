package servers

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

func TestPostgres(t *testing.T) {
	for _, password := range []string{"", "secret"} {
		var dir string
		t.Run("password "+password, func(t *testing.T) {
			began := time.Now()
			s := Postgres(t, Options{Password: password})
			t.Logf("in %v", time.Since(began))
			dir = s.dir
			addr := s.Addr
			s.Restart()
			if s.Addr != addr {
				t.Errorf("%s became %s", addr, s.Addr)
			}
			c, err := net.Dial("tcp", s.Addr)
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			if log := s.Log(); strings.Count(log, "fast shutdown") != 1 || strings.Contains(log, "not properly shut down") {
				t.Error(log)
			}
		})
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", dir, err)
		}
	}
}

func TestNginx(t *testing.T) {
	asked := 0
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.URL.Path == "/private" {
			w.Header().Set("Cache-Control", "private")
		}
		io.WriteString(w, r.Host+r.URL.Path)
	}))
	defer origin.Close()
	url := Nginx(t, origin.URL)
	get := func(path string) string {
		res, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || "http://"+string(body) != url+path {
			t.Errorf("%s brought %q, %v", path, body, err)
		}
		return res.Header.Get("X-Cache")
	}
	defer http.DefaultClient.CloseIdleConnections()
	if asked != 0 {
		t.Error("the origin was asked before the first request")
	}
	got := []string{get("/a"), get("/a"), get("/b"), get("/private"), get("/private")}
	if want := "MISS HIT MISS MISS MISS"; strings.Join(got, " ") != want || asked != 4 {
		t.Errorf("%v, want %s; the origin was asked %d times", got, want, asked)
	}
}

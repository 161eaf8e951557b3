package servers

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Varnish starts the system's varnishd with a VCL and returns when it answers
// requests. Its log is that of the compiler and of the managing process. A
// missing varnishd fails the test; varnish-modules come with it from fetch.sh.
func Varnish(t testing.TB, vcl string) *Server {
	t.Helper()
	path, err := exec.LookPath("varnishd")
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} { // a user's PATH may be without them
		if err != nil {
			path, err = exec.LookPath(filepath.Join(dir, "varnishd"))
		}
	}
	if err != nil {
		t.Fatalf("%v\nhint: run: make servers", err)
	}
	s := newServer(t, Version{Name: "varnish", Software: "varnish", command: []string{path}}, Options{})
	s.command = func(s *Server) ([]string, error) {
		file := filepath.Join(s.dir, "test.vcl")
		err := os.WriteFile(file, []byte(vcl), 0o600)
		// Without a jail, because its user could not read the test's folder.
		return []string{"-j", "none", "-F", "-n", filepath.Join(s.dir, "varnish"), "-a", s.Addr, "-T", "none", "-f", file, "-s", "malloc,32m"}, err
	}
	s.ready = func(s *Server, log []byte) bool {
		client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Get("http://" + s.Addr + "/")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.Header.Get("X-Varnish") != ""
	}
	startAll(t, []*Server{s})
	return s
}

package servers

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// Nginx starts the system's nginx as a cache in front of an origin ("http://127.0.0.1:8080")
// and returns its own URL when it answers. It caches what the origin permits, and answers of
// status 200 that say nothing for ten minutes; each answer says in X-Cache how it came about:
// MISS, HIT, EXPIRED, BYPASS and so on. Vary is kept to. Nothing has asked the origin before.
func Nginx(t testing.TB, originURL string) (url string) {
	t.Helper()
	path, err := exec.LookPath("nginx")
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} { // a user's PATH may be without them
		if err != nil {
			path, err = exec.LookPath(filepath.Join(dir, "nginx"))
		}
	}
	if err != nil {
		t.Fatalf("%v\nhint: run: make servers", err)
	}
	s := newServer(t, Version{Name: "nginx", Software: "nginx", command: []string{path}}, Options{})
	s.command = func(s *Server) ([]string, error) {
		conf := fmt.Sprintf(nginxConf, s.dir, s.Addr, originURL)
		return []string{"-p", s.dir, "-e", "stderr", "-c", filepath.Join(s.dir, "nginx.conf")},
			os.WriteFile(filepath.Join(s.dir, "nginx.conf"), []byte(conf), 0o600)
	}
	s.ready = func(s *Server, _ []byte) bool {
		client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Get("http://" + s.Addr + "/.nginx-pid")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		pid, err := io.ReadAll(res.Body)
		return err == nil && string(pid) == strconv.Itoa(s.Pid)
	}
	startAll(t, []*Server{s})
	return "http://" + s.Addr
}

// One process, without workers that could outlive it.
const nginxConf = `
daemon off;
master_process off;
pid %[1]s/nginx.pid;
events { worker_connections 512; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	proxy_cache_path %[1]s/cache keys_zone=test:4m max_size=256m;
	server {
		listen %[2]s;
		location = /.nginx-pid { return 200 "$pid"; }
		location / {
			proxy_pass %[3]s;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Host $http_host;
			proxy_cache test;
			proxy_cache_valid 200 10m;
			add_header X-Cache $upstream_cache_status always;
		}
	}
}
`

package servers

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv("SERVERS_TEST_VICTIM") != "" {
		m.Run()
		return
	}
	goleak.VerifyTestMain(m)
}

func each(t *testing.T, versions []Version, test func(*testing.T, Version)) {
	for _, v := range versions {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			test(t, v)
		})
	}
}

// ask logs in and returns the reply as text.
func ask(t *testing.T, s *Server, args ...string) string {
	t.Helper()
	c, err := s.login()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	reply, err := c.do(args...)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return fmt.Sprint(reply)
}

func TestRedisOfEachVersion(t *testing.T) {
	versions := Redises(t)
	if len(versions) < 2 || versions[0].Name != Default(t).Name {
		t.Errorf("versions are %v", versions)
	}
	each(t, versions, func(t *testing.T, v Version) {
		began := time.Now()
		s := Redis(t, v, Options{Args: []string{"--maxmemory", "10mb"}})
		t.Logf("%s %s started in %v", v, v.Number, time.Since(began))
		if info := ask(t, s, "INFO", "server"); !strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", s.Pid)) ||
			!strings.Contains(info, v.Software+"_version:"+v.Number+"\r\n") {
			t.Errorf("pid is %d, but INFO says %s", s.Pid, info)
		}
		if got := ask(t, s, "CONFIG", "GET", "maxmemory"); got != "[maxmemory 10485760]" {
			t.Error(got)
		}
		if got := ask(t, s, "DEBUG", "SLEEP", "0"); got != "OK" {
			t.Error(got)
		}
		if _, err := os.Stat(s.Socket); s.Socket != "" || err == nil {
			t.Errorf("there is a socket at %q", s.Socket)
		}
	})
}

func TestRedisPasswordACLAndSocket(t *testing.T) {
	each(t, Redises(t), func(t *testing.T, v Version) {
		password := `a "b" \c #`
		s := Redis(t, v, Options{Password: password, Unix: true, ACL: []string{"user app on >secret ~app:* +@all"}})
		raw, err := net.Dial("unix", s.Socket)
		if err != nil {
			t.Fatal(err)
		}
		raw.Close()
		c, err := s.dial()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.do("GET", "app:1"); err == nil || !strings.HasPrefix(err.Error(), "NOAUTH") {
			t.Errorf("without a password: %v", err)
		}
		if _, err := c.do("AUTH", "app", "secret"); err != nil {
			t.Error(err)
		}
		if _, err := c.do("GET", "other"); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
			t.Errorf("a forbidden key: %v", err)
		}
		if got := ask(t, s, "ACL", "WHOAMI"); got != "default" {
			t.Error(got)
		}
	})
}

func TestRedisTLS(t *testing.T) {
	each(t, Redises(t), func(t *testing.T, v Version) {
		s := Redis(t, v, Options{TLS: true})
		if got := ask(t, s, "PING"); got != "PONG" {
			t.Error(got)
		}
		s.tls.Certificates = nil
		c, err := s.dial()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.do("PING"); err == nil {
			t.Error("a client without a certificate got in")
		}
	})
}

func TestServerLife(t *testing.T) {
	s := Redis(t, Default(t), Options{})
	addr, first := s.Addr, s.Pid
	s.Pause()
	c, err := s.dial()
	if err != nil {
		t.Fatalf("a paused server takes no connection: %v", err)
	}
	c.SetDeadline(time.Now().Add(100 * time.Millisecond))
	io.WriteString(c, "PING\r\n")
	if _, err := c.r.ReadByte(); err == nil {
		t.Error("a paused server answers")
	}
	c.Close()
	s.Resume()
	for range 3 {
		ask(t, s, "SET", "a", "1")
		s.Restart()
		if s.Addr != addr || s.Pid == first || ask(t, s, "EXISTS", "a") != "0" {
			t.Errorf("after a restart: %s, pid %d (was %d)", s.Addr, s.Pid, first)
		}
	}
	s.Pause()
	s.Stop()
	s.Stop()
	if _, err := s.dial(); err == nil {
		t.Error("a stopped server takes connections")
	}
	if n := strings.Count(s.Log(), "Ready to accept"); n != 4 {
		t.Errorf("the log tells of %d starts", n)
	}
	s.Restart()
	s.Kill()
	s.Kill()
}

func TestStartTakesAnotherPort(t *testing.T) {
	taken := Redis(t, Default(t), Options{})
	s := newRedis(t, Default(t), Options{})
	s.port, s.Addr = taken.port, taken.Addr
	if err := s.launch(); err == nil || !strings.Contains(err.Error(), errTaken.Error()) {
		t.Fatalf("launched on a taken port: %v", err)
	}
	startAll(t, []*Server{s})
	if s.Addr == taken.Addr {
		t.Error("two servers share", s.Addr)
	}
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	s := newRedis(t, Default(t), Options{Args: []string{"--no-such-option", "1"}})
	if err := s.start(); err == nil || !strings.Contains(err.Error(), "no-such-option") {
		t.Error(err)
	}
}

func TestCluster(t *testing.T) {
	each(t, Redises(t), func(t *testing.T, v Version) {
		began := time.Now()
		nodes := Cluster(t, v, 3, 1, Options{})
		t.Logf("%s: six nodes formed in %v", v, time.Since(began))
		for i, s := range nodes {
			info := ask(t, s, "CLUSTER", "INFO")
			for _, want := range []string{"cluster_state:ok", "cluster_slots_ok:16384", "cluster_known_nodes:6", "cluster_size:3"} {
				if !strings.Contains(info, want+"\r\n") {
					t.Errorf("%s does not say %s:\n%s", s.Addr, want, info)
				}
			}
			if role := ask(t, s, "ROLE"); strings.HasPrefix(role, "[master") != (i < 3) {
				t.Errorf("node %d is %s", i, role)
			}
			if i >= 3 && !strings.Contains(ask(t, s, "ROLE"), nodes[i-3].Addr[len("127.0.0.1:"):]) {
				t.Errorf("node %d does not replicate node %d", i, i-3)
			}
		}
		nodes[0].Restart()
		if err := until("the node is back", func() error {
			if !strings.Contains(ask(t, nodes[0], "CLUSTER", "INFO"), "cluster_state:ok") {
				return fmt.Errorf("not yet")
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}

func TestClusterWithTLSAndPassword(t *testing.T) {
	for _, s := range Cluster(t, Default(t), 2, 0, Options{TLS: true, Password: "secret"}) {
		if info := ask(t, s, "CLUSTER", "INFO"); !strings.Contains(info, "cluster_state:ok") {
			t.Error(info)
		}
	}
}

func TestClusterFailover(t *testing.T) {
	nodes := Cluster(t, Default(t), 3, 1, Options{})
	nodes[0].Kill()
	if err := until("the replica takes over", func() error {
		if role := ask(t, nodes[3], "ROLE"); !strings.HasPrefix(role, "[master") {
			return fmt.Errorf("it is %s", role)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestSentinel(t *testing.T) {
	each(t, Redises(t), func(t *testing.T, v Version) {
		began := time.Now()
		master, sentinels, nodes := Sentinel(t, v, Options{})
		t.Logf("%s: master, replica and three sentinels in %v", v, time.Since(began))
		host, port, _ := net.SplitHostPort(master)
		for i, s := range nodes[2:] {
			if s.Addr != sentinels[i] {
				t.Errorf("sentinel %d is %s, not %s", i, s.Addr, sentinels[i])
			}
			if got := ask(t, s, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"); got != "["+host+" "+port+"]" {
				t.Errorf("%s names %s, not %s", s.Addr, got, master)
			}
		}
		nodes[2].Restart()
		nodes[0].Kill()
		_, replica, _ := net.SplitHostPort(nodes[1].Addr)
		if err := until("the replica takes over", func() error {
			if got := ask(t, nodes[2], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"); got != "["+host+" "+replica+"]" {
				return fmt.Errorf("the master is %s", got)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}

func TestSentinelWithTLSAndPassword(t *testing.T) {
	Sentinel(t, Default(t), Options{TLS: true, Password: "secret"})
}

func TestMemcachedOfEachVersion(t *testing.T) {
	each(t, Memcacheds(t), func(t *testing.T, v Version) {
		for _, withTLS := range []bool{false, true} {
			s := Memcached(t, v, Options{TLS: withTLS, Args: []string{"-m", "16"}})
			addr := s.Addr
			s.Restart()
			if s.Addr != addr || !s.ownsPort() {
				t.Errorf("%s does not answer after a restart", addr)
			}
		}
	})
}

// Run in a process of its own that is killed: the server must go with it.
func TestVictim(t *testing.T) {
	if os.Getenv("SERVERS_TEST_VICTIM") == "" {
		t.Skip("run by TestServersDieWithTheTest")
	}
	fmt.Printf("addr %s\n", Redis(t, Default(t), Options{}).Addr)
	time.Sleep(time.Minute)
}

func TestServersDieWithTheTest(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestVictim$", "-test.v")
	cmd.Env = append(os.Environ(), "SERVERS_TEST_VICTIM=1", "TMPDIR="+t.TempDir())
	dieWithParent(cmd)
	if cmd.SysProcAttr == nil {
		t.Skip("not on this system")
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &Server{}
	for s.Addr == "" {
		var line string
		if _, err := fmt.Fscanln(out, &line, &s.Addr); err == io.EOF {
			t.Fatal("the victim ended by itself")
		} else if line != "addr" {
			s.Addr = ""
		}
	}
	if !s.answers() {
		t.Fatal("the victim's server does not answer")
	}
	cmd.Process.Kill()
	cmd.Wait()
	if err := until("the server is gone", func() error {
		if s.answers() {
			return fmt.Errorf("%s still answers", s.Addr)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

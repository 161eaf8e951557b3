package servers

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Sentinel starts a master, its replica and three sentinels that watch them
// under the name "mymaster", and returns when the replica is in step and every
// sentinel knows all others. master and sentinels are addresses; nodes holds
// the servers in the order master, replica, sentinels.
//
// Password and ACL guard master and replica, not the sentinels; TLS holds for
// all. A master is failed over after about a second of silence. The sentinels
// exchange news ten times a second instead of every two seconds.
func Sentinel(t testing.TB, v Version, o Options) (master string, sentinels []string, nodes []*Server) {
	t.Helper()
	o = o.certified(t)
	first := newRedis(t, v, o)
	startAll(t, []*Server{first})
	nodes = []*Server{first, newRedis(t, v, o, fmt.Sprint("replicaof 127.0.0.1 ", first.port))}
	for range 3 {
		nodes = append(nodes, newSentinel(t, v, o, first.port))
	}
	startAll(t, nodes[1:])
	if err := until("the replica is in step", nodes[1].inStep); err != nil {
		t.Fatalf("sentinel of %s: %v", v, err)
	}
	for _, s := range nodes[2:] {
		sentinels = append(sentinels, s.Addr)
		if err := until("the sentinels know one another", s.watches); err != nil {
			t.Fatalf("sentinel of %s: %v", v, err)
		}
	}
	return first.Addr, sentinels, nodes
}

func newSentinel(t testing.TB, v Version, o Options, master int) *Server {
	t.Helper()
	password := o.Password
	o.Password, o.Unix = "", false
	s := newServer(t, v, o)
	settled := false // once it runs it keeps what it learns in its configuration file
	s.command = func(s *Server) ([]string, error) {
		args := []string{"redis.conf", "--sentinel"}
		if settled {
			return args, nil
		}
		lines := append(s.listen(o),
			fmt.Sprintf("sentinel monitor mymaster 127.0.0.1 %d 2", master),
			"sentinel down-after-milliseconds mymaster 1000",
			"sentinel failover-timeout mymaster 5000",
		)
		if password != "" {
			lines = append(lines, "sentinel auth-pass mymaster "+quote(password))
		}
		return args, s.configure(lines)
	}
	s.ready = func(s *Server, log []byte) bool {
		if !bytes.Contains(log, []byte("Sentinel ID is")) || !s.answers() {
			return false
		}
		c, err := s.login()
		if err != nil {
			return false
		}
		defer c.Close()
		_, err = c.do("SENTINEL", "DEBUG", "PUBLISH-PERIOD", "100", "INFO-PERIOD", "500")
		settled = err == nil
		return settled
	}
	return s
}

// inStep: s is a replica that has all its master has.
func (s *Server) inStep() error {
	c, err := s.login()
	if err != nil {
		return err
	}
	defer c.Close()
	info, err := c.text("INFO", "replication")
	if err == nil && !strings.Contains(info, "master_link_status:up") {
		err = fmt.Errorf("%s is not in step yet", s.Addr)
	}
	return err
}

// watches: s sees a healthy master with one replica and two other sentinels.
func (s *Server) watches() error {
	c, err := s.login()
	if err != nil {
		return err
	}
	defer c.Close()
	reply, err := c.do("SENTINEL", "MASTER", "mymaster")
	if err != nil {
		return err
	}
	facts, _ := reply.([]any)
	for name, want := range map[string]int{"num-slaves": 1, "num-other-sentinels": 2} {
		at := slices.Index(facts, any(name)) + 1
		if at == 0 || at == len(facts) || facts[at] != strconv.Itoa(want) {
			return fmt.Errorf("%s: %s is not yet %d", s.Addr, name, want)
		}
	}
	_, err = c.text("SENTINEL", "CKQUORUM", "mymaster")
	return err
}

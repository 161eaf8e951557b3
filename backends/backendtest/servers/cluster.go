package servers

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"
)

const slots = 16384

// Cluster starts a cluster and returns when all nodes agree on it, every slot
// is served and every replica is in step. The slots are dealt out in even,
// contiguous ranges. Masters come first; node masters+i replicates node
// i%masters. A master that has replicas is failed over after about three seconds of
// silence. One that has none is not given up for fifteen, because a machine may stall.
//
// About two seconds of the start are the servers' own: a master that has just
// started refuses queries that long (cluster_legacy.c, CLUSTER_WRITABLE_DELAY).
func Cluster(t testing.TB, v Version, masters, replicasPerMaster int, o Options) []*Server {
	t.Helper()
	o = o.certified(t)
	patience := 15 * time.Second
	if replicasPerMaster > 0 {
		patience = 3 * time.Second
	}
	nodes := make([]*Server, masters*(1+replicasPerMaster))
	for i := range nodes {
		bus, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		nodes[i] = newRedis(t, v, o,
			"cluster-enabled yes", fmt.Sprint("cluster-node-timeout ", patience.Milliseconds()), "cluster-replica-validity-factor 0",
			fmt.Sprint("cluster-port ", bus))
		nodes[i].bus = bus
	}
	startAll(t, nodes)
	if err := form(nodes, masters); err != nil {
		t.Fatalf("cluster of %s: %v", v, err)
	}
	return nodes
}

// A formation is a connection to each node of a cluster that is being formed.
type formation struct {
	nodes   []*Server
	conns   []*conn
	ids     []string
	masters int

	introduced time.Time // when they were last told of one another
}

func form(nodes []*Server, masters int) error {
	f := &formation{nodes: nodes, masters: masters}
	defer func() {
		for _, c := range f.conns {
			c.Close()
		}
	}()
	for i, s := range nodes {
		c, err := s.login()
		if err != nil {
			return err
		}
		f.conns = append(f.conns, c)
		id, err := c.text("CLUSTER", "MYID")
		if err != nil {
			return err
		}
		f.ids = append(f.ids, id)
		// Without an epoch of its own each, the masters would have to settle that first.
		if _, err := c.text("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1)); err != nil {
			return err
		}
	}
	if err := f.addSlots(); err != nil {
		return err
	}
	if err := f.introduce(); err != nil {
		return err
	}
	if err := until("the nodes know one another", f.acquainted); err != nil {
		return err
	}
	for i := masters; i < len(nodes); i++ {
		if _, err := f.conns[i].text("CLUSTER", "REPLICATE", f.ids[(i-masters)%masters]); err != nil {
			return err
		}
	}
	return until("the nodes agree", f.agreed)
}

// addSlots deals out the slots.
func (f *formation) addSlots() error {
	for i, c := range f.conns[:f.masters] {
		first, last := slots*i/f.masters, slots*(i+1)/f.masters-1
		if _, err := c.text("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(first), strconv.Itoa(last)); err != nil {
			return err
		}
	}
	return nil
}

// introduce tells each pair of nodes of one another, which is faster than leaving it to gossip.
func (f *formation) introduce() error {
	f.introduced = time.Now()
	for i, c := range f.conns {
		for _, s := range f.nodes[i+1:] {
			if _, err := c.text("CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(s.port), strconv.Itoa(s.bus)); err != nil {
				return err
			}
		}
	}
	return nil
}

// acquainted: every node has shaken hands with every other one. A handshake that is
// not over within the cluster's patience is forgotten, and is begun again.
func (f *formation) acquainted() error {
	for i := range f.conns {
		if _, err := f.view(i); err != nil {
			if time.Since(f.introduced) > 5*time.Second {
				return errors.Join(err, f.introduce())
			}
			return err
		}
	}
	return nil
}

// agreed: every node serves, has the same view of all, and is in step.
func (f *formation) agreed() error {
	var first []string
	for i, c := range f.conns {
		info, err := c.text("CLUSTER", "INFO")
		if err != nil {
			return err
		}
		if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, fmt.Sprint("cluster_slots_ok:", slots)) {
			return fmt.Errorf("%s: %s", f.nodes[i].Addr, firstLine(info))
		}
		view, err := f.view(i)
		if err != nil {
			return err
		}
		if first == nil {
			first = view
		}
		if !slices.Equal(view, first) {
			return fmt.Errorf("%s and %s disagree: %q and %q", f.nodes[0].Addr, f.nodes[i].Addr, first, view)
		}
		role := "role:master"
		if i >= f.masters {
			role = "master_link_status:up"
		}
		if info, err = c.text("INFO", "replication"); err != nil {
			return err
		}
		if !strings.Contains(info, role) {
			return fmt.Errorf("%s is not yet %s", f.nodes[i].Addr, role)
		}
	}
	return nil
}

// view is what node i thinks of all nodes, in a form that can be compared: ID,
// flags, master and slots, sorted by ID.
func (f *formation) view(i int) ([]string, error) {
	text, err := f.conns[i].text("CLUSTER", "NODES")
	if err != nil {
		return nil, err
	}
	var view []string
	for line := range strings.Lines(text) {
		field := strings.Fields(line)
		if len(field) < 8 {
			return nil, fmt.Errorf("unexpected line %q", line)
		}
		flags := strings.TrimPrefix(field[2], "myself,")
		if flags != "master" && flags != "slave" || field[7] != "connected" {
			return nil, fmt.Errorf("%s sees %s", f.nodes[i].Addr, strings.TrimSpace(line))
		}
		view = append(view, fmt.Sprint(field[0], flags, field[3], field[8:]))
	}
	if len(view) != len(f.nodes) {
		return nil, fmt.Errorf("%s knows %d of %d nodes", f.nodes[i].Addr, len(view), len(f.nodes))
	}
	sort.Strings(view)
	return view, nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\r\n")
	return line
}

// until tries check again until it succeeds. An error that breaks the
// connection ends it at once.
func until(what string, check func() error) error {
	deadline := time.Now().Add(startTimeout)
	for {
		err := check()
		var broken net.Error
		switch {
		case err == nil:
			return nil
		case errors.As(err, &broken), errors.Is(err, io.EOF), time.Now().After(deadline):
			return fmt.Errorf("waiting until %s: %w", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

package redis

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// A talk is one connection that a Dialer made.
type talk struct {
	t    *testing.T
	conn net.Conn
	d    backends.Dialect
	in   []byte // read, and not yet parsed
}

func dialNode(t *testing.T, b backends.Backend, node string) *talk {
	t.Helper()
	conn, d, err := b.(backends.Dialer).DialNode(t.Context(), node)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return &talk{t: t, conn: conn, d: d}
}

// ask sends requests in one write and reads their replies, byte by byte.
func (k *talk) ask(asks ...backends.Ask) []backends.Reply {
	k.t.Helper()
	var out []byte
	for i := range asks {
		var err error
		if out, err = k.d.Append(out, &asks[i]); err != nil {
			k.t.Fatal(err)
		}
	}
	k.conn.SetDeadline(time.Now().Add(20 * time.Second))
	_, err := k.conn.Write(out)
	must(k.t, err)
	replies := make([]backends.Reply, len(asks))
	one := make([]byte, 1)
	for i := range asks {
		for {
			n, err := k.d.Parse(k.in, &asks[i], &replies[i])
			if err != nil {
				k.t.Fatalf("reply %d: %v in %q", i, err, k.in)
			}
			if n > 0 {
				replies[i].Value = bytes.Clone(replies[i].Value)
				k.in = k.in[n:]
				break
			}
			if _, err := k.conn.Read(one); err != nil {
				k.t.Fatalf("reply %d: %v after %q", i, err, k.in)
			}
			k.in = append(k.in, one[0])
		}
	}
	return replies
}

// TestDialectOnServers: every request that Redis has, and what servers answer.
func TestDialectOnServers(t *testing.T) {
	for _, v := range servers.Redises(t) {
		s := servers.Redis(t, v, servers.Options{Unix: true})
		b, err := Open(t.Context(), &url.URL{Scheme: "unix", Path: s.Socket})
		must(t, err)
		defer b.Close()
		routes, err := b.(backends.Dialer).Routes(t.Context())
		must(t, err)
		if len(routes.Nodes) != 1 || routes.Of != nil {
			t.Fatalf("%v", routes.Nodes)
		}
		k := dialNode(t, b, routes.Nodes[0])
		if _, bare := k.conn.(syscall.Conn); !bare {
			t.Errorf("%T is no syscall.Conn", k.conn)
		}
		key, value, lock := []byte("k\r\n\x00"), []byte("\r\n$5\r\n"), []byte("lock")
		c := raw(t, s)
		must(t, c.LPush(t.Context(), "list", "x").Err())
		steps := []struct {
			ask  backends.Ask
			want backends.Answer
		}{
			{backends.Ask{Do: backends.AskGet, Key: key}, backends.Miss},
			{backends.Ask{Do: backends.AskSet, Key: key, Value: value, TTL: time.Hour}, backends.Done},
			{backends.Ask{Do: backends.AskGet, Key: key}, backends.Hit},
			{backends.Ask{Do: backends.AskDelete, Key: key}, backends.Done},
			{backends.Ask{Do: backends.AskDelete, Key: key}, backends.NotDone},
			{backends.Ask{Do: backends.AskSet, Key: key}, backends.Done},
			{backends.Ask{Do: backends.AskGet, Key: key}, backends.Hit},
			{backends.Ask{Do: backends.AskAdd, Key: lock, Value: value, TTL: 1500 * time.Microsecond}, backends.Done},
			{backends.Ask{Do: backends.AskSet, Key: lock, Value: value}, backends.Done},
			{backends.Ask{Do: backends.AskAdd, Key: lock, Value: key}, backends.NotDone},
			{backends.Ask{Do: backends.AskRelease, Key: lock, Value: key}, backends.NotDone},
			{backends.Ask{Do: backends.AskRelease, Key: lock, Value: value}, backends.Done},
			{backends.Ask{Do: backends.AskRelease, Key: lock, Value: value}, backends.NotDone},
			{backends.Ask{Do: backends.AskPublish, Key: lock, Value: value}, backends.Done},
			{backends.Ask{Do: backends.AskGet, Key: []byte("list")}, backends.Refused},
			{backends.Ask{Do: backends.AskAdd, Key: lock, Value: value, TTL: time.Hour}, backends.Done},
		}
		var asks []backends.Ask
		for _, step := range steps {
			asks = append(asks, step.ask)
		}
		replies := k.ask(asks...)
		for i, step := range steps {
			if replies[i].Answer != step.want {
				t.Errorf("%s: step %d: %+v, want %d", v, i, replies[i], step.want)
			}
		}
		if got := replies[2].Value; !bytes.Equal(got, value) {
			t.Errorf("%s: %q", v, got)
		}
		if got := replies[14].Text; !strings.HasPrefix(got, "WRONGTYPE") {
			t.Errorf("%s: %q", v, got)
		}
		if ttl := c.PTTL(t.Context(), string(lock)).Val(); ttl <= 59*time.Minute || ttl > time.Hour {
			t.Errorf("%s: a TTL of %v", v, ttl)
		}
		if list := c.ClientList(t.Context()).Val(); !strings.Contains(list, "name=cachectl") {
			t.Errorf("%s: no name in %s", v, list)
		}
	}
}

// TestDialerInCluster: each key's route answers for it, every other node says Moved.
func TestDialerInCluster(t *testing.T) {
	c := newCluster(t, servers.Default(t), 0)
	b := openURL(t, c.target)
	routes, err := b.(backends.Dialer).Routes(t.Context())
	must(t, err)
	if len(routes.Nodes) != 3 || routes.Nodes[0] != c.nodes[0].Addr {
		t.Fatalf("%v", routes.Nodes)
	}
	var talks []*talk
	for _, node := range routes.Nodes {
		talks = append(talks, dialNode(t, b, node))
	}
	met := make(map[int]bool)
	for i := range 300 {
		key := []byte("{tag" + strconv.Itoa(i) + "}:of:key")
		own := routes.Of(key)
		met[own] = true
		for node, k := range talks {
			reply := k.ask(backends.Ask{Do: backends.AskSet, Key: key})[0]
			if want := map[bool]backends.Answer{true: backends.Done, false: backends.Moved}[node == own]; reply.Answer != want {
				t.Fatalf("key %s on node %d, its route says %d: %+v", key, node, own, reply)
			}
		}
	}
	if len(met) != 3 {
		t.Errorf("keys on nodes %v", met)
	}
	// One node by itself does not reach all keys, and nobody is to wait for the others'.
	alone := openURL(t, "redis://"+c.nodes[0].Addr)
	if _, err := alone.(backends.Dialer).Routes(t.Context()); err == nil || !strings.Contains(err.Error(), "redis+cluster://"+c.nodes[0].Addr) {
		t.Errorf("routes of one node of three: %v", err)
	}
	// A slot on its way: what is not there yet is asked for elsewhere.
	tag := "{tag1}"
	from := routes.Of([]byte(tag))
	c.open(t, slotOf(tag), from, (from+1)%3)
	reply := talks[from].ask(backends.Ask{Do: backends.AskGet, Key: []byte(tag + "absent")})[0]
	if reply.Answer != backends.Moved || !strings.HasPrefix(reply.Text, "ASK ") {
		t.Errorf("%+v", reply)
	}
	if reply.Node != routes.Nodes[(from+1)%3] || !reply.Once {
		t.Errorf("%+v", reply)
	}
	to := talks[(from+1)%3]
	replies := to.ask(backends.Ask{Do: backends.AskAdd, Key: []byte(tag + "absent"), Value: []byte("there"), Once: true},
		backends.Ask{Key: []byte(tag + "absent"), Once: true}, backends.Ask{Key: []byte(tag + "absent")})
	if replies[0].Answer != backends.Done || string(replies[1].Value) != "there" || replies[2].Answer != backends.Moved || replies[2].Once || replies[2].Node != routes.Nodes[from] {
		t.Errorf("%+v", replies)
	}
	c.move(t, slotOf(tag), from, (from+1)%3)
	again, err := b.(backends.Dialer).Routes(t.Context())
	must(t, err)
	if again.Of([]byte(tag)) == from || routes.Of([]byte(tag)) != from {
		t.Error("routes are to be of the moment they were asked for")
	}
}

// TestDialerLogsIn: by TLS, as a user who may do little, and to the master that Sentinel tells.
func TestDialerLogsIn(t *testing.T) {
	v := servers.Default(t)
	secure := servers.Redis(t, v, servers.Options{TLS: true})
	acl := servers.Redis(t, v, servers.Options{ACL: []string{"user default off", "user app on >secret ~* +get +set +info"}})
	_, sentinels, _ := servers.Sentinel(t, v, servers.Options{})
	for target, bare := range map[string]bool{
		"rediss://" + secure.Addr + "?tls_ca=" + secure.CA + "&tls_cert=" + secure.Cert + "&tls_key=" + secure.Key + "&tls_server_name=localhost": false,
		"redis://app:secret@" + acl.Addr + "/3":                     true,
		"redis+sentinel://mymaster@" + strings.Join(sentinels, ","): true,
	} {
		b := openURL(t, target)
		routes, err := b.(backends.Dialer).Routes(t.Context())
		must(t, err)
		k := dialNode(t, b, routes.Nodes[0])
		if _, syscalls := k.conn.(syscall.Conn); syscalls != bare {
			t.Errorf("%s: %T", b.Name(), k.conn)
		}
		replies := k.ask(backends.Ask{Do: backends.AskSet, Key: []byte("k"), Value: []byte("v")}, backends.Ask{Do: backends.AskGet, Key: []byte("k")},
			backends.Ask{Do: backends.AskPublish, Key: []byte("k")})
		if replies[0].Answer != backends.Done || string(replies[1].Value) != "v" {
			t.Errorf("%s: %+v", b.Name(), replies)
		}
		if allowed := replies[2].Answer == backends.Done; allowed == strings.Contains(target, "app:") {
			t.Errorf("%s: %+v", b.Name(), replies[2])
		}
	}
}

func TestDialNodeFails(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{Password: "secret"})
	u := parsed(t, "redis://:secret@"+s.Addr)
	b, err := Open(t.Context(), u)
	must(t, err)
	defer b.Close()
	b.(*cache).password = "wrong"
	if _, _, err := b.(backends.Dialer).DialNode(t.Context(), s.Addr); kindOf(err) != backends.ErrAuth {
		t.Errorf("%v", err)
	}
	s.Stop()
	if _, _, err := b.(backends.Dialer).DialNode(t.Context(), s.Addr); kindOf(err) != backends.ErrUnreachable {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := b.(backends.Dialer).DialNode(ctx, s.Addr); err == nil {
		t.Error("a dial that was cancelled")
	}
}

func TestDialectRefusals(t *testing.T) {
	for _, a := range []backends.Ask{
		{Do: backends.AskLease}, {Do: 99}, {Do: backends.AskSet, CAS: 1},
		{Do: backends.AskSet, TTL: time.Microsecond}, {Do: backends.AskAdd, TTL: -time.Second},
	} {
		if out, err := (dialect{}).Append([]byte("x"), &a); err == nil || string(out) != "x" {
			t.Errorf("%+v: %q, %v", a, out, err)
		}
	}
	for reply, a := range map[string]backends.Ask{
		"*1\r\n$1\r\nx\r\n":               {},
		"+OK\r\n":                         {Do: backends.AskGet},
		":1\r\n":                          {Do: backends.AskGet},
		"$-1\r\n":                         {Do: backends.AskDelete},
		"$-2\r\n":                         {},
		"$99999999999\r\n":                {},
		"$1\r\nxyz":                       {},
		"\r\n":                            {},
		"+OK\n":                           {Do: backends.AskSet},
		"+QUEUED\r\n":                     {Do: backends.AskSet},
		":x\r\n":                          {Do: backends.AskDelete},
		"HTTP/1.1 200 OK\r\n":             {},
		"-" + strings.Repeat("x", 70<<10): {},
	} {
		if n, err := (dialect{}).Parse([]byte(reply), &a, new(backends.Reply)); err == nil || n != 0 {
			t.Errorf("%.20q: %d, %v", reply, n, err)
		}
	}
}

func TestDialectDoesNotAllocate(t *testing.T) {
	buf := make([]byte, 0, 1<<10)
	key, value := []byte("key:1"), []byte("value")
	var r backends.Reply
	for do := backends.AskGet; do <= backends.AskRelease; do++ {
		a := backends.Ask{Do: do, Key: key, Value: value, TTL: time.Minute, Once: do == backends.AskSet}
		if n := testing.AllocsPerRun(100, func() { buf, _ = dialect{}.Append(buf[:0], &a) }); n != 0 {
			t.Errorf("%d: %v allocations for a request", do, n)
		}
	}
	var d backends.Dialect = dialect{}
	hit, miss := []byte("$5\r\nvalue\r\n"), []byte("$-1\r\n")
	a := backends.Ask{Key: key}
	if n := testing.AllocsPerRun(100, func() { d.Parse(hit, &a, &r); d.Parse(miss, &a, &r); d.Parse(hit[:7], &a, &r) }); n != 0 {
		t.Errorf("%v allocations for replies", n)
	}
}

// FuzzParse: a reply is the same whatever follows it, no part of it is one, and what is
// taken was there.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"$5\r\nvalue\r\n", "$-1\r\n", "+OK\r\n", ":1\r\n", "-MOVED 1 h:1\r\n", "-ERR no\r\n", "*0\r\n", "$0\r\n\r\n"} {
		for do := range byte(8) {
			f.Add([]byte(seed+"+rest"), do, false)
			f.Add([]byte("+OK\r\n"+seed), do, true)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte, do byte, once bool) {
		a := backends.Ask{Do: backends.Asked(do), Once: once}
		var r, again backends.Reply
		n, err := dialect{}.Parse(src, &a, &r)
		if n < 0 || n > len(src) || err != nil && n != 0 {
			t.Fatalf("%d of %d bytes, %v", n, len(src), err)
		}
		if n == 0 {
			return
		}
		if m, err := (dialect{}).Parse(src[:n], &a, &again); m != n || err != nil || again.Answer != r.Answer || !bytes.Equal(again.Value, r.Value) || again.Text != r.Text {
			t.Fatalf("%q: %d and %+v, alone %d, %v and %+v", src, n, r, m, err, again)
		}
		for i := range n {
			if m, err := (dialect{}).Parse(src[:i], &a, &again); m != 0 || err != nil {
				t.Fatalf("%q: %d bytes of its beginning %q, %v", src[:n], m, src[:i], err)
			}
		}
	})
}

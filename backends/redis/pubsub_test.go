package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// A deed is done to the servers while somebody listens.
type deed func(t *testing.T, n int)

// listens subscribes and does the deeds, one behind the other: after each it waits for the notice
// that messages may have been missed, then for a message sent after that.
func listens(t *testing.T, b, sender backends.Backend, deeds ...deed) {
	t.Helper()
	publish := func(message string) {
		t.Helper()
		if _, err := sender.(*cache).Publish(t.Context(), "channel", []byte(message)); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for message, err := range b.(*cache).Subscribe(t.Context(), "channel", func() { publish("first") }) {
		var notice *backends.Notice
		switch {
		case errors.As(err, &notice) && strings.HasPrefix(notice.What, "not listening"):
		case errors.As(err, &notice):
			if !errors.Is(notice, backends.ErrUnreachable) || notice.Shard == "" {
				t.Errorf("%v", notice)
			}
			publish(fmt.Sprint("after ", n))
		case err != nil:
			t.Fatal(err)
		case n == 0 && string(message) == "first", n > 0 && string(message) == fmt.Sprint("after ", n):
			if n == len(deeds) {
				return
			}
			n++
			deeds[n-1](t, n)
		default:
			t.Fatalf("after deed %d: %q", n, message)
		}
	}
}

func TestSubscriptionIsTakenUpAgain(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{})
	kill := func(t *testing.T, _ int) {
		if killed, err := raw(t, s).ClientKillByFilter(t.Context(), "TYPE", "pubsub").Result(); err != nil || killed != 1 {
			t.Fatalf("%d connections killed, %v", killed, err)
		}
	}
	restart := func(t *testing.T, _ int) { s.Restart() }
	listens(t, openURL(t, "redis://"+s.Addr), openURL(t, "redis://"+s.Addr), kill, kill, restart, kill)
}

// TestSilentConnection: one that is dead without saying so is found out.
func TestSilentConnection(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{})
	var deaf atomic.Pointer[deafConn]
	b, err := OpenDial(t.Context(), "mem://", func(ctx context.Context) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.Addr)
		d := &deafConn{Conn: conn}
		deaf.Store(d)
		return d, err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	b.(*cache).timeout = 50_000_000
	listens(t, b, openURL(t, "redis://"+s.Addr), func(*testing.T, int) { deaf.Load().on.Store(true) })
}

// A deafConn that is on loses what comes.
type deafConn struct {
	net.Conn
	on atomic.Bool
}

func (d *deafConn) Read(b []byte) (int, error) {
	for {
		n, err := d.Conn.Read(b)
		if err != nil || !d.on.Load() {
			return n, err
		}
	}
}

// TestSubscriptionMovesOn: when a node of a cluster is gone another one is listened to.
func TestSubscriptionMovesOn(t *testing.T) {
	nodes := servers.Cluster(t, servers.Default(t), 3, 0, servers.Options{})
	target := "redis+cluster://" + nodes[0].Addr + "," + nodes[1].Addr + "," + nodes[2].Addr
	b := openURL(t, target)
	listens(t, b, openURL(t, target), func(t *testing.T, _ int) {
		at, err := b.(*cache).station(t.Context(), "channel", 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range nodes {
			if s.Addr == at.addr {
				s.Restart()
			}
		}
	})
}

// TestChannelsDenied: an answer ends a subscription, as it does a message.
func TestChannelsDenied(t *testing.T) {
	s := servers.Redis(t, servers.Default(t), servers.Options{ACL: []string{"user app on >secret ~* &mine +@all"}})
	b := openURL(t, "redis://app:secret@"+s.Addr).(*cache)
	if _, err := b.Publish(t.Context(), "theirs", nil); !errors.Is(err, backends.ErrDenied) {
		t.Errorf("Publish: %v", err)
	}
	n := 0
	for _, err := range b.Subscribe(t.Context(), "theirs", func() { t.Error("ready") }) {
		if n++; !errors.Is(err, backends.ErrDenied) || n > 1 {
			t.Fatalf("%d: %v", n, err)
		}
	}
	if n != 1 {
		t.Errorf("%d errors", n)
	}
}

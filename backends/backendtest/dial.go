package backendtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// testAsks sends every kind of request about every key, each alone.
func (s Suite) testAsks(t *testing.T, b backends.Backend) {
	to, store := dialLines(t, b), must[backends.Store](t, b)
	for i, name := range s.Keys {
		to.all[to.of([]byte(name))].piece = i % 7
		key, value := []byte(name), []byte("value of\r\n\x00"+name)
		ask := func(do backends.Asked, value string, cas uint64) backends.Reply {
			return to.ask(t, &backends.Ask{Do: do, Key: key, Value: []byte(value), CAS: cas})
		}
		what := fmt.Sprintf("%q", name)
		expect(t, what+": get of nothing", ask(backends.AskGet, "", 0), backends.Miss)
		expect(t, what+": delete of nothing", ask(backends.AskDelete, "", 0), backends.NotDone)
		expect(t, what+": set", ask(backends.AskSet, string(value), 0), backends.Done)
		if got := expect(t, what+": get", ask(backends.AskGet, "", 0), backends.Hit); !bytes.Equal(got.Value, value) {
			t.Errorf("%s: got %q, want %q", what, got.Value, value)
		}
		if got, err := store.Get(testContext(t), name); err != nil || !bytes.Equal(got, value) {
			t.Errorf("%s: the store has %q, %v; want %q", what, got, err, value)
		}
		expect(t, what+": add to what is there", ask(backends.AskAdd, "mine", 0), backends.NotDone)
		if got := expect(t, what+": get after that", ask(backends.AskGet, "", 0), backends.Hit); !bytes.Equal(got.Value, value) {
			t.Errorf("%s: after an add: got %q, want %q", what, got.Value, value)
		}
		expect(t, what+": delete", ask(backends.AskDelete, "", 0), backends.Done)
		expect(t, what+": get of what was deleted", ask(backends.AskGet, "", 0), backends.Miss)
		s.testLock(t, what, ask)
		expect(t, what+": set over it", ask(backends.AskSet, "", 0), backends.Done)
		if got := expect(t, what+": get of nothing that is there", ask(backends.AskGet, "", 0), backends.Hit); len(got.Value) > 0 {
			t.Errorf("%s: got %q, want an empty value", what, got.Value)
		}
	}
}

// testLock: what was added is released by who added it only.
func (s Suite) testLock(t *testing.T, what string, ask func(backends.Asked, string, uint64) backends.Reply) {
	t.Helper()
	added := expect(t, what+": add", ask(backends.AskAdd, "mine", 0), backends.Done)
	expect(t, what+": add once more", ask(backends.AskAdd, "theirs", 0), backends.NotDone)
	theirs := added.CAS
	if theirs != 0 {
		theirs++
	}
	expect(t, what+": release by another", ask(backends.AskRelease, "theirs", theirs), backends.NotDone)
	if got := ask(backends.AskGet, "", 0); string(got.Value) != "mine" {
		t.Errorf("%s: after a release by another: %s", what, told(got))
	}
	expect(t, what+": release", ask(backends.AskRelease, "mine", added.CAS), backends.Done)
	expect(t, what+": release of nothing", ask(backends.AskRelease, "mine", added.CAS), backends.NotDone)
}

// testAskValues: values come back as they were, at any size and in any pieces.
func (s Suite) testAskValues(t *testing.T, b backends.Backend) {
	to := dialLines(t, b)
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, 2, 100, 16<<10 - 1, 16 << 10, 100_000, 1_000_000} {
		value := make([]byte, size)
		for i := range value {
			value[i] = "\r\n\x00$END VA"[random.IntN(10)]
		}
		key := fmt.Appendf(nil, "value of %d", size)
		expect(t, string(key), to.ask(t, &backends.Ask{Do: backends.AskSet, Key: key, Value: value}), backends.Done)
		for _, piece := range []int{0, 4097} {
			to.all[to.of(key)].piece = piece
			got := expect(t, string(key), to.ask(t, &backends.Ask{Do: backends.AskGet, Key: key}), backends.Hit)
			if !bytes.Equal(got.Value, value) {
				t.Errorf("a value of %d bytes came back as one of %d", size, len(got.Value))
			}
		}
	}
}

// testAskTTL: TTLs are what was asked for, in the server's resolution; and they end.
func (s Suite) testAskTTL(t *testing.T, b backends.Backend) {
	to := dialLines(t, b)
	given := map[string]time.Duration{}
	for _, do := range []backends.Asked{backends.AskSet, backends.AskAdd} {
		for _, ttl := range []time.Duration{0, time.Millisecond, 1500 * time.Millisecond, 100 * time.Second, 90*time.Minute + time.Nanosecond, 30 * 24 * time.Hour, 40 * 24 * time.Hour} {
			key := fmt.Sprintf("ttl %v %v", do, ttl)
			expect(t, key, to.ask(t, &backends.Ask{Do: do, Key: []byte(key), Value: []byte("x"), TTL: ttl}), backends.Done)
			if given[key] = ttl; ttl == 0 {
				given[key] = backends.NoTTL
			}
		}
	}
	have := ttls(t, b, slices.Collect(maps.Keys(given))...)
	for key, ttl := range given {
		got, there := have[key]
		switch {
		case ttl < 0 || ttl > 10*time.Second:
			if !there || !nearly(got, ttl) {
				t.Errorf("%s has %v, there %t", key, got, there)
			}
			continue
		case there && got > 2*time.Second: // with less than a second left some tell of none
			t.Errorf("%s has a TTL of %v", key, got)
			continue
		case ttl > time.Second:
			continue
		}
		until(t, key+" expires", func() bool {
			return to.ask(t, &backends.Ask{Do: backends.AskGet, Key: []byte(key)}).Answer == backends.Miss
		})
	}
	key := []byte("prolonged")
	for _, ttl := range []time.Duration{100 * time.Second, 0, time.Hour} { // what a get does not tell stays
		expect(t, "prolong what is not there", to.ask(t, &backends.Ask{Do: backends.AskGet, Key: []byte("nothing"), TTL: time.Hour}), backends.Miss)
		expect(t, "set", to.ask(t, &backends.Ask{Do: backends.AskSet, Key: key, Value: key, TTL: time.Minute}), backends.Done)
		if got := expect(t, "prolong", to.ask(t, &backends.Ask{Do: backends.AskGet, Key: key, TTL: ttl}), backends.Hit); !bytes.Equal(got.Value, key) {
			t.Errorf("prolonged: %s", told(got))
		}
		if ttl == 0 {
			ttl = time.Minute
		}
		expect(t, "add to it", to.ask(t, &backends.Ask{Do: backends.AskAdd, Key: key, Value: key, TTL: 10 * time.Hour}), backends.NotDone)
		if got := ttls(t, b, string(key))[string(key)]; !nearly(got, ttl) {
			t.Errorf("prolonged to %v, then added to in vain: has %v", ttl, got)
		}
	}
	for _, ttl := range []time.Duration{-1, -time.Second} {
		a := backends.Ask{Do: backends.AskSet, Key: []byte("past"), TTL: ttl}
		if out, err := to.all[0].dialect.Append([]byte("kept"), &a); err == nil || string(out) != "kept" {
			t.Errorf("a TTL of %v was taken: %q, %v", ttl, out, err)
		}
	}
}

// until waits for what must come about.
func until(t *testing.T, what string, true func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !true(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 20 seconds", what)
		}
	}
}

// testAsksInOrder: a thousand asks on their way over each connection are answered in order.
func (s Suite) testAsksInOrder(t *testing.T, b backends.Backend) {
	to := dialLines(t, b)
	for round, piece := range []int{0, 1, 777} {
		asks := make([][]backends.Ask, len(to.all))
		wants := make([][]string, len(to.all))
		have := map[string]string{}
		random := rand.New(rand.NewPCG(uint64(round), 1))
		full := func() bool {
			return !slices.ContainsFunc(asks, func(all []backends.Ask) bool { return len(all) < 1000 })
		}
		for n := 0; !full(); n++ {
			key := fmt.Sprintf("order %d:%d", round, random.IntN(300*len(to.all)))
			a := backends.Ask{Key: []byte(key)}
			want := ""
			was, there := have[key]
			switch random.IntN(5) {
			case 0, 1:
				a.Do, want = backends.AskGet, told(backends.Reply{Answer: backends.Miss})
				if there {
					want = told(backends.Reply{Answer: backends.Hit, Value: []byte(was)})
				}
			case 2:
				a.Do, a.Value = backends.AskSet, fmt.Appendf(nil, "%d%s", n, strings.Repeat("x", random.IntN(300)))
				have[key], want = string(a.Value), told(backends.Reply{Answer: backends.Done})
			case 3:
				a.Do, want = backends.AskDelete, told(backends.Reply{Answer: didIf(there)})
				delete(have, key)
			case 4:
				a.Do, a.Value, want = backends.AskAdd, fmt.Append(nil, n), told(backends.Reply{Answer: didIf(!there)})
				if !there {
					have[key] = string(a.Value)
				}
			}
			i := to.of(a.Key)
			asks[i], wants[i] = append(asks[i], a), append(wants[i], want)
		}
		for i, l := range to.all {
			l.piece = piece
			l.compare(t, asks[i], wants[i])
		}
	}
}

func didIf(did bool) backends.Answer {
	if did {
		return backends.Done
	}
	return backends.NotDone
}

// compare sends all asks at once and reads the replies meanwhile.
func (l *line) compare(t *testing.T, asks []backends.Ask, wants []string) {
	t.Helper()
	var out []byte
	var err error
	for i := range asks {
		if out, err = l.dialect.Append(out, &asks[i]); err != nil {
			t.Fatal(err)
		}
	}
	l.conn.SetDeadline(time.Now().Add(30 * time.Second))
	sent := make(chan error, 1)
	go func() {
		_, err := l.conn.Write(out)
		sent <- err
	}()
	for i := range asks {
		got := l.read(t, &asks[i])
		got.CAS = 0
		if told(got) != wants[i] {
			t.Fatalf("%s: reply %d of %d, to %d %q: %s; want %s", l.node, i, len(asks), asks[i].Do, asks[i].Key, told(got), wants[i])
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if len(l.in) > 0 {
		t.Errorf("%s: %d bytes that nobody asked for", l.node, len(l.in))
	}
}

// testRoutes: keys are where Routes say, and on no other node.
func (s Suite) testRoutes(t *testing.T, b backends.Backend) {
	to, store := dialLines(t, b), must[backends.Store](t, b)
	used := map[int]int{}
	for i := range 300 {
		key := fmt.Sprintf("route:%d", i)
		set(t, b, 0, key)
		home := to.of([]byte(key))
		used[home]++
		for at, l := range to.all {
			got := l.ask(t, &backends.Ask{Do: backends.AskGet, Key: []byte(key)})
			if at == home && got.Answer != backends.Hit || at != home && got.Answer != backends.Miss && got.Answer != backends.Moved {
				t.Errorf("%s, whose node is %s: %s says %s", key, to.all[home].node, l.node, told(got))
			}
			if got.Answer == backends.Moved && got.Text == "" {
				t.Errorf("%s: moved, and no word of where", key)
			}
		}
		expect(t, key, to.ask(t, &backends.Ask{Do: backends.AskSet, Key: []byte(key), Value: []byte("new")}), backends.Done)
		if got, err := store.Get(testContext(t), key); err != nil || string(got) != "new" {
			t.Errorf("%s: the store has %q, %v", key, got, err)
		}
	}
	if len(used) != len(to.all) {
		t.Errorf("300 keys are on %d of %d nodes", len(used), len(to.all))
	}
}

// testRefused: what a server refuses is told in its words, and the connection goes on.
func (s Suite) testRefused(t *testing.T, b backends.Backend) {
	to := dialLines(t, b)
	a := s.Refused(t)
	l := to.all[to.of(a.Key)]
	for range 3 {
		if r := expect(t, "what the server refuses", l.ask(t, &a), backends.Refused); r.Text == "" || len(r.Value) > 0 {
			t.Errorf("refused without a reason: %s", told(r))
		}
	}
	after := []byte("after a refusal")
	expect(t, "set after that", to.ask(t, &backends.Ask{Do: backends.AskSet, Key: after, Value: after}), backends.Done)
	expect(t, "get after that", to.ask(t, &backends.Ask{Do: backends.AskGet, Key: after}), backends.Hit)
	expect(t, "delete after that", l.ask(t, &backends.Ask{Do: backends.AskDelete, Key: []byte("nothing")}), backends.NotDone)
}

// testDial: connections are the caller's, and have nothing to do with the context they were dialled in.
func (s Suite) testDial(t *testing.T, b backends.Backend) {
	dialer, r := must[backends.Dialer](t, b), routes(t, b)
	ctx, cancel := context.WithCancelCause(testContext(t))
	conn, dialect, err := dialer.DialNode(ctx, r.Nodes[0])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	why := errors.New("the caller's reason")
	cancel(why)
	l := &line{node: r.Nodes[0], conn: conn, dialect: dialect}
	for _, do := range []backends.Asked{backends.AskGet, backends.AskDelete} {
		if got := l.ask(t, &backends.Ask{Do: do, Key: []byte("k")}); got.Answer == backends.Refused {
			t.Errorf("after the context of its dialling ended: %s", told(got))
		}
	}
	if conn, _, err := dialer.DialNode(ctx, r.Nodes[0]); !errors.Is(err, why) {
		t.Errorf("DialNode in a context that has ended: %v, %v", conn, err)
	}
	if strings.HasPrefix(r.Nodes[0], "127.0.0.1:") { // else it is the only one that there can be
		if conn, _, err := dialer.DialNode(testContext(t), "127.0.0.1:1"); err == nil {
			t.Errorf("DialNode to no node: %v", conn)
		}
	}
	if _, err := l.dialect.Append(nil, &backends.Ask{Do: 200, Key: []byte("k")}); err == nil {
		t.Error("an unknown request was taken")
	}
}

package fleet

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

// a turn is an event fed by hand and the actions that it must bring, written as said writes them.
type turn struct {
	e    Event
	want string
}

// said writes actions as "kind req/key version ttl".
func said(actions []Action) string {
	names := [...]string{"get", "set", "delete", "invalidate", "add", "release", "lease", "fetch", "commit", "wait", "serve", "publish", "lose"}
	var b strings.Builder
	for i, a := range actions {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s %d/%d", names[a.Kind], a.Req, a.Key)
		if a.Kind == Serve {
			fmt.Fprintf(&b, " %v", a.As)
		}
		if a.Value.Version > 0 {
			fmt.Fprintf(&b, " v%d", a.Value.Version)
		}
		if a.Value.CAS > 0 {
			fmt.Fprintf(&b, " cas%d", a.Value.CAS)
		}
		if d := max(a.TTL, a.For); d > 0 {
			fmt.Fprintf(&b, " %v", d)
		}
	}
	return b.String()
}

// walk feeds the steps to a process made by m; an event that answers an action gets that action's tag, by the last that fits.
func walk(t *testing.T, m Maker, steps []turn) {
	t.Helper()
	p := m(3, rand.New(rand.NewPCG(1, 2)))
	var do Actions
	tags := map[string]uint8{}
	of := func(kind ActionKind, q Req, k Key) string { return fmt.Sprint(kind, " ", q, "/", k) }
	for i, s := range steps {
		e := s.e
		switch e.Kind {
		case Answered, Woke:
			e.Tag = tags[of(e.Of, e.Req, e.Key)]
		case Fetched:
			e.Of, e.Tag = Fetch, tags[of(Fetch, e.Req, e.Key)]
		case Committed:
			e.Of, e.Tag = Commit, tags[of(Commit, e.Req, e.Key)]
		}
		do.Reset()
		p.Next(&e, &do)
		for _, a := range do.List() {
			tags[of(a.Kind, a.Req, a.Key)] = a.Tag
		}
		if got := said(do.List()); got != s.want {
			t.Fatalf("step %d, %+v:\n got %q\nwant %q", i, s.e, got, s.want)
		}
	}
}

func read(q Req, k Key) Event  { return Event{Kind: Arrived, Req: q, Key: k} }
func write(q Req, k Key) Event { return Event{Kind: Arrived, Req: q, Key: k, Write: true} }

func answer(of ActionKind, q Req, k Key, a Answer, version uint64) Event {
	return Event{Kind: Answered, Of: of, Req: q, Key: k, Answer: a, Value: Value{Version: version}}
}

func fetched(q Req, k Key, version uint64) Event {
	return Event{Kind: Fetched, Req: q, Key: k, Value: Value{Version: version}}
}

func committed(q Req, k Key, version uint64) Event {
	return Event{Kind: Committed, Req: q, Key: k, Value: Value{Version: version}}
}

func at(now time.Duration, e Event) Event { e.Now = now; return e }

func TestCacheAsideSteps(t *testing.T) {
	how := Reading{TTL: 10 * time.Second}
	coalesced, leased := how, how
	coalesced.Coalesce = true
	leased.Lease, leased.Poll = time.Second, 5*ms
	crowded := leased
	crowded.Coalesce = true
	miss := []turn{
		{read(1, 7), "get 1/7"},
		{answer(Get, 1, 7, Miss, 0), "fetch 1/7"},
	}
	for name, c := range map[string]struct {
		m     Maker
		steps []turn
	}{
		"hit": {CacheAside{Reading: how}.Maker(), []turn{
			{read(1, 7), "get 1/7"},
			{answer(Get, 1, 7, Hit, 4), "serve 1/7 cache v4"}}},
		"sliding": {CacheAside{Reading: Reading{TTL: time.Second, Sliding: true}}.Maker(), []turn{
			{read(1, 7), "get 1/7 1s"}}},
		"every miss fetches": {CacheAside{Reading: how}.Maker(), append(miss[:2:2],
			turn{read(2, 7), "get 2/7"},
			turn{answer(Get, 2, 7, Miss, 0), "fetch 2/7"},
			turn{fetched(2, 7, 5), "set 2/7 v5 10s; serve 2/7 origin v5"},
			turn{fetched(1, 7, 5), "set 1/7 v5 10s; serve 1/7 origin v5"},
			turn{answer(Set, 1, 7, OK, 5), ""})},
		"one fetch a process": {CacheAside{Reading: coalesced}.Maker(), append(miss[:2:2],
			turn{read(2, 7), "get 2/7"},
			turn{answer(Get, 2, 7, Miss, 0), ""},
			turn{fetched(1, 7, 5), "set 1/7 v5 10s; serve 1/7 origin v5; serve 2/7 other v5"})},
		"a fetch that fails": {CacheAside{Reading: coalesced}.Maker(), append(miss[:2:2],
			turn{read(2, 7), "get 2/7"},
			turn{answer(Get, 2, 7, Failed, 0), ""},
			turn{Event{Kind: Fetched, Req: 1, Key: 7, Answer: Failed}, "serve 1/7 error; serve 2/7 error"},
			turn{read(3, 7), "get 3/7"},
			turn{answer(Get, 3, 7, Miss, 0), "fetch 3/7"})},
		"lease": {CacheAside{Reading: leased}.Maker(), []turn{
			{read(1, 7), "lease 1/7 1s"},
			{Event{Kind: Answered, Of: Lease, Req: 1, Key: 7, Answer: Won, Value: Value{CAS: 9}}, "fetch 1/7"},
			{read(2, 7), "lease 2/7 1s"},
			{answer(Lease, 2, 7, Busy, 0), "wait 2/7 5ms"},
			{fetched(1, 7, 5), "set 1/7 v5 cas9 10s; serve 1/7 origin v5"},
			{Event{Kind: Woke, Of: Wait, Req: 2, Key: 7}, "lease 2/7 1s"},
			{answer(Lease, 2, 7, Hit, 5), "serve 2/7 cache v5"}}},
		"a crowd polls as one": {CacheAside{Reading: crowded}.Maker(), []turn{
			{read(1, 7), "lease 1/7 1s"},
			{answer(Lease, 1, 7, Busy, 0), "wait 1/7 5ms"},
			{read(2, 7), "lease 2/7 1s"},
			{answer(Lease, 2, 7, Busy, 0), ""},
			{Event{Kind: Woke, Of: Wait, Req: 1, Key: 7}, "lease 1/7 1s"},
			{answer(Lease, 1, 7, Busy, 0), "wait 1/7 5ms"},
			{Event{Kind: Woke, Of: Wait, Req: 1, Key: 7}, "lease 1/7 1s"},
			{answer(Lease, 1, 7, Hit, 5), "serve 1/7 cache v5; serve 2/7 other v5"}}},
		"who wins serves the crowd": {CacheAside{Reading: crowded}.Maker(), []turn{
			{read(1, 7), "lease 1/7 1s"},
			{answer(Lease, 1, 7, Busy, 0), "wait 1/7 5ms"},
			{read(2, 7), "lease 2/7 1s"},
			{answer(Lease, 2, 7, Busy, 0), ""},
			{read(3, 7), "lease 3/7 1s"},
			{Event{Kind: Answered, Of: Lease, Req: 3, Key: 7, Answer: Won, Value: Value{CAS: 9}}, "fetch 3/7"},
			{fetched(3, 7, 5), "set 3/7 v5 cas9 10s; serve 3/7 origin v5; serve 2/7 other v5"},
			{Event{Kind: Woke, Of: Wait, Req: 1, Key: 7}, "lease 1/7 1s"},
			{answer(Lease, 1, 7, Hit, 5), "serve 1/7 cache v5"}}},
		"a lease is given back": {CacheAside{Reading: leased}.Maker(), []turn{
			{read(1, 7), "lease 1/7 1s"},
			{Event{Kind: Answered, Of: Lease, Req: 1, Key: 7, Answer: Won, Value: Value{CAS: 9}}, "fetch 1/7"},
			{Event{Kind: Fetched, Req: 1, Key: 7, Answer: Failed}, "delete 1/7 cas9; serve 1/7 error"}}},
		"no fill without a lease": {CacheAside{Reading: leased}.Maker(), []turn{
			{read(1, 7), "lease 1/7 1s"},
			{answer(Lease, 1, 7, Failed, 0), "fetch 1/7"},
			{fetched(1, 7, 5), "serve 1/7 origin v5"}}},
		"write": {CacheAside{Reading: how}.Maker(), []turn{
			{write(1, 7), "commit 1/7"},
			{committed(1, 7, 5), "delete 1/7"},
			{answer(Delete, 1, 7, Failed, 0), "serve 1/7 written v5"}}},
		"write refused": {CacheAside{Reading: how}.Maker(), []turn{
			{write(1, 7), "commit 1/7"},
			{Event{Kind: Committed, Req: 1, Key: 7, Answer: Failed}, "serve 1/7 error"}}},
		"delete before": {CacheAside{Reading: how, Order: DeleteBefore}.Maker(), []turn{
			{write(1, 7), "delete 1/7"},
			{answer(Delete, 1, 7, OK, 0), "commit 1/7"},
			{committed(1, 7, 5), "serve 1/7 written v5"}}},
		"double delete": {CacheAside{Reading: how, Order: DeleteTwice, Again: 500 * ms}.Maker(), []turn{
			{write(1, 7), "delete 1/7"},
			{answer(Delete, 1, 7, OK, 0), "commit 1/7"},
			{committed(1, 7, 5), "wait 0/7 500ms; serve 1/7 written v5"},
			{Event{Kind: Woke, Of: Wait, Key: 7}, "delete 0/7"},
			{answer(Delete, 0, 7, OK, 0), ""}}},
		"write-through": {WriteThrough{Reading: how}.Maker(), []turn{
			{write(1, 7), "commit 1/7"},
			{committed(1, 7, 5), "set 1/7 v5 10s"},
			{answer(Set, 1, 7, OK, 5), "serve 1/7 written v5"}}},
		"write-through, the wrong way round": {WriteThrough{Reading: how, CacheFirst: true}.Maker(), []turn{
			{at(5, write(1, 7)), fmt.Sprintf("set 1/7 v%d 10s", 5<<12+3)},
			{at(6, answer(Set, 1, 7, OK, 5<<12+3)), fmt.Sprintf("commit 1/7 v%d", 5<<12+3)},
			{at(9, committed(1, 7, 5<<12+3)), fmt.Sprintf("serve 1/7 written v%d", 5<<12+3)}}},
	} {
		t.Run(name, func(t *testing.T) { walk(t, c.m, c.steps) })
	}
}

func TestRefreshAheadSteps(t *testing.T) {
	o := RefreshAhead{CacheAside: CacheAside{Reading: Reading{TTL: 10 * time.Second}}, Share: 0.2}
	hit := func(q Req, left time.Duration) Event {
		e := at(time.Minute, answer(Get, q, 7, Hit, 4))
		e.Value.Expires = time.Minute + left
		return e
	}
	walk(t, o.Maker(), []turn{
		{read(1, 7), "get 1/7"},
		{hit(1, 2*time.Second), "serve 1/7 cache v4"},
		{hit(1, 2*time.Second-1), "serve 1/7 cache v4; fetch 0/7"},
		{hit(1, time.Second), "serve 1/7 cache v4"}, // one is under way
		{fetched(0, 7, 5), "set 0/7 v5 10s"},
		{answer(Set, 0, 7, OK, 5), ""},
		{hit(1, time.Second), "serve 1/7 cache v4; fetch 0/7"},
		{Event{Kind: Fetched, Key: 7, Answer: Failed}, ""},
		{hit(1, time.Second), "serve 1/7 cache v4; fetch 0/7"},
	})
	o.Lock = 3 * time.Second
	walk(t, o.Maker(), []turn{
		{read(1, 7), "get 1/7"},
		{hit(1, time.Second), "serve 1/7 cache v4; add 0/7 3s"},
		{answer(Add, 0, 7, No, 0), ""},
		{hit(1, time.Second), "serve 1/7 cache v4; add 0/7 3s"},
		{answer(Add, 0, 7, OK, 0), "fetch 0/7"},
		{fetched(0, 7, 5), "set 0/7 v5 10s"},
		{answer(Set, 0, 7, OK, 5), "release 0/7"},
		{answer(Release, 0, 7, OK, 0), ""},
		{hit(1, time.Second), "serve 1/7 cache v4; add 0/7 3s"},
	})
}

func TestWriteBehindSteps(t *testing.T) {
	v := func(now time.Duration) uint64 { return uint64(now)<<12 + 3 }
	p := WriteBehind{Reading: Reading{TTL: time.Minute}, Flush: time.Hour, Batch: 2}
	t.Run("ticks", func(t *testing.T) {
		walk(t, WriteBehind{Flush: 1}.Maker(), []turn{
			{at(100, write(1, 7)), fmt.Sprintf("set 1/7 v%d; wait 0/0 1ns", v(100))},
			{at(101, answer(Set, 1, 7, OK, 0)), fmt.Sprintf("serve 1/7 written v%d", v(100))},
			{at(102, write(2, 7)), fmt.Sprintf("set 2/7 v%d", v(102))},
			{at(103, Event{Kind: Woke, Of: Wait}), fmt.Sprintf("commit 0/7 v%d", v(102))},
			{at(104, write(3, 7)), fmt.Sprintf("set 3/7 v%d; wait 0/0 1ns", v(104))},
			{at(105, Event{Kind: Woke, Of: Wait}), "wait 0/0 1ns"}, // the first commit is under way
			{at(106, committed(0, 7, v(102))), ""},
			{at(107, Event{Kind: Woke, Of: Wait}), fmt.Sprintf("commit 0/7 v%d", v(104))},
			{at(108, Event{Kind: Committed, Key: 7, Answer: Failed}), "wait 0/0 1ns"},
			{at(109, Event{Kind: Woke, Of: Wait}), fmt.Sprintf("commit 0/7 v%d", v(104))},
			{at(110, committed(0, 7, v(104))), ""},
		})
	})
	t.Run("batch, reads and a crash", func(t *testing.T) {
		m := p.Maker()
		first := m(3, rand.New(rand.NewPCG(1, 2))).(*behind)
		tick := fmt.Sprint(time.Hour - (100+first.phase)%time.Hour)
		walk(t, m, []turn{
			{at(100, write(1, 7)), fmt.Sprintf("set 1/7 v%d 1m0s; wait 0/0 %s", v(100), tick)},
			{read(2, 7), "get 2/7"},
			{answer(Get, 2, 7, Miss, 0), fmt.Sprintf("set 2/7 v%d 1m0s; serve 2/7 local v%d", v(100), v(100))},
			{at(101, write(3, 8)), fmt.Sprintf("set 3/8 v%d 1m0s; commit 0/7 v%d; commit 0/8 v%d", v(101), v(100), v(101))},
			{read(2, 7), "get 2/7"},
			{answer(Get, 2, 7, Miss, 0), fmt.Sprintf("set 2/7 v%d 1m0s; serve 2/7 local v%d", v(100), v(100))},
			{committed(0, 7, v(100)), ""},
			{read(2, 7), "get 2/7"},
			{answer(Get, 2, 7, Miss, 0), "fetch 2/7"},
			{at(102, answer(Set, 1, 7, OK, 0)), fmt.Sprintf("serve 1/7 written v%d", v(100))}, // sent, so it cannot be lost
			{at(103, write(4, 9)), fmt.Sprintf("set 4/9 v%d 1m0s", v(103))},
			{at(104, write(5, 9)), fmt.Sprintf("set 5/9 v%d 1m0s", v(104))},
			{at(105, answer(Set, 4, 9, OK, 0)), fmt.Sprintf("serve 4/9 written v%d", v(103))},
			{at(106, answer(Set, 5, 9, OK, 0)), fmt.Sprintf("serve 5/9 written v%d", v(104))},
			{at(107, Event{Kind: Crashed}), fmt.Sprintf("lose 0/9 v%d; lose 0/9 v%d", v(104), v(103))},
		})
	})
}

// TestWriteBehindCrowd: who polls for a lease and finds the value in the buffer after all does not forget who waits behind it.
func TestWriteBehindCrowd(t *testing.T) {
	how := Reading{TTL: time.Minute, Lease: time.Second, Poll: 5 * ms, Coalesce: true}
	v := uint64(100)<<12 + 3
	walk(t, WriteBehind{Reading: how, Flush: 1}.Maker(), []turn{
		{read(1, 7), "lease 1/7 1s"},
		{answer(Lease, 1, 7, Busy, 0), "wait 1/7 5ms"},
		{read(2, 7), "lease 2/7 1s"},
		{answer(Lease, 2, 7, Busy, 0), ""},
		{at(100, write(3, 7)), fmt.Sprintf("set 3/7 v%d 1m0s; wait 0/0 1ns", v)},
		{Event{Kind: Woke, Of: Wait, Req: 1, Key: 7}, "lease 1/7 1s"},
		{Event{Kind: Answered, Of: Lease, Req: 1, Key: 7, Answer: Won, Value: Value{CAS: 9}},
			fmt.Sprintf("set 1/7 v%d cas9 1m0s; serve 1/7 local v%d cas9; serve 2/7 other v%d cas9", v, v, v)},
	})
}

func TestTwoLayersSteps(t *testing.T) {
	o := TwoLayers{CacheAside: CacheAside{Reading: Reading{TTL: 10 * time.Second}}, LocalTTL: time.Second, Capacity: 2, Publish: true}
	heard := func(now time.Duration, k Key, version uint64) Event {
		return Event{Kind: Heard, Now: now, Key: k, Value: Value{Version: version}}
	}
	get := func(now time.Duration, k Key, version uint64) []turn {
		return []turn{
			{at(now, read(1, k)), fmt.Sprintf("get 1/%d", k)},
			{at(now, answer(Get, 1, k, Hit, version)), fmt.Sprintf("serve 1/%d cache v%d", k, version)},
		}
	}
	local := func(now time.Duration, k Key, version uint64) []turn {
		return []turn{{at(now, read(1, k)), fmt.Sprintf("serve 1/%d local v%d", k, version)}}
	}
	var steps []turn
	for _, s := range [][]turn{
		get(1, 7, 4), local(2, 7, 4), local(time.Second, 7, 4),
		get(time.Second+1, 7, 4),                                       // its time is over
		{{heard(time.Second+2, 7, 4), ""}}, local(time.Second+3, 7, 4), // nothing new
		{{heard(time.Second+4, 7, 6), ""}}, get(time.Second+5, 7, 5), get(time.Second+6, 7, 6), // 5 is served, not kept
		local(time.Second+7, 7, 6),
		get(time.Second+8, 8, 1), local(time.Second+9, 7, 6), get(time.Second+10, 9, 1), get(time.Second+11, 8, 1), // 8 was used least recently
		{{at(time.Second+12, write(1, 8)), "commit 1/8"}, {committed(1, 8, 2), "delete 1/8"},
			{at(time.Second+13, answer(Delete, 1, 8, OK, 0)), "serve 1/8 written v2; publish 0/8 v2"}},
		get(time.Second+14, 8, 2),
	} {
		steps = append(steps, s...)
	}
	walk(t, o.Maker(), steps)
}

// TestStamps: of one process' writes each is newer than the one before, whatever the clock says, and no two processes make the same one.
func TestStamps(t *testing.T) {
	a, b := stamps{process: 1}, stamps{process: 2}
	last := uint64(0)
	for _, now := range []time.Duration{0, 0, 5, 5, 5, 6, 100} {
		n, m := a.next(now), b.next(now)
		if n <= last || m <= n {
			t.Errorf("at %d: %d after %d, %d in the other process", now, n, last, m)
		}
		last = n
	}
}

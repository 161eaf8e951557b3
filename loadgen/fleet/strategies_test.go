package fleet

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func failed(q Req, k Key) Event { return Event{Kind: Fetched, Req: q, Key: k, Answer: Failed} }
func gone(q Req, k Key) Event   { return Event{Kind: GaveUp, Req: q, Key: k} }
func woke(q Req, k Key) Event   { return Event{Kind: Woke, Of: Wait, Req: q, Key: k} }

// hit is a value in the cache, read at 1 ms, fresh until soft and kept until then.
func hit(of ActionKind, a Answer, q Req, k Key, soft, until time.Duration) Event {
	return Event{Kind: Answered, Of: of, Req: q, Key: k, Answer: a, Value: Value{Version: 4, Read: ms, Took: ms, Soft: soft, Expires: until}}
}

func TestStrategiesSteps(t *testing.T) {
	o := Defaults()
	o.TTL, o.Stale, o.Lock, o.Poll, o.Ahead = sec, sec, 2*sec, 5*ms, 100*ms
	drop, together := o, o
	drop.DropLate, together.Coalesce = true, true
	won := func(cas, version uint64) Event {
		return Event{Kind: Answered, Of: Lease, Req: 1, Key: 7, Answer: Won, Value: Value{CAS: cas, Version: version}}
	}
	for _, c := range []struct {
		what, name string
		o          Options
		steps      []turn
	}{
		{"a hit", "none", o, []turn{
			{read(1, 7), "get 1/7"},
			{answer(Get, 1, 7, Hit, 4), "serve 1/7 cache v4"}}},
		{"every miss fetches", "none", o, []turn{
			{read(1, 7), "get 1/7"}, {read(2, 7), "get 2/7"},
			{answer(Get, 1, 7, Miss, 0), "fetch 1/7"}, {answer(Get, 2, 7, Miss, 0), "fetch 2/7"},
			{fetched(2, 7, 5), "set 2/7 v5 1s; serve 2/7 origin v5"}, {answer(Set, 2, 7, OK, 5), ""},
			{failed(1, 7), "serve 1/7 error"}}},
		{"late, stored", "none", o, []turn{
			{read(1, 7), "get 1/7"}, {answer(Get, 1, 7, Miss, 0), "fetch 1/7"},
			{gone(1, 7), ""}, {fetched(1, 7, 5), "set 1/7 v5 1s; serve 1/7 origin v5"}}},
		{"late, dropped", "none", drop, []turn{
			{read(1, 7), "get 1/7"}, {answer(Get, 1, 7, Miss, 0), "fetch 1/7"},
			{gone(1, 7), ""}, {fetched(1, 7, 5), "serve 1/7 origin v5"},
			{read(1, 7), "get 1/7"}, {answer(Get, 1, 7, Miss, 0), "fetch 1/7"},
			{fetched(1, 7, 5), "set 1/7 v5 1s; serve 1/7 origin v5"}}},
		{"a write", "none", o, []turn{
			{write(1, 7), "commit 1/7"}, {committed(1, 7, 5), "delete 1/7"}, {answer(Delete, 1, 7, OK, 0), "serve 1/7 written"},
			{write(1, 7), "commit 1/7"}, {Event{Kind: Committed, Req: 1, Key: 7, Answer: Failed}, "serve 1/7 error"}}},
		{"the others wait", "singleflight", o, []turn{
			{read(1, 7), "get 1/7"}, {answer(Get, 1, 7, Miss, 0), "fetch 1/7"},
			{read(2, 7), "get 2/7"}, {answer(Get, 2, 7, Miss, 0), ""},
			{read(3, 8), "get 3/8"}, {answer(Get, 3, 8, Miss, 0), "fetch 3/8"},
			{read(4, 7), "get 4/7"}, {answer(Get, 4, 7, Miss, 0), ""}, {gone(2, 7), ""},
			{fetched(1, 7, 5), "set 1/7 v5 1s; serve 1/7 origin v5; serve 2/7 other v5; serve 4/7 other v5"},
			{read(2, 7), "get 2/7"}, {answer(Get, 2, 7, Miss, 0), "fetch 2/7"},
			{failed(3, 8), "serve 3/8 error"}}},
		{"the winner looks again, fetches and lets go when the value is there", "lock", o, []turn{
			{read(1, 7), "get 1/7"}, {answer(Get, 1, 7, Miss, 0), "add 1/7 2s"}, {answer(Add, 1, 7, OK, 0), "get 1/7"},
			{answer(Get, 1, 7, Miss, 0), "fetch 1/7"}, {fetched(1, 7, 5), "set 1/7 v5 1s; serve 1/7 origin v5"},
			{answer(Set, 1, 7, OK, 5), "release 1/7"}, {answer(Release, 1, 7, No, 0), ""}}},
		{"the winner finds what another brought", "lock", o, []turn{
			{read(1, 7), "get 1/7"}, {answer(Get, 1, 7, Miss, 0), "add 1/7 2s"}, {answer(Add, 1, 7, OK, 0), "get 1/7"},
			{answer(Get, 1, 7, Hit, 4), "serve 1/7 other v4; release 1/7"}}},
		{"the loser polls", "lock", o, []turn{
			{read(1, 7), "get 1/7"}, {answer(Get, 1, 7, Miss, 0), "add 1/7 2s"}, {answer(Add, 1, 7, No, 0), "wait 1/7 5ms"},
			{woke(1, 7), "get 1/7"}, {answer(Get, 1, 7, Miss, 0), "add 1/7 2s"}, {answer(Add, 1, 7, No, 0), "wait 1/7 5ms"},
			{woke(1, 7), "get 1/7"}, {answer(Get, 1, 7, Hit, 4), "serve 1/7 other v4"}}},
		{"the loser stops when nobody listens", "lock", o, []turn{
			{read(1, 7), "get 1/7"}, {answer(Get, 1, 7, Miss, 0), "add 1/7 2s"}, {answer(Add, 1, 7, No, 0), "wait 1/7 5ms"},
			{gone(1, 7), ""}, {woke(1, 7), "serve 1/7 error"}}},
		{"a winner that failed lets go", "lock", o, []turn{
			{read(1, 7), "get 1/7"}, {answer(Get, 1, 7, Miss, 0), "add 1/7 2s"}, {answer(Add, 1, 7, OK, 0), "get 1/7"},
			{answer(Get, 1, 7, Miss, 0), "fetch 1/7"}, {failed(1, 7), "release 1/7; serve 1/7 error"}}},
		{"a cache that fails", "lock", o, []turn{
			{read(1, 7), "get 1/7"}, {answer(Get, 1, 7, Failed, 0), "fetch 1/7"}, {failed(1, 7), "serve 1/7 error"}}},
		{"the winner waits, the loser serves stale", "lock-stale", o, []turn{
			{at(sec, read(1, 7)), "get 1/7"}, {at(sec, read(2, 7)), "get 2/7"},
			{at(sec, hit(Get, Hit, 1, 7, 900*ms, 2*sec)), "add 1/7 2s"}, {at(sec, hit(Get, Hit, 2, 7, 900*ms, 2*sec)), "add 2/7 2s"},
			{at(sec, answer(Add, 1, 7, OK, 0)), "get 1/7"}, {at(sec, answer(Add, 2, 7, No, 0)), "serve 2/7 stale v4"},
			{at(sec, hit(Get, Hit, 1, 7, 900*ms, 2*sec)), "fetch 1/7"},
			{at(sec, fetched(1, 7, 5)), "set 1/7 v5 2s; serve 1/7 origin v5"}}},
		{"the winner serves stale too", "swr", o, []turn{
			{at(sec, read(1, 7)), "get 1/7"}, {at(sec, hit(Get, Hit, 1, 7, 900*ms, 2*sec)), "add 1/7 2s"},
			{at(sec, answer(Add, 1, 7, OK, 0)), "serve 1/7 stale v4; get 1/7"},
			{at(sec, hit(Get, Hit, 1, 7, 900*ms, 2*sec)), "fetch 1/7"},
			{at(sec, fetched(1, 7, 5)), "set 1/7 v5 2s"}, {at(sec, answer(Set, 1, 7, OK, 0)), "release 1/7"}}},
		{"fresh is fresh", "swr", o, []turn{
			{read(1, 7), "get 1/7"}, {hit(Get, Hit, 1, 7, 900*ms, 2*sec), "serve 1/7 cache v4"}}},
		{"each process for itself", "swr-local", o, []turn{
			{at(sec, read(1, 7)), "get 1/7"}, {at(sec, hit(Get, Hit, 1, 7, 900*ms, 2*sec)), "serve 1/7 stale v4; fetch 1/7"},
			{at(sec, read(2, 7)), "get 2/7"}, {at(sec, hit(Get, Hit, 2, 7, 900*ms, 2*sec)), "serve 2/7 stale v4"},
			{at(sec, fetched(1, 7, 5)), "set 1/7 v5 2s"}}},
		{"stale only if there is an error", "stale-if-error", o, []turn{
			{at(sec, read(1, 7)), "get 1/7"}, {at(sec, hit(Get, Hit, 1, 7, 900*ms, 2*sec)), "fetch 1/7"}, {at(sec, failed(1, 7)), "serve 1/7 stale v4"},
			{at(sec, read(1, 7)), "get 1/7"}, {at(sec, answer(Get, 1, 7, Miss, 0)), "fetch 1/7"}, {at(sec, failed(1, 7)), "serve 1/7 error"}}},
		{"early, together: what is fresh is served", "xfetch", together, []turn{
			{at(sec, read(1, 7)), "get 1/7"}, {at(sec, hit(Get, Hit, 1, 7, 0, sec)), "fetch 1/7"},
			{at(sec, read(2, 7)), "get 2/7"}, {at(sec, hit(Get, Hit, 2, 7, 0, sec)), "serve 2/7 cache v4"},
			{at(sec, failed(1, 7)), "serve 1/7 cache v4"}}},
		{"early and refused the lock", "xfetch-lock", o, []turn{
			{at(sec, read(1, 7)), "get 1/7"}, {at(sec, hit(Get, Hit, 1, 7, 0, sec)), "add 1/7 2s"}, {at(sec, answer(Add, 1, 7, No, 0)), "serve 1/7 cache v4"}}},
		{"the cache gives a lease", "lease", o, []turn{
			{read(1, 7), "lease 1/7 2s"}, {won(9, 0), "fetch 1/7"}, {fetched(1, 7, 5), "set 1/7 v5 cas9 1s; serve 1/7 origin v5"}, {answer(Set, 1, 7, No, 0), ""}}},
		{"a lease is given back", "lease", drop, []turn{
			{read(1, 7), "lease 1/7 2s"}, {won(9, 0), "fetch 1/7"}, {failed(1, 7), "delete 1/7 cas9; serve 1/7 error"},
			{read(1, 7), "lease 1/7 2s"}, {won(9, 0), "fetch 1/7"}, {gone(1, 7), ""}, {fetched(1, 7, 5), "delete 1/7 cas9; serve 1/7 origin v5"}}},
		{"won ahead of time", "lease", o, []turn{
			{read(1, 7), "lease 1/7 2s"}, {won(9, 4), "serve 1/7 cache v4 cas9; fetch 1/7"}, {failed(1, 7), ""}}},
		{"busy without a value", "lease", o, []turn{
			{read(1, 7), "lease 1/7 2s"}, {answer(Lease, 1, 7, Busy, 0), "wait 1/7 5ms"}, {woke(1, 7), "lease 1/7 2s"},
			{answer(Lease, 1, 7, Hit, 4), "serve 1/7 other v4"}}},
		{"busy with what was invalidated", "lease", o, []turn{
			{read(1, 7), "lease 1/7 2s"}, {Event{Kind: Answered, Of: Lease, Req: 1, Key: 7, Answer: Busy, Stale: true, Value: Value{Version: 4}}, "serve 1/7 stale v4"}}},
	} {
		t.Run(c.name+"/"+c.what, func(t *testing.T) { walk(t, strategy(t, c.name, c.o), c.steps) })
	}
}

// Tokens are of one attempt: whoever lost its lock cannot let go of another's.
func TestTokens(t *testing.T) {
	s := strategy(t, "lock", Defaults())(0, rand.New(rand.NewPCG(1, 1)))
	seen := map[uint64]bool{}
	for q := range Req(100) {
		var do Actions
		e := read(q+1, 7)
		s.Next(&e, &do)
		e = answer(Get, q+1, 7, Miss, 0)
		s.Next(&e, &do)
		token := do.List()[1].Token
		if token == 0 || seen[token] {
			t.Fatalf("token %d again, or none", token)
		}
		seen[token] = true
	}
}

// XFetch's rule: with D = took and s left, P(fetch) = exp(-s/(beta D)).
func TestEarly(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const n = 200_000
	for _, c := range []struct {
		beta float64
		left time.Duration
	}{{1, 0}, {1, 100 * ms}, {1, 500 * ms}, {2, 500 * ms}, {0.5, 100 * ms}} {
		v, times := Value{Took: 200 * ms, Expires: sec + c.left}, 0
		fresh := early(c.beta)
		for range n {
			if !fresh(sec, &v, random) {
				times++
			}
		}
		want := math.Exp(-c.left.Seconds() / (c.beta * 0.2))
		if got := float64(times) / n; math.Abs(got-want) > 3.5*math.Sqrt(want*(1-want)/n) {
			t.Errorf("beta %v, %v left: share %.4f, want %.4f", c.beta, c.left, got, want)
		}
	}
	if forever := (Value{Took: sec}); !early(1)(sec, &forever, random) {
		t.Error("what never expires was fetched early")
	}
}

func TestCatalogue(t *testing.T) {
	names := map[string]bool{}
	for _, c := range Catalogue() {
		if names[c.Name] || c.Help == "" || strings.HasSuffix(c.Help, ".") || c.Make == nil {
			t.Errorf("%+v", c)
		}
		names[c.Name] = true
	}
	if _, err := Choose(Catalogue(), "nonesuch"); err == nil || !strings.Contains(err.Error(), "xfetch-lock") {
		t.Errorf("error %v does not say what there is", err)
	}
}

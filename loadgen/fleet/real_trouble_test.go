package fleet

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
	"github.com/cachectl/cachectl/backends/redis"
	"github.com/cachectl/cachectl/loadgen"
)

// TestRealBrokenConnections: what was asked over them fails, and they are dialled again.
func TestRealBrokenConnections(t *testing.T) {
	t.Parallel()
	p := onRedis(t)
	client := goredis.NewClient(&goredis.Options{Addr: p.server.Addr})
	defer client.Close()
	c := hotKey(t, p, "lock", 9)
	killed, before := make(chan error, 1), ""
	time.AfterFunc(time.Second, func() {
		err := client.ClientKillByFilter(context.Background(), "TYPE", "normal", "SKIPME", "yes").Err()
		before = serverHits(client)
		killed <- err
	})
	m, err := Real(t.Context(), c, p.stage())
	if err != nil || <-killed != nil {
		t.Fatal(err)
	}
	if m.Broken < 4 || m.Unserved > 0 || m.Left > 0 || p.keys(t) != 0 {
		t.Errorf("%d connections broken, %d requests unserved, %d keys left, %d there", m.Broken, m.Unserved, m.Left, p.keys(t))
	}
	if after := serverHits(client); after == before {
		t.Errorf("%s hits when the connections were cut, and no more at the end", after)
	}
}

// serverHits is how many keys the server has found.
func serverHits(client *goredis.Client) string {
	return client.InfoMap(context.Background(), "stats").Val()["Stats"]["keyspace_hits"]
}

// TestRealServerPauses: replies that do not come fail, and so does what is asked then; no request is left.
func TestRealServerPauses(t *testing.T) {
	t.Parallel()
	p := onRedis(t)
	client := goredis.NewClient(&goredis.Options{Addr: p.server.Addr})
	defer client.Close()
	c := hotKey(t, p, "none", 14)
	c.Patience = 300 * time.Millisecond
	s := p.stage()
	s.Subscriber, s.Timeout = nil, 200*time.Millisecond
	go func() {
		for wait := 0; serverHits(client) < "1" && wait < 1000; wait++ { // until it runs
			time.Sleep(5 * time.Millisecond)
		}
		p.server.Pause()
		time.Sleep(700 * time.Millisecond)
		p.server.Resume()
	}()
	m, err := Real(t.Context(), c, s)
	if err != nil {
		t.Fatal(err)
	}
	if m.Broken == 0 || m.Cache.Failed == 0 || m.Unserved > 0 || p.keys(t) != 0 {
		t.Errorf("%d connections broken, %d actions failed, %d requests unserved, %d keys there", m.Broken, m.Cache.Failed, m.Unserved, p.keys(t))
	}
}

// TestRealTriggers: what happens to the whole happens to the real cache.
func TestRealTriggers(t *testing.T) {
	t.Parallel()
	p := onRedis(t)
	c := hotKey(t, p, "swr", 5)
	c.Length = 5 * time.Second
	o := Defaults()
	o.TTL, o.Stale, o.Lock = time.Hour, time.Hour, time.Second
	c.Maker, c.Source = strategy(t, "swr", o), poisson(7, 1000, 10)
	c.Load = &Load{Keys: 10, Lifetime: Lifetime{TTL: time.Hour, Stale: time.Hour}}
	c.Triggers = []Trigger{{At: 500 * time.Millisecond, Do: Expire}, {At: 4 * time.Second, Do: Flush}, {At: 4500 * time.Millisecond, Do: Crash}}
	m := played(t, p, c, p.stage())
	if m.Origin.Reads < 20 || m.Served[FromStale] == 0 || len(m.After) != 3 || m.Consistency.Crashes != 1 {
		t.Errorf("%d fetches of 10 keys, expired once and flushed once; %d served stale, %d triggers, %d crashes", m.Origin.Reads, m.Served[FromStale], len(m.After), m.Consistency.Crashes)
	}
	// A loaded cache has everything until it is flushed.
	if first := m.Served[FromOrigin] + m.Served[FromOther]; first == 0 || m.Ticks[0].Hits != m.Ticks[0].Reads {
		t.Errorf("%d fetched or waited; the first second: %+v", first, m.Ticks[0])
	}
}

// TestRealForeignValues: what is not of this run is a miss, and is counted.
func TestRealForeignValues(t *testing.T) {
	t.Parallel()
	p := onRedis(t)
	client := goredis.NewClient(&goredis.Options{Addr: p.server.Addr})
	defer client.Close()
	if err := client.Set(t.Context(), "fleet:{0}", "somebody else's", 0).Err(); err != nil {
		t.Fatal(err)
	}
	m, err := Real(t.Context(), hotKey(t, p, "none", 1), p.stage())
	if err != nil || m.Foreign == 0 || m.Foreign > m.Cache.Misses || p.keys(t) != 0 {
		t.Errorf("%+v, %v", m, err)
	}
}

// TestRealRefused: what the cache will not do is counted with its reason, and the figures do not stand.
func TestRealRefused(t *testing.T) {
	t.Parallel()
	p := onRedis(t)
	client := goredis.NewClient(&goredis.Options{Addr: p.server.Addr})
	defer client.Close()
	if err := client.ConfigSet(t.Context(), "min-replicas-to-write", "1").Err(); err != nil {
		t.Fatal(err)
	}
	m, err := Real(t.Context(), hotKey(t, p, "none", 1), p.stage())
	if err != nil {
		t.Fatal(err)
	}
	if m.Refused == 0 || !strings.HasPrefix(m.Refusal, "NOREPLICAS") || len(m.Invalid) == 0 || !strings.Contains(m.Invalid[len(m.Invalid)-1]+m.Invalid[0], "refused") {
		t.Errorf("%d refused by %q, invalid %q", m.Refused, m.Refusal, m.Invalid)
	}
}

// A gossip serves at once, and publishes what is written.
type gossip struct{ heard *atomic.Int64 }

func (g gossip) Next(e *Event, do *Actions) {
	switch {
	case e.Kind == Arrived && e.Write:
		do.Add(Action{Kind: Commit, Req: e.Req, Key: e.Key})
	case e.Kind == Arrived:
		do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key, Value: Value{Version: 1}, As: FromLocal})
	case e.Kind == Committed:
		do.Add(Action{Kind: Publish, Req: e.Req, Key: e.Key, Value: e.Value})
		do.Add(Action{Kind: Wait, Req: e.Req, Key: e.Key, For: 200 * time.Millisecond})
		do.Add(Action{Kind: Serve, Req: e.Req, Key: e.Key, Value: e.Value, As: Written})
	case e.Kind == Heard && e.Value.Version > 1:
		g.heard.Add(1)
	}
}

func TestRealPublish(t *testing.T) {
	t.Parallel()
	p := onRedis(t)
	var heard atomic.Int64
	c := Config{Maker: func(int, *rand.Rand) Strategy { return gossip{&heard} }, Processes: 3, Length: 300 * time.Millisecond,
		Source: &arrivals{random: rand.New(rand.NewPCG(1, 1)), rate: 200, keys: 5, writes: 0.5}}
	m := played(t, p, c, p.stage())
	// The run ends with the last answer; what was published just then may not be heard.
	if most := int64(3 * m.Writes); heard.Load() > most || heard.Load() < 3 {
		t.Errorf("%d writes, heard %d times by 3 processes", m.Writes, heard.Load())
	}
	s := p.stage()
	s.Subscriber = nil
	c.Source = &arrivals{random: rand.New(rand.NewPCG(1, 1)), rate: 200, keys: 5, writes: 0.5}
	if _, err := Real(t.Context(), c, s); err == nil {
		t.Error("messages to nobody were published")
	}
}

// TestRealHTTP: an origin is asked over HTTP, no more at a time than allowed, and its failures count.
func TestRealHTTP(t *testing.T) {
	t.Parallel()
	p := onRedis(t)
	var calls, now, most atomic.Int64
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if calls.Add(1)%5 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		if q.URL.Path != "/item/0" {
			w.WriteHeader(http.StatusBadGateway)
		}
		time.Sleep(20 * time.Millisecond)
	}))
	defer origin.Close()
	c := hotKey(t, p, "none", 3)
	s := p.stage()
	s.HTTP = &HTTPOrigin{URL: origin.URL + "/item/{key}", Most: 3}
	m := played(t, p, c, s)
	if m.Origin.Reads == 0 || int64(m.Origin.Reads) < calls.Load() || m.Origin.Failed == 0 || m.Origin.Failed > uint64(calls.Load()) || most.Load() > 3 {
		t.Errorf("%d fetches, %d requests, %d failed, %d at once", m.Origin.Reads, calls.Load(), m.Origin.Failed, most.Load())
	}
	if m.Unfetched == 0 || !strings.Contains(m.Failure, "503") {
		t.Errorf("%d fetches failed, the first with %q", m.Unfetched, m.Failure)
	}
	c.Source = &arrivals{random: rand.New(rand.NewPCG(1, 1)), rate: 200, keys: 1, writes: 1}
	if _, err := Real(t.Context(), c, s); err == nil {
		t.Error("an origin that is asked by GET took a write")
	}
}

// TestRealOriginElsewhere: where an origin sends us on is not asked, since nobody said that it is meant.
func TestRealOriginElsewhere(t *testing.T) {
	t.Parallel()
	p := onRedis(t)
	var asked, led atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { led.Add(1) }))
	defer elsewhere.Close()
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		asked.Add(1)
		http.Redirect(w, q, elsewhere.URL, http.StatusFound)
	}))
	defer origin.Close()
	c := hotKey(t, p, "none", 1)
	s := p.stage()
	s.HTTP = &HTTPOrigin{URL: origin.URL + "/{key}"}
	if m := played(t, p, c, s); asked.Load() == 0 || led.Load() > 0 || m.Unfetched > 0 {
		t.Errorf("%d requests, %d elsewhere, %d failed", asked.Load(), led.Load(), m.Unfetched)
	}
}

// TestRealLateGenerator: a run that its generator could not keep up with is invalid.
func TestRealLateGenerator(t *testing.T) {
	t.Parallel()
	p := onRedis(t)
	c := hotKey(t, p, "none", 1)
	c.Source, c.Length = slow{poisson(7, 500, 1)}, 100*time.Millisecond
	s := p.stage()
	s.Tolerance = 20 * time.Millisecond
	m, err := Real(t.Context(), c, s)
	if err != nil || len(m.Invalid) != 1 || m.Late.Max() < 20*time.Millisecond {
		t.Errorf("invalid %q, late %v, %v", m.Invalid, m.Late.Max(), err)
	}
}

// A slow source is a generator that is the limit.
type slow struct{ loadgen.Source }

func (s slow) Next(op *loadgen.Op) bool {
	time.Sleep(10 * time.Millisecond)
	return s.Source.Next(op)
}

// TestRealRefusesNonsense before anything is dialled.
func TestRealRefusesNonsense(t *testing.T) {
	good := Config{Maker: strategy(t, "none", Defaults()), Source: poisson(1, 1, 1), Length: time.Second}
	for what, s := range map[string]Stage{
		"no cache":  {Prefix: "p"},
		"no prefix": {Cache: noCache{}},
		"size":      {Cache: noCache{}, Prefix: "p", Size: -1},
		"no key":    {Cache: noCache{}, Prefix: "p", HTTP: &HTTPOrigin{URL: "http://h/"}},
		"no scheme": {Cache: noCache{}, Prefix: "p", HTTP: &HTTPOrigin{URL: "h/{key}"}},
	} {
		if _, err := Real(t.Context(), good, s); err == nil || errors.Is(err, errNowhere) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := Real(t.Context(), good, Stage{Cache: noCache{}, Prefix: "p"}); !errors.Is(err, errNowhere) {
		t.Errorf("no server: %v", err)
	}
}

var errNowhere = errors.New("nowhere")

type noCache struct{ backends.Dialer }

func (noCache) Routes(context.Context) (backends.Routes, error) {
	return backends.Routes{}, errNowhere
}

// TestRealNodeGone: a node of a cluster that is away for a moment fails its own keys, and is found again.
func TestRealNodeGone(t *testing.T) {
	t.Parallel()
	nodes := servers.Cluster(t, servers.Default(t), 3, 0, servers.Options{})
	p := &place{opened(t, redis.Open, "redis+cluster", nodes[0].Addr+","+nodes[2].Addr), nodes[0], 300 * time.Millisecond}
	c := hotKey(t, p, "lock", 1)
	c.Length, c.Source, c.Patience = 4*time.Second, poisson(7, 500, 50), time.Second
	s := p.stage()
	s.Subscriber = nil
	restarted := make(chan bool)
	go func() {
		time.Sleep(700 * time.Millisecond)
		nodes[1].Restart()
		close(restarted)
	}()
	m, err := Real(t.Context(), c, s)
	<-restarted
	if err != nil {
		t.Fatal(err)
	}
	if m.Broken == 0 || m.Cache.Failed == 0 || m.Unserved > 0 || m.Left > 0 || p.keys(t) != 0 {
		t.Errorf("%d connections broken, %d actions failed, %d requests unserved, %d keys left, %d there", m.Broken, m.Cache.Failed, m.Unserved, m.Left, p.keys(t))
	}
	client := goredis.NewClient(&goredis.Options{Addr: nodes[1].Addr})
	defer client.Close()
	if stats := client.Info(t.Context(), "commandstats").Val(); !strings.Contains(stats, "cmdstat_get:") {
		t.Errorf("the node was asked for nothing after its restart: %s", stats)
	}
}

// TestWording: what is written is read back, and nothing else is.
func TestWording(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, headSize, headSize + 1, 100, 5000} {
		w := wording{prefix: "p:", run: random.Uint64(), size: size}
		v := Value{Version: 1 + random.Uint64N(1<<40), Read: -1, Took: time.Hour, Soft: 1 << 60, Expires: time.Duration(random.Int64())}
		b := w.appendValue([]byte("kept"), &v)[len("kept"):]
		var got Value
		if !w.value(b, &got) || got != v || len(b) != max(size, headSize) {
			t.Errorf("%d bytes: %+v, want %+v", len(b), got, v)
		}
		other := wording{prefix: "p:", run: w.run + 1, size: size}
		for what, b := range map[string][]byte{"another run's": other.appendValue(nil, &v), "cut": b[:headSize-1], "nothing": nil, "zeros": make([]byte, 100)} {
			if w.value(b, &got) {
				t.Errorf("%s value was read: %+v", what, got)
			}
		}
		key, version, ours := w.message(w.appendMessage(nil, 7, 1<<40))
		if !ours || key != 7 || version != 1<<40 {
			t.Errorf("message: %d %d %t", key, version, ours)
		}
		if _, _, ours := w.message(other.appendMessage(nil, 7, 1)); ours {
			t.Error("another run's message was heard")
		}
	}
	w := wording{prefix: "p:"}
	if key, lock := string(w.appendKey(nil, 12, false)), string(w.appendKey(nil, 12, true)); key != "p:{12}" || lock != "p:{12}:lock" {
		t.Errorf("%q and %q", key, lock)
	}
}

// TestRealSlotMoves: actions follow a key to the node that it moves to, and nothing fails.
func TestRealSlotMoves(t *testing.T) {
	t.Parallel()
	nodes := servers.Cluster(t, servers.Default(t), 3, 0, servers.Options{})
	p := &place{opened(t, redis.Open, "redis+cluster", nodes[0].Addr), nodes[0], 300 * time.Millisecond}
	routes, err := p.Backend.(backends.Dialer).Routes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var clients []*goredis.Client
	var ids []string
	for _, addr := range routes.Nodes {
		c := goredis.NewClient(&goredis.Options{Addr: addr})
		defer c.Close()
		clients = append(clients, c)
		ids = append(ids, c.Do(t.Context(), "cluster", "myid").Val().(string))
	}
	from := routes.Of([]byte("fleet:{0}"))
	to := (from + 1) % 3
	slot := clients[0].ClusterKeySlot(t.Context(), "fleet:{0}").Val()
	moved := make(chan error, 1)
	go func() {
		host, port, _ := net.SplitHostPort(routes.Nodes[to])
		time.Sleep(500 * time.Millisecond)
		err := errors.Join(clients[to].Do(t.Context(), "cluster", "setslot", slot, "importing", ids[from]).Err(),
			clients[from].Do(t.Context(), "cluster", "setslot", slot, "migrating", ids[to]).Err())
		time.Sleep(700 * time.Millisecond) // the value expires and comes again, on the other node
		err = errors.Join(err, clients[from].Do(t.Context(), "migrate", host, port, "", 0, 1000, "keys", "fleet:{0}", "fleet:{0}:lock").Err())
		for _, at := range []int{to, from, 3 - to - from} {
			err = errors.Join(err, clients[at].Do(t.Context(), "cluster", "setslot", slot, "node", ids[to]).Err())
		}
		moved <- err
	}()
	c := hotKey(t, p, "lock", 5)
	m := played(t, p, c, p.stage())
	if err := <-moved; err != nil {
		t.Fatal(err)
	}
	if m.Moved == 0 || m.Cache.Failed > 0 || m.Cycles.Starts.Most != 1 {
		t.Errorf("%d moved, %d failed, up to %d fetches an expiry", m.Moved, m.Cache.Failed, m.Cycles.Starts.Most)
	}
}

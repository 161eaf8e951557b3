package embedded_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/cachectl/cachectl/backends/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fakeClock stands still until it is told to go on.
type fakeClock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *fakeClock { return &fakeClock{at: time.Unix(1_790_000_000, 0)} }

func (k *fakeClock) now() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.at
}

func (k *fakeClock) pass(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.at = k.at.Add(d)
}

func start(t *testing.T, o embedded.Options) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func client(t *testing.T, s *embedded.Server) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{
		Addr:       "mem",
		MaxRetries: -1,
		Dialer:     func(ctx context.Context, _, _ string) (net.Conn, error) { return s.Dial(ctx) },
	})
	t.Cleanup(func() { c.Close() })
	return c
}

// one is a client with an empty server of its own.
func one(t *testing.T, o embedded.Options) *redis.Client { return client(t, start(t, o)) }

// do runs a command that must not fail.
func do(t *testing.T, c redis.UniversalClient, args ...any) any {
	t.Helper()
	v, err := c.Do(t.Context(), args...).Result()
	if err != nil && err != redis.Nil {
		t.Fatalf("%v: %v", args, err)
	}
	return v
}

func info(t *testing.T, c redis.UniversalClient, section, field string) string {
	t.Helper()
	return c.(*redis.Client).InfoMap(t.Context(), section).Item(map[string]string{
		"stats": "Stats", "server": "Server", "memory": "Memory", "keyspace": "Keyspace", "clients": "Clients",
	}[section], field)
}

func TestTTLTicks(t *testing.T) {
	clock := newClock()
	c := one(t, embedded.Options{Now: clock.now})
	do(t, c, "SET", "short", "v", "PX", 1500)
	do(t, c, "SET", "long", "v", "EX", 100)
	clock.pass(time.Second)
	if got := do(t, c, "PTTL", "short"); got != int64(500) {
		t.Errorf("PTTL after a second is %v, want 500", got)
	}
	if got, want := do(t, c, "PEXPIRETIME", "long"), clock.now().Add(99*time.Second).UnixMilli(); got != want {
		t.Errorf("PEXPIRETIME is %v, want %v", got, want)
	}
	clock.pass(600 * time.Millisecond)
	if got := do(t, c, "EXISTS", "short", "long"); got != int64(1) {
		t.Errorf("EXISTS counts %v keys, want 1", got)
	}
	if got := info(t, c, "stats", "expired_keys"); got != "1" {
		t.Errorf("expired_keys is %s, want 1", got)
	}
	if got := info(t, c, "keyspace", "db0"); got != "keys=1,expires=1,avg_ttl=98400" {
		t.Errorf("db0 is %s", got)
	}
}

func TestNoTouchKeepsTheAge(t *testing.T) {
	clock := newClock()
	s := start(t, embedded.Options{Now: clock.now})
	c := client(t, s)
	do(t, c, "SET", "k", "v")
	quiet := client(t, s).Conn()
	defer quiet.Close()
	if err := quiet.Process(t.Context(), redis.NewStatusCmd(t.Context(), "CLIENT", "NO-TOUCH", "ON")); err != nil {
		t.Fatal(err)
	}
	clock.pass(time.Minute)
	if err := quiet.Get(t.Context(), "k").Err(); err != nil {
		t.Fatal(err)
	}
	for _, look := range [][]any{{"TYPE", "k"}, {"TTL", "k"}, {"EXISTS", "k"}, {"OBJECT", "ENCODING", "k"}, {"MEMORY", "USAGE", "k"}, {"SCAN", 0}} {
		do(t, c, look...)
	}
	if got := do(t, c, "OBJECT", "IDLETIME", "k"); got != int64(60) {
		t.Errorf("idle time after looking is %v, want 60", got)
	}
	if err := quiet.Touch(t.Context(), "k").Err(); err != nil {
		t.Fatal(err)
	}
	if got := do(t, c, "OBJECT", "IDLETIME", "k"); got != int64(0) {
		t.Errorf("idle time after TOUCH is %v, want 0", got)
	}
	clock.pass(5 * time.Second)
	do(t, c, "GET", "k")
	if got := do(t, c, "OBJECT", "IDLETIME", "k"); got != int64(0) {
		t.Errorf("idle time after GET is %v, want 0", got)
	}
}

func TestFrequencyNeedsItsPolicy(t *testing.T) {
	clock := newClock()
	c := one(t, embedded.Options{Now: clock.now})
	do(t, c, "SET", "k", "v")
	if err := c.ObjectFreq(t.Context(), "k").Err(); err == nil {
		t.Error("OBJECT FREQ answers under an LRU policy")
	}
	do(t, c, "CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
	if err := c.ObjectIdleTime(t.Context(), "k").Err(); err == nil {
		t.Error("OBJECT IDLETIME answers under an LFU policy")
	}
	for range 200 {
		do(t, c, "GET", "k")
	}
	hot := c.ObjectFreq(t.Context(), "k").Val()
	if hot < 7 || hot > 30 {
		t.Errorf("frequency after 200 reads is %d, not around 10", hot)
	}
	clock.pass(3 * time.Minute)
	if got := c.ObjectFreq(t.Context(), "k").Val(); got != hot-3 {
		t.Errorf("frequency three minutes later is %d, want %d", got, hot-3)
	}
	if got := info(t, c, "memory", "maxmemory_policy"); got != "allkeys-lfu" {
		t.Errorf("maxmemory_policy is %s", got)
	}
}

func next(number string) string {
	n, _ := strconv.Atoi(number)
	return strconv.Itoa(n + 1)
}

func TestInfo(t *testing.T) {
	c := one(t, embedded.Options{})
	do(t, c, "SET", "k", "v")
	before := info(t, c, "stats", "total_error_replies") // the client tries commands of newer servers
	if err := c.Do(t.Context(), "NOSUCH").Err(); err == nil {
		t.Fatal("NOSUCH is known")
	}
	for section, fields := range map[string][]string{
		"server":  {"redis_version", "redis_mode", "run_id", "uptime_in_seconds", "process_id", "tcp_port", "server_name"},
		"clients": {"connected_clients"},
		"memory":  {"used_memory", "maxmemory", "maxmemory_policy"},
		"stats":   {"total_commands_processed", "total_connections_received", "evicted_keys"},
	} {
		for _, field := range fields {
			if info(t, c, section, field) == "" {
				t.Errorf("INFO %s has no %s", section, field)
			}
		}
	}
	if got := info(t, c, "stats", "total_error_replies"); got != next(before) {
		t.Errorf("total_error_replies is %s after %s and one error", got, before)
	}
	if got := info(t, c, "clients", "connected_clients"); got != "1" {
		t.Errorf("connected_clients is %s, want 1", got)
	}
	whole := c.InfoMap(t.Context(), "server", "keyspace").Val()
	if len(whole) != 2 {
		t.Errorf("INFO server keyspace has sections %v", whole)
	}
	for _, every := range []string{"all", "default", "everything"} {
		if got := len(c.InfoMap(t.Context(), every).Val()); got < 9 {
			t.Errorf("INFO %s has %d sections", every, got)
		}
	}
}

func TestListenAndClose(t *testing.T) {
	s := start(t, embedded.Options{Sample: true})
	addr, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, DialerRetries: 1})
	defer c.Close()
	mem := client(t, s)
	if a, b := c.DBSize(t.Context()).Val(), mem.DBSize(t.Context()).Val(); a == 0 || a != b {
		t.Errorf("%d keys by TCP, %d in memory", a, b)
	}
	_, port, _ := net.SplitHostPort(addr)
	if got := info(t, c, "server", "tcp_port"); got != port {
		t.Errorf("tcp_port is %s, want %s", got, port)
	}
	if _, err := s.Listen(addr); err == nil {
		t.Error("the same address twice")
	}
	s.Close()
	s.Close()
	if _, err := s.Dial(t.Context()); err == nil {
		t.Error("Dial after Close")
	}
	if _, err := s.Listen("127.0.0.1:0"); err == nil {
		t.Error("Listen after Close")
	}
	if err := c.Ping(t.Context()).Err(); err == nil {
		t.Error("PING after Close")
	}
}

// Close does not wait for a client that has stopped reading.
func TestCloseWithADeafClient(t *testing.T) {
	s := start(t, embedded.Options{Sample: true})
	conn, err := s.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 5 {
		if _, err := conn.Write([]byte("*2\r\n$3\r\nGET\r\n$14\r\nreport:2026-q3\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	s.Close()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("Close took %v", took)
	}
}

// A client that writes all before it reads gets all.
func TestLongPipeline(t *testing.T) {
	c := one(t, embedded.Options{Sample: true})
	pipe := c.Pipeline()
	for i := range 3000 {
		pipe.Get(t.Context(), fmt.Sprintf("product:%04d", i%500))
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestPubSub(t *testing.T) {
	c := one(t, embedded.Options{})
	sub := c.Subscribe(t.Context(), "news")
	defer sub.Close()
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := c.Publish(t.Context(), "news", "hello").Val(); n != 1 {
		t.Errorf("%d receivers, want 1", n)
	}
	if m, err := sub.ReceiveMessage(t.Context()); err != nil || m.Payload != "hello" {
		t.Errorf("received %v, %v", m, err)
	}
}

func TestAdministration(t *testing.T) {
	c := one(t, embedded.Options{})
	for line, want := range map[string]string{
		"acl whoami":                                "default",
		"client setname me":                         "OK",
		"client setinfo lib-name test":              "OK",
		"client no-evict on":                        "OK",
		"client no-touch maybe":                     "ERR syntax error",
		"config get maxmemory-*":                    "map[maxmemory-policy:allkeys-lru maxmemory-samples:5]",
		"config set maxmemory 100mb":                "OK",
		"config set maxmemory-policy fifo":          "ERR CONFIG SET failed",
		"config set nonsense 1":                     "ERR Unknown option",
		"slowlog get":                               "[]",
		"latency latest":                            "[]",
		"cluster info":                              "ERR This instance has cluster support disabled",
		"role":                                      "[master 0 []]",
		"command getkeys zunionstore d 2 a b":       "[d a b]",
		"command getkeys xread count 1 streams a 0": "[a]",
		"select 16":                                 "ERR DB index is out of range",
		"memory usage none":                         "<nil>",
		"memory doctor":                             "Hi Sam",
		"object nonsense k":                         "ERR unknown subcommand 'nonsense'",
		"nosuch":                                    "ERR unknown command",
		"psubscribe [z-a]":                          "ERR this pattern is beyond the embedded server",
		"psubscribe":                                "ERR wrong number of arguments",
	} {
		v, err := c.Do(t.Context(), words(line)...).Result()
		got := fmt.Sprint(v)
		if err != nil && err != redis.Nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s answers %s, want %s", line, got, want)
		}
	}
	if list := c.ClientList(t.Context()).Val(); !strings.Contains(list, "name=me ") || !strings.Contains(list, "lib-name=test") {
		t.Errorf("CLIENT LIST is %s", list)
	}
	hello, _ := do(t, c, "HELLO", 3).(map[any]any)
	if hello["version"] != embedded.Version || hello["proto"] != int64(3) {
		t.Errorf("HELLO answers %v", hello)
	}
}

func TestMonitor(t *testing.T) {
	s := start(t, embedded.Options{})
	conn, err := s.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write([]byte("*1\r\n$7\r\nMONITOR\r\n")); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(conn)
	if got, err := lines.ReadString('\n'); got != "+OK\r\n" {
		t.Fatalf("MONITOR answers %q, %v", got, err)
	}
	do(t, client(t, s), "SET", "a\nkey", "\x00\"")
	const want = `"set" "a\nkey" "\x00\""`
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(line, `"set"`) {
			if !strings.HasSuffix(line, want+"\r\n") {
				t.Errorf("MONITOR shows %s, want %s at the end", line, want)
			}
			return
		}
	}
}

func TestScripts(t *testing.T) {
	c := one(t, embedded.Options{})
	do(t, c, "SET", "k", "v")
	script := `redis.call('GET', KEYS[1]); redis.call('GET', 'none')
		return {redis.call('OBJECT', 'ENCODING', KEYS[1]), redis.call('MEMORY', 'USAGE', KEYS[1]), redis.call('SCAN', '0')[2][1]}`
	got, err := c.Eval(t.Context(), script, []string{"k"}).Slice()
	if err != nil || len(got) != 3 || got[0] != "embstr" || got[2] != "k" {
		t.Errorf("the script returns %v, %v", got, err)
	}
	if h, m := info(t, c, "stats", "keyspace_hits"), info(t, c, "stats", "keyspace_misses"); h != "2" || m != "1" {
		t.Errorf("the script made %s hits and %s misses, want 2 and 1", h, m)
	}
}

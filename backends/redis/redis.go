// Package redis looks into Redis and Valkey servers: one alone, a Cluster, or a
// master that Sentinel watches. It talks through go-redis, which does topology,
// authentication, TLS and single commands; the walks go node by node, because a
// SCAN cursor means something to one server process only.
//
// It keeps to three rules. Looking leaves no mark that the server can be told
// not to make (CLIENT NO-TOUCH), and those it cannot are counted (Footprint).
// A command that is forbidden or missing costs the fact it would have told,
// not the run. Keys are bytes on every path.
package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/cachectl/cachectl/backends"
)

// clientName is what CLIENT LIST shows of our connections.
const clientName = "cachectl"

// A cache is one target: every node that the URL leads to.
type cache struct {
	config
	dial   func(ctx context.Context, network, addr string) (net.Conn, error) // nil: the network
	router redis.UniversalClient                                             // finds the node of a key
	only   *shard                                                            // set on a shard: the cache is this one alone
	whole  *cache                                                            // of a shard: what it is part of
	stop   func() bool                                                       // unhooks the cache from its context

	mu     sync.Mutex
	nodes  map[string]*node     // by address; a node once met stays open until Close
	wires  map[wireKind][]*wire // idle, see borrow
	closed bool

	huge int64 // values above so many bytes are dumped in windows

	lookups *atomic.Int64 // see Footprint
	touches atomic.Bool   // some connection could not be told NO-TOUCH
	noPing  atomic.Bool   // PING is forbidden: asking again would count as an error on the server
}

// Open opens the Redis or Valkey that u names, see Schemes. ctx bounds the life
// of the backend: when it is cancelled, calls under way fail at once.
func Open(ctx context.Context, u *url.URL) (backends.Backend, error) {
	c, err := parseURL(u)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", backends.ErrURL, err)
	}
	return open(ctx, &cache{config: c})
}

// A Dialer makes the connections of OpenDial.
type Dialer func(ctx context.Context) (net.Conn, error)

// OpenDial opens one server that dial leads to, wherever it is. name is what
// the backend calls itself.
func OpenDial(ctx context.Context, name string, dial Dialer) (backends.Backend, error) {
	return open(ctx, &cache{
		config: config{name: name, network: "tcp", addrs: []string{name}, timeout: defaultTimeout},
		dial:   func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
	})
}

func open(ctx context.Context, c *cache) (backends.Backend, error) {
	redis.SetLogger(&logging.VoidLogger{})
	c.nodes, c.lookups, c.whole, c.huge = make(map[string]*node), new(atomic.Int64), c, hugeValue
	c.stop = context.AfterFunc(ctx, c.disconnect)
	if err := c.connect(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// connect sets the router up and makes sure that a server answers.
func (c *cache) connect(ctx context.Context) error {
	switch c.topology {
	case cluster:
		c.route(redis.NewClusterClient(c.clusterOptions()))
		if _, err := c.shards(ctx); err != nil {
			return err
		}
		return nil
	case sentinel:
		shards, err := c.shards(ctx)
		if err != nil {
			return err
		}
		c.route(shards[0].master.client)
	default:
		c.route(c.node(c.addrs[0], false).client)
	}
	err := c.router.Ping(ctx).Err()
	if refused(err) { // connected and known, only PING is forbidden
		return nil
	}
	return fail(ctx, c.addrs[0], err)
}

// route sets the router. The context may end, and disconnect run, meanwhile.
func (c *cache) route(r redis.UniversalClient) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.router = r
}

// Name is the target's URL without its password.
func (c *cache) Name() string { return c.name }

// Close closes all connections. A shard is closed by its parent.
func (c *cache) Close() error {
	if c.only != nil {
		return nil
	}
	c.stop()
	c.disconnect()
	return nil
}

func (c *cache) disconnect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cc, ok := c.router.(*redis.ClusterClient); ok {
		cc.Close()
	}
	c.dropWires()
	for _, n := range c.nodes {
		n.client.Close()
		if n.filler != nil {
			n.filler.Close()
		}
		if n.speaker != nil {
			n.speaker.Close()
		}
	}
}

// Footprint is the number of lookups made that the servers count as hits or misses.
func (c *cache) Footprint() int64 { return c.lookups.Load() }

// options are those of a connection to one server.
func (c *cache) options(addr string, replica bool) *redis.Options {
	o := &redis.Options{
		Network: c.network, Addr: addr, Dialer: c.dial,
		Username: c.user, Password: c.password, DB: c.db, TLSConfig: c.tls,
		DisableIdentity: true,
		OnConnect:       c.onConnect(replica, false),
		DialTimeout:     c.timeout, ReadTimeout: 2 * c.timeout, WriteTimeout: c.timeout,
		ContextTimeoutEnabled: true,
		DialerRetries:         1,
		MaxRetries:            1, MinRetryBackoff: 50 * time.Millisecond, MaxRetryBackoff: 500 * time.Millisecond,
		PoolSize:       4,
		ReadBufferSize: 64 << 10, WriteBufferSize: 64 << 10,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	o.Dialer = guarded(o)
	return o
}

func (c *cache) clusterOptions() *redis.ClusterOptions {
	return &redis.ClusterOptions{
		Addrs:    c.addrs,
		Dialer:   c.options("", false).Dialer,
		Username: c.user, Password: c.password, TLSConfig: c.tls,
		DisableIdentity: true,
		ReadOnly:        c.preferReplica,
		OnConnect:       c.onConnect(false, false),
		DialTimeout:     c.timeout, ReadTimeout: 2 * c.timeout, WriteTimeout: c.timeout,
		ContextTimeoutEnabled: true,
		DialerRetries:         1,
		MaxRetries:            1, MinRetryBackoff: 50 * time.Millisecond, MaxRetryBackoff: 500 * time.Millisecond,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// node returns the connection to addr, opening it at the first call.
func (c *cache) node(addr string, replica bool) *node {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ok := c.nodes[addr]
	if !ok {
		n = &node{addr: addr, replica: replica, client: redis.NewClient(c.options(addr, replica))}
		c.nodes[addr] = n
	}
	return n
}

// fills returns the client that writes values to n.
func (c *cache) fills(n *node) *redis.Client {
	whole := c.whole
	whole.mu.Lock()
	defer whole.mu.Unlock()
	if n.filler == nil {
		o := c.options(n.addr, false)
		o.OnConnect = c.onConnect(false, true)
		n.filler = redis.NewClient(o)
		if whole.closed {
			n.filler.Close()
		}
	}
	return n.filler
}

// A node is one server process.
type node struct {
	addr    string
	replica bool
	client  *redis.Client
	filler  *redis.Client // what writes values; nil before it is first needed. cache.mu guards it
	speaker *redis.Client // what publishes; as filler

	mu    sync.Mutex
	known *profile

	allStrings atomic.Int32 // above 0: the last keys dumped were short strings, see dump.fast
}

// A profile is what must be known of a server before it is asked about keys.
type profile struct {
	runID    string // "" where INFO is forbidden
	silent   error  // why INFO told nothing
	version  version
	valkey   bool
	cluster  bool
	policy   string // eviction policy; "" unknown
	fieldTTL bool   // some hash may have fields with a TTL
}

// profile asks the server once, and again where fresh is set. Where INFO is
// forbidden the profile is empty and not an error.
func (n *node) profile(ctx context.Context, db int, fresh bool) (profile, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known != nil && !fresh {
		return *n.known, nil
	}
	// Several sections in one INFO are understood from Redis 7.0 only.
	var infos [3]*redis.StringCmd
	_, err := n.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, section := range []string{"server", "memory", "keyspace"} {
			infos[i] = p.Info(ctx, section)
		}
		return nil
	})
	if broken(err) {
		return profile{}, fail(ctx, n.addr, err)
	}
	server, memory, keyspace := parseInfo(infos[0].Val()), parseInfo(infos[1].Val()), parseInfo(infos[2].Val())
	p := profile{
		runID:   server["run_id"],
		cluster: server["redis_mode"] == "cluster" || server["server_mode"] == "cluster",
		policy:  memory["maxmemory_policy"],
		valkey:  server["valkey_version"] != "",
	}
	if refused(infos[0].Err()) {
		p.silent = infos[0].Err()
	}
	p.version = parseVersion(server["redis_version"])
	if p.valkey {
		p.version = parseVersion(server["valkey_version"])
	}
	p.fieldTTL = keyspaceNumber(keyspace[fmt.Sprintf("db%d", db)], "subexpiry") > 0
	n.known = &p
	return p, nil
}

// sameProcess tells whether the server is still the one that p was read from,
// by the run ID that it told then.
func (n *node) sameProcess(ctx context.Context, db int, p profile) (bool, error) {
	now, err := n.profile(ctx, db, true)
	if err != nil {
		return false, err
	}
	return now.runID == p.runID, nil
}

var errRestarted = errors.New("the server restarted or was replaced in the middle of the walk")

// Package embedded is mem://, a Redis-compatible server inside the process, for
// people who have no server yet. It is miniredis behind a hook that sees every
// command first and adds what miniredis lacks: hit and miss counters, INFO,
// SCAN with cursors, MEMORY USAGE, OBJECT, MONITOR, DUMP of every type, idle
// times and frequencies, and a small shop as sample data:
//
//	connection -> hook (clock, accounting, own answers) -> miniredis
//
// It knows nothing about cachectl. Start, Dial, and hand the connection to a
// Redis client.
//
// What a test against it does not prove: anything about memory (sizes are a
// model of Redis 7, written down in size.go), about eviction (there is none),
// about speed, about the order and the repeats of a real SCAN, about
// replication, clusters, users and TLS. Inside MULTI miniredis alone answers,
// so that OBJECT and MEMORY are not to be had there.
package embedded

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// Version is the Redis version that the server says it is compatible with.
const Version = "7.2.0"

// Options say what the server starts with. The zero value is an empty server
// that runs by the real clock.
type Options struct {
	Sample bool             // load the sample data
	Now    func() time.Time // the server's clock; nil means time.Now. Called concurrently
}

// A Server is a running server. It is safe for concurrent use. The caller owes
// it a Close.
type Server struct {
	db    *miniredis.Miniredis // its lock guards the fields marked (db)
	srv   *server.Server
	shape shape
	clock clock
	id    string // run_id
	port  atomic.Int64

	stats  stats                  // (db)
	access map[int]map[string]use // (db) last access and frequency by database and key
	config map[string]string      // (db)
	random *rand.Rand             // (db)
	rate   [2]sample              // (db) the last two, a second apart at least

	commands, errors, connections, live atomic.Int64
	received, sent                      atomic.Int64

	mu        sync.Mutex // guards what follows
	clients   map[*server.Peer]*client
	lastID    int64
	listeners []net.Listener
	closed    bool

	work sync.WaitGroup // every goroutine that this package starts
}

// What INFO reports and only the hook can know.
type stats struct{ hits, misses, expired int64 }

// A sample is how many commands had come by then.
type sample struct {
	at       time.Time
	commands int64
}

// Start starts a server. It opens no port and reads no file.
func Start(o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{
		db:      miniredis.NewMiniRedis(),
		access:  map[int]map[string]use{},
		config:  defaults(),
		random:  rand.New(rand.NewPCG(7, 2)),
		clients: map[*server.Peer]*client{},
	}
	// Dial is the one way to start miniredis without a listener.
	first, err := s.db.Dial()
	if err != nil {
		return nil, fmt.Errorf("start embedded server: %w", err)
	}
	first.Close()
	s.srv = s.db.Server()
	if s.shape, err = probe(s.srv); err != nil {
		s.db.Close()
		return nil, fmt.Errorf("start embedded server: %w", err)
	}
	s.clock.start(o.Now, s.db)
	s.id = runID(s.clock.began)
	s.rate = [2]sample{{at: s.clock.began}, {at: s.clock.began}}
	if o.Sample {
		if err := s.load(); err != nil {
			s.db.Close()
			return nil, fmt.Errorf("load sample data: %w", err)
		}
	}
	s.srv.SetPreHook(s.hook)
	return s, nil
}

// Close ends all connections and listeners and returns when no goroutine of the
// server is left. Closing twice is not an error.
func (s *Server) Close() {
	s.mu.Lock()
	listeners := s.listeners
	s.listeners, s.closed = nil, true
	s.mu.Unlock()
	for _, l := range listeners {
		l.Close()
	}
	s.db.Close()
	s.work.Wait()
}

var errClosed = errors.New("embedded server is closed")

// A clock moves the time of miniredis, which takes off every TTL and deletes
// what is expired. That costs a walk over all keys, so time moves in steps of
// 10 ms at least, and of more where the walk itself takes long: never more than
// a twentieth of the server's time goes into it.
type clock struct {
	now   func() time.Time
	db    *miniredis.Miniredis
	began time.Time

	at atomic.Pointer[time.Time] // readable without mu: a script must not wait for it

	mu   sync.Mutex // one step at a time
	step time.Duration
}

const minStep = 10 * time.Millisecond

func (k *clock) start(now func() time.Time, db *miniredis.Miniredis) {
	k.now, k.db, k.began, k.step = now, db, now(), minStep
	k.at.Store(&k.began)
	db.SetTime(k.began)
	db.ClockTTL(true)
}

// tick brings the server's time up to date and returns it. expiring is called
// before keys are deleted, with the time that is taken off. Not to be called
// with the lock of miniredis held.
func (k *clock) tick(expiring func(elapsed time.Duration)) time.Time {
	now := k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	at := *k.at.Load()
	elapsed := now.Sub(at)
	if elapsed >= 0 && elapsed < k.step {
		return at
	}
	started := time.Now()
	if elapsed > 0 {
		expiring(elapsed)
	}
	k.at.Store(&now)
	k.db.SetTime(now)
	k.db.DB(0) // looking a database up is what lets miniredis take the time off
	k.step = max(minStep, 20*time.Since(started))
	return now
}

package memcached

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// Counters beside those that every cache has. They grow while a process lives,
// unless somebody sends "stats reset".
//
// backends.Hits and backends.Misses are get_hits and get_misses: of get, gets
// and mg. What an application does by other commands distorts them:
//
//   - gat and touch count as TouchHits and TouchMisses, and the two cannot be
//     told apart; gat is no part of Hits and Misses.
//   - mg with T counts a hit as TouchHits, but a miss as Misses: a fleet that
//     reads like this shows no hits at all.
//   - mg with N (vivify) counts a miss as a hit.
//   - me counts as MetaInspections only.
//
// Where Touches are a good part of the lookups, hits/(hits+misses) is therefore
// not the application's hit rate.
//
// Misses have reasons only in part: MissedExpired and MissedFlushed are lower
// bounds, because what the crawler took away before anybody asked for it is an
// ordinary miss.
const (
	Touches         backends.Counter = "cmd_touch" // touch, gat, and mg with T that hit
	Gets            backends.Counter = "cmd_get"   // get, gets and mg
	Sets            backends.Counter = "cmd_set"
	Flushes         backends.Counter = "cmd_flush"
	MetaInspections backends.Counter = "cmd_meta"

	EvictedUnfetched backends.Counter = "evicted_unfetched" // evicted and never read
	EvictedActive    backends.Counter = "evicted_active"    // evicted though in use
	ExpiredUnfetched backends.Counter = "expired_unfetched"
	Reclaimed        backends.Counter = "reclaimed"         // expired or flushed items whose memory a new one took
	CrawlerReclaimed backends.Counter = "crawler_reclaimed" // the same, found by the crawler
	DirectReclaims   backends.Counter = "direct_reclaims"   // evictions that a client's set had to wait for
	DeleteHits       backends.Counter = "delete_hits"
	DeleteMisses     backends.Counter = "delete_misses"
	CASMismatches    backends.Counter = "cas_badval"
	RejectedConns    backends.Counter = "rejected_connections"
	ListenDisabled   backends.Counter = "listen_disabled_num" // times that maxconns was reached
	Connections      backends.Counter = "total_connections"
)

// Where each counter stands in "stats". The extra ones have the server's names.
var statFields = map[backends.Counter]string{
	backends.Hits:       "get_hits",
	backends.Misses:     "get_misses",
	backends.Evicted:    "evictions",
	backends.Keys:       "curr_items", // counts expired ones until somebody finds them
	backends.UsedMemory: "bytes",      // of items, not of the slab pages around them
	backends.MaxMemory:  "limit_maxbytes",
	backends.Clients:    "curr_connections",
}

var extraCounters = []backends.Counter{
	backends.TouchHits, backends.TouchMisses, Touches, Gets, Sets, Flushes, MetaInspections, backends.MissedExpired, backends.MissedFlushed,
	EvictedUnfetched, EvictedActive, ExpiredUnfetched, Reclaimed, CrawlerReclaimed, DirectReclaims,
	DeleteHits, DeleteMisses, CASMismatches, RejectedConns, ListenDisabled, Connections,
}

// Of these, Commands is the sum: memcached has no total. It leaves out stats,
// version and the like.
var commandFields = []string{
	"cmd_get", "cmd_set", "cmd_flush", "cmd_touch", "cmd_meta",
	"delete_hits", "delete_misses", "incr_hits", "incr_misses", "decr_hits", "decr_misses",
}

// The three ways by which an expired item goes: a lookup finds it, a set takes
// its memory, the crawler meets it. Flushed items go the latter two ways too.
var expiredFields = []string{"get_expired", "reclaimed", "crawler_reclaimed"}

// A statsArg is what may stand behind "stats". It is a closed set, because since
// 1.6.40 a server takes any beginning of a word for the word, and "stats r"
// resets all counters (proto_text.c).
type statsArg string

const (
	general  statsArg = "stats"
	settings statsArg = "stats settings"
	slabs    statsArg = "stats slabs"
	items    statsArg = "stats items"
)

// A server tells about 100 general statistics, and 16 for each of 63 slab classes.
const mostStats = 10_000

// stats asks for one group of statistics.
func (c *conn) stats(arg statsArg) (map[string]string, error) {
	line, err := c.ask(string(arg))
	values := make(map[string]string)
	for ; err == nil; line, err = c.line() {
		text := string(line)
		if text == "END" {
			return values, nil
		}
		name, value, err := parseStat(text)
		if err != nil {
			return nil, err
		}
		if values[name] = value; len(values) > mostStats {
			return nil, fmt.Errorf("%w to %s: more than %d values", errProtocol, arg, mostStats)
		}
	}
	return nil, err
}

// parseStat reads "STAT name value". A value may hold spaces or be empty.
func parseStat(line string) (name, value string, err error) {
	rest, ok := strings.CutPrefix(line, "STAT ")
	if ok {
		name, value, _ = strings.Cut(rest, " ")
	}
	if name == "" {
		return "", "", unexpected("stats", []byte(line))
	}
	return name, value, nil
}

// optional is stats where the server may lack the group: then there is nothing.
func (c *conn) optional(arg statsArg) (map[string]string, error) {
	values, err := c.stats(arg)
	if refused(err) {
		return nil, nil
	}
	return values, err
}

// Stats reads every node.
func (c *cache) Stats(ctx context.Context) ([]backends.Stats, error) {
	ctx, release := c.bound(ctx)
	defer release()
	return c.gather(ctx, (*node).stats)
}

func (n *node) stats(ctx context.Context) (backends.Stats, error) {
	s := backends.Stats{Node: n.addr, Software: "memcached"}
	err := n.do(ctx, func(c *conn) error {
		start := time.Now()
		if _, err := c.ask("version"); err != nil {
			return err
		}
		s.RTT = time.Since(start)
		values, err := c.stats(general)
		if err != nil {
			return err
		}
		s.At = time.Now()
		conf, err := c.optional(settings)
		if err != nil {
			return err
		}
		fillStats(&s, values, conf)
		if s.Version == "" {
			s.Version = c.version
		}
		n.learn(c, values, conf, s.At)
		return nil
	})
	return s, err
}

// fillStats reads "stats" and "stats settings" into s. What they do not tell
// stays unknown.
func fillStats(s *backends.Stats, values, conf map[string]string) {
	s.Counts = make(map[backends.Counter]uint64)
	s.Version = values["version"]
	if sec, err := strconv.ParseInt(values["uptime"], 10, 32); err == nil {
		s.Uptime = time.Duration(sec) * time.Second
	}
	s.RunID = runID(values)
	switch {
	case conf["evictions"] == "off":
		s.Policy = "noeviction"
	case conf["evictions"] == "on" && conf["lru_segmented"] == "yes":
		s.Policy = "segmented-lru"
	case conf["evictions"] == "on":
		s.Policy = "lru"
	}
	for counter, field := range statFields {
		if n, err := strconv.ParseUint(values[field], 10, 64); err == nil {
			s.Counts[counter] = n
		}
	}
	for _, counter := range extraCounters {
		if n, err := strconv.ParseUint(values[string(counter)], 10, 64); err == nil {
			s.Counts[counter] = n
		}
	}
	for counter, fields := range map[backends.Counter][]string{backends.Commands: commandFields, backends.Expired: expiredFields} {
		if n, known := sum(values, fields); known {
			s.Counts[counter] = n
		}
	}
}

// runID names a server process: its number alone is 1 in every container. The
// server's clock and its uptime tick together, so their difference stands still.
func runID(values map[string]string) string {
	now, err := strconv.ParseInt(values["time"], 10, 64)
	up, err2 := strconv.ParseInt(values["uptime"], 10, 64)
	if err != nil || err2 != nil || values["pid"] == "" {
		return ""
	}
	return fmt.Sprintf("%s-%d", values["pid"], now-up)
}

// sum adds up those of the fields that the server tells; older ones have fewer.
func sum(values map[string]string, fields []string) (total uint64, known bool) {
	for _, field := range fields {
		if n, err := strconv.ParseUint(values[field], 10, 64); err == nil {
			total += n
			known = true
		}
	}
	return total, known
}

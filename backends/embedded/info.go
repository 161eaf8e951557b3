package embedded

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// runID is the 40 hex digits by which a client knows a restarted server: here
// by the time of its start.
func runID(began time.Time) string {
	sum := sha1.Sum([]byte(began.UTC().Format(time.RFC3339Nano)))
	return hex.EncodeToString(sum[:])
}

// The sections of INFO, in their order. The last ones are not in the default.
var sections = []string{
	"server", "clients", "memory", "persistence", "stats", "replication", "cpu", "modules", "errorstats", "cluster",
	"keyspace", "commandstats",
}

const defaultSections = 11

func (c *call) info() bool {
	want := map[string]bool{}
	add := func(names ...string) {
		for _, name := range names {
			want[name] = true
		}
	}
	if len(c.args) == 0 {
		add(sections[:defaultSections]...)
	}
	for _, arg := range c.args {
		switch name := strings.ToLower(arg); name {
		case "default":
			add(sections[:defaultSections]...)
		case "all", "everything":
			add(sections...)
		default:
			add(name)
		}
	}
	var blocks []string
	c.locked(func() {
		for _, name := range sections {
			if want[name] {
				blocks = append(blocks, c.section(name))
			}
		}
	})
	// Redis 7 sends it as a verbatim string in RESP 3, which clients read alike.
	return c.bulk(strings.Join(blocks, "\r\n"))
}

// lines writes a section: a title, then names and values in turn.
func lines(title string, fields ...any) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\r\n", title)
	for i := 0; i+1 < len(fields); i += 2 {
		fmt.Fprintf(&b, "%v:%v\r\n", fields[i], fields[i+1])
	}
	return b.String()
}

// section writes one section. The lock is held.
func (c *call) section(name string) string {
	s := c.s
	switch name {
	case "server":
		up := int(c.now.Sub(s.clock.began).Seconds())
		return lines("Server", "redis_version", Version, "server_name", "cachectl-embedded", "redis_mode", "standalone",
			"os", runtime.GOOS, "arch_bits", 64, "process_id", os.Getpid(), "run_id", s.id, "tcp_port", s.port.Load(),
			"server_time_usec", c.now.UnixMicro(), "uptime_in_seconds", up, "uptime_in_days", up/86400,
			"hz", 10, "configured_hz", 10, "io_threads_active", 0)
	case "clients":
		return lines("Clients", "connected_clients", s.live.Load(), "cluster_connections", 0,
			"maxclients", s.config["maxclients"], "blocked_clients", 0)
	case "memory":
		used := s.used()
		return lines("Memory", "used_memory", used, "used_memory_human", human(used), "used_memory_rss", used,
			"used_memory_rss_human", human(used), "used_memory_peak", used, "used_memory_peak_human", human(used),
			"used_memory_startup", sizeServer, "used_memory_dataset", used-sizeServer,
			"maxmemory", s.config["maxmemory"], "maxmemory_policy", s.config["maxmemory-policy"],
			"mem_fragmentation_ratio", "1.00", "mem_allocator", "go", "lazyfree_pending_objects", 0)
	case "persistence":
		return lines("Persistence", "loading", 0, "rdb_changes_since_last_save", 0, "rdb_bgsave_in_progress", 0,
			"rdb_last_save_time", s.clock.began.Unix(), "rdb_last_bgsave_status", "ok", "aof_enabled", 0)
	case "stats":
		return lines("Stats", "total_connections_received", s.connections.Load(),
			"total_commands_processed", s.commands.Load(), "instantaneous_ops_per_sec", s.opsPerSecond(c.now),
			"total_net_input_bytes", s.received.Load(), "total_net_output_bytes", s.sent.Load(),
			"rejected_connections", 0, "expired_keys", s.stats.expired, "evicted_keys", 0,
			"keyspace_hits", s.stats.hits, "keyspace_misses", s.stats.misses,
			"total_error_replies", s.errors.Load())
	case "replication":
		return lines("Replication", "role", "master", "connected_slaves", 0, "master_replid", s.id,
			"master_repl_offset", 0)
	case "cpu":
		return lines("CPU", "used_cpu_sys", "0.000000", "used_cpu_user", "0.000000")
	case "modules":
		return lines("Modules")
	case "errorstats":
		return lines("Errorstats")
	case "cluster":
		return lines("Cluster", "cluster_enabled", 0)
	case "commandstats":
		return lines("Commandstats")
	case "keyspace":
		return c.keyspaceSection()
	}
	return ""
}

// opsPerSecond is the rate of commands over the last second or two. The lock is held.
func (s *Server) opsPerSecond(now time.Time) int64 {
	from := s.rate[0]
	if seconds := now.Sub(from.at).Seconds(); seconds > 0 {
		return int64(float64(max(0, s.commands.Load()-from.commands)) / seconds)
	}
	return 0
}

func (c *call) keyspaceSection() string {
	var dbs []int
	spaces := map[int]keyspace{}
	for n, space := range c.s.keyspaces() {
		if space.len() > 0 {
			dbs, spaces[n] = append(dbs, n), space
		}
	}
	slices.Sort(dbs)
	var fields []any
	for _, n := range dbs {
		var expires, sum int64
		for _, left := range spaces[n].ttls() {
			expires++
			sum += left.Milliseconds()
		}
		fields = append(fields, fmt.Sprintf("db%d", n),
			fmt.Sprintf("keys=%d,expires=%d,avg_ttl=%d", spaces[n].len(), expires, sum/max(1, expires)))
	}
	return lines("Keyspace", fields...)
}

// human writes bytes as Redis does (bytesToHuman).
func human(n int) string {
	for _, unit := range []struct {
		size int
		name string
	}{{1 << 30, "G"}, {1 << 20, "M"}, {1 << 10, "K"}} {
		if n >= unit.size {
			return fmt.Sprintf("%.2f%s", float64(n)/float64(unit.size), unit.name)
		}
	}
	return fmt.Sprintf("%dB", n)
}

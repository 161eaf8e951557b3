package embedded

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Databases are as many as a server has by default.
const databases = 16

// defaults is the configuration at the start. The policy is one under which
// idle times are known; CONFIG SET to one that ends in -lfu shows frequencies.
func defaults() map[string]string {
	return map[string]string{
		"maxmemory":                 "0",
		"maxmemory-policy":          "allkeys-lru",
		"maxmemory-samples":         "5",
		"maxclients":                "10000",
		"databases":                 strconv.Itoa(databases),
		"timeout":                   "0",
		"save":                      "",
		"appendonly":                "no",
		"notify-keyspace-events":    "",
		"lfu-log-factor":            "10",
		"lfu-decay-time":            "1",
		"lazyfree-lazy-user-del":    "no",
		"lazyfree-lazy-expire":      "no",
		"slowlog-log-slower-than":   "10000",
		"slowlog-max-len":           "128",
		"latency-monitor-threshold": "0",
		"hash-max-listpack-entries": strconv.Itoa(maxHashFields),
		"hash-max-listpack-value":   strconv.Itoa(maxCompactValue),
		"zset-max-listpack-entries": strconv.Itoa(maxZSetMembers),
		"zset-max-listpack-value":   strconv.Itoa(maxCompactValue),
		"set-max-listpack-entries":  strconv.Itoa(maxSetMembers),
		"set-max-listpack-value":    strconv.Itoa(maxCompactValue),
		"set-max-intset-entries":    strconv.Itoa(maxSetIntegers),
		"list-max-listpack-size":    "-2",
	}
}

var policies = []string{
	"volatile-lru", "allkeys-lru", "volatile-lfu", "allkeys-lfu", "volatile-random", "allkeys-random", "volatile-ttl", "noeviction",
}

// configure answers CONFIG. What is set is remembered; only the policy has an
// effect, on OBJECT. maxmemory evicts nothing.
func (c *call) configure() bool {
	switch c.sub() {
	case "GET":
		return c.configGet(c.args[1:])
	case "SET":
		return c.configSet(c.args[1:])
	case "RESETSTAT":
		c.s.commands.Store(0)
		c.s.errors.Store(0)
		c.s.connections.Store(0)
		c.s.received.Store(0)
		c.s.sent.Store(0)
		c.locked(func() { c.s.stats = stats{} })
		return c.ok()
	case "REWRITE":
		return c.fail("ERR The server is running without a config file")
	}
	return c.unknown()
}

func (c *call) configGet(patterns []string) bool {
	if len(patterns) == 0 {
		return c.arity("config|get")
	}
	found := map[string]string{}
	c.locked(func() {
		for name, value := range c.s.config {
			for _, p := range patterns {
				if glob(strings.ToLower(p), name) {
					found[name] = value
				}
			}
		}
	})
	c.WriteMapLen(len(found))
	for _, name := range slices.Sorted(maps.Keys(found)) {
		c.WriteBulk(name)
		c.WriteBulk(found[name])
	}
	return true
}

func (c *call) configSet(args []string) bool {
	if len(args) == 0 || len(args)%2 != 0 {
		return c.arity("config|set")
	}
	problem := ""
	c.locked(func() {
		for i := 0; i < len(args) && problem == ""; i += 2 {
			problem = c.s.checkConfig(strings.ToLower(args[i]), args[i+1])
		}
		for i := 0; i < len(args) && problem == ""; i += 2 {
			name, value := strings.ToLower(args[i]), args[i+1]
			if name == "maxmemory" {
				n, _ := memorySize(value)
				value = strconv.Itoa(n)
			}
			if name == "maxmemory-policy" {
				value = strings.ToLower(value)
			}
			c.s.config[name] = value
		}
	})
	if problem != "" {
		return c.fail(problem)
	}
	return c.ok()
}

// checkConfig returns the error to answer with, or "".
func (s *Server) checkConfig(name, value string) string {
	if _, ok := s.config[name]; !ok {
		return fmt.Sprintf("ERR Unknown option or number of arguments for CONFIG SET - '%s'", name)
	}
	reason := ""
	switch name {
	case "maxmemory-policy":
		if !slices.Contains(policies, strings.ToLower(value)) {
			reason = "argument must be one of the following: " + strings.Join(policies, ", ")
		}
	case "maxmemory":
		if _, ok := memorySize(value); !ok {
			reason = "argument must be a memory value"
		}
	case "databases":
		return "ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config"
	}
	if reason == "" {
		return ""
	}
	return fmt.Sprintf("ERR CONFIG SET failed (possibly related to argument '%s') - %s", name, reason)
}

// memorySize reads "100mb": k, m, g are thousands, kb, mb, gb are 1024s.
func memorySize(s string) (int, bool) {
	s = strings.ToLower(s)
	unit := 1
	for _, u := range []struct {
		suffix string
		size   int
	}{{"kb", 1 << 10}, {"mb", 1 << 20}, {"gb", 1 << 30}, {"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {"b", 1}} {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			s, unit = rest, u.size
			break
		}
	}
	n, err := strconv.Atoi(s)
	return n * unit, err == nil && n >= 0
}

// clientCommand answers CLIENT.
func (c *call) clientCommand() bool {
	if c.client == nil {
		return c.fail("ERR This Redis command is not allowed from script")
	}
	args := c.args[min(1, len(c.args)):]
	switch sub := c.sub(); sub {
	case "SETNAME":
		if len(args) == 1 && validName(args[0]) {
			c.ClientName = args[0]
			return c.ok()
		}
		if len(args) == 1 {
			return c.fail("ERR Client names cannot contain spaces, newlines or special characters.")
		}
		return c.arity("client|setname")
	case "GETNAME":
		if c.ClientName == "" {
			return c.null()
		}
		return c.bulk(c.ClientName)
	case "SETINFO":
		return c.setInfo(args)
	case "ID":
		return c.integer(int(c.client.id))
	case "INFO":
		return c.bulk(c.client.line(c) + "\n")
	case "LIST":
		return c.list()
	case "NO-TOUCH", "NO-EVICT":
		if len(args) != 1 {
			return c.arity("client|" + strings.ToLower(sub))
		}
		on := strings.EqualFold(args[0], "ON")
		if !on && !strings.EqualFold(args[0], "OFF") {
			return c.fail(errSyntax)
		}
		if sub == "NO-TOUCH" {
			c.client.noTouch = on
		} else {
			c.client.noEvict = on
		}
		return c.ok()
	}
	return c.unknown()
}

func validName(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < '!' || r > '~' })
}

func (c *call) setInfo(args []string) bool {
	if len(args) != 2 {
		return c.arity("client|setinfo")
	}
	i := slices.Index([]string{"LIB-NAME", "LIB-VER"}, strings.ToUpper(args[0]))
	if i < 0 {
		return c.fail(fmt.Sprintf("ERR Unrecognized option '%s'", args[0]))
	}
	if !validName(args[1]) {
		return c.fail(fmt.Sprintf("ERR %s cannot contain spaces, newlines or special characters.", strings.ToLower(args[0])))
	}
	c.s.mu.Lock()
	c.client.lib[i] = args[1]
	c.s.mu.Unlock()
	return c.ok()
}

// list answers CLIENT LIST, by age. Filters are not known.
func (c *call) list() bool {
	if len(c.args) > 1 {
		return c.fail(errSyntax)
	}
	var b strings.Builder
	c.s.mu.Lock()
	all := slices.SortedFunc(maps.Values(c.s.clients), func(a, b *client) int { return cmp.Compare(a.id, b.id) })
	for _, each := range all {
		b.WriteString(each.line(c) + "\n")
	}
	c.s.mu.Unlock()
	return c.bulk(b.String())
}

func (m *client) line(c *call) string {
	return fmt.Sprintf("id=%d addr=127.0.0.1:%d name=%s age=%d db=%d cmd=%s user=default lib-name=%s lib-ver=%s",
		m.id, 40000+m.id%20000, m.name, int(c.now.Sub(m.since).Seconds()), m.db, m.last, m.lib[0], m.lib[1])
}

func (c *call) selectDB() bool {
	if len(c.args) == 1 {
		if n, ok := count(c.args[0]); ok && n >= databases {
			return c.fail("ERR DB index is out of range")
		}
	}
	return false
}

func (c *call) monitor() bool {
	if c.client == nil {
		return c.fail("ERR This Redis command is not allowed from script")
	}
	c.WriteOK()
	c.s.mu.Lock()
	c.client.monitors = true
	c.s.mu.Unlock()
	return true
}

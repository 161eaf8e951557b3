package embedded

import "strings"

// typeOf answers TYPE. miniredis has a type of its own for HyperLogLogs.
func (c *call) typeOf() bool {
	if len(c.args) != 1 {
		return c.arity("type")
	}
	kind := ""
	c.locked(func() { kind = c.s.keyspace(c.db).kind(c.args[0]) })
	if kind == "" {
		kind = "none"
	}
	c.WriteInline(typeName(kind))
	return true
}

// hyperLogLog answers the commands that read a string, for those strings that
// miniredis does not take for one.
func (c *call) hyperLogLog() bool {
	if len(c.args) == 0 {
		return false
	}
	kind := ""
	c.locked(func() { kind = c.s.keyspace(c.db).kind(c.args[0]) })
	if kind != typeHLL {
		return false
	}
	estimate := -1
	if !c.nested {
		estimate, _ = c.s.db.DB(c.db).HllCount(c.args[0])
	}
	s := string(emptyHLL(estimate))
	switch {
	case c.cmd == "GET" && len(c.args) == 1:
		return c.bulk(s)
	case c.cmd == "STRLEN" && len(c.args) == 1:
		return c.integer(len(s))
	case c.cmd == "GETRANGE" && len(c.args) == 3:
		from, ok := count(c.args[1])
		to, too := count(c.args[2])
		if !ok || !too {
			return c.fail(errInteger)
		}
		return c.bulk(cut(s, from, to))
	}
	return c.arity(strings.ToLower(c.cmd))
}

// cut is GETRANGE: both ends count, and from the end when negative.
func cut(s string, from, to int) string {
	if from < 0 {
		from = max(0, len(s)+from)
	}
	if to < 0 {
		to = max(0, len(s)+to)
	}
	to = min(to, len(s)-1)
	if from > to {
		return ""
	}
	return s[from : to+1]
}

const (
	errNotLFU = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. " +
		"Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."
	errNotLRU = "ERR An LFU maxmemory policy is selected, idle time not tracked. " +
		"Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."
)

func (c *call) object() bool {
	sub := c.sub()
	switch sub {
	case "ENCODING", "FREQ", "IDLETIME", "REFCOUNT":
	default:
		return c.unknown()
	}
	if len(c.args) != 2 {
		return c.arity("object|" + strings.ToLower(sub))
	}
	key := c.args[1]
	var exists, lfu bool
	var encoding string
	var u use
	c.locked(func() {
		value := c.s.keyspace(c.db).value(key)
		if exists = value.exists(); exists && sub == "ENCODING" {
			encoding = value.encoding()
		}
		lfu = strings.HasSuffix(c.s.config["maxmemory-policy"], "-lfu")
		u = c.s.use(c.db, key, c.now)
	})
	switch {
	case !exists:
		return c.null()
	case sub == "ENCODING":
		return c.bulk(encoding)
	case sub == "REFCOUNT":
		return c.integer(1)
	case sub == "FREQ" && !lfu:
		return c.fail(errNotLFU)
	case sub == "FREQ":
		return c.integer(int(u.frequency(c.now)))
	case lfu:
		return c.fail(errNotLRU)
	}
	return c.integer(int(u.idle(c.now).Seconds()))
}

// memory answers MEMORY. As on a real server USAGE counts no hit.
func (c *call) memory() bool {
	switch sub := c.sub(); sub {
	case "USAGE":
		if len(c.args) < 2 {
			return c.arity("memory|usage")
		}
		if len(c.args) > 2 {
			if len(c.args) != 4 || !strings.EqualFold(c.args[2], "SAMPLES") {
				return c.fail(errSyntax)
			}
			if n, ok := count(c.args[3]); !ok || n < 0 {
				return c.fail(errInteger)
			}
		}
		size := 0
		c.locked(func() {
			if value := c.s.keyspace(c.db).value(c.args[1]); value.exists() {
				size = value.memory(c.args[1])
			}
		})
		if size == 0 {
			return c.null()
		}
		return c.integer(size)
	case "STATS":
		return c.memoryStats()
	case "DOCTOR":
		return c.bulk("Hi Sam, this is the embedded server: its sizes are a model, so there is nothing to diagnose.\n")
	case "PURGE":
		return c.ok()
	}
	return c.unknown()
}

func (c *call) memoryStats() bool {
	used, keys := 0, 0
	c.locked(func() {
		used = c.s.used()
		for _, space := range c.s.keyspaces() {
			keys += space.len()
		}
	})
	perKey := 0
	if keys > 0 {
		perKey = (used - sizeServer) / keys
	}
	c.WriteMapLen(6)
	for _, f := range []struct {
		name  string
		value int
	}{
		{"peak.allocated", used},
		{"total.allocated", used},
		{"startup.allocated", sizeServer},
		{"dataset.bytes", used - sizeServer},
		{"keys.count", keys},
		{"keys.bytes-per-key", perKey},
	} {
		c.WriteBulk(f.name)
		c.WriteInt(f.value)
	}
	return true
}

// used is the memory of everything. The lock is held.
func (s *Server) used() int {
	n := sizeServer
	for _, space := range s.keyspaces() {
		if space.len() > 0 {
			n += tableSize(space.len())
		}
		for key := range space.all() {
			n += space.value(key).memory(key)
		}
		for range space.ttls() {
			n += sizeDictEntry
		}
	}
	return n
}

package embedded

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// hello answers HELLO with the version that INFO tells. There are no users:
// credentials are taken and ignored, as those of the default user would be.
func (c *call) hello() bool {
	resp3 := c.Resp3
	args := c.args
	if len(args) > 0 {
		version, ok := count(args[0])
		if !ok {
			return c.fail("ERR Protocol version is not an integer or out of range")
		}
		if version != 2 && version != 3 {
			return c.fail("NOPROTO unsupported protocol version")
		}
		resp3, args = version == 3, args[1:]
	}
	name := c.ClientName
	for len(args) > 0 {
		option := strings.ToUpper(args[0])
		switch {
		case option == "AUTH" && len(args) > 2:
			args = args[3:]
		case option == "SETNAME" && len(args) > 1:
			if !validName(args[1]) {
				return c.fail("ERR Client names cannot contain spaces, newlines or special characters.")
			}
			name, args = args[1], args[2:]
		default:
			return c.fail(fmt.Sprintf("ERR Syntax error in HELLO option '%s'", args[0]))
		}
	}
	c.ClientName, c.Resp3 = name, resp3
	var id int64
	if c.client != nil {
		id = c.client.id
	}
	proto := 2
	if resp3 {
		proto = 3
	}
	c.WriteMapLen(7)
	for _, field := range [][2]any{
		{"server", "redis"}, {"version", Version}, {"proto", proto}, {"id", int(id)}, {"mode", "standalone"}, {"role", "master"},
	} {
		c.WriteBulk(field[0].(string))
		if n, ok := field[1].(int); ok {
			c.WriteInt(n)
		} else {
			c.WriteBulk(field[1].(string))
		}
	}
	c.WriteBulk("modules")
	c.WriteLen(0)
	return true
}

// command answers COMMAND with the names of the commands that have keys and
// rough facts about them.
func (c *call) command() bool {
	switch c.sub() {
	case "":
		c.WriteLen(len(commands))
		for _, name := range slices.Sorted(maps.Keys(commands)) {
			c.commandInfo(name)
		}
		return true
	case "COUNT":
		return c.integer(len(commands))
	case "DOCS":
		c.WriteMapLen(0)
		return true
	case "LIST":
		names := slices.Sorted(maps.Keys(commands))
		for i, name := range names {
			names[i] = strings.ToLower(name)
		}
		c.WriteStrings(names)
		return true
	case "INFO":
		c.WriteLen(len(c.args) - 1)
		for _, name := range c.args[1:] {
			c.commandInfo(strings.ToUpper(name))
		}
		return true
	case "GETKEYS":
		return c.getKeys(c.args[1:])
	}
	return c.unknown()
}

func (c *call) commandInfo(name string) {
	spec, ok := commands[name]
	if !ok && !c.s.srv.IsRegisteredCommand(name) && own(name) == nil {
		c.WriteLen(-1)
		return
	}
	flag := "readonly"
	if ok && spec.manner == writes || spec.dest != nil {
		flag = "write"
	}
	first := 0
	if spec.keys != nil {
		first = 1
	}
	c.WriteLen(6)
	c.WriteBulk(strings.ToLower(name))
	c.WriteInt(-1) // arity: at least the name
	c.WriteLen(1)
	c.WriteInline(flag)
	c.WriteInt(first)
	c.WriteInt(first)
	c.WriteInt(first)
}

func (c *call) getKeys(args []string) bool {
	if len(args) == 0 {
		return c.arity("command|getkeys")
	}
	spec, ok := lookup(strings.ToUpper(args[0]), args[1:])
	if !ok || spec.keys == nil {
		return c.fail("ERR The command has no key arguments")
	}
	keys := slices.Clone(spec.keys(args[1:]))
	if spec.dest != nil {
		keys = append(slices.Clone(spec.dest(args[1:])), keys...)
	}
	c.WriteStrings(keys)
	return true
}

// minor answers commands whose answer here is always the same.
func (c *call) minor() bool {
	switch c.cmd + " " + c.sub() {
	case "ACL WHOAMI":
		return c.bulk("default")
	case "ACL USERS":
		c.WriteStrings([]string{"default"})
		return true
	case "LATENCY LATEST", "LATENCY HISTORY", "SLOWLOG GET", "MODULE LIST", "ACL LOG":
		c.WriteLen(0)
		return true
	case "LATENCY HISTOGRAM":
		c.WriteMapLen(0)
		return true
	case "LATENCY RESET", "SLOWLOG LEN":
		return c.integer(0)
	case "SLOWLOG RESET":
		return c.ok()
	case "ROLE ":
		c.WriteLen(3)
		c.WriteBulk("master")
		c.WriteInt(0)
		c.WriteLen(0)
		return true
	case "LASTSAVE ":
		return c.integer(int(c.s.clock.began.Unix()))
	}
	switch c.cmd {
	case "CLUSTER", "READONLY", "READWRITE", "ASKING":
		return c.fail("ERR This instance has cluster support disabled")
	}
	return c.unknown()
}

// channels leaves patterns of channels to miniredis, but for those on which its
// matcher panics: reversed ranges, and bytes that are not UTF-8.
func (c *call) channels() bool {
	if c.nested {
		return false
	}
	for _, arg := range c.args {
		if !c.s.takes(arg) {
			return c.fail("ERR this pattern is beyond the embedded server")
		}
	}
	return false
}

func (s *Server) takes(pattern string) (ok bool) {
	defer func() { ok = recover() == nil }()
	s.db.PubSubChannels(pattern)
	return true
}

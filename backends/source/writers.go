package source

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A writer is what is known of a command.
type writer struct {
	name   string
	key    int  // argument that is the key, counted from the command's name
	least  int  // arguments there are at least, the name included
	secret bool // its arguments may be
	why    string
}

// writers are the commands that write the data of one key, and nothing else is ever let
// through, whatever a file says. Those of modules are for servers that have them.
var writers = byName([]writer{
	{name: "SET", key: 1, least: 3}, {name: "SETEX", key: 1, least: 4}, {name: "PSETEX", key: 1, least: 4},
	{name: "SETNX", key: 1, least: 3}, {name: "GETSET", key: 1, least: 3}, {name: "APPEND", key: 1, least: 3},
	{name: "SETRANGE", key: 1, least: 4}, {name: "SETBIT", key: 1, least: 4}, {name: "BITFIELD", key: 1, least: 2},
	{name: "INCR", key: 1, least: 2}, {name: "INCRBY", key: 1, least: 3}, {name: "INCRBYFLOAT", key: 1, least: 3},
	{name: "DECR", key: 1, least: 2}, {name: "DECRBY", key: 1, least: 3}, {name: "MSET", key: 1, least: 3},
	{name: "HSET", key: 1, least: 4}, {name: "HMSET", key: 1, least: 4}, {name: "HSETNX", key: 1, least: 4},
	{name: "HSETEX", key: 1, least: 5}, {name: "HINCRBY", key: 1, least: 4}, {name: "HINCRBYFLOAT", key: 1, least: 4},
	{name: "HEXPIRE", key: 1, least: 6}, {name: "HPEXPIRE", key: 1, least: 6},
	{name: "HEXPIREAT", key: 1, least: 6}, {name: "HPEXPIREAT", key: 1, least: 6},
	{name: "LPUSH", key: 1, least: 3}, {name: "RPUSH", key: 1, least: 3}, {name: "LPUSHX", key: 1, least: 3},
	{name: "RPUSHX", key: 1, least: 3}, {name: "LSET", key: 1, least: 4}, {name: "LINSERT", key: 1, least: 5},
	{name: "SADD", key: 1, least: 3}, {name: "ZADD", key: 1, least: 4}, {name: "ZINCRBY", key: 1, least: 4},
	{name: "XADD", key: 1, least: 5}, {name: "XSETID", key: 1, least: 3}, {name: "XGROUP", key: 2, least: 5},
	{name: "EXPIRE", key: 1, least: 3}, {name: "PEXPIRE", key: 1, least: 3}, {name: "EXPIREAT", key: 1, least: 3},
	{name: "PEXPIREAT", key: 1, least: 3}, {name: "PERSIST", key: 1, least: 2},
	{name: "PFADD", key: 1, least: 2}, {name: "GEOADD", key: 1, least: 5},
	{name: "JSON.SET", key: 1, least: 4}, {name: "JSON.MERGE", key: 1, least: 4}, {name: "JSON.ARRAPPEND", key: 1, least: 3},
	{name: "BF.RESERVE", key: 1, least: 4}, {name: "BF.ADD", key: 1, least: 3}, {name: "BF.MADD", key: 1, least: 3},
	{name: "CF.RESERVE", key: 1, least: 3}, {name: "CF.ADD", key: 1, least: 3}, {name: "CMS.INITBYDIM", key: 1, least: 4},
	{name: "CMS.INCRBY", key: 1, least: 4}, {name: "TOPK.RESERVE", key: 1, least: 3}, {name: "TOPK.ADD", key: 1, least: 3},
	{name: "TDIGEST.CREATE", key: 1, least: 2}, {name: "TDIGEST.ADD", key: 1, least: 3},
	{name: "TS.CREATE", key: 1, least: 2}, {name: "TS.ADD", key: 1, least: 4}, {name: "VADD", key: 1, least: 4},
})

// refused are commands of which there is more to say than that they are none of writers.
var refused = byName([]writer{
	{name: "FLUSHALL", why: "it empties the server"}, {name: "FLUSHDB", why: "it empties the database"},
	{name: "SWAPDB", why: "it exchanges databases"},
	{name: "DEL", key: 1, why: "it removes keys"}, {name: "UNLINK", key: 1, why: "it removes keys"},
	{name: "RESTORE", key: 1, why: "what DUMP gave may harm a server if anybody made it up (CVE-2026-25243): load the values, or a backup"},
	{name: "EVAL", why: "scripts may do anything"}, {name: "EVALSHA", why: "scripts may do anything"},
	{name: "FCALL", why: "functions may do anything"}, {name: "SCRIPT", why: "it is no data"}, {name: "FUNCTION", why: "it is no data"},
	{name: "MULTI", why: "transactions are not kept: the commands in one are loaded each for itself"},
	{name: "EXEC", why: "transactions are not kept: the commands in one are loaded each for itself"},
	{name: "DISCARD", why: "transactions are not kept"},
	{name: "AUTH", secret: true, why: "the target's URL says who we are"}, {name: "HELLO", secret: true, why: "the target's URL says who we are"},
	{name: "ACL", secret: true, why: "it changes the server"}, {name: "CONFIG", secret: true, why: "it changes the server"},
	{name: "MIGRATE", secret: true, why: "it concerns another server"},
	{name: "MSETNX", why: "it has several keys, all or nothing"}, {name: "MSETEX", why: "it has several keys, all with one TTL: write SETs"},
})

// byName indexes commands by name.
func byName(all []writer) map[string]writer {
	m := make(map[string]writer, len(all))
	for _, w := range all {
		m[w.name] = w
	}
	return m
}

// writerOf judges a command by its first arguments. The error is a reason; what is known
// of the command comes with it.
func writerOf(args [][]byte) (writer, error) {
	if len(args) == 0 {
		return writer{}, reason("no command")
	}
	var upper [16]byte
	name := upper[:0]
	for _, c := range args[0][:min(len(args[0]), len(upper))] {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		name = append(name, c)
	}
	w, ok := writers[string(name)]
	if !ok || len(args[0]) > len(upper) {
		return refuse(string(name), args)
	}
	if len(args) < w.least {
		return w, because("%s has too few arguments", w.name)
	}
	if w.name == "XGROUP" && !strings.EqualFold(string(args[1]), "create") && !strings.EqualFold(string(args[1]), "createconsumer") {
		return w, because("XGROUP %.20q: only CREATE and CREATECONSUMER are loaded", args[1])
	}
	return w, nil
}

// refuse says why a command is not let through. "SELECT 0" is.
func refuse(name string, args [][]byte) (writer, error) {
	if name == "SELECT" {
		if len(args) == 2 && string(args[1]) == "0" {
			return writer{name: name}, nil
		}
		return writer{name: name}, reason("SELECT of another database: what follows would go there; name the database in the target's URL, and split the file")
	}
	if w, ok := refused[name]; ok {
		return w, because("%s is not loaded: %s", name, w.why)
	}
	return writer{}, because("%.40q is no command that writes the data of one key", args[0])
}

// asString makes a string of a command that sets one.
func (c *commands) asString(it *Item, name string) {
	args := c.args
	life, unit, value := []byte(nil), "", 2
	switch {
	case name == "SET" && len(args) == 3:
	case name == "SET" && len(args) == 5:
		unit, life = strings.ToUpper(string(args[3])), args[4]
	case name == "SETEX" && len(args) == 4:
		unit, life, value = "EX", args[2], 3
	case name == "PSETEX" && len(args) == 4:
		unit, life, value = "PX", args[2], 3
	default:
		return
	}
	if life != nil && !c.life(it, unit, life) {
		return
	}
	it.Form, it.Type, it.Value = backends.FormString, backends.FormString, args[value]
}

// life reads the TTL of a SET, and tells whether it is one.
func (c *commands) life(it *Item, unit string, text []byte) bool {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n < 1 || n > 1000*mostSeconds || unit == "EXAT" && n > mostSeconds {
		return false
	}
	switch unit {
	case "EX", "PX":
		step := time.Second
		if unit == "PX" {
			step = time.Millisecond
		}
		if n > int64(1<<62/step) {
			return false
		}
		expireIn(it, time.Duration(n)*step, c.options.Now)
	case "EXAT":
		expireAt(it, n*1000)
	case "PXAT":
		expireAt(it, n)
	default:
		return false
	}
	return true
}

var errQuotes = errors.New("quotes that do not match")

// splitLine takes a command apart that is written as a line, as the server does it
// (sds.c, sdssplitargs): "..." with escapes, '...' without.
func splitLine(args [][]byte, line []byte) ([][]byte, error) {
	space := func(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
	ends := func(c byte) bool { return space(c) && c != '\v' && c != '\f' }
	if bytes.IndexByte(line, 0) >= 0 {
		return nil, reason("a NUL in a command that is a line: the server would end it there")
	}
	for i := 0; ; {
		for i < len(line) && space(line[i]) {
			i++
		}
		if i == len(line) {
			return args, nil
		}
		arg := []byte{}
		for i < len(line) && !ends(line[i]) {
			if line[i] != '"' && line[i] != '\'' {
				arg = append(arg, line[i])
				i++
				continue
			}
			var ok bool
			if arg, i, ok = quotedArg(arg, line, i); !ok || i < len(line) && !space(line[i]) {
				return nil, errQuotes
			}
			break
		}
		args = append(args, arg)
	}
}

// quotedArg reads an argument from its opening quote to behind its closing one.
func quotedArg(arg, line []byte, i int) ([]byte, int, bool) {
	quote := line[i]
	for i++; i < len(line); i++ {
		switch c := line[i]; {
		case c == quote:
			return arg, i + 1, true
		case c != '\\' || i+1 == len(line):
			arg = append(arg, c)
		case quote == '\'':
			if line[i+1] == '\'' {
				i++
			}
			arg = append(arg, line[i])
		default:
			i++
			if n, err := strconv.ParseUint(string(line[i+1:min(i+3, len(line))]), 16, 8); line[i] == 'x' && err == nil && i+2 < len(line) {
				arg = append(arg, byte(n))
				i += 2
				continue
			}
			arg = append(arg, escaped(line[i]))
		}
	}
	return arg, i, false
}

// escaped is what stands behind a backslash, as the server reads it.
func escaped(c byte) byte {
	if at := strings.IndexByte("nrtba", c); at >= 0 {
		return "\n\r\t\b\a"[at]
	}
	return c
}

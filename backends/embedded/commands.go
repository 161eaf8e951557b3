package embedded

import (
	"strconv"
	"strings"
)

// A manner says what looking a key up does to its counters and its age. The
// table below is what a Redis 7.0.15 was seen to do, command by command.
type manner struct {
	counts  int  // hits or misses per look-up
	touches bool // the key is young again
}

var (
	reads  = manner{counts: 1, touches: true}
	twice  = manner{counts: 2, touches: true} // XREAD looks its keys up twice
	peeks  = manner{counts: 1}
	writes = manner{touches: true}
)

// A command says where the keys of a command stand. Both may be nil.
type command struct {
	manner
	keys func(args []string) []string // looked up in this manner
	dest func(args []string) []string // written besides
}

var commands = table([]struct {
	command
	names string
}{
	{command{reads, first, nil}, `GET STRLEN GETRANGE SUBSTR GETBIT BITCOUNT BITPOS GETEX GETDEL GETSET
		HGET HMGET HGETALL HKEYS HVALS HLEN HEXISTS HSTRLEN HSCAN HRANDFIELD HTTL HPTTL
		LRANGE LLEN LINDEX LPOS SMEMBERS SCARD SISMEMBER SMISMEMBER SRANDMEMBER SSCAN
		ZCARD ZCOUNT ZLEXCOUNT ZRANGE ZREVRANGE ZRANGEBYSCORE ZREVRANGEBYSCORE ZRANGEBYLEX ZREVRANGEBYLEX
		ZRANK ZREVRANK ZSCORE ZMSCORE ZSCAN ZRANDMEMBER
		XLEN XRANGE XREVRANGE XPENDING XACK XCLAIM XAUTOCLAIM
		GEOPOS GEODIST GEOHASH GEOSEARCH GEORADIUS GEORADIUS_RO GEORADIUSBYMEMBER GEORADIUSBYMEMBER_RO
		DUMP SORT SORT_RO`},
	{command{reads, all, nil}, "MGET SINTER SUNION SDIFF PFCOUNT TOUCH"},
	{command{reads, from(1), first}, "SINTERSTORE SUNIONSTORE SDIFFSTORE"},
	{command{reads, all, first}, "PFMERGE"},
	{command{reads, from(2), second}, "BITOP"},
	{command{reads, counted(0), nil}, "SINTERCARD ZINTER ZINTERCARD ZUNION ZDIFF"},
	{command{reads, counted(1), first}, "ZINTERSTORE ZUNIONSTORE ZDIFFSTORE"},
	{command{reads, second, first}, "ZRANGESTORE GEOSEARCHSTORE"},
	{command{reads, first, second}, "COPY"},
	{command{reads, two, nil}, "LCS"},
	{command{reads, second, nil}, "XINFO"},
	{command{twice, streams, nil}, "XREAD XREADGROUP"},
	{command{peeks, first, nil}, "TYPE TTL PTTL EXPIRETIME PEXPIRETIME"},
	{command{peeks, all, nil}, "EXISTS"},
	{command{peeks, second, nil}, "OBJECT"},
	{command{writes, first, nil}, `SET SETEX PSETEX SETNX APPEND SETRANGE SETBIT INCR INCRBY INCRBYFLOAT DECR DECRBY
		HSET HSETNX HMSET HDEL HINCRBY HINCRBYFLOAT HEXPIRE HPERSIST HSETEX
		LPUSH RPUSH LPUSHX RPUSHX LPOP RPOP LINSERT LREM LSET LTRIM SADD SREM SPOP
		ZADD ZINCRBY ZREM ZPOPMIN ZPOPMAX ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE
		XADD XDEL XTRIM PFADD GEOADD EXPIRE PEXPIRE EXPIREAT PEXPIREAT PERSIST RESTORE MOVE DELEX`},
	{command{writes, second, nil}, "XGROUP"},
	{command{writes, all, nil}, "DEL UNLINK"},
	{command{writes, two, nil}, "RENAME RENAMENX LMOVE RPOPLPUSH BLMOVE BRPOPLPUSH SMOVE"},
	{command{writes, pairs, nil}, "MSET MSETNX"},
	{command{writes, butLast, nil}, "BLPOP BRPOP BZPOPMIN BZPOPMAX"},
	{command{writes, counted(0), nil}, "LMPOP ZMPOP"},
	{command{writes, counted(1), nil}, "BLMPOP BZMPOP"},
})

func table(rows []struct {
	command
	names string
}) map[string]command {
	t := map[string]command{}
	for _, row := range rows {
		for _, name := range strings.Fields(row.names) {
			t[name] = row.command
		}
	}
	return t
}

// lookup finds how a command treats its keys. SET with GET reads them as well.
func lookup(cmd string, args []string) (command, bool) {
	c, ok := commands[cmd]
	if cmd == "SET" && len(args) > 2 {
		for _, option := range args[2:] {
			if strings.EqualFold(option, "GET") {
				c.manner = reads
			}
		}
	}
	return c, ok
}

func all(args []string) []string   { return args }
func first(args []string) []string { return args[:min(1, len(args))] }
func two(args []string) []string   { return args[:min(2, len(args))] }

func second(args []string) []string { return first(from(1)(args)) }

func butLast(args []string) []string { return args[:max(0, len(args)-1)] }

func from(n int) func([]string) []string {
	return func(args []string) []string { return args[min(n, len(args)):] }
}

// counted finds keys whose number stands at place n, in front of them.
func counted(n int) func([]string) []string {
	return func(args []string) []string {
		if len(args) <= n {
			return nil
		}
		number, err := strconv.Atoi(args[n])
		if err != nil || number < 0 || number > len(args)-n-1 {
			return nil
		}
		return args[n+1 : n+1+number]
	}
}

func pairs(args []string) (keys []string) {
	for i := 0; i < len(args); i += 2 {
		keys = append(keys, args[i])
	}
	return keys
}

// streams finds the first half of what follows the word STREAMS.
func streams(args []string) []string {
	for i, arg := range args {
		if strings.EqualFold(arg, "STREAMS") {
			rest := args[i+1:]
			return rest[:len(rest)/2]
		}
	}
	return nil
}

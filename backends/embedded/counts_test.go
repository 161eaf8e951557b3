package embedded_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cachectl/cachectl/backends/embedded"
)

// What a Redis 7.0.15 counted for the same commands on the same keys: hits, misses.
const counted = `
get s = 1 0
get none = 0 1
mget s none n = 2 1
strlen s = 1 0
getrange s 0 1 = 1 0
getex s = 1 0
getdel s = 1 0
getset s v = 1 0
set s v get = 1 0
set s v = 0 0
setnx s v = 0 0
append s v = 0 0
incr none = 0 0
mset s 1 n 2 = 0 0
bitop and d s n = 2 0
hget h f = 1 0
hget h none = 1 0
hget none f = 0 1
hgetall h = 1 0
hlen h = 1 0
hscan h 0 = 1 0
hset h f v = 0 0
lrange l 0 -1 = 1 0
llen l = 1 0
lpop l = 0 0
lmove l d left left = 0 0
blpop l 1 = 0 0
smembers t = 1 0
scard t = 1 0
sscan t 0 = 1 0
sinter t none = 1 1
sunion t none = 1 1
sdiffstore d t t2 = 2 0
zcard z = 1 0
zrange z 0 -1 = 1 0
zscan z 0 = 1 0
zunion 2 z none = 1 1
zunionstore d 2 z z2 = 2 0
zadd z 1 b = 0 0
xlen x = 1 0
xrange x - + = 1 0
xread streams x 0 = 2 0
xread streams x none 0 0 = 2 2
xinfo stream x = 1 0
xadd x * a b = 0 0
pfcount p = 1 0
pfcount p none = 1 1
pfmerge d p = 1 1
pfadd p c = 0 0
type s = 1 0
type none = 0 1
exists s none s = 2 1
ttl s = 1 0
ttl none = 0 1
pttl s = 1 0
expiretime s = 1 0
pexpiretime s = 1 0
expire s 100 = 0 0
persist s = 0 0
object encoding s = 1 0
object encoding none = 0 1
object freq s = 1 0
object idletime s = 1 0
object refcount s = 1 0
object encoding = 0 0
memory usage s = 0 0
memory usage none = 0 0
dump s = 1 0
dump none = 0 1
copy s d = 1 0
copy none d = 0 1
rename s d = 0 0
del s none = 0 0
unlink s = 0 0
touch s none = 1 1
scan 0 = 0 0
keys * = 0 0
dbsize = 0 0
get h = 1 0
get = 0 0
`

func TestHitsAndMisses(t *testing.T) {
	c := one(t, embedded.Options{})
	for line := range strings.Lines(strings.TrimSpace(counted)) {
		line, want, _ := strings.Cut(strings.TrimSpace(line), " = ")
		for _, prepare := range []string{
			"flushall", "set s hello", "set n 12", "hset h f v g w", "rpush l a b c", "sadd t a b c", "sadd t2 a",
			"zadd z 1 a 2 b", "zadd z2 1 a", "xadd x 1-1 a b", "pfadd p a b", "config resetstat",
		} {
			do(t, c, words(prepare)...)
		}
		c.Do(t.Context(), words(line)...) // some answer with an error, and count all the same
		got := fmt.Sprint(info(t, c, "stats", "keyspace_hits"), " ", info(t, c, "stats", "keyspace_misses"))
		if got != want {
			t.Errorf("%s: hits and misses %s, want %s", line, got, want)
		}
	}
}

func words(line string) (args []any) {
	for _, word := range strings.Fields(line) {
		args = append(args, word)
	}
	return args
}

func TestTransactionsCountWhenTheyRun(t *testing.T) {
	c := one(t, embedded.Options{})
	do(t, c, "SET", "k", "v")
	pipe := c.TxPipeline()
	pipe.Get(t.Context(), "k")
	pipe.Get(t.Context(), "none")
	pipe.Exec(t.Context())
	conn := c.Conn()
	defer conn.Close()
	for _, command := range []string{"multi", "get k", "discard"} {
		if err := conn.Do(t.Context(), words(command)...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if h, m := info(t, c, "stats", "keyspace_hits"), info(t, c, "stats", "keyspace_misses"); h != "1" || m != "1" {
		t.Errorf("%s hits and %s misses, want 1 and 1", h, m)
	}
}

package redis

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// The ways to give a key another TTL.
const (
	// pexpire is the command, from Redis 7.0 with NX, GT and LT, which say for keys
	// without TTL what a Condition says.
	pexpire = "pexpire"
	// expireScript decides where the command cannot.
	expireScript = `local left = redis.call("pttl", KEYS[1])
if left == -2 then return 0 end
local ms = tonumber(ARGV[2])
if ARGV[1] == "NX" and left ~= -1 or ARGV[1] == "GT" and (left == -1 or left >= ms) or ARGV[1] == "LT" and left ~= -1 and left <= ms then return -1 end
return redis.call("pexpire", KEYS[1], ARGV[2])`
)

// conditionFlags are what PEXPIRE calls the conditions.
var conditionFlags = map[backends.Condition]string{
	backends.Always: "", backends.OnlyMissing: "NX", backends.OnlyShorten: "LT", backends.OnlyExtend: "GT",
}

// Expire sends every key's PEXPIRE or PERSIST to the node that owns it, pages and
// connections being what they are in Delete. A condition is judged by the server, in
// the same step. What a lost answer would have told as changed may be told as kept,
// because the key has what it was given by then.
func (c *cache) Expire(ctx context.Context, pages iter.Seq2[backends.Page, error], only backends.Condition) iter.Seq2[backends.Result, error] {
	flag, known := conditionFlags[only]
	if !known {
		return func(yield func(backends.Result, error) bool) {
			yield(backends.Result{}, fmt.Errorf("unknown condition %q", only))
		}
	}
	return c.carryOut(ctx, c.expiring(only, flag), pages)
}

// expiring is the task of Expire.
func (c *cache) expiring(only backends.Condition, flag string) *task {
	return &task{
		verb: pexpire,
		did:  backends.Changed,
		command: func(verb string, p *part, n int) []string {
			key, ttl := p.outcome(n).Key, p.work.ttls[p.at[n]]
			ms := strconv.FormatInt(milliseconds(ttl), 10)
			switch {
			case ttl == backends.NoTTL && (only == backends.Always || only == backends.OnlyExtend):
				return []string{"persist", key}
			case ttl == backends.NoTTL: // nothing lives longer, and what lives for ever is not shortened
				return []string{"exists", key}
			case verb == expireScript:
				return []string{"eval", verb, "1", key, flag, ms}
			case flag == "":
				return []string{pexpire, key, ms}
			}
			return []string{pexpire, key, ms, flag}
		},
		read: func(p *part, n int, answer reply) (did backends.Verb, ask bool) {
			forever := p.work.ttls[p.at[n]] == backends.NoTTL
			switch {
			case !counted(answer, -1, 1):
				return "", false
			case forever && (only == backends.OnlyMissing || only == backends.OnlyShorten): // to EXISTS
				if c.lookups.Add(1); answer.num == 1 {
					return backends.Kept, false
				}
				return backends.Gone, false
			case answer.num == 1:
				return backends.Changed, false
			case answer.num == -1:
				return backends.Kept, false
			}
			// Not there; or the condition did not hold, or there was no TTL to take away.
			return backends.Gone, forever || only != backends.Always
		},
		instead: func(verb string, refusal error) (other, why string) {
			switch {
			case verb == expireScript:
				return "", "the server has neither PEXPIRE with NX, GT and LT (Redis 7.0) nor scripts for us"
			case flag != "" && unknownFlags(refusal):
				return expireScript, "a script compares the TTLs"
			}
			return "", ""
		},
		check: func(e *backends.Entry) error {
			if e.TTL == backends.NoTTL || e.TTL >= time.Millisecond {
				return nil
			}
			return fmt.Errorf("a TTL of %v would delete it", e.TTL)
		},
	}
}

// milliseconds rounds up: a TTL is not cut to less than what was asked for.
func milliseconds(ttl time.Duration) int64 {
	return int64(ttl/time.Millisecond) + int64(min(ttl%time.Millisecond, 1))
}

// unknownFlags tells whether a server refuses PEXPIRE for what stands behind the TTL.
func unknownFlags(err error) bool {
	text := strings.ToLower(err.Error())
	return classify(err) == other && (strings.Contains(text, "wrong number of arguments") || strings.Contains(text, "unsupported option") || strings.Contains(text, "syntax error"))
}

var _ backends.Expirer = (*cache)(nil)

package memcached

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"github.com/cachectl/cachectl/backends"
)

// Expire touches every key by "mg" with T, which reads no value. The server counts
// a touch, and for a key that is not there a miss. The key keeps its place among those
// to be evicted. Without meta commands it is "touch", which moves the key to the front,
// and does not tell whether one that is to stay had a TTL.
//
// No command compares TTLs. Where there is a condition, the key is asked for its TTL
// first, by "me", and touched if the condition holds: between the two, a batch of a
// thousand keys and a round trip lie, in which somebody else may change it. Before
// 1.6.24 a key with its last second left looks like one that never expires.
//
// The first mg that meets a stale value takes the token that tells a client to bring a
// new one. Where that is this one, the value is marked as stale once more, unless it was
// written meanwhile, so that a client gets the token.
func (c *cache) Expire(ctx context.Context, pages iter.Seq2[backends.Page, error], only backends.Condition) iter.Seq2[backends.Result, error] {
	switch only {
	case backends.Always, backends.OnlyMissing, backends.OnlyShorten, backends.OnlyExtend:
		return c.carryOut(ctx, &errand{capability: "Expirer", did: backends.Changed, expires: true, only: only}, pages)
	}
	return func(yield func(backends.Result, error) bool) {
		yield(backends.Result{}, fmt.Errorf("unknown condition %q", only))
	}
}

// expire writes the command for one key.
func (b *batch) expire(to []byte, how manner, asks int32, position int) []byte {
	key, exp := b.page.Outcomes[b.entries[position]].Key, int64(b.exps[position])
	verb, flags := "mg ", " t c u T" // t stands before T and tells what was
	switch how {
	case asking:
		return lookup(to, asks, key)
	case byTouch:
		to = append(append(append(to, "touch "...), key...), ' ')
		return append(strconv.AppendInt(to, exp, 10), "\r\n"...)
	case returning:
		verb, flags = "md ", " I T"
	}
	to, flag := address(append(to, verb...), key)
	to = strconv.AppendInt(append(append(to, flag...), flags...), exp, 10)
	if how == returning {
		to = strconv.AppendUint(append(to, " C"...), b.cas[position], 10)
	}
	to = strconv.AppendUint(append(to, " O"...), b.first+uint64(position), 10)
	return append(to, "\r\n"...)
}

// hearTTL reads the TTL that a key has, and holds it against the condition: done says
// that the key is to be touched.
func (b *batch) hearTTL(position int, line []byte) (verdict, error) {
	i := b.entries[position]
	key, parse := b.page.Outcomes[i].Key, func(line []byte, key string) (item, error) { return parseMg(line, key) }
	if b.lane.asks == byMe {
		parse = func(line []byte, key string) (item, error) { return parseMe(line, key, b.lane.known.version) }
	} else {
		b.lane.run.asked(byMg, 1)
	}
	it, err := parse(line, key)
	switch {
	case errors.Is(err, backends.ErrMiss):
		return gone, nil
	case err != nil:
		return unknown, err
	case !it.hasExp:
		return unknown, &opError{addr: b.lane.addr, err: errNoTTL}
	case b.holds(it.exp, i):
		return done, nil
	}
	return kept, nil
}

// holds tells whether the condition does for a key that has so many seconds left,
// 0 and -1 being no end. Times are compared as the server will count them.
func (b *batch) holds(left int64, i int32) bool {
	had, given := left > 0, b.ttls[i] != backends.NoTTL // an end
	switch b.only {
	case backends.OnlyMissing:
		return !had && given
	case backends.OnlyShorten:
		return given && (!had || left > wholeSeconds(b.ttls[i]))
	case backends.OnlyExtend:
		return had && (!given || left < wholeSeconds(b.ttls[i]))
	}
	return true
}

// hearTouch reads "HD t57 c2 O17 W" or "EN O17"; servers before 1.6.18 do not number
// the latter.
func (b *batch) hearTouch(position int, line []byte) (verdict, error) {
	words := bytes.Fields(line)
	if len(words) == 0 {
		return unknown, unexpected("mg", line)
	}
	left, cas, won, numbered := []byte(nil), uint64(0), false, false
	for _, word := range words[1:] {
		switch value := word[1:]; word[0] {
		case 't':
			left = value
		case 'c':
			cas, _ = strconv.ParseUint(string(value), 10, 64)
		case 'W':
			won = true
		case 'O':
			n, err := strconv.ParseUint(string(value), 10, 64)
			if err != nil || n != b.first+uint64(position) {
				return unknown, unexpected("mg", line)
			}
			numbered = true
		}
	}
	switch {
	case string(words[0]) == "EN":
		b.lane.run.lookups.Add(1)
		return gone, nil
	case string(words[0]) != "HD" || !numbered || left == nil:
		return unknown, unexpected("mg", line)
	case won && cas != 0:
		if b.won == nil {
			b.won = make([]uint64, len(b.entries))
		}
		b.won[position] = cas
	case string(left) == "-1" && b.exps[position] == 0 && b.only == backends.Always:
		return kept, nil
	}
	return done, nil
}

var _ backends.Expirer = (*cache)(nil)

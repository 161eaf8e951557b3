package memcached

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A manner is a way to tell a server what becomes of many keys.
type manner uint8

const (
	_ manner = iota
	// quietly is "md" with q, which does not answer about keys that it deleted,
	// and "mn" at the end of a batch, which always answers.
	quietly
	// aloud is "md" with an answer for each key: after a quiet batch that had an
	// error in it, which does not tell of which key, and for servers whose quiet
	// mode hides more than it should.
	aloud
	// byDelete is the classic command, for servers without meta commands.
	byDelete
	// Those of Expire: see expire.go.
	asking
	touching
	returning
	byTouch
)

// Bounds of a batch. 1,000 commands take a server about a millisecond.
const (
	batchKeys  = 1000
	batchBytes = 64 << 10
)

// A batch is what is sent at once and answered at once.
type batch struct {
	*part
	entries []int32  // of the part
	first   uint64   // number of the first command; the others follow
	how     manner   // where it is not the lane's, because the batch follows on another: aloud because these were silent in a quiet batch that had an error in it
	exps    []int32  // by position: when the key is to expire, in the words of the protocol
	won     []uint64 // by position: CAS numbers of values whose recache token we were given
	cas     []uint64 // by position: of those whose token is to be given back
	said    []verdict
	errs    map[int]error // by position, where the answer was an error
	error   error         // an answer, to one of the silent ones
}

var errNeedsMeta = errors.New("the key has bytes that only base64 can carry, and the server has no meta commands (memcached 1.6.10)")

// fill takes entries from the part until the batch is full, and returns which is
// the next. What this server cannot be asked for fails at once.
func (b *batch) fill(from int, how manner) int {
	size := 0
	for ; from < len(b.part.did) && len(b.entries) < batchKeys && size < batchBytes; from++ {
		key := b.page.Outcomes[from].Key
		switch {
		case b.refused != nil && b.refused[from] != nil:
			continue
		case (how == byDelete || how == byTouch) && !plain(key):
			b.set(from, failed, errNeedsMeta)
			continue
		case b.expires:
			exp, err := expiry(b.ttls[from], b.lane.known)
			if err != nil {
				b.set(from, failed, err)
				continue
			}
			b.exps = append(b.exps, exp)
		}
		b.entries = append(b.entries, int32(from))
		size += len(key) + len(" C18446744073709551615 q O18446744073709551615 md \r\n")
	}
	b.said = make([]verdict, len(b.entries))
	return from
}

// encode writes the commands. Keys were checked by newSheet.
func (b *batch) encode(to []byte, l *lane) []byte {
	how := b.manner(l)
	for position, i := range b.entries {
		key := b.page.Outcomes[i].Key
		if how == byDelete {
			to = append(append(append(to, "delete "...), key...), "\r\n"...)
			continue
		}
		if b.expires {
			to = b.expire(to, how, l.asks, position)
			continue
		}
		var flag string
		to, flag = address(append(to, "md "...), key)
		to = append(append(to, flag...), b.flags...)
		if b.guards != nil && b.guards[i].cas != 0 {
			to = strconv.AppendUint(append(to, " C"...), b.guards[i].on(l), 10)
		}
		if how == quietly {
			to = append(to, " q"...)
		}
		to = strconv.AppendUint(append(to, " O"...), b.first+uint64(position), 10)
		to = append(to, "\r\n"...)
	}
	if how == quietly {
		to = append(to, "mn\r\n"...)
	}
	return to
}

func (b *batch) manner(l *lane) manner {
	if b.how != 0 {
		return b.how
	}
	return l.manner
}

// on is the number that the item must have on this node to be deleted.
func (g guard) on(l *lane) uint64 {
	if g.run != "" && l.process != "" && g.run != l.process || g.addr != "" && g.addr != l.addr {
		return impossible
	}
	return g.cas
}

// read reads the answers. Nothing counts before the last one is there.
func (b *batch) read(c *conn, how manner) error {
	if how == quietly {
		return b.readQuiet(c)
	}
	for position := range b.entries {
		line, err := c.line()
		if err != nil {
			return err
		}
		if isErrorLine(line) {
			b.said[position] = failed
			if b.errs == nil {
				b.errs = make(map[int]error)
			}
			b.errs[position] = replyError(line)
			continue
		}
		did, err := b.hear(how, position, line)
		if err != nil {
			return err
		}
		b.said[position] = did
	}
	return nil
}

// hear reads the answer to one command, which is no error.
func (b *batch) hear(how manner, position int, line []byte) (did verdict, err error) {
	at := position
	switch how {
	case aloud, returning:
		did, at = b.parse(line)
	case touching:
		return b.hearTouch(position, line)
	case asking:
		return b.hearTTL(position, line)
	default:
		did = classic[how][string(line)]
	}
	if did == unknown || at != position {
		err = unexpected("delete or touch", line)
	}
	return did, err
}

// classic are the answers to the commands from before meta.
var classic = map[manner]map[string]verdict{
	byDelete: {"DELETED": done, "NOT_FOUND": gone},
	byTouch:  {"TOUCHED": done, "NOT_FOUND": gone},
}

// readQuiet reads up to MN. Numbers tell whom an answer is about. A server can be
// asked to repeat the key as well, but does not always repeat what was sent.
func (b *batch) readQuiet(c *conn) error {
	for lines := 0; ; lines++ {
		line, err := c.line()
		switch {
		case err != nil:
			return err
		case string(line) == "MN":
			return nil
		case lines == len(b.entries):
			return fmt.Errorf("%w to md: more answers than questions: %s", errProtocol, printable(line))
		case isErrorLine(line):
			b.error = replyError(line)
			continue
		}
		did, at := b.parse(line)
		if did == unknown || b.said[at] != unknown {
			return unexpected("md", line)
		}
		b.said[at] = did
	}
}

// parse reads "NF O17". The verdict is unknown where that is no answer to one of
// this batch's commands.
func (b *batch) parse(line []byte) (did verdict, position int) {
	line = bytes.TrimRight(line, " ") // before 1.6.18
	word, number, _ := bytes.Cut(line, []byte(" O"))
	switch string(word) {
	case "HD":
		did = done
	case "NF":
		did = gone
	case "EX":
		did = kept
	default:
		return unknown, 0
	}
	n, err := strconv.ParseUint(string(number), 10, 64)
	if err != nil || n < b.first || n-b.first >= uint64(len(b.entries)) {
		return unknown, 0
	}
	return did, int(n - b.first)
}

// commit makes the answers verdicts. Some keys are to be asked about once more, or
// there is more to do with them: they make the next batch. Where one of the silent keys
// had an error, nobody knows which, and all of them are to be asked for again, aloud.
func (b *batch) commit(how manner) (next *batch) {
	follow := func(position int, how manner) {
		if next == nil {
			next = &batch{part: b.part, how: how}
		}
		next.entries = append(next.entries, b.entries[position])
		next.said = append(next.said, unknown)
		if b.exps != nil {
			next.exps = append(next.exps, b.exps[position])
		}
	}
	for position, i := range b.entries {
		did := b.said[position]
		switch {
		case did == unknown && how == quietly && b.error != nil:
			follow(position, aloud)
			continue
		case did == done && how == asking:
			follow(position, touching)
			continue
		case did == done && how == touching && b.won != nil && b.won[position] != 0:
			follow(position, returning)
			next.cas = append(next.cas, b.won[position])
			continue
		case did == unknown && how == quietly:
			did = done
		case did == gone && b.how == aloud:
			did = done // by the quiet command, which was silent about it
		case did == kept && b.how == aloud && b.flags != "":
			did = done // and has another CAS number since
		case how == returning:
			did, b.errs = done, nil // whoever wrote the key meanwhile, its TTL had been changed
		}
		b.set(int(i), did, b.errs[position])
	}
	return next
}

// reset forgets answers that came before the connection broke.
func (b *batch) reset() {
	clear(b.said)
	clear(b.won)
	b.errs, b.error = nil, nil
}

// fail is the verdict on all entries when there is no other.
func (b *batch) fail(err error) {
	for _, i := range b.entries {
		b.set(int(i), failed, err)
	}
}

// probeDelete finds out how a server is told to delete. It asks for a key that
// nobody has, and so that it would not be deleted if somebody had.
func (c *conn) probeDelete() (manner, error) {
	command, flag := address([]byte("md "), "cachectl "+rand.Text())
	first, err := c.ask(fmt.Sprintf("%s%s C%d q O0\r\nmn", command, flag, uint64(impossible)))
	if err != nil {
		return 0, err
	}
	switch first := string(first); {
	case first == "MN":
		return aloud, nil
	case isErrorLine([]byte(first)) && !strings.HasPrefix(first, "SERVER_ERROR"):
		second, err := c.line()
		if err == nil && string(second) != "MN" && !isErrorLine(second) {
			err = unexpected("mn", second)
		}
		return byDelete, err
	case strings.TrimRight(first, " ") != "NF O0":
		return 0, unexpected("md", []byte(first))
	}
	second, err := c.line()
	if err == nil && string(second) != "MN" {
		err = unexpected("mn", second)
	}
	return quietly, err
}

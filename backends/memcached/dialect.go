package memcached

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A metaDialect is that of servers with meta commands (protocol.txt, "Meta Commands";
// from 1.6.10). A TTL counts whole seconds of the server's clock, so it ends up to one
// second early; it is rounded up. A get that meets a value marked as stale takes its
// recache token, as any client's mg does. A placeholder that a lease left counts as a miss
// until its value is there.
type metaDialect struct{ wording }

// A wording is what both dialects must know.
type wording struct {
	profile
	name string // of the target, in errors
}

var (
	errNoCAS   = errors.New("what was added is deleted by its CAS number, and there is none")
	errUnknown = errors.New("an unknown kind of request")
	errPast    = errors.New("a TTL in the past")
	errEarly   = fmt.Errorf("a value is brought at most %v early", relativeMost)
	errNoCR    = fmt.Errorf("%w: a line without a CR", errProtocol)
)

// unsupported says that what is asked takes another server.
func (w *wording) unsupported(capability, what string) error {
	return &kindError{kind: &backends.UnsupportedError{Backend: w.name, Capability: capability}, err: errors.New(what)}
}

// Append refuses what the server could take for something else: keys that no command carries,
// and times that the protocol does not know.
func (d *metaDialect) Append(dst []byte, a *backends.Ask) ([]byte, error) {
	exp, err := d.check(a)
	if err != nil {
		return dst, err
	}
	command := "mg "
	switch a.Do {
	case backends.AskSet, backends.AskAdd:
		command = "ms "
	case backends.AskDelete, backends.AskRelease, backends.AskStale:
		command = "md "
	}
	to, flag := address(append(dst, command...), a.Key)
	if command == "ms " {
		to = strconv.AppendInt(append(to, ' '), int64(len(a.Value)), 10)
	}
	to = append(to, flag...)
	switch a.Do {
	case backends.AskGet:
		to = append(to, " v c"...)
	case backends.AskStale:
		to = append(to, " I"...)
	case backends.AskLease:
		to = strconv.AppendInt(append(to, " v c N"...), int64(exp), 10)
		if a.Early > 0 {
			to = strconv.AppendInt(append(to, " R"...), wholeSeconds(a.Early), 10)
		}
	case backends.AskAdd:
		to = append(to, " ME c"...)
	}
	if a.CAS != 0 && (a.Do == backends.AskSet || a.Do == backends.AskRelease) {
		to = strconv.AppendUint(append(to, " C"...), a.CAS, 10)
	}
	if exp != 0 && a.Do != backends.AskLease {
		to = strconv.AppendInt(append(to, " T"...), int64(exp), 10)
	}
	if command != "ms " {
		return append(to, "\r\n"...), nil
	}
	to = append(append(to, "\r\n"...), a.Value...)
	return append(to, "\r\n"...), nil
}

// check refuses what cannot be asked. exp is the TTL as the protocol takes it.
func (d *metaDialect) check(a *backends.Ask) (exp int32, err error) {
	if err := addressable(a.Key); err != nil {
		return 0, err
	}
	switch a.Do {
	case backends.AskDelete:
		return 0, nil
	case backends.AskRelease:
		if a.CAS == 0 {
			err = errNoCAS
		}
		return 0, err
	case backends.AskPublish:
		return 0, d.unsupported("Publisher", "memcached has no channels to publish to")
	case backends.AskLease:
		if a.Early > relativeMost {
			return 0, errEarly
		}
	case backends.AskGet, backends.AskSet, backends.AskAdd, backends.AskStale:
	default:
		return 0, errUnknown
	}
	return d.expiry(a.TTL)
}

// expiry is a TTL as the protocol takes it.
func (w *wording) expiry(ttl time.Duration) (int32, error) {
	if ttl < 0 {
		return 0, errPast
	}
	return expiry(ttl, w.profile)
}

// Parse reads "HD c7", "VA 5 c7 W" and the value, "EN", "NF", "NS" or "EX".
func (d *metaDialect) Parse(src []byte, a *backends.Ask, r *backends.Reply) (int, error) {
	line, n, err := firstLine(src)
	if n == 0 || err != nil {
		return 0, err
	}
	*r = backends.Reply{}
	if len(line) < 2 || len(line) > 2 && line[2] != ' ' {
		return n, otherwise(line, a, r)
	}
	word, rest := line[:2], line[2:]
	if a.Do == backends.AskGet || a.Do == backends.AskLease {
		if string(word) == "VA" {
			return valued(src, n, rest, a, r)
		}
		if string(word) == "EN" && a.Do == backends.AskGet {
			r.Answer = backends.Miss
			return n, nil
		}
		return 0, unexpected("mg", line)
	}
	switch string(word) {
	case "HD":
		r.Answer = backends.Done
		var f returned
		if !f.read(rest) {
			return 0, unexpected("ms", line)
		}
		r.CAS = f.cas
	case "NF", "NS", "EX":
		r.Answer = backends.NotDone
	default:
		return 0, unexpected("ms or md", line)
	}
	return n, nil
}

// valued reads the value behind a line "VA size flags" that took the first n bytes of src.
func valued(src []byte, n int, rest []byte, a *backends.Ask, r *backends.Reply) (int, error) {
	if len(rest) > 0 {
		rest = rest[1:]
	}
	text, rest, _ := bytes.Cut(rest, []byte{' '})
	size, ok := unsigned(text)
	var f returned
	if !ok || size > biggestValue || !f.read(rest) {
		return 0, unexpected("mg", trimEnd(src[:n]))
	}
	value, end, err := block(src, n, int(size))
	if end == 0 || err != nil {
		return 0, err
	}
	r.CAS, r.Stale = f.cas, f.stale
	empty := size == 0 && !f.stale
	switch {
	case a.Do == backends.AskGet && f.sent && empty:
		r.Answer = backends.Miss
		return end, nil
	case a.Do == backends.AskLease && f.won:
		r.Answer = backends.Won
	case a.Do == backends.AskLease && f.sent && (f.stale || empty):
		r.Answer = backends.Busy
	default: // with somebody on the way to bring a newer one, perhaps
		r.Answer = backends.Hit
	}
	r.Value = value
	return end, nil
}

// block is the value of size bytes that begins at n, and where its line ends; 0 says
// that it is not all there.
func block(src []byte, n, size int) ([]byte, int, error) {
	end := n + size + len("\r\n")
	if len(src) < end {
		return nil, 0, nil
	}
	if src[end-2] != '\r' || src[end-1] != '\n' {
		return nil, 0, fmt.Errorf("%w: a value longer than announced", errProtocol)
	}
	return src[n : n+size : n+size], end, nil
}

// A returned is the flags that a meta command answers with.
type returned struct {
	cas              uint64
	won, sent, stale bool // W: ours to bring. Z: somebody else's. X: out of date
}

func (f *returned) read(rest []byte) bool {
	for len(rest) > 0 {
		var flag []byte
		flag, rest, _ = bytes.Cut(rest, []byte{' '})
		if len(flag) == 0 {
			continue
		}
		switch flag[0] {
		case 'W':
			f.won = true
		case 'Z':
			f.sent = true
		case 'X':
			f.stale = true
		case 'c':
			var ok bool
			if f.cas, ok = unsigned(flag[1:]); !ok {
				return false
			}
		}
	}
	return true
}

// firstLine is the first line of src without its end, and how many bytes it takes with it; 0
// says that it is not all there.
func firstLine(src []byte) ([]byte, int, error) {
	i := bytes.IndexByte(src[:min(len(src), longestLine)], '\n')
	switch {
	case i < 0 && len(src) >= longestLine:
		return nil, 0, errLongLine
	case i < 0:
		return nil, 0, nil
	case i == 0 || src[i-1] != '\r':
		return nil, 0, errNoCR
	}
	return src[:i-1], i + 1, nil
}

// otherwise reads the answer that something went wrong. A server that has not understood a
// storage command goes on to read its value as commands (before 1.6.40), so nothing it
// says from then on can be trusted. "SERVER_ERROR" is not of that kind: the value was swallowed.
func otherwise(line []byte, a *backends.Ask, r *backends.Reply) error {
	if !isErrorLine(line) {
		return fmt.Errorf("%w: %s", errProtocol, printable(line))
	}
	stores := a.Do == backends.AskSet || a.Do == backends.AskAdd
	if stores && !bytes.HasPrefix(line, []byte("SERVER_ERROR")) {
		return replyError(line)
	}
	r.Answer, r.Text = backends.Refused, string(line)
	return nil
}

// unsigned reads a decimal of 64 bits.
func unsigned(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	var n uint64
	for _, digit := range b {
		d := uint64(digit - '0')
		if d > 9 || n > (1<<64-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

var _ backends.Dialect = (*metaDialect)(nil)

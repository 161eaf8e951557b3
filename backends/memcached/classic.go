package memcached

import (
	"bytes"
	"strconv"

	"github.com/cachectl/cachectl/backends"
)

// A classicDialect is that of older servers, and of managed ones without meta commands.
type classicDialect struct{ wording }

// Append refuses keys that only base64 can carry, and what takes meta commands.
func (d *classicDialect) Append(dst []byte, a *backends.Ask) ([]byte, error) {
	exp, command, err := d.check(a)
	if err != nil {
		return dst, err
	}
	to := append(dst, command...)
	if command == "gats " {
		to = append(strconv.AppendInt(to, int64(exp), 10), ' ')
	}
	to = append(to, a.Key...)
	if a.Do == backends.AskGet || a.Do == backends.AskDelete {
		return append(to, "\r\n"...), nil
	}
	to = strconv.AppendInt(append(to, " 0 "...), int64(exp), 10)
	to = strconv.AppendInt(append(to, ' '), int64(len(a.Value)), 10)
	if a.Do == backends.AskSet && a.CAS != 0 {
		to = strconv.AppendUint(append(to, ' '), a.CAS, 10)
	}
	to = append(append(to, "\r\n"...), a.Value...)
	return append(to, "\r\n"...), nil
}

func (d *classicDialect) check(a *backends.Ask) (exp int32, command string, err error) {
	const newer = ": that takes the meta commands of memcached 1.6.10 or newer"
	if err := checkKey(a.Key); err != nil {
		return 0, "", err
	}
	if !plain(a.Key) {
		return 0, "", errNeedsMeta
	}
	switch a.Do {
	case backends.AskGet:
		if a.TTL == 0 {
			return 0, "gets ", nil
		}
		command = "gats " // from 1.5.3
	case backends.AskDelete:
		return 0, "delete ", nil
	case backends.AskAdd:
		command = "add "
	case backends.AskSet:
		command = "set "
		if a.CAS != 0 {
			command = "cas "
		}
	case backends.AskRelease:
		return 0, "", d.unsupported("Dialer", "the server cannot delete only what was added"+newer)
	case backends.AskLease:
		return 0, "", d.unsupported("Dialer", "the server cannot lease"+newer)
	case backends.AskStale:
		return 0, "", d.unsupported("Staler", "the server cannot mark a value as stale"+newer)
	case backends.AskPublish:
		return 0, "", d.unsupported("Publisher", "memcached has no channels to publish to")
	default:
		return 0, "", errUnknown
	}
	exp, err = d.expiry(a.TTL)
	return exp, command, err
}

// Parse reads "VALUE key flags size cas", the value and "END", or one word.
func (d *classicDialect) Parse(src []byte, a *backends.Ask, r *backends.Reply) (int, error) {
	line, n, err := firstLine(src)
	if n == 0 || err != nil {
		return 0, err
	}
	*r = backends.Reply{}
	switch get := a.Do == backends.AskGet; string(line) {
	case "END":
		r.Answer = backends.Miss
		return n, only(get, "set or delete", line)
	case "STORED", "DELETED":
		r.Answer = backends.Done
		return n, only(!get, "gets", line)
	case "NOT_STORED", "EXISTS", "NOT_FOUND":
		r.Answer = backends.NotDone
		return n, only(!get, "gets", line)
	}
	rest, ok := bytes.CutPrefix(line, []byte("VALUE "))
	if !ok || a.Do != backends.AskGet {
		return n, otherwise(line, a, r)
	}
	key, rest, _ := bytes.Cut(rest, []byte{' '})
	_, rest, _ = bytes.Cut(rest, []byte{' '})
	text, rest, _ := bytes.Cut(rest, []byte{' '})
	size, sized := unsigned(text)
	cas, ok := unsigned(rest)
	if !sized || !ok || size > biggestValue || !bytes.Equal(key, a.Key) {
		return 0, unexpected("gets", line)
	}
	value, end, err := block(src, n, int(size))
	if end == 0 || err != nil {
		return 0, err
	}
	last, m, err := firstLine(src[end:])
	if m == 0 || err != nil {
		return 0, err
	}
	r.Answer, r.Value, r.CAS = backends.Hit, value, cas
	return end + m, only(string(last) == "END", "gets", last)
}

// only makes an answer that does not fit the command an error.
func only(fits bool, command string, line []byte) error {
	if fits {
		return nil
	}
	return unexpected(command, line)
}

var _ backends.Dialect = (*classicDialect)(nil)

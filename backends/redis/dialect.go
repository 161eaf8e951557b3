package redis

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A dialect is RESP2, as far as an Ask needs it. It remembers nothing: a reply that is not
// all there is looked at anew, which takes no longer for a longer one, because its length
// stands at its beginning.
type dialect struct {
	host string // of the node, which others tell as none where it is their own
}

// releaseScript deletes a lock that is still its owner's.
const releaseScript = `if redis.call("get",KEYS[1])==ARGV[1] then return redis.call("del",KEYS[1]) end return 0`

// The beginnings of requests, up to the key. Behind the key come the other arguments.
var (
	headGet     = head(2, "GET")
	headGetPX   = head(4, "GETEX")
	headSet     = head(3, "SET")
	headSetPX   = head(5, "SET")
	headDel     = head(2, "DEL")
	headAdd     = head(4, "SET")
	headAddPX   = head(6, "SET")
	headRelease = head(5, "EVAL", releaseScript, "1")
	headPublish = head(3, "PUBLISH")
)

// asking goes before a request that says Once, and has a reply of its own.
const (
	asking      = "*1\r\n$6\r\nASKING\r\n"
	askingReply = "+OK\r\n"
)

func head(arguments int, first ...string) string {
	text := fmt.Sprintf("*%d\r\n", arguments)
	for _, arg := range first {
		text += fmt.Sprintf("$%d\r\n%s\r\n", len(arg), arg)
	}
	return text
}

var (
	errLease     = errors.New("leases: Redis has none")
	errStale     = errors.New("stale values: Redis has none")
	errCAS       = errors.New("set by CAS: Redis has none")
	errShortTTL  = errors.New("a TTL of less than a millisecond")
	errUnknownDo = errors.New("an unknown kind of request")
)

// Append writes a as one command.
func (d dialect) Append(dst []byte, a *backends.Ask) ([]byte, error) {
	if a.TTL != 0 && a.TTL < time.Millisecond && (a.Do == backends.AskSet || a.Do == backends.AskAdd || a.Do == backends.AskGet) {
		return dst, errShortTTL
	}
	if a.Once {
		out, err := d.Append(append(dst, asking...), &backends.Ask{Do: a.Do, Key: a.Key, Value: a.Value, TTL: a.TTL, CAS: a.CAS})
		if err != nil {
			out = dst
		}
		return out, err
	}
	switch a.Do {
	case backends.AskGet:
		if a.TTL != 0 {
			return expiry(bulk(append(dst, headGetPX...), a.Key), a.TTL), nil
		}
		return bulk(append(dst, headGet...), a.Key), nil
	case backends.AskSet:
		if a.CAS != 0 {
			return dst, errCAS
		}
		if a.TTL == 0 {
			return bulk(bulk(append(dst, headSet...), a.Key), a.Value), nil
		}
		return expiry(bulk(bulk(append(dst, headSetPX...), a.Key), a.Value), a.TTL), nil
	case backends.AskDelete:
		return bulk(append(dst, headDel...), a.Key), nil
	case backends.AskAdd:
		if a.TTL == 0 {
			return append(bulk(bulk(append(dst, headAdd...), a.Key), a.Value), "$2\r\nNX\r\n"...), nil
		}
		return expiry(append(bulk(bulk(append(dst, headAddPX...), a.Key), a.Value), "$2\r\nNX\r\n"...), a.TTL), nil
	case backends.AskRelease:
		return bulk(bulk(append(dst, headRelease...), a.Key), a.Value), nil
	case backends.AskPublish:
		return bulk(bulk(append(dst, headPublish...), a.Key), a.Value), nil
	case backends.AskLease:
		return dst, errLease
	case backends.AskStale:
		return dst, errStale
	}
	return dst, errUnknownDo
}

func bulk(dst, arg []byte) []byte {
	dst = append(dst, '$')
	dst = strconv.AppendInt(dst, int64(len(arg)), 10)
	dst = append(dst, '\r', '\n')
	dst = append(dst, arg...)
	return append(dst, '\r', '\n')
}

// expiry appends PX and the TTL, of which a part of a millisecond counts as a whole one.
func expiry(dst []byte, ttl time.Duration) []byte {
	var digits [20]byte
	ms := ttl / time.Millisecond
	if ttl%time.Millisecond != 0 {
		ms++
	}
	return bulk(append(dst, "$2\r\nPX\r\n"...), strconv.AppendInt(digits[:0], int64(ms), 10))
}

// Parse reads one reply, which is never an array.
func (d dialect) Parse(src []byte, a *backends.Ask, r *backends.Reply) (int, error) {
	if a.Once {
		if len(src) < len(askingReply) {
			return 0, nil
		}
		if string(src[:len(askingReply)]) != askingReply {
			return 0, protocolError("an answer to ASKING that is not OK")
		}
		n, err := d.Parse(src[len(askingReply):], &backends.Ask{Do: a.Do}, r)
		if n > 0 {
			n += len(askingReply)
		}
		return n, err
	}
	end := bytes.IndexByte(src[:min(len(src), maxLine)], '\n')
	if end < 0 {
		if len(src) >= maxLine {
			return 0, protocolError("a line of more than 64 KiB")
		}
		return 0, nil
	}
	if end < 2 || src[end-1] != '\r' {
		return 0, protocolError("a line without CRLF")
	}
	text := src[1 : end-1]
	*r = backends.Reply{}
	switch kind := src[0]; {
	case kind == '-':
		r.Text = string(text)
		if elsewhere(text) {
			r.Answer = backends.Moved
			r.Node, r.Once = d.owner(r.Text)
		}
		return end + 1, nil
	case kind == '$':
		n, err := number(text, maxBulk)
		if err != nil {
			return 0, err
		}
		return bulkReply(src, end+1, int(n), a, r)
	case kind == '+' && (a.Do == backends.AskSet || a.Do == backends.AskAdd):
		if string(text) != "OK" {
			return 0, protocolError("an answer to SET that is not OK")
		}
		r.Answer = backends.Done
		return end + 1, nil
	case kind == ':' && (a.Do == backends.AskDelete || a.Do == backends.AskRelease || a.Do == backends.AskPublish):
		n, err := number(text, 1<<62)
		if err != nil {
			return 0, err
		}
		if r.Answer = backends.NotDone; n > 0 || a.Do == backends.AskPublish {
			r.Answer = backends.Done
		}
		return end + 1, nil
	}
	return 0, protocolError(fmt.Sprintf("an answer that begins with %q", src[0]))
}

// bulkReply reads what follows a header of a string of n bytes; -1 is null.
func bulkReply(src []byte, from, n int, a *backends.Ask, r *backends.Reply) (int, error) {
	switch {
	case n < 0 && a.Do == backends.AskGet:
		r.Answer = backends.Miss
		return from, nil
	case n < 0 && a.Do == backends.AskAdd:
		r.Answer = backends.NotDone
		return from, nil
	case n < 0 || a.Do != backends.AskGet:
		return 0, protocolError("a string that nobody asked for")
	case len(src) < from+n+2:
		return 0, nil
	case src[from+n] != '\r' || src[from+n+1] != '\n':
		return 0, protocolError("a string without its end")
	}
	r.Answer, r.Value = backends.Hit, src[from:from+n:from+n]
	return from + n + 2, nil
}

// elsewhere tells whether an error says that the key is another node's, on its way
// there, nobody's at the moment, or this node is no master any more.
func elsewhere(text []byte) bool {
	word, _, _ := bytes.Cut(text, []byte{' '})
	switch string(word) {
	case "MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "READONLY":
		return true
	}
	return false
}

// owner reads "MOVED 3999 127.0.0.1:6381" and "ASK ...".
func (d dialect) owner(text string) (node string, once bool) {
	words := strings.Fields(text)
	if len(words) < 3 || words[0] != "MOVED" && words[0] != "ASK" {
		return "", false
	}
	host, port, err := net.SplitHostPort(words[2])
	if err != nil {
		return "", false
	}
	if host == "" || host == "?" {
		host = d.host
	}
	return net.JoinHostPort(host, port), words[0] == "ASK"
}

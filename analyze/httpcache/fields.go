package httpcache

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ErrField says that a header field does not have the form that its
// specification gives it. Such a field is evidence of nothing.
var ErrField = errors.New("malformed header field")

// maxAge is what larger ages count as (RFC 9111, 1.2.2).
const maxAge = 1 << 31 * time.Second

// Age reads the Age field: digits, and nothing else. ok is false where there is
// none. Of several the caller knows nothing about which is right: that is an
// error, though RFC 9111 would take the first.
func Age(h http.Header) (age time.Duration, ok bool, err error) {
	values := h.Values("Age")
	if len(values) == 0 {
		return 0, false, nil
	}
	text := strings.Trim(values[0], " \t")
	if len(values) > 1 || text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false, ErrField
	}
	seconds, err := strconv.ParseUint(text, 10, 31)
	if err != nil { // digits only, so it is too large
		return maxAge, true, nil
	}
	return time.Duration(seconds) * time.Second, true, nil
}

// A CacheStatus is what one cache on the way says of a response (RFC 9211).
type CacheStatus struct {
	Cache     string
	Hit       bool
	Fwd       string // why it asked further; empty: not told
	Status    int    // what the next one answered (fwd-status); 0: not told
	TTL       *int64 // seconds that the response stays fresh, below 0 when it no longer is; nil: not told
	Stored    bool
	Collapsed bool // another request's answer served this one too
	Detail    string
}

// CacheStatuses reads the Cache-Status field: the cache next to the origin
// first, the one next to the client last. A field that is no structured list is
// an error as a whole (RFC 8941, 4.2); parameters that are unknown, or of
// another type than they should be, count for nothing.
func CacheStatuses(h http.Header) ([]CacheStatus, error) {
	values := h.Values("Cache-Status")
	if len(values) == 0 {
		return nil, nil
	}
	p := sfParser{rest: strings.Join(values, ",")}
	members, err := p.list()
	if err != nil {
		return nil, err
	}
	all := make([]CacheStatus, 0, len(members))
	for _, m := range members {
		var s CacheStatus
		switch name := m.value.(type) {
		case string:
			s.Cache = name
		case sfToken:
			s.Cache = string(name)
		default:
			return nil, ErrField
		}
		for _, param := range m.params {
			s.set(param)
		}
		all = append(all, s)
	}
	return all, nil
}

func (s *CacheStatus) set(p sfParam) {
	switch value := p.value.(type) {
	case bool:
		switch p.key {
		case "hit":
			s.Hit = value
		case "stored":
			s.Stored = value
		case "collapsed":
			s.Collapsed = value
		}
	case int64:
		switch p.key {
		case "ttl":
			s.TTL = &value
		case "fwd-status":
			if value >= 100 && value <= 999 {
				s.Status = int(value)
			}
		}
	case sfToken:
		switch p.key {
		case "fwd":
			s.Fwd = string(value)
		case "detail":
			s.Detail = string(value)
		}
	case string:
		if p.key == "detail" {
			s.Detail = value
		}
	}
}

package httpcache

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// Structured field values (RFC 8941), as far as a list without inner lists needs
// them. A bare item is an int64, a float64, a string, an sfToken, a []byte or a bool.
type (
	sfToken string
	sfParam struct {
		key   string
		value any
	}
	sfItem struct {
		value  any
		params []sfParam
	}
)

// An sfParser reads from the front of rest.
type sfParser struct{ rest string }

func (p *sfParser) peek() byte {
	if p.rest == "" {
		return 0
	}
	return p.rest[0]
}

// take takes the bytes that belong to a set off the front.
func (p *sfParser) take(in func(byte) bool) string {
	n := 0
	for n < len(p.rest) && in(p.rest[n]) {
		n++
	}
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

func (p *sfParser) skip(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// list reads all of the field.
func (p *sfParser) list() ([]sfItem, error) {
	p.rest = strings.Trim(p.rest, " ")
	var all []sfItem
	for p.rest != "" {
		item, err := p.item()
		if err != nil {
			return nil, err
		}
		all = append(all, item)
		p.rest = strings.TrimLeft(p.rest, " \t")
		if p.rest == "" {
			return all, nil
		}
		if !p.skip(',') {
			return nil, ErrField
		}
		if p.rest = strings.TrimLeft(p.rest, " \t"); p.rest == "" {
			return nil, ErrField
		}
	}
	return all, nil
}

func (p *sfParser) item() (sfItem, error) {
	value, err := p.bare()
	item := sfItem{value: value}
	for err == nil && p.skip(';') {
		p.rest = strings.TrimLeft(p.rest, " ")
		param := sfParam{value: true}
		if c := p.peek(); !lower(c) && c != '*' {
			return item, ErrField
		}
		param.key = p.take(func(c byte) bool { return lower(c) || digit(c) || strings.IndexByte("_-.*", c) >= 0 })
		if p.skip('=') {
			param.value, err = p.bare()
		}
		item.params = append(item.params, param) // of two with one name the later counts: it is set later
	}
	return item, err
}

func (p *sfParser) bare() (any, error) {
	switch c := p.peek(); {
	case c == '-' || digit(c):
		return p.number()
	case c == '"':
		return p.text()
	case c == '*' || lower(c) || 'A' <= c && c <= 'Z':
		return sfToken(p.take(func(c byte) bool { return tokenByte(c) || c == ':' || c == '/' })), nil
	case c == ':':
		return p.bytes()
	case c == '?' && len(p.rest) > 1 && (p.rest[1] == '0' || p.rest[1] == '1'):
		is := p.rest[1] == '1'
		p.rest = p.rest[2:]
		return is, nil
	}
	return nil, ErrField
}

// number reads an integer of 15 digits at most, or a decimal of 12 and 3.
func (p *sfParser) number() (any, error) {
	sign := ""
	if p.skip('-') {
		sign = "-"
	}
	whole := p.take(digit)
	if whole == "" || len(whole) > 15 {
		return nil, ErrField
	}
	if !p.skip('.') {
		return strconv.ParseInt(sign+whole, 10, 64)
	}
	part := p.take(digit)
	if part == "" || len(part) > 3 || len(whole) > 12 {
		return nil, ErrField
	}
	return strconv.ParseFloat(sign+whole+"."+part, 64)
}

// text reads a quoted string of printable ASCII.
func (p *sfParser) text() (any, error) {
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.rest = p.rest[i+1:]
			return b.String(), nil
		case c == '\\':
			if i++; i == len(p.rest) || p.rest[i] != '"' && p.rest[i] != '\\' {
				return nil, ErrField
			}
			b.WriteByte(p.rest[i])
		case c < ' ' || c > '~':
			return nil, ErrField
		default:
			b.WriteByte(c)
		}
	}
	return nil, ErrField
}

func (p *sfParser) bytes() (any, error) {
	encoded, rest, ok := strings.Cut(p.rest[1:], ":")
	if !ok || strings.ContainsAny(encoded, "\r\n") {
		return nil, ErrField
	}
	p.rest = rest
	value, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil {
		return nil, ErrField
	}
	return value, nil
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
func lower(c byte) bool { return 'a' <= c && c <= 'z' }

// tokenByte tells the bytes of an HTTP token (RFC 9110, 5.6.2).
func tokenByte(c byte) bool {
	return digit(c) || lower(c) || 'A' <= c && c <= 'Z' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

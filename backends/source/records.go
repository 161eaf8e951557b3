package source

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// The members of a record.
const (
	hasKey = 1 << iota
	hasKey64
	hasValue
	hasValue64
	hasTTL
	hasTTLms
	hasExpires
)

// A parsed is a record whose members are read, but for those that depend on others.
type parsed struct {
	has               uint
	key, value        []byte
	form              []byte
	ttl, ttlms, until []byte
}

// record reads a line of our own form.
func (n *ndjson) record(it *Item, line []byte) error {
	var p parsed
	var err error
	whole := eachMember(line, func(name, value []byte) bool {
		switch string(name) {
		case "key":
			p.key, p.has = value, p.has|hasKey
		case "key_b64":
			p.key, p.has = value, p.has|hasKey64
		case "type":
			p.form = value
		case "value":
			p.value, p.has = value, p.has|hasValue
		case "value_b64":
			p.value, p.has = value, p.has|hasValue64
		case "ttl":
			p.ttl, p.has = value, p.has|hasTTL
		case "ttl_ms":
			p.ttlms, p.has = value, p.has|hasTTLms
		case "expires_at":
			p.until, p.has = value, p.has|hasExpires
		case "heat":
			var c Cell
			if c, err = cellOf(value); err == nil {
				it.Heat = heatOf(c)
			}
		case "flags":
			var flags uint64
			if flags, err = strconv.ParseUint(string(value), 10, 32); err != nil {
				err = because("flags are a number of 32 bits, not %.40q", value)
			}
			it.Flags = uint32(flags)
		default:
			err = because(`the member %.60q is unknown: a record has "key" or "key_b64", "type", "value" or "value_b64", "ttl", "ttl_ms" or "expires_at", "heat" and "flags"`, name)
		}
		return err == nil
	})
	if err == nil && !whole {
		return reason(whyNotJSON(line))
	}
	if keyErr := n.recordKey(it, &p); err == nil {
		err = keyErr
	}
	if err == nil {
		err = recordValue(it, &p)
	}
	if err == nil {
		err = p.life(it, n.options.Now)
	}
	return err
}

func (n *ndjson) recordKey(it *Item, p *parsed) error {
	var key []byte
	var err error
	switch p.has & (hasKey | hasKey64) {
	case hasKey:
		if key, err = textOf(p.key); p.key[0] == '{' || p.key[0] == '[' || p.key[0] == 'n' {
			return because(`"key" is a string, not %.40q`, p.key)
		}
	case hasKey64:
		key, err = base64Of(p.key)
	case 0:
		return reason(`no "key"`)
	default:
		return reason(`"key" and "key_b64" at once`)
	}
	if err != nil {
		return because("the key: %v", err)
	}
	it.Key = n.keys.of(key)
	return nil
}

func recordValue(it *Item, p *parsed) (err error) {
	it.Form = backends.FormString
	if p.form != nil {
		switch form, _ := textOf(p.form); string(form) {
		case backends.FormString:
		case backends.FormHash:
			it.Form = backends.FormHash
		case backends.FormList:
			it.Form = backends.FormList
		case backends.FormSet:
			it.Form = backends.FormSet
		case backends.FormZSet:
			it.Form = backends.FormZSet
		default:
			return because("type %.40q: write string, hash, list, set or zset", form)
		}
	}
	it.Type = it.Form
	switch has := p.has & (hasValue | hasValue64); {
	case has == 0:
		return reason(`no "value"`)
	case has == hasValue|hasValue64:
		return reason(`"value" and "value_b64" at once`)
	case has == hasValue64 && it.Form != backends.FormString:
		return because(`"value_b64" is for strings, not for a %s`, it.Form)
	case has == hasValue64:
		it.Value, err = base64Of(p.value)
	case p.value[0] == 'n':
		return reason("the value is null")
	case it.Form == backends.FormString:
		it.Value, err = textOf(p.value)
	default:
		it.Value, err = collection(it.Form, p.value)
	}
	if err != nil {
		return because("the value: %v", err)
	}
	return nil
}

// life reads when the record's key is to end.
func (p *parsed) life(it *Item, now func() time.Time) error {
	has := p.has & (hasTTL | hasTTLms | hasExpires)
	if has == 0 {
		return nil
	}
	raw, name := p.ttl, "ttl"
	switch has {
	case hasTTL:
	case hasTTLms:
		raw, name = p.ttlms, "ttl_ms"
	case hasExpires:
		raw, name = p.until, "expires_at"
	default:
		return reason(`one of "ttl", "ttl_ms" and "expires_at" says when the key ends, not several`)
	}
	c, err := cellOf(raw)
	switch {
	case err != nil:
	case c.Kind == JSON:
		err = fmt.Errorf("a number is wanted, not %.40q", raw)
	case has == hasExpires:
		err = absolute(it, c)
	case has == hasTTLms && c.Kind != Null && string(c.Text) != "-1":
		ms, e := strconv.ParseInt(string(c.Text), 10, 64)
		if e != nil || ms < 1 || ms > math.MaxInt64/1_000_000 {
			err = fmt.Errorf("milliseconds are wanted, one at least, not %.40q", raw)
		} else {
			expireIn(it, time.Duration(ms)*time.Millisecond, now)
		}
	default:
		err = relative(it, c, now)
	}
	if err != nil {
		return because("%q: %v", name, err)
	}
	return nil
}

// base64Of reads a JSON string of base64, with padding or without.
func base64Of(value []byte) ([]byte, error) {
	if value[0] != '"' {
		return nil, fmt.Errorf("base64 is written as a string, not as %.40q", value)
	}
	text, err := textOf(value)
	if err != nil {
		return nil, err
	}
	text = bytes.TrimRight(text, "=")
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(text)))
	n, err := base64.RawStdEncoding.Strict().Decode(out, text)
	if err != nil {
		return nil, fmt.Errorf("no base64: %w", err)
	}
	return out[:n], nil
}

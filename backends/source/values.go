package source

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// collection makes the Value of a hash, list, set or sorted set from JSON: an object for a
// hash, an array for a list or a set, an array of [member, score] or an object of members
// with their scores for a sorted set. What stands in it and is no string is kept as it is
// written.
func collection(form string, value []byte) ([]byte, error) {
	c := collector{form: form, out: make([]byte, 0, len(value))}
	var whole bool
	want := "an object"
	switch trimmed := bytes.TrimLeft(value, " \t\r\n"); {
	case form == backends.FormHash, form == backends.FormZSet && len(trimmed) > 0 && trimmed[0] == '{':
		whole = eachMember(value, c.pair)
	case form == backends.FormZSet:
		want = "an array of [member, score], or an object of members with their scores,"
		whole = eachElement(value, c.scored)
	default:
		want = "an array"
		whole = eachElement(value, c.element)
	}
	switch {
	case c.err != nil:
		return nil, c.err
	case !whole:
		return nil, fmt.Errorf("%s is wanted for a %s", want, form)
	case len(c.out) == 0:
		return nil, fmt.Errorf("a %s without elements, which no cache can hold", form)
	}
	return c.out, nil
}

// A collector makes a Value of the parts of a JSON text. Its methods tell whether to go on.
type collector struct {
	form string
	out  []byte
	err  error
}

var errNull = errors.New("null, which no cache can hold")

func (c *collector) text(v []byte) []byte {
	if v[0] == 'n' {
		c.err = errNull
		return nil
	}
	text, err := textOf(v)
	c.err = err
	return text
}

func (c *collector) element(v []byte) bool {
	text := c.text(v)
	c.out = backends.AppendElement(c.out, text)
	return c.err == nil
}

func (c *collector) pair(name, v []byte) bool {
	field, err := unescape(name)
	if c.err = err; err != nil {
		return false
	}
	if c.form == backends.FormZSet {
		var score float64
		score, c.err = readScore(v)
		c.out = backends.AppendScored(c.out, field, score)
	} else {
		text := c.text(v)
		c.out = backends.AppendPair(c.out, field, text)
	}
	return c.err == nil
}

func (c *collector) scored(v []byte) bool {
	member, score, err := readScored(v)
	c.out, c.err = backends.AppendScored(c.out, member, score), err
	return err == nil
}

// readScored reads [member, score].
func readScored(v []byte) (member []byte, score float64, err error) {
	n := 0
	whole := eachElement(v, func(v []byte) bool {
		switch n++; n {
		case 1:
			if v[0] == 'n' {
				err = errNull
			} else {
				member, err = textOf(v)
			}
		case 2:
			score, err = readScore(v)
		}
		return err == nil
	})
	if err == nil && (!whole || n != 2) {
		err = fmt.Errorf("a member of a sorted set is written as [member, score], not as %.40q", v)
	}
	return member, score, err
}

// readScore reads a number, or "inf", "+inf" and "-inf" as Redis writes them.
func readScore(v []byte) (float64, error) {
	text, err := textOf(v)
	if err == nil {
		var score float64
		if score, err = strconv.ParseFloat(string(text), 64); err == nil && !math.IsNaN(score) {
			return score, nil
		}
	}
	return 0, fmt.Errorf("a score is a number, not %.40q", v)
}

// mostSeconds bounds times from inputs: what is beyond is a mistake, and overflows.
const mostSeconds = 1 << 38

// expireIn and expireAt say when an item ends.
func expireIn(it *Item, d time.Duration, now func() time.Time) {
	it.Expires = now().Add(d)
	it.Have |= backends.FactTTL
}

func expireAt(it *Item, ms int64) {
	it.Expires = time.UnixMilli(ms)
	it.Have |= backends.FactTTL
}

// relative reads a TTL: seconds, or a duration such as "1h30m". Null and nothing say
// nothing; -1 says that the key never expires.
func relative(it *Item, c Cell, now func() time.Time) error {
	text := string(bytes.TrimSpace(c.Text))
	if c.Kind == Missing || c.Kind == Null || text == "" {
		return nil
	}
	var d time.Duration
	seconds, err := strconv.ParseFloat(text, 64)
	if err == nil {
		if seconds == -1 {
			it.Have |= backends.FactTTL
			return nil
		}
		if !(seconds < math.MaxInt64/1e9) { // NaN too
			return fmt.Errorf("a TTL of %s seconds", text)
		}
		d = time.Duration(seconds * 1e9)
	} else if d, err = time.ParseDuration(text); err != nil {
		return fmt.Errorf(`a TTL is written as seconds or as "1h30m", not as %.40q`, text)
	}
	if d < time.Millisecond {
		return fmt.Errorf("a TTL of %s: it is a millisecond at least, or -1 for none", text)
	}
	expireIn(it, d, now)
	return nil
}

// milliseconds of unix time are told from seconds by their size: 100,000,000,000 seconds
// are the year 5138.
const leastMilliseconds = 100_000_000_000

// The ways in which a moment is written, beside numbers. One without its zone is UTC.
var moments = []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", time.DateOnly}

// readMoment reads unix seconds or milliseconds, or RFC 3339, as milliseconds.
func readMoment(text string) (ms int64, ok bool) {
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		if n >= leastMilliseconds {
			n /= 1e3
		}
		return int64(n * 1e3), n >= 0 && n < mostSeconds
	}
	for _, layout := range moments {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UnixMilli(), true
		}
	}
	return 0, false
}

// absolute reads when a key expires. Null and nothing say nothing; -1 says that it never
// does.
func absolute(it *Item, c Cell) error {
	text := string(bytes.TrimSpace(c.Text))
	if c.Kind == Missing || c.Kind == Null || text == "" {
		return nil
	}
	if text == "-1" {
		it.Have |= backends.FactTTL
		return nil
	}
	ms, ok := readMoment(text)
	if !ok {
		return fmt.Errorf("a moment is written as unix seconds or as 2026-01-02T15:04:05Z, not as %.40q", text)
	}
	expireAt(it, ms)
	return nil
}

// heatOf reads a number or a moment. Anything else is not known.
func heatOf(c Cell) float64 {
	if c.Kind == Missing || c.Kind == Null {
		return math.NaN()
	}
	text := string(bytes.TrimSpace(c.Text))
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		return n
	}
	if ms, ok := readMoment(text); ok {
		return float64(ms) / 1e3
	}
	return math.NaN()
}

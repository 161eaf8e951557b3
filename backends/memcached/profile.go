package memcached

import (
	"context"
	"strconv"
	"time"
)

// A profile is what must be known of a server before its keys are looked at.
// What the server does not tell is zero.
type profile struct {
	version version
	text    string        // the version in the server's words
	ahead   time.Duration // the server's clock less ours; its resolution is a second
	clocked bool          // the server told its time
	items   int64         // keys, expired ones that nobody found yet included
	itemMax int64         // item_size_max: the most bytes that an item may have with everything around it
	header  int64         // bytes of an item beside key and value; 0: unknown
	run     string        // names the process, see runID
	noCAS   bool          // CAS numbers are switched off (-C)
}

// The header of an item on a 64-bit machine is 48 bytes, and 8 of CAS unless
// that is switched off (-C); memcached.h, struct _stritem.
const (
	headerSize = 48
	casSize    = 8
)

// learn keeps what statistics tell about the server, read at the moment at.
func (n *node) learn(c *conn, values, conf map[string]string, at time.Time) profile {
	p := profile{version: parseVersion(c.version), text: c.version}
	if sec, err := strconv.ParseInt(values["time"], 10, 64); err == nil && sec > 0 && sec < 1<<40 {
		p.ahead, p.clocked = time.Unix(sec, 0).Sub(at.Truncate(time.Second)), true
	}
	p.items, _ = strconv.ParseInt(values["curr_items"], 10, 64)
	p.itemMax, _ = strconv.ParseInt(conf["item_size_max"], 10, 64)
	p.run, p.noCAS = runID(values), conf["cas_enabled"] == "no"
	if values["pointer_size"] == "64" {
		switch conf["cas_enabled"] {
		case "yes":
			p.header = headerSize + casSize
		case "no":
			p.header = headerSize
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.known = &p
	return p
}

// profile asks the server once, and again where fresh is set.
func (n *node) profile(ctx context.Context, fresh bool) (profile, error) {
	n.knowing.Lock()
	defer n.knowing.Unlock()
	n.mu.Lock()
	known := n.known
	n.mu.Unlock()
	if known != nil && !fresh {
		return *known, nil
	}
	var p profile
	err := n.do(ctx, func(c *conn) error {
		values, err := c.optional(general)
		if err != nil {
			return err
		}
		at := time.Now()
		conf, err := c.optional(settings)
		if err != nil {
			return err
		}
		p = n.learn(c, values, conf, at)
		return nil
	})
	return p, err
}

// now is the server's time, in seconds.
func (p profile) now() int64 { return time.Now().Add(p.ahead).Unix() }

// valueSize takes an item's size apart: header, key with its NUL, four bytes of
// client flags where they are not zero, value with CRLF (items.c,
// item_make_header). ok is false where a part is unknown.
func (p profile) valueSize(it *item) (n int64, ok bool) {
	switch {
	case it.hasValue:
		return it.value, true
	case p.header == 0 || !it.hasFlags || !it.hasSize:
		return 0, false
	}
	n = it.size - p.header - int64(len(it.key)) - 1 - 2
	if it.flags != 0 {
		n -= 4
	}
	return n, n >= 0
}

// itemSize is what valueSize undoes, for a value of n bytes without client flags.
func (p profile) itemSize(key string, n int) int64 {
	header := p.header
	if header == 0 {
		header = headerSize + casSize
	}
	return header + int64(len(key)) + 1 + int64(n) + 2
}

package memcached

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// form is how records of this package are written: the value as it is.
const form = backends.FormMemcached

// Bounds of a batch of Dump. Its commands fit into the buffers of a connection, so that
// it never waits for us to read while we wait for it to read. As long as values are small
// batches grow.
const (
	dumpBatch    = 100
	dumpMost     = 1000
	dumpCommands = 48 << 10
	dumpBytes    = 8 << 20 // of values, before they are handed on
)

// metaStore tells whether the server has the meta commands in their final form.
func (p profile) metaStore() bool { return p.version.atLeast(1, 6, 10) }

// Dump reads the keys from every node of the cache, by "mg" without a mark of use. A
// record says which node it came from: how the application spreads its keys is not
// known. Servers before 1.6.10 are asked by "gets", which tells no TTL.
func (c *cache) Dump(ctx context.Context, keys []string) iter.Seq2[[]backends.Record, error] {
	return func(yield func([]backends.Record, error) bool) {
		ctx, release := c.bound(ctx)
		defer release()
		d := dumping{cache: c, yield: yield}
		for _, n := range c.nodes {
			if err := d.node(ctx, n, keys); err != nil && !d.stopped {
				yield(nil, fail(ctx, n.addr, err))
				return
			}
			if d.stopped {
				return
			}
		}
	}
}

// A dumping is one Dump under way.
type dumping struct {
	*cache
	yield   func([]backends.Record, error) bool
	stopped bool
	refused bool // what no command carries is told of by the first node
	told    map[string]bool
}

func (d *dumping) give(records []backends.Record, err error) bool {
	d.stopped = d.stopped || !d.yield(records, err)
	return !d.stopped
}

// note tells something of a node once.
func (d *dumping) note(n *node, what, why string) bool {
	if d.told[n.addr+what] {
		return true
	}
	if d.told == nil {
		d.told = make(map[string]bool)
	}
	d.told[n.addr+what] = true
	return d.give(nil, &backends.Notice{Shard: n.addr, What: what, Err: errors.New(why)})
}

func (d *dumping) node(ctx context.Context, n *node, keys []string) error {
	p, err := n.profile(ctx, false)
	if err != nil {
		return err
	}
	meta := p.metaStore()
	if !meta && !d.note(n, "TTLs are not backed up", "the server has no meta commands (memcached 1.6.10)") {
		return nil
	}
	able := make([]string, 0, len(keys))
	for _, key := range keys {
		err := addressable(key)
		if err == nil && !meta && !plain(key) {
			err = errNeedsMeta
		}
		switch {
		case err == nil:
			able = append(able, key)
		case checkKey(key) == nil && !d.refused && !d.give(nil, &backends.KeyError{Key: key, Err: err}):
			return nil
		}
	}
	d.refused = true
	for size := dumpBatch; len(able) > 0 && !d.stopped; {
		batch := fitting(able[:min(size, len(able))])
		done, records, stale := 0, []backends.Record(nil), false
		err := n.do(ctx, func(conn *conn) (err error) {
			done, records, stale, err = d.batch(conn, n, p, batch)
			return err
		})
		if err != nil {
			return err
		}
		if stale && !d.note(n, "stale items are backed up as fresh ones", "a restored item has no mark of being stale") {
			return nil
		}
		if len(records) > 0 {
			d.give(records, nil)
		}
		if able = able[done:]; bytesOf(records) < dumpBytes/16 {
			size = min(2*size, dumpMost)
		} else {
			size = dumpBatch
		}
	}
	return nil
}

// fitting is as many keys as their commands may be sent at once.
func fitting(keys []string) []string {
	size := 0
	for i, key := range keys {
		if size += 4*len(key)/3 + len("mg  b v f t u\r\n"); size > dumpCommands {
			return keys[:max(i, 1)]
		}
	}
	return keys
}

func bytesOf(records []backends.Record) (n int) {
	for i := range records {
		n += len(records[i].Value)
	}
	return n
}

// batch asks for keys, and for as many that their values stay within bounds: what comes
// beyond is read and asked for again.
func (d *dumping) batch(conn *conn, n *node, p profile, keys []string) (done int, records []backends.Record, stale bool, err error) {
	commands := make([]byte, 0, 40*len(keys))
	meta := p.metaStore()
	for _, key := range keys {
		if !meta {
			commands = append(append(append(commands, "gets "...), key...), "\r\n"...)
			continue
		}
		var flag string
		commands, flag = address(append(commands, "mg "...), key)
		commands = append(append(commands, flag...), " v f t u\r\n"...)
	}
	if err := conn.send(commands); err != nil {
		return 0, nil, false, err
	}
	d.lookups.Add(int64(len(keys)))
	records = make([]backends.Record, 0, len(keys))
	size, full := 0, false
	for _, key := range keys {
		if conn.r.Buffered() == 0 {
			conn.extend()
		}
		line, err := conn.line()
		if err != nil {
			return 0, nil, false, err
		}
		window := int64(-1)
		if full {
			window = 0
		}
		var got gotten
		if meta {
			got, err = conn.metaValue(line, key, window)
		} else {
			got, err = conn.value(line, key, window)
		}
		if full && (err == nil || errors.Is(err, errMiss)) {
			continue
		}
		done++
		switch {
		case errors.Is(err, errMiss):
			continue
		case err != nil:
			return 0, nil, false, err
		}
		stale = stale || got.stale
		records = append(records, recordOf(n, &got))
		size += len(got.data)
		full = size >= dumpBytes
	}
	return done, records, stale, nil
}

func recordOf(n *node, got *gotten) backends.Record {
	r := backends.Record{Key: got.key, Form: form, Type: stringType, Value: got.data, Flags: got.flags, Shard: n.addr}
	if got.hasExp {
		if r.Have |= backends.FactTTL; got.exp >= 0 {
			r.Expires = time.UnixMilli(time.Now().Add(seconds(got.exp)).UnixMilli())
		}
	}
	return r
}

var _ backends.Dumper = (*cache)(nil)

// untimed is the expiry of what never expires.
const untimed = 0

// expiryOf is when a record ends, as the protocol takes it.
func expiryOf(r *backends.Record, p profile) (int32, error) {
	if r.Expires.IsZero() {
		return untimed, nil
	}
	left := time.Until(r.Expires)
	if left > math.MaxInt32*time.Second {
		return 0, fmt.Errorf("the TTL ends after 2038: memcached cannot count that far")
	}
	return expiry(max(left, time.Second), p)
}

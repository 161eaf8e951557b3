package redis

import (
	"context"
	"errors"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// Bounds of dumping. A batch is asked about at once; a value above hugeValue bytes of
// server memory is read in windows, so that neither the server's nor our memory has to
// hold it a second time.
const (
	dumpKeys  = 200
	slowKeys  = 1000
	dumpBytes = 8 << 20
	hugeValue = 32 << 20
)

// Dump asks each key's master for type and size, and then for TTL, age and value. The
// value of a string comes by GET, which costs the server a third of DUMP; that of
// anything else by DUMP. The first question about the next keys goes with the second
// about these; see fast for keys that are all short strings. TTL and value are read next to one another, but not as one: a key that is
// written in that very moment may get the TTL from before.
func (c *cache) Dump(ctx context.Context, keys []string) iter.Seq2[[]backends.Record, error] {
	return c.dump(ctx, keys, false)
}

func (c *cache) dump(ctx context.Context, keys []string, portable bool) iter.Seq2[[]backends.Record, error] {
	return func(yield func([]backends.Record, error) bool) {
		own, err := c.owners(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		byNode := make(map[*node][]string)
		var order []*node
		for _, key := range keys {
			n := own.of(key)
			if byNode[n] == nil {
				order = append(order, n)
			}
			byNode[n] = append(byNode[n], key)
		}
		for _, n := range order {
			d := dump{c: c, node: n, yield: yield, portable: portable}
			if err := d.run(ctx, byNode[n]); err != nil && !d.stopped {
				yield(nil, fail(ctx, n.addr, err))
				return
			}
			if d.stopped {
				return
			}
		}
	}
}

// A dump is what one node has of a Dump.
type dump struct {
	c       *cache
	node    *node
	profile profile
	age     []string // OBJECT IDLETIME or FREQ; nil: neither is told
	yield   func([]backends.Record, error) bool
	stopped bool       // the reader has had enough
	sized   bool       // MEMORY USAGE is answered
	typed   bool       // TYPE is
	done    int        // keys that are settled
	asks    [][]string // age, as it was asked with each batch of fast

	portable bool // see Export
}

// A wanted is a key that is there, and how it is read.
type wanted struct {
	key  string
	kind string // "": unknown
	size int64
}

func (d *dump) run(ctx context.Context, keys []string) (err error) {
	if d.profile, err = d.node.profile(ctx, d.c.db, d.portable); err != nil { // fields may have got TTLs
		return err
	}
	d.sized, d.typed = true, true
	if d.age = []string{"object", "idletime"}; strings.HasSuffix(d.profile.policy, "-lfu") {
		d.age = []string{"object", "freq"}
	}
	for attempt := 0; ; attempt++ {
		w, back, err := d.c.borrow(ctx, d.node, attempt > 0, false)
		if err == nil {
			before := d.done
			d.asks = nil
			err = d.all(ctx, w, keys)
			back(err == nil && !d.stopped)
			if d.done > before {
				attempt = 0
			}
		}
		if !broken(err) || d.stopped || ctx.Err() != nil || attempt == walkRetries || errors.Is(err, backends.ErrUnreachable) {
			return err
		}
		if attempt > 0 && !pausing(ctx, 100*time.Millisecond<<attempt) {
			return err
		}
	}
}

// all dumps the keys that are not settled yet.
func (d *dump) all(ctx context.Context, w *wire, keys []string) error {
	for d.done < len(keys) && !d.stopped {
		rest := keys[d.done:]
		n, err := min(slowKeys, len(rest)), error(nil)
		if d.node.allStrings.Load() > 0 {
			n, err = d.fast(ctx, w, rest)
		} else {
			err = d.slow(ctx, w, rest[:n])
		}
		if err != nil {
			return err
		}
		d.done += n
	}
	return nil
}

// slow asks for type and size before it asks for values.
func (d *dump) slow(ctx context.Context, w *wire, keys []string) error {
	from, short := 0, true
	next := func(from int) []string { return keys[from:min(from+dumpKeys, len(keys))] }
	batch := next(0)
	d.askKind(w, batch)
	if err := w.flush(ctx); err != nil {
		return err
	}
	for len(batch) > 0 {
		there, strays, err := d.kinds(w, batch)
		if err != nil {
			return err
		}
		after := next(from + len(batch))
		for _, k := range there {
			short = short && k.kind == "string" && k.size < shortString/2
		}
		small, huge := d.divide(there)
		for len(small) > 0 {
			n, size := 0, int64(0)
			for n < len(small) && (n == 0 || size+small[n].size <= dumpBytes) {
				size += small[n].size
				n++
			}
			d.askValue(w, small[:n])
			if n == len(small) {
				d.askKind(w, after)
			}
			if err := w.flush(ctx); err != nil {
				return err
			}
			records, lost, err := d.values(w, small[:n])
			if err != nil {
				return err
			}
			if d.portable && d.profile.fieldTTL {
				var unsure []string
				if records, unsure, err = d.fieldTTLs(ctx, records); err != nil {
					return err
				}
				lost = append(lost, unsure...)
			}
			strays = append(strays, lost...)
			if small = small[n:]; len(records) > 0 && !d.give(records, nil) {
				return nil
			}
		}
		if len(there) == len(huge) { // nothing was asked for that the next question could go with
			d.askKind(w, after)
			if err := w.flush(ctx); err != nil {
				return err
			}
		}
		if err := d.singly(ctx, strays, huge); err != nil || d.stopped {
			return err
		}
		w.extend(ctx) // the reader and huge values take their time
		from += len(batch)
		batch = after
	}
	d.guess(short)
	return nil
}

func (d *dump) give(records []backends.Record, err error) bool {
	d.stopped = !d.yield(records, err)
	return !d.stopped
}

func (d *dump) divide(there []wanted) (small, huge []wanted) {
	for _, k := range there {
		if d.inPieces(k) {
			huge = append(huge, k)
		} else {
			small = append(small, k)
		}
	}
	return small, huge
}

// inPieces tells whether a value is read in windows.
func (d *dump) inPieces(k wanted) bool {
	_, divisible := windows[k.kind]
	return divisible && (k.size > d.c.whole.huge || d.portable && !d.inOne(k.kind))
}

func (d *dump) askKind(w *wire, keys []string) {
	for _, key := range keys {
		if d.typed {
			w.command("type", key)
		}
		if d.sized {
			w.command("memory", "usage", key)
		}
	}
}

// kinds reads the answers to askKind. Strays are keys that are another node's.
func (d *dump) kinds(w *wire, keys []string) (there []wanted, strays []string, err error) {
	typed, sized := d.typed, d.sized
	for _, key := range keys {
		k, gone, stray := wanted{key: key}, false, false
		if typed {
			r, err := w.scalar()
			if err != nil {
				return nil, nil, err
			}
			d.c.lookups.Add(1)
			k.kind, gone, stray = r.text, r.text == "none", classify(r.err) == moved
			d.typed = d.typed && !refused(r.err)
		}
		if sized {
			r, err := w.scalar()
			if err != nil {
				return nil, nil, err
			}
			k.size, gone, stray = r.num, gone || r.null && r.err == nil, stray || classify(r.err) == moved
			d.sized = d.sized && !refused(r.err)
		}
		if stray {
			strays = append(strays, key)
		} else if !gone {
			there = append(there, k)
		}
	}
	return there, strays, nil
}

// valueCommands read TTL, age and value, in this order: reading makes a key young.
func (d *dump) valueCommands(k wanted) [][]string {
	all := d.factCommands(k.key)
	if k.kind == "string" {
		return append(all, []string{"get", k.key})
	}
	if d.portable && d.inOne(k.kind) {
		return append(all, wholeCommand(k))
	}
	return append(all, []string{"dump", k.key})
}

func (d *dump) factCommands(key string) [][]string {
	all := [][]string{{d.ttlCommand(), key}}
	if d.age != nil {
		all = append(all, []string{d.age[0], d.age[1], key})
	}
	return all
}

func (d *dump) ttlCommand() string {
	if d.absolute() {
		return "pexpiretime"
	}
	return "pttl"
}

// absolute tells whether the server has PEXPIRETIME.
func (d *dump) absolute() bool { return d.profile.valkey || d.profile.version.atLeast(7, 0) }

func (d *dump) askValue(w *wire, keys []wanted) {
	for _, k := range keys {
		for _, command := range d.valueCommands(k) {
			w.command(command...)
		}
	}
}

// values reads the answers to askValue.
func (d *dump) values(w *wire, keys []wanted) (records []backends.Record, strays []string, err error) {
	age := d.age
	records = make([]backends.Record, 0, len(keys))
	for _, k := range keys {
		replies := make([]reply, 0, 3)
		for i := range 2 + len(age)/2 {
			read := w.blob
			if i == 1+len(age)/2 && d.portable && d.inOne(k.kind) {
				read = func() (reply, error) { return w.whole(k.kind) }
			}
			r, err := read()
			if err != nil {
				return nil, nil, err
			}
			replies = append(replies, r)
		}
		r, state, err := d.record(k, replies, age)
		switch {
		case state == keyStray:
			strays = append(strays, k.key)
		case err != nil:
			return nil, nil, err
		case state == keyThere:
			records = append(records, r)
		}
	}
	return records, strays, nil
}

type keyState int

const (
	keyThere keyState = iota
	keyGone
	keyStray // another node's, or of another type than a moment ago: to be asked for by itself
)

// record puts together what the commands of valueCommands brought.
func (d *dump) record(k wanted, replies []reply, age []string) (r backends.Record, state keyState, err error) {
	value := replies[len(replies)-1]
	switch trouble := classify(value.err); {
	case value.null:
		return r, keyGone, nil
	case trouble == moved, trouble == wrongType, trouble == forbiddenKey:
		return r, keyStray, nil
	case value.err != nil:
		return r, keyGone, value.err
	}
	d.c.lookups.Add(1)
	r = backends.Record{Key: k.key, Form: formRDB, Type: k.kind, Value: value.bytes()}
	if k.kind == "string" || d.portable && d.inOne(k.kind) {
		r.Form = k.kind
	}
	if !d.facts(&r, replies, age) {
		return r, keyGone, nil
	}
	return r, keyThere, nil
}

// facts reads the answers to factCommands, and tells whether the key was there.
func (d *dump) facts(r *backends.Record, replies []reply, age []string) (there bool) {
	if ttl := replies[0]; ttl.err == nil {
		d.c.lookups.Add(1)
		switch r.Have |= backends.FactTTL; {
		case ttl.num == -2:
			return false
		case ttl.num >= 0 && d.absolute():
			r.Expires = time.UnixMilli(ttl.num)
		case ttl.num >= 0:
			r.Expires = time.UnixMilli(time.Now().UnixMilli() + ttl.num)
		}
	}
	if age == nil {
		return true
	}
	switch a := replies[1]; {
	case refused(a.err):
		d.age = nil
	case a.err != nil || a.null:
	case age[1] == "freq":
		r.Freq, r.Have = a.num, r.Have|backends.FactFreq
		d.c.lookups.Add(1)
	default:
		r.Idle, r.Have = 1000*millis(a.num), r.Have|backends.FactIdle
		d.c.lookups.Add(1)
	}
	return true
}

func text(n int64) string { return strconv.FormatInt(n, 10) }

var _ backends.Dumper = (*cache)(nil)

package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
)

// Read shows a key in two round trips: the facts that any type has, then the
// length and a window of the value by the commands of its type. A third asks
// for the TTLs of hash fields, only where the server says that there are any.
// A window of several pages (Window.All on a set or hash) takes one more each.
func (c *cache) Read(ctx context.Context, key string, w backends.Window) (backends.Value, error) {
	v := backends.Value{Entry: backends.Entry{Key: key}}
	n, err := c.owner(ctx, key)
	if err != nil {
		return v, err
	}
	p, err := n.profile(ctx, c.db, false)
	if err != nil {
		return v, err
	}
	r := reading{c: c, probe: c.newProber(n.addr, p, backends.AllFacts), profile: p, window: w, value: &v, seen: make(map[string]bool)}
	r.probe.notices() // a server keeps idle time or frequency: for one key that is no news
	if err := r.run(ctx); err != nil {
		return v, fail(ctx, n.addr, err)
	}
	v.Notices = r.probe.notices()
	v.Touched = c.touches.Load() && v.Opaque == ""
	return v, nil
}

// owner is the master that holds key.
func (c *cache) owner(ctx context.Context, key string) (*node, error) {
	if cc, ok := c.router.(*redis.ClusterClient); ok {
		client, err := cc.MasterForKey(ctx, key)
		if err != nil {
			return nil, fail(ctx, c.name, err)
		}
		return c.node(client.Options().Addr, false), nil
	}
	shards, err := c.shards(ctx)
	if err != nil {
		return nil, err
	}
	return shards[0].master, nil
}

// A reading is one Read under way.
type reading struct {
	c       *cache
	probe   *prober
	profile profile
	window  backends.Window
	value   *backends.Value
	seen    map[string]bool // elements read so far: a table that is resized in mid-walk shows some twice
}

// fresh tells whether an element has not been read before.
func (r *reading) fresh(name string) bool {
	if r.seen[name] {
		return false
	}
	r.seen[name] = true
	return true
}

func (r *reading) run(ctx context.Context) error {
	r.probe.want &^= backends.FactElements // comes with the value
	entries, err := r.c.inspect(ctx, r.probe, []string{r.value.Key})
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return backends.ErrMiss
	}
	if entries[0].Have == 0 {
		if r.profile.cluster && r.c.topology == single {
			return fmt.Errorf("the key lives on another node of the cluster: use redis+cluster://%s", r.c.addrs[0])
		}
		return fmt.Errorf("%w: this user may not read the key", backends.ErrDenied)
	}
	r.value.Entry = entries[0]
	if !entries[0].Have.Has(backends.FactType) {
		r.value.Opaque = "its type is unknown: this user may not ask for it"
		return nil
	}
	read, ok := readers[entries[0].Type]
	if !ok {
		r.value.Opaque = fmt.Sprintf("values of the module type %s cannot be read", entries[0].Type)
		return nil
	}
	return r.opaque(read(r, ctx))
}

// opaque turns a refusal to show the value into a word about it.
func (r *reading) opaque(err error) error {
	switch {
	case errors.Is(err, redis.Nil):
		return backends.ErrMiss
	case refused(err):
		r.value.Opaque = "the server does not show it: " + err.Error()
		return nil
	case err != nil && strings.HasPrefix(err.Error(), "WRONGTYPE"): // replaced between the two round trips
		return fmt.Errorf("the key changed its type while it was read: %w", err)
	}
	return err
}

// readers read the value of each type.
var readers = map[string]func(*reading, context.Context) error{
	"string": (*reading).str,
	"list":   (*reading).list,
	"set":    (*reading).set,
	"zset":   (*reading).zset,
	"hash":   (*reading).hash,
	"stream": (*reading).stream,
}

// elements is how many elements to read, -1 for all.
func (r *reading) elements() int64 {
	switch {
	case r.window.All:
		return -1
	case r.window.Elements > 0:
		return r.window.Elements
	}
	return backends.DefaultWindowElements
}

// bytes is the last byte of a string to read, as GETRANGE takes it.
func (r *reading) lastByte() int64 {
	switch {
	case r.window.All:
		return -1
	case r.window.Bytes > 0:
		return r.window.Bytes - 1
	}
	return backends.DefaultWindowBytes - 1
}

// with runs one round trip: the length of the value by name, and what body asks.
func (r *reading) with(ctx context.Context, name string, body func(p redis.Pipeliner)) error {
	pipe := r.c.router.Pipeline()
	length := pipe.Do(ctx, name, r.value.Key)
	r.c.lookups.Add(2)
	body(pipe)
	if err := exec(ctx, pipe); err != nil {
		return err
	}
	n, err := length.Int64()
	if err != nil {
		return err
	}
	r.value.Total = n
	r.value.Entry.Elements = n
	r.value.Have |= backends.FactElements
	return nil
}

func (r *reading) str(ctx context.Context) error {
	var data *redis.StringCmd
	err := r.with(ctx, "strlen", func(p redis.Pipeliner) {
		data = p.GetRange(ctx, r.value.Key, 0, r.lastByte())
	})
	if err != nil {
		return err
	}
	r.value.Data, err = data.Bytes()
	return err
}

func (r *reading) list(ctx context.Context) error {
	var items *redis.StringSliceCmd
	last := r.elements()
	if last > 0 {
		last--
	}
	err := r.with(ctx, "llen", func(p redis.Pipeliner) { items = p.LRange(ctx, r.value.Key, 0, last) })
	if err != nil {
		return err
	}
	for i, item := range items.Val() {
		r.value.Elements = append(r.value.Elements, backends.Element{Index: int64(i), Value: []byte(item)})
	}
	return items.Err()
}

func (r *reading) zset(ctx context.Context) error {
	var members *redis.ZSliceCmd
	last := r.elements()
	if last > 0 {
		last--
	}
	err := r.with(ctx, "zcard", func(p redis.Pipeliner) { members = p.ZRangeWithScores(ctx, r.value.Key, 0, last) })
	if err != nil {
		return err
	}
	for _, z := range members.Val() {
		member, _ := z.Member.(string)
		r.value.Elements = append(r.value.Elements, backends.Element{Value: []byte(member), Score: z.Score})
	}
	return members.Err()
}

func (r *reading) stream(ctx context.Context) error {
	var entries *redis.Cmd
	err := r.with(ctx, "xlen", func(p redis.Pipeliner) {
		args := []any{"xrange", r.value.Key, "-", "+"}
		if n := r.elements(); n > 0 {
			args = append(args, "count", n)
		}
		entries = p.Do(ctx, args...)
	})
	if err != nil {
		return err
	}
	// XRANGE by hand: a map of fields would lose their order and repetitions.
	list, err := entries.Slice()
	if err != nil {
		return err
	}
	for _, item := range list {
		e, ok := streamEntry(item)
		if !ok {
			return errors.New("unexpected reply to XRANGE")
		}
		r.value.Elements = append(r.value.Elements, e)
	}
	return nil
}

// streamEntry reads [id, [field, value, ...]].
func streamEntry(item any) (e backends.Element, ok bool) {
	parts, ok := item.([]any)
	if !ok || len(parts) != 2 {
		return e, false
	}
	id, ok := parts[0].(string)
	if !ok {
		return e, false
	}
	e.Name = []byte(id)
	fields, _ := parts[1].([]any)
	for i := 0; i+1 < len(fields); i += 2 {
		name, _ := fields[i].(string)
		value, _ := fields[i+1].(string)
		e.Pairs = append(e.Pairs, [2][]byte{[]byte(name), []byte(value)})
	}
	return e, true
}

// scanPage is the COUNT of SSCAN and HSCAN. Small encodings bring everything
// at once whatever it says.
const scanPage = 1000

// pages reads a set or hash by its SCAN command until the window is full, and
// leaves out what the last page brought beyond it.
func (r *reading) pages(ctx context.Context, length string, scan func(p redis.Pipeliner, cursor uint64, count int64) *redis.ScanCmd, take func(page []string)) error {
	count, left := int64(scanPage), r.elements()
	if left > 0 {
		count = min(count, left)
	}
	var page *redis.ScanCmd
	err := r.with(ctx, length, func(p redis.Pipeliner) { page = scan(p, 0, count) })
	for {
		if err != nil {
			return err
		}
		items, cursor, err := page.Result()
		if err != nil {
			return err
		}
		take(items)
		if left > 0 && int64(len(r.value.Elements)) >= left {
			r.value.Elements = r.value.Elements[:left]
			return nil
		}
		if cursor == 0 {
			return nil
		}
		pipe := r.c.router.Pipeline()
		page = scan(pipe, cursor, count)
		r.c.lookups.Add(1)
		if err = exec(ctx, pipe); err != nil {
			return err
		}
	}
}

func (r *reading) set(ctx context.Context) error {
	return r.pages(ctx, "scard",
		func(p redis.Pipeliner, cursor uint64, count int64) *redis.ScanCmd {
			return p.SScan(ctx, r.value.Key, cursor, "", count)
		},
		func(page []string) {
			for _, member := range page {
				if r.fresh(member) {
					r.value.Elements = append(r.value.Elements, backends.Element{Value: []byte(member)})
				}
			}
		})
}

func (r *reading) hash(ctx context.Context) error {
	err := r.pages(ctx, "hlen",
		func(p redis.Pipeliner, cursor uint64, count int64) *redis.ScanCmd {
			return p.HScan(ctx, r.value.Key, cursor, "", count)
		},
		func(page []string) {
			for i := 0; i+1 < len(page); i += 2 {
				if r.fresh(page[i]) {
					r.value.Elements = append(r.value.Elements,
						backends.Element{Name: []byte(page[i]), Value: []byte(page[i+1]), TTL: backends.NoTTL})
				}
			}
		})
	if err != nil || !r.profile.fieldTTL || len(r.value.Elements) == 0 {
		return err
	}
	return r.fieldTTLs(ctx)
}

// fieldTTLs asks for the TTLs of the fields that were read (Redis 7.4, Valkey 9).
func (r *reading) fieldTTLs(ctx context.Context) error {
	names := make([]string, len(r.value.Elements))
	for i, e := range r.value.Elements {
		names[i] = string(e.Name)
	}
	r.c.lookups.Add(1)
	ttls, err := r.c.router.HPTTL(ctx, r.value.Key, names...).Result()
	if refused(err) || errors.Is(err, redis.Nil) {
		return nil
	}
	for i := range min(len(ttls), len(names)) {
		if ttls[i] >= 0 {
			r.value.Elements[i].TTL = millis(ttls[i])
		}
	}
	return err
}

package redis

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
)

// fieldTTLs asks when the fields of hashes expire, of all hashes at once. Those with fields
// that do become the commands that build them. Unsure are keys whose answer was none.
func (d *dump) fieldTTLs(ctx context.Context, records []backends.Record) (all []backends.Record, unsure []string, err error) {
	pipe := d.node.client.Pipeline()
	asked := make([]*redis.Cmd, len(records))
	for i := range records {
		if r := &records[i]; r.Form == backends.FormHash {
			n, _ := backends.Elements(r.Form, r.Value)
			args := []string{"hpexpiretime", r.Key, "fields", text(int64(n))}
			backends.EachPair(r.Value, func(field, _ []byte) { args = append(args, string(field)) })
			asked[i] = do(ctx, pipe, args)
		}
	}
	if err := exec(ctx, pipe); err != nil {
		return nil, nil, err
	}
	for i, r := range records {
		if asked[i] == nil {
			all = append(all, r)
			continue
		}
		d.c.lookups.Add(1)
		answer, err := asked[i].Result()
		if times, _ := answer.([]any); err != nil || len(times) == 0 {
			unsure = append(unsure, r.Key)
		} else {
			all = append(all, withFieldTTLs(r, times)...)
		}
	}
	return all, unsure, nil
}

// withFieldTTLs is a hash, in parts where it has fields that expire.
func withFieldTTLs(r backends.Record, times []any) []backends.Record {
	set, i := []string{"hset"}, 0
	var expire commands
	backends.EachPair(r.Value, func(field, value []byte) {
		set = append(set, string(field), string(value))
		if i < len(times) {
			if at, _ := times[i].(int64); at > 0 {
				expire.add("hpexpireat", text(at), "fields", "1", string(field))
			}
		}
		i++
	})
	if len(expire) == 0 {
		return []backends.Record{r}
	}
	var build commands
	build.add(set...)
	return built(r, append(build, expire...))
}

// built is a value whose commands come in one part: that, and the end with the facts.
func built(facts backends.Record, c commands) []backends.Record {
	first := backends.Record{Key: facts.Key, Form: formCommands, Type: facts.Type, Value: c, More: true}
	facts.Form, facts.Value, facts.Part = formCommands, nil, 1
	return []backends.Record{first, facts}
}

// streams reads the streams among keys that are short and have no groups, all at once, and
// returns the keys that it did not.
func (d *dump) streams(ctx context.Context, keys []wanted) (left []wanted, err error) {
	pipe := d.node.client.Pipeline()
	var asked [][]*redis.Cmd
	var short []wanted
	for _, k := range keys {
		if k.kind != "stream" || k.size > d.c.whole.huge {
			left = append(left, k)
			continue
		}
		commands := append(d.factCommands(k.key),
			[]string{"xrange", k.key, "-", "+", "count", text(windowElements)},
			[]string{"xinfo", "groups", k.key}, []string{"xinfo", "stream", k.key})
		var cmds []*redis.Cmd
		for _, args := range commands {
			cmds = append(cmds, do(ctx, pipe, args))
		}
		asked, short = append(asked, cmds), append(short, k)
	}
	if len(short) == 0 {
		return left, nil
	}
	if err := exec(ctx, pipe); err != nil {
		return nil, err
	}
	age := d.age
	var records []backends.Record
	for i, k := range short {
		if some := d.shortStream(k, asked[i], age); some != nil {
			records = append(records, some...)
		} else {
			left = append(left, k)
		}
	}
	if len(records) > 0 {
		d.give(records, nil)
	}
	return left, nil
}

// shortStream puts together what streams asked about one; nil where there is more to ask.
func (d *dump) shortStream(k wanted, cmds []*redis.Cmd, age []string) []backends.Record {
	facts, values := cmds[:len(cmds)-3], cmds[len(cmds)-3:]
	for _, cmd := range values {
		if cmd.Err() != nil {
			return nil
		}
	}
	entries, _ := values[0].Val().([]any)
	groups, _ := values[1].Val().([]any)
	if len(entries) == 0 || len(entries) >= windowElements || len(groups) > 0 {
		return nil
	}
	var c commands
	for _, item := range entries {
		if !addEntry(&c, item) {
			return nil
		}
	}
	c.add(streamEnd(values[2].Val())...)
	replies := make([]reply, len(facts))
	for i, cmd := range facts {
		replies[i] = replyOf(cmd)
	}
	d.c.lookups.Add(3)
	r := backends.Record{Key: k.key, Type: k.kind}
	if !d.facts(&r, replies, age) {
		return nil
	}
	return built(r, c)
}

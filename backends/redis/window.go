package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
)

// windows reads the values of each type piece by piece. A type that is not here, such as
// a module's, goes by DUMP whatever its size.
var windows = map[string]func(*window, context.Context) error{
	"string": (*window).str,
	"list":   (*window).list,
	"set": func(w *window, ctx context.Context) error {
		return w.scan(ctx, "sscan", func(c *commands, page []string) { c.add(append([]string{"sadd"}, page...)...) })
	},
	"zset": func(w *window, ctx context.Context) error {
		return w.scan(ctx, "zscan", func(c *commands, page []string) {
			args := []string{"zadd"}
			for i := 0; i+1 < len(page); i += 2 {
				args = append(args, page[i+1], page[i])
			}
			c.add(args...)
		})
	},
	"hash":   (*window).hash,
	"stream": (*window).stream,
}

// A window is a huge value that is read piece by piece. It is no snapshot: what is
// written to the key meanwhile may be in it or not.
type window struct {
	d     *dump
	key   string
	kind  string
	parts int
	gone  bool // the key was not there any more
}

// windowBytes is about how much a piece has; elements are of unknown size until read.
const (
	windowBytes    = 4 << 20
	windowElements = 1000
)

// inWindows dumps a huge value.
func (d *dump) inWindows(ctx context.Context, k wanted) error {
	w := &window{d: d, key: k.key, kind: k.kind}
	err := windows[k.kind](w, ctx)
	if err == nil && !w.gone && !d.stopped {
		err = w.last(ctx)
	}
	var answer redis.Error
	if errors.As(err, &answer) { // replaced by another type meanwhile, forbidden ...
		d.give(nil, &backends.KeyError{Key: k.key, Err: fmt.Errorf("it is read in windows, because it is huge: %s", words(err))})
		return nil
	}
	return err
}

// give hands a piece on, and tells whether the reader wants more.
func (w *window) give(c commands) bool {
	r := backends.Record{Key: w.key, Form: formCommands, Type: w.kind, Value: c, Part: w.parts, More: true}
	w.parts++
	return w.d.give([]backends.Record{r}, nil)
}

// last brings the facts, and the end.
func (w *window) last(ctx context.Context) error {
	cmds, err := w.d.c.through(ctx, w.d.node, false, w.d.factCommands(w.key)...)
	if err != nil {
		return err
	}
	replies := make([]reply, len(cmds))
	for i, cmd := range cmds {
		replies[i] = replyOf(cmd)
	}
	r := backends.Record{Key: w.key, Form: formCommands, Type: w.kind, Part: w.parts}
	if w.d.facts(&r, replies, w.d.age) {
		w.d.give([]backends.Record{r}, nil)
	}
	return nil
}

// ask sends one command.
func (w *window) ask(ctx context.Context, args ...string) (any, error) {
	cmds, err := w.d.c.through(ctx, w.d.node, false, args)
	if err != nil {
		return nil, err
	}
	w.d.c.lookups.Add(1)
	answer, err := cmds[0].Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return answer, err
}

func (w *window) str(ctx context.Context) error {
	size := int64(min(windowBytes, w.d.c.whole.huge))
	for at := int64(0); ; at += size {
		answer, err := w.ask(ctx, "getrange", w.key, text(at), text(at+size-1))
		if err != nil {
			return err
		}
		piece, _ := answer.(string)
		if piece != "" {
			var c commands
			if c.add("append", piece); !w.give(c) {
				return nil
			}
		}
		if int64(len(piece)) < size {
			w.gone = w.parts == 0
			return nil
		}
	}
}

func (w *window) list(ctx context.Context) error {
	n := int64(windowElements)
	for at := int64(0); ; {
		answer, err := w.ask(ctx, "lrange", w.key, text(at), text(at+n-1))
		if err != nil {
			return err
		}
		items := texts(answer)
		if len(items) == 0 {
			w.gone = w.parts == 0
			return nil
		}
		var c commands
		if c.add(append([]string{"rpush"}, items...)...); !w.give(c) {
			return nil
		}
		at += int64(len(items))
		n = fitting(n, len(c))
	}
}

// fitting is the next number of elements, so that about windowBytes come.
func fitting(n int64, bytes int) int64 {
	switch {
	case bytes < windowBytes/2:
		return min(2*n, 100_000)
	case bytes > windowBytes:
		return max(n/2, 1)
	}
	return n
}

// scan reads by SSCAN, HSCAN or ZSCAN. An element that comes twice is the same twice.
func (w *window) scan(ctx context.Context, command string, add func(c *commands, page []string)) error {
	n := int64(windowElements)
	for cursor := "0"; ; {
		answer, err := w.ask(ctx, command, w.key, cursor, "count", text(n))
		if err != nil {
			return err
		}
		pair, _ := answer.([]any)
		if len(pair) != 2 {
			return fmt.Errorf("unexpected reply to %s", command)
		}
		cursor, _ = pair[0].(string)
		if page := texts(pair[1]); len(page) > 0 {
			var c commands
			if add(&c, page); !w.give(c) {
				return nil
			}
			n = fitting(n, len(c))
		}
		if cursor == "0" {
			w.gone = w.parts == 0
			return nil
		}
	}
}

// hash reads the fields, and when those expire that do (Redis 7.4, Valkey 9).
func (w *window) hash(ctx context.Context) error {
	var failed error
	ending := w.d.profile.fieldTTL
	err := w.scan(ctx, "hscan", func(c *commands, page []string) {
		c.add(append([]string{"hset"}, page...)...)
		if !ending || failed != nil {
			return
		}
		ask := []string{"hpexpiretime", w.key, "fields", text(int64(len(page) / 2))}
		for i := 0; i+1 < len(page); i += 2 {
			ask = append(ask, page[i])
		}
		answer, err := w.ask(ctx, ask...)
		if ending = !refused(err); err != nil && ending {
			failed = err
		}
		times, _ := answer.([]any)
		for i, at := range times {
			if ms, _ := at.(int64); ms > 0 && 2*i < len(page) {
				c.add("hpexpireat", text(ms), "fields", "1", page[2*i])
			}
		}
	})
	return errors.Join(err, failed)
}

// stream reads the entries, and then what is said about them: the last ID, groups, their
// consumers, and what is pending. Pending entries that are deleted cannot be given back.
func (w *window) stream(ctx context.Context) error {
	n, from := int64(windowElements), "-"
	for {
		answer, err := w.ask(ctx, "xrange", w.key, from, "+", "count", text(n))
		if err != nil {
			return err
		}
		entries, _ := answer.([]any)
		if len(entries) == 0 {
			break
		}
		var c commands
		for _, item := range entries {
			if !addEntry(&c, item) {
				return errors.New("unexpected reply to XRANGE")
			}
			e, _ := streamEntry(item)
			from = "(" + string(e.Name)
		}
		if !w.give(c) {
			return nil
		}
		n = fitting(n, len(c))
	}
	return w.aboutStream(ctx)
}

func (w *window) aboutStream(ctx context.Context) error {
	answer, err := w.ask(ctx, "xinfo", "groups", w.key)
	if err != nil {
		if classify(err) == noKey {
			w.gone = true
			return nil
		}
		return err
	}
	var c commands
	groups, _ := answer.([]any)
	for _, item := range groups {
		group := fields(item)
		name := group["name"]
		args := []string{"xgroup", "create", name, group["last-delivered-id"], "mkstream"}
		if read := group["entries-read"]; read != "" {
			args = append(args, "entriesread", read)
		}
		c.add(args...)
		if answer, err = w.ask(ctx, "xinfo", "consumers", w.key, name); err != nil {
			return err
		}
		consumers, _ := answer.([]any)
		for _, item := range consumers {
			c.add("xgroup", "createconsumer", name, fields(item)["name"])
		}
		if err := w.pending(ctx, &c, name); err != nil {
			return err
		}
	}
	if answer, err = w.ask(ctx, "xinfo", "stream", w.key); err != nil {
		return err
	}
	if w.parts > 0 || len(groups) > 0 {
		c.add(streamEnd(answer)...)
	}
	w.give(c)
	return nil
}

// addEntry adds the command for an entry of XRANGE.
func addEntry(c *commands, item any) bool {
	e, ok := streamEntry(item)
	args := []string{"xadd", string(e.Name)}
	for _, pair := range e.Pairs {
		args = append(args, string(pair[0]), string(pair[1]))
	}
	c.add(args...)
	return ok
}

// streamEnd is the command for what XINFO STREAM says beside entries.
func streamEnd(answer any) []string {
	about := fields(answer)
	args := []string{"xsetid", about["last-generated-id"]}
	if added, deleted := about["entries-added"], about["max-deleted-entry-id"]; added != "" && deleted != "" {
		args = append(args, "entriesadded", added, "maxdeletedid", deleted)
	}
	return args
}

func (w *window) pending(ctx context.Context, c *commands, group string) error {
	for from := "-"; ; {
		answer, err := w.ask(ctx, "xpending", w.key, group, from, "+", text(windowElements))
		if err != nil {
			return err
		}
		list, _ := answer.([]any)
		for _, item := range list {
			p := texts(item)
			if len(p) != 4 {
				return errors.New("unexpected reply to XPENDING")
			}
			c.add("xclaim", group, p[1], "0", p[0], "idle", p[2], "retrycount", p[3], "force", "justid")
			from = "(" + p[0]
		}
		if len(list) < windowElements {
			return nil
		}
	}
}

// texts reads an array of strings and numbers.
func texts(answer any) []string {
	list, _ := answer.([]any)
	all := make([]string, 0, len(list))
	for _, item := range list {
		switch v := item.(type) {
		case string:
			all = append(all, v)
		case int64:
			all = append(all, strconv.FormatInt(v, 10))
		default:
			all = append(all, "")
		}
	}
	return all
}

// fields reads an array of names and values, of which only strings and numbers count.
func fields(answer any) map[string]string {
	all := make(map[string]string)
	list := texts(answer)
	for i := 0; i+1 < len(list); i += 2 {
		all[list[i]] = list[i+1]
	}
	if m, ok := answer.(map[any]any); ok { // RESP3
		for name, value := range m {
			pair := texts([]any{name, value})
			all[pair[0]] = pair[1]
		}
	}
	return all
}

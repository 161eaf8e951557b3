package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A build is a value under way, under a name of its own.
type build struct {
	name string
	node *node
	next int   // the part that comes next
	err  error // why it came to nothing
	over bool
}

// buildLife is how long a part of a value may outlive the last word from us.
const buildLife = time.Hour

var errParts = errors.New("its parts are not all in the backup: it was broken off while it was read, or is damaged")

// build takes a part of a value. The outcome comes with the last.
func (l *loading) build(r *backends.Record) (o backends.Outcome) {
	b := l.builds[r.Key]
	if r.Part == 0 {
		if b != nil { // it was begun twice: the second one counts
			l.discard(b)
		}
		n := l.owners.of(r.Key)
		b = &build{name: l.name(r.Key), node: n}
		l.builds[r.Key] = b
	}
	if b == nil {
		b = &build{err: errParts}
		l.builds[r.Key] = b
	}
	if b.next != r.Part {
		b.err = errParts
	}
	b.next++
	if b.err == nil {
		b.err = l.add(b, r)
	}
	if r.More {
		return o
	}
	delete(l.builds, r.Key)
	o.Key = r.Key
	switch {
	case b.err == nil && over(r):
		o.Did = backends.Ended
	case b.err == nil:
		o.Did, b.err = l.finish(b, r)
	}
	if b.err != nil {
		o.Did, o.Err = backends.Failed, b.err
	}
	if o.Did != backends.Loaded {
		l.discard(b)
	}
	return o
}

// buildWhole loads a collection of a portable form that is too big for one command.
func (l *loading) buildWhole(r *backends.Record) backends.Outcome {
	if b := l.builds[r.Key]; b != nil { // parts of another value of this key
		delete(l.builds, r.Key)
		l.discard(b)
	}
	parts, err := inParts(r)
	if err != nil {
		return backends.Outcome{Key: r.Key, Did: backends.Failed, Err: err}
	}
	var o backends.Outcome
	for part := range parts {
		o = l.build(&part)
	}
	return o
}

// name is a free name in the slot of key. One of about 16,384 is in it.
func (l *loading) name(key string) string {
	base := "cachectl:restore:" + rand.Text() + ":"
	if l.owners.bySlot == nil && l.c.whole.topology != cluster {
		return base
	}
	slot := slotOf(key)
	for i := int64(0); ; i++ {
		if name := base + text(i); slotOf(name) == slot {
			return name
		}
	}
}

// add sends the commands of a part.
func (l *loading) add(b *build, r *backends.Record) error {
	if l.Asked.Err() != nil {
		return context.Cause(l.Asked)
	}
	if err := l.deadNode(b.node); err != nil {
		return err
	}
	if r.Form != formCommands {
		return fmt.Errorf("%w (%s)", errForeign, r.Form)
	}
	var all [][]string
	if !commands(r.Value).each(b.name, func(args []string) { all = append(all, args) }) {
		return errors.New("its record makes no sense")
	}
	all = append(all, []string{"pexpire", b.name, text(buildLife.Milliseconds())})
	cmds, err := l.c.through(l.ctx, b.node, true, all...)
	if err != nil {
		return fail(l.ctx, b.node.addr, err)
	}
	for i, cmd := range cmds {
		// A pending entry whose message is deleted is not claimed, which is no error.
		if err := cmd.Err(); err != nil && replyOf(cmd).err != nil {
			return fmt.Errorf("%s: %w", all[i][0], loadError(b.node, err))
		}
	}
	return nil
}

// finish gives the value its TTL and its name.
func (l *loading) finish(b *build, r *backends.Record) (backends.Verb, error) {
	life := []string{"persist", b.name}
	if !r.Expires.IsZero() {
		life = []string{"pexpireat", b.name, text(r.Expires.UnixMilli())}
	}
	rename := []string{"renamenx", b.name, r.Key}
	if l.replace {
		rename[0] = "rename"
	}
	cmds, err := l.c.through(l.ctx, b.node, true, life, rename)
	if err != nil {
		return backends.Failed, fail(l.ctx, b.node.addr, err)
	}
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil {
			return backends.Failed, loadError(b.node, err)
		}
	}
	if replyOf(cmds[1]).num == 0 && !l.replace {
		return backends.Kept, nil
	}
	return backends.Loaded, nil
}

// discard removes what there is of a value. What cannot be reached expires.
func (l *loading) discard(b *build) {
	if b.over || b.name == "" {
		return
	}
	b.over = true
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.ctx), grace)
	defer cancel()
	l.c.through(ctx, b.node, true, []string{"unlink", b.name})
}

func (l *loading) cleanUp() {
	for _, b := range l.builds {
		l.discard(b)
	}
}

// unfinished are the keys whose last part never came.
func (l *loading) unfinished() (all []backends.Outcome) {
	for key, b := range l.builds {
		err := b.err
		if err == nil {
			err = errParts
		}
		all = append(all, backends.Outcome{Key: key, Did: backends.Failed, Err: err})
	}
	return all
}

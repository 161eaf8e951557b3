package redis

import (
	"context"
	"errors"
	"fmt"

	"github.com/cachectl/cachectl/backends"
)

// singly dumps keys that take commands of their own.
func (d *dump) singly(ctx context.Context, strays []string, huge []wanted) error {
	for _, key := range strays {
		k, err := d.lookAt(ctx, key)
		if err != nil {
			return err
		}
		if _, divisible := windows[k.kind]; d.inPieces(k) || divisible && d.portable && k.kind != "string" {
			huge = append(huge, k)
			continue
		}
		if k.kind == "none" {
			continue
		}
		r, state, err := d.alone(ctx, k)
		switch {
		case err != nil && broken(err):
			return err
		case err != nil:
			d.give(nil, &backends.KeyError{Key: key, Err: errors.New(words(err))})
		case state == keyThere:
			d.give([]backends.Record{r}, nil)
		}
		if d.stopped {
			return nil
		}
	}
	if d.portable && len(huge) > 0 {
		var err error
		if huge, err = d.streams(ctx, huge); err != nil || d.stopped {
			return err
		}
	}
	for _, k := range huge {
		if err := d.inWindows(ctx, k); err != nil || d.stopped {
			return err
		}
	}
	return nil
}

// lookAt asks for kind and size wherever the key is.
func (d *dump) lookAt(ctx context.Context, key string) (wanted, error) {
	cmds, err := d.c.through(ctx, d.node, false, []string{"type", key}, []string{"memory", "usage", key})
	if err != nil {
		return wanted{}, err
	}
	k := wanted{key: key, kind: replyOf(cmds[0]).text, size: replyOf(cmds[1]).num}
	d.c.lookups.Add(1)
	return k, nil
}

// alone dumps a key wherever it is. Its error may be the server's answer.
func (d *dump) alone(ctx context.Context, k wanted) (r backends.Record, state keyState, err error) {
	cmds, err := d.c.through(ctx, d.node, false, d.valueCommands(k)...)
	if err != nil {
		return r, keyGone, err
	}
	replies, age := make([]reply, len(cmds)), d.age
	for i, cmd := range cmds {
		replies[i] = replyOf(cmd)
	}
	r, state, err = d.record(k, replies, age)
	if state == keyStray {
		err = fmt.Errorf("%w", replies[len(replies)-1].err)
		if classify(err) == moved && d.c.whole.topology != cluster {
			err = errOtherNode
		}
	}
	return r, state, err
}

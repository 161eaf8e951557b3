package commands

import (
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/cachectl/cachectl/backends"
)

// A trouble gathers what went wrong on the way without ending the run: lost
// shards, which make the answer partial, and notices, which are told at once
// and once each.
type trouble struct {
	env    *Env
	before func() // clears the line that progress is drawn on
	mu     sync.Mutex
	lost   []error
	told   map[string]bool
}

func newTrouble(env *Env) *trouble {
	return &trouble{env: env, told: make(map[string]bool), before: func() {}}
}

// add takes an error that does not end the run.
func (t *trouble) add(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var notice *backends.Notice
	if !errors.As(err, &notice) {
		// A node that is down through many windows is one thing to know.
		if text := err.Error(); !t.told[text] {
			t.told[text] = true
			t.lost = append(t.lost, err)
		}
		return
	}
	// The same on every node of a cluster is one thing to know.
	text := fmt.Sprintf("%s: %v", notice.What, notice.Err)
	if !t.told[text] {
		t.told[text] = true
		t.before()
		t.env.note("%s (%s)", text, notice.Shard)
	}
}

// tellLost says at once what was lost since the last call, for runs that go on
// for long.
func (t *trouble) tellLost() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, err := range t.lost {
		if text := "told: " + err.Error(); !t.told[text] {
			t.told[text] = true
			t.env.warn("%v", err)
		}
	}
}

// split takes joined errors apart: *ShardErrors and notices are gathered, and
// what is left ends the run.
func (t *trouble) split(err error) error {
	if err == nil {
		return nil
	}
	parts := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok && !backends.Ends(err) {
		if _, single := err.(*backends.ShardError); !single {
			parts = joined.Unwrap()
		}
	}
	for _, part := range parts {
		if backends.Ends(part) {
			return part
		}
		t.add(part)
	}
	return nil
}

// err is what the run comes to: nil, or a partial answer, or no answer at all
// when some is false.
func (t *trouble) err(some bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lost) == 0 {
		return nil
	}
	err := errors.Join(t.lost...)
	if !some {
		return err
	}
	return &partialError{err}
}

// aside takes what does not end the stream out of it.
func aside[T any](t *trouble, seq iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for item, err := range seq {
			if err != nil && !backends.Ends(err) {
				t.add(err)
				continue
			}
			if !yield(item, err) {
				return
			}
		}
	}
}

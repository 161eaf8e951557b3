package commands

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

// only is a parcel of some of the records, that has nothing else to tell.
func (p *parcel) only(places []int) *parcel {
	rest := &parcel{page: p.page}
	for _, at := range places {
		rest.records = append(rest.records, p.records[at])
		rest.bytes += roomFor(&p.records[at])
		if p.lines != nil {
			rest.lines = append(rest.lines, p.lines[at])
		}
	}
	rest.bytes = min(rest.bytes, p.bytes)
	return rest
}

// postpone keeps a parcel to be sent again.
func (l *load) postpone(p *parcel, err error) {
	if err != nil {
		l.unmet = append(l.unmet, backends.Outcome{Err: err})
	}
	for i := range p.records {
		l.partial = l.partial || p.records[i].More || p.records[i].Part > 0
	}
	l.stuck[p.page.Shard] = p.page
	l.again = append(l.again, p)
}

// unsettled counts the records that are held when a run ends, and says which they are.
func (l *load) unsettled() (n int64, which string) {
	first, last := int64(math.MaxInt64), int64(0)
	var keys []string
	for _, p := range l.again {
		for i := range p.records {
			if p.records[i].More {
				continue
			}
			n++
			if p.lines != nil {
				first, last = min(first, p.lines[i]), max(last, p.lines[i])
			}
			if len(keys) < planExamples {
				keys = append(keys, render.Quote(p.records[i].Key))
			}
		}
	}
	if which = strings.Join(keys, "  "); n > int64(len(keys)) {
		which += "  ..."
	}
	switch {
	case last == 0:
	case first == last:
		which = fmt.Sprintf("%s %d: %s", l.feed.stands(), first, which)
	default:
		which = fmt.Sprintf("%ss %d to %d: %s", l.feed.stands(), first, last, which)
	}
	return n, which
}

// tellUnsettled says which records the run has met and did not load.
func (l *load) tellUnsettled() {
	n, which := l.unsettled()
	if n == 0 {
		return
	}
	rest := ", nor what the source has behind them"
	if errors.Is(l.source, errFed) {
		rest = ""
	}
	l.env.note("not loaded: %s (%s)%s", plural(n, "record"), which, rest)
	if l.journal == nil {
		l.env.note("to go on: the same command again, from the beginning: no journal was kept")
	}
}

// regroup gives what is to be sent again the marks: the last of a shard leads behind
// everything that was settled meanwhile.
func (l *load) regroup() {
	last := make(map[string]*parcel)
	for _, p := range l.again {
		p.page.After, p.page.Last = l.state.Marks[p.page.Shard], false
		last[p.page.Shard] = p
	}
	for shard, page := range l.stuck {
		if p := last[shard]; p != nil {
			p.page = page
		}
	}
	clear(l.stuck)
}

// passing tells whether an error is of the moment, and not of the record.
func passing(err error) bool {
	return returns(err) || full(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, backends.ErrDenied) || errors.Is(err, backends.ErrAuth) || says(err, "READONLY", "MISCONF", "NOREPLICAS")
}

// returns tells whether waiting makes sense: what was there, and is not now, may come back.
func returns(err error) bool {
	return backends.Disconnected(err) || says(err, "LOADING ", "CLUSTERDOWN", "MASTERDOWN")
}

func says(err error, words ...string) bool {
	text := err.Error()
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
}

// ahead reads n items ahead of its reader, in a goroutine of its own.
func ahead[T any](seq iter.Seq2[T, error], n int) iter.Seq2[T, error] {
	type item struct {
		value T
		err   error
	}
	return func(yield func(T, error) bool) {
		ready, left := make(chan item, n), make(chan struct{})
		go func() {
			defer close(ready)
			for value, err := range seq {
				select {
				case ready <- item{value, err}:
				case <-left:
					return
				}
			}
		}()
		defer func() {
			close(left)
			for range ready { // until the source has returned
			}
		}()
		for it := range ready {
			if !yield(it.value, it.err) {
				return
			}
		}
	}
}

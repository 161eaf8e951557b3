package commands

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"

	"github.com/cachectl/cachectl/backends"
)

// postpone keeps records of a parcel to be sent again.
func (l *load) postpone(p *parcel, records []backends.Record, err error) {
	if err != nil {
		l.unmet = append(l.unmet, backends.Outcome{Err: err})
	}
	for i := range records {
		l.partial = l.partial || records[i].More || records[i].Part > 0
	}
	l.stuck[p.page.Shard] = p.page
	l.again = append(l.again, &parcel{page: p.page, records: records, bad: p.bad, others: p.others, bytes: p.bytes})
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

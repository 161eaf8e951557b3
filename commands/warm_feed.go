package commands

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/cachectl/cachectl/backends"
	input "github.com/cachectl/cachectl/backends/source"
)

// A streamFeed makes parcels of a stream of records.
type streamFeed struct {
	*filling
	open    func(ctx context.Context, at input.Offset) (input.Stream, func() error, error)
	hottest bool
	sampled bool  // open may be called more than once
	size    int64 // bytes of the input; 0: unknown, or packed
	stand   string
	lines   [][2]string
}

// sourceShard is what the journal calls a source that has no shards.
const sourceShard = "source"

func (f *streamFeed) stands() string { return f.stand }

func (f *streamFeed) parcels(ctx context.Context, from map[string]backends.Mark) iter.Seq2[*parcel, error] {
	return func(yield func(*parcel, error) bool) {
		err := f.read(ctx, from[sourceShard], yield)
		if err != nil && !errors.Is(err, errLeft) {
			yield(nil, err)
		}
	}
}

var errLeft = errors.New("the reader wants no more")

func (f *streamFeed) read(ctx context.Context, from backends.Mark, yield func(*parcel, error) bool) (err error) {
	var at, begin input.Offset
	if from != "" {
		if at, err = input.ParseOffset(string(from)); err != nil {
			return err
		}
	}
	if begin = at; f.hottest { // which needs all of it
		begin = input.Offset{}
	}
	stream, closing, err := f.open(ctx, begin)
	if err != nil {
		return err
	}
	defer closing()
	if f.hottest {
		stream = input.ByHeat(stream, input.OrderOptions{From: at})
	}
	p := f.parcel()
	give := func(last bool) error {
		if p.page.Last = last; last {
			p.page.Done = 1
		}
		if !yield(p, nil) {
			return errLeft
		}
		mark := p.page.After
		p = f.parcel()
		p.page.After = mark
		return nil
	}
	p.page.After = from
	for it, err := range stream {
		if err == nil {
			err = context.Cause(ctx)
		}
		var bad *input.BadRecord
		switch {
		case errors.As(err, &bad):
			p.bad = append(p.bad, reject{line: bad.Line, key: bad.Key, reason: bad.Reason, raw: bad.Raw})
			f.mark(p, bad.Offset)
		case err != nil && input.Ends(err):
			if e := give(false); e != nil {
				return e
			}
			return err
		case err != nil:
			if !yield(nil, err) {
				return errLeft
			}
			continue
		default:
			f.put(p, &it)
		}
		if len(p.records)+len(p.bad) >= f.filling.size() || p.bytes >= parcelBytes {
			if err := give(false); err != nil {
				return err
			}
		}
	}
	return give(true)
}

func (f *streamFeed) parcel() *parcel {
	n := f.filling.size()
	return &parcel{page: backends.Page{Shard: sourceShard}, records: make([]backends.Record, 0, n), lines: make([]int64, 0, n)}
}

// put adds an item. A command that does more than set a string changes what is there.
func (f *streamFeed) put(p *parcel, it *input.Item) {
	f.mark(p, it.Offset)
	if it.Form == backends.FormCommand && !f.replace {
		name := "it"
		if args, err := backends.Command(it.Value); err == nil {
			name = strings.ToUpper(string(args[0]))
		}
		p.bad = append(p.bad, reject{line: it.Line, key: it.Key, reason: name + " may change a key that is there: --replace carries it out", raw: it.Value})
		return
	}
	p.records, p.lines = append(p.records, it.Record), append(p.lines, it.Line)
	p.bytes += roomFor(&it.Record)
}

func (f *streamFeed) mark(p *parcel, at input.Offset) {
	p.page.After = backends.Mark(at.String())
	if f.size > 0 {
		p.page.Done = min(1, float64(at.Byte)/float64(f.size))
	}
}

// surveyed is how many records are read to know what a source is like.
const surveyed = 2000

func (f *streamFeed) survey(ctx context.Context) (survey, error) {
	s := survey{lines: f.lines}
	if f.hottest {
		s.lines = append(s.lines, [2]string{"order", "hottest first, as --heat tells; it is sorted before the first is loaded"})
	}
	if !f.sampled {
		return s, nil
	}
	stream, closing, err := f.open(ctx, input.Offset{})
	if err != nil {
		return s, err
	}
	defer closing()
	n, bytes, at := 0, int64(0), int64(0)
	s.exact = true
	for it, err := range stream {
		var bad *input.BadRecord
		switch {
		case errors.As(err, &bad):
			n, at = n+1, bad.Offset.Byte
		case err != nil:
			if input.Ends(err) && n == 0 {
				return s, err
			}
		default:
			n, at = n+1, it.Offset.Byte
			bytes += roomFor(&it.Record)
			if len(s.examples) < planExamples {
				s.examples = append(s.examples, strings.Clone(it.Key))
			}
		}
		if n >= surveyed {
			s.exact = false
			break
		}
	}
	switch {
	case s.exact:
		s.records, s.bytes = float64(n), float64(bytes)
	case f.size > 0 && at > 0:
		grow := float64(f.size) / float64(at)
		s.records, s.bytes = float64(n)*grow, float64(bytes)*grow
	default:
		s.lines = append(s.lines, [2]string{"records", fmt.Sprintf("more than %d", surveyed)})
	}
	return s, nil
}

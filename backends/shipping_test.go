package backends

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// A quay is a Load of which the test decides when what is settled.
type quay struct {
	Shipping
	waiting []*Shipment
	rest    []Outcome
	taken   func(n int) bool // called behind the n-th batch
	told    []string
	stop    int // the reader wants no more than so many; 0: all
}

// take expects an outcome for each record but those that are "there" at once.
func (q *quay) take(s *Shipment, batch []Record) bool {
	for i := range batch {
		if o := s.Outcome(batch[i].Key); batch[i].Key == "there" {
			o.Did = Kept
			continue
		}
		s.Expect()
	}
	q.waiting = append(q.waiting, s)
	return q.taken == nil || q.taken(len(q.waiting))
}

// run tells what the reader was told: keys of a result, or an error.
func (q *quay) run(ctx context.Context, batches iter.Seq2[[]Record, error]) (told []string, whole bool) {
	q.Asked = ctx
	q.Tell = func(r Result, err error) bool {
		text := fmt.Sprint(err)
		if err == nil {
			var keys []string
			for _, o := range r.Outcomes {
				keys = append(keys, o.Key)
			}
			text = strings.Join(keys, "+")
		}
		q.told = append(q.told, text)
		return len(q.told) != q.stop
	}
	whole = q.Run(batches, q.take, func() []Outcome { return q.rest })
	return q.told, whole
}

// batches makes a batch of each text, its keys joined by "+". "!" is an error that does
// not end the stream, "!!" one that does.
func batches(texts ...string) iter.Seq2[[]Record, error] {
	return func(yield func([]Record, error) bool) {
		for _, text := range texts {
			var err error
			var batch []Record
			switch text {
			case "!":
				err = &Notice{Shard: "s", What: "soft", Err: errBoom}
			case "!!":
				err = errBoom
			case "":
			default:
				for key := range strings.SplitSeq(text, "+") {
					batch = append(batch, Record{Key: key})
				}
			}
			if !yield(batch, err) {
				return
			}
		}
	}
}

func wantTold(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// TestShippingKeepsTheOrder: results come in the order of batches, settled in whatever
// order, and each as soon as those before it are.
func TestShippingKeepsTheOrder(t *testing.T) {
	q := &quay{rest: []Outcome{{Key: "never ended"}}}
	q.taken = func(n int) bool {
		switch n {
		case 2:
			q.waiting[1].Settled(1)
		case 3:
			if len(q.told) > 0 {
				t.Errorf("%q was told before the first batch was settled", q.told)
			}
			q.waiting[2].Settled(2)
			q.waiting[0].Settled(1)
			q.waiting[0].Settled(1)
		case 5:
			wantTold(t, q.told, "a+b", "c", "d+e", "", "s: soft: boom")
		}
		return true
	}
	told, whole := q.run(t.Context(), batches("a+b", "c", "d+e", "", "!", "there"))
	wantTold(t, told, "a+b", "c", "d+e", "", "s: soft: boom", "there", "never ended")
	if !whole {
		t.Error("something was left")
	}
}

// TestShippingIsBounded: no more than so many batches are under way, and an error of
// the batches waits for all before it.
func TestShippingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		texts := make([]string, shipmentsAhead+9)
		for i := range texts {
			texts[i] = fmt.Sprint(i)
		}
		q, began := &quay{}, make(chan *Shipment, len(texts))
		q.taken = func(n int) bool { began <- q.waiting[n-1]; return true }
		over := make(chan struct{})
		go func() {
			defer close(over)
			q.run(t.Context(), batches(append(texts, "!!")...))
		}()
		for range texts {
			synctest.Wait()
			if n := len(began); n > shipmentsAhead+1 {
				t.Fatalf("%d batches are under way", n)
			}
			(<-began).Settled(1)
		}
		<-over
		wantTold(t, q.told, append(texts, "boom")...)
	})
}

// TestShippingSays: what is said beside the outcomes comes in between, but the end, which
// comes behind what was under way, alone, and once.
func TestShippingSays(t *testing.T) {
	q := &quay{}
	q.taken = func(n int) bool {
		switch n {
		case 1:
			q.waiting[0].Settled(1)
			q.Say(&ShardError{Shard: "s", Err: errBoom})
		case 3:
			q.Say(errors.New("the end"))
			q.Say(errors.New("another"))
			q.waiting[2].Settled(1)
			q.waiting[1].Settled(1)
		}
		return true
	}
	told, whole := q.run(t.Context(), batches("a", "b", "c", "d"))
	wantTold(t, told, "a", "s: boom", "b", "c", "the end")
	if whole || len(q.waiting) != 3 {
		t.Errorf("whole: %v, %d batches were taken on", whole, len(q.waiting))
	}
}

// TestShippingInterrupted: what was sent is told, then why no more is.
func TestShippingInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	q := &quay{}
	q.taken = func(n int) bool {
		if n == 2 {
			q.Say(&ShardError{Shard: "s", Err: errBoom}) // for the same reason
			q.Say(context.Canceled)
			cancel(errors.New("interrupted"))
			q.waiting[0].Settled(1)
			q.waiting[1].Settled(1)
		}
		return true
	}
	told, whole := q.run(ctx, batches("a", "b", "c"))
	wantTold(t, told, "a", "b", "interrupted")
	if !whole {
		t.Error("something was left")
	}
}

// TestShippingLeft: a reader that stops, and a Drain that meets the end, leave what is
// under way.
func TestShippingLeft(t *testing.T) {
	q := &quay{stop: 1}
	q.taken = func(n int) bool { q.waiting[n-1].Settled(n % 2); return true }
	told, whole := q.run(t.Context(), batches("a", "b", "c"))
	if wantTold(t, told, "a"); whole {
		t.Error("the reader stopped, and all was waited for")
	}
	q = &quay{}
	q.taken = func(n int) bool {
		if n == 1 {
			q.waiting[0].Settled(1)
			return true
		}
		q.Say(errBoom)
		return q.Drain()
	}
	told, whole = q.run(t.Context(), batches("a", "b"))
	if wantTold(t, told, "a", "boom"); whole {
		t.Error("whole, behind an error that ends the stream")
	}
}

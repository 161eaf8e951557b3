package backends

import (
	"context"
	"errors"
	"iter"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var errBoom = errors.New("boom")

// numbers streams 1 to n, a soft error behind each third, and then err.
func numbers(n int, err error) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := 1; i <= n; i++ {
			if !yield(i, nil) {
				return
			}
			if i%3 == 0 && !yield(0, &ShardError{Shard: "s", Err: errBoom}) {
				return
			}
		}
		if err != nil {
			yield(0, err)
		}
	}
}

func drain[T any](seq iter.Seq2[T, error]) (items []T, errs []error) {
	for item, err := range seq {
		if err != nil {
			errs = append(errs, err)
		} else {
			items = append(items, item)
		}
	}
	return items, errs
}

func TestFilterTakeObserve(t *testing.T) {
	even := Filter(numbers(10, errBoom), func(n int) bool { return n%2 == 0 })
	if items, errs := drain(even); !slices.Equal(items, []int{2, 4, 6, 8, 10}) || len(errs) != 4 || !Ends(errs[3]) || Ends(errs[0]) {
		t.Errorf("Filter: %v, %v", items, errs)
	}
	if items, errs := drain(Take(numbers(10, errBoom), 4)); !slices.Equal(items, []int{1, 2, 3, 4}) || len(errs) != 1 {
		t.Errorf("Take: %v, %v", items, errs)
	}
	if items, _ := drain(Take(numbers(10, nil), 0)); len(items) != 0 {
		t.Errorf("Take(0): %v", items)
	}
	sum := 0
	if _, errs := drain(Observe(numbers(4, nil), func(n int) { sum += n })); sum != 10 || len(errs) != 1 {
		t.Errorf("Observe saw %d, errors %v", sum, errs)
	}
}

func TestBatch(t *testing.T) {
	var got [][]int
	for b := range Batch(slices.Values([]int{1, 2, 3, 4, 5}), 2) {
		got = append(got, b)
	}
	if len(got) != 3 || !slices.Equal(got[0], []int{1, 2}) || !slices.Equal(got[2], []int{5}) {
		t.Errorf("%v", got)
	}
}

func TestPaceWaitsForEveryPage(t *testing.T) {
	pages := func(yield func(Page, error) bool) {
		_ = yield(Page{Entries: make([]Entry, 5), After: "1"}, nil) && yield(Page{After: "2"}, nil) && yield(Page{Entries: make([]Entry, 9), After: "3", Last: true}, nil) &&
			yield(Page{Entries: make([]Entry, 2), After: "4"}, nil)
	}
	var tokens []int
	_, errs := drain(Pace(t.Context(), pages, func(_ context.Context, n int) error {
		if tokens = append(tokens, n); n == 2 {
			return errBoom
		}
		return nil
	}))
	if !slices.Equal(tokens, []int{5, 1, 2}) || len(errs) != 1 {
		t.Errorf("waited for %v, errors %v", tokens, errs)
	}
}

func TestParallel(t *testing.T) {
	defer goleak.VerifyNone(t)
	source := func(n int, err error) func(context.Context) iter.Seq2[int, error] {
		return func(context.Context) iter.Seq2[int, error] { return numbers(n, err) }
	}
	items, errs := drain(Parallel(t.Context(), source(5, nil), source(7, nil), source(0, nil)))
	slices.Sort(items)
	if !slices.Equal(items, []int{1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 7}) || len(errs) != 3 {
		t.Errorf("%v, %v", items, errs)
	}
	forever := func(ctx context.Context) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for ctx.Err() == nil && yield(1, nil) {
			}
		}
	}
	for range Parallel(t.Context(), forever, forever) { // the reader stops
		break
	}
	if _, errs := drain(Parallel(t.Context(), forever, source(3, errBoom))); !Ends(errs[len(errs)-1]) {
		t.Errorf("an error that ends one source ends all: %v", errs)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, errs := drain(Parallel(ctx, forever)); len(errs) != 1 || !errors.Is(errs[0], context.DeadlineExceeded) {
		t.Errorf("a cancelled walk must not look complete: %v", errs)
	}
}

func TestAs(t *testing.T) {
	var b Backend = named{}
	_, err := As[Scanner](b)
	var unsupported *UnsupportedError
	if !errors.As(err, &unsupported) || err.Error() != "mute://here cannot list keys" {
		t.Errorf("%v", err)
	}
}

type named struct{}

func (named) Name() string { return "mute://here" }
func (named) Close() error { return nil }

package purge

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestRunShrinks: a refused size is learned once, for all calls.
func TestRunShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{name: "d", size: 100}
		d.answer = func(_ int, c Call) ([]Receipt, error) {
			if len(c.Items) > 30 {
				return nil, &CallError{Fault: TooLarge, Size: 30, Err: errors.New("too many")}
			}
			return taken(c, c.Items), nil
		}
		r := collect(t, t.Context(), []Purger{d}, planned(t, d, list(250)), Options{})
		if len(r.purged) != 250 || len(d.sent) != 1+4+4+2 || len(r.notices) != 1 {
			t.Fatalf("%d purged by %d calls, %d notices", len(r.purged), len(d.sent), len(r.notices))
		}
		if !slices.IsSortedFunc(d.sent[1:], func(a, b Call) int { return compare(a.Items[0], b.Items[0]) }) {
			t.Error("parts are out of order")
		}
	})
}

// TestRunSplitDraws: the parts of a call draw on limits for what they hold.
func TestRunSplitDraws(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{name: "d", size: 100, rates: []Rate{{Name: "items", PerSecond: 10 / headroom, Burst: 100}}}
		d.answer = func(_ int, c Call) ([]Receipt, error) {
			if len(c.Items) > 25 {
				return nil, &CallError{Fault: TooLarge, Size: 25, Err: errors.New("too many")}
			}
			return taken(c, c.Items), nil
		}
		start := time.Now()
		collect(t, t.Context(), []Purger{d}, planned(t, d, list(1000)), Options{})
		if took := time.Since(start).Round(time.Second); took != 100*time.Second { // 100 refused and 1,000 taken, 100 of them at once
			t.Errorf("took %v", took)
		}
	})
}

func TestRunHalvesDownToNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{name: "d", size: 64}
		d.answer = func(int, Call) ([]Receipt, error) {
			return nil, &CallError{Fault: TooLarge, Err: errors.New("too many")}
		}
		r := collect(t, t.Context(), []Purger{d}, planned(t, d, list(64)), Options{})
		if len(r.failed) != 64 {
			t.Fatalf("%d failed", len(r.failed))
		}
	})
}

// TestRunFindsBadItems: what is refused is named, the rest is purged.
func TestRunFindsBadItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := []string{"/0007", "/0700"}
		d := &desk{name: "d", size: 1000}
		d.answer = func(_ int, c Call) ([]Receipt, error) {
			for _, v := range values(c.Items) {
				if slices.Contains(bad, v) {
					return nil, &CallError{Fault: Rejected, Err: errors.New("invalid argument")}
				}
			}
			return taken(c, c.Items), nil
		}
		r := collect(t, t.Context(), []Purger{d}, planned(t, d, list(1000)), Options{})
		if !slices.Equal(r.failed, bad) {
			t.Fatalf("failed: %v", r.failed)
		}
		if len(d.sent) > 45 {
			t.Errorf("%d calls to find two items", len(d.sent))
		}
	})
}

func TestRunSearchIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{name: "d", size: 1000}
		d.answer = func(int, Call) ([]Receipt, error) {
			return nil, &CallError{Fault: Rejected, Err: errors.New("invalid argument")}
		}
		r := collect(t, t.Context(), []Purger{d}, planned(t, d, list(1000)), Options{})
		if len(r.failed) != 1000 || len(d.sent) > 2*maxSearches+2 {
			t.Fatalf("%d failed by %d calls", len(r.failed), len(d.sent))
		}
	})
}

package loadgen

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestRing: a ring is a queue.
func TestRing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r ring[int]
		var want []int
		for i, push := range rapid.SliceOf(rapid.Bool()).Draw(t, "pushes") {
			if push {
				r.push(i)
				want = append(want, i)
			} else if len(want) > 0 {
				if got := r.pop(); got != want[0] {
					t.Fatalf("%d, want %d", got, want[0])
				}
				want = want[1:]
			}
			if r.n != len(want) {
				t.Fatalf("%d in it, want %d", r.n, len(want))
			}
		}
	})
}

// TestWritten: the keys are those that were added, in their order.
func TestWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const room = 3*pieceKeys + 5
		w := NewWritten(room)
		want := make(map[uint64]bool)
		for _, key := range rapid.SliceOf(rapid.Uint64Range(0, 4*pieceKeys+100)).Draw(t, "keys") {
			w.Add(key)
			if key < 4*pieceKeys { // room is in whole pieces
				want[key] = true
			}
		}
		var got []uint64
		for key, some := w.from(0); some; key, some = w.from(key + 1) {
			got = append(got, key)
			if !want[key] || !w.has(key) {
				t.Fatalf("key %d", key)
			}
		}
		if len(got) != len(want) || uint64(len(got)) != w.Count() || !slices.IsSorted(got) {
			t.Fatalf("%d keys, %d counted, want %d", len(got), w.Count(), len(want))
		}
	})
}

// TestValues: as long as asked for, the same again, and others for other ops.
func TestValues(t *testing.T) {
	v, again := newValues(7), newValues(7)
	other := newValues(8)
	seen := make(map[string]bool)
	for n := range uint64(10_000) {
		a := string(v.of(n, 16))
		if len(a) != 16 || a != string(again.of(n, 16)) || a == string(other.of(n, 16)) {
			t.Fatalf("op %d: %q", n, a)
		}
		seen[a] = true
	}
	if len(seen) != 10_000 {
		t.Errorf("%d values of 10000 ops", len(seen))
	}
	if long := v.of(1, 5<<20); len(long) != 5<<20 {
		t.Errorf("%d bytes", len(long))
	}
}

// TestFeed: a closed loop's ops last as long as its phase, those of open phases come when they are due.
func TestFeed(t *testing.T) {
	traffic := uniform(10, Mix{Read: 1}, Phase{Length: time.Second, Warmup: true}, Phase{Length: time.Second, Rate: 3}, Phase{Length: time.Second})
	f := newFeed(traffic.Source(), traffic.Phases)
	if f.warmup != time.Second || f.length != 3*time.Second {
		t.Fatalf("%v of %v", f.warmup, f.length)
	}
	for range 1000 {
		if op := f.peek(999 * time.Millisecond); op == nil || !f.closed || op.Due != 0 {
			t.Fatalf("%+v", op)
		}
		f.take()
	}
	for i := range 3 {
		op := f.peek(time.Second)
		if op == nil || f.closed || op.Due != time.Second+time.Duration(i)*time.Second/3 {
			t.Fatalf("%d: %+v", i, op)
		}
		f.take()
	}
	if op := f.peek(time.Second); op == nil || !f.closed || op.Due != 2*time.Second {
		t.Fatalf("%+v", op)
	}
	if op := f.peek(3 * time.Second); op != nil {
		t.Fatalf("%+v", op)
	}
}

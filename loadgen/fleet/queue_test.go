package fleet

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Alarms come in the order of their times, and of their setting, whatever lane they were in.
func TestTimers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ts timers
		var want []alarm
		now, set := time.Duration(0), uint32(0)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if rapid.IntRange(0, 2).Draw(t, "do") > 0 {
				set++
				delay := time.Duration(rapid.IntRange(0, 12).Draw(t, "delay"))
				ts.set(now, delay, set, false)
				want = append(want, alarm{at: now + delay, seq: uint64(set), slot: set})
				slices.SortFunc(want, func(a, b alarm) int {
					if a.before(&b) {
						return -1
					}
					return 1
				})
				continue
			}
			at, some := ts.next()
			if some != (len(want) > 0) {
				t.Fatalf("there is an alarm: %v, want %v", some, !some)
			}
			if !some {
				continue
			}
			got := ts.pop()
			if got != want[0] || at != got.at {
				t.Fatalf("alarm %+v, told for %v; want %+v", got, at, want[0])
			}
			now, want = max(now, at), want[1:]
		}
	})
}

// A distribution is exact below 4096 and within a thousandth above, and adds up.
func TestCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		numbers := rapid.SliceOfN(rapid.Uint64Range(0, 20_000), 1, 80).Draw(t, "numbers")
		cut := rapid.IntRange(0, len(numbers)).Draw(t, "cut")
		var all, one, other Counts
		for i, n := range numbers {
			all.Add(n)
			if i < cut {
				one.Add(n)
			} else {
				other.Add(n)
			}
		}
		other.Merge(&one)
		if !slices.Equal(all.Values, other.Values) || all.N != other.N || all.Sum != other.Sum || all.Most != other.Most || all.Squares != other.Squares {
			t.Fatalf("the parts make %+v, the whole %+v", other, all)
		}
		slices.Sort(numbers)
		for _, q := range []float64{0, 0.25, 0.5, 0.99, 1} {
			want := numbers[max(int(float64(len(numbers))*q+0.999999)-1, 0)]
			got := all.Quantile(q)
			if want < 4096 && got != want || got < want || float64(got-want) > float64(want)/1000 {
				t.Fatalf("quantile %v of %v is %d, want %d", q, numbers, got, want)
			}
		}
	})
}

package source

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cachectl/cachectl/backends"
)

// streamOf brings items, with a bad record in front of every tenth, and then an error.
func streamOf(items []Item, end error) Stream {
	return func(yield func(Item, error) bool) {
		for i, it := range items {
			if i%10 == 9 && !yield(Item{}, &BadRecord{Line: int64(i), Reason: "bad"}) {
				return
			}
			if !yield(it, nil) {
				return
			}
		}
		if end != nil {
			yield(Item{}, end)
		}
	}
}

func randomItems(n int, size int) []Item {
	random := rand.New(rand.NewPCG(1, 2))
	items := make([]Item, n)
	for i := range items {
		it := Item{Line: int64(i), Heat: float64(random.IntN(n / 4))}
		switch random.IntN(10) {
		case 0:
			it.Heat = math.NaN()
		case 1:
			it.Heat = math.Inf(random.IntN(3) - 1)
		case 2:
			it.Expires, it.Have = time.UnixMilli(int64(random.IntN(1e9))-5e8), backends.FactTTL
		case 3:
			it.Idle, it.Freq, it.Flags, it.Shard = -1, -7, 1<<31, "h:1"
		}
		it.Key, it.Form, it.Type = fmt.Sprint("key ", i), backends.FormString, "string"
		it.Value = []byte(strings.Repeat("x", random.IntN(2*size)))
		items[i] = it
	}
	return items
}

func TestByHeat(t *testing.T) {
	for name, c := range map[string]struct{ n, size, memory int }{
		"memory": {2000, 100, 0}, "file": {10_000, 500, 3 << 20}, "a run each": {50, 10, 1}, "nothing": {4, 1, 0}, "large": {20, 1 << 20, 5 << 20},
	} {
		dir := t.TempDir()
		items := randomItems(c.n, c.size)
		end := fmt.Errorf("%w, which is the end", ErrOutOfStep)
		want := slices.Clone(items)
		slices.SortStableFunc(want, func(a, b Item) int { return hotter(a.Heat, b.Heat) })
		from, n, bad := Offset{}, 0, 0
		stop := c.n / 3
		var last error
		for range 2 { // broken off, and gone on with
			for it, err := range ByHeat(streamOf(items, end), OrderOptions{Memory: int64(c.memory), Dir: dir, From: from}) {
				if left, _ := os.ReadDir(dir); n%100 == 0 && len(left) > 0 {
					t.Fatalf("%s: %s is there for everybody to see", name, left[0].Name())
				}
				if last = err; err != nil {
					var b *BadRecord
					if errors.As(err, &b) {
						bad, from = bad+1, b.Offset
					}
					continue
				}
				from, it.Offset = it.Offset, Offset{}
				if math.IsNaN(it.Heat) && math.IsNaN(want[n].Heat) { // which is unlike itself
					it.Heat, want[n].Heat = 0, 0
				}
				if !reflect.DeepEqual(it, want[n]) {
					t.Fatalf("%s: item %d is %.300v, want %.300v", name, n, it, want[n])
				}
				if n++; n == stop {
					break
				}
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("%s: %s is left", name, left[0].Name())
			}
		}
		if n != c.n || bad != c.n/10 || last != end {
			t.Errorf("%s: %d of %d items, %d bad records, then %v", name, n, c.n, bad, last)
		}
	}
	lost := errors.New("the connection is lost")
	for want, s := range map[string]Stream{
		"the connection is lost": ByHeat(streamOf(randomItems(100, 10), lost), OrderOptions{}),
		"sorting by heat: ":      ByHeat(streamOf(randomItems(100, 10), nil), OrderOptions{Memory: 1, Dir: "/nonexistent"}),
	} {
		for it, err := range s {
			if err == nil || Ends(err) && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %+v, %v", want, it, err)
			}
		}
	}
}

func TestPacked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		it := Item{
			Record: backends.Record{
				Key: rapid.String().Draw(t, "key"), Form: rapid.String().Draw(t, "form"), Type: rapid.String().Draw(t, "type"), Shard: rapid.String().Draw(t, "shard"),
				Value: rapid.SliceOf(rapid.Byte()).Draw(t, "value"), Flags: rapid.Uint32().Draw(t, "flags"), Idle: time.Duration(rapid.Int64().Draw(t, "idle")),
				Freq: rapid.Int64().Draw(t, "freq"), Have: backends.Facts(rapid.Uint32().Draw(t, "have")), Part: rapid.Int().Draw(t, "part"), More: rapid.Bool().Draw(t, "more"),
			},
			Line: rapid.Int64().Draw(t, "line"), Heat: rapid.Float64().Draw(t, "heat"),
		}
		if rapid.Bool().Draw(t, "expires") {
			it.Expires = time.UnixMilli(rapid.Int64().Draw(t, "ms"))
		}
		packed := appendItem(nil, &it)
		if most := len(it.Key) + len(it.Form) + len(it.Type) + len(it.Shard) + len(it.Value) + mostPacked; len(packed) > most {
			t.Fatalf("%d bytes, at most %d", len(packed), most)
		}
		var u unpacker
		if got, ok := u.item(packed); !ok || !reflect.DeepEqual(got, it) {
			t.Fatalf("%+v became %+v", it, got)
		}
	})
}

package loadgen

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

// latencies is a histogram of n durations of a lognormal law, and the durations.
func latencies(seed uint64, n int, median time.Duration, sigma float64) (*Histogram, []time.Duration) {
	random := rand.New(rand.NewPCG(seed, 1))
	var h Histogram
	all := make([]time.Duration, n)
	for i := range all {
		all[i] = time.Duration(float64(median) * math.Exp(sigma*random.NormFloat64()))
		h.Add(all[i])
	}
	return &h, all
}

func buckets(h *Histogram) map[time.Duration]uint64 {
	m := make(map[time.Duration]uint64)
	for at, count := range h.Buckets() {
		m[at] = count
	}
	return m
}

func same(t testing.TB, what string, a, b *Histogram) {
	t.Helper()
	x, y := buckets(a), buckets(b)
	if len(x) != len(y) || a.Count() != b.Count() {
		t.Fatalf("%s: %d in %d buckets, %d in %d", what, a.Count(), len(x), b.Count(), len(y))
	}
	for at, n := range x {
		if y[at] != n {
			t.Fatalf("%s: %d and %d at %v", what, n, y[at], at)
		}
	}
}

// Figures are those of the sorted durations, at the upper end of their buckets.
func TestHistogramFigures(t *testing.T) {
	for _, n := range []int{1, 2, 10, 999, 20_000} {
		h, all := latencies(7, n, 80*time.Microsecond, 1)
		for i := range all {
			all[i] = max(all[i], Shortest)
		}
		slices.Sort(all)
		check := func(form string, width float64) {
			t.Helper()
			for _, q := range []float64{0, .1, .5, .9, .99, .999, 1} {
				want := float64(all[min(max(int(q*float64(n)+.5), 1), n)-1])
				got := float64(h.Quantile(q))
				if q == 0 {
					got += max(want*width, finest) // of the minimum the lower end is told
				}
				if got < want || got > want+max(2*want*width, finest) {
					t.Errorf("%s, n %d: quantile %g is %v, want %v", form, n, q, time.Duration(got), time.Duration(want))
				}
			}
			if h.Min() != h.Quantile(0) || h.Max() != h.Quantile(1) {
				t.Errorf("%s, n %d: from %v to %v, by quantiles from %v to %v", form, n, h.Min(), h.Max(), h.Quantile(0), h.Quantile(1))
			}
			var sum float64
			for _, d := range all {
				sum += float64(d)
			}
			if mean := sum / float64(n); math.Abs(float64(h.Mean())-mean) > mean*width+finest {
				t.Errorf("%s, n %d: mean %v, want %v", form, n, h.Mean(), time.Duration(mean))
			}
		}
		check("dense", 1./1000)
		h.Pack()
		check("packed", 1./1000)
		h.Coarsen()
		check("coarse", 1./100)
	}
	var none Histogram
	if none.Count() != 0 || none.Quantile(.5) != 0 || none.Min() != 0 || none.Max() != 0 || none.Mean() != 0 {
		t.Error("the empty histogram has figures")
	}
}

// The range is closed: what is out of it counts as its end.
func TestHistogramRange(t *testing.T) {
	var h Histogram
	for _, d := range []time.Duration{-time.Hour, 0, 1, Shortest, Longest, math.MaxInt64} {
		h.Add(d)
	}
	if h.Count() != 6 || h.Min() > Shortest || h.Quantile(.5) > Shortest+finest || h.Max() < Longest || h.Max() > Longest+Longest/1000 {
		t.Errorf("%d from %v to %v", h.Count(), h.Min(), h.Max())
	}
}

// However durations are shared out, packed, coarsened and merged, the sum is the same.
func TestHistogramsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOf(rapid.Int64Range(0, int64(2*time.Second))).Draw(t, "durations")
		var whole Histogram
		parts := make([]Histogram, 4)
		sum := &Histogram{}
		anyCoarse := false
		for _, d := range all {
			whole.Add(time.Duration(d))
			parts[rapid.IntRange(0, 3).Draw(t, "part")].Add(time.Duration(d))
		}
		forms := append(slices.Clone(parts), Histogram{})
		for i := range forms {
			h := &forms[i]
			if i == len(forms)-1 {
				h = sum
			}
			switch rapid.IntRange(0, 2).Draw(t, "form") {
			case 1:
				h.Pack()
			case 2:
				h.Coarsen()
				anyCoarse = anyCoarse || h.Count() > 0 || h == sum
			}
		}
		for i := range parts {
			sum.Merge(&forms[i])
		}
		if anyCoarse {
			whole.Coarsen()
			sum.Coarsen()
		}
		x, y := buckets(&whole), buckets(sum)
		if len(x) != len(y) || whole.Count() != sum.Count() {
			t.Fatalf("whole %v, sum %v", x, y)
		}
		for at, n := range x {
			if y[at] != n {
				t.Fatalf("whole %v, sum %v", x, y)
			}
		}
	})
}

func TestHistogramText(t *testing.T) {
	h, _ := latencies(3, 5000, time.Millisecond, .7)
	h.AddN(Longest, maxCount-6000)
	h.Add(0)
	type doc struct{ H, Empty Histogram }
	for _, coarse := range []bool{false, true} {
		if coarse {
			h.Coarsen()
		}
		text, err := json.Marshal(doc{H: *h})
		if err != nil {
			t.Fatal(err)
		}
		var back doc
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		same(t, "read back", h, &back.H)
		if back.Empty.Count() != 0 || !strings.Contains(string(text), `"Empty":""`) {
			t.Errorf("the empty histogram is %s", text)
		}
		again, err := json.Marshal(back)
		if err != nil || !bytes.Equal(text, again) {
			t.Errorf("written again it is another text: %v", err)
		}
	}
}

func TestHistogramTextRefused(t *testing.T) {
	h, _ := latencies(3, 500, time.Millisecond, .7)
	good, err := h.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	foreign := hdr.New(1, math.MaxInt64/2, 5) // 50 MB where it is dense
	foreign.RecordValue(1000)
	other, err := foreign.EncodeV2()
	if err != nil {
		t.Fatal(err)
	}
	h.AddN(time.Second, maxCount)
	many, err := h.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, text, want string }{
		{"words", "hello", "no histogram"},
		{"base64 of words", "aGVsbG8gd29ybGQgaGVsbG8=", "no histogram"},
		{"torn", string(good[:len(good)/2/4*4]), "smaller than"},
		{"torn header", string(good[:20]), "torn"},
		{"another geometry", string(other), "not one of ours"},
		{"too many", string(many), "counts more"},
		{"too long", strings.Repeat("A", maxText+1), "none is longer"},
	} {
		back := Histogram{}
		err := back.UnmarshalText([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if back.Count() != 0 {
			t.Errorf("%s: something was read", c.name)
		}
	}
}

// The golden file is what HdrHistogram's own Java implementation
// (outputPercentileDistribution with 5 ticks and a scale of 1e6, version 2.2) made of the text beside it.
func TestHgrm(t *testing.T) {
	for _, name := range []string{"many", "one"} {
		n := map[string]int{"many": 100_000, "one": 1}[name]
		h, _ := latencies(11, n, 300*time.Microsecond, .8)
		text, err := h.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := h.Hgrm(&b, time.Millisecond); err != nil {
			t.Fatal(err)
		}
		for file, got := range map[string]string{"testdata/" + name + ".hdr": string(text) + "\n", "testdata/" + name + ".hgrm": b.String()} {
			if *update && strings.HasSuffix(file, ".hdr") {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs:\n%s", file, got)
			}
		}
	}
	var b bytes.Buffer
	if err := new(Histogram).Hgrm(&b, time.Millisecond); err != nil || !strings.Contains(b.String(), "Total count    =            0") {
		t.Errorf("of nothing: %v\n%s", err, b.String())
	}
}

func FuzzHistogramText(f *testing.F) {
	for _, n := range []int{0, 1, 50, 2000} {
		h, _ := latencies(uint64(n), n, time.Millisecond, 1)
		for range 2 {
			text, err := h.MarshalText()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
			h.Coarsen()
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var h Histogram
		if h.UnmarshalText(text) != nil {
			return
		}
		again, err := h.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back Histogram
		if err := back.UnmarshalText(again); err != nil {
			t.Fatal(err)
		}
		same(t, "read again", &h, &back)
		for _, q := range Quantiles {
			if d := h.Quantile(q.Q); d < 0 || d > 2*Longest {
				t.Fatalf("%s is %v", q.Name, d)
			}
		}
	})
}

func BenchmarkHistogramAdd(b *testing.B) {
	var h Histogram
	_, all := latencies(1, 1<<12, 100*time.Microsecond, 1)
	for i := 0; b.Loop(); i++ {
		h.Add(all[i&(1<<12-1)])
	}
}

// A second of ten thousand requests, as a run keeps it.
func BenchmarkTick(b *testing.B) {
	h, _ := latencies(1, 10_000, 100*time.Microsecond, .5)
	var text []byte
	for b.Loop() {
		var tick Histogram
		tick.Merge(h)
		tick.Coarsen()
		text, _ = tick.MarshalText()
	}
	b.ReportMetric(float64(len(text)), "bytes")
}

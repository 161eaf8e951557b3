package loadgen

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// fits judges counts by Pearson's chi-square against what is expected of each: neither further from it nor nearer to it
// than chance would have it once in a thousand runs (Wilson and Hilferty's cube root). Seeds are fixed, so it judges once.
func fits(t *testing.T, what string, counts, expected []float64) {
	t.Helper()
	var chi, all, want float64
	for i, e := range expected {
		if e < 5 {
			t.Fatalf("%s: cell %d expects %g, too little for chi-square", what, i, e)
		}
		chi += (counts[i] - e) * (counts[i] - e) / e
		all, want = all+counts[i], want+e
	}
	k := float64(len(expected) - 1)
	z := (math.Cbrt(chi/k) - (1 - 2/(9*k))) / math.Sqrt(2/(9*k))
	if math.Abs(z) > 3.09 || math.Abs(all-want) > 5*math.Sqrt(want) {
		t.Errorf("%s: chi-square %.1f with %g degrees of freedom (z %.2f), %g counted of %.1f", what, chi, k, z, all, want)
	}
}

// drawn brings n ops of this traffic, whose other parts are plain.
func drawn(t *testing.T, n int, tr Traffic) []Op {
	t.Helper()
	if tr.Phases == nil {
		tr.Phases = []Phase{{Length: 1000 * time.Hour, Rate: 1000}}
	}
	if tr.Keys.Law == "" {
		tr.Keys = Keys{N: 1000, Law: Uniform}
	}
	if tr.Sizes.Law == "" {
		tr.Sizes.Law = Fixed
	}
	if tr.Mix == (Mix{}) {
		tr.Mix.Read = 1
	}
	if err := tr.Valid(); err != nil {
		t.Fatal(err)
	}
	ops := all(&tr, n)
	if len(ops) != n {
		t.Fatalf("%d ops, not %d", len(ops), n)
	}
	return ops
}

// keyChances are the exact probabilities of all keys.
func keyChances(k Keys, seed uint64) []float64 {
	p := make([]float64, k.N)
	s := newScramble(k.N, seed)
	var sum float64
	for r := range p {
		w := 1.0
		switch {
		case k.Law == Zipf:
			w = math.Pow(float64(r+1), -k.Theta)
		case k.Law == Hotspot && uint64(r) < k.HotKeys():
			w = k.Heat / float64(k.HotKeys())
		case k.Law == Hotspot:
			w = (1 - k.Heat) / float64(k.N-k.HotKeys())
		}
		p[s.of(uint64(r))] = w
		sum += w
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

func TestKeysFollowTheirLaw(t *testing.T) {
	const n = 400_000
	for _, k := range []Keys{
		{N: 1000, Law: Uniform}, {N: 3, Law: Uniform}, {N: 1024, Law: Sequential},
		{N: 1000, Law: Zipf, Theta: 0.5}, {N: 1000, Law: Zipf, Theta: 0.99}, {N: 1000, Law: Zipf, Theta: 1},
		{N: 200, Law: Zipf, Theta: 1.5}, {N: 30, Law: Zipf, Theta: 3}, {N: 2, Law: Zipf, Theta: 0.7}, {N: 1000, Law: Zipf, Theta: 0.001},
		{N: 1000, Law: Hotspot, Hot: 0.2, Heat: 0.8}, {N: 777, Law: Hotspot, Hot: 0.01, Heat: 0.5},
	} {
		counts := make([]float64, k.N)
		for _, op := range drawn(t, n, Traffic{Seed: 5, Keys: k}) {
			counts[op.Key]++
		}
		expected := keyChances(k, 5)
		for i := range expected {
			expected[i] *= n
		}
		if k.Law == Sequential {
			if counts[0] != 391 || counts[n%1024] != 390 { // n is 390 times round and 640 more
				t.Errorf("sequential: %g of the first key, %g of key %d", counts[0], counts[n%1024], n%1024)
			}
			continue
		}
		fits(t, fmt.Sprintf("%s of %d", k, k.N), counts, expected)
	}
}

// Among very many keys ranks are judged in bins that double, against sums of 1/r^theta (Euler and Maclaurin beyond a thousand).
func TestZipfOfVeryManyKeys(t *testing.T) {
	const n, keys = 300_000, 1 << 40
	for _, theta := range []float64{0.5, 0.99, 1, 1.0000001, 1.2} {
		z := newZipf(keys, theta)
		integral := func(a, b float64) float64 { return z.area(b) - z.area(a) }
		sum := func(from, to float64) (s float64) { // from included, to not
			if to <= 1024 {
				for r := from; r < to; r++ {
					s += math.Pow(r, -theta)
				}
				return s
			}
			return integral(from, to) + (math.Pow(from, -theta)-math.Pow(to, -theta))/2
		}
		var weights []float64
		var whole float64
		for bin := range 40 {
			weights = append(weights, sum(math.Exp2(float64(bin)), math.Exp2(float64(bin+1))))
			whole += weights[bin]
		}
		d := drawsOf(9, ofKeys)
		found := make([]float64, 40)
		for i := range uint64(n) {
			found[min(int(math.Log2(float64(z.rank(d.at(i)))+0.5)), 39)]++
		}
		var counts, expected []float64
		var c, e float64
		for bin := range 40 { // bins that expect little are joined with those behind
			c, e = c+found[bin], e+weights[bin]/whole*n
			if e >= 5 {
				counts, expected, c, e = append(counts, c), append(expected, e), 0, 0
			}
		}
		counts[len(counts)-1] += c
		expected[len(expected)-1] += e
		fits(t, fmt.Sprintf("zipf:%g", theta), counts, expected)
	}
}

// Of latest, whatever is not written is drawn by how lately it was.
func TestLatestIsZipfOverAge(t *testing.T) {
	const n, keys = 200_000, 100
	counts, expected := make([]float64, keys), make([]float64, keys)
	written := make([]int, keys) // when, as a count of writes
	for i := range written {
		written[i] = i
	}
	writes, others := keys, 0.0
	for _, op := range drawn(t, n, Traffic{Seed: 3, Keys: Keys{N: keys, Law: Latest, Theta: 0.99}, Mix: Mix{70, 20, 10}}) {
		if op.Do == Write {
			if op.Key != uint64(writes%keys) {
				t.Fatalf("write %d is of key %d", writes, op.Key)
			}
			written[op.Key] = writes
			writes++
			continue
		}
		counts[writes-1-written[op.Key]]++
		others++
	}
	var sum float64
	for r := range expected {
		expected[r] = math.Pow(float64(r+1), -0.99)
		sum += expected[r]
	}
	for r := range expected {
		expected[r] *= others / sum
	}
	fits(t, "ages", counts, expected)
}

// Numbers by the op's number are as independent as others: neighbouring keys of each other, and of what else is drawn.
func TestDrawsAreIndependent(t *testing.T) {
	const n = 200_000
	pairs, withDo, withSize := make([]float64, 32*32), make([]float64, 64), make([]float64, 32*32)
	ops := drawn(t, n, Traffic{Seed: 1, Keys: Keys{N: 32, Law: Uniform}, Mix: Mix{1, 1, 0}, Sizes: Sizes{Law: Range, Min: 0, Max: 31}})
	for i, op := range ops {
		pairs[op.Key*32+ops[(i+1)%n].Key]++
		withDo[op.Key*2+uint64(op.Do)]++
		withSize[int(op.Key)*32+op.Size]++
	}
	for _, c := range [][]float64{pairs, withDo, withSize} {
		expected := make([]float64, len(c))
		for i := range expected {
			expected[i] = n / float64(len(c))
		}
		fits(t, fmt.Sprintf("%d pairs", len(c)), c, expected)
	}
}

func TestSizesTTLsAndMixFollowTheirLaw(t *testing.T) {
	const n = 200_000
	tr := Traffic{Seed: 8, Sizes: Sizes{Law: Range, Min: 10, Max: 59}, TTLs: TTLs{Min: 30 * time.Second, Max: 90 * time.Second}, Mix: Mix{80, 15, 5}}
	sizes, ttls, does := make([]float64, 50), make([]float64, 60), make([]float64, 3)
	changes := 0.0
	for _, op := range drawn(t, n, tr) {
		does[op.Do]++
		if op.Do != Remove {
			sizes[op.Size-10]++
			ttls[min(int((op.TTL-30*time.Second)/time.Second), 59)]++
			changes++
		}
	}
	even := func(cells int, of float64) []float64 {
		e := make([]float64, cells)
		for i := range e {
			e[i] = of / float64(cells)
		}
		return e
	}
	fits(t, "range of sizes", sizes, even(50, changes))
	fits(t, "TTLs", ttls, even(60, changes))
	fits(t, "mix", does, []float64{0.8 * n, 0.15 * n, 0.05 * n})

	tr = Traffic{Seed: 8, Sizes: Sizes{Law: Weighted, Values: []int{64, 1, 4096}, Weight: []float64{90, 0, 10}}}
	weighted := map[int]float64{}
	for _, op := range drawn(t, n, tr) {
		weighted[op.Size]++
	}
	if len(weighted) != 2 {
		t.Errorf("sizes %v, one of which has no weight", weighted)
	}
	fits(t, "weighted sizes", []float64{weighted[64], weighted[4096]}, []float64{0.9 * n, 0.1 * n})

	logs := make([]float64, 40)
	for i := range uint64(n) {
		p := 0.5 * math.Erfc(-normal(drawsOf(8, ofSizes).at(i))/math.Sqrt2)
		logs[min(int(p*40), 39)]++
	}
	fits(t, "normal", logs, even(40, n))
}

// A lognormal law has the mean it says, and keeps to its bounds.
func TestLognormalMean(t *testing.T) {
	const n = 400_000
	s := Sizes{Law: Lognormal, Mean: 4096, Sigma: 1}
	var sum float64
	for _, op := range drawn(t, n, Traffic{Seed: 2, Sizes: s}) {
		sum += float64(op.Size)
	}
	sd := 4096 * math.Sqrt(math.Exp(1)-1) / math.Sqrt(n)
	if mean := sum / n; math.Abs(mean-s.Average()) > 3*sd {
		t.Errorf("mean %.1f, not 4096 ± %.1f", mean, 3*sd)
	}
	s.Min, s.Max = 1000, 5000
	at := map[int]int{}
	for _, op := range drawn(t, 10_000, Traffic{Seed: 2, Sizes: s}) {
		if op.Size < 1000 || op.Size > 5000 {
			t.Fatalf("size %d", op.Size)
		}
		at[op.Size]++
	}
	if at[1000] == 0 || at[5000] == 0 {
		t.Error("nothing was cut by the bounds")
	}
}

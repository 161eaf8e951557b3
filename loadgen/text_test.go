package loadgen

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// reads tells what a text form reads as, and holds that what it prints reads as the same.
func reads[T fmt.Stringer](t *testing.T, parse func(string) (T, error), text string, want T) {
	t.Helper()
	got, err := parse(text)
	if err != nil {
		t.Errorf("%q: %v", text, err)
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%q:\n%s", text, diff)
	}
	if again, err := parse(got.String()); err != nil || !cmp.Equal(got, again) {
		t.Errorf("%q prints as %q, which reads as %+v (%v)", text, got, again, err)
	}
}

func TestTextForms(t *testing.T) {
	for text, want := range map[string]Keys{
		"uniform": {Law: Uniform}, "sequential": {Law: Sequential}, "zipf": {Law: Zipf, Theta: 0.99}, "zipf:1.2": {Law: Zipf, Theta: 1.2},
		"latest:0.5": {Law: Latest, Theta: 0.5}, "hotspot": {Law: Hotspot, Hot: 0.2, Heat: 0.8},
		"hotspot:1%:90%": {Law: Hotspot, Hot: 0.01, Heat: 0.9}, "hotspot:0.07:7%": {Law: Hotspot, Hot: 0.07, Heat: 0.07},
		"zipf:0.0000001": {Law: Zipf, Theta: 1e-7},
	} {
		reads(t, ParseKeys, text, want)
	}
	for text, want := range map[string]Sizes{
		"64": {Law: Fixed, Min: 64}, "0": {Law: Fixed}, "1k": {Law: Fixed, Min: 1024}, "1.5MiB": {Law: Fixed, Min: 3 << 19}, "1 kb": {Law: Fixed, Min: 1000},
		"64-4KiB": {Law: Range, Min: 64, Max: 4096}, "0-10B": {Law: Range, Max: 10}, "512MiB": {Law: Fixed, Min: Biggest},
		"lognormal:1KiB:1.5":          {Law: Lognormal, Mean: 1024, Sigma: 1.5},
		"lognormal:1KiB:1.5:64-1MiB":  {Law: Lognormal, Mean: 1024, Sigma: 1.5, Min: 64, Max: 1 << 20},
		"64:0.9,4KiB:0.1":             {Law: Weighted, Values: []int{64, 4096}, Weight: []float64{0.9, 0.1}},
		"64:90%, 4KiB:10%, 1000000:3": {Law: Weighted, Values: []int{64, 4096, 1e6}, Weight: []float64{90, 10, 3}},
	} {
		reads(t, ParseSizes, text, want)
	}
	for text, want := range map[string]TTLs{
		"none": {}, "60s": {Min: time.Minute}, "1d": {Min: 24 * time.Hour}, "30s-90s": {Min: 30 * time.Second, Max: 90 * time.Second},
		"60s±10%": {Min: 54 * time.Second, Max: 66 * time.Second}, "60s+-10%": {Min: 54 * time.Second, Max: 66 * time.Second},
		"60s+-5s": {Min: 55 * time.Second, Max: 65 * time.Second}, "100ms": {Min: 100 * time.Millisecond}, "2h-1w": {Min: 2 * time.Hour, Max: 168 * time.Hour},
	} {
		reads(t, ParseTTLs, text, want)
	}
	for text, want := range map[string]Mix{"90:10": {90, 10, 0}, "80:15:5": {80, 15, 5}, "1:0": {1, 0, 0}, "99.9%:0.1%": {99.9, 0.1, 0}} {
		reads(t, ParseMix, text, want)
	}
	for text, want := range map[string]Shard{"1/1": {0, 1}, "3/3": {2, 3}} {
		reads(t, ParseShard, text, want)
	}
}

func TestPhasesText(t *testing.T) {
	const s = time.Second
	for text, want := range map[string][]Phase{
		"60s@1000/s":           {{Length: 60 * s, Rate: 1000, Poisson: true}},
		"60s@1000":             {{Length: 60 * s, Rate: 1000, Poisson: true}},
		"1m@1k/s:even":         {{Length: 60 * s, Rate: 1000}},
		"60s@1k/s:poisson":     {{Length: 60 * s, Rate: 1000, Poisson: true}},
		"1h@30/m":              {{Length: 3600 * s, Rate: 0.5, Poisson: true}},
		"60s@0-5k/s":           {{Length: 60 * s, End: 5000, Poisson: true}},
		"60s@5000-5000/s":      {{Length: 60 * s, Rate: 5000, Poisson: true}},
		"10s@max":              {{Length: 10 * s}},
		"peak:10s@1.5M/s:even": {{Name: "peak", Length: 10 * s, Rate: 1.5e6}},
		"warmup:10s@500/s, 60s@2000/s:even": {{Name: "warmup", Length: 10 * s, Rate: 500, Poisson: true, Warmup: true},
			{Length: 60 * s, Rate: 2000}},
		"up:9s@1000-3000/s:steps=3": {{Name: "up", Length: 3 * s, Rate: 1000, Poisson: true}, {Name: "up", Length: 3 * s, Rate: 2000, Poisson: true},
			{Name: "up", Length: 3 * s, Rate: 3000, Poisson: true}},
	} {
		got, err := ParsePhases(text)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v\n%s", text, err, diff)
		}
		again, err := ParsePhases(phasesText(got))
		if diff := cmp.Diff(got, again); err != nil || diff != "" {
			t.Errorf("%q prints as %q: %v\n%s", text, phasesText(got), err, diff)
		}
	}
}

func phasesText(phases []Phase) string {
	texts := make([]string, len(phases))
	for i, p := range phases {
		texts[i] = p.String()
	}
	return strings.Join(texts, ",")
}

// A bad text is refused by an error that holds it and a good form.
func TestBadTextsAreToldTheGoodForm(t *testing.T) {
	for _, c := range []struct {
		parse func(string) error
		good  string
		bad   []string
	}{
		{func(s string) error { _, err := ParseKeys(s); return err }, "zipf:0.99",
			[]string{"", "zipfian", "zipf:", "zipf:0", "zipf:-1", "zipf:x", "zipf:NaN", "zipf:0.9:1", "uniform:1", "hotspot:20%", "hotspot:0:1", "hotspot:120%:80%", "zipf:0x1p-2"}},
		{func(s string) error { _, err := ParseSizes(s); return err }, "64-4KiB",
			[]string{"", "-", "-5", "64-", "4KiB-64", "1.3", "1GiB", "Inf", "lognormal", "lognormal:1KiB", "lognormal:0:1", "lognormal:1KiB:x", "lognormal:1KiB:1:5",
				"lognormal:1KiB:1:0-0", "64:x", "64:", ":1", "64:0", "64:-1", "64:1,", "1e400", "1 2"}},
		{func(s string) error { _, err := ParseTTLs(s); return err }, "30s-90s",
			[]string{"", "60", "0", "0s", "-5s", "90s-30s", "0s-5s", "60s+-100%", "60s±2m", "60s+-", "60s+-10", "s", "5s-", "9e99d"}},
		{func(s string) error { _, err := ParseMix(s); return err }, "90:10",
			[]string{"", "90", "90:", "0:0", "a:b", "90:-10", "1:2:3:4", "NaN:1", "Inf:1"}},
		{func(s string) error { _, err := ParseShard(s); return err }, "1/3",
			[]string{"", "0/3", "4/3", "1", "1/", "/3", "-1/3", "1/3/5"}},
		{func(s string) error { _, err := ParsePhases(s); return err }, "60s@1000/s",
			[]string{"", "60s", "60s@", "@1000/s", "60s@0/s", "60s@1000-0/s", "60s@-5/s", "60s@1000/y", "0s@5/s", "60s@max:even", "60s@1000/s:steps=5", "60s@1-2/s:steps=1",
				"60s@0-100/s:steps=5", "60s@1-2/s:steps=2.5", "60s@1-2/s:steps=99999", "60s@1000/s:bursty", "60s@1000/s,", ":60s@5/s", "60s@1e12/s", "60@5/s"}},
	} {
		for _, text := range c.bad {
			if err := c.parse(text); err == nil {
				t.Errorf("%q was read", text)
			} else if !strings.Contains(err.Error(), c.good) || !strings.Contains(err.Error(), `"`) {
				t.Errorf("%q: the error holds no good form: %v", text, err)
			}
		}
	}
}

// Whatever is valid prints as a text that reads as the same, and goes through JSON as the same.
func TestTextAndJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr := drawTraffic(t)
		if phases, err := ParsePhases(phasesText(tr.Phases)); err != nil || !cmp.Equal(phases, tr.Phases) {
			t.Fatalf("%q: %v %s", phasesText(tr.Phases), err, cmp.Diff(tr.Phases, phases))
		}
		for _, of := range []struct{ was, is func() (fmt.Stringer, error) }{
			{func() (fmt.Stringer, error) { return tr.Sizes, nil }, func() (fmt.Stringer, error) { return ParseSizes(tr.Sizes.String()) }},
			{func() (fmt.Stringer, error) { return tr.TTLs, nil }, func() (fmt.Stringer, error) { return ParseTTLs(tr.TTLs.String()) }},
			{func() (fmt.Stringer, error) { return tr.Mix, nil }, func() (fmt.Stringer, error) { return ParseMix(tr.Mix.String()) }},
		} {
			was, _ := of.was()
			if is, err := of.is(); err != nil || !cmp.Equal(was, is) {
				t.Fatalf("%q: %v %s", was, err, cmp.Diff(was, is))
			}
		}
		text, err := json.Marshal(&tr)
		if err != nil {
			t.Fatal(err)
		}
		var back Traffic
		if err := json.Unmarshal(text, &back); err != nil || !cmp.Equal(tr, back) {
			t.Fatalf("%s: %v %s", text, err, cmp.Diff(tr, back))
		}
	})
}

// What cannot be made into requests is told before the run.
func TestValidTellsWhatIsWrong(t *testing.T) {
	good := func() Traffic {
		return Traffic{Phases: []Phase{{Length: time.Second, Rate: 5}}, Keys: Keys{N: 5, Law: Uniform}, Sizes: Sizes{Law: Fixed}, Mix: Mix{Read: 1}}
	}
	tr := good()
	if err := tr.Valid(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*Traffic){
		"no phase":                  func(t *Traffic) { t.Phases = nil },
		"phase 1 (0s@5/s:even)":     func(t *Traffic) { t.Phases[0].Length = 0 },
		"a rate is from 0":          func(t *Traffic) { t.Phases[0].End = -1 },
		"no Poisson process":        func(t *Traffic) { t.Phases[0].Rate, t.Phases[0].Poisson = 0, true },
		"keys: there is at least":   func(t *Traffic) { t.Keys.N = 0 },
		"keys: there are at most":   func(t *Traffic) { t.Keys.N = 1 << 60 },
		"keys: no law \"zpif\"":     func(t *Traffic) { t.Keys.Law = "zpif" },
		"keys: theta of zipf":       func(t *Traffic) { t.Keys.Law = Zipf },
		"keys: a hotspot has":       func(t *Traffic) { t.Keys.Law = Hotspot },
		"sizes: no law":             func(t *Traffic) { t.Sizes.Law = "" },
		"sizes: a value has":        func(t *Traffic) { t.Sizes.Min = Biggest + 1 },
		"sizes: the smaller":        func(t *Traffic) { t.Sizes = Sizes{Law: Range, Min: 5, Max: 4} },
		"sizes: lognormal has":      func(t *Traffic) { t.Sizes = Sizes{Law: Lognormal} },
		"sizes: every size":         func(t *Traffic) { t.Sizes = Sizes{Law: Weighted, Values: []int{5}} },
		"sizes: one of the weights": func(t *Traffic) { t.Sizes = Sizes{Law: Weighted, Values: []int{5}, Weight: []float64{0}} },
		"TTLs: a TTL is not":        func(t *Traffic) { t.TTLs.Min = -1 },
		"TTLs: a TTL of 0":          func(t *Traffic) { t.TTLs.Max = 1 },
		"TTLs: the shorter":         func(t *Traffic) { t.TTLs = TTLs{Min: 2, Max: 1} },
		"mix: a weight":             func(t *Traffic) { t.Mix.Write = -1 },
		"mix: one of the weights":   func(t *Traffic) { t.Mix.Read = 0 },
		"shard: shard 3 of 3":       func(t *Traffic) { t.Shard = Shard{3, 3} },
	} {
		tr := good()
		spoil(&tr)
		if err := tr.Valid(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, which does not say %q", err, want)
		}
	}
}

// What a person types never breaks anything, and what is read is valid and prints as itself.
func FuzzTexts(f *testing.F) {
	for _, text := range []string{"zipf:0.99", "64-4KiB", "lognormal:1KiB:1.5:1-2k", "60s±10%", "80:15:5", "warmup:10s@1-5k/s:steps=5,1m@max", "1/3"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := ParseKeys(text); err == nil {
			reads(t, ParseKeys, k.String(), k)
		}
		if s, err := ParseSizes(text); err == nil {
			reads(t, ParseSizes, s.String(), s)
		}
		if l, err := ParseTTLs(text); err == nil {
			reads(t, ParseTTLs, l.String(), l)
		}
		if m, err := ParseMix(text); err == nil {
			reads(t, ParseMix, m.String(), m)
		}
		if s, err := ParseShard(text); err == nil {
			reads(t, ParseShard, s.String(), s)
		}
		phases, err := ParsePhases(text)
		if err != nil {
			return
		}
		if again, err := ParsePhases(phasesText(phases)); err != nil || !cmp.Equal(phases, again) {
			t.Errorf("%q prints as %q: %v\n%s", text, phasesText(phases), err, cmp.Diff(phases, again))
		}
	})
}

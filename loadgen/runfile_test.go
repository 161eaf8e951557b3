package loadgen

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func savedRun(t testing.TB, r *Run) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func loadRun(reports ...*Report) *Run {
	return &Run{Kind: LoadRun, Program: "cachectl 1.2.3", Made: day, Title: "before <the> change", Loads: reports}
}

// What is read is what was written, to the last figure.
func TestRunFile(t *testing.T) {
	a, b := madeRun(1, 5, 200, time.Millisecond), madeRun(2, 3, 10, time.Second)
	b.Target, b.Invalid = "memcached://b:11211", []string{"cut short"}
	wrote := savedRun(t, loadRun(a, b))
	run, err := ReadRun(bytes.NewReader(wrote))
	if err != nil {
		t.Fatal(err)
	}
	if again := savedRun(t, run); !bytes.Equal(again, wrote) {
		t.Errorf("written again:\n%s\n%s", wrote, again)
	}
	for i, r := range []*Report{a, b} {
		want, got := r.Figures(), run.Loads[i].Figures()
		for name := range want {
			if want[name] != got[name] && want[name] == want[name] {
				t.Errorf("%s of %s is %v, was %v", name, r.Target, got[name], want[name])
			}
		}
		if len(run.Loads[i].Ticks) != len(r.Ticks) || run.Loads[i].Ticks[2].Latency.Quantile(.5) != r.Ticks[2].Latency.Quantile(.5) {
			t.Error("the ticks differ")
		}
	}
	if run.Kind != LoadRun || run.Title != "before <the> change" || !run.Made.Equal(day) || run.Loads[1].Invalid[0] != "cut short" {
		t.Errorf("%+v", run)
	}
	if !bytes.HasPrefix(wrote, []byte(`{"cachectl_run":1,"kind":"load",`)) {
		t.Errorf("it begins with %.60s", wrote)
	}

	stampede := &Run{Kind: StampedeRun, Made: day, Strategies: []StrategyRun{{"none", json.RawMessage(`{"starts":201}`)}, {"lock", json.RawMessage(`{}`)}}}
	if run, err = ReadRun(bytes.NewReader(savedRun(t, stampede))); err != nil || string(run.Strategies[0].Report) != `{"starts":201}` || run.Strategies[1].Strategy != "lock" {
		t.Errorf("%+v, %v", run, err)
	}
}

func TestRunFileRefused(t *testing.T) {
	good := string(savedRun(t, loadRun(madeRun(1, 3, 20, time.Millisecond))))
	whole := strings.TrimRight(good, "\n")
	for n := 30; n < len(whole); n += 1 + n/7 {
		if _, err := ReadRun(strings.NewReader(whole[:n])); err == nil || !strings.Contains(err.Error(), "torn") {
			t.Errorf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
	changed := func(old, new string) string {
		t.Helper()
		if !strings.Contains(good, old) {
			t.Fatalf("no %s in the file", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "no run file"},
		{"another document", `{"hello": 1}`, "no run file"},
		{"no document", "PK\x03\x04 cachectl_run", "no run file"},
		{"newer", changed(`"cachectl_run":1`, `"cachectl_run":2`), "a newer cachectl wrote it: its format is 2"},
		{"format 0", changed(`"cachectl_run":1`, `"cachectl_run":0`), "its format is 0"},
		{"two documents", good + good, "after top-level"},
		{"another kind", changed(`"kind":"load"`, `"kind":"party"`), `kind is "party"`},
		{"no report", `{"cachectl_run":1,"kind":"load"}`, "no report"},
		{"no stampede", `{"cachectl_run":1,"kind":"stampede","loads":[]}`, "no report"},
		{"null report", `{"cachectl_run":1,"kind":"load","loads":[null]}`, "report 1 is not there"},
		{"torn histogram", changed(`"latency":"HIST`, `"latency":"HISx`), "read histogram"},
		{"negative length", changed(`"length_ns":3000000000,"tallies"`, `"length_ns":-3,"tallies"`), "a run of -3ns"},
		{"disorder", changed(`"at_ns":1000000000`, `"at_ns":5000000000`), "second 3 of the run is at 2s"},
		{"huge count", changed(`"due":20`, `"due":18446744073709551615`), "a count of 18446744073709551615"},
		{"shard", changed(`"index":0,"of":0`, `"index":3,"of":2`), "shard 3 of 2"},
	} {
		if run, err := ReadRun(strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v, want %q", c.name, run, err, c.want)
		}
	}
	if err := loadRun().Write(new(bytes.Buffer)); err == nil {
		t.Error("a run without a report was written")
	}
}

func FuzzReadRun(f *testing.F) {
	f.Add(savedRun(f, loadRun(madeRun(1, 2, 10, time.Millisecond))))
	f.Add(savedRun(f, &Run{Kind: StampedeRun, Strategies: []StrategyRun{{"none", json.RawMessage("{}")}}}))
	f.Fuzz(func(t *testing.T, text []byte) {
		run, err := ReadRun(bytes.NewReader(text))
		if err != nil {
			return
		}
		again, err := ReadRun(bytes.NewReader(savedRun(t, run)))
		if err != nil {
			t.Fatal(err)
		}
		for i, load := range run.Loads {
			if total, other := load.Total(), again.Loads[i].Total(); total.Due != other.Due || total.Latency.Count() != other.Latency.Count() {
				t.Fatal("written and read again it is another")
			}
			Merge(load)
		}
	})
}

// An hour at 1,000 requests a second.
func BenchmarkRunFile(b *testing.B) {
	r := madeRun(1, 3600, 1000, 200*time.Microsecond)
	size := 0
	for b.Loop() {
		text := savedRun(b, loadRun(r))
		if _, err := ReadRun(bytes.NewReader(text)); err != nil {
			b.Fatal(err)
		}
		size = len(text)
	}
	b.ReportMetric(float64(size)/1e6, "MB")
}

package commands

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cachectl/cachectl/commands/render"
	"github.com/cachectl/cachectl/loadgen"
)

// sampleLoad is a report as a run of a minute might leave it, slower by a factor; it is always the same.
func sampleLoad(target string, slower float64) *loadgen.Report {
	r := &loadgen.Report{Target: target, Started: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Length: time.Minute, Connections: 50, Depth: 16}
	r.Traffic = loadgen.Traffic{Seed: 7, Keys: loadgen.Keys{N: 10_000, Law: loadgen.Zipf, Theta: .99}, Sizes: loadgen.Sizes{Law: "fixed", Min: 100},
		Mix: loadgen.Mix{Read: 9, Write: 1}, Phases: []loadgen.Phase{{Name: "warmup", Length: 2 * time.Second, Rate: 200, Warmup: true}, {Length: 30 * time.Second, Rate: 200}, {Name: "second half", Length: 30 * time.Second, Rate: 200}}}
	state := uint32(1)
	for s := range 60 {
		tick := loadgen.Tick{At: time.Duration(s) * time.Second}
		for i := range 200 {
			state = state*1664525 + 1013904223
			u := (float64(state>>8) + .5) / (1 << 24)
			t := &r.Tallies[loadgen.Read]
			if i%10 == 0 {
				t = &r.Tallies[loadgen.Write]
			}
			t.Due, t.Sent, tick.Due, tick.Sent = t.Due+1, t.Sent+1, tick.Due+1, tick.Sent+1
			if s == 40 && i < 3 {
				t.Refused, tick.Refused = t.Refused+1, tick.Refused+1
				continue
			}
			t.Done, tick.Done = t.Done+1, tick.Done+1
			switch {
			case i%10 == 0:
			case u < .93:
				t.Hits, tick.Hits = t.Hits+1, tick.Hits+1
			default:
				t.Misses, tick.Misses = t.Misses+1, tick.Misses+1
			}
			d := time.Duration(slower * 200e3 * (1 - .6*math.Log(1-u)))
			t.Latency.Add(d)
			t.Service.Add(d * 3 / 4)
			tick.Latency.Add(d)
			r.Late.Add(20 * time.Microsecond)
		}
		tick.Latency.Coarsen()
		r.Ticks = append(r.Ticks, tick)
	}
	r.Errors = map[string]uint64{"OOM command not allowed": 2, "connection reset": 1}
	return r
}

func rendered(t *testing.T, f render.Format, doc render.Doc) string {
	t.Helper()
	var b bytes.Buffer
	w, err := render.New(&b, render.Options{Format: f, Header: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(doc); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestLoadDoc(t *testing.T) {
	one := sampleLoad("redis://a:6379", 1)
	invalid := sampleLoad("redis://a:6379", 1)
	invalid.Invalid = []string{"cut short"}
	comparison, err := comparisonDoc([]*loadgen.Report{one}, []*loadgen.Report{sampleLoad("redis://b:6379", 1.1)})
	if err != nil {
		t.Fatal(err)
	}
	got := rendered(t, render.Table, loadDoc(one)) + "----\n" + rendered(t, render.Table, loadDoc(invalid, sampleLoad("valkey://b:6380", 1.1))) + "----\n" + rendered(t, render.Table, comparison)
	const path = "testdata/load.txt"
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// What a check may name is in the JSON answer, in the unit that the member's name says.
func TestLoadDocForPrograms(t *testing.T) {
	r := sampleLoad("redis://a:6379", 1)
	var answer map[string]any
	if err := json.Unmarshal([]byte(rendered(t, render.JSON, loadDoc(r))), &answer); err != nil {
		t.Fatal(err)
	}
	figures := r.Figures()
	for member, want := range map[string]float64{"rate": figures["rate"], "hit_rate": math.Round(figures["hit_rate"]*1e6) / 1e6, "p999_ms": figures["p99.9"] * 1e3, "service_p99_ms": figures["service_p99"] * 1e3, "errors": 3, "seconds": 60} {
		if got, ok := answer[member].(float64); !ok || math.Abs(got-want) > 1e-9*math.Abs(want) {
			t.Errorf("%s is %v, want %v", member, answer[member], want)
		}
	}
	kinds := answer["kinds"].([]any)
	if len(kinds) != 3 || kinds[0].(map[string]any)["kind"] != "read" || kinds[2].(map[string]any)["kind"] != "all" || answer["valid"] != true {
		t.Errorf("kinds: %v", kinds)
	}
	if prom := rendered(t, render.Prom, loadDoc(r)); !strings.Contains(prom, `cachectl_load_p99_milliseconds{target="redis://a:6379",kind="write"}`) {
		t.Error(prom)
	}
	comparison, err := comparisonDoc([]*loadgen.Report{r}, []*loadgen.Report{r})
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(rendered(t, render.JSON, comparison)), &answer); err != nil {
		t.Fatal(err)
	}
	first := answer["figures"].([]any)[1].(map[string]any)
	if first["figure"] != "p50" || first["unit"] != "ms" || first["change"] != 0. || first["verdict"] != "~" || len(first["interval"].([]any)) != 2 {
		t.Errorf("%v", first)
	}
}

// Nothing that is empty makes a document or a page fail.
func TestLoadOfNothing(t *testing.T) {
	for _, f := range render.Formats() {
		if f != render.Prom {
			rendered(t, f, loadDoc())
		}
		rendered(t, f, loadDoc(&loadgen.Report{}))
	}
	for _, reports := range [][]*loadgen.Report{nil, {{}}, {{}, {}}} {
		page := loadPage("", reports...)
		if err := page.Write(new(bytes.Buffer)); err != nil {
			t.Error(err)
		}
	}
	a, b := sampleLoad("redis://a", 1), sampleLoad("redis://b", 1)
	for _, sides := range [][2][]*loadgen.Report{{nil, {a}}, {{a}, nil}, {{a, b}, {a}}} {
		if _, err := comparisonDoc(sides[0], sides[1]); err == nil {
			t.Errorf("%d and %d runs are compared", len(sides[0]), len(sides[1]))
		}
	}
}

func TestLoadPage(t *testing.T) {
	a, b := sampleLoad("redis://a:6379/<script>", 1), sampleLoad("valkey://b:6380", 1.3)
	a.Invalid = []string{"the generator was the limit"}
	side := func(r *loadgen.Report) []*loadgen.Report { return []*loadgen.Report{r} }
	comparison, err := comparisonPage("cachectl 1.0", side(a), side(b))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		page render.Page
		want []string
	}{
		"one":        {loadPage("cachectl 1.0", a), []string{"Load on redis://a:6379/&lt;script&gt;", "the generator was the limit", "Hit rate of each second", "Errors and drops", ">second half<", "service"}},
		"two":        {loadPage("cachectl 1.0", a, b), []string{"Load on redis://a:6379/&lt;script&gt; and valkey://b:6380", "What differs", "B: valkey://b:6380, p99"}},
		"comparison": {comparison, []string{"Two runs beside each other", "What differs", "worse"}},
	} {
		var page bytes.Buffer
		if err := c.page.Write(&page); err != nil {
			t.Fatal(err)
		}
		if dir := os.Getenv("PAGES"); dir != "" { // to look at
			if err := os.WriteFile(dir+"/"+name+".html", page.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range c.want {
			if !strings.Contains(page.String(), want) {
				t.Errorf("%s: no %q", name, want)
			}
		}
	}
}

// Latencies in JSON are to a nanosecond, and not what binary fractions make of it.
func TestLoadFieldsAreRound(t *testing.T) {
	r := sampleLoad("redis://a", 1)
	for _, f := range loadFields(r) {
		if ms, ok := f.Cell.Value.(float64); ok && strings.HasSuffix(f.Name, "_ms") {
			if text := fmt.Sprint(ms); len(text)-strings.IndexByte(text+".", '.') > 7 {
				t.Errorf("%s is %s", f.Name, text)
			}
		}
	}
}

package commands

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cachectl/cachectl/commands/render"
)

// A warmTally counts what became of a list.
type warmTally struct {
	o       *warmURLOptions
	list    *warmList
	journal *warmRecording

	counts   map[warmState]int
	reasons  map[warmReason]*warmExample
	done     int
	earlier  int      // done by the runs before
	blamed   int      // failed for the server's sake
	failed   []string // URLs
	all      []warmed // with --urls
	misses   []time.Duration
	hits     []time.Duration
	vary     map[string]int
	requests int64
	bytes    int64
	end      time.Duration
}

type warmReason struct {
	state  warmState
	reason string
}

type warmExample struct {
	n   int
	url string
}

func newWarmTally(o *warmURLOptions, list *warmList, journal *warmRecording) *warmTally {
	d := &warmTally{o: o, list: list, journal: journal, counts: make(map[warmState]int), reasons: make(map[warmReason]*warmExample), vary: make(map[string]int)}
	for _, w := range journal.before {
		w.url = d.url(w.n)
		d.add(&w)
		d.earlier++
	}
	return d
}

// total is how many items are known of.
func (d *warmTally) total() int { return len(d.list.urls)*len(d.o.variants) + len(d.journal.extra) }

// url is that of an item by its number.
func (d *warmTally) url(n int) string {
	listed := len(d.list.urls) * len(d.o.variants)
	switch {
	case n < listed:
		return d.list.urls[n/len(d.o.variants)].URL
	case n-listed < len(d.journal.extra):
		return d.journal.extra[n-listed].url
	}
	return ""
}

// items are those that no run before has done, by URL.
func (d *warmTally) items() iter.Seq[[]warmItem] {
	done := make(map[int]bool, len(d.journal.before))
	for _, w := range d.journal.before {
		done[w.n] = true
	}
	extra := slices.DeleteFunc(slices.Clone(d.journal.extra), func(it warmItem) bool { return done[it.n] })
	return func(yield func([]warmItem) bool) {
		n := 0
		for _, u := range d.list.urls {
			var group []warmItem
			for variant := range d.o.variants {
				if !done[n] {
					group = append(group, warmItem{n: n, url: u.URL, variant: variant})
				}
				n++
			}
			if len(group) > 0 && !yield(group) {
				return
			}
		}
		for _, group := range grouped(extra) {
			if !yield(group) {
				return
			}
		}
	}
}

// listed tells whether a URL is in the list, whatever the variant.
func (d *warmTally) listed(url string) bool { _, is := d.list.at[url]; return is }

// known are the items that redirects of earlier runs led to.
func (d *warmTally) known() map[warmItem]bool {
	all := make(map[warmItem]bool)
	for _, it := range d.journal.extra {
		all[warmItem{url: it.url, variant: it.variant}] = true
	}
	return all
}

func (d *warmTally) add(w *warmed) {
	d.done++
	d.counts[w.state]++
	key := warmReason{w.state, w.reason}
	if d.reasons[key] == nil {
		d.reasons[key] = &warmExample{url: w.url}
	}
	d.reasons[key].n++
	d.requests += int64(w.asks)
	d.bytes += w.bytes
	if w.hitTook > 0 {
		d.hits = append(d.hits, w.hitTook)
	}
	switch w.state {
	case warmFilled, warmNotCached:
		if w.took > 0 {
			d.misses = append(d.misses, w.took)
		}
	case warmFailed:
		d.failed = append(d.failed, w.url)
		if w.blame {
			d.blamed++
		}
	}
	for _, name := range w.vary {
		d.vary[name]++
	}
	if d.o.perURL {
		w.news, w.again = nil, nil
		d.all = append(d.all, *w)
	}
}

// rates are the shares of hits before and now, of all but redirects; NaN: nobody looked.
func (d *warmTally) rates() (before, now float64) {
	all := d.counts[warmHit] + d.counts[warmFilled] + d.counts[warmNotCached] + d.counts[warmUnknown] + d.counts[warmFailed]
	if all == 0 || d.o.noVerify {
		return math.NaN(), math.NaN()
	}
	return float64(d.counts[warmHit]) / float64(all), float64(d.counts[warmHit]+d.counts[warmFilled]) / float64(all)
}

// perSecond is of this run.
func (d *warmTally) perSecond() float64 { return float64(d.requests) / d.end.Seconds() }

func medianSeconds(all []time.Duration) float64 {
	if len(all) == 0 {
		return math.NaN()
	}
	return median(all).Seconds()
}

// values are what --fail-if knows.
func (d *warmTally) values() map[string]float64 {
	before, now := d.rates()
	values := map[string]float64{"hit_rate": now, "hit_rate_before": before, "urls": float64(d.done), "refused": float64(d.list.refused()),
		"requests": float64(d.requests), "requests_per_second": d.perSecond(), "miss_p50": medianSeconds(d.misses), "hit_p50": medianSeconds(d.hits),
		"hits": float64(d.counts[warmHit])}
	for _, state := range []warmState{warmFilled, warmNotCached, warmUnknown, warmFailed, warmRedirected} {
		values[string(state)] = float64(d.counts[state])
	}
	return values
}

// tell says on stderr what the answer has no place for.
func (d *warmTally) tell(env *Env) {
	if d.earlier > 0 {
		env.note("%s done by the run before", plural(int64(d.earlier), "URL"))
	}
	for _, name := range slices.Sorted(maps.Keys(d.vary)) {
		asked := name == "Accept-Encoding" || d.o.header.Get(name) != ""
		for _, variant := range d.o.variants {
			asked = asked || variant.Get(name) != ""
		}
		if !asked && name != "Cookie" {
			env.note("%s with Vary: %s: what is warm is for requests without that header; --variant '%s: ...' warms others", plural(int64(d.vary[name]), "URL"), name, name)
		} else if !asked {
			env.note("%s with Vary: Cookie: what is warm is for people without one", plural(int64(d.vary[name]), "URL"))
		}
	}
}

// The columns of the answer, and those of --urls.
var (
	warmReasonColumns = []render.Column{{Name: "state", Label: true}, {Name: "urls", Right: true, Metric: &render.Metric{Name: "cachectl_warm_urls", Help: "URLs by what became of them", Type: "gauge"}},
		{Name: "share", Right: true}, {Name: "reason", Label: true}, {Name: "example", Wide: true}}
	warmURLColumns = []render.Column{{Name: "state"}, {Name: "reason"}, {Name: "url"}, {Name: "variant", Wide: true}, {Name: "status", Right: true},
		{Name: "asks", Right: true, Wide: true}, {Name: "bytes", Right: true}, {Name: "first", Field: "first_ms", Right: true}, {Name: "hit", Field: "hit_ms", Right: true}}
)

// doc is the answer.
func (d *warmTally) doc() render.Doc {
	before, now := d.rates()
	number := func(name string, n int, help string) render.Field {
		return render.Field{Name: name, Cell: render.Int(int64(n)), Machine: true, Metric: &render.Metric{Name: "cachectl_warm_" + name, Help: help, Type: "gauge"}}
	}
	ratio := func(name, help string, f float64) render.Field {
		return render.Field{Name: name, Cell: render.Ratio(f), Machine: true, Metric: &render.Metric{Name: "cachectl_warm_" + name, Help: help, Type: "gauge"}}
	}
	doc := render.Doc{Fields: []render.Field{
		{Label: "warmed", Cell: render.Text(d.summary())},
		{Label: "hit rate", Cell: render.Text(render.Ratio(now).Text + " now, " + render.Ratio(before).Text + " before")},
		ratio("hit_rate", "Share of hits after the run, of all but redirects", now),
		ratio("hit_rate_before", "Share of hits before the run, of all but redirects", before),
		{Name: "urls", Cell: render.Int(int64(d.done)), Machine: true},
	}}
	if d.o.noVerify {
		doc.Fields = slices.Delete(doc.Fields, 1, 2)
	}
	if len(d.misses) > 0 && len(d.hits) > 0 {
		doc.Fields = append(doc.Fields, render.Field{Label: "first byte", Cell: render.Text(fmt.Sprintf("%s from the origin, %s from the cache (medians of %s and %s)",
			render.Duration(median(d.misses).Round(10*time.Microsecond)).Text, render.Duration(median(d.hits).Round(10*time.Microsecond)).Text,
			render.Int(int64(len(d.misses))).Text, render.Int(int64(len(d.hits))).Text))})
	}
	for _, state := range warmStates {
		name := string(state)
		if state == warmHit {
			name = "hits"
		}
		doc.Fields = append(doc.Fields, render.Field{Name: name, Cell: render.Int(int64(d.counts[state])), Machine: true})
	}
	doc.Fields = append(doc.Fields,
		number("refused", d.list.refused(), "URLs of the list that were no URLs, or of a site that is not permitted"),
		render.Field{Name: "requests", Cell: render.Int(d.requests), Machine: true},
		render.Field{Name: "bytes", Cell: render.Int(d.bytes), Machine: true},
		render.Field{Name: "requests_per_second", Cell: render.Float(d.perSecond(), 1), Machine: true},
		render.Field{Name: "miss_p50_ms", Cell: render.Float(medianSeconds(d.misses)*1e3, 3), Machine: true},
		render.Field{Name: "hit_p50_ms", Cell: render.Float(medianSeconds(d.hits)*1e3, 3), Machine: true},
		render.Field{Name: "seconds", Cell: render.Seconds(d.end), Machine: true})
	if d.o.perURL {
		doc.List, doc.Columns, doc.Rows = "results", slices.Clone(warmURLColumns), d.urlRows
		doc.Columns[3].Wide = len(d.o.variantTexts) < 2
		return doc
	}
	doc.List, doc.Columns, doc.Rows = "reasons", warmReasonColumns, rows(d.reasonRows())
	return doc
}

func (d *warmTally) summary() string {
	text := plural(int64(d.done), "URL")
	if total := d.total(); d.done < total {
		text = render.Int(int64(d.done)).Text + " of " + plural(int64(total), "URL")
	}
	if n := len(d.o.variantTexts); n > 1 {
		text += fmt.Sprintf(" (%d variants, each counted)", n)
	}
	text += " in " + render.Duration(d.end.Round(time.Millisecond)).Text + ": " + plural(d.requests, "request")
	if d.end > 100*time.Millisecond {
		text += ", " + render.Int(int64(d.perSecond())).Text + "/s"
	}
	return text + ", " + render.Bytes(d.bytes).Text
}

func stateCell(state warmState) render.Cell {
	return render.Text(string(state)).As(map[warmState]render.Style{warmHit: render.Good, warmFilled: render.Good,
		warmNotCached: render.Warn, warmUnknown: render.Warn, warmFailed: render.Bad}[state])
}

// reasonRows are in the order of the states, the most frequent reason first.
func (d *warmTally) reasonRows() []render.Row {
	keys := slices.SortedFunc(maps.Keys(d.reasons), func(a, b warmReason) int {
		return cmp.Or(slices.Index(warmStates, a.state)-slices.Index(warmStates, b.state), d.reasons[b].n-d.reasons[a].n, strings.Compare(a.reason, b.reason))
	})
	var all []render.Row
	for _, key := range keys {
		one := d.reasons[key]
		all = append(all, render.Row{stateCell(key.state), render.Int(int64(one.n)), render.Ratio(float64(one.n) / float64(d.done)),
			word(key.reason), render.Text(one.url)})
	}
	return all
}

// urlRows are in the order in which the URLs were done.
func (d *warmTally) urlRows(yield func([]render.Row, error) bool) {
	for part := range slices.Chunk(d.all, 1000) {
		var chunk []render.Row
		for _, w := range part {
			row := render.Row{stateCell(w.state), word(w.reason), render.Text(w.url), word(d.o.variantName(w.variant)),
				render.Unknown(), render.Int(int64(w.asks)), render.Bytes(w.bytes), render.Unknown(), render.Unknown()}
			if w.status != 0 {
				row[4] = render.Int(int64(w.status))
			}
			if w.took > 0 {
				row[7] = render.Duration(w.took.Round(10 * time.Microsecond))
			}
			if w.hitTook > 0 {
				row[8] = render.Duration(w.hitTook.Round(10 * time.Microsecond))
			}
			chunk = append(chunk, row)
		}
		if !yield(chunk, nil) {
			return
		}
	}
}

// list is --dry-run.
func (o *warmURLOptions) list(env *Env, ro render.Options, l *warmList) error {
	doc := render.Doc{Columns: []render.Column{{Name: "url"}, {Name: "count", Right: true}}}
	doc.Rows = func(yield func([]render.Row, error) bool) {
		for part := range slices.Chunk(l.urls, 1000) {
			var chunk []render.Row
			for _, u := range part {
				row := render.Row{render.Text(u.URL), render.Unknown()}
				if l.counted && u.Heat >= 1 {
					row[1] = render.Int(int64(u.Heat))
				}
				chunk = append(chunk, row)
			}
			if !yield(chunk, nil) {
				return
			}
		}
	}
	if !l.counted {
		doc.Columns[1].Wide = true
	}
	if err := o.output.print(env, ro, doc); err != nil {
		return err
	}
	env.note("dry run: %s would be asked for%s; none was", plural(int64(len(l.urls)), "URL"), map[bool]string{true: fmt.Sprintf(" in %d variants", len(o.variants))}[len(o.variants) > 1])
	if n := l.refused(); n > 0 {
		return &partialError{fmt.Errorf("%s refused", plural(int64(n), "URL"))}
	}
	return nil
}

// err is what the run comes to. end is how it ended. What failed or was refused makes it
// partial, and a failure where nothing was done.
func (d *warmTally) err(end error) error {
	failed, refused := d.counts[warmFailed], d.list.refused()
	if end != nil || failed+refused == 0 {
		return end
	}
	var parts []string
	if failed > 0 {
		parts = append(parts, fmt.Sprintf("%s failed (%s)", plural(int64(failed), "URL"), d.failures()))
	}
	if refused > 0 {
		parts = append(parts, plural(int64(refused), "URL")+" refused")
	}
	err := errors.New(strings.Join(parts, ", "))
	if failed == d.done {
		return withHint(err, "%s", d.failureHint())
	}
	return withHint(&partialError{err}, "%s", d.failureHint())
}

func (d *warmTally) failureHint() string {
	if d.counts[warmFailed] == 0 {
		return "--host permits a site, --any-host all of them"
	}
	return "--failures FILE writes the URLs that failed, fit for a SOURCE; --urls shows each"
}

// failures are the most frequent reasons of failures.
func (d *warmTally) failures() string {
	var parts []string
	for _, row := range d.reasonRows() {
		if row[0].Text == string(warmFailed) {
			parts = append(parts, row[1].Text+" "+row[3].Text)
		}
	}
	if len(parts) > 3 {
		parts = append(parts[:3], "and others")
	}
	return strings.Join(parts, ", ")
}

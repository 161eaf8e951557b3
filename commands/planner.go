package commands

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/cachectl/cachectl/analyze"
	"github.com/cachectl/cachectl/backends"
)

// Bounds of a plan: it must not be work of its own.
const (
	planDraws    = 10_000  // keys drawn at random
	planFacts    = 2_000   // sizes asked for
	planSmall    = 20_000  // a keyspace that is walked instead
	planExamples = 5       // keys shown
	planLook     = 200_000 // keys visited at most to find examples
)

// A planner makes a plan of a selection.
type planner struct {
	*source
	count    bool // do not estimate
	looks    backends.Facts
	look     func(e *backends.Entry) // sees every entry that was looked at; nil: nobody
	lost     *trouble
	progress *walkProgress
}

// plan looks at b: at a list of keys, at all of a small or a listable keyspace, and
// else at keys drawn at random.
func (p *planner) plan(ctx context.Context, b backends.Backend) (*plan, error) {
	if p.listed {
		return p.list(ctx, b)
	}
	sampler, drawable := b.(backends.Sampler)
	var samples []backends.Sample
	refused := error(nil)
	if drawable {
		n := planDraws
		if p.selection.needs() != 0 { // facts of all that are drawn
			n = planFacts
		}
		var err error
		if samples, err = sampler.Sample(ctx, n); err != nil {
			if err = p.lost.split(err); errors.Is(err, backends.ErrDenied) {
				refused = err
			} else if err != nil {
				return nil, err
			}
			drawable = refused == nil && len(samples) > 0
		}
	}
	total := int64(0)
	for _, s := range samples {
		total += s.Of
	}
	if !drawable || total <= planSmall {
		return p.walk(ctx, b, total)
	}
	look := p.look
	if p.count && p.selection.needs().Has(p.looks) { // the count sees all of them, with these facts
		p.look = nil
	}
	pl, err := p.sample(ctx, b, samples, total)
	p.look = look
	if err != nil || !p.count {
		return pl, err
	}
	counted, err := p.walk(ctx, b, total)
	if err == nil { // the sizes stay those of the sample
		counted.bytes, counted.sized = pl.bytes, pl.sized
	}
	return counted, err
}

// see takes an entry for an example, and shows it to the command.
func (p *planner) see(pl *plan, e *backends.Entry) {
	if pl.example(e.Key); p.look != nil {
		p.look(e)
	}
}

// sample estimates from keys drawn at random.
func (p *planner) sample(ctx context.Context, b backends.Backend, samples []backends.Sample, total int64) (*plan, error) {
	inspector, err := backends.As[backends.Inspector](b)
	if err != nil {
		return nil, err
	}
	pl := &plan{total: total}
	var strata []analyze.Stratum
	drawn := int64(0)
	for _, s := range samples {
		stratum := analyze.Stratum{Of: s.Of, Drawn: int64(len(s.Keys))}
		drawn += stratum.Drawn
		var hits []string
		for _, key := range s.Keys {
			if p.selection.matches(key) {
				hits = append(hits, key)
			}
		}
		if err := p.judge(ctx, inspector, hits, len(samples), &stratum, pl); err != nil {
			return nil, err
		}
		strata = append(strata, stratum)
		pl.nodes = append(pl.nodes, nodePlan{s.Shard, s.Of, analyze.Number(stratum)})
		pl.sized += stratum.Sized
	}
	pl.keys, pl.bytes = analyze.Number(strata...), analyze.Total(strata...)
	pl.how = fmt.Sprintf("%s drawn at random", plural(drawn, "key"))
	if len(pl.examples) == 0 {
		err = p.findExamples(ctx, b, pl)
	}
	return pl, err
}

// judge asks for what the filters need and for sizes, and counts the hits. A name
// may have been drawn twice.
func (p *planner) judge(ctx context.Context, inspector backends.Inspector, names []string, parts int, stratum *analyze.Stratum, pl *plan) error {
	times := make(map[string]int64, len(names))
	for _, name := range names {
		times[name]++
	}
	unique := slices.Sorted(keysOf(times))
	rand.Shuffle(len(unique), func(i, j int) { unique[i], unique[j] = unique[j], unique[i] })
	filtered := p.selection.needs() != 0
	asked := unique
	if most := max(planFacts/parts, 100); !filtered && len(asked) > most {
		asked = asked[:most]
	}
	if !filtered {
		stratum.Hits = int64(len(names))
	}
	want := p.selection.needs() | p.looks | backends.FactSize
	for e, err := range aside(p.lost, inspector.Inspect(ctx, want, slices.Values(asked))) {
		if err != nil {
			return err
		}
		if filtered {
			if !p.selection.keep(&e) {
				continue
			}
			stratum.Hits += times[e.Key]
		}
		if e.Have.Has(backends.FactSize) {
			stratum.Size(float64(e.Size))
		}
		p.see(pl, &e)
	}
	return nil
}

func keysOf(m map[string]int64) iter.Seq[string] {
	return func(yield func(string) bool) {
		for key := range m {
			if !yield(key) {
				return
			}
		}
	}
}

// findExamples looks for rare keys, no further than through a part of the keyspace.
func (p *planner) findExamples(ctx context.Context, b backends.Backend, pl *plan) error {
	visited := 0
	for page, err := range aside(p.lost, p.pages(ctx, b, nil, 0)) {
		if err != nil {
			return err
		}
		for i := range page.Entries {
			pl.example(page.Entries[i].Key)
		}
		if visited += p.selection.query.Count; visited > planLook || len(pl.examples) == planExamples {
			break
		}
	}
	return nil
}

// walk counts.
func (p *planner) walk(ctx context.Context, b backends.Backend, total int64) (*plan, error) {
	pl, began := &plan{total: total, how: "counted"}, time.Now()
	nodes := make(map[string]int64)
	want := backends.Facts(0)
	if _, sampled := b.(backends.Sampler); !sampled || total <= planSmall {
		want = p.looks | backends.FactSize
	}
	keys, bytes := int64(0), int64(0)
	for page, err := range aside(p.lost, p.pages(ctx, b, nil, want)) {
		if err != nil {
			return nil, err
		}
		p.progress.page(page)
		if _, met := nodes[page.Shard]; !met {
			pl.nodes = append(pl.nodes, nodePlan{node: page.Shard})
		}
		nodes[page.Shard] += int64(len(page.Entries))
		keys += int64(len(page.Entries))
		for i := range page.Entries {
			e := &page.Entries[i]
			if e.Have.Has(backends.FactSize) {
				bytes += e.Size
				pl.sized++
			}
			p.see(pl, e)
		}
	}
	p.progress.stop()
	pl.walk = time.Since(began)
	pl.keys, pl.bytes = analyze.Exactly(keys), analyze.Exactly(bytes)
	for i := range pl.nodes {
		pl.nodes[i].keys = analyze.Exactly(nodes[pl.nodes[i].node])
	}
	slices.SortFunc(pl.nodes, func(a, b nodePlan) int { return strings.Compare(a.node, b.node) })
	if _, sampled := b.(backends.Sampler); !sampled { // one that is could not be asked, or is empty
		pl.total = totalKeys(ctx, b)
	}
	return pl, nil
}

// totalKeys is how many keys the masters say they have; 0 where they do not.
func totalKeys(ctx context.Context, b backends.Backend) (total int64) {
	reader, ok := b.(backends.StatsReader)
	if !ok {
		return 0
	}
	all, _ := reader.Stats(ctx)
	for _, s := range all {
		if s.Role != "replica" {
			total += int64(s.Counts[backends.Keys])
		}
	}
	return total
}

// list looks at keys that were named: all of a few, some of many.
func (p *planner) list(ctx context.Context, b backends.Backend) (*plan, error) {
	pl := &plan{named: int64(len(p.keys)), how: "looked up"}
	inspector, ok := b.(backends.Inspector)
	if !ok {
		pl.keys, pl.how = analyze.Exactly(pl.named), "named; not looked up"
		return pl, nil
	}
	some := p.keys
	if len(some) > planFacts {
		some = make([]string, planFacts)
		for i := range some {
			some[i] = p.keys[rand.IntN(len(p.keys))]
		}
		pl.how = fmt.Sprintf("%s drawn at random", plural(planFacts, "key"))
	}
	stratum := analyze.Stratum{Of: pl.named, Drawn: int64(len(some))}
	want := p.selection.needs() | p.looks | backends.FactSize
	for e, err := range aside(p.lost, inspector.Inspect(ctx, want, slices.Values(some))) {
		if err != nil {
			return nil, err
		}
		if !p.selection.keep(&e) {
			continue
		}
		stratum.Hits++
		if e.Have.Has(backends.FactSize) {
			stratum.Size(float64(e.Size))
		}
		p.see(pl, &e)
	}
	if len(some) == len(p.keys) {
		pl.keys, pl.bytes = analyze.Exactly(stratum.Hits), analyze.Exactly(int64(stratum.Sum))
	} else {
		pl.keys, pl.bytes = analyze.Number(stratum), analyze.Total(stratum)
	}
	pl.sized = stratum.Sized
	return pl, nil
}

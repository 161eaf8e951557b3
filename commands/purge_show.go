package commands

import (
	"slices"

	"github.com/cachectl/cachectl/commands/render"
	"github.com/cachectl/cachectl/purge"
)

// The columns of --dry-run.
var purgePlanColumns = []render.Column{
	{Name: "action"}, {Name: "target"}, {Name: "kind"}, {Name: "item"}, {Name: "call", Right: true}, {Name: "why"},
}

// show is --dry-run: the plan is the answer.
func (o *purgeOptions) show(env *Env, ro render.Options, job *purgeJob) error {
	err := o.output.print(env, ro, job.doc())
	if err == nil {
		err = job.refusal()
	}
	if err == nil {
		env.note("dry run: %s would be purged; nothing was sent", plural(int64(job.items()), "item"))
	}
	return err
}

// doc is the plan as a document: the sums, and what becomes of every item.
func (j *purgeJob) doc() render.Doc {
	duplicates, covered := j.dropped()
	cost, takes := j.cost(), purge.Takes(j.plans...)
	count := func(name string, n int, help string) render.Field {
		return render.Field{Name: name, Cell: render.Int(int64(n)), Machine: true,
			Metric: &render.Metric{Name: "cachectl_purge_plan_" + name, Help: help, Type: "gauge"}}
	}
	doc := render.Doc{List: "items", Columns: purgePlanColumns, Notes: j.notes(), Fields: []render.Field{
		{Label: "purge", Cell: render.Text(j.where())},
		{Label: "items", Cell: render.Text(j.itemsText())},
		{Label: "calls", Cell: render.Text(render.Int(int64(len(j.calls))).Text + ", " + takesText(takes))},
		{Label: "cost", Cell: render.Text(costText(cost))},
		count("given", j.listed, "Items asked for"),
		count("planned", j.items(), "Items to be sent, to all targets"),
		count("duplicates", duplicates, "Items dropped because another is the same"),
		count("covered", covered, "Items dropped because another purges them as well"),
		count("refused", len(j.refused), "Items that the CDN cannot purge"),
		count("calls", len(j.calls), "Calls to be sent"),
		{Name: "seconds", Cell: render.Seconds(takes), Machine: true, Metric: &render.Metric{Name: "cachectl_purge_plan_seconds", Help: "Time that the limits allow", Type: "gauge"}},
		{Name: "cost_low", Cell: render.Float(cost.Low, 3), Machine: true, Metric: &render.Metric{Name: "cachectl_purge_plan_cost_low", Help: "Cost with all of the free allowance left", Type: "gauge"}},
		{Name: "cost_high", Cell: render.Float(cost.High, 3), Machine: true, Metric: &render.Metric{Name: "cachectl_purge_plan_cost_high", Help: "Cost with none of the free allowance left", Type: "gauge"}},
		{Name: "currency", Cell: render.Text(cost.Currency), Machine: true},
		{Name: "cost_assumes", Cell: render.Cell{Value: anys(cost.Assumes)}, Machine: true},
		{Name: "limits", Cell: render.Cell{Value: anys(j.limits())}, Machine: true},
		{Name: "idempotency_key", Cell: render.Text(j.key), Machine: true},
	}}
	for _, assumed := range cost.Assumes {
		doc.Fields = append(doc.Fields, render.Field{Label: "assumes", Cell: render.Text(assumed)})
	}
	if text := j.keyText(); text != "" {
		doc.Fields = append(doc.Fields, render.Field{Label: "key", Cell: render.Text(text)})
	}
	if len(j.widened) > 0 {
		var all []any
		for _, w := range j.widened {
			doc.Fields = append(doc.Fields, render.Field{Label: "widened", Cell: render.Text(widenedText(w))})
			all = append(all, map[string]any{"prefix": w.Prefix, "listed": int64(w.Listed)})
		}
		doc.Fields = append(doc.Fields, render.Field{Name: "widened", Cell: render.Cell{Value: all}, Machine: true})
	}
	doc.Rows = j.rows
	return doc
}

// keyText says the idempotency key, where one means something.
func (j *purgeJob) keyText() string {
	switch {
	case j.cost().High == 0:
		return ""
	case j.keyOrigin == "":
		return "random: a repeat is another purge, and paid again"
	}
	return j.key + " (" + j.keyOrigin + ")"
}

func (j *purgeJob) limits() []string {
	var all []string
	for _, p := range j.plans {
		for _, r := range p.Rates {
			if r.Doc != "" && !slices.Contains(all, r.Doc) {
				all = append(all, r.Doc)
			}
		}
	}
	return all
}

func anys(texts []string) []any {
	all := make([]any, len(texts))
	for i, t := range texts {
		all[i] = t
	}
	return all
}

// planChunk is about how many rows are laid out together.
const planChunk = 1000

// rows say what becomes of every item.
func (j *purgeJob) rows(yield func([]render.Row, error) bool) {
	row := func(action, target string, i purge.Item, call render.Cell, why string) render.Row {
		return render.Row{render.Text(action), render.Text(target), render.Text(string(i.Kind)), render.Key(i.String()), call, render.Text(why)}
	}
	var chunk []render.Row
	flush := func(most int) bool {
		if len(chunk) <= most {
			return true
		}
		ok := yield(chunk, nil)
		chunk = nil
		return ok
	}
	for _, r := range j.refused {
		why := r.Why
		if r.Instead != "" {
			why += "; instead: " + r.Instead
		}
		chunk = append(chunk, row("refused", "", r.Item, render.Cell{}, why))
	}
	n := int64(0)
	for _, p := range j.plans {
		for _, c := range p.Calls {
			n++
			for _, i := range c.Items {
				chunk = append(chunk, row("purge", p.Target, i, render.Int(n), ""))
			}
			if !flush(planChunk) {
				return
			}
		}
		for _, i := range p.Duplicates {
			chunk = append(chunk, row("duplicate", p.Target, i, render.Cell{}, ""))
		}
		for _, c := range p.Covered {
			chunk = append(chunk, row("covered", p.Target, c.Item, render.Cell{}, "by "+string(c.By.Kind)+" "+c.By.String()))
		}
	}
	flush(0)
}

package commands

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cachectl/cachectl/commands/render"
	"github.com/cachectl/cachectl/purge"
)

// A purgeJob is a purge that is planned: the targets, what each is sent, and
// what is kept of it.
type purgeJob struct {
	env     *Env
	cdn     *cdn
	purgers []purge.Purger
	plans   []purge.Plan // in the order of purgers
	refused []purge.Refusal
	widened []purge.Widened
	listed  int // items before they were collapsed
	calls   []purge.Call

	key, keyOrigin string
	journal        *purge.FileJournal
	path           string // of the journal
	release        func() // its lock
	keep           bool   // the journal stays, whatever comes
	earlier        []purge.Receipt
}

// plan opens the targets and plans the items for each. What is refused is in the
// job, unless another target takes it.
func (o *purgeOptions) plan(ctx context.Context, env *Env, items []purge.Item) (*purgeJob, error) {
	job := &purgeJob{env: env, cdn: &o.cdn, listed: len(items)}
	if o.collapse > 0 {
		cover := purge.Collapse(items, o.collapse)
		items, job.widened = cover.Items, cover.Widened
	}
	items, err := o.items.place(items, &o.cdn)
	if err != nil {
		return nil, err
	}
	job.key, job.keyOrigin = o.key.key(env)
	if job.purgers, err = o.cdn.open(ctx, env, kindsOf(items), o.batch); err != nil {
		return nil, err
	}
	for _, p := range job.purgers {
		plan, err := p.Plan(items)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name(), err)
		}
		if slices.ContainsFunc(job.plans, func(other purge.Plan) bool { return other.Target == plan.Target }) {
			return nil, usagef("%s is named twice", plan.Target)
		}
		job.plans = append(job.plans, plan)
		job.calls = append(job.calls, plan.Calls...)
	}
	job.refused = refusedByAll(job.plans)
	if !o.items.everything && slices.ContainsFunc(job.plans, func(p purge.Plan) bool { return p.Everything() }) {
		why := "--everything says that it is meant"
		if len(job.widened) > 0 {
			why = "a larger --collapse widens less; --everything says that it is meant"
		}
		return nil, withHint(usagef("refused: this empties all of %s", job.where()), "%s", why)
	}
	return job, nil
}

// refusedByAll are the refusals that no other target makes up for.
func refusedByAll(plans []purge.Plan) []purge.Refusal {
	id := func(i purge.Item) string { return string(i.Kind) + "\x00" + i.String() }
	elsewhere := make(map[string]int)
	for _, p := range plans {
		for _, r := range p.Refused {
			if r.Elsewhere {
				elsewhere[id(r.Item)]++
			}
		}
	}
	var all []purge.Refusal
	told := make(map[string]bool)
	for _, p := range plans {
		for _, r := range p.Refused {
			key := id(r.Item) + "\x00" + r.Why
			if r.Elsewhere {
				if elsewhere[id(r.Item)] < len(plans) {
					continue
				}
				key = id(r.Item)
			}
			if !told[key] {
				told[key] = true
				all = append(all, r)
			}
		}
	}
	return all
}

// where names the targets, all of them if they are few.
func (j *purgeJob) where() string {
	var names []string
	for _, p := range j.purgers {
		names = append(names, p.Name())
	}
	text := strings.Join(names[:min(len(names), 4)], ", ")
	if len(names) > 4 {
		text += fmt.Sprintf(" and %d more", len(names)-4)
	}
	if j.cdn.name != "" {
		text += " (CDN " + j.cdn.name + ")"
	}
	return text
}

// items is how many items are sent, to all targets together.
func (j *purgeJob) items() (n int) {
	for _, c := range j.calls {
		n += len(c.Items)
	}
	return n
}

func (j *purgeJob) dropped() (duplicates, covered int) {
	for _, p := range j.plans {
		duplicates += len(p.Duplicates)
		covered += len(p.Covered)
	}
	return duplicates, covered
}

// cost is that of all targets, which share one allowance.
func (j *purgeJob) cost() purge.Cost {
	var sum purge.Cost
	perItem := 0.0
	for _, p := range j.plans {
		c := p.Cost
		sum.Items += c.Items
		sum.High += c.High
		sum.Free, sum.Currency, sum.Assumes = c.Free, c.Currency, c.Assumes
		if c.Items > 0 && c.High > 0 {
			perItem = c.High / float64(c.Items)
		}
	}
	sum.Low = float64(max(0, sum.Items-sum.Free)) * perItem
	return sum
}

// costText says the cost with what it takes for granted.
func costText(c purge.Cost) string {
	switch {
	case c.High == 0 && len(c.Assumes) > 0:
		return "none: " + strings.Join(c.Assumes, "; ")
	case c.High == 0:
		return "none"
	}
	price := fmt.Sprintf("%s %.2f", c.Currency, c.Low)
	if c.High > c.Low {
		price += fmt.Sprintf(" to %.3f", c.High)
	}
	return fmt.Sprintf("%s: %s, %s a month are free; %s", price, plural(int64(c.Items), "item"), render.Int(int64(c.Free)).Text, strings.Join(c.Assumes, "; "))
}

func takesText(d time.Duration) string {
	switch {
	case d == 0:
		return "no wait for the limits"
	case d < time.Second:
		return "less than a second, by the limits"
	}
	return "about " + render.Duration(d.Round(time.Second)).Text + ", by the limits"
}

// itemsText counts what is sent and what was dropped.
func (j *purgeJob) itemsText() string {
	text := plural(int64(j.items()), "item")
	counts := make(map[purge.Kind]int64)
	for _, c := range j.calls {
		for _, i := range c.Items {
			counts[i.Kind]++
		}
	}
	var kinds []string
	for _, k := range purge.Kinds {
		switch {
		case k == purge.Everything && counts[k] > 0:
			kinds = append(kinds, "everything")
		case k == purge.Prefix && counts[k] > 1:
			kinds = append(kinds, render.Int(counts[k]).Text+" prefixes")
		case k == purge.URL && counts[k] > 0:
			kinds = append(kinds, plural(counts[k], "URL"))
		case counts[k] > 0:
			kinds = append(kinds, plural(counts[k], string(k)))
		}
	}
	if len(kinds) > 0 {
		text += ": " + strings.Join(kinds, ", ")
	}
	duplicates, covered := j.dropped()
	var less []string
	if duplicates > 0 {
		less = append(less, plural(int64(duplicates), "duplicate"))
	}
	if covered > 0 {
		less = append(less, render.Int(int64(covered)).Text+" covered by others")
	}
	if len(less) > 0 {
		text += " (without " + strings.Join(less, " and ") + ")"
	}
	return text
}

// examples are a few of the items, wildcards first: they take most along.
func (j *purgeJob) examples() []string {
	var some, rest []string
	for _, c := range j.calls {
		for _, i := range c.Items {
			if len(some) == planExamples || len(rest) == planExamples && i.Kind == purge.URL {
				break
			}
			text := render.Visible(i.String())
			wide := i.Kind != purge.URL && (i.Kind != purge.Path || strings.HasSuffix(i.Value, "*"))
			switch {
			case slices.Contains(some, text) || slices.Contains(rest, text):
			case wide && len(some) < planExamples:
				some = append(some, text)
			case !wide && len(rest) < planExamples:
				rest = append(rest, text)
			}
		}
	}
	some = append(some, rest...)
	return some[:min(len(some), planExamples)]
}

// maxLines bounds the lines that a plan spends on lists.
const maxLines = 10

// print tells the plan on stderr.
func (j *purgeJob) print(env *Env) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(env.Err, "  %-9s %s\n", name, render.Visible(fmt.Sprintf(format, args...)))
	}
	fmt.Fprintf(env.Err, "cachectl: plan: purge %s\n", render.Visible(j.where()))
	line("items", "%s", j.itemsText())
	line("such as", "%s", strings.Join(j.examples(), "  "))
	for n, w := range j.widened {
		if n == maxLines {
			line("widened", "and %d more; --dry-run shows all", len(j.widened)-n)
			break
		}
		line("widened", "%s", widenedText(w))
	}
	if len(j.plans) > 1 {
		for _, p := range j.plans {
			line("target", "%s: %s in %s", p.Target, plural(int64(p.Items()), "item"), plural(int64(len(p.Calls)), "call"))
		}
	}
	line("calls", "%s, %s", render.Int(int64(len(j.calls))).Text, takesText(purge.Takes(j.plans...)))
	line("cost", "%s", costText(j.cost()))
	if text := j.keyText(); text != "" {
		line("key", "%s", text)
	}
	for _, note := range j.notes() {
		line("note", "%s", note)
	}
}

func widenedText(w purge.Widened) string {
	return fmt.Sprintf("%s* stands for %s of the list, and takes along all else that begins so", w.Prefix, plural(int64(w.Listed), "path"))
}

// notes are the plans' own, each once.
func (j *purgeJob) notes() []string {
	var all []string
	for _, p := range j.plans {
		for _, n := range p.Notes {
			if !slices.Contains(all, n) {
				all = append(all, n)
			}
		}
	}
	return all
}

// refusal is the error for what is refused: the first of them, by name.
func (j *purgeJob) refusal() error {
	if len(j.refused) == 0 {
		return nil
	}
	var all []error
	for _, r := range j.refused[:min(len(j.refused), named)] {
		text := r.Error()
		if r.Instead != "" {
			text += "; instead: " + r.Instead
		}
		all = append(all, errors.New(text))
	}
	if more := len(j.refused) - named; more > 0 {
		all = append(all, fmt.Errorf("and %s more", plural(int64(more), "refused item")))
	}
	all = append(all, fmt.Errorf("%s refused: nothing was sent", plural(int64(len(j.refused)), "item")))
	return &usageError{errors.Join(all...)}
}

// approve prints the plan, refuses, and asks.
func (o *purgeOptions) approve(ctx context.Context, env *Env, job *purgeJob) error {
	if err := job.refusal(); err != nil {
		return err
	}
	if !env.quiet || !o.confirm.yes {
		job.print(env)
	}
	question := "Purge them?"
	if slices.ContainsFunc(job.plans, func(p purge.Plan) bool { return p.Everything() }) {
		question = "This empties all of " + job.where() + ", and every request goes to the origin until it is warm again. Purge EVERYTHING?"
	}
	return o.confirm.askFor(ctx, env, o.cdn.guard(), question, !o.items.stdin())
}

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

// rows say what becomes of every item, in chunks of a call.
func (j *purgeJob) rows(yield func([]render.Row, error) bool) {
	row := func(action, target string, i purge.Item, call render.Cell, why string) render.Row {
		return render.Row{render.Text(action), render.Text(target), render.Text(string(i.Kind)), render.Text(i.String()), call, render.Text(why)}
	}
	var chunk []render.Row
	flush := func() bool {
		ok := len(chunk) == 0 || yield(chunk, nil)
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
			if !flush() {
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
	flush()
}

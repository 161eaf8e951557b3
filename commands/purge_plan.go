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
	listed  int   // items before they were collapsed
	unmeant error // it comes to everything, and nobody said that
	calls   []purge.Call

	key, keyOrigin string
	journal        *purge.FileJournal
	path           string // of the journal
	release        func() // its lock
	keep           bool   // the journal stays, whatever comes
	earlier        []purge.Receipt
	resumed        bool
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
		job.unmeant = withHint(usagef("refused: this empties all of %s", job.where()), "%s", why)
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

// targets names them, all if they are few.
func (j *purgeJob) targets() string {
	var names []string
	for _, p := range j.purgers {
		names = append(names, p.Name())
	}
	text := strings.Join(names[:min(len(names), 4)], ", ")
	if len(names) > 4 {
		text += fmt.Sprintf(" and %d more", len(names)-4)
	}
	return text
}

// where names the targets and the CDN of the configuration.
func (j *purgeJob) where() string {
	text := j.targets()
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

// costText says the cost; what it takes for granted stands beside it.
func costText(c purge.Cost) string {
	switch {
	case c.High == 0:
		return "none"
	}
	price := c.Currency + " " + money(c.Low)
	if c.High > c.Low {
		price += " to " + money(c.High)
	}
	return fmt.Sprintf("%s for %s, of which %s a month are free", price, plural(int64(c.Items), "item"), render.Int(int64(c.Free)).Text)
}

// money has two digits behind the point, and a third where it counts.
func money(f float64) string {
	text := fmt.Sprintf("%.3f", f)
	return strings.TrimSuffix(text, "0")
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
	for _, assumed := range j.cost().Assumes {
		line("", "%s", assumed)
	}
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
		return j.unmeant
	}
	var all []error
	for _, r := range j.refused[:min(len(j.refused), named)] {
		text := r.Error()
		if r.Instead != "" {
			text += "; instead: " + r.Instead
		}
		all = append(all, errors.New(render.Visible(text))) // a newline in it must not begin a line of the log
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

package commands

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/commands/render"
	"github.com/cachectl/cachectl/purge"
)

// carryOut sends the calls, waits where that is asked for, and says what came of
// it: on stdout, in the files that CI reads, and by the exit status.
func (o *purgeOptions) carryOut(cmd *cobra.Command, env *Env, ro render.Options, job *purgeJob) error {
	ctx := cmd.Context()
	done := newPurged(job)
	defer o.verify.close()
	began := env.Now()
	err := done.send(ctx, env)
	took := env.Now().Sub(began)
	done.tell(env, took)
	if o.wait && ctx.Err() == nil {
		done.await(ctx, env, o.timeout)
	}
	verified := o.verify.after(ctx, env, began.Add(took))
	if err == nil {
		err = ctx.Err()
	}
	done.finish(env)
	printed := o.print(env, ro, done.doc(env.Now().Sub(began)))
	done.tellCI(env)
	err = errors.Join(printed, done.err(err), verified)
	done.audit(cmd, env, took, o.resuming, err)
	return err
}

// audit remembers the run. Headers may hold secrets, and a command for a token too.
func (d *purged) audit(cmd *cobra.Command, env *Env, took time.Duration, resumed bool, run error) {
	flags := whatFlags(cmd)
	for _, secret := range []string{"header", "verify-header", "token-command"} {
		delete(flags, secret)
	}
	auditLine{Command: "purge " + d.job.cdn.Provider, Target: d.job.targets(), Context: d.job.cdn.name, Flags: flags, Seconds: took.Seconds(),
		Counts: map[string]int64{"purged": int64(d.purged), "failed": int64(d.unpurged())}, Journal: d.job.path, Continues: resumed}.write(env, run)
}

// A purged is what became of a job.
type purged struct {
	job      *purgeJob
	receipts []purge.Receipt
	failed   []purge.Outcome
	purged   int // items
	again    int // calls that were sent more than once
	waited   []error
	told     map[string]bool
}

func newPurged(job *purgeJob) *purged {
	return &purged{job: job, receipts: job.earlier, told: make(map[string]bool)}
}

// unpurged is how many items were not purged.
func (d *purged) unpurged() (n int) {
	for _, o := range d.failed {
		n += len(o.Items)
	}
	return n
}

// send is the run. Its error is the end of the whole; what became of every item
// is in d.
func (d *purged) send(ctx context.Context, env *Env) error {
	total := d.job.items()
	progress := newCountProgress(env, "purged", total)
	defer progress.stop()
	options := purge.Options{Key: d.job.key}
	if d.job.journal != nil {
		options.Journal = d.job.journal
	}
	for outcome, err := range purge.Run(ctx, d.job.purgers, d.job.calls, options) {
		var notice *purge.Notice
		switch {
		case errors.As(err, &notice):
			d.notice(env, notice, progress)
			continue
		case err != nil:
			return err
		}
		d.receipts = append(d.receipts, outcome.Receipts...)
		if outcome.Tries > 1 {
			d.again++
		}
		if outcome.Err != nil {
			d.failed = append(d.failed, outcome)
		} else {
			d.purged += len(outcome.Items)
		}
		progress.set(d.purged + d.unpurged())
	}
	return nil
}

// notice tells of a wait or of smaller calls, each kind of it once a target.
func (d *purged) notice(env *Env, n *purge.Notice, progress *countProgress) {
	key := n.Target + "\x00" + n.What
	if d.told[key] {
		return
	}
	d.told[key] = true
	progress.clear()
	wait := ""
	if n.Wait > 0 {
		wait = " after " + render.Duration(n.Wait.Round(time.Millisecond)).Text
	}
	env.note("%s: %s%s (%v)", n.Target, n.What, wait, n.Err)
}

// tell says on stderr what was done.
func (d *purged) tell(env *Env, took time.Duration) {
	env.note("purged %s of %s in %s", render.Int(int64(d.purged)).Text, plural(int64(d.purged+d.unpurged()), "item"), render.Duration(took).Text)
	if d.again > 0 {
		env.note("%s sent more than once: what an answer was lost for may be purged twice", plural(int64(d.again), "call"))
	}
	began := env.Now().Add(-took)
	for _, r := range d.receipts[len(d.job.earlier):] {
		if !r.At.IsZero() && !d.job.resumed && began.Sub(r.At) > repeatAge {
			env.warn("%s knew this purge since %s: a repeat under the same key, which purges and costs nothing again; another --idempotency-key makes it another purge",
				r.Target, r.At.UTC().Format(time.RFC3339))
			break
		}
	}
}

// repeatAge is how much older than the run a provider's time makes it a repeat:
// clocks differ.
const repeatAge = 15 * time.Second

// await waits until the receipts are complete.
func (d *purged) await(ctx context.Context, env *Env, timeout time.Duration) {
	timed, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	open := 0
	for _, r := range d.receipts {
		if r.State == purge.InProgress {
			open++
		}
	}
	if open == 0 {
		if slices.ContainsFunc(d.receipts, func(r purge.Receipt) bool { return r.State == purge.Accepted }) {
			env.note("%s has no way to tell when a purge is complete; it was accepted", providerOf(d.job.cdn.Provider).title)
		}
		return
	}
	env.note("waiting for %s to be complete, for %s at most", plural(int64(open), "call"), render.Duration(timeout).Text)
	progress := newCountProgress(env, "complete", len(d.receipts))
	defer progress.stop()
	n := 0
	for r, err := range purge.Await(timed, d.job.purgers, d.receipts) {
		if n++; err != nil {
			switch {
			case ctx.Err() != nil:
			case timed.Err() != nil:
				err = fmt.Errorf("%s %s: not complete after %s", r.Target, r.ID, render.Duration(timeout).Text)
				fallthrough
			default:
				d.waited = append(d.waited, err)
			}
		}
		for at := range d.receipts {
			if d.receipts[at].ID == r.ID && d.receipts[at].Target == r.Target {
				d.receipts[at].State = r.State
			}
		}
		progress.set(n)
	}
}

// finish closes the journal. It is taken away when it has nothing left to tell.
func (d *purged) finish(env *Env) {
	if d.job.journal == nil {
		return
	}
	if err := d.job.close(len(d.failed) == 0); err != nil {
		env.warn("%v", err)
	}
}

// err is what the run comes to. end is how it ended. Items that were not purged
// make it partial, and a failure where nothing was.
func (d *purged) err(end error) error {
	switch {
	case errors.Is(end, context.Canceled):
		d.tellInterrupted()
		return end
	case len(d.failed) == 0 && end != nil:
		return end
	case len(d.failed) == 0 && len(d.waited) > 0:
		return withHint(&checkError{errors.Join(d.waited...).Error()}, `a longer --timeout waits longer; "cachectl purge status" asks again`)
	case len(d.failed) == 0:
		return nil
	}
	err := errors.Join(append([]error{end}, d.failures()...)...)
	if d.purged > 0 && end == nil {
		err = &partialError{err}
	}
	var hints []string
	for _, hint := range []string{purge.Hint(d.failed[0].Err), d.goOnHint()} {
		if hint != "" {
			hints = append(hints, hint)
		}
	}
	if len(hints) == 0 {
		return err
	}
	return withHint(err, "%s", strings.Join(hints, "; then "))
}

// goOnHint says how the run is resumed, if it can be.
func (d *purged) goOnHint() string {
	if d.job.path == "" {
		return ""
	}
	return fmt.Sprintf("%q goes on with what is left", d.job.resumeLine())
}

func (d *purged) tellInterrupted() {
	switch hint := d.goOnHint(); {
	case len(d.failed) == 0:
		d.job.env.note(`interrupted while waiting: all is purged; "cachectl purge status" tells how far it is`)
	case hint != "":
		d.job.env.note("interrupted: %s not purged; %s", plural(int64(d.unpurged()), "item"), hint)
	}
}

// failures name the items that were not purged, the first of them one by one.
func (d *purged) failures() []error {
	var all []error
	n := 0
	for _, o := range d.failed {
		for _, i := range o.Items {
			if n++; n <= named {
				all = append(all, fmt.Errorf("not purged: %s %s: %w", i.Kind, render.Visible(i.String()), o.Err))
			}
		}
	}
	if n > named {
		all = append(all, fmt.Errorf("not purged: %s more; -o json names all", render.Int(int64(n-named)).Text))
	}
	return all
}

// The columns of what was purged, a row for every call.
var receiptColumns = []render.Column{
	{Name: "target"}, {Name: "id"}, {Name: "state"}, {Name: "items", Right: true},
	{Name: "at", Wide: true}, {Name: "error", Wide: true},
}

const stateFailed = "failed"

func receiptRow(r purge.Receipt, items render.Cell) render.Row {
	state := render.Text(string(r.State))
	if r.State == purge.Completed {
		state = state.As(render.Good)
	}
	return render.Row{render.Text(r.Target), word(r.ID), state, items, timeCell(r.At), {}}
}

func timeCell(at time.Time) render.Cell {
	if at.IsZero() {
		return render.Unknown()
	}
	return render.Text(at.UTC().Format(time.RFC3339))
}

// doc is the answer.
func (d *purged) doc(took time.Duration) render.Doc {
	gauge := func(name string, n int, help string) render.Field {
		return render.Field{Name: name, Cell: render.Int(int64(n)), Machine: true,
			Metric: &render.Metric{Name: "cachectl_purge_" + name + "_items", Help: help, Type: "gauge"}}
	}
	doc := render.Doc{List: "calls", Columns: receiptColumns, Fields: []render.Field{
		gauge("purged", d.purged, "Items that were purged"),
		gauge("failed", d.unpurged(), "Items that were not purged"),
		{Name: "seconds", Cell: render.Seconds(took), Machine: true},
		{Name: "idempotency_key", Cell: word(d.job.key), Machine: true},
		{Name: "journal", Cell: word(d.job.path), Machine: true},
		{Name: "failed_items", Cell: render.Cell{Value: d.failedItems()}, Machine: true},
	}}
	var table []render.Row
	for n, r := range d.receipts {
		items := render.Int(int64(len(r.Items)))
		if n < len(d.job.earlier) { // journals do not repeat what a receipt is for
			items = render.Unknown()
		}
		table = append(table, receiptRow(r, items))
	}
	for _, o := range d.failed {
		table = append(table, render.Row{render.Text(o.Target), render.Unknown(), render.Text(stateFailed).As(render.Bad),
			render.Int(int64(len(o.Items))), render.Unknown(), render.Text(o.Err.Error())})
	}
	doc.Rows = rows(table)
	return doc
}

// failedItems are all items that were not purged, each with its reason.
func (d *purged) failedItems() []any {
	all := []any{}
	for _, o := range d.failed {
		for _, i := range o.Items {
			one := map[string]any{"target": o.Target, "kind": string(i.Kind), "item": i.Value, "error": o.Err.Error()}
			if len(i.Header) > 0 {
				header := make(map[string]any)
				for _, name := range slices.Sorted(maps.Keys(i.Header)) {
					header[name] = strings.Join(i.Header[name], ", ")
				}
				one["header"] = header
			}
			all = append(all, one)
		}
	}
	return all
}

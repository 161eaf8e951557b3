package commands

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

// filled are the columns of the summary.
func (f *filling) columns() []backends.Verb {
	all := []backends.Verb{backends.Loaded, backends.Kept, backends.Ended, skipped}
	if f.words.command == "copy" {
		all = append(all, uncarried)
	}
	return append(all, rejected)
}

// doc is the summary.
func (f *filling) doc(where string, took time.Duration, l *load) render.Doc {
	doc := render.Doc{List: "targets", Columns: []render.Column{{Name: "target"}}}
	row := render.Row{render.Text(where)}
	column := func(name string, cell render.Cell) {
		doc.Columns = append(doc.Columns, render.Column{Name: name, Right: true})
		row = append(row, cell)
	}
	for _, did := range f.columns() {
		n := f.state.Sum(did)
		doc.Fields = append(doc.Fields, render.Field{Name: string(did), Cell: render.Int(n), Machine: true})
		cell := render.Int(n)
		if did == rejected && n > 0 {
			cell = cell.As(render.Bad)
		}
		column(string(did), cell)
	}
	failed, _ := l.unsettled() // with their node
	column("failed", tallyCell(backends.Failed, failed))
	column("bytes", render.Bytes(l.bytes))
	doc.Fields = append(doc.Fields,
		render.Field{Name: "failed", Cell: render.Int(failed), Machine: true},
		render.Field{Name: "bytes", Cell: render.Int(l.bytes), Machine: true},
		render.Field{Name: "seconds", Cell: render.Seconds(took), Machine: true})
	doc.Rows = rows([]render.Row{row})
	return doc
}

// tell says on stderr how fast it went, and what was left out and why.
func (f *filling) tell(env *Env, took time.Duration, loaded int64, l *load) {
	speed := ""
	if s := took.Seconds(); s > 0.1 && loaded > 0 {
		speed = ", " + render.Int(int64(float64(loaded)/s)).Text + "/s"
	}
	if before := f.state.Sum(backends.Loaded) - loaded; before > 0 {
		speed += ", and " + render.Int(before).Text + " before"
	}
	env.note("%s %s in %s%s", f.words.done, plural(loaded, "record"), render.Duration(took).Text, speed)
	for _, why := range slices.Sorted(maps.Keys(l.reasons)) {
		env.note("not carried: %s: %s", plural(l.reasons[why], "key"), why)
	}
	l.tellUnsettled()
	if l.shaken {
		env.warn("a node was lost on the way: where a replica took its place, what that did not have yet is gone; the same command again brings what is missing")
	}
}

// approve tells the plan, and asks where something is replaced.
func (f *filling) approve(cmd *cobra.Command, env *Env, b backends.Backend, t *target, patterns []string) error {
	s, err := f.feed.survey(cmd.Context())
	if err != nil {
		return withHint(err, "nothing was done")
	}
	if !env.quiet {
		f.plan(cmd.Context(), env, b, t, &s)
	}
	if err := f.ask(cmd.Context(), env, t, f.words.question()); err != nil {
		return err
	}
	records := s.records
	if records == 0 {
		records = math.Inf(1)
	}
	return f.begin(cmd, env, t, patterns, nil, false, records)
}

// plan tells what would be done.
func (f *filling) plan(ctx context.Context, env *Env, b backends.Backend, t *target, s *survey) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(env.Err, "  %-9s %s\n", name, render.Visible(fmt.Sprintf(format, args...)))
	}
	where := b.Name()
	if t.context != "" {
		where += " (context " + t.context + ")"
	}
	fmt.Fprintf(env.Err, "cachectl: plan: %s %s\n", f.words.verb, render.Visible(where))
	line("from", "%s", f.from)
	for _, l := range s.lines {
		line(l[0], "%s", l[1])
	}
	if s.records > 0 {
		about := "about "
		if s.exact {
			about = ""
		}
		n := int64(s.records)
		if !s.exact {
			n = significant(s.records)
		}
		text := about + plural(n, "record")
		if s.bytes > 0 {
			text += ", about " + render.Bytes(int64(s.bytes)).Text + " in the cache"
		}
		line("records", "%s", text)
	}
	f.planRoom(ctx, env, b, line, s.bytes)
	if f.replace {
		line("existing", "keys are replaced")
	} else {
		line("existing", "keys stay as they are")
	}
	if rule := f.lifetime.name(); rule != "" {
		line("TTL", "%s", rule)
	}
	if len(s.examples) > 0 {
		quoted := make([]string, len(s.examples))
		for i, key := range s.examples {
			quoted[i] = render.Quote(key)
		}
		line("such as", "%s", strings.Join(quoted, "  "))
	}
	line("pace", "%s", f.pace.name(&f.selection))
	for _, text := range s.warnings {
		env.warn("%s", text)
	}
}

// planRoom tells what memory there is, and warns where it will not do.
func (f *filling) planRoom(ctx context.Context, env *Env, b backends.Backend, line func(name, format string, args ...any), bytes float64) {
	w := f.room.watch(b)
	if w.reader == nil {
		return
	}
	lines, left := tellRoom(w.look(ctx), f.room.keep)
	for _, text := range lines {
		line("memory", "%s", text)
	}
	if bytes > left {
		env.warn("there is room for about %s, and about %s are to be loaded: it will stop when the room is taken", render.Bytes(int64(left)).Text, render.Bytes(int64(bytes)).Text)
	}
}

// look is --dry-run: everything is read, and nothing loaded.
func (f *filling) look(ctx context.Context, env *Env, ro render.Options, b backends.Backend) error {
	if err := f.rejects.open(false, false); err != nil {
		return err
	}
	l := &load{filling: f, env: env, backend: b, lost: newTrouble(env), reasons: make(map[string]int64)}
	l.progress = newWalkProgress(env, "records", false)
	l.lost.before = l.progress.clear
	began := env.Now()
	first, err := f.feed.survey(ctx)
	if err != nil {
		return errors.Join(err, f.rejects.close())
	}
	s := survey{exact: true, lines: first.lines, warnings: first.warnings}
	err = l.count(ctx, &s)
	l.progress.stop()
	if !env.quiet {
		f.plan(ctx, env, b, &target{}, &s)
	}
	doc := f.doc(b.Name(), env.Now().Sub(began), l)
	doc.Fields = append(doc.Fields, render.Field{Name: "dry_run", Cell: render.Bool(true), Machine: true})
	for _, why := range slices.Sorted(maps.Keys(l.reasons)) {
		env.note("not carried: %s: %s", plural(l.reasons[why], "key"), why)
	}
	env.note("dry run: %s would be loaded, or kept where they are there; nothing was done", plural(f.state.Sum(backends.Loaded), "record"))
	err = errors.Join(err, f.rejects.close(), l.lost.err(l.progress.some()))
	return errors.Join(f.output.print(env, ro, doc), f.verdict(err, l))
}

// count reads the feed and counts what would become of its records. Nobody asks the cache
// what is there already: that would look at as many keys as there are records.
func (l *load) count(ctx context.Context, s *survey) error {
	for p, err := range ahead(l.feed.parcels(ctx, nil), fedAhead) {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			if backends.Ends(err) {
				return err
			}
			l.lost.add(err)
			continue
		}
		l.trim(p)
		now := time.Now()
		for i := range p.records {
			r := &p.records[i]
			did := backends.Loaded
			if !r.Expires.IsZero() && !r.Expires.After(now) {
				did = backends.Ended
			} else {
				s.bytes += float64(roomFor(r))
			}
			if r.More {
				continue
			}
			l.state.Add("source", did, 1)
			s.records++
			if len(s.examples) < planExamples && did == backends.Loaded {
				s.examples = append(s.examples, strings.Clone(r.Key))
			}
		}
		for _, o := range p.others {
			l.state.Add("source", o.Did, 1)
			if o.Did == uncarried && o.Err != nil {
				l.reasons[o.Err.Error()]++
			}
		}
		l.state.Add("source", rejected, int64(len(p.bad)))
		l.bytes += p.bytes
		l.progress.see(p.page.Shard, p.page.Done, len(p.records))
		if err := errors.Join(l.rejects.take(p.bad), l.rejects.over(l.state.Sum(rejected))); err != nil {
			return err
		}
	}
	return nil
}

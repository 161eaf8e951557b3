package commands

import (
	"context"
	"errors"
	"io"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

// previewed are the columns of a dry run, and the facts that it asks for.
func (o *bulk) previewed(ro *render.Options) (columns []keyColumn, want backends.Facts) {
	for _, c := range o.preview {
		want |= c.fact
	}
	switch {
	case o.preview != nil:
		return o.preview, want
	case len(ro.Columns) == 0:
		ro.Columns = []string{"key", "size"}
	}
	if !o.nul {
		want = backends.FactSize
	}
	return keyColumns, want
}

// list is --dry-run.
func (o *bulk) list(ctx context.Context, env *Env, ro render.Options, b backends.Backend) error {
	lost := newTrouble(env)
	progress := newWalkProgress(env, "keys", env.Term.Out && o.output.file == "")
	lost.before = progress.clear
	columns, want := o.previewed(&ro)
	keys, bytes, sized := int64(0), int64(0), int64(0)
	found := o.source.pages(ctx, b, nil, want)
	if o.meant != nil {
		found = backends.Where(found, o.meant)
	}
	pages := backends.Observe(aside(lost, o.limits.hold(found)), func(p backends.Page) {
		progress.page(p)
		keys += int64(len(p.Entries))
		for i := range p.Entries {
			if p.Entries[i].Have.Has(backends.FactSize) {
				bytes += p.Entries[i].Size
				sized++
			}
		}
	})
	var err error
	if o.nul {
		err = o.output.to(env, func(w io.Writer) error { return printNUL(w, pages) })
	} else {
		var chosen []int
		if chosen, err = ro.Choose(plain(columns)); err == nil {
			err = o.output.print(env, ro, render.Doc{Columns: plain(columns), Rows: keyRows(pages, columns, chosen)})
		}
	}
	progress.stop()
	size := ""
	if sized > 0 {
		size = ", " + render.Bytes(bytes).Text
	}
	if err != nil {
		env.note("dry run: cut short after %s%s; nothing was done", plural(keys, "key"), size)
	} else {
		env.note("dry run: %s%s %s; nothing was done", plural(keys, "key"), size, o.words.would)
	}
	if n := o.spared.Load(); n > 0 {
		env.note("%s kept by never_delete", plural(n, "key"))
	}
	tellFootprint(env, b)
	return errors.Join(err, lost.err(progress.some()))
}

package commands

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/commands/render"
)

// An output is how a command says its answer: the flags -o, --columns, --jq,
// --color, --no-header and --out, the same for all.
type output struct {
	format   string
	columns  []string
	jq       string
	color    string
	noHeader bool
	file     string

	buffer *bytes.Buffer // of --out, until all of it is there
}

func (o *output) add(cmd *cobra.Command, columns ...string) {
	names := make([]string, 0, 8)
	for _, f := range render.Formats() {
		names = append(names, string(f))
	}
	f := cmd.Flags()
	f.StringVarP(&o.format, "output", "o", "", "output `format`: "+strings.Join(names, "|"))
	f.StringVar(&o.jq, "jq", "", "filter the JSON answer with a jq `expression`")
	f.StringVar(&o.color, "color", "auto", "colour: auto|always|never")
	f.BoolVar(&o.noHeader, "no-header", false, "leave the table's header out")
	f.StringVar(&o.file, "out", "", "write the answer to a `file`, replaced in one step when complete")
	complete(cmd, "output", names...)
	complete(cmd, "color", "auto", "always", "never")
	if len(columns) > 0 {
		f.StringSliceVar(&o.columns, "columns", nil, "`columns` to show, in this order: "+strings.Join(columns, ","))
		complete(cmd, "columns", columns...)
	}
}

// complete offers a flag's values to the shell.
func complete(cmd *cobra.Command, flag string, values ...string) {
	cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return values, cobra.ShellCompDirectiveNoFileComp
	})
}

// options reads the flags. defaults are the columns where --columns says nothing.
func (o *output) options(ctx context.Context, env *Env, defaults ...string) (render.Options, error) {
	ro := render.Options{Format: render.Table, Columns: o.columns, JQ: o.jq, Header: !o.noHeader, Context: ctx}
	switch {
	case o.format != "":
		f, err := render.ParseFormat(o.format)
		if err != nil {
			return ro, err
		}
		ro.Format = f
	case o.jq != "":
		ro.Format, ro.JQRaw = render.JSON, true
	}
	if len(ro.Columns) == 0 {
		ro.Columns = defaults
	}
	switch o.color {
	case "always":
		ro.Color = true
	case "auto":
		ro.Color = env.Term.Out && o.file == "" && env.Getenv("NO_COLOR") == "" && env.Getenv("TERM") != "dumb"
	case "never":
	default:
		return ro, usagef("bad --color %q: it is auto, always or never", o.color)
	}
	if env.Term.Out && o.file == "" {
		ro.Width = env.Term.Width
	}
	return ro, nil
}

// writer makes the renderer.
func (o *output) writer(env *Env, ro render.Options) (*render.Writer, error) {
	var w io.Writer = env.Out
	if o.file != "" {
		o.buffer = new(bytes.Buffer)
		w = o.buffer
	}
	return render.New(w, ro)
}

// finish ends the answer. err is what writing it came to; a file is written
// only when that is nil, so that a reader never meets half of one.
func (o *output) finish(w *render.Writer, err error) error {
	if closing := w.Close(); err == nil {
		err = closing
	}
	if err == nil && o.file != "" {
		if err = writeFile(o.file, o.buffer.Bytes(), 0o644); err != nil {
			err = fmt.Errorf("write the answer: %w", err)
		}
	}
	return err
}

// print renders one document.
func (o *output) print(env *Env, ro render.Options, doc render.Doc) error {
	w, err := o.writer(env, ro)
	if err != nil {
		return err
	}
	return o.finish(w, w.Write(doc))
}

// rows is a stream of one chunk.
func rows(all []render.Row) func(func([]render.Row, error) bool) {
	return func(yield func([]render.Row, error) bool) { yield(all, nil) }
}

// columnNames lists what --columns takes.
func columnNames(columns []render.Column) []string {
	var names []string
	for _, c := range columns {
		names = append(names, c.Name)
	}
	return names
}

// has tells whether a format is meant for machines.
func machine(f render.Format) bool {
	return slices.Contains([]render.Format{render.JSON, render.NDJSON, render.YAML, render.CSV}, f)
}

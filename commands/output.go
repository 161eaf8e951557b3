package commands

import (
	"context"
	"errors"
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
	for i, name := range ro.Columns {
		ro.Columns[i] = strings.TrimSpace(name)
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

// to runs write with the place the answer goes to: stdout, or the file of --out,
// which is replaced when write has ended well and left alone otherwise. A check
// that did not hold is no failure of the answer.
func (o *output) to(env *Env, write func(io.Writer) error) error {
	if o.file == "" {
		return write(env.Out)
	}
	var judged error
	err := replaceFile(o.file, 0o666, func(w io.Writer) error {
		err := write(w)
		var check *checkError
		var partial *partialError
		if errors.As(err, &check) || errors.As(err, &partial) {
			judged, err = err, nil
		}
		return err
	})
	return errors.Join(err, judged)
}

// render runs write with the renderer.
func (o *output) render(env *Env, ro render.Options, write func(*render.Writer) error) error {
	return o.to(env, func(out io.Writer) error {
		w, err := render.New(out, ro)
		if err != nil {
			return err
		}
		err = write(w)
		if closing := w.Close(); err == nil {
			err = closing
		}
		return err
	})
}

// print renders one document.
func (o *output) print(env *Env, ro render.Options, doc render.Doc) error {
	return o.render(env, ro, func(w *render.Writer) error { return w.Write(doc) })
}

// warnInvalid says why figures do not stand, where the notes of the answer do not say it to people: a machine's format, or a file.
func (o *output) warnInvalid(env *Env, ro render.Options, name string, reasons []string) {
	if o.file == "" && slices.Contains([]render.Format{render.Table, render.Wide, render.Markdown}, ro.Format) {
		return
	}
	for _, why := range reasons {
		env.warn("%s: the run is invalid: %s", name, why)
	}
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

package commands

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/commands/render"
	"github.com/cachectl/cachectl/loadgen"
)

// runFlags say where a run is kept: as a file to be compared with others, and as a page.
type runFlags struct {
	kind string
	file string
	html string
}

func (o *runFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.file, "save", "", "keep the run in a `file`, for \"cachectl load compare\" and merge")
	f.StringVar(&o.html, "html", "", "write a page with charts to a `file`; it needs nothing from the network")
	cmd.MarkFlagFilename("save")
	cmd.MarkFlagFilename("html")
}

// save writes what was asked for.
func (o *runFlags) save(run func() (*loadgen.Run, error), page func() render.Page) error {
	if o.file != "" {
		r, err := run()
		if err == nil {
			err = replaceFile(o.file, 0o666, func(w io.Writer) error { return r.Write(w) })
		}
		if err != nil {
			return err
		}
	}
	if o.html == "" {
		return nil
	}
	p := page()
	return replaceFile(o.html, 0o666, func(w io.Writer) error { return p.Write(w) })
}

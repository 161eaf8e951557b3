package commands

import (
	"context"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/commands/render"
)

type versionOptions struct{ output output }

func newVersion(env *Env) *cobra.Command {
	var o versionOptions
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long:  "Print the version of cachectl and what it was built with.",
		Example: `  cachectl version
  cachectl version -o json --jq .version`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), env) },
	}
	o.output.add(cmd)
	return describe(cmd, "setup", impactNone, exitsUsage)
}

func (o *versionOptions) run(ctx context.Context, env *Env) error {
	ro, err := o.output.options(ctx, env)
	if err != nil {
		return err
	}
	return o.output.print(env, ro, render.Doc{Fields: []render.Field{
		{Name: "version", Label: "cachectl", Cell: render.Text(env.Version)},
		{Name: "go", Cell: render.Text(runtime.Version())},
		{Name: "platform", Cell: render.Text(runtime.GOOS + "/" + runtime.GOARCH)},
	}})
}

package commands

import "github.com/spf13/cobra"

func newWarm(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "warm",
		Short:   "Fill a cold cache with what it is about to be asked for",
		Long:    `Fill a cold cache before its users do.`,
		Example: `  cachectl warm urls urls.txt --host https://www.example.com`,
		Args:    unknownCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newWarmUrls(env))
	return describe(cmd, "change", impactWrite, exitsUsage)
}

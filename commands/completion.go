package commands

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newCompletion(env *Env) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	cmd := &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a completion script for your shell",
		Long: `Print a script that completes commands, flags and their values, contexts and
columns included. It asks no cache.`,
		Example: `  source <(cachectl completion bash)
  cachectl completion zsh > "${fpath[1]}/_cachectl"
  cachectl completion fish > ~/.config/fish/completions/cachectl.fish`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(env.Out, true)
			case "zsh":
				return root.GenZshCompletion(env.Out)
			case "fish":
				return root.GenFishCompletion(env.Out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(env.Out)
			}
			return fmt.Errorf("no completion for %s", args[0])
		},
	}
	return describe(cmd, "setup", impactNone, exitsUsage)
}

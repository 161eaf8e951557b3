package commands

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/commands/render"
)

// Main runs one command line and returns its exit status. It prints the
// error, if there is one, and never exits the process.
func Main(ctx context.Context, env *Env, args ...string) int {
	root := newRoot(env)
	root.SetArgs(args)
	err := mistyped(root, args)
	if err == nil {
		err = root.ExecuteContext(ctx)
	}
	if err == nil {
		return exitDone
	}
	if ctx.Err() != nil && !errors.Is(err, context.Canceled) {
		err = fmt.Errorf("%w: %w", context.Canceled, err)
	}
	report(env.Err, err)
	return exitCode(err)
}

// The impact of a command on the cache, declared by every one.
const (
	impactNone    = "none"    // talks to no cache
	impactRead    = "read"    // looks, and leaves no mark it can avoid
	impactWrite   = "write"   // adds to it, and removes nothing
	impactLoad    = "load"    // sends it traffic, on keys of its own that are removed at the end
	impactDestroy = "destroy" // removes what is in it; asks first
)

// The groups of the help page: what a command does to the cache.
var groups = []cobra.Group{
	{ID: "look", Title: "Look:"},
	{ID: "change", Title: "Change:"},
	{ID: "load", Title: "Load:"},
	{ID: "cdn", Title: "CDN:"},
	{ID: "setup", Title: "Set up:"},
}

func newRoot(env *Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "cachectl",
		Short: "Look into Redis, Valkey and Memcached, change them safely, load them, and purge CDNs",
		Long: `cachectl looks into a cache: what is in there, how big, how warm, who hits it. It
deletes and expires by pattern, and purges CloudFront, Cloudflare and Varnish, with
a plan before anything is done. It fills caches from files, databases and other caches,
sends them traffic, and tries what happens to the origin when a hot key expires.

Looking does no harm: no KEYS, no change to what the cache evicts next, and
where the server counts a look as a hit, the number is told.`,
		Example: `  cachectl demo                            a tour, no server needed
  cachectl ping -t redis://localhost:6379  is it there, and what is it
  cachectl ls 'session:*' --ttl none       sessions that never expire
  cachectl hitrate --fail-if 'hit_rate < 0.8'
  cachectl rm 'session:*' --dry-run        what would go
  cachectl copy redis://old:6379 redis://new:6379 --dry-run
  cachectl stampede --virtual              what an expiry costs the origin
  cachectl purge cloudflare --zone example.com --tag product:42 --dry-run`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          unknownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(env.In)
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	root.CompletionOptions.DisableDefaultCmd = true
	for _, g := range groups {
		root.AddGroup(&g)
	}
	root.PersistentFlags().BoolVarP(&env.quiet, "quiet", "q", false, "no notes and no progress on stderr")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return withHint(&usageError{err}, "see %q", cmd.CommandPath()+" --help")
	})
	root.AddCommand(
		newPing(env), newLs(env), newGet(env), newHitrate(env),
		newRm(env), newExpire(env), newRestore(env), newWarm(env), newCopy(env), newLoad(env), newStampede(env), newPurge(env),
		newContext(env), newDemo(env), newCompletion(env), newVersion(env),
	)
	root.AddCommand(newTopics()...)
	root.SetHelpCommand(newHelp(env))
	for _, cmd := range root.Commands() {
		usageArgs(cmd)
	}
	return root
}

// mistyped finds a word that should be a command and is none, before the flags
// behind it are read as flags of a command they do not belong to.
func mistyped(root *cobra.Command, args []string) error {
	root.InitDefaultHelpCmd()
	cmd, rest, err := root.Find(args)
	if err != nil || !cmd.HasSubCommands() || cmd.Annotations[operand] != "" || len(rest) == 0 || strings.HasPrefix(rest[0], "-") || strings.HasPrefix(rest[0], "__") {
		return nil
	}
	return unknownCommand(cmd, rest[:1])
}

// unknownCommand refuses words that are no command, with the nearest that is.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var known []string
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			known = append(known, c.Name())
		}
	}
	err := usagef("unknown command %q for %q", args[0], cmd.CommandPath())
	if near := render.Nearest(args[0], known); near != "" {
		return withHint(err, "did you mean %q?", cmd.CommandPath()+" "+near)
	}
	return withHint(err, "see %q", cmd.CommandPath()+" --help")
}

// usageArgs makes wrong arguments a usage error everywhere below cmd.
func usageArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			var usage *usageError
			if err == nil || errors.As(err, &usage) {
				return err
			}
			return withHint(&usageError{err}, "usage: %s", cmd.UseLine())
		}
	}
	for _, below := range cmd.Commands() {
		usageArgs(below)
	}
}

// An exit is one line of a command's exit status section.
type exit struct {
	code int
	when string
}

// describe completes a command: its group, its impact, and the section on its
// exit status. Every command goes through here, and a test sees to it.
func describe(cmd *cobra.Command, group, impact string, exits ...exit) *cobra.Command {
	cmd.GroupID = group
	if cmd.Annotations == nil {
		cmd.Annotations = make(map[string]string)
	}
	cmd.Annotations["impact"] = impact
	var b strings.Builder
	b.WriteString(strings.TrimSpace(cmd.Long))
	b.WriteString("\n\nExit status:\n")
	exits = append([]exit{{exitDone, "done"}}, exits...)
	for _, e := range exits {
		fmt.Fprintf(&b, "  %-4d %s\n", e.code, e.when)
	}
	fmt.Fprintf(&b, "\nImpact on the cache: %s", impact)
	cmd.Long = b.String()
	return cmd
}

// The exit lines that most commands share.
var (
	exitsFailed      = exit{exitFailed, "failed: no cache answered, or it refused"}
	exitsUsage       = exit{exitUsage, "wrong usage or configuration"}
	exitsCheck       = exit{exitCheck, "a --fail-if check did not hold, or could not be judged"}
	exitsPartial     = exit{exitPartial, "partial: some nodes did not answer; the others' results are shown"}
	exitsRefused     = exit{exitUsage, "wrong usage or configuration; refused, as without --yes where nobody can be asked"}
	exitsLimit       = exit{exitCheck, "a limit did not hold: --max-keys, --max-percent, --expect"}
	exitsSome        = exit{exitPartial, "partial: some nodes were lost or some keys failed; which is told"}
	exitsInterrupted = exit{exitInterrupted, "interrupted"}
)

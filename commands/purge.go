package commands

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/commands/render"
)

// purgeOptions are one purge: what of which CDN, and how.
type purgeOptions struct {
	cdn   cdn
	items purgeItems
	key   idempotency

	collapse   int
	allowEmpty bool
	dryRun     bool
	batch      int
	journal    string
	resume     string
	resuming   bool
	wait       bool
	timeoutRaw string
	timeout    time.Duration
	verify     purgeVerify

	confirm confirmation
	output  output
}

// purgeVerbs are the commands below purge that are no provider.
var purgeVerbs = []string{"status", "list"}

const purgeLong = `First comes the plan: the items in the form they are sent in, without duplicates and
without what another item covers; calls; the time that the limits allow; the cost.
What the CDN cannot purge is refused before anything is sent (exit status 2), with
what would work instead. Then you are asked; without a terminal it needs --yes.
--dry-run prints the plan, in any format, and sends nothing.

An empty list is never everything: it purges nothing and fails, unless --allow-empty.
Beside flags, the items come from a list (--file), from what changed between two
commits (--git-diff A..B) or between the manifests of two builds (--manifest OLD NEW),
with --map saying what a file is served as: 'public/** -> /**'.
See "cachectl help cdn" for repeats, interruptions, and what CI gets.`

func newPurge(env *Env) *cobra.Command {
	var o purgeOptions
	cmd := &cobra.Command{
		Use:   "purge TARGET",
		Short: "Purge a CDN: CloudFront, Cloudflare, Varnish",
		Long: `Purge TARGET, a CDN that the configuration names:

  cdn:
    site: {provider: cloudflare, zone: example.com, plan: pro, token_env: CF_TOKEN}
    shop: {provider: cloudfront, distribution: [shop.example.com, E2EXAMPLE1ABCD]}

read_only refuses there, and protected wants the name, as in contexts. What has no
name is purged by "purge cloudfront", "purge cloudflare" and "purge varnish".

` + purgeLong,
		Example: `  cachectl purge site --tag product:42 --yes --wait
  cachectl purge site --file changed.txt --dry-run
  cachectl purge cloudfront --distribution www.example.com --path '/img/*' --yes
  cachectl purge cloudflare --zone example.com --url https://www.example.com/ --yes
  cachectl purge site --resume`,
		Annotations:       map[string]string{operand: "TARGET"},
		Args:              cobra.MaximumNArgs(2),
		ValidArgsFunction: cdnNames(env),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				if cmd.Flags().NFlag() > 0 {
					return withHint(usagef("no CDN named"), "cachectl purge TARGET, or cachectl purge %s", strings.Join(providerNames(), "|"))
				}
				return cmd.Help()
			}
			all, err := loadConfig(env)
			if err != nil {
				return err
			}
			named, err := all.findCDN(args[0])
			if err != nil {
				return err
			}
			o.cdn = *named
			return o.run(cmd, env, args[1:])
		},
	}
	o.add(cmd)
	for _, p := range providers {
		cmd.AddCommand(newPurgeProvider(env, p))
	}
	cmd.AddCommand(newPurgeStatus(env), newPurgeList(env))
	return describe(cmd, "cdn", impactDestroy, exitsPurge...)
}

var exitsPurge = []exit{
	{exitFailed, "failed: nothing was purged, or the list is empty without --allow-empty"},
	exitsRefused,
	{exitCheck, "--wait ended before all was complete, or --verify found no evidence"},
	{exitPartial, "partial: some items were not purged; each is named"},
	exitsInterrupted,
}

func newPurgeProvider(env *Env, p *provider) *cobra.Command {
	o := purgeOptions{cdn: cdn{Provider: p.name}}
	cmd := &cobra.Command{
		Use:     p.name,
		Short:   "Purge " + p.title,
		Long:    p.long + "\n\n" + purgeLong,
		Example: p.example,
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd, env, args) },
	}
	o.cdn.add(cmd, env, p)
	o.add(cmd)
	return describe(cmd, "", impactDestroy, exitsPurge...)
}

func (o *purgeOptions) add(cmd *cobra.Command) {
	f := cmd.Flags()
	o.items.add(cmd)
	f.IntVar(&o.collapse, "collapse", 0, "cover the paths by at most `N` items, wildcards among them; what they widen to is shown")
	f.BoolVar(&o.allowEmpty, "allow-empty", false, "an empty list is a success")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the plan, in any format, and send nothing")
	f.IntVar(&o.batch, "batch-size", 0, "at most `N` items a call, below the provider's limit")
	o.key.add(cmd)
	f.StringVar(&o.journal, "journal", "", "keep the journal in this new `file`, and leave it there, or none; by default it is in the state folder until all is purged")
	f.StringVar(&o.resume, "resume", "", "go on with what the journal FILE, or the newest unfinished one, has not purged")
	f.Lookup("resume").NoOptDefVal = newest
	cmd.MarkFlagFilename("journal")
	cmd.MarkFlagFilename("resume")
	f.BoolVar(&o.wait, "wait", false, "wait until the CDN says that it is complete")
	f.StringVar(&o.timeoutRaw, "timeout", "15m", "how long --wait waits")
	o.verify.add(cmd)
	o.confirm.add(cmd)
	o.output.add(cmd, append(columnNames(receiptColumns), "action", "kind", "item", "call", "why")...)
}

// operand annotates a command that has commands below it and takes a word that
// is none of them.
const operand = "operand"

// operand takes the word that may stand behind a flag whose value is not all of
// it: --resume FILE, --manifest OLD NEW.
func (o *purgeOptions) operand(args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case len(args) == 1 && o.resuming && o.resume == newest:
		o.resume = args[0]
		return nil
	case len(args) == 1 && len(o.items.manifests) == 1:
		o.items.manifests = append(o.items.manifests, args[0])
		return nil
	}
	return withHint(usagef("unexpected %q", args[len(args)-1]), "what is to be purged is named by flags: --path, --tag, --file and so on")
}

// parse reads the flags that are the same for every run.
func (o *purgeOptions) parse(cmd *cobra.Command, env *Env, args []string) (ro render.Options, err error) {
	if ro, err = o.output.options(cmd.Context(), env); err != nil {
		return ro, err
	}
	if o.timeout, err = parseDuration(o.timeoutRaw); err != nil {
		return ro, &usageError{fmt.Errorf("--timeout: %w", err)}
	}
	o.resuming = cmd.Flags().Changed("resume")
	if err := o.operand(args); err != nil {
		return ro, err
	}
	var clash []string
	for _, name := range append(slices.Clone(purgeItemFlags), "collapse", "journal", "idempotency-key", "allow-empty") {
		if cmd.Flags().Changed(name) {
			clash = append(clash, "--"+name)
		}
	}
	switch {
	case o.resuming && len(clash) > 0:
		return ro, usagef("--resume does not go with %s: the journal says what is left", strings.Join(clash, ", "))
	case o.collapse < 0 || cmd.Flags().Changed("collapse") && o.collapse == 0:
		return ro, usagef("bad --collapse %d: it is at least 1", o.collapse)
	case o.batch < 0 || cmd.Flags().Changed("batch-size") && o.batch == 0:
		return ro, usagef("bad --batch-size %d: it is at least 1", o.batch)
	case len(*o.cdn.targets()) == 0 && !o.resuming:
		target := providerOf(o.cdn.Provider).target
		return ro, withHint(usagef("no %s named", target), "--%s says which, and may be repeated", target)
	case slices.Contains(*o.cdn.targets(), ""):
		return ro, usagef("an empty --%s", providerOf(o.cdn.Provider).target)
	}
	return ro, errors.Join(o.items.parse(), o.verify.parse())
}

func (o *purgeOptions) run(cmd *cobra.Command, env *Env, args []string) error {
	ctx := cmd.Context()
	ro, err := o.parse(cmd, env, args)
	if err != nil {
		return err
	}
	o.cdn.dry = o.dryRun
	if err := o.cdn.guard().may("purge it"); err != nil && !o.dryRun {
		return err
	}
	if o.resuming {
		return o.goOn(cmd, env, ro)
	}
	items, err := o.items.read(ctx, env)
	if err != nil {
		return err
	}
	if len(items) == 0 {
		return o.nothing(env, ro)
	}
	job, err := o.plan(ctx, env, items)
	if err != nil {
		return err
	}
	if o.dryRun {
		return o.show(env, ro, job)
	}
	if err := o.approve(ctx, env, job); err != nil {
		return err
	}
	if err := o.verify.before(ctx, env); err != nil {
		return err
	}
	if err := job.record(env, o.journal); err != nil {
		return err
	}
	return o.carryOut(cmd, env, ro, job)
}

// nothing is the end of an empty list.
func (o *purgeOptions) nothing(env *Env, ro render.Options) error {
	const text = "the list is empty: nothing was purged"
	none := &purgeJob{env: env, cdn: &o.cdn}
	done := newPurged(none)
	err := o.output.print(env, ro, done.doc(0))
	if !o.dryRun {
		done.tellCI(env)
	}
	switch {
	case err != nil:
		return err
	case o.allowEmpty:
		env.note("%s", text)
		return nil
	}
	return withHint(fmt.Errorf("%s", text), "--allow-empty makes that a success")
}

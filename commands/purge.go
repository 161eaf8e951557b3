package commands

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cachectl/cachectl/commands/render"
	"github.com/cachectl/cachectl/purge"
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
	f.StringVar(&o.journal, "journal", "", "keep the journal in this new `file`, and leave it there")
	f.StringVar(&o.resume, "resume", "", "go on with what the journal FILE, or the newest unfinished one, has not purged")
	f.Lookup("resume").NoOptDefVal = newest
	f.BoolVar(&o.wait, "wait", false, "wait until the CDN says that it is complete")
	f.StringVar(&o.timeoutRaw, "timeout", "15m", "how long --wait waits")
	o.confirm.add(cmd)
	o.output.add(cmd, append(columnNames(receiptColumns), "action", "kind", "item", "call", "why")...)
}

// operand annotates a command that has commands below it and takes a word that
// is none of them.
const operand = "operand"

// parse reads the flags that are the same for every run.
func (o *purgeOptions) parse(cmd *cobra.Command, env *Env, args []string) (ro render.Options, err error) {
	if ro, err = o.output.options(cmd.Context(), env); err != nil {
		return ro, err
	}
	if o.timeout, err = parseDuration(o.timeoutRaw); err != nil {
		return ro, &usageError{fmt.Errorf("--timeout: %w", err)}
	}
	o.resuming = cmd.Flags().Changed("resume")
	if o.resuming && o.resume == newest && len(args) == 1 { // "--resume FILE": the flag's value may be left out
		o.resume, args = args[0], nil
	}
	var clash []string
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if slices.Contains(purgeItemFlags, f.Name) || slices.Contains([]string{"collapse", "journal", "idempotency-key", "allow-empty", "everything"}, f.Name) {
			clash = append(clash, "--"+f.Name)
		}
	})
	switch {
	case len(args) > 0:
		return ro, withHint(usagef("unexpected %q", args[0]), "what is to be purged is named by flags: --path, --tag, --file and so on")
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
	return ro, nil
}

func (o *purgeOptions) run(cmd *cobra.Command, env *Env, args []string) error {
	ctx := cmd.Context()
	ro, err := o.parse(cmd, env, args)
	if err != nil {
		return err
	}
	if err := o.cdn.guard().may("purge it"); err != nil && !o.dryRun {
		return err
	}
	if o.resuming {
		return o.goOn(ctx, env, ro)
	}
	items, err := o.items.read(env)
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
	if err := job.record(env, o.journal); err != nil {
		return err
	}
	return o.carryOut(ctx, env, ro, job)
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

// purgeItems are the flags that say what is to be purged.
type purgeItems struct {
	paths, urls, tags, prefixes, hosts []string
	headers                            []string
	everything                         bool
	files                              []string
}

// purgeItemFlags are their names.
var purgeItemFlags = []string{"path", "url", "tag", "prefix", "host", "header", "file"}

func (p *purgeItems) add(cmd *cobra.Command) {
	f := cmd.Flags()
	list := func(to *[]string, name, usage string) { f.StringArrayVar(to, name, nil, usage+"; may be repeated") }
	list(&p.paths, "path", "a `path`, such as /a.css or /img/*, on the hosts of --host where the CDN wants URLs")
	list(&p.urls, "url", "a `URL` in full")
	list(&p.tags, "tag", "a cache `tag` that the origin gave")
	list(&p.prefixes, "prefix", "all that begins with this `prefix`, such as /img/ or example.com/img")
	list(&p.hosts, "host", "all of this `host`; with paths, the host that they are on")
	list(&p.headers, "header", "a request header, `NAME: VALUE`, of the URLs' cache key")
	list(&p.files, "file", "the items that this `LIST` names, one a line, - for standard input")
	f.BoolVar(&p.everything, "everything", false, "purge all that there is")
	cmd.MarkFlagFilename("file")
}

// given are the flags of items with a value of their own.
func (p *purgeItems) given() []struct {
	flag   string
	kind   purge.Kind
	values []string
} {
	return []struct {
		flag   string
		kind   purge.Kind
		values []string
	}{{"path", purge.Path, p.paths}, {"url", purge.URL, p.urls}, {"tag", purge.Tag, p.tags}, {"prefix", purge.Prefix, p.prefixes}, {"host", purge.Host, p.hosts}}
}

// read brings all items. Hosts say where paths are where there may be some, and
// are items themselves otherwise.
func (p *purgeItems) read(env *Env) ([]purge.Item, error) {
	var items []purge.Item
	named := len(p.files) > 0 || p.everything
	for _, g := range p.given() {
		named = named || len(g.values) > 0
		for _, v := range g.values {
			if strings.TrimSpace(v) == "" {
				return nil, withHint(usagef("an empty --%s", g.flag), "a variable that is not set? An empty item is never everything")
			}
			if g.kind != purge.Host {
				items = append(items, purge.Item{Kind: g.kind, Value: v})
			}
		}
	}
	if !named {
		return nil, withHint(usagef("nothing named that is to be purged"), "--path, --url, --tag, --prefix, --host or --file name it; --everything means all")
	}
	if p.everything {
		items = append(items, purge.Item{Kind: purge.Everything})
	}
	for _, path := range p.files {
		listed, err := readPurgeList(env, path)
		if err != nil {
			return nil, err
		}
		items = append(items, listed...)
	}
	// An empty list of paths must not turn the hosts that they are on into what is
	// purged: beside a list, hosts are never items.
	switch {
	case len(p.hosts) == 0 || slices.ContainsFunc(items, local) || len(items) == 0 && len(p.files) > 0:
	case len(p.files) > 0:
		return nil, withHint(usagef("--host says where listed paths are, and the list has none"), "a whole host is purged in a run of its own")
	default:
		for _, h := range p.hosts {
			items = append(items, purge.Item{Kind: purge.Host, Value: h})
		}
	}
	return items, nil
}

// place joins paths to hosts, and gives URLs the headers of their cache key.
func (p *purgeItems) place(items []purge.Item, c *cdn) ([]purge.Item, error) {
	header, err := p.header()
	if err != nil {
		return nil, err
	}
	hosts := p.hosts
	if len(hosts) == 0 {
		hosts = c.Host
	}
	if c.Provider == "cloudfront" && len(p.hosts) > 0 && slices.ContainsFunc(items, local) {
		return nil, withHint(usagef("--host does not go with paths of cloudfront"), "a path is purged on every host of the distribution")
	}
	items = purge.Join(hosts, items)
	if len(header) == 0 {
		return items, nil
	}
	keyed := 0
	for n := range items {
		if items[n].Kind == purge.URL && len(items[n].Header) == 0 {
			items[n].Header = header
			keyed++
		}
	}
	if keyed == 0 {
		return nil, usagef("--header goes with --url, or with --path and --host")
	}
	return items, nil
}

// local tells whether an item wants a host to be on.
func local(i purge.Item) bool {
	return (i.Kind == purge.Path || i.Kind == purge.Prefix) && strings.HasPrefix(i.Value, "/")
}

func (p *purgeItems) header() (http.Header, error) {
	header := make(http.Header)
	for _, h := range p.headers {
		name, value, ok := strings.Cut(h, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "" || strings.ContainsAny(name, " \t\r\n") || strings.ContainsAny(value, "\r\n") {
			return nil, usagef("bad --header %q: it is NAME: VALUE", h)
		}
		header.Add(name, value)
	}
	return header, nil
}

// kindsOf are the kinds that items have.
func kindsOf(items []purge.Item) []purge.Kind {
	var kinds []purge.Kind
	for _, k := range purge.Kinds {
		if slices.ContainsFunc(items, func(i purge.Item) bool { return i.Kind == k }) {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

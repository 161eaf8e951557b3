package commands

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/commands/render"
	"github.com/cachectl/cachectl/purge"
)

// A cdnFlag says which CDN is asked: by the flags of one provider, or by a name
// of the configuration.
type cdnFlag struct {
	cdn
	output output
}

func (o *cdnFlag) add(cmd *cobra.Command, env *Env) {
	for _, p := range providers {
		own := *p
		own.settings = slices.DeleteFunc(slices.Clone(p.settings), func(key string) bool {
			return slices.Contains([]string{"host", "plan", "tag_method"}, key)
		})
		if p.target != "server" { // no Varnish keeps a list of what was purged
			o.cdn.add(cmd, env, &own)
		}
	}
}

// resolve finds the CDN: by a flag, else by the first argument, which is taken
// off.
func (o *cdnFlag) resolve(env *Env, args []string) ([]string, error) {
	for _, p := range providers {
		c := o.cdn
		c.Provider = p.name
		if len(*c.targets()) == 0 {
			continue
		}
		if o.cdn.Provider != "" {
			return nil, usagef("--%s and --%s do not go together", providerOf(o.cdn.Provider).target, p.target)
		}
		o.cdn.Provider = p.name
	}
	if o.cdn.Provider != "" {
		return args, nil
	}
	if len(args) == 0 {
		return nil, withHint(usagef("no CDN named"), "say which by its name in the configuration, or by --distribution or --zone")
	}
	all, err := loadConfig(env)
	if err != nil {
		return nil, err
	}
	named, err := all.findCDN(args[0])
	if err == nil {
		o.cdn = *named
	}
	return args[1:], err
}

func newPurgeStatus(env *Env) *cobra.Command {
	var o cdnFlag
	cmd := &cobra.Command{
		Use:   "status [TARGET] ID...",
		Short: "Tell how far purges are, by their IDs",
		Long: `Tell how far purges are, by the IDs that "purge" printed. TARGET is a CDN of the
configuration; without it --distribution names the distribution. CloudFront knows a
status; Cloudflare has none to ask for.`,
		Example: `  cachectl purge status shop I2J0I21PCUYOIK
  cachectl purge status --distribution E2EXAMPLE1ABCD I2J0I21PCUYOIK -o json`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: cdnNames(env),
		RunE:              func(cmd *cobra.Command, args []string) error { return o.status(cmd.Context(), env, args) },
	}
	o.add(cmd, env)
	o.output.add(cmd, columnNames(receiptColumns)...)
	return describe(cmd, "", impactRead, exitsFailed, exitsUsage, exit{exitPartial, "partial: some IDs were not found"})
}

func (o *cdnFlag) status(ctx context.Context, env *Env, args []string) error {
	ro, err := o.output.options(ctx, env)
	if err != nil {
		return err
	}
	ids, err := o.resolve(env, args)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		return withHint(usagef("no ID named"), `"cachectl purge list" tells them`)
	}
	purgers, err := o.cdn.open(ctx, env, nil, 0)
	if err != nil {
		return err
	}
	var table []render.Row
	var errs []error
	for _, id := range ids {
		r, err := statusOf(ctx, purgers, id)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		table = append(table, receiptRow(r, render.Int(int64(len(r.Items)))))
	}
	err = errors.Join(errs...)
	if len(table) > 0 && err != nil {
		err = &partialError{err}
	}
	if len(table) == 0 && err != nil {
		return err
	}
	return errors.Join(o.output.print(env, ro, render.Doc{Columns: receiptColumns, Rows: rows(table)}), err)
}

// statusOf asks every target for an ID, which only one of them knows.
func statusOf(ctx context.Context, purgers []purge.Purger, id string) (r purge.Receipt, err error) {
	for _, p := range purgers {
		var s purge.Statuser
		if s, err = purge.As[purge.Statuser](p); err != nil {
			return r, err
		}
		if r, err = s.Status(ctx, id); err == nil || !errors.Is(err, purge.ErrUnknown) {
			return r, err
		}
	}
	return r, err
}

func newPurgeList(env *Env) *cobra.Command {
	var o cdnFlag
	var limit int
	cmd := &cobra.Command{
		Use:   "list [TARGET]",
		Short: "List the purges that the CDN remembers, newest first",
		Long: `List the purges that the CDN remembers, newest first. TARGET is a CDN of the
configuration; without it --distribution names the distribution. CloudFront keeps a
list; Cloudflare has none.`,
		Example: `  cachectl purge list shop
  cachectl purge list --distribution E2EXAMPLE1ABCD --limit 5 -o json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cdnNames(env),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.list(cmd.Context(), env, args, limit)
		},
	}
	o.add(cmd, env)
	cmd.Flags().IntVar(&limit, "limit", 100, "at most `N` of each target; 0 for all")
	o.output.add(cmd, columnNames(receiptColumns)...)
	return describe(cmd, "", impactRead, exitsFailed, exitsUsage)
}

func (o *cdnFlag) list(ctx context.Context, env *Env, args []string, limit int) error {
	ro, err := o.output.options(ctx, env, "target", "id", "state", "at")
	if err != nil {
		return err
	}
	rest, err := o.resolve(env, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return usagef("unexpected %q", strings.Join(rest, " "))
	}
	purgers, err := o.cdn.open(ctx, env, nil, 0)
	if err != nil {
		return err
	}
	for _, p := range purgers {
		if _, err := purge.As[purge.Lister](p); err != nil {
			return err
		}
	}
	return o.output.print(env, ro, render.Doc{Columns: receiptColumns, Rows: receiptRows(ctx, purgers, limit)})
}

func receiptRows(ctx context.Context, purgers []purge.Purger, limit int) func(func([]render.Row, error) bool) {
	return func(yield func([]render.Row, error) bool) {
		for _, p := range purgers {
			lister, err := purge.As[purge.Lister](p)
			if err != nil {
				yield(nil, err)
				return
			}
			n := 0
			for r, err := range lister.List(ctx) {
				if n++; limit > 0 && n > limit {
					break
				}
				items := render.Unknown()
				if len(r.Items) > 0 {
					items = render.Int(int64(len(r.Items)))
				}
				if err != nil {
					yield(nil, err)
					return
				}
				if !yield([]render.Row{receiptRow(r, items)}, nil) {
					return
				}
			}
		}
	}
}

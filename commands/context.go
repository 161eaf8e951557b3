package commands

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/cachectl/cachectl/commands/render"
)

func newContext(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "context",
		Aliases: []string{"ctx"},
		Short:   "Name caches, and say which one is meant",
		Long: `A context is a name for a cache: its URL, where its password is kept, and what
may be done to it. Contexts live in config.yaml at the XDG place, or in the file
that CACHECTL_CONFIG names. Passwords never do: a context says where to get one.

read_only refuses every command that changes the cache; protected asks for the
context's name before one that destroys.`,
		Example: `  cachectl context set prod --url rediss://app@cache.example.com:6380 --password-env PROD_REDIS
  cachectl context use prod
  cachectl context show`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newContextList(env), newContextUse(env), newContextSet(env), newContextShow(env), newContextDelete(env))
	for _, sub := range cmd.Commands() {
		describe(sub, "", impactNone, exitsUsage)
	}
	return describe(cmd, "setup", impactNone, exitsUsage)
}

// contextNames completes the name of a context.
func contextNames(env *Env) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		c, err := loadConfig(env)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return c.names(), cobra.ShellCompDirectiveNoFileComp
	}
}

func newContextList(env *Env) *cobra.Command {
	var o output
	columns := []render.Column{
		{Name: "current"}, {Name: "name"}, {Name: "url"}, {Name: "read_only"}, {Name: "protected"}, {Name: "password"},
	}
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the contexts",
		Long:    "List the contexts of the configuration, the current one marked.",
		Example: "  cachectl context list\n  cachectl context list -o json --jq '.[].name'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ro, err := o.options(cmd.Context(), env)
			if err != nil {
				return err
			}
			c, err := loadConfig(env)
			if err != nil {
				return err
			}
			var table []render.Row
			for _, name := range c.names() {
				p := c.Contexts[name]
				mark := render.Cell{Value: false}
				if name == c.Current {
					mark = render.Cell{Text: "*", Value: true, Style: render.Good}
				}
				table = append(table, render.Row{mark, render.Text(name), render.Text(redact(p.URL)),
					render.Bool(p.ReadOnly), render.Bool(p.Protected), word(p.password().source())})
			}
			return o.print(env, ro, render.Doc{Columns: columns, Rows: rows(table)})
		},
	}
	o.add(cmd, columnNames(columns)...)
	return cmd
}

// redact is a target without its passwords, for people who wrote one into a file.
func redact(raw string) string {
	u, err := parseTarget(raw)
	if err != nil {
		return "(bad URL)"
	}
	return redacted(u)
}

// redacted is a URL without its passwords.
func redacted(u *url.URL) string {
	safe := *u
	if query := safe.Query(); query.Has("sentinel_password") {
		query.Set("sentinel_password", "xxxxx")
		safe.RawQuery = query.Encode()
	}
	return safe.Redacted()
}

// bareURL is the cache that a URL means, as a shell may be given it again: the URL without
// its passwords, which have their place in REDISCLI_AUTH or a context, and nothing instead.
func bareURL(u *url.URL) string {
	bare := *u
	if query := bare.Query(); query.Has("sentinel_password") {
		query.Del("sentinel_password")
		bare.RawQuery = query.Encode()
	}
	if _, has := bare.User.Password(); has {
		if bare.User = url.User(bare.User.Username()); bare.User.Username() == "" {
			bare.User = nil
		}
	}
	return bare.String()
}

// meant is the cache that a file remembers: a URL with something in a password's
// place is taken for the URL without, anything else is as it stands.
func meant(remembered string) string {
	if u, err := url.Parse(remembered); err == nil && holdsPassword(u) {
		return bareURL(u)
	}
	return remembered
}

// holdsPassword tells whether a URL has a password in it.
func holdsPassword(u *url.URL) bool {
	_, has := u.User.Password()
	return has || u.Query().Has("sentinel_password")
}

func newContextUse(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:               "use NAME",
		Short:             "Make a context the current one",
		Long:              "Make NAME the current context: the cache that commands mean without -t.",
		Example:           "  cachectl context use prod",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: contextNames(env),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := loadConfig(env)
			if err != nil {
				return err
			}
			if _, err := c.find(args[0]); err != nil {
				return err
			}
			return c.edit(func(root *yaml.Node) error { return setMember(root, "current", args[0]) })
		},
	}
}

// find is the context of that name, or a usage error with the nearest one.
func (c *config) find(name string) (*profile, error) {
	if p, ok := c.Contexts[name]; ok {
		return p, nil
	}
	err := usagef("no context %q", name)
	if near := render.Nearest(name, c.names()); near != "" {
		return nil, withHint(err, "did you mean %q?", near)
	}
	return nil, withHint(err, `they are listed by "cachectl context list"`)
}

func newContextSet(env *Env) *cobra.Command {
	var p profile
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Create or change a context",
		Long: `Create the context NAME, or change what is said of it here. What is not said
stays as it is, comments in the file too. An empty value removes a setting.`,
		Example: `  cachectl context set local --url redis://localhost:6379
  cachectl context set prod --url rediss://app@cache.example.com:6380 --password-file ~/.secrets/redis
  cachectl context set prod --read-only --protected
  cachectl context set prod --password-file ''`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: contextNames(env),
		RunE: func(cmd *cobra.Command, args []string) error {
			return setContext(env, cmd, &p, args[0])
		},
	}
	f := cmd.Flags()
	f.StringVar(&p.URL, "url", "", "the cache: a `URL` without password")
	f.BoolVar(&p.ReadOnly, "read-only", false, "refuse every command that changes the cache")
	f.BoolVar(&p.Protected, "protected", false, "ask for the context's name before a command that destroys")
	f.StringArrayVar(&p.NeverDelete, "never-delete", nil, "a `PATTERN` of keys that no command deletes; may be repeated")
	f.StringVar(&p.PasswordEnv, "password-env", "", "environment `variable` that holds the password")
	f.StringVar(&p.PasswordFile, "password-file", "", "`file` that holds the password")
	f.StringVar(&p.PasswordCommand, "password-command", "", "shell `command` that prints the password")
	f.StringVar(&p.SentinelPasswordEnv, "sentinel-password-env", "", "the same for the sentinels' own password")
	f.StringVar(&p.SentinelPasswordFile, "sentinel-password-file", "", "")
	f.StringVar(&p.SentinelPasswordCommand, "sentinel-password-command", "", "")
	return cmd
}

func setContext(env *Env, cmd *cobra.Command, p *profile, name string) error {
	if name == "" || strings.Contains(name, "://") || strings.ContainsAny(name, " \t\n.") {
		return usagef("bad name %q: a context's name has no spaces, dots or ://", name)
	}
	if raw, _ := cmd.Flags().GetString("url"); raw != "" {
		u, err := parseTarget(raw)
		if err != nil {
			return &usageError{err}
		}
		if _, ok := env.Schemes[u.Scheme]; !ok {
			return unknownScheme(env, u.Scheme)
		}
		if holdsPassword(u) {
			return withHint(usagef("the URL holds a password"), "leave it out and say where it is kept: --password-env, --password-file or --password-command")
		}
	}
	c, err := loadConfig(env)
	if err != nil {
		return err
	}
	if _, known := c.Contexts[name]; !known && !cmd.Flags().Changed("url") {
		return usagef("context %q is new: it needs --url", name)
	}
	return c.edit(func(root *yaml.Node) error {
		context := member(member(root, "contexts", yaml.MappingNode), name, yaml.MappingNode)
		for _, flag := range []string{"url", "read-only", "protected", "never-delete", "password-env", "password-file", "password-command",
			"sentinel-password-env", "sentinel-password-file", "sentinel-password-command"} {
			if !cmd.Flags().Changed(flag) {
				continue
			}
			f := cmd.Flags().Lookup(flag)
			var value any = f.Value.String()
			switch {
			case f.Value.Type() == "stringArray":
				if value = p.NeverDelete; slices.Equal(p.NeverDelete, []string{""}) {
					value = nil
				}
			case f.Value.Type() == "bool" && value == "true":
				value = true
			case f.Value.Type() == "bool", value == "":
				value = nil
			}
			if value != nil {
				forgetOtherPlaces(context, flag)
			}
			if err := setMember(context, strings.ReplaceAll(flag, "-", "_"), value); err != nil {
				return err
			}
		}
		return nil
	})
}

// forgetOtherPlaces removes where else the same password was kept: it has one
// place.
func forgetOtherPlaces(context *yaml.Node, flag string) {
	for _, prefix := range []string{"sentinel-password-", "password-"} {
		if !strings.HasPrefix(flag, prefix) {
			continue
		}
		for _, place := range []string{"env", "file", "command"} {
			setMember(context, strings.ReplaceAll(prefix+place, "-", "_"), nil)
		}
	}
}

func newContextShow(env *Env) *cobra.Command {
	var o output
	var target targetFlag
	columns := []render.Column{{Name: "setting"}, {Name: "value"}, {Name: "origin"}}
	cmd := &cobra.Command{
		Use:   "show [NAME]",
		Short: "Show what a context, or the command line, comes to",
		Long: `Show the settings that a command would use now, and where each comes from:
flag, environment, or which line of the configuration. With NAME, those of that
context. A password is named by its place, never shown.`,
		Example: `  cachectl context show
  cachectl context show prod
  CACHECTL_TARGET=staging cachectl context show`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: contextNames(env),
		RunE: func(cmd *cobra.Command, args []string) error {
			ro, err := o.options(cmd.Context(), env)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				c, err := loadConfig(env)
				if err != nil {
					return err
				}
				if _, err := c.find(args[0]); err != nil {
					return err
				}
				target.value = args[0]
			}
			table, err := settings(env, target, len(args) == 1)
			if err != nil {
				return err
			}
			return o.print(env, ro, render.Doc{Columns: columns, Rows: rows(table)})
		},
	}
	target.add(cmd, env)
	o.add(cmd, columnNames(columns)...)
	return cmd
}

// settings says every setting with its origin.
func settings(env *Env, f targetFlag, named bool) ([]render.Row, error) {
	c, err := loadConfig(env)
	if err != nil {
		return nil, err
	}
	t, err := f.resolve(env)
	if err != nil {
		return nil, err
	}
	if named {
		t.origin = "argument"
	}
	var table []render.Row
	add := func(name string, value render.Cell, origin string) {
		table = append(table, render.Row{render.Text(name), value, render.Text(origin)})
	}
	at := func(key string) string {
		if line := c.lines["contexts."+t.context+"."+key]; t.context != "" && line > 0 {
			return fmt.Sprintf("%s, line %d", c.path, line)
		}
		return "default"
	}
	if t.context != "" {
		add("context", render.Text(t.context), t.origin)
		add("url", render.Text(redacted(t.url)), at("url"))
	} else {
		add("url", render.Text(redacted(t.url)), t.origin)
	}
	password, origin := word(t.password), "default"
	switch {
	case t.password != "" && t.profile.password().source() != "":
		for _, key := range []string{"password_env", "password_file", "password_command"} {
			if place := at(key); place != "default" {
				origin = place
			}
		}
	case t.password != "":
		origin = "URL"
	case redisLike(t.url.Scheme) && env.Getenv("REDISCLI_AUTH") != "":
		password, origin = render.Text("environment variable REDISCLI_AUTH"), "environment"
	}
	add("password", password, origin)
	add("read_only", render.Bool(t.profile.ReadOnly), at("read_only"))
	add("protected", render.Bool(t.profile.Protected), at("protected"))
	add("never_delete", render.Text(strings.Join(t.neverDelete(), " ")), at("never_delete"))
	return table, nil
}

func newContextDelete(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a context",
		Long: `Delete NAME from the configuration. The cache itself is not touched. If it was
the current context, there is none afterwards.`,
		Example:           "  cachectl context delete staging",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: contextNames(env),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := loadConfig(env)
			if err != nil {
				return err
			}
			if _, err := c.find(args[0]); err != nil {
				return err
			}
			return c.edit(func(root *yaml.Node) error {
				if c.Current == args[0] {
					if err := setMember(root, "current", nil); err != nil {
						return err
					}
				}
				return setMember(member(root, "contexts", yaml.MappingNode), args[0], nil)
			})
		},
	}
}

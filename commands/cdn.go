package commands

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/cachectl/cachectl/commands/render"
	"github.com/cachectl/cachectl/purge"
)

// A cdn is one CDN of the configuration, or what flags say of one: its targets,
// how to get in, and what may be done to it. Which of the settings a provider
// takes, its row in providers says.
type cdn struct {
	Provider  string `yaml:"provider,omitempty"`
	ReadOnly  bool   `yaml:"read_only,omitempty"`
	Protected bool   `yaml:"protected,omitempty"`
	Endpoint  string `yaml:"endpoint,omitempty"`

	Distribution some `yaml:"distribution,omitempty"`
	Zone         some `yaml:"zone,omitempty"`
	Server       some `yaml:"server,omitempty"`
	Host         some `yaml:"host,omitempty"` // that paths are joined to

	Profile string `yaml:"profile,omitempty"`
	Region  string `yaml:"region,omitempty"`
	Role    string `yaml:"role,omitempty"`

	Plan         string `yaml:"plan,omitempty"`
	Environment  string `yaml:"environment,omitempty"`
	TokenEnv     string `yaml:"token_env,omitempty"`
	TokenFile    string `yaml:"token_file,omitempty"`
	TokenCommand string `yaml:"token_command,omitempty"`

	TagMethod string `yaml:"tag_method,omitempty"`

	name string // in the configuration; "" where flags say it all
	dry  bool   // nothing is to be purged
}

// some is one value or a list of them.
type some []string

// UnmarshalYAML reads "zone: example.com" and "zone: [example.com, example.org]".
func (s *some) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*s = some{node.Value}
		return nil
	}
	return node.Decode((*[]string)(s))
}

// A provider is what the command line has to know of a CDN. How it purges,
// Env.CDNs knows.
type provider struct {
	name     string // of the command, in the configuration and in Env.CDNs
	title    string
	target   string // the setting that names its targets
	settings []string
	long     string
	example  string
}

// providers are the CDNs. A further one is a row here, and one in main.
var providers = []*provider{
	{name: "cloudfront", title: "Amazon CloudFront", target: "distribution",
		settings: []string{"distribution", "profile", "region", "role"},
		long: `Invalidate paths, prefixes (as PREFIX*), tags, or everything of CloudFront
distributions, named by ID, alias or domain name. A path is purged on every host of
the distribution. Paths are percent-encoded as CloudFront compares them; what it would
take and then not purge is refused: "~", an inner "*", characters encoded without need,
tags of a distribution without CacheTagConfig.

Credentials are found as the aws command finds them: environment, shared
configuration, --profile, --role, the machine's own. AWS_ENDPOINT_URL_CLOUDFRONT and
--endpoint name another endpoint. Only an ID needs no cloudfront:ListDistributions.`,
		example: `  cachectl purge cloudfront --distribution E2EXAMPLE1ABCD --path /index.html --dry-run
  cachectl purge cloudfront --distribution www.example.com --prefix /img/ --tag product:42 --yes --wait
  cachectl purge cloudfront --distribution E2EXAMPLE1ABCD --file paths.txt --collapse 15 --yes
  cachectl purge cloudfront --distribution E2EXAMPLE1ABCD --everything --profile prod --yes`},
	{name: "cloudflare", title: "Cloudflare", target: "zone",
		settings: []string{"zone", "host", "plan", "environment", "token_env", "token_file", "token_command"},
		long: `Purge URLs (--header for custom cache keys), paths on the hosts named by --host,
prefixes, hosts, tags, or everything of Cloudflare zones, named by ID or by name; the
name of a host finds its zone. The limits are those of --plan.

The API token comes from CLOUDFLARE_API_TOKEN, from the variable of --token-env, from
--token-file or from --token-command. It needs Zone > Cache Purge > Purge, and
Zone > Zone > Read where a zone is named by its name. CLOUDFLARE_BASE_URL and
--endpoint name another endpoint. Cloudflare accepts a purge and has no way to tell
when it is done: --verify looks for itself.`,
		example: `  cachectl purge cloudflare --zone example.com --url https://www.example.com/a.css --yes
  cachectl purge cloudflare --zone example.com --host www.example.com --path / --path /news/ --dry-run
  cachectl purge cloudflare --zone example.com --plan pro --tag product:42 --prefix www.example.com/img --yes
  cachectl purge cloudflare --zone example.com --url https://example.com/ --header 'CF-Device-Type: mobile' --yes`},
	{name: "varnish", title: "Varnish", target: "server",
		settings: []string{"server", "host", "tag_method"},
		long: `Purge servers that run Varnish, over HTTP: a URL by PURGE, tags by xkey-purge (or
xkey-softpurge), paths, prefixes, hosts and everything by BAN. What a server
understands is its VCL's to say: it has to know these methods, and its acl this
machine.`,
		example: `  cachectl purge varnish --server http://10.0.0.5:6081 --url https://www.example.com/ --yes
  cachectl purge varnish --server http://10.0.0.5:6081 --server http://10.0.0.6:6081 --tag product:42 --yes
  cachectl purge varnish --server http://10.0.0.5:6081 --prefix /img/ --dry-run`},
}

func providerOf(name string) *provider {
	if at := slices.IndexFunc(providers, func(p *provider) bool { return p.name == name }); at >= 0 {
		return providers[at]
	}
	return nil
}

func providerNames() []string {
	var names []string
	for _, p := range providers {
		names = append(names, p.name)
	}
	return names
}

// targets are the names of what c purges.
func (c *cdn) targets() *some {
	switch providerOf(c.Provider).target {
	case "distribution":
		return &c.Distribution
	case "zone":
		return &c.Zone
	}
	return &c.Server
}

func (c *cdn) token() secret { return secret{c.TokenEnv, c.TokenFile, c.TokenCommand} }

// guard is what the configuration says of c.
func (c *cdn) guard() guard {
	return guard{kind: "CDN", name: c.name, readOnly: c.ReadOnly, protected: c.Protected, lift: "it is lifted there"}
}

// validateCDN holds the CDNs of the configuration against what their providers take.
func (c *config) validateCDN() error {
	for name, one := range c.CDN {
		line := func(key string) int { return c.lines["cdn."+name+key] }
		if one == nil || one.Provider == "" {
			return fmt.Errorf("line %d: CDN %q has no provider: one of %s", line(""), name, strings.Join(providerNames(), ", "))
		}
		p := providerOf(one.Provider)
		switch {
		case p == nil:
			return fmt.Errorf("line %d: CDN %q: no provider %q: %s", line(".provider"), name, one.Provider, nearestOr(one.Provider, providerNames()))
		case providerOf(name) != nil || slices.Contains(purgeVerbs, name):
			return fmt.Errorf("line %d: a CDN cannot have the name of the command \"purge %s\"", line(""), name)
		case strings.ContainsAny(name, " \t\n./"):
			return fmt.Errorf("line %d: bad name %q: a CDN's name has no spaces, dots or slashes", line(""), name)
		case len(*one.targets()) == 0 || slices.Contains(*one.targets(), ""):
			return fmt.Errorf("line %d: CDN %q has no %s", line(""), name, p.target)
		case one.token().places() > 1:
			return fmt.Errorf("line %d: CDN %q has more than one place for a token", line(""), name)
		}
		settings := reflect.ValueOf(one).Elem()
		for i := range settings.NumField() {
			key, _, _ := strings.Cut(settings.Type().Field(i).Tag.Get("yaml"), ",")
			common := slices.Contains([]string{"", "provider", "read_only", "protected", "endpoint"}, key)
			if !common && !settings.Field(i).IsZero() && !slices.Contains(p.settings, key) {
				return fmt.Errorf("line %d: CDN %q: %s has no %s: known are %s", line("."+key), name, p.name, key, strings.Join(p.settings, ", "))
			}
		}
		one.name = name
	}
	return nil
}

func nearestOr(word string, known []string) string {
	if near := render.Nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "known are " + strings.Join(known, ", ")
}

// findCDN is the CDN of that name, or a usage error with the nearest one.
func (c *config) findCDN(name string) (*cdn, error) {
	if one, ok := c.CDN[name]; ok {
		return one, nil
	}
	known := slices.Sorted(maps.Keys(c.CDN))
	err := usagef("no CDN %q in the configuration", name)
	if near := render.Nearest(name, append(slices.Clone(known), append(providerNames(), purgeVerbs...)...)); near != "" {
		return nil, withHint(err, "did you mean %q?", "cachectl purge "+near)
	}
	if len(known) == 0 {
		return nil, withHint(err, `one is named there like this: cdn: {site: {provider: cloudflare, zone: example.com}}; without a name: "cachectl purge cloudflare --zone example.com"`)
	}
	return nil, withHint(err, "known are %s", strings.Join(known, ", "))
}

// cdnNames completes the name of a CDN.
func cdnNames(env *Env) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		c, err := loadConfig(env)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return slices.Sorted(maps.Keys(c.CDN)), cobra.ShellCompDirectiveNoFileComp
	}
}

// settings are the flags for what c says, those of its provider only. How
// names are completed: zones of the configuration; of distributions, nobody here
// knows.
func (c *cdn) add(cmd *cobra.Command, env *Env, p *provider) {
	f := cmd.Flags()
	list := func(to *some, name, usage string) { f.StringArrayVar((*[]string)(to), name, nil, usage) }
	for _, key := range p.settings {
		switch key {
		case "distribution":
			list(&c.Distribution, key, "a distribution, by `ID, ALIAS or DOMAIN`; may be repeated")
			cmd.RegisterFlagCompletionFunc(key, c.known(env, key))
		case "zone":
			list(&c.Zone, key, "a zone, by `ID or NAME`; may be repeated")
			cmd.RegisterFlagCompletionFunc(key, c.known(env, key))
		case "server":
			list(&c.Server, key, "a server's `URL`, such as http://10.0.0.5:6081; may be repeated")
			cmd.RegisterFlagCompletionFunc(key, c.known(env, key))
		case "profile":
			f.StringVar(&c.Profile, key, "", "`profile` of the shared AWS configuration")
		case "region":
			f.StringVar(&c.Region, key, "", "AWS `region` to sign in at; CloudFront itself has none")
		case "role":
			f.StringVar(&c.Role, key, "", "`ARN` of a role to assume")
		case "plan":
			f.StringVar(&c.Plan, key, "", "the account's plan, whose limits hold: free|pro|business|enterprise")
			complete(cmd, key, "free", "pro", "business", "enterprise")
		case "environment":
			f.StringVar(&c.Environment, key, "", "`ref` of an environment of zone versions, to purge that one only")
		case "token_env":
			f.StringVar(&c.TokenEnv, "token-env", "", "environment `variable` that holds the API token")
		case "token_file":
			f.StringVar(&c.TokenFile, "token-file", "", "`file` that holds the API token")
		case "token_command":
			f.StringVar(&c.TokenCommand, "token-command", "", "shell `command` that prints the API token")
		case "tag_method":
			f.StringVar(&c.TagMethod, "tag-method", "", "how tags are purged: xkey-purge|xkey-softpurge, gone or stale")
			complete(cmd, "tag-method", string(purge.XKeyPurge), string(purge.XKeySoftPurge))
		}
	}
	if p.target != "server" && f.Lookup("endpoint") == nil {
		f.StringVar(&c.Endpoint, "endpoint", "", "base `URL` of the API, instead of the provider's own")
	}
}

// known completes targets that the configuration names.
func (c *cdn) known(env *Env, key string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		all, err := loadConfig(env)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, name := range slices.Sorted(maps.Keys(all.CDN)) {
			if one := all.CDN[name]; providerOf(one.Provider).target == key {
				names = append(names, *one.targets()...)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// The variables for Cloudflare that other tools read as well.
const (
	cloudflareToken = "CLOUDFLARE_API_TOKEN"
	cloudflareURL   = "CLOUDFLARE_BASE_URL"
)

// open opens the CDN's targets, its token going to the provider alone.
func (c *cdn) open(ctx context.Context, env *Env, kinds []purge.Kind, batch int) ([]purge.Purger, error) {
	opener, ok := env.CDNs[c.Provider]
	if !ok {
		return nil, fmt.Errorf("this build has no CDN %s", c.Provider)
	}
	s := purge.Settings{
		Targets: *c.targets(), Kinds: kinds, Endpoint: c.Endpoint, BatchSize: batch,
		Plan: c.Plan, Environment: c.Environment, Profile: c.Profile, Region: c.Region, Role: c.Role, Tags: purge.TagMethod(c.TagMethod),
	}
	if c.Provider == "cloudflare" {
		if err := c.letIn(ctx, env, &s); err != nil {
			return nil, err
		}
	}
	return opener(ctx, s)
}

// letIn adds what Cloudflare wants of the environment.
func (c *cdn) letIn(ctx context.Context, env *Env, s *purge.Settings) (err error) {
	if s.Endpoint == "" {
		s.Endpoint = env.Getenv(cloudflareURL)
	}
	if u, err := url.Parse(s.Endpoint); err == nil && u.Scheme == "http" && !slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, u.Hostname()) {
		return usagef("endpoint http://%s: the token would go there readable for everybody on the way; use https", u.Host)
	}
	if c.token().places() > 1 {
		return usagef("--token-env, --token-file and --token-command do not go together")
	}
	if s.Token, err = c.token().fetch(ctx, env, "API token"); err == nil && s.Token == "" {
		named := slices.ContainsFunc(c.Zone, func(zone string) bool { return strings.Contains(zone, ".") })
		if s.Token = env.Getenv(cloudflareToken); s.Token == "" && c.dry && !named {
			s.Token = "none" // a plan for IDs asks nobody, and CI plans where there are no secrets
		}
		if s.Token == "" {
			return withHint(fmt.Errorf("cloudflare: %w: no API token", purge.ErrAuth),
				"set %s, or say where it is: --token-env, --token-file, --token-command", cloudflareToken)
		}
	}
	return err
}

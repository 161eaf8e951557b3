package commands

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

// A target is the cache a command is for, and where each part of that came from.
type target struct {
	url      *url.URL
	context  string // name of the context, or ""
	profile  *profile
	origin   string // what named the target
	password string // where the password comes from, in words; "" when there is none
}

// targetFlag is the value of -t, or of an argument that names a cache in its way.
type targetFlag struct {
	value string
	named string // what the argument is called; empty: it is the flag
}

func (f *targetFlag) add(cmd *cobra.Command, env *Env) {
	cmd.Flags().StringVarP(&f.value, "target", "t", "", "the cache: a context's `name or URL`")
	cmd.RegisterFlagCompletionFunc("target", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		c, err := loadConfig(env)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return append(c.names(), "mem://", "redis://"), cobra.ShellCompDirectiveNoFileComp
	})
}

// The variables that name a target where nothing else does, in this order.
var urlVariables = []string{"REDIS_URL", "VALKEY_URL", "MEMCACHED_URL"}

// resolve finds the target: flag, CACHECTL_TARGET, current context, then the
// usual URL variables.
func (f *targetFlag) resolve(env *Env) (*target, error) {
	value, origin := f.value, "flag --target"
	if f.named != "" {
		origin = f.named
	}
	if value == "" {
		value, origin = env.Getenv("CACHECTL_TARGET"), "environment variable CACHECTL_TARGET"
	}
	if strings.Contains(value, "://") { // needs no configuration, so a broken one is no obstacle
		return new(config).target(value, origin)
	}
	c, err := loadConfig(env)
	if err != nil {
		return nil, err
	}
	if value != "" {
		return c.target(value, origin)
	}
	if c.Current != "" {
		return c.target(c.Current, fmt.Sprintf("current context of %s", c.path))
	}
	for _, name := range urlVariables {
		if value := env.Getenv(name); value != "" {
			return c.target(value, "environment variable "+name)
		}
	}
	return nil, withHint(usagef("no cache named"),
		"say which with -t redis://host:6379, CACHECTL_TARGET or a context; to try it without a server: -t mem://")
}

// target turns a context's name or a URL into a target.
func (c *config) target(value, origin string) (*target, error) {
	if strings.Contains(value, "://") {
		u, err := parseTarget(value)
		if err != nil {
			return nil, &usageError{fmt.Errorf("%s: %w", origin, err)}
		}
		t := &target{url: u, origin: origin, profile: &profile{}}
		if _, has := u.User.Password(); has {
			t.password = "in the URL, " + origin
		}
		return t, nil
	}
	p, ok := c.Contexts[value]
	if !ok && strings.ContainsAny(value, "@/") { // a URL without its scheme may hold a password
		return nil, withHint(usagef("%s: it is no context, and no URL", origin), "a URL begins with its scheme, such as redis://")
	}
	if !ok {
		err := usagef("%s: no context %q", origin, value)
		if near := render.Nearest(value, c.names()); near != "" {
			return nil, withHint(err, "did you mean %q?", near)
		}
		return nil, withHint(err, `contexts are listed by "cachectl context list"; a server is named by a URL such as redis://%s`, value)
	}
	u, err := parseTarget(p.URL)
	if err != nil {
		return nil, &usageError{fmt.Errorf("context %q: %w", value, err)}
	}
	t := &target{url: u, context: value, profile: p, origin: origin, password: p.password().source()}
	if _, has := u.User.Password(); has {
		t.password = fmt.Sprintf("in the URL of context %q", value)
	}
	return t, nil
}

// neverDelete are the patterns of keys that no command deletes: the context's own,
// and the key in which ElastiCache keeps the list of a cluster's nodes.
func (t *target) neverDelete() []string {
	return append(slices.Clone(t.profile.NeverDelete), "AmazonElastiCache:*")
}

// open opens the target and gives its secrets to the backend alone.
func (f *targetFlag) open(ctx context.Context, env *Env) (backends.Backend, *target, error) {
	t, err := f.resolve(env)
	if err != nil {
		return nil, nil, err
	}
	if holdsPassword(t.url) && (strings.HasPrefix(t.origin, "flag") || f.named != "" && t.context == "") {
		env.warn("a password on the command line shows in the process list; use REDISCLI_AUTH or a context's password_file")
	}
	opener, ok := env.Schemes[t.url.Scheme]
	if !ok {
		return nil, nil, unknownScheme(env, t.url.Scheme)
	}
	u, err := t.withSecrets(ctx, env)
	if err != nil {
		return nil, nil, err
	}
	b, err := opener(ctx, u)
	if errors.Is(err, backends.ErrURL) {
		return nil, nil, &usageError{err}
	}
	return b, t, err
}

// withSecrets is the URL with the passwords in it. It goes to the opener only.
func (t *target) withSecrets(ctx context.Context, env *Env) (*url.URL, error) {
	u := *t.url
	password, err := t.profile.password().read(ctx, env)
	if err != nil {
		return nil, err
	}
	if _, has := u.User.Password(); has {
		password = ""
	} else if password == "" && redisLike(u.Scheme) {
		password = env.Getenv("REDISCLI_AUTH")
	}
	if password != "" {
		u.User = url.UserPassword(u.User.Username(), password)
	}
	password, err = t.profile.sentinelPassword().read(ctx, env)
	if err != nil {
		return nil, err
	}
	if password != "" {
		query := u.Query()
		query.Set("sentinel_password", password)
		u.RawQuery = query.Encode()
	}
	return &u, nil
}

func redisLike(scheme string) bool {
	return scheme == "unix" || strings.HasPrefix(scheme, "redis") || strings.HasPrefix(scheme, "valkey")
}

func unknownScheme(env *Env, scheme string) error {
	var known []string
	for name := range env.Schemes {
		known = append(known, name)
	}
	slices.Sort(known)
	err := usagef("unknown scheme %q in the target", scheme+"://")
	if near := render.Nearest(scheme, known); near != "" {
		return withHint(err, `did you mean %s://? All are in "cachectl help targets"`, near)
	}
	return withHint(err, "known are %s", strings.Join(known, ", "))
}

// parseTarget reads a URL that may name several hosts, which net/url refuses.
// The URL may hold a password, so errors repeat no part of it but the scheme.
func parseTarget(raw string) (*url.URL, error) {
	scheme, rest, _ := strings.Cut(raw, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	if strings.Contains(tail, "@") && !strings.Contains(authority, "@") {
		return nil, errors.New(`bad URL: an "@" behind the host: percent-encode "/", "?" and "#" in the password`)
	}
	var user *url.Userinfo
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		u, err := url.Parse("x://" + authority[:i+1] + "h")
		if err != nil {
			return nil, errors.New("bad URL: the user or password holds a character that must be percent-encoded")
		}
		user, authority = u.User, authority[i+1:]
	}
	u, err := url.Parse(scheme + "://" + tail)
	if err != nil {
		return nil, fmt.Errorf("bad URL: %w", errors.Unwrap(err))
	}
	if _, err := url.ParseQuery(u.RawQuery); err != nil {
		return nil, fmt.Errorf("bad URL: %w", err)
	}
	for host := range strings.SplitSeq(authority, ",") {
		colons := strings.Count(host, ":") > 1 && !strings.HasPrefix(host, "[")
		if _, err := url.Parse("x://" + host); err != nil || colons || host == "" && strings.Contains(authority, ",") {
			return nil, fmt.Errorf("bad URL: bad host %q", host)
		}
	}
	u.User, u.Host = user, authority
	return u, nil
}

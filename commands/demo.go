package commands

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
)

// tour is what demo shows: a line that says why, and the command.
var tour = []struct {
	why  string
	args []string
}{
	{"Is the cache there, and what is it?", []string{"ping"}},
	{"What is in it? A few carts, with type, time to live and size.", []string{"ls", "cart:*", "--limit", "5"}},
	{"Which keys take the most memory?", []string{"ls", "--sort", "size", "--top", "5"}},
	{"A leak: sessions that never expire.", []string{"ls", "--prefix", "session:", "--ttl", "none"}},
	{"One key in full, its value decoded.", []string{"get", "product:0042"}},
	{"What would go? A dry run lists it, and changes nothing.", []string{"rm", "session:*", "--ttl", "none", "--dry-run"}},
	{"Delete it. The plan, the question and the pace are left out here.", []string{"rm", "session:*", "--ttl", "none", "--yes"}},
	{"Let carts expire within the hour, not all at once.", []string{"expire", "cart:*", "--ttl", "1h", "--jitter", "10%", "--yes"}},
	{"How warm is it? Two looks, half a second apart.", []string{"hitrate", "--interval", "500ms"}},
	{"The same as a check for CI: exit status 3 if it is too cold.", []string{"hitrate", "--interval", "500ms", "--fail-if", "hit_rate < 0.5", "-o", "json", "--jq", ".hit_rate"}},
	{"The cache in front of it all: what would a CDN be asked to purge? A plan needs no network.",
		[]string{"purge", "varnish", "--server", "http://127.0.0.1:6081", "--tag", "product:0042", "--path", "/index.html", "--path", "/index.html", "--prefix", "/img/", "--dry-run"}},
}

type demoOptions struct{ listen string }

func newDemo(env *Env) *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "A guided tour on a built-in cache; no server needed",
		Long: `A tour of the commands on a small shop's cache that runs inside cachectl, each
command printed with its output. It takes a few seconds and touches nothing else.

--listen keeps that cache open for a second terminal until you press Ctrl-C. It
behaves like Redis, but it is not one: it proves nothing about speed, memory or
eviction.`,
		Example: `  cachectl demo
  cachectl demo --listen 127.0.0.1:6400`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), env) },
	}
	cmd.Flags().StringVar(&o.listen, "listen", "", "keep the cache open at this `address`")
	return describe(cmd, "setup", impactNone, exitsFailed, exitsUsage, exitsInterrupted)
}

func (o *demoOptions) run(ctx context.Context, env *Env) error {
	if o.listen != "" {
		return o.serve(ctx, env)
	}
	quiet := *env
	quiet.Getenv = without(env.Getenv, "CACHECTL_TARGET", "CACHECTL_CONFIG", "REDISCLI_AUTH")
	quiet.quiet = true
	var errs bytes.Buffer
	quiet.Err = &errs
	for _, step := range tour {
		fmt.Fprintf(env.Out, "# %s\n$ cachectl %s\n", step.why, shellWords(step.args))
		args := append(step.args, "-q")
		if step.args[0] != "purge" { // which is for no cache
			args = append(args, "-t", "mem://")
		}
		if code := Main(ctx, &quiet, args...); code != exitDone {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			env.Err.Write(errs.Bytes())
			return fmt.Errorf("the tour stopped: that command ended with exit status %d", code)
		}
		fmt.Fprintln(env.Out)
	}
	fmt.Fprint(env.Out, `# Your own cache:
#   cachectl ping -t redis://localhost:6379
#   export CACHECTL_TARGET=redis://localhost:6379
# This one, kept open for a second terminal:
#   cachectl demo --listen 127.0.0.1:6400
`)
	return nil
}

// serve keeps the demonstration cache open until the context ends, which is
// how it is meant to end.
func (o *demoOptions) serve(ctx context.Context, env *Env) error {
	addr, err := env.Serve(ctx, o.listen)
	if err != nil {
		return withHint(fmt.Errorf("listen: %w", err), "give a free address, such as 127.0.0.1:6400")
	}
	fmt.Fprintf(env.Out, "a small shop's cache is open at redis://%s; in a second terminal:\n\n", addr)
	for _, step := range tour[:5] {
		fmt.Fprintf(env.Out, "  cachectl -t redis://%s %s\n", addr, shellWords(step.args))
	}
	fmt.Fprintln(env.Out, "\nCtrl-C closes it.")
	<-ctx.Done()
	return nil
}

func without(getenv func(string) string, names ...string) func(string) string {
	return func(name string) string {
		for _, n := range names {
			if n == name {
				return ""
			}
		}
		return getenv(name)
	}
}

// shellWords joins arguments as one would type them.
func shellWords(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		if words[i] = a; a == "" || strings.ContainsFunc(a, special) {
			words[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// special tells whether a shell may take a letter for more than itself.
func special(r rune) bool {
	return r < 0x80 && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_@%+=:,./-", r)
}

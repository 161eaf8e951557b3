package commands

import (
	"context"
	"os"
	"strings"

	"github.com/spf13/cobra"

	input "github.com/cachectl/cachectl/backends/source"
)

func newWarmSQL(env *Env) *cobra.Command {
	var o warm
	cmd := &cobra.Command{
		Use:   "sql",
		Short: "Fill a cache with the rows of a PostgreSQL query",
		Long: `Fill a cache with the rows of a PostgreSQL query: what an application that reads
through its cache would put there. The rows come from a cursor in a read-only
transaction of one snapshot, so nothing can be written to the database, and memory
does not grow with the rows.

Which database is said by --dsn, or by PGHOST, PGDATABASE, PGUSER and the other
variables of libpq. The password belongs into PGPASSWORD or ~/.pgpass; it is kept
nowhere, so a run that goes on is given --dsn again. It also runs the query again:
without an ORDER BY that leaves no choice it would go on at another row.

Each row's key is a template of its columns, its value a column (--value) or the
whole row as JSON, as row_to_json writes it.

` + fillingCare,
		Example: `  cachectl warm sql --dsn postgres://app@db/shop --query 'SELECT id, name, price FROM products' --key 'product:{id}' --ttl 1h
  cachectl warm sql --query-file hot.sql --key 'user:{id}:profile' --value profile --ttl @max_age --jitter 10%
  cachectl warm sql --query 'SELECT * FROM pages ORDER BY id' --key 'page:{path}' --heat hits --hottest-first --dry-run`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, env, args, o.fromSQL) },
	}
	o.add(cmd, env)
	f := cmd.Flags()
	f.StringVar(&o.query.DSN, "dsn", "", "the database: postgres://USER@HOST/DATABASE, or 'host=... dbname=...'")
	f.StringVar(&o.query.SQL, "query", "", "one `SELECT`")
	f.StringVar(&o.queryFile, "query-file", "", "a `file` with the query, instead")
	f.DurationVar(&o.query.Timeout, "query-timeout", 0, "how long the database may take for the first rows, and for each fetch of more; default its own statement_timeout")
	cmd.MarkFlagFilename("query-file")
	return describe(cmd, "", impactWrite, exitsFilling...)
}

// fromSQL makes the feed of a query.
func (o *warm) fromSQL(_ context.Context, env *Env, args []string) error {
	switch {
	case len(args) > 0:
		return usagef("unknown argument %q: the query is --query", args[0])
	case (o.query.SQL == "") == (o.queryFile == ""):
		return usagef("one of --query and --query-file is wanted")
	case o.mapping.Key == "":
		return withHint(usagef("no --key: what each row's key is"), "a template of its columns: --key 'user:{id}'")
	}
	if o.queryFile != "" {
		text, err := os.ReadFile(o.queryFile)
		if err != nil {
			return err
		}
		o.query.SQL = strings.TrimRight(strings.TrimSpace(string(text)), ";")
	}
	if err := o.mapping.Validate(); err != nil {
		return &usageError{err}
	}
	name, err := input.QueryName(o.query.DSN)
	if err != nil {
		return &usageError{err}
	}
	if strings.Contains(o.query.DSN, "password=") || passwordInURL(o.query.DSN) {
		env.warn("a password on the command line shows in the process list; use PGPASSWORD or ~/.pgpass")
	}
	f := &streamFeed{filling: &o.filling, hottest: o.hottest, stand: "row"}
	f.lines = [][2]string{{"query", firstWords(o.query.SQL, 70)}}
	f.open = func(ctx context.Context, at input.Offset) (input.Stream, func() error, error) {
		return input.Query(ctx, o.query, o.mapping, input.Options{From: at, Now: env.Now}), func() error { return nil }, nil
	}
	o.from, o.feed = name, f
	return nil
}

// passwordInURL tells whether a DSN is a URL with a password in it.
func passwordInURL(dsn string) bool {
	_, rest, isURL := strings.Cut(dsn, "://")
	user, _, has := strings.Cut(rest, "@")
	return isURL && has && strings.Contains(user, ":")
}

// firstWords is the beginning of a text on one line.
func firstWords(text string, most int) string {
	line := []rune(strings.Join(strings.Fields(text), " "))
	if len(line) > most {
		return string(line[:most]) + " …"
	}
	return string(line)
}

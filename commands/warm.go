package commands

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/backends"
	input "github.com/cachectl/cachectl/backends/source"
)

// A warm is a filling from a file or a database.
type warm struct {
	filling
	target  targetFlag
	mapping input.Mapping
	hottest bool

	format    string
	delimiter string
	headless  bool
	noQuotes  bool

	query     input.QueryOptions
	queryFile string
}

const fillingCare = `Keys that are there stay as they are (--if-missing, the default); --replace puts
what is loaded in their place, and asks first. --ttl is for records that would never
expire, --jitter spreads all TTLs, the same for a key in every run, and keys with
less than --min-ttl left are skipped.

The memory is watched: near the bound of --keep-free, or when keys are evicted, it
slows down, and then stops with exit status 4. The pace is that of rm: adaptive,
--rate or --pace max. A run of more than 1,000 records keeps a journal, and --resume
goes on after a stop or a kill: every record is loaded or rejected, some twice. A node
that is lost on the way is waited for, or who takes its place, for --retry-for.

Records that cannot be used, or that the server refuses, go to --rejects FILE with
line and reason; the rest is loaded, and the exit status is 4. --max-errors stops
when there are too many. --dry-run reads everything and loads nothing. --verify 1%
reads that share of what was loaded again and compares type, TTL and value.`

func newWarm(env *Env) *cobra.Command {
	var o warm
	cmd := &cobra.Command{
		Use:   "warm FILE",
		Short: "Fill a cache from a file, a database or through the site's own URLs",
		Long: `Fill a cache from a file, or from standard input (-). The format is told by the
name, or by how the file begins; gzip and zstd are unpacked.

  ndjson   a record a line: {"key": "user:1", "type": "hash", "value": {"name": "Ann"},
           "ttl": 3600}; type is string (the default), hash, list, set or zset;
           key_b64 and value_b64 for bytes; ttl_ms or expires_at; flags of memcached
  csv tsv  a table; the first row names its columns
  resp     commands, as redis-cli --pipe takes them. SETs become records; other
           commands change what is there as they say, and need --replace. Of those a
           run that goes on may carry out some twice
  backup   what rm --backup wrote

With --key every object or row is a record of your own making: the key is a template
('user:{id}:profile'), the value a field (--value) or the whole row as JSON.

` + fillingCare,
		Example: `  cachectl warm users.ndjson.zst --dry-run
  cachectl warm users.csv --key 'user:{id}' --ttl 1h --jitter 10%
  cachectl warm pages.jsonl --key 'page:{path}' --value html --ttl @max_age --hottest-first --heat hits
  cachectl warm dump.resp --pace max --rejects bad.ndjson
  cachectl warm users.backup --replace --yes --verify 1%
  cachectl warm urls https://www.example.com/sitemap.xml
  cachectl warm --resume
  cachectl warm - --format ndjson --keep-free 20% -o json`,
		Annotations: map[string]string{operand: "FILE"},
		Args:        cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && cmd.Flags().NFlag() == 0 {
				return cmd.Help()
			}
			return o.run(cmd, env, args, o.fromFile)
		},
	}
	o.add(cmd, env)
	f := cmd.Flags()
	f.StringVar(&o.format, "format", "", "what the file is: "+strings.Join(fileFormats, "|"))
	f.StringVar(&o.delimiter, "delimiter", "", "what stands between the fields of a table, one `character`; a comma in csv, a tab in tsv")
	f.BoolVar(&o.headless, "headerless", false, "the table has no header: its columns are called 1, 2, 3")
	f.BoolVar(&o.noQuotes, "no-quotes", false, "a quote in the table is a character like any other")
	complete(cmd, "format", fileFormats...)
	cmd.AddCommand(newWarmSQL(env), newWarmUrls(env))
	return describe(cmd, "change", impactWrite, exitsFilling...)
}

// The exit lines of commands that fill a cache.
var exitsFilling = []exit{exitsFailed, exitsRefused,
	{exitCheck, "more records were bad than --max-errors allows, or --verify found differences"},
	{exitPartial, "partial: some records were rejected, or it was stopped for want of memory"}, exitsInterrupted}

// add adds what all commands have that read records.
func (o *warm) add(cmd *cobra.Command, env *Env) {
	o.target.add(cmd, env)
	f := cmd.Flags()
	f.StringVar(&o.mapping.Key, "key", "", "each row's key, a `template`: 'user:{id}:profile'")
	f.StringVar(&o.mapping.Value, "value", "", "the `field` that is the value; by default the whole row as JSON")
	f.StringVar(&o.mapping.Type, "type", "", "what the value becomes: string|hash|list|set|zset")
	f.StringVar(&o.mapping.TTL, "ttl-field", "", "the `field` that says how long a row lives: seconds, or 1h30m; --ttl @FIELD is the same")
	f.StringVar(&o.mapping.Expires, "expires-field", "", "the `field` that says when a row expires: RFC 3339, or seconds since 1970")
	f.StringVar(&o.mapping.Heat, "heat", "", "the `field` that says how hot a row is: a number or a time, higher is hotter")
	f.BoolVar(&o.hottest, "hottest-first", false, "load what is hottest first; sorts by heat before anything is loaded")
	complete(cmd, "type", "string", "hash", "list", "set", "zset")
	o.filling.add(cmd)
	f.StringVar(&o.selection.rate, "rate", "", "at most so many records a second: `5000/s`")
	f.Lookup("ttl").Usage = "how `long` keys live that would never expire: 1h, 7d; or @FIELD, see --ttl-field"
}

// run fills the target with what open names.
func (o *warm) run(cmd *cobra.Command, env *Env, args []string, open func(ctx context.Context, env *Env, args []string) error) error {
	ctx := cmd.Context()
	if o.resume != "" && len(args) == 1 && args[0] == "-" { // read again, up to where it was
		args = nil
	}
	args, err := o.load(cmd, env, args)
	if err != nil {
		return err
	}
	o.words = words{command: "warm", verb: "warm", done: "loaded", did: backends.Loaded}
	ro, err := o.parse(cmd, env)
	if err == nil && o.field != "" {
		if o.mapping.TTL != "" {
			err = usagef("--ttl @%s and --ttl-field do not go together", o.field)
		}
		o.mapping.TTL = o.field
	}
	if err == nil {
		err = open(ctx, env, args)
	}
	if err != nil {
		return errors.Join(err, o.journal.Close())
	}
	t, err := o.target.resolve(env)
	if err != nil {
		return err
	}
	if err := t.may("load keys"); err != nil && !o.dryRun {
		return err
	}
	b, t, err := o.target.open(ctx, env)
	if err != nil {
		return err
	}
	defer b.Close()
	return o.filling.run(cmd, env, ro, b, t, args)
}

// size is how many records go in a parcel.
func (f *filling) size() int {
	if n := f.selection.query.Count; n > 0 {
		return min(n, parcelRecords)
	}
	return parcelRecords
}

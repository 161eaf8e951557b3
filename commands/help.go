package commands

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// topics are the help pages that belong to no command.
var topics = []struct{ name, short, text string }{
	{"exit-codes", "What each exit status means", `The exit status is an interface: scripts may depend on it.

  0    done; nothing found is done, too
  1    failed: no cache answered, or it refused; a purge of an empty list
  2    wrong usage or configuration; a change that needs --yes, or was declined
  3    a check did not hold (--fail-if, --expect, --max-keys), or could not be judged;
       a purge was not complete in time (--wait) or not verified
  4    partial: some nodes or items failed, the others' results are shown
  130  interrupted (Ctrl-C); what was found so far is shown

A check that did not hold outranks a partial answer. The answer goes to stdout;
errors, hints, notes and progress go to stderr.`},
	{"environment", "Environment variables", `  CACHECTL_TARGET   the cache: a context's name or a URL; the flag -t outranks it
  CACHECTL_CONFIG   the configuration file, instead of the XDG place
  REDIS_URL, VALKEY_URL, MEMCACHED_URL
                    the cache, where neither flag, CACHECTL_TARGET nor a current
                    context names one
  REDISCLI_AUTH     password for Redis and Valkey, where neither the URL nor the
                    context has one
  XDG_STATE_HOME    where journals and the audit file are kept; default ~/.local/state
  XDG_CONFIG_HOME   where cachectl/config.yaml is looked for; default ~/.config
  CLOUDFLARE_API_TOKEN, CLOUDFLARE_BASE_URL
                    Cloudflare's token and API, where nothing else names them
  AWS_...           as the aws command reads them: AWS_PROFILE, AWS_ACCESS_KEY_ID,
                    AWS_ENDPOINT_URL_CLOUDFRONT and so on
  GITHUB_OUTPUT, GITHUB_STEP_SUMMARY
                    files to which purge appends what it did
  NO_COLOR          no colour, if set to anything
  TERM              no colour, if "dumb"

A context's password_env names a variable of your own.`},
	{"targets", "How to say which cache", `A target is a context's name or a URL. The first of these that is there counts:
-t, CACHECTL_TARGET, the current context, REDIS_URL, VALKEY_URL, MEMCACHED_URL.

  redis://[USER[:PASSWORD]@]HOST[:6379][/DB]    one Redis or Valkey (valkey://)
  rediss://...                                  over TLS (valkeys://)
  redis+cluster://HOST:PORT,HOST:PORT           a Cluster, from any of its nodes
  redis+sentinel://MASTER@HOST:26379,HOST:26379[/DB]
                                                the master that Sentinel names
  unix:///run/redis/redis.sock[?db=N]           over a socket
  memcached://[USER:PASSWORD@]HOST[:11211],HOST memcached, every node asked; memcacheds:// over
                                                TLS; a password is for servers started with -Y
  mem://                                        a small shop's cache inside cachectl

valkey may be written for redis everywhere, and rediss+cluster, rediss+sentinel
for TLS. Parameters behind a "?":

  read=replica            walk a replica of each shard where one answers
  timeout=30s             for connecting and for each answer; default 5s and 10s
  discover=elasticache    memcached: the host is a configuration endpoint that names the nodes
  user=NAME               ACL user, where the URL has another name in its place
  tls_ca=FILE             authority that signed the server's certificate
  tls_cert=FILE, tls_key=FILE
                          client certificate
  tls_server_name=NAME    name to ask for and to verify (SNI)
  tls_skip_verify=true    do not verify the server: it can be anybody
  sentinel_user=NAME      user at the sentinels; its password by a context's
                          sentinel_password_env, _file or _command

Percent-encode "@", "/", "?" and "#" in a password, or better, keep it out of
the URL: REDISCLI_AUTH, or a context with password_env, password_file or
password_command.

Every kind here lists keys, shows values and reports statistics. Of memcached:
the whole key list is read at full speed into a spool whatever you do with it,
because a reader that pauses harms the server's other clients; before 1.6.19 the
list may be incomplete, which is said. Idle time is the server's "la", which the
first read after a store does not move. No version shows a value without
counting a hit; what else the look did is told.`},
	{"safety", "What a command that destroys asks, and what holds it back", `Before it deletes, a command tells its plan: how many keys (an estimate with its
95 % interval, or a count), memory, examples, every node's share, time. Then

  on a terminal        it asks
  elsewhere            it wants --yes; without it, exit status 2
  read_only context    refuses
  protected context    wants its name, typed or by --confirm NAME; --yes is not enough
  never_delete         patterns of a context whose keys always stay, and always
                       AmazonElastiCache:*, where ElastiCache lists its nodes
  --all-keys           is needed where a pattern leaves nothing out
  --max-keys N, --max-percent 5%
                       refuse when surely more match, and stop in time when it
                       turns out so: exactly so many are gone then
  --expect '12000±10%' counts first, and goes on only within these bounds

The adaptive pace keeps each server busy for at most 60 % of its time. It asks ten
times a second how the server is: the latency of a PING, values unlinked but not
yet freed, how far replicas are behind, evictions. When one of them suffers it
halves its share, says so, and goes on with at least 4 %; when all is well the share
grows again. --rate N/s and --pace max do not look.

What a run cannot know: a key that is written behind the walk stays (--passes 2
looks again), and one that is rewritten between being seen and being deleted goes,
unless --unchanged says otherwise.

Ctrl-C stops after the pages under way; what was deleted is told exactly. Runs of
more than 1,000 keys keep a journal in the state folder ($XDG_STATE_HOME/cachectl,
by default ~/.local/state/cachectl): "rm --resume" goes on after Ctrl-C, a crash or a
lost server. Every run adds a line to audit.ndjson there, "restore" too; one that was
killed has its counts in the line of the run that goes on with it.

--backup FILE keeps each key's value, TTL and heat before it goes, and "restore" puts
them back. A key that is rewritten between being kept and being deleted is kept as it
was before, unless --unchanged leaves it alone.

What fills a cache ("warm", "copy") leaves keys alone that are there, and does not ask;
--replace does. A read_only context refuses it, a protected one wants its name. It
looks at the memory all the while: so that --keep-free (10 % of each node's limit)
stays free, and nothing is evicted, it slows down and then stops, with status 4.

A plan can be looked through first: --plan-out FILE writes the exact keys, each with
what its value is now, and --plan FILE takes exactly those that still are that.`},
	{"cdn", "Purging a CDN: what each can do, repeats, interruptions, CI", `  what                CloudFront          Cloudflare            Varnish
  --path /a.css       on every host       with --host: a URL    on every host
  --path '/img/*'     a wildcard          with --host: a prefix ban
  --url URL           no: the path        yes, and --header     yes, and --header
  --prefix            /img/, as /img/*    example.com/img       /img/, host/img
  --tag               if opted in         yes                   xkey
  --host              no                  yes                   yes
  --everything        yes                 yes                   yes
  status, --wait      yes                 no: accepted is all   done when answered
  cost                per item            none                  none

Paths that contain ~ cannot be purged on CloudFront; a wildcard above them can.
"cachectl purge TARGET ... --dry-run" says for every item what becomes of it.

A purge is at least once. A call whose answer was lost is sent again; on
CloudFront under the same CallerReference, made of the idempotency key and the
items, so that it is neither done nor paid twice. The key is --idempotency-key,
else in CI the step of the run (GITHUB_RUN_ID with job and action, CI_PIPELINE_ID
with the job, BUILDKITE_BUILD_ID, CIRCLE_WORKFLOW_ID, BUILD_BUILDID, ...; never the
attempt), else random. A step that purges the same items twice, before and after
something, and the legs of a matrix, need keys of their own: otherwise the second
purge is taken for a repeat of the first, which is told.

Every run keeps a journal in $XDG_STATE_HOME/cachectl/purge, by default
~/.local/state/cachectl/purge, until all is purged; --journal FILE keeps it
elsewhere, for good. After Ctrl-C, a crash or a partial failure
"cachectl purge TARGET --resume" sends what is left, and nothing else.

--wait waits until CloudFront says that all is complete (exit status 3 after
--timeout). --verify URL asks for the URL before and after, and passes only on
evidence that what comes is not from before the purge (Age, CF-Cache-Status, X-Cache,
Cache-Status, ETag); it knows this point of presence only.

A list has one item a line: /... is a path, https://... a URL, #... a tag, or all are
what --file-kind says. --git-diff takes deleted and renamed files along, and needs
--map to know what a file is served as; all maps that fit count.

In GitHub Actions the step's outputs are purge_ids (one a line), purged, failed,
failed_items (JSON, the first hundred) and journal, and its summary is written.

Credentials: CloudFront takes those of the AWS command line, and the permissions
cloudfront:CreateInvalidation, GetInvalidation (--wait), ListInvalidations (purge
list), ListDistributions (a name instead of an ID) and GetDistributionConfig
(--tag). Cloudflare takes an API token with Zone > Cache Purge > Purge, and
Zone > Zone > Read to find a zone by its name, from CLOUDFLARE_API_TOKEN,
--token-env, --token-file or --token-command: never on the command line.`},
	{"formatting", "Output formats, columns, jq and colour", `  -o table      for people; the default
  -o wide       with more columns
  -o json       one document; long lists stream, one element a line
  -o ndjson     one JSON value a line
  -o yaml, -o csv, -o markdown
  -o prom       Prometheus text, for commands with numbers

  --columns A,B   these columns, in this order; only they are asked of the cache
  --jq EXPR       a jq expression over the JSON; alone it prints strings bare,
                  with -o json, ndjson or yaml in that format
  --out FILE      write there instead, in one step when complete
  --no-header     tables without their header
  --color auto|always|never; NO_COLOR is honoured

A pipe changes decoration only: colour, and cutting to the terminal's width.

Keys are bytes. In tables and CSV a key with a space, a quote, a control
character or invalid UTF-8 is quoted as redis-cli quotes it: "line\nbreak",
"\x00"; "cachectl get --quoted" takes that form back. In JSON and YAML "key"
holds valid UTF-8; any other is in "key_b64", in base64.

Machines get plain numbers: _ms and _seconds for times, _bytes for sizes, ratios
from 0 to 1. "-" and null are facts nobody knows; ttl_ms is -1 for a key that
never expires.`},
}

// newTopics are the help pages as commands, so that "cachectl help NAME" finds them.
func newTopics() []*cobra.Command {
	var cmds []*cobra.Command
	for _, t := range topics {
		cmds = append(cmds, &cobra.Command{Use: t.name, Short: t.short, Long: t.text})
	}
	return cmds
}

func newHelp(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "help [COMMAND | TOPIC]",
		Short: "Help about a command or a topic",
		Long:  "Help about a command, or about a topic: exit-codes, environment, targets, safety, cdn, formatting.",
		Example: `  cachectl help ls
  cachectl help exit-codes`,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			found, _, err := cmd.Root().Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, sub := range found.Commands() {
				if !sub.Hidden {
					names = append(names, sub.Name()+"\t"+sub.Short)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return withHint(usagef("no help for %q", strings.Join(args, " ")), `see "cachectl --help"`)
			}
			if isTopic(found) {
				_, err := fmt.Fprintln(env.Out, found.Long)
				return err
			}
			return found.Help()
		},
	}
	return describe(cmd, "setup", impactNone, exitsUsage)
}

func isTopic(cmd *cobra.Command) bool { return !cmd.Runnable() && !cmd.HasSubCommands() }

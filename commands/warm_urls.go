package commands

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"github.com/cachectl/cachectl/commands/render"
)

type warmURLOptions struct {
	output  output
	gates   gates
	pace    pace
	journal warmRecording

	from             string
	hostTexts        []string
	resolve          []string
	headerTexts      []string
	variantTexts     []string
	method           string
	noFollow         bool
	top, minCount    int
	match, exclude   []string
	concurrency      int
	rate             string
	maxErrors        int
	timeoutRaw       string
	maxBodyRaw       string
	verify, noVerify bool
	failures         string
	dryRun, perURL   bool

	hosts    warmHosts
	resolved map[string]string // host:port in small letters, to the address that is dialled
	header   http.Header
	variants []http.Header // one at least
	limiter  *rate.Limiter
	timeout  time.Duration
	maxBody  int64
}

func newWarmUrls(env *Env) *cobra.Command {
	var o warmURLOptions
	cmd := &cobra.Command{
		Use:   "urls SOURCE...",
		Short: "Ask for URLs, the hottest first, so that the caches in front of a site have them",
		Long:  warmURLsLong,
		Example: `  cachectl warm urls https://www.example.com/sitemap.xml
  cachectl warm urls /var/log/nginx/access.log --host https://www.example.com --top 5000
  cachectl warm urls urls.txt --host https://www.example.com --variant 'Accept-Encoding: br' --variant 'Accept-Encoding: gzip'
  cachectl warm urls urls.txt --host https://www.example.com --match '/product/*' --rate 50/s --fail-if 'hit_rate < 0.9'
  cachectl warm urls sitemap.xml --host https://www.example.com --resolve www.example.com:443:10.0.0.7
  cachectl warm urls access.log.gz --host https://www.example.com --min-count 10 --dry-run -o csv
  cachectl warm urls --resume`,
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, env, args) },
	}
	o.add(cmd)
	return describe(cmd, "", impactWrite,
		exit{exitFailed, "failed: nothing could be warmed, or --max-errors was reached"}, exitsUsage, exitsCheck,
		exit{exitPartial, "partial: some URLs failed, or were refused; which is told"}, exitsInterrupted)
}

const warmURLsLong = `Ask a site for URLs by its own front door, so that the CDN and the caches behind it
have them before people ask.

A SOURCE is a file or - with a URL or path a line, an access log (combined format or
CloudFront's), or a sitemap, which may also be a URL and an index of others; gzip is
unpacked. --from says which it is where that is not clear. URLs of a log are asked
for by their number of requests, those of a sitemap by their priority, the hottest
first; others in their order.

Only sites that --host names are asked, or that of a sitemap's URL: a list may name
anybody's. No cookies are sent. Accept-Encoding is what browsers send, because some
caches keep a copy for each text of it; --header and --variant say it otherwise.
With several variants each URL is asked for once a variant, and each counts. HEAD
fills nothing at most caches, so GET it is, and bodies are read to their end.

A URL that was no hit is asked for again: by Age, CF-Cache-Status, X-Cache, X-Varnish
and Cache-Status that tells whether the cache has it now. States are

  hit         the cache had it already
  filled      it did not, and has it now
  not_cached  it did not, and does not; the reason is what the answer itself says
  unknown     nothing in the answers tells
  redirected  another URL's name; of the same site that is asked for, too
  failed      no answer, or HTTP 4xx or 5xx

What is seen is one point of presence of a CDN, the one that is near to here.

The origin comes first: requests begin two at a time, and become fewer when its
answers take twice as long as calm ones or fail. A 429, or a 503 with Retry-After,
is waited for (a minute at most) and asked again, at any --pace. --max-errors counts
URLs that failed for the server's sake: without an answer, with HTTP 429 or 5xx.

Runs of more than 1,000 URLs keep a journal. --resume goes on: what was done is not
asked for again, but for the last second's where the process was killed; what
failed for the server's sake is. The values of --header are not kept, and are to be
given again.

Fields of --fail-if: hit_rate (hits and filled, of all but redirects), hit_rate_before,
hits, filled, not_cached, unknown, failed, refused, redirected, urls, requests,
requests_per_second, miss_p50, hit_p50.`

var warmGateFields = []string{"hit_rate", "hit_rate_before", "hits", "filled", "not_cached", "unknown", "failed", "refused", "redirected",
	"urls", "requests", "requests_per_second", "miss_p50", "hit_p50"}

func (o *warmURLOptions) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.from, "from", "", "what SOURCE is: list|sitemap|log; by default it is guessed from how it begins")
	complete(cmd, "from", fromList, fromSitemap, fromLog)
	f.StringArrayVar(&o.hostTexts, "host", nil, "a `site` that may be asked: https://www.example.com; paths are of the first; may be repeated")
	f.BoolVar(&o.hosts.any, "any-host", false, "ask whichever site a source names")
	f.StringArrayVar(&o.resolve, "resolve", nil, "dial `HOST:PORT:ADDR`'s address for a host, as to warm one edge; may be repeated")
	f.StringArrayVar(&o.headerTexts, "header", nil, "a request header, `NAME: VALUE`; may be repeated")
	f.StringArrayVar(&o.variantTexts, "variant", nil, "ask for each URL with this header, `NAME: VALUE`, and again for each other --variant")
	f.StringVar(&o.method, "method", "GET", "GET or HEAD, which fills nothing at most caches")
	complete(cmd, "method", http.MethodGet, http.MethodHead)
	f.BoolVar(&o.noFollow, "no-follow", false, "take a redirect for an answer, instead of asking for its target")
	f.IntVar(&o.top, "top", 0, "only the `N` hottest")
	f.IntVar(&o.minCount, "min-count", 0, "only those with `N` requests in the logs at least")
	f.StringArrayVar(&o.match, "match", nil, "only URLs that match this `PATTERN`; one that begins with / is for path and query; may be repeated")
	f.StringArrayVar(&o.exclude, "exclude", nil, "no URLs that match this `PATTERN`; may be repeated")
	f.IntVar(&o.concurrency, "concurrency", 8, "requests at a time, at most")
	f.StringVar(&o.rate, "rate", "", "at most so many requests a second: `50/s`")
	o.pace.add(cmd)
	f.Lookup("pace").Usage = "how hard: adaptive (slows down when the origin suffers) or max"
	f.IntVar(&o.maxErrors, "max-errors", 100, "stop after `N` URLs that failed for the server's sake; 0: never")
	f.StringVar(&o.timeoutRaw, "timeout", "30s", "how long an answer may take, to its end")
	f.StringVar(&o.maxBodyRaw, "max-body", "256MiB", "the `size` of a body above which it is cut off, and failed")
	f.BoolVar(&o.verify, "verify", true, "ask again whether the cache has it")
	f.BoolVar(&o.noVerify, "no-verify", false, "ask once, and do not look whether it helped")
	o.gates.add(cmd, "hit_rate < 0.9")
	f.StringVar(&o.failures, "failures", "", "write the URLs that failed to a `file`, fit for a SOURCE")
	f.BoolVar(&o.dryRun, "dry-run", false, "list the URLs, in any format, and ask for none")
	f.BoolVar(&o.perURL, "urls", false, "a row for each URL instead of one for each state and reason")
	o.journal.add(cmd)
	o.output.add(cmd, slices.Concat(columnNames(warmReasonColumns), columnNames(warmURLColumns)[2:], []string{"count"})...)
}

// variantName says a variant as it was given; "" where there is one only.
func (o *warmURLOptions) variantName(n int) string {
	if n < len(o.variantTexts) {
		return o.variantTexts[n]
	}
	return ""
}

func (o *warmURLOptions) run(cmd *cobra.Command, env *Env, args []string) error {
	ctx := cmd.Context()
	defer o.journal.close()
	args, err := o.journal.load(cmd, env, args)
	if err != nil {
		return err
	}
	ro, err := o.parse(cmd, args)
	if err != nil {
		return err
	}
	asker := newWarmAsker(env, o)
	defer asker.close()
	list := o.journal.resumed
	if list == nil {
		if list, err = o.readWarmList(ctx, env, asker, args); err != nil {
			return err
		}
		list.tell(env)
	}
	if err := list.usable(&o.hosts); err != nil {
		return err
	}
	if o.dryRun {
		return o.list(env, ro, list)
	}
	return o.carryOut(cmd, env, ro, asker, list, args)
}

// carryOut warms, and says what came of it.
func (o *warmURLOptions) carryOut(cmd *cobra.Command, env *Env, ro render.Options, asker *warmAsker, list *warmList, args []string) error {
	if o.method == http.MethodHead {
		env.note("most caches store nothing for HEAD: this shows what is cached rather than fill it")
	}
	if o.header.Get("Authorization") != "" {
		env.warn("with Authorization a cache that does not keep to RFC 9111 may store for everybody what is meant for you")
	}
	done := newWarmTally(o, list, &o.journal)
	if err := done.writeFailures(o.failures); err != nil { // it must not turn out afterwards that it cannot be written
		return err
	}
	if err := o.journal.begin(cmd, env, list, &o.hosts, args); err != nil {
		return err
	}
	began := env.Now()
	run := done.fold(cmd.Context(), env, asker)
	done.end = env.Now().Sub(began)
	kept := o.journal.conclude(env, run == nil && done.blamed == 0)
	done.tell(env)
	gates := error(nil)
	if run == nil {
		gates = o.gates.check(done.values())
	}
	err := errors.Join(o.output.print(env, ro, done.doc()), done.writeFailures(o.failures), done.err(run), gates, kept)
	o.audit(cmd, env, done, err)
	return err
}

func (o *warmURLOptions) audit(cmd *cobra.Command, env *Env, done *warmTally, run error) {
	flags := whatFlags(cmd)
	delete(flags, "header")
	line := auditLine{Command: "warm urls", Target: strings.Join(done.sites(), ","), Flags: flags, Counts: make(map[string]int64),
		Seconds: done.end.Seconds(), Journal: o.journal.path, Continues: o.journal.resumed != nil}
	for state, n := range done.counts {
		line.Counts[string(state)] = int64(n)
	}
	line.write(env, run)
}

// fold warms all that is left, and counts. Its error is why that ended early.
func (d *warmTally) fold(ctx context.Context, env *Env, asker *warmAsker) error {
	limited, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	run := warmRun{warmAsker: asker, variants: d.o.variants, workers: d.o.concurrency, verify: !d.o.noVerify, follow: !d.o.noFollow,
		permitted: d.o.hosts.permits, listed: d.listed, known: d.known(), found: d.journal.found}
	progress := newCountProgress(env, "warmed", d.total())
	defer progress.stop()
	for w := range run.run(limited, d.items()) {
		for _, text := range w.news {
			progress.clear()
			env.note("%s", text)
		}
		d.add(&w)
		d.journal.did(env, &w)
		progress.set(d.done)
		if d.o.maxErrors > 0 && d.blamed == d.o.maxErrors {
			stop(errTooMany)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if context.Cause(limited) == errTooMany && d.done < d.total() {
		return withHint(fmt.Errorf("stopped: %s failed (--max-errors %d)", plural(int64(d.blamed), "URL"), d.o.maxErrors), "%s", d.journal.goOnHint())
	}
	return nil
}

var errTooMany = errors.New("too many errors")

// sites are those of the list.
func (d *warmTally) sites() []string {
	var all []string
	for _, u := range d.list.urls {
		if parsed, err := url.Parse(u.URL); err == nil && !slices.Contains(all, site(parsed)) {
			if all = append(all, site(parsed)); len(all) == 20 {
				break
			}
		}
	}
	return all
}

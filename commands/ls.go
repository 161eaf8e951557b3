package commands

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/analyze"
	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

type lsOptions struct {
	target    targetFlag
	output    output
	selection selection
	limit     int64
	sort      string
	top       int
	nul       bool

	shown backends.Facts // of the columns
}

// What ls shows where nobody says otherwise, in every format but wide.
var lsColumns = []string{"key", "type", "ttl", "size"}

// defaultTop is how many leaders --sort keeps.
const defaultTop = 20

// orders are the values of --sort, the greatest score first.
var orders = map[string]struct {
	fact  backends.Facts
	score func(*backends.Entry) int64
}{
	"size": {backends.FactSize, func(e *backends.Entry) int64 { return e.Size }},
	"idle": {backends.FactIdle, func(e *backends.Entry) int64 { return int64(e.Idle) }},
	"freq": {backends.FactFreq, func(e *backends.Entry) int64 { return e.Freq }},
	"ttl": {backends.FactTTL, func(e *backends.Entry) int64 {
		if e.TTL == backends.NoTTL {
			return -1 << 63 // never expires: last
		}
		return -int64(e.TTL)
	}},
}

func newLs(env *Env) *cobra.Command {
	var o lsOptions
	cmd := &cobra.Command{
		Use:   "ls [PATTERN...]",
		Short: "List keys with facts, by pattern and filters",
		Long: `List keys as they come from the server, with what you ask to know of them.

PATTERN is a glob in the server's own dialect: * ? [a-c] [^a] and \ to take the
next character literally. --prefix takes its text literally. Of several, a key
matches one at least. The walk uses SCAN, never KEYS: a key that lives through it comes at least once and may come twice.

Only facts that are shown or filtered on are asked of the server. Types, TTLs
and idle times count as lookups in its hit statistics (they change nothing
else); how many is told at the end. "--columns key" and "--columns key,size"
leave no trace. A fact that is unknown shows as "-".

In tables, keys with odd bytes are quoted as redis-cli quotes them. In JSON such
a key is in "key_b64". -0 prints the bare bytes, each key ended by a NUL.`,
		Example: `  cachectl ls 'user:*' --limit 20
  cachectl ls --prefix 'cart[v2]:' --ttl none
  cachectl ls --sort size --top 10
  cachectl ls 'session:*' --idle '>30d' --columns key,idle
  cachectl ls 'tmp:*' -0 | xargs -0 -n 100 echo
  cachectl ls -o ndjson | jq -r 'select(.ttl_ms == -1).key'`,
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), env, args) },
	}
	o.target.add(cmd, env)
	o.selection.add(cmd)
	o.output.add(cmd, columnNames(listColumns)...)
	f := cmd.Flags()
	f.Int64Var(&o.limit, "limit", 0, "stop after so many keys")
	f.StringVar(&o.sort, "sort", "", "the keys that lead in `FACT`: size (largest), ttl (soonest to expire), idle (longest), freq (most used)")
	f.IntVar(&o.top, "top", 0, fmt.Sprintf("how many keys --sort keeps (default %d)", defaultTop))
	f.BoolVarP(&o.nul, "null", "0", false, "print bare keys, each ended by a NUL byte")
	complete(cmd, "sort", "size", "ttl", "idle", "freq")
	return describe(cmd, "look", impactRead, exitsFailed, exitsUsage, exitsPartial, exitsInterrupted)
}

func (o *lsOptions) run(ctx context.Context, env *Env, patterns []string) error {
	ro, err := o.parse(ctx, env, patterns)
	if err != nil {
		return err
	}
	b, _, err := o.target.open(ctx, env)
	if err != nil {
		return err
	}
	defer b.Close()
	scanner, err := backends.As[backends.Scanner](b)
	if err != nil {
		return err
	}
	lost := newTrouble(env)
	progress := newWalkProgress(env, "keys", env.Term.Out && o.output.file == "" && o.sort == "")
	lost.before = progress.clear
	pages := backends.Observe(aside(lost, insist(scanner.Scan(ctx, o.selection.query), o.needs())), progress.page)
	if o.selection.limiter != nil {
		pages = backends.Pace(ctx, pages, o.selection.limiter.WaitN)
	}
	shown := int64(0)
	pages = o.late(ctx, b, lost, o.choose(pages))
	pages = backends.Observe(pages, func(p backends.Page) { shown += int64(len(p.Entries)) })
	err = o.print(env, ro, pages)
	progress.stop()
	o.summary(env, b, progress, shown, err)
	return errors.Join(err, lost.err(progress.some()))
}

// parse reads the flags into a query.
func (o *lsOptions) parse(ctx context.Context, env *Env, patterns []string) (render.Options, error) {
	ro, err := o.output.options(ctx, env)
	if err != nil {
		return ro, err
	}
	if len(ro.Columns) == 0 && ro.Format != render.Wide {
		ro.Columns = lsColumns
	}
	if err := o.selection.parse(patterns); err != nil {
		return ro, err
	}
	if o.limit < 0 || o.top < 0 {
		return ro, usagef("--limit and --top are at least 1")
	}
	if o.top > 0 && o.sort == "" {
		return ro, usagef("--top goes with --sort: it is how many keys that keeps")
	}
	if o.top == 0 {
		o.top = defaultTop
	}
	if o.nul {
		if o.output.format != "" || o.output.jq != "" || len(o.output.columns) > 0 {
			return ro, usagef("-0 prints bare keys: it does not go with -o, --jq or --columns")
		}
		ro.Columns = []string{"key"}
	}
	chosen, err := ro.Choose(listColumns)
	if err != nil {
		return ro, err
	}
	for _, i := range chosen {
		if i < len(keyColumns) {
			o.shown |= keyColumns[i].fact
		}
	}
	if o.limit > 0 && len(o.selection.filters) == 0 && len(o.selection.patterns) == 0 && o.selection.query.Keep == nil && o.selection.kind == "" && o.sort == "" {
		o.selection.query.Count = int(min(int64(o.selection.query.Count), o.limit))
	}
	if o.sort != "" {
		order, ok := orders[o.sort]
		if !ok {
			return ro, withHint(usagef("bad --sort %q", o.sort), "it is size, ttl, idle or freq")
		}
		o.selection.query.Want |= order.fact
	}
	if !o.picks() {
		o.selection.query.Want |= o.shown
	}
	return ro, nil
}

// needs are the facts without which the answer would be wrong, not just poorer.
func (o *lsOptions) needs() backends.Facts {
	return o.selection.needs() | orders[o.sort].fact
}

// insist ends the walk with an error when a fact that it cannot do without is
// not to be had: a filter over the unknown finds nothing, which would look like
// an answer.
func insist(pages iter.Seq2[backends.Page, error], needs backends.Facts) iter.Seq2[backends.Page, error] {
	return func(yield func(backends.Page, error) bool) {
		for page, err := range pages {
			var notice *backends.Notice
			if errors.As(err, &notice) && notice.Facts&needs != 0 {
				yield(backends.Page{}, fmt.Errorf("%w: %s: %s, and this selection needs it: %w", backends.ErrDenied, notice.Shard, notice.What, notice.Err))
				return
			}
			if !yield(page, err) {
				return
			}
		}
	}
}

// picks tells whether most keys that are walked will not be shown. Their facts
// are then asked for late, for those that are.
func (o *lsOptions) picks() bool { return o.limit > 0 || o.sort != "" }

// late asks for the facts that are shown and not yet known.
func (o *lsOptions) late(ctx context.Context, b backends.Backend, lost *trouble, pages iter.Seq2[backends.Page, error]) iter.Seq2[backends.Page, error] {
	inspector, ok := b.(backends.Inspector)
	missing := o.shown &^ o.selection.query.Want
	if !ok || !o.picks() || missing == 0 {
		return pages
	}
	return func(yield func(backends.Page, error) bool) {
		for page, err := range pages {
			if err == nil && len(page.Entries) > 0 {
				page.Entries, err = o.inspect(ctx, inspector, lost, page.Entries, missing)
			}
			if !yield(page, err) || err != nil {
				return
			}
		}
	}
}

// inspect adds facts to entries. Those that vanished meanwhile are left out.
func (o *lsOptions) inspect(ctx context.Context, inspector backends.Inspector, lost *trouble, entries []backends.Entry, missing backends.Facts) ([]backends.Entry, error) {
	keys := func(yield func(string) bool) {
		for i := range entries {
			if !yield(entries[i].Key) {
				return
			}
		}
	}
	known, at := make([]backends.Entry, 0, len(entries)), 0
	for late, err := range aside(lost, inspector.Inspect(ctx, missing, keys)) {
		if err != nil {
			return known, err
		}
		for at < len(entries) && entries[at].Key != late.Key {
			at++
		}
		if at == len(entries) {
			break
		}
		known = append(known, entries[at].With(late))
		at++
	}
	return known, nil
}

// choose filters, sorts and cuts, page by page.
func (o *lsOptions) choose(pages iter.Seq2[backends.Page, error]) iter.Seq2[backends.Page, error] {
	if len(o.selection.filters) > 0 {
		pages = backends.Where(pages, o.selection.keep)
	}
	if o.sort != "" {
		pages = o.sorted(pages)
	}
	if o.limit > 0 {
		pages = cut(pages, o.limit)
	}
	return pages
}

func each[T any](seq iter.Seq2[T, error], change func(T) T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for item, err := range seq {
			if err == nil {
				item = change(item)
			}
			if !yield(item, err) {
				return
			}
		}
	}
}

// cut ends the pages after n entries.
func cut(pages iter.Seq2[backends.Page, error], n int64) iter.Seq2[backends.Page, error] {
	return func(yield func(backends.Page, error) bool) {
		left := n
		for page, err := range pages {
			if int64(len(page.Entries)) > left {
				page.Entries = page.Entries[:left]
			}
			left -= int64(len(page.Entries))
			if !yield(page, err) || left == 0 {
				return
			}
		}
	}
}

// sorted brings one page at the end: the leaders. An interrupted or broken
// walk brings those met so far, then its error.
func (o *lsOptions) sorted(pages iter.Seq2[backends.Page, error]) iter.Seq2[backends.Page, error] {
	order := orders[o.sort]
	return func(yield func(backends.Page, error) bool) {
		top := analyze.NewTop(o.top, func(e backends.Entry) (int64, string) { return order.score(&e), e.Key + "\x00" + e.Shard })
		known := backends.Filter(backends.Entries(pages), func(e backends.Entry) bool { return e.Have.Has(order.fact) })
		known = each(known, func(e backends.Entry) backends.Entry {
			e.Key = strings.Clone(e.Key) // a leader must not hold on to its whole page
			return e
		})
		err := analyze.Fold(known, func(error) {}, top)
		if yield(backends.Page{Entries: top.Items()}, nil) && err != nil {
			yield(backends.Page{}, err)
		}
	}
}

// print renders the pages, each as it comes.
func (o *lsOptions) print(env *Env, ro render.Options, pages iter.Seq2[backends.Page, error]) error {
	if o.nul {
		return o.output.to(env, func(w io.Writer) error { return printNUL(w, pages) })
	}
	chosen, err := ro.Choose(listColumns)
	if err != nil {
		return err
	}
	return o.output.print(env, ro, render.Doc{Columns: listColumns, Rows: keyRows(pages, keyColumns, chosen)})
}

func printNUL(out io.Writer, pages iter.Seq2[backends.Page, error]) error {
	w := bufio.NewWriterSize(out, 64<<10)
	for page, err := range pages {
		if err != nil {
			return errors.Join(err, w.Flush())
		}
		for i := range page.Entries {
			w.WriteString(page.Entries[i].Key)
			w.WriteByte(0)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// summary tells on stderr what the answer itself does not: an interrupted walk
// how far it came, and the marks that the look left.
func (o *lsOptions) summary(env *Env, b backends.Backend, p *walkProgress, shown int64, err error) {
	if err != nil {
		env.note("incomplete: %s shown, about %.0f%% of the keyspace walked", plural(shown, "key"), p.share()*100)
	}
	tellFootprint(env, b)
}

// tellFootprint owns up to lookups that the server counted.
func tellFootprint(env *Env, b backends.Backend) {
	if f, ok := b.(backends.Footprinter); ok && f.Footprint() > 0 {
		env.note("the server's hit and miss counters include %s of this look", plural(f.Footprint(), "lookup"))
	}
}

// plural counts things in words: "1 key", "1,234 keys".
func plural(n int64, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return render.Int(n).Text + " " + thing
}

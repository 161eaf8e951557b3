package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
	"github.com/cachectl/cachectl/loadgen"
	"github.com/cachectl/cachectl/loadgen/fleet"
)

type loadOptions struct {
	experiment // with --pattern
	output     output
	gates      gates
	record     runFlags

	against                     targetFlag
	connections, depth, threads int
	waiting                     int
	prefix                      string
	names                       keyFile
	named                       []string
	noFill, keep                bool
	hgrm                        string
}

func newLoad(env *Env) *cobra.Command {
	o := loadOptions{record: runFlags{kind: loadgen.LoadRun}}
	o.catalogue = fleet.Patterns()
	o.traffic = trafficFlags{rate: "1000/s", duration: "30s", warmup: "2s", keys: 10_000, law: "zipf:0.99", size: "100", mix: "90:10"}
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Open-loop traffic with a chosen rate, key distribution, mix and pattern",
		Long: `Send requests at the times when they are due, and tell how long they took from that
moment. Nothing waits for an answer before it asks again, so a server that stalls
shows as all the requests that were due meanwhile, not as one slow request; the time
from the sending is beside it, as "service". --rate max is the other kind, a closed
loop: each connection asks when it has been answered, which measures what a
server can do and hides what its users wait.

If the generator itself was late, requests were dropped or the run was cut short, the
run is called invalid, and says why. Checks (--fail-if) do not pass on such a run.

Keys are under a prefix of their own, written before the run (--no-fill leaves that
out), expire by themselves some time after it, and are removed at the end, also on
Ctrl-C. Nothing else is touched: where one of the keys is there already, the run is
refused. A server that is not on this machine's loopback
is loaded only with --yes-load-this-server, and the run stops by itself when a
server begins to evict keys or its memory passes a limit.

--against B sends the same requests to a second cache, after the first, and puts the
two side by side. --pattern runs whole applications, with processes, cache and
origin, and tells how often they answer with old data, what they lose in a crash and what
they cost the origin; with --virtual on a simulated clock. The origin is --origin.

Patterns:
` + choiceList(fleet.Patterns()),
		Example: `  cachectl load -t redis://localhost:6379 --rate 20000/s --duration 60s
  cachectl load -t redis://localhost:6379 --rate max --connections 50 --depth 16 --mix 50:50
  cachectl load -t redis://localhost:6379 --rate 1000-50000/s:steps=10 --duration 5m --html load.html
  cachectl load -t redis://localhost:6379 --against valkey://localhost:6380 --rate 10000/s
  cachectl load -t memcached://localhost --distribution hotspot:1%:90% --size lognormal:1KiB:1 --fail-if 'p99 > 10ms'
  cachectl load -t redis://localhost:6379 --seed 7 --shard 1/2 --start-at 15:04:05 --save 1.run
  cachectl load --virtual --pattern cache-aside,write-through,write-behind --mix 80:20 --keys 100
  cachectl load merge 1.run 2.run
  cachectl load compare before.run after.run`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd, env) },
	}
	o.target.add(cmd, env)
	f := cmd.Flags()
	f.StringVar(&o.against.value, "against", "", "a second cache to send the same requests to: a context's `name or URL`")
	o.traffic.add(cmd)
	o.traffic.addShards(cmd)
	f.StringVar(&o.traffic.mix, "mix", o.traffic.mix, "reads, writes and deletes in proportion: `90:10`, or 80:15:5")
	f.StringVar(&o.traffic.size, "size", o.traffic.size, "bytes of a value: `100`, 64-4KiB, lognormal:1KiB:1.5 or 64:0.9,4KiB:0.1")
	f.StringVar(&o.ttl, "ttl", "", "TTL of what is written: `60s`, 30s-90s or 60s+-10%; default: the run and ten minutes, with --pattern 10s")
	f.IntVar(&o.connections, "connections", loadgen.DefaultConnections, "connections to each node")
	f.IntVar(&o.depth, "depth", 16, "requests in flight on each connection (pipelining)")
	f.IntVar(&o.threads, "threads", 1, "event loops that share the connections")
	f.IntVar(&o.waiting, "max-waiting", loadgen.DefaultMaxWaiting, "requests that may wait for a free place on a connection; what is due beyond them is dropped")
	f.StringVar(&o.prefix, "prefix", "", "what keys begin with; default cachectl:load:SEED:")
	o.names.add(cmd)
	f.Lookup("key-file").Usage = "keys named as this `FILE` names them, behind the prefix, instead of by number"
	f.BoolVar(&o.noFill, "no-fill", false, "do not write the keys first: reads miss until they are written")
	f.BoolVar(&o.keep, "keep", false, "leave the keys there at the end")
	f.StringVar(&o.hgrm, "hgrm", "", "write the latencies to a `file` that HdrHistogram's plotters read")
	f.StringSliceVar(&o.compare, "pattern", nil, "`patterns`, see above; all: every one that the cache can do")
	complete(cmd, "pattern", append(choiceNames(o.catalogue), "all")...)
	o.experiment.add(cmd)
	f.BoolVar(&o.coalesce, "coalesce", false, "with --pattern: one fetch a key and process at a time, the others wait for it")
	o.patterned.add(cmd)
	o.guard.add(cmd)
	o.gates.add(cmd, "p99 > 10ms")
	o.record.add(cmd)
	o.output.add(cmd, eitherColumns()...)
	cmd.AddCommand(newLoadMerge(env), newLoadCompare(env), newLoadShow(env))
	return describe(cmd, "load", impactLoad, exitsFailed, exitsRefused, exitsCheck, exitsInterrupted)
}

func (o *loadOptions) run(cmd *cobra.Command, env *Env) error {
	if o.virtual && len(o.compare) == 0 {
		o.compare = []string{"cache-aside"}
	}
	if len(o.compare) > 0 {
		return o.runPatterns(cmd, env)
	}
	ro, err := o.parse(cmd, env)
	if err != nil {
		return err
	}
	o.guard.reads = o.noFill && o.traffic.traffic.Mix.Write+o.traffic.traffic.Mix.Remove == 0
	lanes, err := o.open(cmd.Context(), env)
	defer func() {
		for _, l := range lanes {
			l.backend.Close()
		}
	}()
	if err != nil {
		return err
	}
	if !cmd.Flags().Changed("seed") {
		env.note("--seed %d gives the same requests again", o.traffic.traffic.Seed)
	}
	var reports []*loadgen.Report
	var end error
	for _, l := range lanes {
		var r *loadgen.Report
		if r, end = o.send(cmd.Context(), env, l); r != nil {
			reports = append(reports, r)
		}
		if end != nil {
			break
		}
	}
	if len(reports) == 0 {
		return end
	}
	return errors.Join(end, o.conclude(env, ro, reports))
}

// patternOnly are the flags that say nothing of plain traffic.
var patternOnly = []string{
	"processes", "trigger", "timeout", "rtt", "lock-ttl", "poll", "jitter", "coalesce",
	"origin", "origin-servers", "origin-queue", "origin-sharing", "origin-fails",
	"sliding", "crash-every", "again", "refresh-at", "flush-every", "flush-batch", "local-ttl", "local-keys",
}

func (o *loadOptions) parse(cmd *cobra.Command, env *Env) (render.Options, error) {
	ro, err := o.output.options(cmd.Context(), env)
	if err != nil {
		return ro, err
	}
	for _, name := range patternOnly {
		if cmd.Flags().Changed(name) {
			return ro, usagef("--%s goes with --pattern", name)
		}
	}
	if o.against.value != "" && o.traffic.startAt != "" {
		return ro, usagef("--start-at does not go with --against: the second cache has its turn when the first has had its")
	}
	if err := o.readNames(cmd, env); err != nil {
		return ro, err
	}
	o.traffic.ttl = o.ttl
	if err := errors.Join(o.traffic.parse(cmd, env), o.guard.parse(), o.gates.parse(loadgen.FigureNames()...)); err != nil {
		return ro, err
	}
	_, all := o.traffic.measured()
	if t := &o.traffic.traffic; t.TTLs.Min == 0 && !o.keep {
		t.TTLs.Min = all + 10*time.Minute // so that nothing stays should we not come back
	}
	switch {
	case o.prefix == "" && cmd.Flags().Changed("prefix"):
		return ro, usagef("bad --prefix '': keys of a load have a prefix, by which they are told from others")
	case o.prefix == "":
		o.prefix = fmt.Sprintf("cachectl:load:%d:", o.traffic.traffic.Seed)
	}
	for _, n := range []struct {
		name        string
		value, most int
	}{{"connections", o.connections, 10_000}, {"depth", o.depth, 10_000}, {"threads", o.threads, 256}, {"max-waiting", o.waiting, 100_000_000}} {
		if n.value < 1 || n.value > n.most {
			return ro, usagef("bad --%s %d: it is from 1 to %s", n.name, n.value, render.Int(int64(n.most)).Text)
		}
	}
	return ro, errors.Join(o.guard.bounded(o.traffic.demand()), o.output.ready(ro, loadColumns, o.record.file, o.record.html, o.hgrm))
}

// A lane is one of the caches under load.
type lane struct {
	backend backends.Backend
	dialer  backends.Dialer
	nodes   int
	given   string // by the user, as a target
}

// open opens the caches, and makes sure that they are meant.
func (o *loadOptions) open(ctx context.Context, env *Env) (lanes []lane, err error) {
	targets := []targetFlag{o.target}
	if o.against.value != "" {
		targets = append(targets, o.against)
	}
	for _, f := range targets {
		b, d, nodes, err := o.guard.open(ctx, env, &f)
		if err != nil {
			return lanes, err
		}
		lanes = append(lanes, lane{backend: b, dialer: d, nodes: len(nodes), given: f.value})
	}
	return lanes, nil
}

// send puts one cache under load: fill, traffic, removal.
func (o *loadOptions) send(asked context.Context, env *Env, l lane) (report *loadgen.Report, err error) {
	ctx, stop := context.WithCancelCause(asked)
	defer stop(nil)
	c := loadgen.Config{
		Traffic: o.traffic.traffic, Dialer: l.dialer, Target: l.backend.Name(), Prefix: o.prefix,
		Names: o.named, Connections: o.connections, Depth: o.depth, Threads: o.threads, MaxWaiting: o.waiting,
		Written: loadgen.NewWritten(o.traffic.traffic.Keys.N),
	}
	bytes := o.traffic.demand().bytes/float64(l.nodes) + 100*float64(c.Traffic.Keys.N)
	if err := o.guard.fits(ctx, l.backend, bytes); err != nil {
		return nil, err
	}
	keep, watching := o.keep, make(chan struct{})
	go func() { defer close(watching); o.guard.watch(ctx, l.backend, bytes, stop) }()
	defer func() {
		stop(nil)
		<-watching
		if !keep {
			err = errors.Join(err, o.remove(asked, env, l.given, c))
		}
	}()
	if err := o.prepare(ctx, env, o.outlasting(env, c)); err != nil {
		if errors.Is(err, loadgen.ErrTaken) {
			keep, err = false, o.refusal(l.given)
		}
		return nil, o.ended(ctx, asked, err)
	}
	if err := o.waitForStart(ctx, env); err != nil {
		return nil, o.ended(ctx, asked, err)
	}
	live := newLive(env, l.backend.Name(), &o.traffic.traffic)
	run := c
	run.Observe, run.Begin = live.tick, o.traffic.start
	report, err = loadgen.Send(ctx, run)
	live.stop()
	return report, o.ended(ctx, asked, err)
}

// outlasting is what the filling gets: keys without a TTL of the user's outlive the wait for --start-at too. The traffic stays
// as it is, because shards that begin to wait at different times have the same.
func (o *loadOptions) outlasting(env *Env, c loadgen.Config) loadgen.Config {
	if wait := o.traffic.start.Sub(env.Now()); wait > 0 && o.ttl == "" && !o.keep {
		c.Traffic.TTLs.Min += wait
	}
	return c
}

// ended is what a run ends with: the reason why it was stopped, where it was.
func (o *loadOptions) ended(ctx, asked context.Context, err error) error {
	var stopped *loadStopped
	if cause := context.Cause(ctx); errors.As(cause, &stopped) {
		return cause
	}
	if asked.Err() != nil {
		return context.Cause(asked)
	}
	return err
}

// waitForStart waits for --start-at.
func (o *loadOptions) waitForStart(ctx context.Context, env *Env) error {
	wait := o.traffic.start.Sub(env.Now())
	switch {
	case o.traffic.start.IsZero():
		return nil
	case wait < 0:
		return fmt.Errorf("--start-at passed %s ago, while the keys were written", render.Duration(-wait).Text)
	}
	env.note("ready; the run begins in %s", render.Duration(wait).Text)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(wait - connecting):
		return nil
	}
}

// connecting is how long before --start-at connections are made, so that shards begin together however long that takes.
const connecting = 2 * time.Second

// conclude says what was measured, keeps it, and judges it.
func (o *loadOptions) conclude(env *Env, ro render.Options, reports []*loadgen.Report) error {
	for _, r := range reports {
		o.output.warnInvalid(env, ro, r.Target, r.Invalid)
	}
	file := func() (*loadgen.Run, error) {
		return &loadgen.Run{Kind: loadgen.LoadRun, Program: "cachectl " + env.Version, Made: env.Now(), Loads: reports}, nil
	}
	return errors.Join(
		o.output.print(env, ro, loadDoc(reports...)),
		o.record.save(file, func() render.Page { return loadPage(pageFoot(env), reports...) }),
		o.writeHgrm(reports),
		o.judge(reports))
}

// judge holds the reports against the checks. Of an invalid run nothing is known; why it is one was told with its figures.
func (o *loadOptions) judge(reports []*loadgen.Report) error {
	var judged []error
	for _, r := range reports {
		figures := r.Figures()
		if len(r.Invalid) > 0 && len(o.gates.all) > 0 {
			judged = append(judged, &checkError{"check could not be judged: the run is invalid"})
			continue
		}
		judged = append(judged, o.gates.check(figures))
	}
	return errors.Join(judged...)
}

// pageFoot says who made a page, and when.
func pageFoot(env *Env) string {
	return fmt.Sprintf("cachectl %s, %s", env.Version, env.Now().UTC().Format(time.RFC3339))
}

// writeHgrm writes the latencies as HdrHistogram's plotters read them, in milliseconds. A
// second cache's go to a file of their own, with a 2 before its suffix.
func (o *loadOptions) writeHgrm(reports []*loadgen.Report) error {
	if o.hgrm == "" {
		return nil
	}
	var all []error
	for i, r := range reports {
		path := o.hgrm
		if i > 0 {
			suffix := filepath.Ext(path)
			path = fmt.Sprintf("%s.%d%s", strings.TrimSuffix(path, suffix), i+1, suffix)
		}
		total := r.Total()
		all = append(all, replaceFile(path, 0o666, func(w io.Writer) error { return total.Latency.Hgrm(w, time.Millisecond) }))
	}
	return errors.Join(all...)
}

// eitherColumns are those of traffic and of patterns.
func eitherColumns() []string {
	names := columnNames(loadColumns)
	for _, name := range columnNames(patternColumns) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

package commands

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/commands/render"
	"github.com/cachectl/cachectl/loadgen/fleet"
	"github.com/cachectl/cachectl/loadgen/theory"
)

// An experiment is an application in front of a cache and an origin, tried with several
// strategies: what "stampede" and "load --pattern" have in common. Every strategy sees the
// same requests.
type experiment struct {
	target  targetFlag
	guard   loadGuard
	traffic trafficFlags
	origin  originFlags

	compare           []string
	virtual           bool
	ttl, stale        string
	lock, poll, ahead string
	jitter            string
	beta              float64
	dropLate          bool
	coalesce          bool
	processes         int
	patience, network string
	triggers          []string
	recovered         string
	skip              int

	patterned patternFlags
	catalogue []fleet.Choice
	options   fleet.Options
	choices   []fleet.Choice
	named     []string     // those of the choices that were not meant by "all" alone
	shared    fleet.Config // by all strategies
	http      *fleet.HTTPOrigin
	invalid   []string // why the figures of the strategy last tried do not stand
}

// add declares the flags that both commands have, but for those of the traffic.
func (o *experiment) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.virtual, "virtual", false, "simulate clock, cache and origin; no cache is talked to")
	f.StringVar(&o.jitter, "jitter", "0", "spread TTLs evenly by so much up and down: `10%`")
	f.StringVar(&o.lock, "lock-ttl", fleet.DefaultLock.String(), "how long a lock or a lease holds, as a `time`; shorter than a fetch it lets several through")
	f.StringVar(&o.poll, "poll", fleet.DefaultPoll.String(), "how often who waits looks again")
	f.IntVar(&o.processes, "processes", 4, "application processes, to which requests come at random")
	f.StringVar(&o.patience, "timeout", "none", "how long clients wait before they give up")
	f.StringVar(&o.network, "rtt", "200us", "with --virtual: round trip to the cache, as a `time`")
	f.StringArrayVar(&o.triggers, "trigger", nil, "something that happens at a time of the run: `flush@30s` (our keys are removed), expire@30s (all TTLs end), outage@30s+10s (the origin fails), crash@30s (a process ends with all it holds); repeatable")
	o.origin.add(cmd)
}

// A strategyRun is what became of one strategy.
type strategyRun struct {
	name     string
	report   *fleet.Report
	expected *theory.Expectation // of the origin calls per expiry; nil: nobody asked
	invalid  []string            // why the figures do not stand
}

// play tries the strategies one behind the other, and brings what became of those that were tried.
func (o *experiment) play(ctx context.Context, env *Env) (runs []strategyRun, err error) {
	stage, err := o.stage(ctx, env)
	if err != nil {
		return nil, err
	}
	defer stage.close()
	if err := o.keepAble(ctx, env, stage); err != nil {
		return nil, err
	}
	for i, choice := range o.choices {
		o.tellTurn(env, i)
		o.invalid = nil
		report, err := stage.play(ctx, o.config(choice))
		if report != nil {
			runs = append(runs, strategyRun{name: choice.Name, report: report, invalid: o.invalid})
		}
		if err != nil {
			return runs, err
		}
	}
	return runs, nil
}

// tellTurn says how long a run on the real clock will take.
func (o *experiment) tellTurn(env *Env, turn int) {
	if left := time.Duration(len(o.choices)-turn) * o.shared.Length; !o.virtual {
		env.note("%s: %s, %s left in all", o.choices[turn].Name, render.Duration(o.shared.Length).Text, render.Duration(left).Text)
	}
}

// parse reads the flags of both commands.
func (o *experiment) parse(cmd *cobra.Command, env *Env) (err error) {
	if o.virtual && !cmd.Flags().Changed("duration") && o.traffic.phases == "" {
		o.traffic.duration = "10m"
	}
	if err := errors.Join(o.traffic.parse(cmd, env), o.guard.parse(), o.origin.parse(o.virtual)); err != nil {
		return err
	}
	if o.options, err = o.parseOptions(cmd); err != nil {
		return err
	}
	if err := o.parseShared(cmd); err != nil {
		return err
	}
	if !o.virtual {
		if err := o.guard.bounded(o.traffic.demand()); err != nil {
			return err
		}
	}
	for _, p := range o.traffic.traffic.Phases {
		if p.Closed() {
			return usagef("bad --rate max: an application's users come when they come, so the rate is a number here")
		}
	}
	return errors.Join(o.realOrigin(env), o.choose())
}

// parseOptions reads what the strategies are told.
func (o *experiment) parseOptions(cmd *cobra.Command) (p fleet.Options, err error) {
	p = fleet.Options{DropLate: o.dropLate, Coalesce: o.coalesce, Beta: o.beta}
	if !cmd.Flags().Changed("stale") {
		o.stale = o.ttl
	}
	for _, d := range []struct {
		flag, text string
		into       *time.Duration
	}{{"ttl", o.ttl, &p.TTL}, {"stale", o.stale, &p.Stale}, {"lock-ttl", o.lock, &p.Lock}, {"poll", o.poll, &p.Poll}, {"ahead", o.ahead, &p.Ahead}} {
		if d.text == "" || d.text == "none" || d.text == "0" {
			continue
		}
		if *d.into, err = parseDuration(d.text); err != nil {
			return p, usagef("bad --%s: %w", d.flag, err)
		}
	}
	if p.Jitter, err = parseShare(o.jitter); err != nil {
		return p, usagef("bad --jitter: %w", err)
	}
	if p.Patterned, err = o.patterned.parse(); err != nil {
		return p, err
	}
	if err := p.Valid(); err != nil {
		return p, &usageError{err}
	}
	return p, nil
}

// parseShared reads what all strategies meet.
func (o *experiment) parseShared(cmd *cobra.Command) (err error) {
	x := &o.shared
	measured, all := o.traffic.measured()
	x.Processes, x.Seed, x.Skip = o.processes, o.traffic.traffic.Seed, o.skip
	x.Length, x.Warmup = all, all-measured
	x.Origin = o.origin.origin
	x.Rule = fleet.RecoveryRule{Seconds: 3}
	if x.Deaths, err = o.patterned.deaths(); err != nil {
		return err
	}
	if x.Rule.Ratio, err = parseShare(orElse(o.recovered, "90%")); err != nil {
		return usagef("bad --recovered: %w", err)
	}
	if o.patience != "none" && o.patience != "0" {
		if x.Patience, err = parseDuration(o.patience); err != nil {
			return usagef("bad --timeout: %w", err)
		}
	}
	rtt, err := parseDuration(o.network)
	switch {
	case err != nil:
		return usagef("bad --rtt: %w", err)
	case !o.virtual && cmd.Flags().Changed("rtt"):
		return usagef("--rtt goes with --virtual: a real cache has a round trip of its own")
	case o.virtual:
		x.Network = fleet.Fixed(rtt)
	}
	if o.virtual && (cmd.Flags().Changed("target")) {
		return usagef("--virtual talks to no cache: it does not go with --target")
	}
	if o.processes < 1 || o.processes > 100_000 {
		return usagef("bad --processes %d: it is from 1 to 100,000", o.processes)
	}
	if o.skip < 0 {
		return usagef("bad --skip %d: it is a number of expiries", o.skip)
	}
	for _, text := range o.triggers {
		t, err := parseTrigger(text)
		if err == nil && t.At >= all {
			err = fmt.Errorf("the run is over after %v", all)
		}
		if err != nil {
			return usagef("bad --trigger %q: %w", text, err)
		}
		x.Triggers = append(x.Triggers, t)
	}
	slices.SortStableFunc(x.Triggers, func(a, b fleet.Trigger) int { return int(a.At - b.At) })
	if len(x.Triggers) > 0 || o.options.TTL == 0 {
		x.Load = &fleet.Load{Keys: fleet.Key(o.traffic.keys), Lifetime: o.options.Lifetime, Took: x.Origin.Reads.Typical()}
	}
	return nil
}

// parseTrigger reads "flush@30s", "outage@30s+10s".
func parseTrigger(text string) (t fleet.Trigger, err error) {
	do, when, ok := strings.Cut(text, "@")
	at, length, long := strings.Cut(when, "+")
	if t.Do = do; !ok {
		return t, errors.New("write it as flush@30s, expire@30s or outage@30s+10s")
	}
	if t.At, err = parseDuration(at); err != nil {
		return t, err
	}
	if long {
		if t.For, err = parseDuration(length); err != nil {
			return t, err
		}
	}
	if err := t.Valid(); err != nil || !long || t.Do == fleet.Outage {
		return t, err
	}
	return t, fmt.Errorf("%s happens at once: it has no length", t.Do)
}

// parseShare reads "10%" or "0.1".
func parseShare(text string) (float64, error) {
	share, err := gateValue("")(text)
	if err == nil && (share < 0 || share > 1) {
		err = fmt.Errorf("%q is not from 0%% to 100%%", text)
	}
	return share, err
}

// choose finds the strategies by their names.
func (o *experiment) choose() error {
	for _, name := range o.compare {
		if name = strings.TrimSpace(name); name == "all" {
			for _, c := range o.catalogue {
				o.take(c)
			}
			continue
		}
		c, err := fleet.Choose(o.catalogue, name)
		if err != nil {
			usage := &usageError{err}
			if near := render.Nearest(name, choiceNames(o.catalogue)); near != "" {
				return withHint(usage, "did you mean %q?", near)
			}
			return usage
		}
		o.take(c)
		o.named = append(o.named, c.Name)
	}
	if len(o.choices) == 0 {
		return usagef("no strategy is named")
	}
	return nil
}

// take adds a strategy; one that is named twice is tried once, because it would meet the same requests.
func (o *experiment) take(c fleet.Choice) {
	if !slices.ContainsFunc(o.choices, func(had fleet.Choice) bool { return had.Name == c.Name }) {
		o.choices = append(o.choices, c)
	}
}

// config is the experiment with one strategy.
func (o *experiment) config(c fleet.Choice) fleet.Config {
	x := o.shared
	x.Strategy, x.Maker, x.Source = c.Name, c.Make(o.options), o.traffic.traffic.Source()
	return x
}

// realOrigin is the origin that is asked by HTTP, if one is named; it must be meant as the cache must.
func (o *experiment) realOrigin(env *Env) error {
	if o.origin.url == "" {
		return nil
	}
	u, err := url.Parse(strings.ReplaceAll(o.origin.url, "{key}", "0"))
	if err != nil || !strings.Contains(o.origin.url, "{key}") {
		return usagef("bad --origin %q: a real origin is a URL with {key} in it", o.origin.url)
	}
	switch x := &o.origin.origin; {
	case x.Fails > 0 || x.Sharing || x.Queue != 0:
		return usagef("--origin-fails, --origin-sharing and --origin-queue go with an --origin that is a law: a real one does as it does")
	case o.traffic.traffic.Mix.Write > 0:
		return withHint(usagef("a real --origin is asked by GET, and takes no writes"), "--mix 100:0 only reads")
	}
	o.http = &fleet.HTTPOrigin{URL: o.origin.url, Timeout: o.shared.Patience, Most: o.origin.servers}
	return o.guard.admitted(env, &target{profile: &profile{}}, []string{u.Host})
}

// judged holds each strategy's figures against the checks. Of an invalid run nothing is known; why it is one was told
// with its figures.
func judged(g *gates, runs []strategyRun, figures func(strategyRun) map[string]float64) (err error) {
	for _, r := range runs {
		if len(g.all) > 0 && len(r.invalid) > 0 {
			return &checkError{fmt.Sprintf("check could not be judged: the run of %s is invalid", r.name)}
		}
	}
	for _, r := range runs {
		if failed := g.check(figures(r)); failed != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", r.name, failed))
		}
	}
	return err
}

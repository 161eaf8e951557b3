package commands

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/loadgen"
)

// trafficFlags say which requests are made: how many, of which keys, how large, when.
type trafficFlags struct {
	rate, arrivals   string
	duration, warmup string
	phases           string
	keys             uint64
	law              string
	size, ttl, mix   string
	seed             uint64
	shard, startAt   string

	traffic loadgen.Traffic
	start   time.Time // zero: now
}

// add declares the flags. mixed says that the requests may write and delete.
func (o *trafficFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.rate, "rate", o.rate, "requests a second: `5000/s`, or 1000-5000/s for a ramp, 1000-5000/s:steps=5 for steps, or max: as fast as answers come (a closed loop, which hides waiting)")
	f.StringVar(&o.arrivals, "arrivals", "poisson", "law of arrival: poisson (independent of each other) or constant (evenly spaced)")
	f.StringVar(&o.duration, "duration", o.duration, "how long to measure, as a `time`")
	f.StringVar(&o.warmup, "warmup", o.warmup, "how long to run before anything is measured")
	f.StringVar(&o.phases, "phases", "", "phases with rates of their own, instead of --rate, --duration and --warmup: `warmup:10s@1000/s,30s@1000/s,1m@1000-5000/s`")
	f.Uint64Var(&o.keys, "keys", o.keys, "how many keys there are")
	f.StringVar(&o.law, "distribution", o.law, "which keys are meant: uniform, `zipf:0.99`, hotspot:10%:90% (of the keys, of the requests), latest:0.99, sequential")
	f.Uint64Var(&o.seed, "seed", 0, "of all chance; the same seed is the same traffic. Default: another one each time, which is told")
	complete(cmd, "arrivals", arrivalLaws...)
	complete(cmd, "distribution", "uniform", "zipf:0.99", "hotspot:10%:90%", "latest:0.99", "sequential")
}

// addShards declares the flags of a run that several machines share.
func (o *trafficFlags) addShards(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.shard, "shard", "", "send only the `I/N`-th part of the traffic, 1/3 to 3/3; together the parts are the whole, request by request. Needs --seed")
	f.StringVar(&o.startAt, "start-at", "", "begin at this `time` (RFC 3339, or 15:04:05 today), so that shards begin together")
}

// parse makes the traffic of the flags.
func (o *trafficFlags) parse(cmd *cobra.Command, env *Env) (err error) {
	t := &o.traffic
	if t.Phases, err = o.parsePhases(cmd); err != nil {
		return err
	}
	if t.Keys, err = loadgen.ParseKeys(o.law); err != nil {
		return &usageError{err}
	}
	t.Keys.N = o.keys
	if t.Sizes, err = loadgen.ParseSizes(o.size); err != nil {
		return &usageError{err}
	}
	if t.TTLs, err = loadgen.ParseTTLs(orElse(o.ttl, "none")); err != nil {
		return &usageError{err}
	}
	if t.Mix, err = loadgen.ParseMix(o.mix); err != nil {
		return &usageError{err}
	}
	if t.Seed = o.seed; !cmd.Flags().Changed("seed") {
		if o.shard != "" {
			return withHint(usagef("--shard needs --seed"), "all shards of a run have the same seed")
		}
		t.Seed = uint64(rand.Uint32())
	}
	if err := o.parseShard(env); err != nil {
		return err
	}
	if err := t.Valid(); err != nil {
		return &usageError{err}
	}
	return nil
}

func (o *trafficFlags) parsePhases(cmd *cobra.Command) ([]loadgen.Phase, error) {
	if !slices.Contains(arrivalLaws, o.arrivals) {
		return nil, usagef("bad --arrivals %q: it is %s", o.arrivals, strings.Join(arrivalLaws, " or "))
	}
	text := o.phases
	if text != "" {
		for _, name := range []string{"rate", "duration", "warmup", "arrivals"} {
			if cmd.Flags().Changed(name) {
				return nil, usagef("--phases says what --%s says: one of them", name)
			}
		}
	} else if err := o.badPhase(); err != nil {
		return nil, err
	} else {
		first, _, _ := strings.Cut(o.rate, "-") // a ramp is warmed up at its beginning
		if o.rate == "max" && cmd.Flags().Changed("arrivals") {
			return nil, usagef("--rate max asks when answers come: it has no --arrivals")
		}
		law := ""
		if o.arrivals == "constant" && o.rate != "max" {
			law = ":even"
		}
		if o.warmup != "" && o.warmup != "0" && o.warmup != "0s" {
			text = loadgen.WarmupName + ":" + o.warmup + "@" + first + law + ","
		}
		text += o.duration + "@" + o.rate + law
	}
	phases, err := loadgen.ParsePhases(text)
	if err != nil {
		return nil, &usageError{err}
	}
	return phases, nil
}

// badPhase names the one of the flags of which no phase can be made.
func (o *trafficFlags) badPhase() error {
	if _, err := loadgen.ParsePhases("1s@" + o.rate); err != nil {
		return usagef("bad --rate %q: write it as 5000/s, 1000-5000/s, 1000-5000/s:steps=5 or max", o.rate)
	}
	if _, err := loadgen.ParsePhases(o.duration + "@1/s"); err != nil {
		return usagef("bad --duration %q: write it as 30s, 5m or 1m30s", o.duration)
	}
	if none := o.warmup == "" || o.warmup == "0" || o.warmup == "0s"; !none {
		if _, err := loadgen.ParsePhases(o.warmup + "@1/s"); err != nil {
			return usagef("bad --warmup %q: write it as 2s or 1m, or as 0", o.warmup)
		}
	}
	return nil
}

// arrivalLaws are what --arrivals takes.
var arrivalLaws = []string{"poisson", "constant"}

func (o *trafficFlags) parseShard(env *Env) (err error) {
	if o.shard != "" {
		if o.traffic.Shard, err = loadgen.ParseShard(o.shard); err != nil {
			return &usageError{err}
		}
	}
	if o.startAt == "" {
		return nil
	}
	now := env.Now()
	at, err := time.Parse(time.RFC3339, o.startAt)
	if err != nil {
		if at, err = time.ParseInLocation(time.TimeOnly, o.startAt, time.Local); err == nil {
			at = time.Date(now.Year(), now.Month(), now.Day(), at.Hour(), at.Minute(), at.Second(), 0, time.Local)
		}
	}
	switch {
	case err != nil:
		return usagef("bad --start-at %q: it is a time such as 15:04:05 or %s", o.startAt, now.Add(time.Minute).Format(time.RFC3339))
	case at.Before(now):
		return usagef("bad --start-at %q: it has passed", o.startAt)
	case at.Sub(now) > 24*time.Hour:
		return usagef("bad --start-at %q: it is more than a day away", o.startAt)
	}
	o.start = at
	return nil
}

// measured is how long the traffic is measured, and all how long it lasts.
func (o *trafficFlags) measured() (measured, all time.Duration) {
	for _, p := range o.traffic.Phases {
		if all += p.Length; !p.Warmup {
			measured += p.Length
		}
	}
	return measured, all
}

// demand is what the traffic asks of the servers at most.
func (o *trafficFlags) demand() demand {
	_, all := o.measured()
	d := demand{keys: o.traffic.Keys.N, length: all, bytes: float64(o.traffic.Keys.N) * o.traffic.Sizes.Average()}
	for _, p := range o.traffic.Phases {
		d.rate = max(d.rate, p.Rate, p.End)
	}
	return d
}

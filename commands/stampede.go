package commands

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/commands/render"
	"github.com/cachectl/cachectl/loadgen"
	"github.com/cachectl/cachectl/loadgen/fleet"
)

type stampedeOptions struct {
	experiment
	output output
	gates  gates
	record runFlags
}

func newStampede(env *Env) *cobra.Command {
	o := stampedeOptions{record: runFlags{kind: loadgen.StampedeRun}}
	o.catalogue = fleet.Catalogue()
	o.traffic = trafficFlags{rate: "1000/s", duration: "45s", warmup: "5s", keys: 1, law: "uniform", size: "100", mix: "100:0"}
	cmd := &cobra.Command{
		Use:   "stampede",
		Short: "What a hot key's expiry costs the origin, by strategy, beside what theory predicts",
		Long: `Send requests for one hot key, or for many, through the processes of an application
that share a cache in front of an origin, and count what reaches the origin each
time the key expires, or when the cache is flushed. Every strategy of --compare sees
the same requests.

Requests arrive when they are due, however many are waiting: an application's users
do not wait for each other, and a generator that does hides the stampede. Latency
counts from the moment a request was due.

Beside the origin calls per expiry stands what theory predicts, with the band in
which the mean of so many expiries lies in all but 3 of 1000 runs. A result outside its
band says so: the model does not hold, or something else took the machine's time.

--virtual runs the same strategies on a simulated clock, cache and origin: minutes
pass in milliseconds, a million requests a second and a thousand processes are no
load, and the same --seed gives the same answer. Without it a real cache is used, whose
keys are under a prefix of their own, expire by themselves, and are removed at the end.

Strategies:
` + choiceList(fleet.Catalogue()),
		Example: `  cachectl stampede --virtual
  cachectl stampede --virtual --rate 1000000/s --processes 1000 --compare none,singleflight,lock,xfetch
  cachectl stampede -t redis://localhost:6379 --compare none,lock --ttl 2s --origin exponential:100ms
  cachectl stampede -t mem:// --compare lock --lock-ttl 40ms --duration 20s
  cachectl stampede -t memcached://localhost --compare none,lease
  cachectl stampede --virtual --compare none --keys 5000 --distribution zipf:0.9 --ttl none --origin fixed:100ms --origin-servers 20 --timeout 1s --drop-late --trigger flush@30s --duration 115s
  cachectl stampede --virtual --fail-if 'origin_calls_per_expiry > 3' --compare lock,swr`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd, env) },
	}
	o.target.add(cmd, env)
	f := cmd.Flags()
	f.StringSliceVar(&o.compare, "compare", []string{"none", "lock", "xfetch", "swr"}, "`strategies`, see above; all: every one that the cache can do")
	complete(cmd, "compare", append(choiceNames(fleet.Catalogue()), "all")...)
	o.traffic.add(cmd)
	o.experiment.add(cmd)
	f.StringVar(&o.ttl, "ttl", "3s", "how long a value is fresh; none: for ever")
	f.StringVar(&o.stale, "stale", "", "how long a value is kept past its TTL, for strategies that serve stale ones; default: the TTL")
	f.Float64Var(&o.beta, "beta", fleet.DefaultBeta, "of xfetch: above 1 it refreshes earlier")
	f.StringVar(&o.ahead, "ahead", "0", "of lease: refresh a value with less than this `time` left")
	f.BoolVar(&o.dropLate, "drop-late", false, "throw a fetched value away when its client has given up (see --timeout), as who cancels work with its request does")
	f.StringVar(&o.recovered, "recovered", "90%", "the hit rate that, three seconds in a row, counts as recovered from a trigger")
	f.IntVar(&o.skip, "skip", 1, "first expiries of each key that are not counted")
	o.guard.add(cmd)
	o.gates.add(cmd, "origin_calls_per_expiry > 3")
	o.record.add(cmd)
	o.output.add(cmd, columnNames(stampedeColumns)...)
	return describe(cmd, "load", impactLoad, exitsFailed, exitsRefused, exitsCheck, exitsInterrupted)
}

// choiceList is the catalogue as help shows it.
func choiceList(all []fleet.Choice) string {
	var b strings.Builder
	longest := 0
	for _, c := range all {
		longest = max(longest, len(c.Name))
	}
	for _, c := range all {
		lines := wrapText(c.Help, 84-longest)
		for i, line := range lines {
			name := c.Name
			if i > 0 {
				name = ""
			}
			fmt.Fprintf(&b, "  %-*s  %s\n", longest, name, line)
		}
	}
	return b.String()
}

func choiceNames(all []fleet.Choice) []string {
	names := make([]string, len(all))
	for i, c := range all {
		names[i] = c.Name
	}
	return names
}

// wrapText breaks a sentence into lines of at most so many letters, at spaces.
func wrapText(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

func (o *stampedeOptions) run(cmd *cobra.Command, env *Env) error {
	ctx := cmd.Context()
	ro, err := o.parse(cmd, env)
	if err != nil {
		return err
	}
	if !cmd.Flags().Changed("seed") {
		env.note("--seed %d gives the same requests again", o.traffic.traffic.Seed)
	}
	runs, end := o.play(ctx, env)
	if len(runs) == 0 {
		return end
	}
	for i := range runs {
		expected := o.expected(runs[i].name)
		runs[i].expected = &expected
	}
	doc := stampedeDoc(runs)
	doc.Fields = o.fields()
	warnInvalid(env, &o.output, ro, runs)
	err = o.output.print(env, ro, doc)
	return errors.Join(end, err, o.record.save(stampedeFile(runs, env), func() render.Page { return experimentPage(env, "Stampede", doc, runs) }), judged(&o.gates, runs, stampedeFigures))
}

func (o *stampedeOptions) parse(cmd *cobra.Command, env *Env) (render.Options, error) {
	ro, err := o.output.options(cmd.Context(), env)
	if err != nil {
		return ro, err
	}
	return ro, errors.Join(o.gates.parse(stampedeFields...), o.experiment.parse(cmd, env), o.output.ready(ro, stampedeColumns, o.record.file, o.record.html))
}

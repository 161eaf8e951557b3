package commands

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/loadgen/fleet"
)

// originFlags describe what stands behind the cache.
type originFlags struct {
	law     string
	writes  string
	servers int
	queue   int
	sharing bool
	fails   string

	origin fleet.Origin
	url    string // a real one
}

func (o *originFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.law, "origin", "fixed:100ms", "how long a fetch takes: `fixed:200ms`, exponential:200ms, lognormal:200ms:0.5 (mean, standard deviation of the logarithm), or a real origin: http://127.0.0.1:8080/{key}")
	f.IntVar(&o.servers, "origin-servers", 0, "how many fetches the origin works on at a time; 0: all")
	f.IntVar(&o.queue, "origin-queue", 0, "how many may wait for one of --origin-servers, the rest is refused; 0: all, -1: none")
	f.BoolVar(&o.sharing, "origin-sharing", false, "no queue: all fetches share the servers evenly, and slow each other down")
	f.StringVar(&o.fails, "origin-fails", "0", "share of the fetches that end with an error: `1%`")
	complete(cmd, "origin", "fixed:200ms", "exponential:200ms", "lognormal:200ms:0.5")
}

func (o *originFlags) parse(virtual bool) (err error) {
	o.origin = fleet.Origin{Servers: o.servers, Queue: o.queue, Sharing: o.sharing}
	if strings.HasPrefix(o.law, "http://") || strings.HasPrefix(o.law, "https://") {
		if virtual {
			return usagef("--virtual has no real origin: --origin is a law there, such as fixed:200ms")
		}
		o.url = o.law
	} else if o.origin.Reads, err = parseLaw(o.law); err != nil {
		return usagef("bad --origin: %w", err)
	}
	if o.writes != "" {
		law, err := parseLaw(o.writes)
		if err != nil {
			return usagef("bad --origin-writes: %w", err)
		}
		o.origin.Writes = &law
	}
	if o.origin.Fails, err = parseShare(o.fails); err != nil {
		return usagef("bad --origin-fails: %w", err)
	}
	if err := o.origin.Valid(); err != nil {
		return &usageError{err}
	}
	return nil
}

// lawKinds are the laws that have a text form.
var lawKinds = []string{"fixed", "exponential", "lognormal"}

// parseLaw reads "fixed:200ms", "lognormal:200ms:0.5"; a time alone is fixed.
func parseLaw(text string) (l fleet.Law, err error) {
	parts := strings.Split(text, ":")
	if len(parts) == 1 {
		parts = []string{"fixed", text}
	}
	bad := fmt.Errorf("%q: write it as fixed:200ms, exponential:200ms or lognormal:200ms:0.5", text)
	if l.Kind = parts[0]; !slices.Contains(lawKinds, l.Kind) {
		return l, bad
	}
	if wants := map[bool]int{true: 3, false: 2}[l.Kind == "lognormal"]; len(parts) != wants {
		return l, bad
	}
	if l.Mean, err = parseDuration(parts[1]); err != nil {
		return l, err
	}
	if l.Kind == "lognormal" {
		if l.Sigma, err = strconv.ParseFloat(parts[2], 64); err != nil || l.Sigma <= 0 {
			return l, bad
		}
	}
	return l, l.Valid()
}

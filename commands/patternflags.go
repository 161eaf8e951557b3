package commands

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/loadgen/fleet"
)

// patternFlags are what patterns can be told, beside what every strategy can.
type patternFlags struct {
	sliding                       bool
	crashEvery                    string
	again, share, flush, localTTL string
	batch, localKeys              int
}

func (o *patternFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.sliding, "sliding", false, "a hit gives the value its TTL anew")
	f.StringVar(&o.crashEvery, "crash-every", "", "each process crashes at random, once in this `time` on average, with what it has not flushed")
	f.StringVar(&o.again, "again", fleet.DefaultAgain.String(), "of cache-aside-double-delete: `time` from the commit to the second delete")
	f.StringVar(&o.share, "refresh-at", "20%", "of refresh-ahead: a hit with less than this share of the TTL left refreshes")
	f.StringVar(&o.flush, "flush-every", fleet.DefaultFlush.String(), "of write-behind: `time` between flushes to the origin")
	f.IntVar(&o.batch, "flush-batch", 0, "of write-behind: flush when so many keys wait; 0: only by time")
	f.StringVar(&o.localTTL, "local-ttl", fleet.DefaultLocalTTL.String(), "of two-layers: `time` that a process keeps its copies")
	f.IntVar(&o.localKeys, "local-keys", fleet.DefaultLocalKeys, "of two-layers: copies in each process")
}

// parse reads the flags; where they are not declared, the defaults stand.
func (o *patternFlags) parse() (p fleet.Patterned, err error) {
	if o.again == "" {
		return fleet.Defaults().Patterned, nil
	}
	p = fleet.Patterned{Sliding: o.sliding, Batch: o.batch, LocalKeys: o.localKeys}
	for _, d := range []struct {
		flag, text string
		into       *time.Duration
	}{{"again", o.again, &p.Again}, {"flush-every", o.flush, &p.Flush}, {"local-ttl", o.localTTL, &p.LocalTTL}} {
		if *d.into, err = parseDuration(d.text); err != nil {
			return p, usagef("bad --%s: %w", d.flag, err)
		}
	}
	if p.Share, err = parseShare(o.share); err != nil {
		return p, usagef("bad --refresh-at: %w", err)
	}
	return p, nil
}

// deaths is how often each process crashes a second.
func (o *patternFlags) deaths() (float64, error) {
	if o.crashEvery == "" {
		return 0, nil
	}
	every, err := parseDuration(o.crashEvery)
	if err == nil && every == 0 {
		err = errors.New("it is more than 0")
	}
	if err != nil {
		return 0, usagef("bad --crash-every: %w", err)
	}
	return 1 / every.Seconds(), nil
}

package commands

import (
	"time"

	"github.com/cachectl/cachectl/loadgen"
	"github.com/cachectl/cachectl/loadgen/fleet"
	"github.com/cachectl/cachectl/loadgen/theory"
)

// expected is how many origin calls theory predicts for an expiry under a strategy, where
// it does. The forms are of one key that expires by itself and is asked for at random or even
// times at one rate, before an origin that fails nobody.
func (o *experiment) expected(strategy string) theory.Expectation {
	e := o.predicted(strategy)
	// Who was told of a miss before the value was set may fetch when it is: the forms know no round trip.
	rtt := o.shared.Network.Typical()
	if !o.virtual {
		rtt = realRoundTrip
	}
	if rate := o.traffic.traffic.Phases[0].Rate; e.Kind == theory.Exact && rtt > 0 && e.Mean > 1 {
		e.Kind, e.Tolerance = theory.Approximate, rate*rtt.Seconds()/e.Mean
	}
	return e
}

// realRoundTrip is what a round trip to a cache nearby takes at most, scheduling included.
const realRoundTrip = time.Millisecond

// endsWithLock tells whether a fetch ends so near the end of a lock that the time in which the lock goes from hand to hand decides.
func (o *experiment) endsWithLock(e *theory.Expiry) bool {
	lock := o.options.Lock
	if lock <= 0 || lock >= e.Fetch {
		return false
	}
	handing := 2*(e.Fetch-o.shared.Origin.Reads.Typical()) + time.Duration(3/e.Rate*float64(time.Second))
	full := e.Fetch / lock // locks that end before the fetch does
	return e.Fetch-full*lock < full*handing
}

// locksLast tells whether a lock outlasts a fetch by far. One without a TTL (0) does.
func (o *experiment) locksLast() bool {
	return o.options.Lock == 0 || o.options.Lock > 2*o.shared.Origin.Reads.Typical()
}

func (o *experiment) predicted(strategy string) theory.Expectation {
	e, why := o.expiry()
	if why != "" {
		return theory.Unknown(why)
	}
	x, reads := &o.shared, &o.shared.Origin.Reads
	fixed := reads.Constant() && !x.Origin.Sharing && x.Origin.Servers == 0
	even := !o.traffic.traffic.Phases[0].Poisson
	poll := time.Duration(0)
	switch strategy {
	case "none", "stale-if-error":
		return o.expectedOfAll(e, even)
	case "singleflight", "swr-local":
		if !fixed {
			return theory.Unknown("the time of a fetch is not always the same")
		}
		return e.Singleflight(x.Processes)
	case "lock":
		poll = o.options.Poll
		if o.locksLast() && (fixed || reads.Constant()) {
			return e.Single()
		}
		if !fixed {
			return theory.Unknown("fetches may last longer than the lock")
		}
		if 4*poll > o.options.Lock {
			return theory.Unknown("polls are too rare beside the time of the lock")
		}
		if o.endsWithLock(&e) {
			return theory.Unknown("the fetch ends when a lock does: chance tells which is first")
		}
		return e.Locked(o.options.Lock)
	case "lock-stale", "swr", "lease", "xfetch-lock":
		if o.locksLast() && reads.Constant() {
			return e.Single()
		}
		return theory.Unknown("fetches may last longer than the lock")
	case "xfetch":
		if !fixed || even {
			return theory.Unknown("the form is of fetches that always take the same, and of requests at random times")
		}
		early := theory.Early{Expiry: e, Beta: o.options.Beta}
		if early.Longest() > e.TTL {
			return theory.Unknown("the TTL is short beside the time that refreshes come early")
		}
		return early.Calls()
	}
	return theory.Unknown("none is known")
}

// expiry is the expiry that the experiment is about; why says what about it is beyond the forms.
func (o *experiment) expiry() (e theory.Expiry, why string) {
	x, t := &o.shared, &o.traffic.traffic
	rate := t.Phases[0].Rate
	for _, p := range t.Phases {
		if p.Closed() || p.End != 0 && p.End != p.Rate || p.Rate != rate {
			return e, "the rate is not the same all along"
		}
	}
	switch {
	case o.origin.url != "":
		return e, "a real origin has no law"
	case o.options.TTL == 0:
		return e, "nothing expires"
	case len(x.Triggers) > 0:
		return e, "not every expiry is a natural one"
	case x.Origin.Fails > 0:
		return e, "fetches fail"
	case x.Patience > 0:
		return e, "clients give up"
	case o.options.Jitter > 0 && t.Keys.N > 1, t.Keys.N > 1 && t.Keys.Law != loadgen.Uniform:
		return e, "keys are asked for at different rates"
	case t.Keys.N > 1 && x.Origin.Servers > 0:
		return e, "keys are in each other's way at the origin"
	case !x.Network.Constant():
		return e, "the round trip is not always the same"
	}
	// A key is missing from when the cache answers that it is until the value is set: a fetch, half a
	// round trip before it and half a one behind it.
	fetch := x.Origin.Reads.Typical() + x.Network.Typical()
	return theory.Expiry{Rate: rate / float64(t.Keys.N), Fetch: fetch, TTL: o.options.TTL}, ""
}

// expectedOfAll is of who has nobody wait.
func (o *experiment) expectedOfAll(e theory.Expiry, even bool) theory.Expectation {
	origin := &o.shared.Origin
	switch {
	case even && (!origin.Reads.Constant() || origin.Sharing):
		return theory.Unknown("the form is of requests at random times")
	case even:
		return e.Even()
	case origin.Sharing && origin.Reads.Constant():
		return e.Shared(origin.Servers)
	case origin.Sharing:
		return theory.Unknown("the form is of fetches that all need the same work")
	case origin.Servers > 0 && origin.Queue != 0:
		return theory.Unknown("the origin's queue is limited")
	case origin.Servers > 0 && !origin.Reads.Constant():
		return theory.Unknown("the form is of fetches that always take the same")
	case origin.Servers > 0:
		return e.Queued()
	case origin.Reads.Constant():
		return e.Uncoalesced()
	}
	if law := lawOf(&origin.Reads); law != nil {
		return e.UncoalescedOf(law)
	}
	return theory.Unknown("none is known")
}

// lawOf is the law of a fetch as theory has it.
func lawOf(l *fleet.Law) theory.Latency {
	switch l.Kind {
	case "exponential":
		return theory.Exponential(l.Mean)
	case "lognormal":
		return theory.Lognormal(l.Mean, l.Sigma)
	case "empirical":
		return theory.Empirical(l.Samples)
	}
	return nil
}

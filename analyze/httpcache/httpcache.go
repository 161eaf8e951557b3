// Package httpcache tells from two responses for a URL, one from before a purge
// and one from after it, whether what a cache serves now is what it had cached
// before. It reads what caches say of themselves: Age, Cache-Status (RFC 9211),
// CF-Cache-Status, X-Cache, X-Varnish and their like, and what of the contents
// shows a change.
//
// It does no I/O and knows no clock. What it finds holds for the cache that
// answered, and for no other point of presence.
package httpcache

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A Response is what is known of one answer to a GET.
type Response struct {
	Sent   time.Time // when the request was sent
	At     time.Time // when the head of the answer came
	Status int       // 0: there was no answer
	Header http.Header
	Body   string // a digest of the contents, or of as much of them as is read each time; empty: not known
}

// A Verdict says whether a response is evidence that a purge took effect.
type Verdict string

// The verdicts. Only Fresh is a proof.
const (
	Fresh   Verdict = "fresh"   // positive evidence that it is not what was cached before
	Stale   Verdict = "stale"   // evidence that it was stored before the purge
	Unknown Verdict = "unknown" // no evidence, or evidence that contradicts itself
)

// A Finding is a verdict and what speaks for it, in words, the strongest first.
// What speaks against it begins with "but".
type Finding struct {
	Verdict  Verdict
	Evidence []string
}

func (f Finding) String() string { return string(f.Verdict) + ": " + strings.Join(f.Evidence, "; ") }

// Ages are whole seconds, and add up the delays of all caches on the way. An
// entry is told to be older than the purge only beyond this much.
const tolerance = 2 * time.Second

// Judge compares the responses for one URL before and after a purge that the
// provider had taken at the time purged, all times by one clock. Before may be
// the zero Response: then only what after says of itself counts.
//
// Age decides where it is clear, since it counts from when the response left
// the origin, through all caches. Then what says that an old response was
// served; then what says that none was; then changes. A hit whose age is not
// told makes a miss of another cache on the way no proof.
func Judge(before, after Response, purged time.Time) Finding {
	if why := unfit(after, purged); why != "" {
		return Finding{Unknown, []string{why}}
	}
	e := gather(before, after, purged)
	switch {
	case len(e.young) > 0:
		return Finding{Fresh, slices.Concat(e.young, e.misses, e.hits, e.changes, contrary(e.old))}
	case len(e.old) > 0:
		return Finding{Stale, slices.Concat(e.old, e.hits, contrary(e.misses), contrary(e.changes))}
	case len(e.changes) > 0:
		return Finding{Fresh, slices.Concat(e.changes, e.misses, e.hits)}
	case len(e.misses) > 0 && len(e.hits) == 0:
		return Finding{Fresh, slices.Concat(e.misses, e.remarks)}
	case len(e.misses) > 0:
		return Finding{Unknown, slices.Concat(e.misses, contrary(e.hits), e.near, e.remarks)}
	case len(e.near)+len(e.remarks) > 0:
	case len(e.hits) > 0:
		e.remarks = []string{"when it was stored is not told, and nothing of it changed"}
	default:
		e.remarks = []string{"nothing in it tells whether it comes from a cache, and nothing of it changed"}
	}
	return Finding{Unknown, slices.Concat(e.hits, e.near, e.remarks)}
}

func contrary(texts []string) []string {
	all := make([]string, len(texts))
	for n, text := range texts {
		all[n] = "but " + text
	}
	return all
}

// unfit says why a response can be no evidence, whatever else it says.
func unfit(after Response, purged time.Time) string {
	switch {
	case after.Status == 0:
		return "no answer"
	case after.Sent.Before(purged):
		return "it was asked for before the purge"
	case after.Header.Get("Cf-Mitigated") != "":
		return "the CDN did not let the request through (Cf-Mitigated: " + cut(after.Header.Get("Cf-Mitigated")) + ")"
	case after.Status == http.StatusTooManyRequests || after.Status >= 500:
		return fmt.Sprintf("HTTP %d", after.Status)
	}
	return ""
}

// Evidence, by what it speaks for.
type evidence struct {
	young   []string // stored after the purge, or after the response before it
	old     []string // stored before the purge
	misses  []string // a cache asked further
	hits    []string // a cache had it
	changes []string
	near    []string // an age that fits both
	remarks []string
}

func gather(before, after Response, purged time.Time) (e evidence) {
	e.age(before, after, purged)
	elapsed := after.At.Sub(purged)
	for _, s := range sightings(after.Header, elapsed) {
		switch s.is {
		case miss:
			e.misses = append(e.misses, s.text)
		case hit:
			e.hits = append(e.hits, s.text)
		case old:
			e.old = append(e.old, s.text)
		case unclear:
			e.remarks = append(e.remarks, s.text)
		}
	}
	e.varnish(before.Header, after.Header)
	if before.Status == 0 {
		return e
	}
	e.change(before, after)
	was := sightings(before.Header, elapsed)
	if len(e.misses) > 0 && len(was) > 0 && !slices.ContainsFunc(was, func(s sighting) bool { return s.is != miss }) {
		e.remarks = append(e.remarks, "a miss before the purge too, so it may never be cached")
	}
	return e
}

// age compares the age of the response with the time since the purge, and with
// the age that the response before would have by now.
func (e *evidence) age(before, after Response, purged time.Time) {
	age, ok, err := Age(after.Header)
	if err != nil {
		e.remarks = append(e.remarks, fmt.Sprintf("its Age %s is not a number of seconds", cut(strings.Join(after.Header.Values("Age"), ", "))))
	}
	if !ok {
		return
	}
	least, most := after.Sent.Sub(purged), after.At.Sub(purged)
	was, knew, _ := Age(before.Header)
	switch {
	case age+time.Second <= least:
		e.young = append(e.young, fmt.Sprintf("Age %s, less than the %s since the purge", seconds(age), seconds(least)))
	case age > most+tolerance:
		e.old = append(e.old, fmt.Sprintf("Age %s, more than the %s since the purge", seconds(age), seconds(most)))
	case knew && age < was && age+tolerance < was+after.Sent.Sub(before.At):
		e.young = append(e.young, fmt.Sprintf("Age fell from %s to %s", seconds(was), seconds(age)))
	default:
		e.near = append(e.near, fmt.Sprintf("Age %s, about the %s since the purge", seconds(age), seconds(most)))
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%d s", int64(d/time.Second)) }

// varnish compares X-Varnish. Its numbers are of transactions, each used once
// in a server's life: the first that of this request, the second, where there is
// one, that of the fetch which stored the object.
func (e *evidence) varnish(before, after http.Header) {
	was, is := before.Get("X-Varnish"), after.Get("X-Varnish")
	stored := func(value string) string {
		if ids := strings.Fields(value); len(ids) == 2 {
			return ids[1]
		}
		return ""
	}
	switch {
	case is == "" || was == "":
	case is == was:
		e.old = append(e.old, "X-Varnish "+cut(is)+" as before: a cache in front of Varnish has the same answer still")
	case stored(is) != "" && stored(is) == stored(was):
		e.old = append(e.old, "X-Varnish "+cut(is)+": the same object as before")
	case stored(is) != "" && stored(was) != "":
		e.changes = append(e.changes, fmt.Sprintf("X-Varnish: object %s instead of %s", cut(stored(is)), cut(stored(was))))
	}
}

// change compares what the two responses hold.
func (e *evidence) change(before, after Response) {
	if before.Status != after.Status && contents(before.Status) && contents(after.Status) {
		e.changes = append(e.changes, fmt.Sprintf("HTTP %d became %d", before.Status, after.Status))
	}
	if before.Status != after.Status {
		return // of another status other contents say nothing
	}
	was, is := strings.TrimPrefix(before.Header.Get("Etag"), "W/"), strings.TrimPrefix(after.Header.Get("Etag"), "W/")
	if was != "" && is != "" && was != is {
		e.changes = append(e.changes, fmt.Sprintf("ETag %s became %s", cut(was), cut(is)))
	}
	if was, is := before.Header.Get("Last-Modified"), after.Header.Get("Last-Modified"); was != "" && is != "" && was != is {
		e.changes = append(e.changes, fmt.Sprintf("Last-Modified %s became %s", cut(was), cut(is)))
	}
	if before.Body != "" && after.Body != "" && before.Body != after.Body {
		e.changes = append(e.changes, "the contents changed")
	}
}

// contents tells the statuses that an origin gives for what it has or has no
// more, from those that anything on the way may give.
func contents(status int) bool {
	return status >= 200 && status < 400 || status == http.StatusNotFound || status == http.StatusGone
}

// shown are the fields that a summary names.
var shown = append(slices.Clone(vocal), "X-Cache", "X-Varnish", "Cache-Status", "Age", "ETag", "Last-Modified")

// Summary is the response in a line: its status, and what it says of caches.
func (r Response) Summary() string {
	if r.Status == 0 {
		return "no answer"
	}
	parts := []string{fmt.Sprintf("HTTP %d", r.Status)}
	for _, name := range shown {
		if values := r.Header.Values(name); len(values) > 0 {
			parts = append(parts, name+" "+cut(strings.Join(values, ", ")))
		}
	}
	return strings.Join(parts, ", ")
}

// cut is as much of a header as is shown.
func cut(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}

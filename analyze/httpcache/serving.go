package httpcache

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// A Serving says where a response came from, as far as the caches on its way tell.
type Serving string

// The servings. Only Hit is a proof.
const (
	Hit    Serving = "hit"     // a cache had it, fresh or stale
	Miss   Serving = "miss"    // the cache nearest to us asked further
	Mixed  Serving = "mixed"   // caches contradict each other, and their order is not known
	Untold Serving = "unknown" // nothing tells
)

// Served judges one response, and says what speaks for it. before is an earlier response
// for the same URL, asked for in the same way; it may be the zero Response.
//
// Of several caches that speak in one field the last is the nearest, and counts; Cloudflare
// counts before those that it passes on. What an inner cache said when an outer one stored
// the response is repeated by every hit of the outer one: X-Varnish, whose numbers are used
// once, shows that. An age of seconds is a hit where no cache says otherwise; Age 0 proves
// nothing, because a cache says it of what it has just fetched, too.
func Served(before, r Response) (Serving, []string) {
	if r.Status == 0 {
		return Untold, []string{"no answer"}
	}
	var hits, misses, remarks []string
	repeated := false
	for _, s := range nearest(sightings(r.Header, 0)) {
		switch {
		case s.is == unclear:
			remarks = append(remarks, s.text)
		case s.field == "X-Varnish" && before.Status != 0 && r.Header.Get(s.field) == before.Header.Get(s.field):
			repeated = true
			hits = append(hits, "X-Varnish as before: a cache in front of Varnish has the answer")
		case s.is == miss:
			misses = append(misses, s.text)
		default:
			hits = append(hits, s.text)
		}
	}
	age, known, _ := Age(r.Header)
	switch {
	case repeated:
		return Hit, append(hits, remarks...)
	case len(hits) > 0 && len(misses) > 0:
		return Mixed, slices.Concat(hits, contrary(misses), remarks)
	case len(hits) > 0:
		return Hit, append(hits, remarks...)
	case len(misses) > 0:
		return Miss, append(misses, remarks...)
	case known && age >= time.Second:
		return Hit, append(remarks, "Age "+seconds(age))
	case known:
		return Untold, append(remarks, "Age 0 s, which is said of what was just fetched, too")
	}
	return Untold, append(remarks, "nothing in it tells whether it comes from a cache")
}

// nearest leaves of each field what the cache nearest to us says, and of all Cloudflare's
// where there is one.
func nearest(all []sighting) []sighting {
	var kept []sighting
	for n, s := range all {
		if s.field == "CF-Cache-Status" && s.is != unclear {
			return []sighting{s}
		}
		if !slices.ContainsFunc(all[n+1:], func(later sighting) bool { return later.field == s.field }) {
			kept = append(kept, s)
		}
	}
	return kept
}

// An Obstacle is a reason for which caches that many people share do not keep a response,
// or do not serve it again without asking. Code is for programs, Text for people; neither
// holds anything of the response, so that responses can be counted by them.
type Obstacle struct {
	Code string
	Text string
}

// The obstacles. Caches can be configured to overlook most of them.
var (
	Mitigated   = Obstacle{"mitigated", "the CDN did not let the request through (Cf-Mitigated)"}
	Dynamic     = Obstacle{"dynamic", "CF-Cache-Status DYNAMIC: Cloudflare caches this kind of file by a rule only"}
	Bypass      = Obstacle{"bypass", "the cache was told to pass it by (BYPASS)"}
	NoStore     = Obstacle{"no_store", "Cache-Control: no-store"}
	Private     = Obstacle{"private", "Cache-Control: private"}
	NoCache     = Obstacle{"no_cache", "Cache-Control: no-cache"}
	MaxAge0     = Obstacle{"max_age_0", "Cache-Control: max-age=0"}
	SharedAge0  = Obstacle{"s_maxage_0", "Cache-Control: s-maxage=0"}
	BadMaxAge   = Obstacle{"bad_max_age", "Cache-Control: a max-age that is no number of seconds"}
	Expired     = Obstacle{"expired", "Expires is not in the future"}
	OutOfDate   = Obstacle{"out_of_date", "Age is beyond what it may be kept for"}
	SetCookie   = Obstacle{"set_cookie", "Set-Cookie"}
	VaryAny     = Obstacle{"vary_any", "Vary: *"}
	ErrorStatus = Obstacle{"status", "a status that is kept only where it says for how long"}
	NoLifetime  = Obstacle{"no_lifetime", "nothing says for how long it may be kept"}
)

// Obstacles are what in a response keeps a shared cache from serving it again (RFC 9111, 3,
// 4.1 and 4.2; what Cloudflare says of itself; Set-Cookie, which the RFC permits and nginx,
// Varnish and Cloudflare by default do not). None is found in many that are not cached: by
// the configuration of the cache.
func Obstacles(r Response) []Obstacle {
	var all []Obstacle
	found := func(o Obstacle, is bool) {
		if is {
			all = append(all, o)
		}
	}
	found(Mitigated, r.Header.Get("Cf-Mitigated") != "")
	for _, name := range append([]string{"X-Cache"}, vocal...) {
		switch value := strings.ToUpper(strings.TrimSpace(r.Header.Get(name))); {
		case value == "DYNAMIC":
			found(Dynamic, true)
		case value == "BYPASS":
			found(Bypass, !slices.Contains(all, Bypass))
		}
	}
	all = append(all, freshness(r)...)
	found(SetCookie, len(r.Header.Values("Set-Cookie")) > 0)
	found(VaryAny, slices.ContainsFunc(fields(r.Header, "Vary"), func(f string) bool { return f == "*" }))
	if len(all) > 1 {
		all = slices.DeleteFunc(all, func(o Obstacle) bool { return o == NoLifetime }) // it is the weakest
	}
	return all
}

// freshness are the obstacles in how long a response may be kept.
func freshness(r Response) []Obstacle {
	cc := directives(r.Header)
	var all []Obstacle
	for _, d := range []struct {
		name string
		is   Obstacle
	}{{"no-store", NoStore}, {"private", Private}, {"no-cache", NoCache}} {
		if value, ok := cc[d.name]; ok && value == "" { // with a list of fields it concerns those
			all = append(all, d.is)
		}
	}
	if len(all) > 0 {
		return all
	}
	most, why, told := lifetime(r, cc)
	age, _, _ := Age(r.Header)
	switch {
	case why != Obstacle{}:
		return []Obstacle{why}
	case told && age >= most:
		return []Obstacle{OutOfDate}
	case told:
		return nil
	case !heuristic(r.Status) && !hasDirective(cc, "public"):
		return []Obstacle{ErrorStatus}
	case r.Header.Get("Last-Modified") == "":
		return []Obstacle{NoLifetime}
	}
	return nil
}

// lifetime is how long a shared cache may serve a response, if it says so (RFC 9111, 4.2.1).
func lifetime(r Response, cc map[string]string) (d time.Duration, why Obstacle, told bool) {
	for _, name := range []string{"s-maxage", "max-age"} {
		value, ok := cc[name]
		if !ok {
			continue
		}
		age, _, err := Age(http.Header{"Age": {value}}) // the same form
		switch {
		case err != nil:
			return 0, BadMaxAge, true
		case age == 0 && name == "s-maxage":
			return 0, SharedAge0, true
		case age == 0:
			return 0, MaxAge0, true
		}
		return age, Obstacle{}, true
	}
	if r.Header.Get("Expires") == "" {
		return 0, Obstacle{}, false
	}
	expires, err := http.ParseTime(r.Header.Get("Expires"))
	date, noDate := http.ParseTime(r.Header.Get("Date"))
	if noDate != nil {
		date = r.At
	}
	if err != nil || !expires.After(date) {
		return 0, Expired, true
	}
	return expires.Sub(date), Obstacle{}, true
}

// heuristic tells the statuses that may be kept without a lifetime (RFC 9110, 15.1).
func heuristic(status int) bool {
	return slices.Contains([]int{200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501}, status)
}

// directives reads Cache-Control: names in small letters, values without their quotes. Of
// several of one name the first counts. What is malformed is skipped.
func directives(h http.Header) map[string]string {
	all := make(map[string]string)
	for _, part := range fields(h, "Cache-Control") {
		name, value, _ := strings.Cut(part, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if _, twice := all[name]; name != "" && !twice {
			all[name] = strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return all
}

func hasDirective(cc map[string]string, name string) bool { _, ok := cc[name]; return ok }

// fields are the members of a list field, apart at its commas, but for those in quotes.
func fields(h http.Header, name string) []string {
	var all []string
	for _, line := range h.Values(name) {
		from, quoted := 0, false
		for n := range len(line) + 1 {
			switch {
			case n < len(line) && line[n] == '"':
				quoted = !quoted
			case n == len(line) || line[n] == ',' && !quoted:
				if part := strings.TrimSpace(line[from:n]); part != "" {
					all = append(all, part)
				}
				from = n + 1
			}
		}
	}
	return all
}

// VaryOn are the request fields that a response says it was chosen by, in their usual
// spelling, without "*".
func VaryOn(h http.Header) []string {
	var all []string
	for _, name := range fields(h, "Vary") {
		if name = http.CanonicalHeaderKey(name); name != "*" && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

package httpcache

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// What one cache says of one response.
type signal int

const (
	none    signal = iota
	miss           // it asked further, or had what it has confirmed
	hit            // it had it, from a time that it does not tell here
	old            // it says itself that what it served is out of date
	unclear        // it says something that is no evidence, and worth telling
)

type sighting struct {
	is    signal
	field string
	text  string
}

// vocal are the fields in which a cache says one word.
var vocal = []string{"CF-Cache-Status", "X-Cache-Status", "X-Proxy-Cache", "X-Vercel-Cache", "CDN-Cache"}

// words are what caches say: Cloudflare and nginx in fields of their own,
// CloudFront, Fastly, Varnish, Squid and Akamai in X-Cache. Revalidated and
// refreshed copies are stale ones that the origin confirmed.
var words = map[string]signal{
	"HIT": hit, "MISS": miss,
	"EXPIRED": miss, "REVALIDATED": miss, "BYPASS": miss, "DYNAMIC": miss, "PASS": miss,
	"STALE": old, "UPDATING": old,
	"REFRESHHIT": miss, "ORIGINSHIELDHIT": hit, // CloudFront
	"TCP_REFRESH_HIT": miss, "TCP_REFRESH_FAIL_HIT": old, // Akamai, Squid
}

func word(text string) signal {
	text = strings.ToUpper(text)
	if is, ok := words[text]; ok {
		return is
	}
	switch { // TCP_MEM_HIT, TCP_CLIENT_REFRESH_MISS, ...
	case strings.HasSuffix(text, "_HIT"):
		return hit
	case strings.HasSuffix(text, "_MISS"):
		return miss
	}
	return none
}

// sightings are all that the caches on the way say. elapsed is the time since
// the purge.
func sightings(h http.Header, elapsed time.Duration) []sighting {
	var all []sighting
	add := func(is signal, field, text string) {
		if is != none {
			all = append(all, sighting{is, field, text})
		}
	}
	for _, name := range vocal {
		if value := strings.TrimSpace(h.Get(name)); value != "" {
			add(word(value), name, name+" "+cut(value))
		}
	}
	for _, line := range h.Values("X-Cache") {
		// "Hit from cloudfront"; or a word for each cache: "MISS, HIT".
		for value := range strings.SplitSeq(line, ",") {
			first, _, _ := strings.Cut(strings.TrimSpace(value), " ")
			add(word(first), "X-Cache", "X-Cache "+cut(strings.TrimSpace(value)))
		}
	}
	switch ids := strings.Fields(h.Get("X-Varnish")); len(ids) {
	case 1:
		add(miss, "X-Varnish", "X-Varnish "+cut(ids[0])+", without the number of a stored object")
	case 2:
		add(hit, "X-Varnish", "X-Varnish with a stored object")
	}
	return append(all, statusSightings(h, elapsed)...)
}

// statusSightings are those of Cache-Status.
func statusSightings(h http.Header, elapsed time.Duration) []sighting {
	statuses, err := CacheStatuses(h)
	if err != nil {
		return []sighting{{unclear, "Cache-Status", "its Cache-Status is malformed: " + cut(strings.Join(h.Values("Cache-Status"), ", "))}}
	}
	var all []sighting
	for _, s := range statuses {
		name := "Cache-Status of " + cut(s.Cache) + ": "
		switch {
		case s.Hit && s.TTL != nil && *s.TTL < 0 && time.Duration(min(-*s.TTL, 1<<31))*time.Second > elapsed+tolerance:
			all = append(all, sighting{old, "Cache-Status", fmt.Sprintf("%sa hit, %d s beyond its freshness", name, -*s.TTL)})
		case s.Hit || s.Fwd == "partial":
			all = append(all, sighting{hit, "Cache-Status", name + "a hit"})
		case s.Collapsed: // the request that was answered may be from before the purge
			all = append(all, sighting{unclear, "Cache-Status", name + "the answer to another request"})
		case s.Fwd != "":
			all = append(all, sighting{miss, "Cache-Status", name + "forwarded (" + cut(s.Fwd) + ")"})
		}
	}
	return all
}

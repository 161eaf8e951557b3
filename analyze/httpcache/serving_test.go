package httpcache

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestServed: on what CDNs and caches really send.
func TestServed(t *testing.T) {
	now := time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, before, after string
		want                Serving
		words               string
	}{
		{"no answer", "", "", Untold, "no answer"},
		{"Cloudflare", "", cfHit, Hit, "CF-Cache-Status HIT"},
		{"Cloudflare, first", "", cfMiss, Miss, "MISS"},
		{"Cloudflare, not its kind of file", "", "200\nCf-Cache-Status: DYNAMIC", Miss, "DYNAMIC"},
		{"Cloudflare, out of date and served", "", "200\nCf-Cache-Status: STALE", Hit, "STALE"},
		{"Cloudflare, refreshed", "", "200\nCf-Cache-Status: REVALIDATED", Miss, "REVALIDATED"},
		{"Cloudflare passes on what the origin's cache said", "", "200\nX-Cache: MISS\nX-Varnish: 5\nCf-Cache-Status: HIT", Hit, "CF-Cache-Status HIT"},
		{"Cloudflare asked the origin's cache", "", "200\nX-Cache: HIT\nAge: 50\nCf-Cache-Status: MISS", Miss, "CF-Cache-Status MISS"},
		{"CloudFront", "", awsHit, Hit, "Hit from cloudfront"},
		{"CloudFront, first", "", awsMiss, Miss, "Miss from cloudfront"},
		{"CloudFront, refreshed", "", "200\nX-Cache: RefreshHit from cloudfront", Miss, "RefreshHit"},
		{"CloudFront, an error", "", "403\nX-Cache: Error from cloudfront", Untold, "nothing in it"},
		{"Fastly, the edge has it, as it came from the shield", "", fastly + "X-Cache: MISS, HIT", Hit, "X-Cache HIT"},
		{"Fastly, the shield has it", "", fastly + "X-Cache: HIT, MISS", Miss, "X-Cache MISS"},
		{"two lines: nginx behind nginx", "", "200\nX-Cache: MISS\nX-Cache: HIT", Hit, "X-Cache HIT"},
		{"Varnish", "", "200\nX-Varnish: 7 5\nAge: 0", Hit, "stored object"},
		{"Varnish, first", "", "200\nX-Varnish: 5\nAge: 0", Miss, "without the number"},
		{"nginx in front of Varnish: nothing tells which is which", "", "200\nX-Cache: MISS\nX-Varnish: 7 5", Mixed, "but X-Cache MISS"},
		{"nginx in front of Varnish: an object of nginx's", "200\nX-Cache: MISS\nX-Varnish: 5", "200\nX-Cache: HIT\nX-Varnish: 5", Hit, "as before"},
		{"a silent cache in front of Varnish", "200\nX-Varnish: 5", "200\nX-Varnish: 5", Hit, "as before"},
		{"Squid", "", "200\nX-Cache: HIT from proxy\nX-Cache-Lookup: HIT from proxy:3128", Hit, "HIT from proxy"},
		{"nginx, not cached by rule", "", "200\nX-Cache-Status: BYPASS", Miss, "BYPASS"},
		{"Cache-Status: the last is the nearest", "", "200\nCache-Status: origin; hit, edge; fwd=uri-miss", Miss, "edge: forwarded (uri-miss)"},
		{"Cache-Status: the last is the nearest", "", "200\nCache-Status: origin; fwd=uri-miss, edge; hit", Hit, "edge: a hit"},
		{"Cache-Status, another's answer", "", "200\nCache-Status: edge; fwd=uri-miss; collapsed", Untold, "another request"},
		{"Cache-Status, malformed", "", "200\nCache-Status: ;;", Untold, "malformed"},
		{"Google: Age alone", "", "200\nVia: 1.1 google\nAge: 3", Hit, "Age 3 s"},
		{"Age alone, of just now", "", "200\nAge: 0", Untold, "Age 0 s"},
		{"an age that is none", "", "200\nAge: -5", Untold, "nothing in it"},
		{"an age beside a miss is another cache's", "", "200\nAge: 60\nX-Cache: MISS", Miss, "X-Cache MISS"},
		{"nothing", "200\nETag: \"1\"", "200\nETag: \"1\"", Untold, "nothing in it"},
	} {
		got, words := Served(response(t, c.before, now, now), response(t, c.after, now, now))
		if got != c.want || !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, c.words) }) {
			t.Errorf("%s: %s %q, want %s %q", c.name, got, words, c.want, c.words)
		}
	}
}

func TestObstacles(t *testing.T) {
	now := time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC)
	date := "\nDate: " + now.Format(http.TimeFormat)
	for _, c := range []struct{ head, want string }{
		{"200\nCache-Control: public, max-age=60", ""},
		{"200\nCache-Control: s-maxage=60, max-age=0", ""},
		{"200\nCache-Control: max-age=0, s-maxage=\"60\"", ""},
		{"200\nCache-Control: no-cache=\"set-cookie, x\", max-age=60", ""},
		{"200\nLast-Modified: Mon, 23 Nov 2026 03:00:00 GMT", ""},
		{"302\nCache-Control: max-age=60", ""},
		{"200" + date + "\nExpires: Mon, 23 Nov 2026 04:00:01 GMT", ""},
		{"200\nCache-Control: Private, no-STORE", "no_store private"},
		{"200\nCache-Control: a\nCache-Control: private\nSet-Cookie: a=b", "private set_cookie"},
		{"200\nCache-Control: no-cache", "no_cache"},
		{"200\nCache-Control: max-age=0", "max_age_0"},
		{"200\nCache-Control: max-age=60, s-maxage=0", "s_maxage_0"},
		{"200\nCache-Control: max-age=-1", "bad_max_age"},
		{"200\nCache-Control: max-age=1h", "bad_max_age"},
		{"200\nCache-Control: max-age=99999999999999999999", ""},
		{"200" + date + "\nExpires: Mon, 23 Nov 2026 04:00:00 GMT", "expired"},
		{"200\nExpires: 0", "expired"},
		{"200\nExpires: Mon, 23 Nov 2026 03:00:00 GMT", "expired"},
		{"200\nCache-Control: max-age=60\nAge: 60", "out_of_date"},
		{"200\nCache-Control: max-age=60\nVary: accept, *", "vary_any"},
		{"200\nCf-Cache-Status: DYNAMIC\nSet-Cookie: a=b\nCache-Control: max-age=60", "dynamic set_cookie"},
		{"200\nX-Cache: BYPASS\nX-Cache-Status: BYPASS\nCache-Control: max-age=60", "bypass"},
		{"403\nCf-Mitigated: challenge\nCache-Control: max-age=60", "mitigated"},
		{"200", "no_lifetime"},
		{"200\nVary: *", "vary_any"},
		{"302", "status"},
	} {
		var codes []string
		for _, o := range Obstacles(response(t, c.head, now, now)) {
			if o.Text == "" {
				t.Errorf("%q: %q has no text", c.head, o.Code)
			}
			codes = append(codes, o.Code)
		}
		if got := strings.Join(codes, " "); got != c.want {
			t.Errorf("%q: %q, want %q", c.head, got, c.want)
		}
	}
}

func TestVaryOn(t *testing.T) {
	h := http.Header{"Vary": {"accept-encoding, Cookie", "*, COOKIE,,"}}
	if got := VaryOn(h); !slices.Equal(got, []string{"Accept-Encoding", "Cookie"}) {
		t.Errorf("%q", got)
	}
	if got := VaryOn(nil); got != nil {
		t.Errorf("%q", got)
	}
}

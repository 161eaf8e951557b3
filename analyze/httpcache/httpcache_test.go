package httpcache

import (
	"bufio"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

// response reads a status and headers as they came: "200\nAge: 3".
func response(t *testing.T, text string, sent, at time.Time) Response {
	t.Helper()
	if text == "" {
		return Response{}
	}
	status, head, _ := strings.Cut(text, "\n")
	h, err := textproto.NewReader(bufio.NewReader(strings.NewReader(strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n"))).ReadMIMEHeader()
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	r := Response{Sent: sent, At: at, Header: http.Header(h)}
	for _, c := range status {
		r.Status = r.Status*10 + int(c-'0')
	}
	r.Body = r.Header.Get("Test-Body")
	return r
}

const (
	cfHit   = "200\nDate: Mon, 23 Nov 2026 04:00:00 GMT\nContent-Type: text/css\nCache-Control: max-age=14400\nCf-Cache-Status: HIT\nAge: 5000\nETag: W/\"1\"\nServer: cloudflare\nCF-RAY: 9a-FRA"
	cfMiss  = "200\nCf-Cache-Status: MISS\nETag: \"1\"\nServer: cloudflare\nCF-RAY: 9b-FRA"
	awsHit  = "200\nX-Cache: Hit from cloudfront\nVia: 1.1 x.cloudfront.net (CloudFront)\nX-Amz-Cf-Pop: FRA56-P3\nAge: 86000\nETag: \"1\""
	awsMiss = "200\nX-Cache: Miss from cloudfront\nVia: 1.1 x.cloudfront.net (CloudFront)\nX-Amz-Cf-Pop: FRA56-P3\nETag: \"1\""
	fastly  = "200\nVia: 1.1 varnish, 1.1 varnish\nX-Served-By: cache-iad-1, cache-fra-2\n"
)

// TestJudge: ten seconds after a purge, on what CDNs and caches really send.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name, before, after string
		want                Verdict
		words               string // one of the evidence
	}{
		{"Cloudflare: gone", cfHit, cfMiss, Fresh, "CF-Cache-Status MISS"},
		{"Cloudflare: everything, or tiered", cfHit, "200\nCf-Cache-Status: EXPIRED", Fresh, "EXPIRED"},
		{"Cloudflare: still there", cfHit, strings.ReplaceAll(cfHit, "5000", "5012"), Stale, "Age 5012 s, more than the 10 s since the purge"},
		{"Cloudflare: another visitor was first", cfHit, strings.ReplaceAll(cfHit, "5000", "4"), Fresh, "Age 4 s, less than the 10 s"},
		{"Cloudflare: as old as the purge", cfHit, strings.ReplaceAll(cfMiss+"\nAge: 10", "MISS", "HIT"), Fresh, "Age fell from 5000 s to 10 s"},
		{"Cloudflare: as old as the purge, and nothing before", "", strings.ReplaceAll(cfMiss+"\nAge: 10", "MISS", "HIT"), Unknown, "about the 10 s"},
		{"Cloudflare: within what an age is precise to", "", strings.ReplaceAll(cfMiss+"\nAge: 12", "MISS", "HIT"), Unknown, "about the 10 s"},
		{"Cloudflare: beyond it", "", strings.ReplaceAll(cfMiss+"\nAge: 13", "MISS", "HIT"), Stale, "Age 13 s"},
		{"Cloudflare: it would be 22 s by now", strings.ReplaceAll(cfHit, "5000", "11"), strings.ReplaceAll(cfHit, "5000", "10"), Fresh, "Age fell from 11 s to 10 s"},
		{"Cloudflare: a hit without an age", cfHit, strings.ReplaceAll(cfMiss, "MISS", "HIT"), Unknown, "when it was stored is not told"},
		{"Cloudflare: out of date", cfHit, strings.ReplaceAll(cfMiss, "MISS", "UPDATING"), Stale, "UPDATING"},
		{"Cloudflare: out of date", cfHit, strings.ReplaceAll(cfMiss, "MISS", "STALE"), Stale, "STALE"},
		{"Cloudflare: out of date, of a second ago", cfHit, strings.ReplaceAll(cfMiss, "MISS", "STALE") + "\nAge: 1", Fresh, "but CF-Cache-Status STALE"},
		{"Cloudflare: the origin says it is right", cfHit, strings.ReplaceAll(cfMiss, "MISS", "REVALIDATED"), Fresh, "REVALIDATED"},
		{"Cloudflare: never cached", "200\nCf-Cache-Status: DYNAMIC", "200\nCf-Cache-Status: DYNAMIC", Fresh, "a miss before the purge too"},
		{"Cloudflare: not said", "200\nCf-Cache-Status: NONE", "200\nCf-Cache-Status: NONE", Unknown, "nothing in it tells"},
		{"Cloudflare: an old copy from a cache behind it", cfHit, cfMiss + "\nAge: 700", Stale, "but CF-Cache-Status MISS"},
		{"Cloudflare: a copy of unknown age from behind it", cfHit, cfMiss + "\nX-Cache: HIT", Unknown, "but X-Cache HIT"},
		{"Cloudflare: a challenge", cfHit, "403\nCf-Mitigated: challenge\nCf-Cache-Status: DYNAMIC", Unknown, "did not let the request through"},
		{"Cloudflare: the file is gone", cfHit, "404\nCf-Cache-Status: MISS", Fresh, "HTTP 200 became 404"},
		{"Cloudflare: the origin is down", cfHit, "522\nCf-Cache-Status: MISS", Unknown, "HTTP 522"},

		{"CloudFront: gone", awsHit, awsMiss, Fresh, "X-Cache Miss from cloudfront"},
		{"CloudFront: still there", awsHit, strings.ReplaceAll(awsHit, "86000", "86011"), Stale, "Age 86011 s"},
		{"CloudFront: confirmed", awsHit, strings.ReplaceAll(awsMiss, "Miss", "RefreshHit"), Fresh, "RefreshHit"},
		{"CloudFront: from its shield", awsHit, strings.ReplaceAll(awsMiss, "Miss", "OriginShieldHit"), Unknown, "when it was stored"},
		{"CloudFront: new contents without headers", awsHit, strings.ReplaceAll(awsMiss, "Miss", "Hit") + "\nETag: \"2\"", Unknown, "when it was stored"}, // two ETags: the first counts
		{"CloudFront: new contents", awsHit, "200\nX-Cache: Hit from cloudfront\nETag: \"2\"", Fresh, `ETag "1" became "2"`},
		{"CloudFront: new contents, yet old", awsHit, "200\nX-Cache: Hit from cloudfront\nETag: \"2\"\nAge: 300", Stale, `but ETag "1" became "2"`},
		{"CloudFront: an error without a word", awsHit, "403\nX-Cache: Error from cloudfront", Unknown, "nothing in it tells"},
		{"CloudFront: the file is gone", awsHit, "404\nX-Cache: Error from cloudfront", Fresh, "HTTP 200 became 404"},
		{"CloudFront: a function", awsHit, "200\nX-Cache: FunctionGeneratedResponse from cloudfront", Unknown, "nothing in it tells"},

		{"Fastly: gone", fastly + "X-Cache: HIT, HIT\nAge: 900", fastly + "X-Cache: MISS, MISS\nAge: 0", Fresh, "X-Cache MISS"},
		{"Fastly: the shield has it", fastly + "X-Cache: HIT, HIT\nAge: 900", fastly + "X-Cache: HIT, MISS\nAge: 911", Stale, "but X-Cache MISS"},
		{"Fastly: the shield has it, and does not say since when", fastly, fastly + "X-Cache: HIT, MISS", Unknown, "but X-Cache HIT"},
		{"Fastly: the shield was filled since", fastly + "X-Cache: HIT, HIT\nAge: 900", fastly + "X-Cache: HIT, MISS\nAge: 3", Fresh, "Age 3 s"},

		{"Varnish: gone", "200\nX-Varnish: 32770 3\nAge: 50", "200\nX-Varnish: 32775\nAge: 0", Fresh, "without the number of a stored object"},
		{"Varnish: the same object", "200\nX-Varnish: 32770 3", "200\nX-Varnish: 32775 3", Stale, "the same object"},
		{"Varnish: another object", "200\nX-Varnish: 32770 3", "200\nX-Varnish: 32775 9", Fresh, "object 9 instead of 3"},
		{"Varnish: before was the first to ask", "200\nX-Varnish: 2", "200\nX-Varnish: 5 3", Unknown, "when it was stored"},
		{"Varnish behind a silent cache", "200\nX-Varnish: 2", "200\nX-Varnish: 2", Stale, "a cache in front of Varnish"},

		{"nginx: gone", "200\nX-Cache-Status: HIT", "200\nX-Cache-Status: MISS", Fresh, "X-Cache-Status MISS"},
		{"nginx: still there", "200\nX-Cache-Status: HIT", "200\nX-Cache-Status: HIT", Unknown, "when it was stored"},
		{"Squid", "200\nX-Cache: HIT from proxy.example.com", "200\nX-Cache: MISS from proxy.example.com", Fresh, "MISS from proxy"},
		{"Akamai", "200\nX-Cache: TCP_MEM_HIT from a1.deploy (AkamaiGHost/11)", "200\nX-Cache: TCP_MISS from a1.deploy (AkamaiGHost/11)", Fresh, "TCP_MISS"},
		{"Akamai", "200\nX-Cache: TCP_MEM_HIT from a1.deploy (AkamaiGHost/11)", "200\nX-Cache: TCP_REFRESH_FAIL_HIT from a1.deploy", Stale, "TCP_REFRESH_FAIL_HIT"},
		{"Vercel", "200\nx-vercel-cache: HIT\nAge: 90", "200\nx-vercel-cache: MISS\nAge: 0", Fresh, "X-Vercel-Cache MISS"},
		{"Bunny", "200\nCDN-Cache: HIT", "200\nCDN-Cache: EXPIRED", Fresh, "CDN-Cache EXPIRED"},

		{"Netlify: gone", "200\nCache-Status: \"Netlify Edge\"; hit", "200\nCache-Status: \"Netlify Durable\"; fwd=bypass\nCache-Status: \"Netlify Edge\"; fwd=miss", Fresh, "Cache-Status of Netlify Edge: forwarded (miss)"},
		{"Netlify: still there", "200", "200\nCache-Status: \"Netlify Edge\"; hit", Unknown, "a hit"},
		{"RFC 9211: a hit behind a miss", "200", "200\nCache-Status: OriginCache; hit; ttl=1100, \"CDN Company Here\"; fwd=uri-miss", Unknown, "but Cache-Status of OriginCache: a hit"},
		{"RFC 9211: served out of date", "200", "200\nCache-Status: ExampleCache; hit; ttl=-412", Stale, "412 s beyond its freshness"},
		{"RFC 9211: out of date since a moment", "200", "200\nCache-Status: ExampleCache; hit; ttl=-3", Unknown, "a hit"},
		{"RFC 9211: out of date for about as long", "200", "200\nCache-Status: ExampleCache; hit; ttl=-12", Unknown, "a hit"},
		{"RFC 9211: somebody else's answer", "200", "200\nCache-Status: ExampleCache; fwd=miss; collapsed", Unknown, "another request"},
		{"RFC 9211: malformed", "200", "200\nCache-Status: Example Cache hit", Unknown, "malformed"},
		{"RFC 9211: malformed, yet a miss", "200\nCf-Cache-Status: HIT", "200\nCache-Status: Example Cache hit\nCf-Cache-Status: MISS", Fresh, "malformed"},

		{"no cache at all, the same", "200\nTest-Body: a", "200\nTest-Body: a", Unknown, "nothing in it tells"},
		{"no cache at all, other contents", "200\nTest-Body: a", "200\nTest-Body: b", Fresh, "the contents changed"},
		{"other contents of another status", "403\nTest-Body: a", "200\nTest-Body: b", Unknown, "nothing in it tells"},
		{"Last-Modified", "200\nLast-Modified: Mon, 23 Nov 2026 04:00:00 GMT", "200\nLast-Modified: Mon, 23 Nov 2026 05:00:00 GMT", Fresh, "Last-Modified"},
		{"a bad Age", cfHit, "200\nCf-Cache-Status: HIT\nAge: -1", Unknown, "its Age -1 is not a number"},
		{"two Ages", cfHit, "200\nCf-Cache-Status: HIT\nAge: 1\nAge: 5000", Unknown, "its Age 1, 5000 is not"},
		{"no answer", cfHit, "", Unknown, "no answer"},
		{"nothing before", "", cfMiss, Fresh, "MISS"},
	} {
		purged := time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)
		before := response(t, c.before, purged.Add(-2*time.Second), purged.Add(-time.Second))
		after := response(t, c.after, purged.Add(10*time.Second), purged.Add(10*time.Second+100*time.Millisecond))
		got := Judge(before, after, purged)
		if got.Verdict != c.want || !strings.Contains(strings.Join(got.Evidence, "; "), c.words) {
			t.Errorf("%s: %v; want %s with %q", c.name, got, c.want, c.words)
		}
		if early := Judge(before, response(t, c.after, purged.Add(-1), purged.Add(time.Second)), purged); early.Verdict != Unknown {
			t.Errorf("%s: asked before the purge: %v", c.name, early)
		}
	}
}

// TestJudgeAge: whatever the delays, an entry that was stored before the purge
// never passes by its age alone.
func TestJudgeAge(t *testing.T) {
	purged := time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)
	for stored := time.Duration(0); stored < 20*time.Second; stored += 130 * time.Millisecond { // before the purge
		for since := time.Duration(0); since < 20*time.Second; since += 170 * time.Millisecond {
			for delay := time.Duration(0); delay < 3*time.Second; delay += 700 * time.Millisecond {
				after := Response{Sent: purged.Add(since), At: purged.Add(since + delay), Status: 200, Header: http.Header{}}
				age := after.Sent.Add(delay / 2).Sub(purged.Add(-stored)).Truncate(time.Second)
				after.Header.Set("Age", strings.TrimSuffix(seconds(age), " s"))
				after.Header.Set("Cf-Cache-Status", "HIT")
				if got := Judge(Response{}, after, purged); got.Verdict == Fresh {
					t.Fatalf("stored %v before the purge, asked %v after it: %v", stored, since, got)
				}
			}
		}
	}
}

func TestSummary(t *testing.T) {
	r := response(t, cfHit+"\nX-Cache: "+strings.Repeat("x", 300), time.Time{}, time.Time{})
	want := `HTTP 200, CF-Cache-Status HIT, X-Cache ` + strings.Repeat("x", 80) + `..., Age 5000, ETag W/"1"`
	if got := r.Summary(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := (Response{}).Summary(); got != "no answer" {
		t.Errorf("%q", got)
	}
}

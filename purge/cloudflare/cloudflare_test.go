package cloudflare

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/cachectl/cachectl/purge"
	"github.com/cachectl/cachectl/purge/purgetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens targets of a server without a network.
func open(t *testing.T, c *purgetest.Cloudflare, s purge.Settings) []purge.Purger {
	t.Helper()
	s.Endpoint, s.Client = "http://cloudflare.test/", c.Client()
	if s.Token == "" {
		s.Token = c.Token
	}
	if s.Targets == nil {
		s.Targets = []string{purgetest.ZoneID}
	}
	opened, err := Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func numbered(n int) []purge.Item {
	var items []purge.Item
	for i := range n {
		items = append(items, purge.Item{Kind: purge.URL, Value: fmt.Sprintf("https://www.example.com/dir%d/%d.html", i%7, i)})
	}
	return items
}

type told struct {
	purged   []string
	failed   map[string]error
	receipts []purge.Receipt
	notices  []string
}

// run plans and runs items over all purgers.
func run(t *testing.T, purgers []purge.Purger, items []purge.Item, o purge.Options) told {
	t.Helper()
	var calls []purge.Call
	for _, p := range purgers {
		plan, err := p.Plan(items)
		if err != nil {
			t.Fatal(err)
		}
		if len(plan.Refused) > 0 {
			t.Fatalf("refused: %v", &plan.Refused[0])
		}
		calls = append(calls, plan.Calls...)
	}
	got := told{failed: make(map[string]error)}
	for outcome, err := range purge.Run(t.Context(), purgers, calls, o) {
		if purge.Ends(err) {
			t.Fatal(err)
		}
		if err != nil {
			got.notices = append(got.notices, err.Error())
			continue
		}
		for _, i := range outcome.Items {
			if outcome.Err != nil {
				got.failed[i.Value] = outcome.Err
			} else {
				got.purged = append(got.purged, i.Value)
			}
		}
		got.receipts = append(got.receipts, outcome.Receipts...)
	}
	return got
}

func TestPurge(t *testing.T) {
	c := purgetest.NewCloudflare()
	p := open(t, c, purge.Settings{Targets: []string{"example.com"}})
	items := []purge.Item{
		{Kind: purge.URL, Value: "HTTPS://WWW.example.com:443/Grün?x=1#top"},
		{Kind: purge.URL, Value: "https://www.example.com/pic.jpg", Header: http.Header{"cf-device-type": {"mobile"}}},
		{Kind: purge.Tag, Value: "Product:1"},
		{Kind: purge.Host, Value: "img.example.com"},
		{Kind: purge.Prefix, Value: "www.example.com/foo"},
	}
	got := run(t, p, items, purge.Options{})
	if len(got.purged) != 5 || len(got.failed) != 0 || got.receipts[0].State != purge.Accepted || got.receipts[0].ID == "" {
		t.Fatalf("%+v", got)
	}
	want := map[string]int{"https://www.example.com/Gr%C3%BCn?x=1": 1, "https://www.example.com/pic.jpg": 1, "product:1": 1, "img.example.com": 1, "www.example.com/foo": 1}
	for i, n := range want {
		if c.Purged()[i] != n {
			t.Errorf("%s purged %d times of %v", i, c.Purged()[i], c.Purged())
		}
	}
	for _, r := range c.Purges() {
		if len(r.Headers) > 0 && r.Headers[0].Get("CF-Device-Type") != "mobile" {
			t.Errorf("headers %v", r.Headers)
		}
	}
	got = run(t, p, append(items, purge.Item{Kind: purge.Everything}), purge.Options{})
	if len(got.purged) != 1 || c.Purged()["everything"] != 1 {
		t.Errorf("everything: %v", c.Purged())
	}
	if _, err := purge.As[purge.Waiter](p[0]); err == nil {
		t.Error("it cannot wait, and does not say so")
	}
}

func TestEnvironment(t *testing.T) {
	c := purgetest.NewCloudflare()
	c.Environments = []string{"staging"}
	got := run(t, open(t, c, purge.Settings{Environment: "staging"}), numbered(3), purge.Options{})
	if len(got.purged) != 3 || c.Purges()[0].Path != "/zones/"+purgetest.ZoneID+"/environments/staging/purge_cache" {
		t.Errorf("%+v %v", got, c.Purges())
	}
}

func TestPlan(t *testing.T) {
	z := &zone{id: purgetest.ZoneID, account: "a", tier: tiers[1]}
	items := append(numbered(700), numbered(3)...)
	for _, v := range []string{"www.example.com/dir3", "www.example.com/dir4/", "www.example.com/dir3/x", "www.example.com/dir", "img.example.com/a"} {
		items = append(items, purge.Item{Kind: purge.Prefix, Value: v})
	}
	items = append(items, purge.Item{Kind: purge.Host, Value: "img.example.com"})
	plan, err := z.Plan(items)
	if err != nil || len(plan.Duplicates) != 3 || len(plan.Covered) != 202 || plan.Items() != 504 || len(plan.Calls) != 5+1+1 {
		t.Errorf("%d duplicates, %d covered, %d items in %d calls: %v", len(plan.Duplicates), len(plan.Covered), plan.Items(), len(plan.Calls), err)
	}
	if plan.Given != plan.Items()+len(plan.Duplicates)+len(plan.Covered)+len(plan.Refused) || len(plan.Notes) != 1 {
		t.Errorf("%d given; notes %q", plan.Given, plan.Notes)
	}
	for _, c := range plan.Covered {
		if c.By.Value == "www.example.com/dir" || c.By.Value == c.Item.Value {
			t.Errorf("%v is covered by %v", c.Item, c.By)
		}
	}
	// A call of 100 URLs at 1,500 a second, 15 calls in the first second.
	plan, _ = z.Plan(numbered(100_000))
	if took := purge.Takes(plan); took < 65*time.Second || took > 68*time.Second {
		t.Errorf("takes %v", took)
	}
	for n, want := range map[string]int{"free": 100, "pro": 100, "business": 100, "enterprise": 500} {
		t100, _ := tierOf(n)
		z := &zone{tier: t100}
		plan, _ := z.Plan(numbered(1000))
		if len(plan.Calls[0].Items) != want {
			t.Errorf("plan %s: %d URLs a call", n, len(plan.Calls[0].Items))
		}
	}
	if plan, err := z.Plan(nil); err != nil || len(plan.Calls) != 0 || plan.Everything() {
		t.Errorf("no items: %+v", plan)
	}
}

// TestPlanAgain: what a plan made is planned as it is. Run relies on it.
func TestPlanAgain(t *testing.T) {
	z := &zone{id: purgetest.ZoneID, name: "example.com", tier: tiers[0]}
	plan, _ := z.Plan([]purge.Item{{Kind: purge.URL, Value: "https://example.com?a=ü%20b"}, {Kind: purge.URL, Value: "http://example.com:8080/x y"},
		{Kind: purge.URL, Value: "https://example.com", Header: http.Header{"origin": {"https://x"}}}, {Kind: purge.Tag, Value: "A"},
		{Kind: purge.Prefix, Value: "EXAMPLE.com/ü/"}, {Kind: purge.Host, Value: "A.example.com"}})
	if len(plan.Refused) > 0 || len(plan.Calls) != 5 {
		t.Fatalf("%d calls, refused %v", len(plan.Calls), plan.Refused)
	}
	for _, c := range plan.Calls {
		again, _ := z.Plan(c.Items)
		if len(again.Calls) != 1 || again.Calls[0].ID != c.ID {
			t.Errorf("%v and %v", c.Items, again.Calls)
		}
	}
}

func TestRules(t *testing.T) {
	z := &zone{id: purgetest.ZoneID, name: "example.com", tier: tiers[0]}
	for _, test := range []struct {
		kind    purge.Kind
		in, out string // out is empty where it is refused
		why     string
		instead string
	}{
		{purge.URL, "https://Example.com", "https://example.com/", "", ""},
		{purge.URL, "http://example.com:80/A", "http://example.com/A", "", ""},
		{purge.URL, "http://example.com:443/A", "http://example.com:443/A", "", ""},
		{purge.URL, "https://example.com/%41?q=%20", "https://example.com/%41?q=%20", "", ""},
		{purge.URL, "/a.jpg", "", "scheme", "https://example.com/a.jpg"},
		{purge.URL, "example.com/a.jpg", "", "scheme", "https://example.com/a.jpg"},
		{purge.URL, "ftp://example.com/a", "", "neither http", "https://example.com/a"},
		{purge.URL, "https://example.com/img/*", "", "wildcards", "prefix example.com/img/"},
		{purge.URL, "https://example.com/img/a*.jpg", "", "wildcards", "prefix example.com/img/"},
		{purge.URL, "https://other.org/a", "", "not in zone", ""},
		{purge.URL, "https://notexample.com/a", "", "not in zone", ""},
		{purge.URL, "https://user@example.com/a", "", "no host", ""},
		{purge.URL, "https:///a", "", "no host", ""},
		{purge.URL, "https://grün.example.com/", "", "ASCII", "xn--"},
		{purge.Path, "/a.jpg", "", "URLs", "url https://example.com/a.jpg"},
		{purge.Prefix, "www.EXAMPLE.com/Foo", "www.example.com/Foo", "", ""},
		{purge.Prefix, "www.example.com", "www.example.com", "", ""},
		{purge.Prefix, "https://www.example.com/foo", "", "scheme", "www.example.com/foo"},
		{purge.Prefix, "www.example.com/foo?x", "", "query", "www.example.com/foo"},
		{purge.Prefix, "www.example.com/foo*", "", "wildcard", "www.example.com/foo"},
		{purge.Prefix, "/foo", "", "host", "example.com/foo"},
		{purge.Prefix, "foo/bar", "", "host", "example.com/foo/bar"},
		{purge.Prefix, "www.example.com" + strings.Repeat("/a", 32), "", "31", "www.example.com/a"},
		{purge.Host, "WWW.example.com", "www.example.com", "", ""},
		{purge.Host, "*.example.com", "", "wildcards", "everything"},
		{purge.Host, "https://www.example.com/x", "", "scheme", "www.example.com"},
		{purge.Host, "www.example.com/x", "", "path", "www.example.com"},
		{purge.Host, "www.example.com:8080", "", "not the name", ""},
		{purge.Host, "www.other.org", "", "not in zone", ""},
		{purge.Tag, "Product:1", "product:1", "", ""},
		{purge.Tag, "a b", "", "' '", ""},
		{purge.Tag, "a,b", "", "','", ""},
		{purge.Tag, "", "", "empty", ""},
		{purge.Tag, strings.Repeat("x", 1025), "", "1024", ""},
		{"cpcode", "1", "", "no such kind", ""},
	} {
		got, refusal := z.normalise(purge.Item{Kind: test.kind, Value: test.in})
		switch {
		case test.out != "" && (refusal != nil || got.Value != test.out):
			t.Errorf("%s %q: %q %v, want %q", test.kind, test.in, got.Value, refusal, test.out)
		case test.out == "" && refusal == nil:
			t.Errorf("%s %.60q is taken as %.60q", test.kind, test.in, got.Value)
		case test.out == "" && (!strings.Contains(refusal.Why, test.why) || !strings.Contains(refusal.Instead, test.instead)):
			t.Errorf("%s %.60q: %q, instead %q", test.kind, test.in, refusal.Why, refusal.Instead)
		case test.out == "" && refusal.Elsewhere != (test.why == "not in zone"):
			t.Errorf("%s %q: elsewhere %v", test.kind, test.in, refusal.Elsewhere)
		}
	}
}

func TestOpenByName(t *testing.T) {
	c := purgetest.NewCloudflare()
	other := strings.Repeat("a", 32)
	c.Zones = append(c.Zones, purgetest.Zone{ID: other, Name: "shop.co.uk", Account: "B", Plan: "enterprise"})
	opened := open(t, c, purge.Settings{Targets: []string{"www.img.example.com", "Shop.co.uk", purgetest.ZoneID, "www.example.com"}})
	var names []string
	for _, p := range opened {
		names = append(names, p.Name())
	}
	if want := []string{"cloudflare:" + purgetest.ZoneID, "cloudflare:" + other, "cloudflare:" + purgetest.ZoneID, "cloudflare:" + purgetest.ZoneID}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	if got := len(c.Log()); got != 5 { // www.img.example.com, img.example.com, example.com, shop.co.uk, www.example.com
		t.Errorf("%d look-ups", got)
	}
	if tier := opened[1].(*zone).tier.name; tier != "enterprise" {
		t.Errorf("plan of the zone: %s", tier)
	}
	c.Zones = append(c.Zones, purgetest.Zone{ID: strings.Repeat("b", 32), Name: "shop.co.uk", Account: "C"})
	for target, kind := range map[string]error{"shop.co.uk": purge.ErrSettings, "nobody.org": purge.ErrUnknown, "https://example.com/": purge.ErrSettings, "": purge.ErrSettings} {
		_, err := Open(t.Context(), purge.Settings{Targets: []string{target}, Token: c.Token, Endpoint: "http://x.test", Client: c.Client()})
		if !errors.Is(err, kind) || purge.Hint(err) == "" {
			t.Errorf("%q: %v", target, err)
		}
	}
	for _, s := range []purge.Settings{{Token: ""}, {Token: "a b"}, {Token: "wrong"}, {Token: c.Token, Plan: "gold"}} {
		s.Targets, s.Endpoint, s.Client = []string{"example.com"}, "http://x.test", c.Client()
		if _, err := Open(t.Context(), s); err == nil || purge.Hint(err) == "" || s.Token != "" && strings.Contains(err.Error(), s.Token) {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

// TestOldLimit: a zone that refuses more than 30 URLs is purged all the same.
func TestOldLimit(t *testing.T) {
	c := purgetest.NewCloudflare()
	c.MaxURLs = 30
	got := run(t, open(t, c, purge.Settings{Plan: "pro"}), numbered(1000), purge.Options{})
	if len(got.purged) != 1000 || len(got.failed) != 0 || len(c.Purged()) != 1000 {
		t.Fatalf("%d purged, failed %v", len(got.purged), got.failed)
	}
	if len(got.notices) != 1 || !strings.Contains(got.notices[0], "goes on with 30") {
		t.Errorf("notices %q", got.notices)
	}
	refused := 0
	for _, r := range c.Purges() {
		if !r.Taken {
			refused++
		}
	}
	if refused > 8 { // those under way when it was learned
		t.Errorf("%d calls of more than 30 URLs", refused)
	}
}

// TestBadURL: one URL that only the service refuses is named, the others are purged.
func TestBadURL(t *testing.T) {
	c := purgetest.NewCloudflare() // opened by ID, so the name of the zone is not known to the plan
	items := append(numbered(250), purge.Item{Kind: purge.URL, Value: "https://other.org/"})
	got := run(t, open(t, c, purge.Settings{}), items, purge.Options{})
	if len(got.purged) != 250 || len(got.failed) != 1 || got.failed["https://other.org/"] == nil || len(c.Purged()) != 250 {
		t.Errorf("%d purged, failed %v", len(got.purged), got.failed)
	}
}

// TestFaults: over a real network, with every way in which an answer can
// fail. Each item is purged, and told so.
func TestFaults(t *testing.T) {
	for name, fault := range map[string]purgetest.Fault{
		"429 with Retry-After":   {Status: 429, RetryAfter: "1"},
		"429 with a date":        {Status: 429, RetryAfter: time.Now().Add(20 * time.Second).UTC().Format(http.TimeFormat)},
		"429":                    {Status: 429},
		"500":                    {Status: 500},
		"520":                    {Status: 520},
		"reset":                  {Reset: true},
		"reset after the fact":   {Reset: true, Taken: true},
		"500 after the fact":     {Status: 500, Taken: true},
		"half an answer":         {Half: true},
		"slow, beyond the limit": {Slow: 3 * time.Second},
		"slow, within the limit": {Slow: 100 * time.Millisecond},
		"400 for one call":       {Status: 400},
	} {
		t.Run(name, func(t *testing.T) {
			c := purgetest.NewCloudflare()
			c.Inject = func(n int) purgetest.Fault {
				if n == 2 {
					return fault
				}
				return purgetest.Fault{}
			}
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			p, err := Open(t.Context(), purge.Settings{Targets: []string{purgetest.ZoneID}, Token: c.Token, Endpoint: c.Start(t), Client: client, Plan: "pro", BatchSize: 10})
			if err != nil {
				t.Fatal(err)
			}
			clock := &purgetest.Clock{}
			got := run(t, p, numbered(30), purge.Options{Random: func() float64 { return 0 }, CallTimeout: 500 * time.Millisecond, Clock: clock})
			if len(got.purged) != 30 || len(got.failed) != 0 || len(c.Purged()) != 30 {
				t.Errorf("%d told as purged, %d failed, %d purged", len(got.purged), len(got.failed), len(c.Purged()))
			}
			if want := len(c.Purges()); fault.Slow != 100*time.Millisecond && want < 4 {
				t.Errorf("%d requests: the fault did not happen", want)
			}
		})
	}
}

// TestStorm: against a service that fails every third call in every way, for
// a long list, nothing is lost.
func TestStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := purgetest.NewCloudflare()
		faults := []purgetest.Fault{{Status: 429, RetryAfter: "2"}, {Status: 429}, {Status: 500}, {Reset: true}, {Reset: true, Taken: true},
			{Half: true}, {Slow: 90 * time.Second}, {Status: 502, Taken: true}}
		c.Inject = func(n int) purgetest.Fault {
			if n%3 == 0 {
				return faults[n/3%len(faults)]
			}
			return purgetest.Fault{Slow: 50 * time.Millisecond}
		}
		got := run(t, open(t, c, purge.Settings{Plan: "pro"}), numbered(20_000), purge.Options{})
		if len(got.purged)+len(got.failed) != 20_000 || len(got.failed) > 0 || len(c.Purged()) != 20_000 {
			t.Errorf("%d told as purged, %d failed, %d purged", len(got.purged), len(got.failed), len(c.Purged()))
		}
	})
}

func TestFinalErrors(t *testing.T) {
	for status, want := range map[int]error{401: purge.ErrAuth, 403: purge.ErrDenied, 404: purge.ErrUnknown} {
		c := purgetest.NewCloudflare()
		c.Inject = func(int) purgetest.Fault { return purgetest.Fault{Status: status} }
		got := run(t, open(t, c, purge.Settings{BatchSize: 1}), numbered(50), purge.Options{})
		if len(got.failed) != 50 || len(c.Purges()) > 8 {
			t.Errorf("%d: %d failed, %d requests", status, len(got.failed), len(c.Purges()))
		}
		for _, err := range got.failed {
			if !errors.Is(err, want) || purge.Hint(err) == "" {
				t.Errorf("%d: %v", status, err)
			}
			break
		}
	}
	c := purgetest.NewCloudflare()
	got := run(t, open(t, c, purge.Settings{Targets: []string{strings.Repeat("f", 32)}}), numbered(1), purge.Options{})
	for _, err := range got.failed {
		if !errors.Is(err, purge.ErrUnknown) || !strings.Contains(err.Error(), "7003") {
			t.Errorf("no such zone: %v", err)
		}
	}
}

// TestRate: on a virtual clock, against a server that refuses what is beyond
// the limits.
func TestRate(t *testing.T) {
	for _, test := range []struct {
		plan  string
		urls  float64
		items int
	}{{"free", 800, 100_000}, {"pro", 1500, 100_000}, {"enterprise", 3000, 200_000}} {
		t.Run(test.plan, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := purgetest.NewCloudflare()
				c.Zones[0].Plan = test.plan
				tier, _ := tierOf(test.plan)
				c.Limit(tier.urls, tier.urls, tier.flex, tier.burst)
				c.Inject = func(n int) purgetest.Fault {
					return purgetest.Fault{Slow: time.Duration(100+n%7*30) * time.Millisecond}
				}
				p := open(t, c, purge.Settings{Plan: test.plan})
				start := time.Now()
				got := run(t, p, numbered(test.items), purge.Options{})
				if len(got.purged) != test.items || len(c.Purged()) != test.items {
					t.Fatalf("%d purged, %d failed", len(got.purged), len(got.failed))
				}
				share := rate(t, c, start, test.urls, float64(test.items))
				t.Logf("%.1f %% of the permitted rate", share*100)
			})
		})
	}
}

// rate is the share of the permitted rate that was used, after the burst of a
// second. It fails the test if it is low, or if anything was refused.
func rate(t *testing.T, c *purgetest.Cloudflare, start time.Time, perSecond, items float64) float64 {
	t.Helper()
	sent := c.Purges()
	for _, r := range sent {
		if !r.Taken {
			t.Errorf("refused after %v", r.At.Sub(start))
		}
	}
	share := (items - perSecond) / sent[len(sent)-1].At.Sub(start).Seconds() / perSecond
	if share < 0.95 {
		t.Errorf("%.1f %% of the permitted rate", share*100)
	}
	return share
}

// TestFlexRate: 5 calls a minute are kept, and used.
func TestFlexRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := purgetest.NewCloudflare()
		c.Limit(800, 800, 5.0/60, 25)
		var items []purge.Item
		for n := range 10_000 {
			items = append(items, purge.Item{Kind: purge.Tag, Value: fmt.Sprint("t", n)})
		}
		start := time.Now()
		got := run(t, open(t, c, purge.Settings{Plan: "free"}), items, purge.Options{})
		sent := c.Purges()
		took := sent[len(sent)-1].At.Sub(start)
		if len(got.purged) != 10_000 || len(sent) != 100 || took > 75*12*time.Second*100/95 {
			t.Errorf("%d purged by %d calls in %v", len(got.purged), len(sent), took)
		}
	})
}

// TestLearnsRate: the limit of calls is known from the answers only.
func TestLearnsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := purgetest.NewCloudflare()
		c.LimitCalls(50, time.Minute)
		got := run(t, open(t, c, purge.Settings{Plan: "pro"}), numbered(20_000), purge.Options{})
		refused := 0
		for _, r := range c.Purges() {
			if !r.Taken {
				refused++
			}
		}
		if len(got.purged) != 20_000 || refused > 10 {
			t.Errorf("%d purged, %d calls refused", len(got.purged), refused)
		}
		t.Logf("%d of %d calls refused", refused, len(c.Purges()))
	})
}

func BenchmarkPlan100k(b *testing.B) {
	z := &zone{name: "example.com", tier: tiers[1]}
	items := numbered(100_000)
	for b.Loop() {
		if plan, _ := z.Plan(items); plan.Items() != 100_000 {
			b.Fatal(plan.Items())
		}
	}
}
